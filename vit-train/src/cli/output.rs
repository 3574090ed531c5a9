//! What the program prints, where nobody may read on and the disk may be full.
//!
//! std's `println!` and `eprintln!` panic when that happens.

use crate::Error;
use std::{
    fmt,
    io::{self, Write},
    process::exit,
    sync::atomic::{AtomicBool, Ordering},
};

/// What a shell tells of a program that ended because nobody read on: 128 and the number of the signal, SIGPIPE.
const NOBODY_READS: i32 = 141;

/// Prints a line of results.
macro_rules! out {
    ($($argument:tt)*) => { $crate::cli::output::line(format_args!($($argument)*)) };
}

/// Prints a line of what is no result.
macro_rules! err {
    ($($argument:tt)*) => { $crate::cli::output::error_line(format_args!($($argument)*)) };
}

/// Prints a result for programs.
pub fn print_json(value: &impl serde::Serialize) -> Result<(), Error> {
    let json = serde_json::to_string_pretty(value).map_err(|error| Error::Setting(error.to_string()))?;
    line(format_args!("{json}"));
    Ok(())
}

/// Whether lines of results go to the standard error.
static TO_ERROR: AtomicBool = AtomicBool::new(false);

/// Leaves the standard output to a file that is written there, such as `--onnx /dev/stdout`: from now on, lines of results
/// go to the standard error.
pub fn results_to_standard_error() {
    TO_ERROR.store(true, Ordering::Relaxed);
}

/// The standard output. Ends the program if it cannot be written to: quietly if it is closed, as in
/// `vit-train ... | head`.
pub struct Output;

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::stdout().write(bytes).or_else(end)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().flush().or_else(end)
    }
}

fn end<T>(error: io::Error) -> io::Result<T> {
    match error.kind() {
        io::ErrorKind::Interrupted => Err(error), // tried again by its caller
        io::ErrorKind::BrokenPipe => exit(NOBODY_READS),
        _ => {
            err!("error: standard output: {error}");
            exit(2);
        }
    }
}

pub fn line(text: fmt::Arguments) {
    let text = format!("{text}\n");
    if TO_ERROR.load(Ordering::Relaxed) {
        let _ = io::stderr().write_all(text.as_bytes()); // nobody is left to tell
        return;
    }
    let _ = Output.write_all(text.as_bytes()); // which would have ended the program
}

/// One line, whatever is in names of files and in what other libraries say. Where even this output fails, there is
/// nobody left to tell.
pub fn error_line(text: fmt::Arguments) {
    let _ = writeln!(io::stderr(), "{}", one_line(&text.to_string()));
}

/// The most characters of a line: a damaged file may have a name in it that fills the screen.
const LONGEST: usize = 4000;

/// The text in one line: line breaks and other control characters are written as in a string in Rust.
pub fn one_line(text: &str) -> String {
    let mut line = String::new();
    for (at, c) in text.trim_end().chars().enumerate() {
        if at == LONGEST {
            return line + "...";
        }
        match c.is_control() {
            true => line.extend(c.escape_default()),
            false => line.push(c),
        }
    }
    line
}
