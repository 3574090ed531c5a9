//! The RAM a firmware takes, measured on the chip.

use cortex_m_rt::STACK_PAINT_VALUE;

// Where the linker put things: only the addresses of these mean something.
unsafe extern "C" {
    static __sdata: u32;
    static __ebss: u32;
    static _stack_end: u32;
    static _stack_start: u32;
}

/// The bytes of all `static` variables.
pub fn statics() -> usize {
    &raw const __ebss as usize - &raw const __sdata as usize
}

/// The bytes of stack taken by the deepest call so far.
///
/// Before `main`, cortex-m-rt fills the free RAM between the statics and the top of the stack with a pattern.
pub fn stack() -> usize {
    taken_below(&raw const _stack_start)
}

/// Calls `f`, and returns with its result the bytes of stack that it took.
#[inline(never)]
pub fn stack_of<R>(f: impl FnOnce() -> R) -> (R, usize) {
    let top = cortex_m::register::msp::read() as *mut u32;
    let mut word = (&raw const _stack_end).cast_mut();
    while word < top {
        // SAFETY: RAM between the statics and the stack, aligned to 4 bytes: nothing is kept below the stack pointer,
        // and no interrupt is enabled that would push there in between.
        unsafe { word.write_volatile(STACK_PAINT_VALUE) };
        word = word.wrapping_add(1);
    }
    let result = call(f);
    (result, taken_below(top))
}

/// A frame of its own for what is measured, or it would count as its caller's.
#[inline(never)]
fn call<R>(f: impl FnOnce() -> R) -> R {
    f()
}

/// How far below `top` the pattern is gone: the stack grows down, and where the pattern still stands, it has not been.
fn taken_below(top: *const u32) -> usize {
    let mut lowest = &raw const _stack_end;
    // SAFETY: every word from `_stack_end` up to `top` is RAM, aligned to 4 bytes, that was written at start. A volatile
    // read of it is one load, whatever the compiler knows about what lies there.
    while lowest < top && unsafe { lowest.read_volatile() } == STACK_PAINT_VALUE {
        lowest = lowest.wrapping_add(1);
    }
    top as usize - lowest as usize
}
