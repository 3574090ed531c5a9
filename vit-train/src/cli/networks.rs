//! The networks of a program: a list of types, one of which is chosen when the program runs.

use super::{bench, device, eval, export, inspect, predict, quantize, report, train, verify};
use crate::{
    error::Error,
    formats::{
        checkpoint::{Checkpoint, Description},
        vit::checkpoint_of,
    },
    network::{name, parameters::Layout, Trainable},
    recipe::Recipe,
    run::{folder::RunFolder, origins::check_origins, report::Report},
    train::snapshot::Snapshot,
};
use clap::builder::PossibleValue;
use std::{marker::PhantomData, path::Path, process::ExitCode};
use vit_nostd::{
    model_file::{Kind, Preamble},
    Dims,
};

/// A list of networks: a tuple such as `(Base, Tiny, Nano)`, of one network `(Mine,)`.
pub trait Networks {
    /// The networks, the default one first.
    #[doc(hidden)]
    fn list() -> Vec<Known>;
}

macro_rules! tuples {
    ($($($network:ident)+;)+) => {$(
        impl<$($network: Trainable),+> Networks for ($($network,)+) {
            fn list() -> Vec<Known> {
                vec![$(Known(&Of::<$network>(PhantomData))),+]
            }
        }
    )+};
}
tuples! {
    A;
    A B;
    A B C;
    A B C D;
    A B C D E;
    A B C D E F;
    A B C D E F G;
    A B C D E F G H;
}

