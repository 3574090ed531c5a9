//! What the program prints, where nobody may read on and the disk may be full.
//!
//! In the whole program, `println!` and `eprintln!` are these: std's panic when that happens.

use std::{
    fmt,
    io::{self, Write},
    process::exit,
    sync::atomic::{AtomicBool, Ordering},
};

/// What a shell tells of a program that ended because nobody read on: 128 and the number of the signal, SIGPIPE.
const NOBODY_READS: i32 = 141;

/// Prints a line of results.
macro_rules! println {
    ($($argument:tt)*) => { $crate::cli::output::line(format_args!($($argument)*)) };
}

/// Prints a line of what is no result.
macro_rules! eprintln {
    ($($argument:tt)*) => { $crate::cli::output::error_line(format_args!($($argument)*)) };
}

/// Whether lines of results go to the standard error.
static TO_ERROR: AtomicBool = AtomicBool::new(false);

/// Leaves the standard output to a file that is written there, such as `--onnx /dev/stdout`: from now on, lines of results
/// go to the standard error.
pub fn results_to_standard_error() {
    TO_ERROR.store(true, Ordering::Relaxed);
}

/// A text in one line: line breaks and other control characters, which paths and messages from elsewhere may have, are
/// escaped.
pub fn one_line(text: &str) -> String {
    let escape = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.trim_end().chars().map(escape).collect()
}

/// Ends the program where the line cannot be written: quietly where the output is closed, as in `vit-train ... | head`.
pub fn line(text: fmt::Arguments) {
    if TO_ERROR.load(Ordering::Relaxed) {
        return error_line(text);
    }
    if let Err(error) = writeln!(io::stdout(), "{text}") {
        if error.kind() != io::ErrorKind::BrokenPipe {
            eprintln!("error: standard output: {error}");
            exit(2);
        }
        exit(NOBODY_READS);
    }
}

/// Where even this output fails, there is nobody left to tell.
pub fn error_line(text: fmt::Arguments) {
    let _ = writeln!(io::stderr(), "{text}");
}
