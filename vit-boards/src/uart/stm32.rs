//! The USART of STMicroelectronics' chips, which exists in two generations.

use super::{Alarm, Uart};
use crate::registers::Register;

/// The bit of the status that is set while the receiver holds a byte.
const RECEIVED: u32 = 1 << 5;
/// The bit of the status that is set while the transmitter can take a byte.
const ROOM: u32 = 1 << 7;
/// The control bits that enable the receiver, its interrupt and the transmitter.
const BOTH_WAYS: u32 = 1 << 5 | 1 << 3 | 1 << 2;

/// A serial port.
pub struct Usart {
    status: Register,
    receive: Register,
    transmit: Register,
    /// The register that clears errors. The first generation has none: reading the status and the byte clears them.
    clear: Option<Register>,
    alarm: Alarm,
}

impl Usart {
    /// Switches on the port of a chip of the series STM32F1, F2, F4 or L1 with registers at `base`. `clock` is the
    /// frequency of its clock in hertz, and `interrupt` the number of its interrupt. Interrupts are disabled: this one
    /// only wakes the processor.
    ///
    /// # Safety
    /// The chip has such a port at `base`, with this interrupt, and nothing else uses it.
    pub unsafe fn first(base: usize, clock: u32, interrupt: u16) -> Self {
        let [status, data, divider, control] =
            [0x00, 0x04, 0x08, 0x0c].map(|offset| Register::at(base + offset));
        divider.write(divided(clock.into()));
        control.write(1 << 13 | BOTH_WAYS);
        Self { status, receive: data, transmit: data, clear: None, alarm: Alarm::new(interrupt) }
    }

    /// Switches on the port of a chip of any later series. The arguments are those of [`first`](Self::first).
    ///
    /// # Safety
    /// The conditions are those of [`first`](Self::first).
    pub unsafe fn second(base: usize, clock: u32, interrupt: u16) -> Self {
        Self::later(base, divided(clock.into()), interrupt)
    }

    /// Switches on a low-power port (LPUART), which divides its clock more finely. The arguments are those of
    /// [`first`](Self::first).
    ///
    /// # Safety
    /// The conditions are those of [`first`](Self::first).
    pub unsafe fn low_power(base: usize, clock: u32, interrupt: u16) -> Self {
        Self::later(base, divided(256 * u64::from(clock)), interrupt)
    }

    fn later(base: usize, divided: u32, interrupt: u16) -> Self {
        let [control, divider] = [0x00, 0x0c].map(|offset| Register::at(base + offset));
        let [status, clear, receive, transmit] =
            [0x1c, 0x20, 0x24, 0x28].map(|offset| Register::at(base + offset));
        divider.write(divided);
        control.write(1 << 0 | BOTH_WAYS);
        Self { status, receive, transmit, clear: Some(clear), alarm: Alarm::new(interrupt) }
    }
}

/// Returns the divider that turns a clock of `clock` hertz into the nearest rate to [`vit_link::BAUD`].
const fn divided(clock: u64) -> u32 {
    ((clock + vit_link::BAUD as u64 / 2) / vit_link::BAUD as u64) as u32
}

impl Uart for Usart {
    fn read(&mut self) -> u8 {
        self.alarm.wait(|| self.status.read() & RECEIVED != 0);
        if let Some(clear) = self.clear {
            clear.write(0b1111); // overrun, noise, framing and parity errors, which the checksum of the frame detects
        }
        self.receive.read() as u8
    }

    fn write(&mut self, byte: u8) {
        while self.status.read() & ROOM == 0 {}
        self.transmit.write(byte.into());
    }
}
