//! Handles Ctrl-C and the signals by which a system ends a program.

use crate::error::{Error, IoContext};
use std::{
    io,
    path::Path,
    process::exit,
    sync::{
        atomic::{AtomicBool, Ordering::SeqCst},
        Arc, OnceLock,
    },
    time::{Duration, Instant},
};

/// The exit code of a run that was interrupted by any of the signals: 128 and the number of SIGINT.
pub(super) const EXIT_CODE: u8 = 130;

/// A second signal counts only if it comes later than this after the first. A terminal that is closed sends one twice.
const TOGETHER: Duration = Duration::from_millis(500);

/// A request to end a training, made by Ctrl-C, SIGTERM or SIGHUP. After the first signal, the training finishes its
/// current step and is saved. The second signal ends the program at once, and so does the first one if everything is
/// saved already.
#[derive(Debug)]
pub(super) struct Interrupt {
    /// The text that tells how the training can be continued.
    pub advice: String,
    first: OnceLock<Instant>,
    saved: AtomicBool,
}

impl Interrupt {
    /// Installs the handler of the signals, so that they do not end the program by themselves any more. `advice` tells
    /// how the training can be continued.
    pub(super) fn listen(advice: String) -> Result<Arc<Self>, Error> {
        let interrupt = Arc::new(Self { advice, first: OnceLock::new(), saved: AtomicBool::new(false) });
        let heard = Arc::clone(&interrupt);
        let result = keep_nohup(|| ctrlc::set_handler(move || heard.signal()));
        result.map_err(io::Error::other).at(Path::new("the handler of Ctrl-C"))?;
        Ok(interrupt)
    }

    fn signal(&self) {
        if self.saved.load(SeqCst) {
            self.end();
        }
        if self.first.set(Instant::now()).is_ok() {
            err!("Interrupted: ending after this step (a second interrupt ends at once, and this step is lost)");
            // It may have been saved in the meantime, before the signal was known there.
            if self.saved.load(SeqCst) {
                self.end();
            }
        } else if self.first.get().is_some_and(|first| first.elapsed() > TOGETHER) {
            exit(EXIT_CODE.into());
        }
    }

    /// Ends the program after the last epoch.
    fn end(&self) -> ! {
        err!("interrupted after the last epoch, which is saved; {}", self.advice);
        exit(EXIT_CODE.into())
    }

    /// Returns true if there was a signal.
    pub(super) fn is_wanted(&self) -> bool {
        self.first.get().is_some()
    }

    /// Records that everything that takes long to compute is saved. If there was a signal before, to which no step has
    /// reacted, this ends the program.
    pub(super) fn saved(&self) {
        self.saved.store(true, SeqCst);
        if self.is_wanted() {
            self.end();
        }
    }
}

/// Calls `listen`, and ignores SIGHUP afterwards if the program was started with SIGHUP ignored, as `nohup` does.
#[cfg(unix)]
fn keep_nohup<T>(listen: impl FnOnce() -> T) -> T {
    use nix::sys::signal::{signal, SigHandler, Signal};
    // SAFETY: `signal` is unsafe because a handler must only call async-signal-safe functions. `SigIgn` is no handler:
    // it makes the process ignore the signal.
    let ignore = || unsafe { signal(Signal::SIGHUP, SigHandler::SigIgn) };
    let before = ignore();
    let result = listen();
    if matches!(before, Ok(SigHandler::SigIgn)) {
        let _ = ignore(); // cannot fail: it has just succeeded
    }
    result
}

#[cfg(not(unix))]
fn keep_nohup<T>(listen: impl FnOnce() -> T) -> T {
    listen()
}
