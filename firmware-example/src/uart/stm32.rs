//! The USART of STMicroelectronics' chips, of which there are two generations.

use super::{Alarm, Uart};
use crate::registers::Register;

/// The receiver has a byte.
const RECEIVED: u32 = 1 << 5;
/// The transmitter has room.
const ROOM: u32 = 1 << 7;
/// Receiver with its interrupt, and transmitter.
const BOTH_WAYS: u32 = 1 << 5 | 1 << 3 | 1 << 2;

/// A port.
pub struct Usart {
    status: Register,
    receive: Register,
    transmit: Register,
    /// Clears the errors; in the first generation, reading status and byte does.
    clear: Option<Register>,
    alarm: Alarm,
}

impl Usart {
    /// Switches a port of the STM32F1, F2, F4 or L1 series on, whose clock has so many hertz, with its
    /// interrupt.
    pub fn first(base: usize, clock: u32, interrupt: u16) -> Self {
        let [status, data, divider, control] =
            [0x00, 0x04, 0x08, 0x0c].map(|offset| Register::at(base + offset));
        divider.write(divided(clock));
        control.write(1 << 13 | BOTH_WAYS);
        Self { status, receive: data, transmit: data, clear: None, alarm: Alarm::new(interrupt) }
    }

    /// The same of all later series.
    pub fn second(base: usize, clock: u32, interrupt: u16) -> Self {
        let [control, divider] = [0x00, 0x0c].map(|offset| Register::at(base + offset));
        let [status, clear, receive, transmit] =
            [0x1c, 0x20, 0x24, 0x28].map(|offset| Register::at(base + offset));
        divider.write(divided(clock));
        control.write(1 << 0 | BOTH_WAYS);
        Self { status, receive, transmit, clear: Some(clear), alarm: Alarm::new(interrupt) }
    }
}

/// The nearest divider of the clock.
const fn divided(clock: u32) -> u32 {
    (clock + vit_link::BAUD / 2) / vit_link::BAUD
}

impl Uart for Usart {
    fn read(&mut self) -> u8 {
        self.alarm.wait(|| self.status.read() & RECEIVED != 0);
        if let Some(clear) = self.clear {
            clear.write(0b1111); // overrun, noise, framing, parity: the checksum will tell
        }
        self.receive.read() as u8
    }

    fn write(&mut self, byte: u8) {
        while self.status.read() & ROOM == 0 {}
        self.transmit.write(byte.into());
    }
}
