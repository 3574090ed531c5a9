//! Runs the compiler and its companions.

use crate::error::Error;
use std::{
    env,
    ffi::OsString,
    path::Path,
    process::{Command, Output, Stdio},
};

/// Returns the cargo that runs this program, or else the one of the search path.
pub(super) fn cargo_program() -> OsString {
    env::var_os("CARGO").unwrap_or("cargo".into())
}

/// Returns what rustc prints in a folder. With rustup, the folder may decide which compiler this is.
pub(super) fn rustc(arguments: &[&str], folder: &Path) -> Result<String, Error> {
    let mut rustc = Command::new(env::var_os("RUSTC").unwrap_or("rustc".into()));
    rustc.args(arguments).current_dir(folder);
    Ok(String::from_utf8_lossy(&output(rustc)?.stdout).into_owned())
}

/// Runs a command to its end. A failure is an error with the first line that the command has written about it.
pub(super) fn output(mut command: Command) -> Result<Output, Error> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| Error::Compiler(format!("{program} does not start: {error}")))?;
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let fault =
        said.lines().find(|line| line.starts_with("error")).or(said.lines().last()).unwrap_or_default();
    Err(Error::Compiler(format!("{program} failed: {fault}")))
}
