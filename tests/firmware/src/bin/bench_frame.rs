//! Measures the resizing of frames of 320 x 240 pixels to an input of 32 x 32 pixels. `chip-bench` in `tests` reads the
//! log.

#![no_std]
#![no_main]

use core::hint::black_box;

use cortex_m::peripheral::{syst::SystClkSource, Peripherals, SYST};
use cortex_m_rt::entry;
use test_firmware::stack_of;
use vit_boards::exit;
use vit_nostd::frame::{Fit, Frame, Input, PixelFormat::*, Resizer};

/// The largest value of SysTick, which has 24 bits.
const SYSTICK: u32 = (1 << 24) - 1;

const INPUT: Input = Input { height: 32, width: 32, channels: 3 };

#[entry]
fn main() -> ! {
    static mut SUMS: [u32; INPUT.sums()] = [0; INPUT.sums()];
    static mut IMAGE: [u8; INPUT.bytes()] = [0; INPUT.bytes()];

    if let Some(mut peripherals) = Peripherals::take() {
        peripherals.SYST.set_clock_source(SystClkSource::Core);
        peripherals.SYST.set_reload(SYSTICK);
        peripherals.SYST.enable_counter();
    }
    // Arbitrary levels: the number of instructions does not depend on them.
    let mut line = [0; 320 * 3];
    let mut level = 0u8;
    for byte in &mut line {
        level = level.wrapping_mul(29).wrapping_add(71);
        *byte = level;
    }
    for (name, format) in [("grey 8", Grey8), ("RGB 888", Rgb888), ("RGB 565", Rgb565Le), ("YUYV", Yuyv)] {
        for (colours, channels) in [("grey", 1), ("RGB", 3)] {
            // The compiler must not know the format and the fit: with them, it would leave out code.
            let frame = black_box(Frame { width: 320, height: 240, format });
            let input = Input { channels, ..INPUT };
            let memory =
                (&line[..frame.line_bytes()], &mut SUMS[..input.sums()], &mut IMAGE[..input.bytes()]);
            let (ticks, stack) = stack_of(|| {
                let start = SYST::get_current();
                resize(frame, black_box(Fit::Crop), input, memory);
                start.wrapping_sub(SYST::get_current()) & SYSTICK
            });
            defmt::info!("frame {=str} to {=str}: {=u32} ticks, stack {=usize}", name, colours, ticks, stack);
        }
    }
    exit(0)
}

/// Resizes a frame whose lines are all equal.
fn resize(frame: Frame, fit: Fit, input: Input, (line, sums, image): (&[u8], &mut [u32], &mut [u8])) {
    let done = Resizer::new(frame, fit, input, sums, image).and_then(|mut resizer| {
        for _ in 0..frame.height {
            resizer.row(black_box(line))?;
        }
        resizer.finish()
    });
    defmt::assert!(done.is_ok(), "the frame was refused");
}
