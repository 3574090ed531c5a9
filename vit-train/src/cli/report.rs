//! The command `vit-train report`.

use super::{
    artifact::{no_integers, Artifact},
    data::{named_source, DataArguments, DataOfProgram, Loaded},
    dispatch::{with_network, Task},
    networks::List,
    options::thread_count,
    outputs::{check_files_of_run, check_links_of_run},
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
use vit_nostd::{float, frame::Fit, int8};

pub(super) const EXAMPLES: &str = "\
Examples:
  vit-train report --run runs/nano               write the tables and pictures of the report again
  vit-train report --run runs/x --data photos    do so for a run whose images have been moved to photos";

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Folder of a training run
    #[arg(long, value_name = "DIR")]
    run: PathBuf,
    /// Images of the run, if they are no longer where they were during training
    #[arg(long, value_name = "mnist|synthetic|DIR", value_parser = named_source)]
    data: Option<Source>,
    /// Number of threads [default: one for each processor]
    #[arg(long, value_name = "N", value_parser = thread_count)]
    threads: Option<usize>,
}

impl Arguments {
    pub(super) fn run<L: Networks>(self, networks: &List) -> Result<ExitCode, Error> {
        check_files_of_run(&self.run)?;
        check_links_of_run(&self.run)?;
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
            out!("The run is not finished: the report has no results on the test images yet");
        } else if !tested {
            out!("The run has no model files any more: its results on the test images are those recorded earlier");
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Loads the images of the run. Other images are an error.
    fn load<N: Trainable>(&self, report: &Report, model: &Path) -> Result<Loaded, Error> {
        let run = self.run.display();
        let data = match (&self.data, RunData::load(&self.run)?) {
            (None, Some(_)) => None,
            (Some(source), _) => Some(source.clone()),
            // A run of an earlier version of this program knows the name of its images only.
            (None, None) if report.dataset == "synthetic" => Some(Source::Synthetic),
            (None, None) if report.dataset == "mnist" => Some(Source::Mnist),
            (None, None) => {
                let name = &report.dataset;
                return Err(Error::Usage(format!(
                    "{run}: trained on {name}, but the place of that is not recorded: name its folder with --data"
                )));
            }
        };
        let skip_unreadable = !report.skipped.is_empty();
        let of_program = DataOfProgram::default();
        let data = DataArguments { data, of_program, skip_unreadable, threads: self.threads, quiet: false };
        let loaded = data.load_for::<N>(model, &report.dataset, Fit::default())?;
        match &loaded.doubt {
            // If a run does not know its images, they are recognised by the recorded result: see `Test`.
            Some(doubt) if loaded.own.is_some() || loaded.splits.name != report.dataset => {
                Err(Error::Usage(format!("{run}: {doubt}: leave --data out, or correct it")))
            }
            _ => Ok(loaded),
        }
    }
}

/// Runs both models of a run on its test images again, and writes the results to the report.
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
            return Err(Error::Usage(format!(
                "{}: the report is of a run with seed {}, but the models are of one with seed {seed}: files of two runs \
                 are mixed in this folder",
                arguments.run.display(),
                report.seed
            )));
        }
        let loaded = arguments.load::<N>(report, &RunFolder::float_model(directory))?;
        let data = &loaded.splits;
        let images = data.test.len();
        let logits = nostd_logits(&float, &data.test, images);
        let recorded = |of: fn(&TestScores) -> &Option<String>| of(report.test.as_ref()?).clone();
        let (int8_error, int8_warning) =
            (recorded(|test| &test.int8_error).unwrap_or_default(), recorded(|test| &test.int8_warning));
        let int8_logits = int8.map(|int8| int8_logits(&int8, &data.test, images)).ok_or(int8_error);
        let test = TestScores::new(data, &logits, int8_logits.as_deref().map_err(Clone::clone));
        // If the report is that of another run, or if the images are others, the results differ.
        if let Some(recorded) = &report.test {
            // For each class, the number of images and the classes that they are taken for. Old reports do not have
            // them.
            let counts =
                |test: &TestScores| test.classes.iter().map(|class| class.f32.clone()).collect::<Vec<_>>();
            let is_same = recorded.classes.is_empty() || counts(recorded) == counts(&test);
            if recorded.f32.acc != test.f32.acc || !is_same {
                let (run, source) = (arguments.run.display(), &data.source);
                return Err(Error::Usage(format!(
                    "{run}: the report says that {:.2} % of the test images are classified correctly, but of the {images} \
                     in {source} it is {:.2} %, with other mistakes: name the images of the run with --data",
                    recorded.f32.acc, test.f32.acc
                )));
            }
        }
        report.test = Some(TestScores { int8_warning, ..test });
        report.write_grids(directory, data, &logits)
    }
}
