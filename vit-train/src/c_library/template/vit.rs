//! The networks of the library.

#![no_std]

use vit_c::VitSizes;

include!("../../networks.rs");

@exports@

// No function of the library panics. The compiler wants a handler nevertheless.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
