//! The serial port of a hardware abstraction layer.

use super::Uart;
use embedded_hal_nb::{
    nb,
    serial::{Read, Write},
};

/// A serial port whose driver implements the traits of `embedded-hal-nb`. It waits by asking again and again: those
/// traits know no interrupt that could wake the processor.
pub struct Hal<P>(P);

impl<P: Read + Write> Hal<P> {
    /// Takes a port that is switched on, at [`vit_link::BAUD`], with 8 bits and no parity.
    pub fn new(port: P) -> Self {
        Self(port)
    }
}

impl<P: Read + Write> Uart for Hal<P> {
    fn read(&mut self) -> u8 {
        loop {
            // An error has lost a byte, which the checksum of the frame detects.
            if let Ok(byte) = self.0.read() {
                return byte;
            }
        }
    }

    fn write(&mut self, byte: u8) {
        while let Err(nb::Error::WouldBlock) = self.0.write(byte) {}
    }
}
