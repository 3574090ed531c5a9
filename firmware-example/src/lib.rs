//! What every firmware here shares: its board, its model, where its log goes, how it fails, how it ends, and what RAM
//! and time it took.

#![no_std]

use cortex_m as _; // the critical sections of the log
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

/// The network that the firmware holds: the one that the environment variable `VIT_MODEL` named when it was built.
pub mod model {
    include!(concat!(env!("OUT_DIR"), "/model.rs"));
}

/// Ends the firmware: the emulator or the debugger ends with this code too. 0 is success.
pub fn exit(code: i32) -> ! {
    // Semihosting is a breakpoint: a board that nobody watches would fault on it. (A Cortex-M0 cannot tell, and does.)
    #[cfg(all(feature = "probe", not(armv6m)))]
    if !cortex_m::peripheral::DCB::is_debugger_attached() {
        loop {
            cortex_m::asm::wfi();
        }
    }
    semihosting::process::exit(code)
}

/// Says where, and not what: the text of a panic would bring `core::fmt` along, some kilobytes of it.
#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    match info.location() {
        Some(place) => defmt::error!("panicked at {=str}:{=u32}", place.file(), place.line()),
        None => defmt::error!("panicked"),
    }
    exit(1)
}

/// `defmt::panic!` and its like have logged their message already.
#[defmt::panic_handler]
fn logged_panic() -> ! {
    exit(1)
}

#[exception]
unsafe fn HardFault(frame: &ExceptionFrame) -> ! {
    defmt::error!("hard fault at {=u32:#010x}, called from {=u32:#010x}", frame.pc(), frame.lr());
    exit(1)
}
