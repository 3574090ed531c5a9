//! The parts that all firmware here shares: the board, the model, the log, the handling of panics and faults, the exit,
//! and the measurement of time and RAM.

#![no_std]

use cortex_m as _; // provides the critical sections for the log
#[cfg(feature = "probe")]
use defmt_rtt as _;
#[cfg(not(feature = "probe"))]
use defmt_semihosting as _;

use core::panic::PanicInfo;

use cortex_m_rt::{exception, ExceptionFrame};

pub mod board;
pub mod ram;
pub mod registers;
pub mod timer;
pub mod uart;

/// The model in the firmware, and its network. The build script chooses them.
pub mod model {
    include!(concat!(env!("OUT_DIR"), "/model.rs"));
}

/// Ends the firmware. The emulator or the debugger then exits with `code`, too. 0 is success.
pub fn exit(code: i32) -> ! {
    // A semihosting call is a breakpoint, which is a fault if no debugger is attached. A Cortex-M0 cannot detect a
    // debugger, and does fault.
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
