//! How long something takes: one kind of clock for each kind of chip.

#[cfg(all(feature = "probe", not(armv6m)))]
mod cycles;
mod nrf;
#[cfg(not(feature = "probe"))]
mod systick;

#[cfg(all(feature = "probe", not(armv6m)))]
pub use cycles::Cycles as Core;
pub use nrf::Nrf;
#[cfg(not(feature = "probe"))]
pub use systick::SysTick as Core;

/// A stopwatch.
pub trait Timer {
    /// Ticks per second.
    const HZ: u32;

    /// Starts at 0.
    fn start(&mut self);

    /// Ticks since the start, unless it was too long ago.
    fn ticks(&mut self) -> Option<u32>;
}
