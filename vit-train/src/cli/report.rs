//! `vit-train report`.

use super::{
    artifact::{no_integers, Artifact},
    data::{DataArguments, Loaded},
    dispatch::{with_network, Task},
    networks::List,
    options::thread_count,
    outputs::check_files_of_run,
};
use crate::{
    data::Source,
    files::lock_directory,
    formats::model_bytes::ModelBytes,
    inference::{int8_logits, nostd_logits},
    network::list::Networks,
    network::Trainable,
    run::{data::RunData, folder::RunFolder, record::TestScores, report::Report},
    Error,
};
use clap::Args;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};
use vit_nostd::{float, int8};

pub const EXAMPLES: &str = "\
Examples:
  vit-train report --run runs/nano               its pictures and tables once more
  vit-train report --run runs/x --data photos    where its images were moved";

#[derive(Args, Debug)]
pub struct Arguments {
    /// Folder of a training run
    #[arg(long, value_name = "DIR")]
    run: PathBuf,
    /// The images of the run, where they are no longer in the place that it knows
    #[arg(long, value_name = "mnist|synthetic|DIR")]
    data: Option<Source>,
    /// Threads to use [default: all processors]
    #[arg(long, value_name = "N", value_parser = thread_count)]
    threads: Option<usize>,
}

impl Arguments {
    pub fn run<L: Networks>(self, networks: &List) -> Result<ExitCode, Error> {
        check_files_of_run(&self.run)?;
        let mut report = Report::load(&self.run)?;
        let directory = lock_directory(&self.run)?;
        let [float, int8] = [RunFolder::float_model(&directory), RunFolder::int8_model(&directory)];
        let tested = float.exists() && (int8.exists() || no_integers(&directory).is_some());
        if tested {
            let file = Artifact::open_model(networks, float)?.of_one_run(&directory)?;
            let (network, file) = (file.network, &file.content.file);
            with_network::<L, _>(
                network,
                Test { report: &mut report, directory: &directory, file, arguments: &self },
            )?;
        }
        report.write(&directory)?;
        for path in RunFolder::report_files(&directory).into_iter().filter(|path| path.exists()) {
            out!("{}", path.display());
        }
        if !tested && report.test.is_none() {
            out!("The run is not finished: there is nothing of the test images yet");
        } else if !tested {
            out!("The run has no model files any more: the results of its test are those recorded");
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Loads the images of the run, and no others.
    fn load<N: Trainable>(&self, report: &Report, model: &Path) -> Result<Loaded, Error> {
        let run = self.run.display();
        let data = match (&self.data, RunData::load(&self.run)?) {
            (None, Some(_)) => None,
            (Some(source), _) => Some(source.clone()),
            // A run of an earlier version knows only the name.
            (None, None) if report.synthetic => Some(Source::Synthetic),
            (None, None) if report.dataset == "mnist" => Some(Source::Mnist),
            (None, None) => {
                let name = &report.dataset;
                return Err(Error::Setting(format!("{run}: trained on {name}: name its folder with --data")));
            }
        };
        let data = DataArguments { data, threads: self.threads, quiet: false };
        let loaded = data.load_for::<N>(model, &report.dataset)?;
        match &loaded.doubt {
            // Of a run that does not know its images, the recorded result tells: see `test`.
            Some(doubt) if loaded.own.is_some() || loaded.splits.name != report.dataset => {
                Err(Error::Setting(format!("{run}: {doubt}: leave --data out, or correct it")))
            }
            _ => Ok(loaded),
        }
    }
}

/// Runs both models of a run over its test images again, and draws what they show.
struct Test<'a> {
    arguments: &'a Arguments,
    report: &'a mut Report,
    directory: &'a Path,
    /// The float model.
    file: &'a [u8],
}

impl Task for Test<'_> {
    type Output = Result<(), Error>;

    fn run<N: Trainable>(self) -> Result<(), Error> {
        let Self { arguments, report, directory, file } = self;
        let refused = |path: PathBuf| move |error| Error::Model { path, error };
        let float =
            float::Model::<N>::from_bytes(file).map_err(refused(RunFolder::float_model(directory)))?;
        let int8_path = RunFolder::int8_model(directory);
        let int8_file = if int8_path.exists() { Some(ModelBytes::read(&int8_path)?) } else { None };
        let int8 = int8_file.as_deref().map(int8::Model::<N>::from_bytes).transpose();
        let int8 = int8.map_err(refused(int8_path))?;

        let seed = float.metadata().provenance.seed;
        if seed != report.seed {
            return Err(Error::Setting(format!(
                "{}: the report is of a run with seed {}, and the models are of one with seed {seed}: files of two runs \
                 are mixed in this folder",
                arguments.run.display(),
                report.seed
            )));
        }
        let loaded = arguments.load::<N>(report, &RunFolder::float_model(directory))?;
        let data = &loaded.splits;
        let images = data.test.len();
        let logits = nostd_logits(&float, &data.test, images);
        let recorded = report.test.as_ref().and_then(|test| test.int8_error.clone()).unwrap_or_default();
        let int8_logits = int8.map(|int8| int8_logits(&int8, &data.test, images)).ok_or(recorded);
        let test = TestScores::new(data, &logits, int8_logits.as_deref().map_err(Clone::clone));
        // The report of another run, or other images, show in the result.
        if let Some(recorded) = &report.test {
            // Of each class, in a report of this version, how many images there are and what they are taken for.
            let counts =
                |test: &TestScores| test.classes.iter().map(|class| class.f32.clone()).collect::<Vec<_>>();
            let is_same = recorded.classes.is_empty() || counts(recorded) == counts(&test);
            if recorded.f32.acc != test.f32.acc || !is_same {
                let (run, source) = (arguments.run.display(), &data.source);
                return Err(Error::Setting(format!(
                    "{run}: the report says {:.2} % of its test images, and of the {images} of {source} it is {:.2} %, \
                     with other mistakes: name the images of the run with --data",
                    recorded.f32.acc, test.f32.acc
                )));
            }
        }
        report.test = Some(test);
        report.write_grids(directory, data, &logits)
    }
}
