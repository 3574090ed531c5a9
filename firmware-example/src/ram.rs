//! The RAM a firmware takes, measured on the chip.

use cortex_m_rt::STACK_PAINT_VALUE;

// Where the linker put things: only the addresses of these mean something.
extern "C" {
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
/// The stack grows down from the top; where the pattern still stands, it has not been.
pub fn stack() -> usize {
    let top = &raw const _stack_start;
    let mut lowest = &raw const _stack_end;
    // SAFETY: every word from `_stack_end` up to `_stack_start` is RAM, aligned to 4 bytes, that was written at
    // start. A volatile read of it is one load, whatever the compiler knows about what lies there.
    while lowest < top && unsafe { lowest.read_volatile() } == STACK_PAINT_VALUE {
        lowest = lowest.wrapping_add(1);
    }
    top as usize - lowest as usize
}
