//! Ctrl-C.

use std::{
    process::exit,
    sync::{
        atomic::{AtomicBool, Ordering::SeqCst},
        Arc,
    },
};
use vit_train::Error;

/// The exit code of a run that was interrupted: 128 and the number of the signal, SIGINT.
pub const EXIT_CODE: u8 = 130;

/// Whether the user wants a training to end. The first Ctrl-C lets it finish the step it is in and save itself, the
/// second ends the program at once, and so does the first where all is saved already.
#[derive(Debug, Default)]
pub struct Interrupt {
    wanted: AtomicBool,
    saved: AtomicBool,
}

impl Interrupt {
    /// From now on, Ctrl-C does not end the program by itself.
    pub fn listen() -> Result<Arc<Self>, Error> {
        let interrupt = Arc::new(Self::default());
        let heard = Arc::clone(&interrupt);
        let result = ctrlc::set_handler(move || heard.signal());
        result.map_err(|error| Error::Setting(format!("Ctrl-C cannot be listened to: {error}")))?;
        Ok(interrupt)
    }

    fn signal(&self) {
        if self.saved.load(SeqCst) {
            eprintln!(
                "interrupted after the last epoch, which is saved; the same command with --resume goes on"
            );
            exit(EXIT_CODE.into());
        }
        if self.wanted.swap(true, SeqCst) {
            exit(EXIT_CODE.into());
        }
        eprintln!("Interrupted: ends after this step (once more: at once, and the step is lost)");
    }

    /// Whether there was a first Ctrl-C.
    pub fn is_wanted(&self) -> bool {
        self.wanted.load(SeqCst)
    }

    /// All that takes long is saved.
    pub fn saved(&self) {
        self.saved.store(true, SeqCst);
    }
}
