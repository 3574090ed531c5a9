//! Printing to the standard output and the standard error.
//!
//! Unlike `println!` and `eprintln!`, these functions do not panic if the reader has gone or the disk is full.

use crate::error::{Error, IoContext};
use std::{
    fmt,
    io::{self, Write},
    path::Path,
    process::exit,
    sync::atomic::{AtomicBool, Ordering},
};

/// The name of the standard output in errors.
pub(super) const STANDARD_OUTPUT: &str = "standard output";

/// The exit code if nobody reads the output any more. It is the one that a shell reports for a program that the signal
/// SIGPIPE has ended: 128 and the number of the signal.
const NOBODY_READS: i32 = 141;

/// Prints a line of results.
macro_rules! out {
    ($($argument:tt)*) => { $crate::cli::output::line(format_args!($($argument)*)) };
}

/// Prints a line that is not a result, such as an error or a note, to the standard error.
macro_rules! err {
    ($($argument:tt)*) => { $crate::cli::output::error_line(format_args!($($argument)*)) };
}

/// Returns a path, quoted for a shell if necessary.
pub(super) fn quoted(path: &Path) -> String {
    let path = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+:@%,".contains(c);
    if cfg!(windows) || (!path.is_empty() && path.chars().all(plain)) {
        path
    } else {
        format!("'{}'", path.replace('\'', r"'\''"))
    }
}

/// Prints a result as JSON, for programs.
pub(super) fn print_json(value: &impl serde::Serialize) -> Result<(), Error> {
    let json = serde_json::to_string_pretty(value).map_err(Into::into).at(Path::new(STANDARD_OUTPUT))?;
    line(format_args!("{json}"));
    Ok(())
}

/// True if lines of results go to the standard error.
static TO_ERROR: AtomicBool = AtomicBool::new(false);

/// Makes lines of results go to the standard error from now on, because a file is written to the standard output, as
/// with `--onnx /dev/stdout`.
pub(super) fn results_to_standard_error() {
    TO_ERROR.store(true, Ordering::Relaxed);
}

/// The standard output. The program ends if it cannot be written to, and does so quietly if the reader has gone, as in
/// `vit-train ... | head`.
pub(super) struct Output;

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::stdout().write(bytes).or_else(end)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().flush().or_else(end)
    }
}

/// Ends the program after an error of the standard output.
fn end<T>(error: io::Error) -> io::Result<T> {
    match error.kind() {
        io::ErrorKind::Interrupted => Err(error), // the caller tries again
        io::ErrorKind::BrokenPipe => exit(NOBODY_READS),
        _ => {
            err!("error: {STANDARD_OUTPUT}: {error}");
            exit(2);
        }
    }
}

/// Prints a line of results.
pub(super) fn line(text: fmt::Arguments) {
    let text = format!("{text}\n");
    if TO_ERROR.load(Ordering::Relaxed) {
        let _ = io::stderr().write_all(text.as_bytes()); // there is no other place to report a failure
        return;
    }
    let _ = Output.write_all(text.as_bytes()); // an error has ended the program
}

/// Prints text to the standard error as one line, even if a file name or a message of another library in it has
/// several. A failure is ignored, because there is no other place to report it.
pub(super) fn error_line(text: fmt::Arguments) {
    let _ = writeln!(io::stderr(), "{}", one_line(&text.to_string()));
}

/// The most characters of a line. A name in a damaged file could fill the screen.
const LONGEST: usize = 4000;

/// Returns the text as one line, with line breaks and other control characters escaped as in a string in Rust.
pub(super) fn one_line(text: &str) -> String {
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
