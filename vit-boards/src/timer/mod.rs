//! Timers for measuring durations, one for each kind of chip.

mod counter;
#[cfg(all(feature = "probe", not(armv6m)))]
mod cycles;
mod nrf;
#[cfg(any(not(feature = "probe"), armv6m))]
mod systick;

pub use counter::Counter;
#[cfg(all(feature = "probe", not(armv6m)))]
pub use cycles::Cycles as Core;
pub use nrf::Nrf;
#[cfg(any(not(feature = "probe"), armv6m))]
pub use systick::SysTick as Core;

/// A stopwatch.
pub trait Timer {
    /// The number of ticks in a second.
    const HZ: u32;

    /// Starts the measurement at 0 ticks.
    fn start(&mut self);

    /// Returns the number of ticks since the start, or `None` if the timer has noticed that it wrapped around since
    /// then.
    fn ticks(&mut self) -> Option<u32>;

    /// Converts a number of ticks to milliseconds, and rounds them down.
    fn milliseconds(&self, ticks: u32) -> u32 {
        ticks / (Self::HZ / 1000)
    }
}
