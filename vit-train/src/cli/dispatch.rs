//! From the network that was chosen when the program ran to its type.

use super::{
    artifact::Artifact, bench, device, eval, export, inspect, networks::Known, predict, quantize, report,
    train, verify,
};
use crate::{
    error::Error,
    network::{
        list::{Networks, Visitor},
        Trainable,
    },
    run::report::Report,
};
use std::{marker::PhantomData, path::Path, process::ExitCode};

/// What the commands do with a network: each method is one of a command's for the network's type.
pub trait Commands {
    fn train(&self, train: train::Arguments, opened: train::Opened) -> Result<ExitCode, Error>;
    fn eval(&self, eval: &eval::Arguments, artifact: &Artifact) -> Result<ExitCode, Error>;
    fn predict(&self, predict: &predict::Arguments, artifact: &Artifact) -> Result<ExitCode, Error>;
    fn quantize(&self, quantize: &quantize::Arguments, artifact: &Artifact) -> Result<ExitCode, Error>;
    fn verify(&self, verify: &verify::Arguments, artifact: &Artifact) -> Result<ExitCode, Error>;
    fn export(&self, export: &export::Arguments, artifact: &Artifact) -> Result<ExitCode, Error>;
    fn inspect(&self, inspect: &inspect::Arguments, artifact: &Artifact) -> Result<ExitCode, Error>;
    fn report(
        &self,
        arguments: &report::Arguments,
        artifact: &Artifact,
        report: &mut Report,
        directory: &Path,
    ) -> Result<(), Error>;
    fn bench(&self, bench: &bench::Arguments) -> Result<(bench::StepTimes, bench::InferenceTimes), Error>;
    fn device(
        &self,
        eval: &device::Eval,
        board: device::Board<'_>,
        artifact: &Artifact,
    ) -> Result<ExitCode, Error>;
}

/// The commands of all networks of a program, in the order of its list.
#[derive(Default)]
pub struct Dispatch(Vec<Box<dyn Commands>>);

impl Dispatch {
    /// The commands of the networks of `L`.
    pub fn of<L: Networks>() -> Self {
        let mut dispatch = Self::default();
        L::each(&mut dispatch);
        dispatch
    }

    /// The commands of a network of the same list.
    pub fn to(&self, network: Known) -> &dyn Commands {
        &*self.0[network.index]
    }
}

impl Visitor for Dispatch {
    fn network<N: Trainable>(&mut self) {
        self.0.push(Box::new(Of::<N>(PhantomData)));
    }
}

/// Network `N`, as a value.
struct Of<N>(PhantomData<N>);

impl<N: Trainable> Commands for Of<N> {
    fn train(&self, train: train::Arguments, opened: train::Opened) -> Result<ExitCode, Error> {
        train.run::<N>(opened)
    }

    fn eval(&self, eval: &eval::Arguments, artifact: &Artifact) -> Result<ExitCode, Error> {
        eval.run::<N>(artifact)
    }

    fn predict(&self, predict: &predict::Arguments, artifact: &Artifact) -> Result<ExitCode, Error> {
        predict.run::<N>(artifact)
    }

    fn quantize(&self, quantize: &quantize::Arguments, artifact: &Artifact) -> Result<ExitCode, Error> {
        quantize.run::<N>(artifact)
    }

    fn verify(&self, verify: &verify::Arguments, artifact: &Artifact) -> Result<ExitCode, Error> {
        verify.run::<N>(artifact)
    }

    fn export(&self, export: &export::Arguments, artifact: &Artifact) -> Result<ExitCode, Error> {
        export.run::<N>(artifact)
    }

    fn inspect(&self, inspect: &inspect::Arguments, artifact: &Artifact) -> Result<ExitCode, Error> {
        inspect.run::<N>(artifact)
    }

    fn report(
        &self,
        arguments: &report::Arguments,
        artifact: &Artifact,
        report: &mut Report,
        directory: &Path,
    ) -> Result<(), Error> {
        arguments.test::<N>(artifact, report, directory)
    }

    fn bench(&self, bench: &bench::Arguments) -> Result<(bench::StepTimes, bench::InferenceTimes), Error> {
        bench.measure::<N>()
    }

    fn device(
        &self,
        eval: &device::Eval,
        board: device::Board<'_>,
        artifact: &Artifact,
    ) -> Result<ExitCode, Error> {
        eval.against::<N>(board, artifact)
    }
}
