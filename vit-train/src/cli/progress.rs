//! Shows the progress of work that takes long: a bar on a terminal, plain lines elsewhere.

use super::interrupt::Interrupt;
use crate::{error::Error, run::record::Epoch, train::Progress};
use indicatif::{ProgressBar, ProgressStyle};
use std::{
    io::{stdout, IsTerminal},
    sync::{Arc, OnceLock},
};

/// The destination of lines that report progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lines {
    /// The standard output.
    Output,
    /// The standard error, because the standard output is read by a program.
    Error,
    /// None: no such lines are printed.
    Off,
}

impl Lines {
    /// Prints a line.
    pub(super) fn say(self, text: &str) {
        match self {
            Self::Output => out!("{text}"),
            Self::Error => err!("{text}"),
            Self::Off => {}
        }
    }
}

/// Shows the progress of a training on the standard output, as the program `vit-train` does: a bar for each epoch on a
/// terminal, and a line after it. On Ctrl-C, SIGTERM or SIGHUP, it lets [`train`](crate::train::train) finish its current
/// step, save everything, and return [`Error::Interrupted`]. A second signal ends the program at once, with exit code
/// 130.
pub struct Console {
    bar: Option<ProgressBar>,
    terminal: bool,
    lines: Lines,
    interrupt: Arc<Interrupt>,
}

impl Console {
    /// Returns a console that has installed its handler of the signals, which a program can do once. `advice` tells how
    /// an interrupted training is continued; it is printed if the signal comes after the last epoch, when everything is
    /// saved.
    ///
    /// # Errors
    /// [`Error::Io`] if the handler cannot be installed, because there is another one.
    pub fn listen(advice: &str) -> Result<Self, Error> {
        Ok(Self::new(Lines::Output, Interrupt::listen(advice.to_owned())?))
    }

    pub(super) fn new(lines: Lines, interrupt: Arc<Interrupt>) -> Self {
        Self { bar: None, terminal: lines != Lines::Off && stdout().is_terminal(), lines, interrupt }
    }

    fn line(&mut self, text: &str) {
        self.clear();
        self.lines.say(text);
    }

    fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

/// Removes the bar of an epoch that was not finished.
impl Drop for Console {
    fn drop(&mut self) {
        self.clear();
    }
}

const COUNTER: &str = "{wide_bar:.cyan/dim} {pos}/{len}  {per_sec}  {eta} left";

/// Returns a bar that counts to `len`. It is hidden if the standard output is not a terminal.
pub(super) fn counter(len: usize) -> ProgressBar {
    let bar = if stdout().is_terminal() { ProgressBar::new(len as u64) } else { ProgressBar::hidden() };
    bar.with_style(style(COUNTER))
}

/// Returns a bar for `len` pictures whose results are printed meanwhile. It is shown on the standard error, and hidden
/// if that is not a terminal or if there are at most `few` pictures.
pub(super) fn pictures(len: usize, few: usize) -> ProgressBar {
    let bar = if len > few { ProgressBar::new(len as u64) } else { ProgressBar::hidden() };
    bar.with_style(style(COUNTER))
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

impl Progress for Console {
    fn step(&mut self, epoch: usize, epochs: usize, step: usize, steps: usize, loss: f64) {
        if self.terminal {
            let bar = self.bar.get_or_insert_with(|| bar(format!("epoch {epoch}/{epochs}"), steps));
            bar.set_message(format!("loss {loss:.4}"));
            bar.set_position(step as u64);
        }
    }

    fn epoch(&mut self, epoch: &Epoch, epochs: usize, kept: bool) {
        self.line(&format!(
            "epoch {:>2}/{epochs}  train loss {:.4}  train {:6.2} %  val loss {:.4}  val {:6.2} %{}  {:.1} s",
            epoch.epoch,
            epoch.train_loss,
            epoch.train_acc,
            epoch.val_loss,
            epoch.val_acc,
            if kept { " *" } else { "  " },
            epoch.seconds
        ));
    }

    fn stage(&mut self, what: &str) {
        self.interrupt.saved();
        self.line(&format!("{what} ..."));
    }

    fn wants_to_end(&mut self) -> bool {
        self.interrupt.is_wanted()
    }
}

/// Returns a function that shows how many pictures have been read: see [`Reading`](crate::data::Reading).
pub(super) fn reading(quiet: bool) -> impl Fn(usize, usize) + Sync {
    let terminal = stdout().is_terminal();
    let shown = OnceLock::new();
    move |done, total| {
        if quiet {
            return;
        }
        if !terminal {
            if done == 0 {
                err!("Reading {total} pictures");
            }
            return;
        }
        let bar = shown.get_or_init(|| bar("reading pictures".to_owned(), total));
        bar.set_position(done as u64);
        if done == total {
            bar.finish_and_clear();
        }
    }
}

fn bar(prefix: String, len: usize) -> ProgressBar {
    let template = "{prefix} {wide_bar:.cyan/dim} {pos}/{len}  {msg}  {eta} left";
    ProgressBar::new(len as u64).with_style(style(template)).with_prefix(prefix)
}
