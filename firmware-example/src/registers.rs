//! Registers of peripherals. The only place that reads and writes them.

/// A 32-bit register of a peripheral.
#[derive(Clone, Copy)]
pub struct Register(*mut u32);

impl Register {
    /// The register at an address, which must be a peripheral's.
    ///
    /// # Panics
    /// If the address is not in the part of a Cortex-M's memory that is peripherals', or is not a multiple of 4.
    pub const fn at(address: usize) -> Self {
        assert!(address >= 0x4000_0000 && address < 0x6000_0000 && address.is_multiple_of(4));
        Self(address as *mut u32)
    }

    /// Its value.
    pub fn read(self) -> u32 {
        // SAFETY: aligned, and a peripheral's: no variable lies there. No register that this crate knows lets a
        // peripheral write to memory.
        unsafe { self.0.read_volatile() }
    }

    /// Gives it a value.
    pub fn write(self, value: u32) {
        // SAFETY: as in `read`.
        unsafe { self.0.write_volatile(value) }
    }

    /// Gives the bits of `mask` the value that they have in `value`, and leaves the others.
    pub fn modify(self, mask: u32, value: u32) {
        self.write(self.read() & !mask | value);
    }

    /// Sets all of `bits`, and leaves the others.
    pub fn set(self, bits: u32) {
        self.modify(bits, bits);
    }
}
