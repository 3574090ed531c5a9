//! The UART of Arm's Cortex-M System Design Kit, which QEMU's MPS2 boards have.

use super::{Alarm, Uart};
use crate::registers::Register;

/// The bit of the state that is set while the transmitter cannot take a byte.
const TRANSMIT_FULL: u32 = 1 << 0;
/// The bit of the state that is set while the receiver holds a byte, and the bit that clears its interrupt.
const RECEIVE_FULL: u32 = 1 << 1;

/// A serial port.
pub struct Cmsdk {
    data: Register,
    state: Register,
    clear: Register,
    alarm: Alarm,
}

impl Cmsdk {
    /// Switches on the port with registers at `base`. `clock` is the frequency of its clock in hertz, and `interrupt`
    /// the number of its receiver's interrupt. Interrupts are disabled: this one only wakes the processor.
    ///
    /// # Safety
    /// The chip has such a port at `base`, with this interrupt, and nothing else uses it.
    pub unsafe fn new(base: usize, clock: u32, interrupt: u16) -> Self {
        let [data, state, control, clear, divider] =
            [0x00, 0x04, 0x08, 0x0c, 0x10].map(|offset| Register::at(base + offset));
        divider.write(clock / vit_link::BAUD);
        control.write(0b1011); // enables the receiver, its interrupt and the transmitter
        Self { data, state, clear, alarm: Alarm::new(interrupt) }
    }
}

impl Uart for Cmsdk {
    fn read(&mut self) -> u8 {
        self.alarm.wait(|| self.state.read() & RECEIVE_FULL != 0);
        self.clear.write(RECEIVE_FULL); // clears the interrupt before the next byte can set it
        self.data.read() as u8
    }

    fn write(&mut self, byte: u8) {
        while self.state.read() & TRANSMIT_FULL != 0 {}
        self.data.write(byte.into());
    }
}
