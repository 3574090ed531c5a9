//! Registers of peripherals. All accesses to them go through this module.

/// A 32-bit register of a peripheral.
#[derive(Clone, Copy)]
pub struct Register(*mut u32);

impl Register {
    /// Returns the register at an address.
    ///
    /// # Panics
    /// If the address is not in the part of a Cortex-M's memory that is reserved for peripherals, or not a multiple of
    /// 4.
    ///
    /// # Safety
    /// The address belongs to a peripheral of the chip, and no value that is written to the register lets that
    /// peripheral write to memory, as a DMA controller does.
    pub const unsafe fn new(address: usize) -> Self {
        Self::at(address)
    }

    /// Returns a register of a peripheral that never writes to memory, as all are that this crate uses: the conditions
    /// of [`new`](Self::new) hold. Panics as `new` does.
    pub(crate) const fn at(address: usize) -> Self {
        assert!(address >= 0x4000_0000 && address < 0x6000_0000 && address.is_multiple_of(4));
        Self(address as *mut u32)
    }

    /// Reads the register.
    pub fn read(self) -> u32 {
        // SAFETY: the address is aligned and in the memory of peripherals, as `at` has checked, so that there is no
        // variable. The register does not make a peripheral write to memory, as the caller of `new` has promised.
        unsafe { self.0.read_volatile() }
    }

    /// Writes the register.
    pub fn write(self, value: u32) {
        // SAFETY: the conditions are those of `read`.
        unsafe { self.0.write_volatile(value) }
    }

    /// Sets the bits of `mask` to their values in `value`, and leaves the others unchanged.
    pub fn modify(self, mask: u32, value: u32) {
        self.write(self.read() & !mask | value);
    }

    /// Sets all of `bits` to 1, and leaves the others unchanged.
    pub fn set(self, bits: u32) {
        self.modify(bits, bits);
    }
}
