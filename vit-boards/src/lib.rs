#![doc = include_str!("../README.md")]
#![no_std]

use cortex_m as _; // provides the critical sections for the log
#[cfg(feature = "probe")]
use defmt_rtt as _;
#[cfg(not(feature = "probe"))]
use defmt_semihosting as _;

use core::panic::PanicInfo;

use cortex_m_rt::{exception, ExceptionFrame};

mod board;
mod boards;
pub mod ram;
pub mod registers;
pub mod samples;
mod serve;
pub mod timer;
pub mod uart;

pub use board::Board;
#[allow(unused_imports, unreachable_pub)] // without the feature of a board, there is none
pub use boards::*;
pub use serve::{describe, serve};

/// The items of other crates that the macro [`serve!`] expands to, so that a firmware need not depend on these crates.
#[doc(hidden)]
pub mod macros {
    pub use cortex_m_rt::entry;
    pub use vit_link::{reply_len, request_len, Server};
    pub use vit_nostd::{int8::Scratch, Network};
}

/// Ends the firmware. The emulator or the debugger then exits with `code`, too. 0 is success.
///
/// On a board without a debugger, the processor sleeps. A Cortex-M0 cannot notice whether there is a debugger, and
/// locks up without one.
pub fn exit(code: i32) -> ! {
    // A semihosting call is a breakpoint, which is a fault if no debugger is attached.
    #[cfg(all(feature = "probe", not(armv6m)))]
    if !cortex_m::peripheral::DCB::is_debugger_attached() {
        loop {
            cortex_m::asm::wfi();
        }
    }
    semihosting::process::exit(code)
}

/// Logs the location of a panic, but not its message, which would need several kilobytes of `core::fmt`.
#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    match info.location() {
        Some(place) => defmt::error!("panicked at {=str}:{=u32}", place.file(), place.line()),
        None => defmt::error!("panicked"),
    }
    exit(1)
}

/// Ends the firmware after a panic by a macro of defmt such as `defmt::panic!`, which has already logged the message.
#[defmt::panic_handler]
fn logged_panic() -> ! {
    exit(1)
}

#[exception]
unsafe fn HardFault(frame: &ExceptionFrame) -> ! {
    defmt::error!("hard fault at {=u32:#010x}, called from {=u32:#010x}", frame.pc(), frame.lr());
    exit(1)
}
