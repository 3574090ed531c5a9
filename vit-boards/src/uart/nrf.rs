//! The UART of Nordic's chips, which is the same in the nRF51 and the nRF52 series.

use super::{Alarm, Uart};
use crate::registers::Register;

const BASE: usize = 0x4000_2000;
const INTERRUPT: u16 = 2;
/// The value of Nordic's register for 115200 bits per second.
const BAUD: u32 = 0x01d7_e000;
const _: () = assert!(vit_link::BAUD == 115_200);

/// The serial port.
pub struct Nrf {
    received: Register,
    sent: Register,
    receive: Register,
    send: Register,
    alarm: Alarm,
}

impl Nrf {
    /// Switches the serial port on. It transmits and receives on the pins of port 0 with these numbers. Interrupts are
    /// disabled: that of the port only wakes the processor.
    ///
    /// # Safety
    /// The chip is one of the nRF51 or nRF52 series, it has these pins, and nothing else uses its UART.
    pub unsafe fn new(transmit: u32, receive: u32) -> Self {
        // Starts the crystal oscillator. It is not waited for: until it is stable, the chip uses its internal
        // oscillator.
        Register::at(0x4000_0000).write(1);
        let pin = |number: u32| Register::at(0x5000_0700 + 4 * number as usize);
        Register::at(0x5000_0508).write(1 << transmit); // an idle line is high
        pin(transmit).write(0b11); // an output
        pin(receive).write(0b1100); // an input, pulled up

        let [select_transmit, select_receive, baud, enable, interrupts] =
            [0x50c, 0x514, 0x524, 0x500, 0x304].map(register);
        select_transmit.write(transmit);
        select_receive.write(receive);
        baud.write(BAUD);
        enable.write(4);
        interrupts.write(1 << 2); // when a byte has arrived
        let [start_receive, start_transmit] = [0x000, 0x008].map(register);
        start_receive.write(1);
        start_transmit.write(1);
        let [received, sent, receive, send] = [0x108, 0x11c, 0x518, 0x51c].map(register);
        Self { received, sent, receive, send, alarm: Alarm::new(INTERRUPT) }
    }
}

fn register(offset: usize) -> Register {
    Register::at(BASE + offset)
}

impl Uart for Nrf {
    fn read(&mut self) -> u8 {
        self.alarm.wait(|| self.received.read() != 0);
        self.received.write(0); // before the byte is read: another byte in the queue sets it again
        self.receive.read() as u8
    }

    fn write(&mut self, byte: u8) {
        self.sent.write(0);
        self.send.write(byte.into());
        while self.sent.read() == 0 {}
    }
}
