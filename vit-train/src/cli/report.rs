//! `vit-train report`.

use super::{
    check_run,
    eval::{preset_of, read_preamble},
    no_integers, thread_count, DataArguments,
};
use clap::Args;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};
use vit_nostd::{float, int8};
use vit_train::{
    data::Source,
    files::{claim_directory, ModelBytes},
    inference::{int8_logits, nostd_logits},
    model::Network,
    report::{Report, TestScores},
    train::Outputs,
    with_preset, Error,
};

pub const EXAMPLES: &str = "\
Examples:
  vit-train report --run runs/nano               its pictures and tables once more
  vit-train report --run runs/x --data photos    where it was trained on pictures in folders";

#[derive(Args, Debug)]
pub struct Arguments {
    /// Folder of a training run
    #[arg(long, value_name = "DIR")]
    run: PathBuf,
    /// The images of the run, where these are neither MNIST nor the built-in digits
    #[arg(long, value_name = "mnist|synthetic|DIR")]
    data: Option<Source>,
    /// Threads to use [default: all processors]
    #[arg(long, value_name = "N", value_parser = thread_count)]
    threads: Option<usize>,
}

impl Arguments {
    pub fn run(self) -> Result<ExitCode, Error> {
        let mut report = Report::load(&self.run)?;
        let directory = claim_directory(&self.run)?;
        let [float, int8] = [Outputs::float_model(&directory), Outputs::int8_model(&directory)];
        let tested = float.exists() && (int8.exists() || no_integers(&directory).is_some());
        if tested {
            let file = ModelBytes::read(&float)?;
            let preset = preset_of(&read_preamble(&file, &float)?, &float)?;
            with_preset!(preset, S => self.test::<S>(&mut report, &directory, &file))?;
        }
        report.write(&directory)?;
        for path in Report::files(&directory).into_iter().filter(|path| path.exists()) {
            println!("{}", path.display());
        }
        if !tested {
            println!("The run is not finished: there is nothing of the test images yet");
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Runs both models over the test images again, and draws what they show.
    fn test<S: Network>(&self, report: &mut Report, directory: &Path, file: &[u8]) -> Result<(), Error> {
        check_run::<S>(directory)?;
        let refused = |path: PathBuf| move |error| Error::Model { path, error };
        let float = float::Model::<S>::from_bytes(file).map_err(refused(Outputs::float_model(directory)))?;
        let int8_path = Outputs::int8_model(directory);
        let int8_file = if int8_path.exists() { Some(ModelBytes::read(&int8_path)?) } else { None };
        let int8 = int8_file.as_deref().map(int8::Model::<S>::from_bytes).transpose();
        let int8 = int8.map_err(refused(int8_path))?;

        let data = match (&self.data, report.dataset.as_str()) {
            (Some(source), _) => source.clone(),
            (None, "mnist") => Source::Mnist,
            (None, "synthetic") => Source::Synthetic,
            (None, name) => {
                let run = self.run.display();
                return Err(Error::Setting(format!("{run}: trained on {name}: name its folder with --data")));
            }
        };
        let data = DataArguments { data, threads: self.threads, quiet: false }.load::<S>()?;
        if data.name != report.dataset {
            let (run, theirs, ours) = (self.run.display(), &report.dataset, &data.name);
            return Err(Error::Setting(format!(
                "{run}: trained on {theirs}, and not on {ours}: correct --data"
            )));
        }
        let images = data.test.len();
        let logits = nostd_logits(&float, &data.test, images);
        let recorded = report.test.as_ref().and_then(|test| test.int8_error.clone()).unwrap_or_default();
        let int8_logits = int8.map(|int8| int8_logits(&int8, &data.test, images)).ok_or(recorded);
        let int8_logits = int8_logits.as_deref().map_err(Clone::clone);
        report.test = Some(TestScores::new(&data, &logits, int8_logits));
        report.write_grids(directory, &data, &logits)
    }
}