/// A network that is known when the program runs.
#[derive(Clone, Copy)]
pub struct Known(&'static dyn Commands);

impl std::ops::Deref for Known {
    type Target = dyn Commands;

    fn deref(&self) -> &Self::Target {
        self.0
    }
}

/// The networks of a program, and the recipes that it has for them.
pub struct List {
    networks: Vec<Known>,
    /// A network's own recipe, by its name.
    own_recipe: fn(&str) -> Option<Recipe>,
}

impl List {
    /// The networks of `L`.
    ///
    /// # Errors
    /// [`Error::Setting`] if two of them have the same name or the same dimensions, so that a name on the command line or a
    /// model file would mean both.
    pub fn of<L: Networks>(own_recipe: fn(&str) -> Option<Recipe>) -> Result<Self, Error> {
        let networks = L::list();
        for (index, network) in networks.iter().enumerate() {
            let same = |other: &&Known| other.name() == network.name() || other.dims() == network.dims();
            if let Some(other) = networks[..index].iter().find(same) {
                return Err(Error::Setting(format!(
                    "the networks {} and {} of this program have the same name or the same dimensions: change one",
                    other.name(),
                    network.name()
                )));
            }
        }
        Ok(Self { networks, own_recipe })
    }

    /// All of them.
    pub fn all(&self) -> &[Known] {
        &self.networks
    }

    /// The network that is taken where none is named.
    pub fn default(&self) -> Known {
        self.networks[0]
    }

    /// The network that is called so.
    pub fn named(&self, name: &str) -> Option<Known> {
        self.networks.iter().copied().find(|network| network.name() == name)
    }

    /// The network that an option names, or else the default one.
    pub fn chosen(&self, name: Option<&str>) -> Known {
        name.and_then(|name| self.named(name)).unwrap_or(self.default())
    }

    /// What can be said after `--preset`.
    pub fn values(&self) -> Vec<PossibleValue> {
        let value = |network: &Known| {
            let help = format!("{} parameters: {}", network.dims().parameters(), network.dims());
            PossibleValue::new(network.name()).help(help)
        };
        self.networks.iter().map(value).collect()
    }

    /// The network whose dimensions a model file has.
    pub fn of_model(&self, preamble: &Preamble, path: &Path) -> Result<Known, Error> {
        let found = self.networks.iter().find(|network| network.dims() == preamble.dims);
        let unknown = || Error::UnknownShape { path: path.to_owned(), found: preamble.dims.to_string() };
        found.copied().ok_or_else(unknown)
    }

    /// The network that has the most tensors, by name and shape, in common with `parameters`. Heads leave no trace in a
    /// tensor's shape: they are the network's.
    pub fn nearest(&self, parameters: &Layout) -> Known {
        let in_common = |network: &&Known| network.layout().in_common(parameters);
        self.networks.iter().max_by_key(in_common).copied().unwrap_or(self.default())
    }

    /// The network whose parameters a checkpoint has.
    pub fn of_checkpoint(&self, checkpoint: &Checkpoint, path: &Path) -> Result<Known, Error> {
        let layout = &checkpoint.parameters.layout;
        let nearest = self.nearest(layout);
        let misfit = |mismatches| Error::Misfit {
            path: path.to_owned(),
            network: format!("any network of this program, {} being the nearest", nearest.name()),
            mismatches,
        };
        nearest.layout().check(layout).map(|()| nearest).map_err(misfit)
    }

    /// The best recipe that is known for a network.
    pub fn recipe(&self, network: Known) -> Recipe {
        (self.own_recipe)(&network.name()).unwrap_or_else(|| Recipe::for_size(network.dims().parameters()))
    }
}

/// What the commands do with a network.
pub trait Commands {
    fn name(&self) -> String;
    fn dims(&self) -> Dims;
    fn layout(&self) -> Layout;

    fn ordered(&self, checkpoint: Checkpoint, path: &Path) -> Result<Checkpoint, Error>;
    fn describe(&self, checkpoint: &Checkpoint) -> Description;
    fn checkpoint_of(&self, file: &[u8], path: &Path) -> Result<Checkpoint, Error>;
    /// Makes sure that the files of a run belong together, where `path` is a run.
    fn check_run(&self, path: &Path) -> Result<(), Error>;

    fn begin(&self, train: train::Arguments, best: Recipe, directory: &Path) -> Result<ExitCode, Error>;
    fn resume(
        &self,
        train: train::Arguments,
        best: Recipe,
        directory: &Path,
        folder: &RunFolder,
        snapshot: Snapshot<'static>,
    ) -> Result<ExitCode, Error>;
    fn eval_checkpoint(
        &self,
        eval: &eval::Arguments,
        checkpoint: &Checkpoint,
        path: &Path,
    ) -> Result<ExitCode, Error>;
    fn eval_model(&self, eval: &eval::Arguments, path: &Path, file: &[u8]) -> Result<ExitCode, Error>;
    fn predict_checkpoint(
        &self,
        predict: &predict::Arguments,
        checkpoint: &Checkpoint,
        path: &Path,
    ) -> Result<ExitCode, Error>;
    fn predict_model(
        &self,
        predict: &predict::Arguments,
        engine: predict::Engine,
        file: &[u8],
        path: &Path,
    ) -> Result<ExitCode, Error>;
    fn quantize(
        &self,
        quantize: quantize::Arguments,
        checkpoint: &Checkpoint,
        path: &Path,
        out: &Path,
    ) -> Result<ExitCode, Error>;
    fn verify_checkpoint(
        &self,
        verify: &verify::Arguments,
        checkpoint: &Checkpoint,
    ) -> Result<ExitCode, Error>;
    fn verify_run(&self, verify: &verify::Arguments, path: &Path, file: &[u8]) -> Result<ExitCode, Error>;
    fn export(&self, formats: &export::Formats, checkpoint: &Checkpoint, source: &Path) -> Result<(), Error>;
    fn inspect(&self, inspect: &inspect::Arguments, path: &Path, file: &[u8]) -> Result<(), Error>;
    fn report(
        &self,
        arguments: &report::Arguments,
        report: &mut Report,
        directory: &Path,
        file: &[u8],
    ) -> Result<(), Error>;
    fn bench(&self, bench: &bench::Arguments) -> Result<(bench::StepTimes, bench::InferenceTimes), Error>;
    fn eval_on_device(
        &self,
        eval: &device::Eval,
        board: device::Board<'_>,
        path: &Path,
        file: &[u8],
    ) -> Result<ExitCode, Error>;
}

/// Network `N`, as a value.
struct Of<N>(PhantomData<N>);

impl<N: Trainable> Commands for Of<N> {
    fn name(&self) -> String {
        name::<N>()
    }

    fn dims(&self) -> Dims {
        N::DIMS
    }

    fn layout(&self) -> Layout {
        Layout::of::<N>()
    }

    fn ordered(&self, checkpoint: Checkpoint, path: &Path) -> Result<Checkpoint, Error> {
        checkpoint.into_order_of::<N>(path)
    }

    fn describe(&self, checkpoint: &Checkpoint) -> Description {
        checkpoint.describe::<N>()
    }

    fn checkpoint_of(&self, file: &[u8], path: &Path) -> Result<Checkpoint, Error> {
        checkpoint_of::<N>(file, path)
    }

    fn check_run(&self, path: &Path) -> Result<(), Error> {
        if path.is_dir() {
            check_origins::<N>(path, &[Kind::F32, Kind::Int8])?;
        }
        Ok(())
    }

    fn begin(&self, train: train::Arguments, best: Recipe, directory: &Path) -> Result<ExitCode, Error> {
        train.begin::<N>(best, directory)
    }

    fn resume(
        &self,
        train: train::Arguments,
        best: Recipe,
        directory: &Path,
        folder: &RunFolder,
        snapshot: Snapshot<'static>,
    ) -> Result<ExitCode, Error> {
        train.resume::<N>(best, directory, folder, snapshot)
    }

    fn eval_checkpoint(
        &self,
        eval: &eval::Arguments,
        checkpoint: &Checkpoint,
        path: &Path,
    ) -> Result<ExitCode, Error> {
        eval.checkpoint::<N>(checkpoint, path)
    }

    fn eval_model(&self, eval: &eval::Arguments, path: &Path, file: &[u8]) -> Result<ExitCode, Error> {
        eval.model::<N>(path, file)
    }

    fn predict_checkpoint(
        &self,
        predict: &predict::Arguments,
        checkpoint: &Checkpoint,
        path: &Path,
    ) -> Result<ExitCode, Error> {
        predict.checkpoint::<N>(checkpoint, path)
    }

    fn predict_model(
        &self,
        predict: &predict::Arguments,
        engine: predict::Engine,
        file: &[u8],
        path: &Path,
    ) -> Result<ExitCode, Error> {
        predict.predict::<N>(engine, file, path)
    }

    fn quantize(
        &self,
        quantize: quantize::Arguments,
        checkpoint: &Checkpoint,
        path: &Path,
        out: &Path,
    ) -> Result<ExitCode, Error> {
        quantize.run_as::<N>(checkpoint, path, out)
    }

    fn verify_checkpoint(
        &self,
        verify: &verify::Arguments,
        checkpoint: &Checkpoint,
    ) -> Result<ExitCode, Error> {
        verify.checkpoint::<N>(checkpoint)
    }

    fn verify_run(&self, verify: &verify::Arguments, path: &Path, file: &[u8]) -> Result<ExitCode, Error> {
        verify.files::<N>(path, file)
    }

    fn export(&self, formats: &export::Formats, checkpoint: &Checkpoint, source: &Path) -> Result<(), Error> {
        formats.write::<N>(checkpoint, source)
    }

    fn inspect(&self, inspect: &inspect::Arguments, path: &Path, file: &[u8]) -> Result<(), Error> {
        inspect.model::<N>(path, file)
    }

    fn report(
        &self,
        arguments: &report::Arguments,
        report: &mut Report,
        directory: &Path,
        file: &[u8],
    ) -> Result<(), Error> {
        arguments.test::<N>(report, directory, file)
    }

    fn bench(&self, bench: &bench::Arguments) -> Result<(bench::StepTimes, bench::InferenceTimes), Error> {
        bench.network::<N>()
    }

    fn eval_on_device(
        &self,
        eval: &device::Eval,
        board: device::Board<'_>,
        path: &Path,
        file: &[u8],
    ) -> Result<ExitCode, Error> {
        eval.against::<N>(board, path, file)
    }
}
