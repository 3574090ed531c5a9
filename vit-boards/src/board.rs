//! The trait [`Board`], which tells a firmware what it has to know about its board.

use crate::{timer::Timer, uart::Uart};

/// A board: its name, its clock, its stopwatch and its serial port.
///
/// A firmware that does not care about time, and has no serial port, needs none of this: it runs at the clock that the
/// chip has after a reset. Any other firmware begins with [`init`](Self::init).
///
/// ```ignore
/// use vit_boards::{timer::Timer as _, uart::Uart as _, Board as _, Microbit};
///
/// let board = Microbit::init();
/// let mut timer = board.timer(defmt::unwrap!(cortex_m::Peripherals::take()));
/// let mut uart = board.uart();
/// timer.start();
/// uart.write(b'!');
/// defmt::info!("sending a byte took {} ticks", timer.ticks());
/// ```
pub trait Board: Sized {
    /// The board's name, as logs and `vit-train device` show it. It has at most [`vit_link::BOARD_NAME_LEN`] bytes.
    const NAME: &'static str;

    /// The stopwatch.
    type Timer: Timer;

    /// Prepares the chip: raises its clock, if the board does so. Call it once, at the beginning.
    ///
    /// # Panics
    /// If it is called again, on boards that take their chip's peripherals here.
    fn init() -> Self;

    /// Starts the stopwatch, which takes the processor's own peripherals.
    fn timer(&self, peripherals: cortex_m::Peripherals) -> Self::Timer;

    /// Switches the serial port on.
    fn uart(self) -> impl Uart;
}
