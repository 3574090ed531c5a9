//! Ctrl-C, and the signals by which a system ends a program.

use crate::Error;
use std::{
    process::exit,
    sync::{
        atomic::{AtomicBool, Ordering::SeqCst},
        Arc, OnceLock,
    },
    time::{Duration, Instant},
};

/// The exit code of a run that was interrupted, whatever the signal: 128 and the number of SIGINT.
pub const EXIT_CODE: u8 = 130;

/// A terminal that is closed sends the same signal twice: a second one so soon after the first is no second wish.
const TOGETHER: Duration = Duration::from_millis(500);

/// Whether the user or the system wants a training to end. The first Ctrl-C, SIGTERM or SIGHUP lets it finish the step it
/// is in and save itself, the second ends the program at once, and so does the first where all is saved already.
#[derive(Debug)]
pub struct Interrupt {
    /// How to go on later.
    pub advice: String,
    first: OnceLock<Instant>,
    saved: AtomicBool,
}

impl Interrupt {
    /// From now on, these signals do not end the program by themselves. `advice` tells how to go on later.
    pub fn listen(advice: String) -> Result<Arc<Self>, Error> {
        let interrupt = Arc::new(Self { advice, first: OnceLock::new(), saved: AtomicBool::new(false) });
        let heard = Arc::clone(&interrupt);
        let result = keep_nohup(|| ctrlc::set_handler(move || heard.signal()));
        result.map_err(|error| Error::Setting(format!("Ctrl-C cannot be listened to: {error}")))?;
        Ok(interrupt)
    }

    fn signal(&self) {
        if self.saved.load(SeqCst) {
            err!("interrupted after the last epoch, which is saved; {}", self.advice);
            exit(EXIT_CODE.into());
        }
        if self.first.set(Instant::now()).is_ok() {
            err!("Interrupted: ends after this step (once more: at once, and the step is lost)");
        } else if self.first.get().is_some_and(|first| first.elapsed() > TOGETHER) {
            exit(EXIT_CODE.into());
        }
    }

    /// Whether there was a first signal.
    pub fn is_wanted(&self) -> bool {
        self.first.get().is_some()
    }

    /// All that takes long is saved.
    pub fn saved(&self) {
        self.saved.store(true, SeqCst);
    }
}

/// Calls `listen`, and ignores SIGHUP afterwards if the program was started to ignore it, as `nohup` does.
#[cfg(unix)]
fn keep_nohup<T>(listen: impl FnOnce() -> T) -> T {
    use nix::sys::signal::{signal, SigHandler, Signal};
    // SAFETY: this sets the signal to be ignored. No handler is installed that could do what a handler must not.
    let ignore = || unsafe { signal(Signal::SIGHUP, SigHandler::SigIgn) };
    let before = ignore();
    let result = listen();
    if matches!(before, Ok(SigHandler::SigIgn)) {
        let _ = ignore(); // it worked before
    }
    result
}

#[cfg(not(unix))]
fn keep_nohup<T>(listen: impl FnOnce() -> T) -> T {
    listen()
}
