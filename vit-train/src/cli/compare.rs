//! The command `vit-train compare`.

use super::output::print_json;
use crate::{run::report::Report, Error};
use clap::Args;
use serde::Serialize;
use std::{path::PathBuf, process::ExitCode};

pub(super) const EXAMPLES: &str = "\
Examples:
  vit-train compare runs/cpu runs/gpu            show time, speed-up and accuracy side by side
  vit-train compare runs/* --json                print them for a script";

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Folders of training runs; the speed of each run is compared with that of the first one
    #[arg(value_name = "RUN", required = true)]
    runs: Vec<PathBuf>,
    /// Print the results as JSON
    #[arg(long)]
    json: bool,
}

/// The figures of one run. Accuracies are in percent.
#[derive(Serialize)]
struct Row {
    run: String,
    preset: String,
    dataset: String,
    device: String,
    processor: Option<String>,
    threads: usize,
    seed: u64,
    epochs: usize,
    kept_epoch: usize,
    total_train_seconds: f64,
    avg_epoch_seconds: f64,
    median_step_ms: f64,
    images_per_second: f64,
    /// Training images per second, as a multiple of those of the first run; None if the networks differ.
    speed_up: Option<f64>,
    val_acc: Option<f64>,
    test_acc: Option<f64>,
    test_top5: Option<f64>,
    test_int8_acc: Option<f64>,
}

impl Row {
    fn new(run: &std::path::Path, report: &Report, first: &Report) -> Self {
        let (timing, environment) = (report.timing, report.environment.as_ref());
        let kept = report.epochs.iter().find(|epoch| epoch.epoch == report.kept_epoch);
        let test = report.test.as_ref();
        let speed_up = timing.images_per_second / first.timing.images_per_second;
        Self {
            run: run.display().to_string(),
            preset: report.preset.clone(),
            dataset: report.dataset.clone(),
            device: report.device.clone(),
            processor: environment.and_then(|environment| environment.processor.clone()),
            threads: report.threads,
            seed: report.seed,
            epochs: report.epochs.len(),
            kept_epoch: report.kept_epoch,
            total_train_seconds: timing.total_train_seconds,
            avg_epoch_seconds: timing.avg_epoch_seconds,
            median_step_ms: timing.median_step_ms,
            images_per_second: timing.images_per_second,
            speed_up: Some(speed_up).filter(|x| report.preset == first.preset && x.is_finite()),
            val_acc: kept.map(|epoch| epoch.val_acc),
            test_acc: test.map(|test| test.f32.acc),
            test_top5: test.map(|test| test.f32.top5),
            test_int8_acc: test.and_then(|test| Some(test.int8?.acc)),
        }
    }

    /// Returns the figures as text for a person, each with its name.
    fn cells(&self) -> [(&'static str, String); 16] {
        let percent = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.2} %"));
        [
            ("", self.run.clone()),
            ("preset", self.preset.clone()),
            ("data set", self.dataset.clone()),
            ("device", self.device.clone()),
            ("processor", self.processor.clone().unwrap_or("-".to_owned())),
            ("threads", self.threads.to_string()),
            ("epochs", self.epochs.to_string()),
            ("training", format!("{:.1} s", self.total_train_seconds)),
            ("epoch, mean", format!("{:.1} s", self.avg_epoch_seconds)),
            ("step, median", format!("{:.1} ms", self.median_step_ms)),
            ("images per second", format!("{:.0}", self.images_per_second)),
            ("speed-up", self.speed_up.map_or("-".to_owned(), |x| format!("{x:.2} x"))),
            ("validation accuracy", percent(self.val_acc)),
            ("test accuracy", percent(self.test_acc)),
            ("test top-5", percent(self.test_top5)),
            ("test accuracy, integers", percent(self.test_int8_acc)),
        ]
    }
}

impl Arguments {
    pub(super) fn run(self) -> Result<ExitCode, Error> {
        let reports = self.runs.iter().map(|run| Report::load(run)).collect::<Result<Vec<_>, _>>()?;
        let rows: Vec<Row> =
            self.runs.iter().zip(&reports).map(|(run, report)| Row::new(run, report, &reports[0])).collect();
        if self.json {
            print_json(&rows)?;
        } else {
            print_table(&rows);
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Prints a table with a column for each run.
fn print_table(rows: &[Row]) {
    let columns: Vec<_> = rows.iter().map(Row::cells).collect();
    let width = |cells: &[(&str, String)]| cells.iter().map(|(_, text)| text.chars().count()).max();
    let widths: Vec<usize> = columns.iter().filter_map(|cells| width(cells)).collect();
    for line in 0..columns[0].len() {
        let mut text = format!("{:<23}", columns[0][line].0);
        for (cells, &width) in columns.iter().zip(&widths) {
            text += &format!("  {:>width$}", cells[line].1);
        }
        out!("{}", text.trim_end());
    }
}
