//! The RAM that a firmware takes, measured on the chip.

use cortex_m_rt::STACK_PAINT_VALUE;

// Symbols of the linker. Only their addresses are meaningful.
unsafe extern "C" {
    static __sdata: u32;
    static __ebss: u32;
    static _stack_end: u32;
    static _stack_start: u32;
}

/// Returns the number of bytes of all `static` variables.
pub fn statics() -> usize {
    &raw const __ebss as usize - &raw const __sdata as usize
}

/// Returns the number of bytes of stack that the deepest call so far has taken.
///
/// Before `main`, cortex-m-rt fills the free RAM between the statics and the top of the stack with a pattern.
pub fn stack() -> usize {
    taken_below(&raw const _stack_start)
}

/// Calls `f`, and returns its result and the number of bytes of stack that it took.
///
/// # Safety
/// - The stack is that of cortex-m-rt: nothing is stored between the static variables and the stack pointer, so that
///   there is no heap, and the program runs on the main stack.
/// - No interrupt has a handler that runs meanwhile.
#[inline(never)]
pub unsafe fn stack_of<R>(f: impl FnOnce() -> R) -> (R, usize) {
    let top = cortex_m::register::msp::read() as *mut u32;
    let mut word = (&raw const _stack_end).cast_mut();
    while word < top {
        // SAFETY: `word` is aligned to 4 bytes and points to RAM between the statics and the stack. Nothing is stored
        // there, as the caller has made sure.
        unsafe { word.write_volatile(STACK_PAINT_VALUE) };
        word = word.wrapping_add(1);
    }
    let result = call(f);
    (result, taken_below(top))
}

/// Calls `f` in a stack frame of its own. Inlined, its stack would be a part of the caller's frame, and not be
/// measured.
#[inline(never)]
fn call<R>(f: impl FnOnce() -> R) -> R {
    f()
}

/// Returns the number of bytes from the lowest word below `top` that no longer holds the pattern, up to `top`. The
/// stack grows down, and has not reached the words that still hold the pattern.
fn taken_below(top: *const u32) -> usize {
    let mut lowest = &raw const _stack_end;
    // SAFETY: every word from `_stack_end` up to `top` is RAM, aligned to 4 bytes, and was initialised at the start.
    // The volatile read is a plain load, whatever the compiler assumes about the content.
    while lowest < top && unsafe { lowest.read_volatile() } == STACK_PAINT_VALUE {
        lowest = lowest.wrapping_add(1);
    }
    top as usize - lowest as usize
}
