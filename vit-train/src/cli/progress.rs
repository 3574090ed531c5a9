//! How a run shows itself: a bar on a terminal, plain lines elsewhere.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::{stdout, IsTerminal};
use vit_train::{report::Epoch, train::Progress};

pub struct Console {
    bar: Option<ProgressBar>,
    terminal: bool,
}

impl Console {
    pub fn new() -> Self {
        Self { bar: None, terminal: stdout().is_terminal() }
    }

    fn line(&mut self, text: &str) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        println!("{text}");
    }
}

/// A bar that counts to `len`, on a terminal.
pub fn counter(len: usize) -> ProgressBar {
    let bar = if stdout().is_terminal() { ProgressBar::new(len as u64) } else { ProgressBar::hidden() };
    bar.with_style(style("{wide_bar:.cyan/dim} {pos}/{len}  {per_sec}  {eta} left"))
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

impl Progress for Console {
    fn step(&mut self, epoch: usize, epochs: usize, step: usize, steps: usize, loss: f64) {
        if self.terminal {
            let bar = self.bar.get_or_insert_with(|| {
                ProgressBar::new(steps as u64)
                    .with_style(style("{prefix} {wide_bar:.cyan/dim} {pos}/{len}  {msg}  {eta} left"))
                    .with_prefix(format!("epoch {epoch}/{epochs}"))
            });
            bar.set_message(format!("loss {loss:.4}"));
            bar.set_position(step as u64);
        }
    }

    fn epoch(&mut self, epoch: &Epoch, epochs: usize, best: bool) {
        self.line(&format!(
            "epoch {:>2}/{epochs}  train loss {:.4}  train {:6.2} %  val loss {:.4}  val {:6.2} %{}  {:.1} s",
            epoch.epoch,
            epoch.train_loss,
            epoch.train_acc,
            epoch.val_loss,
            epoch.val_acc,
            if best { " *" } else { "  " },
            epoch.seconds
        ));
    }

    fn stage(&mut self, what: &str) {
        self.line(&format!("{what} ..."));
    }
}
