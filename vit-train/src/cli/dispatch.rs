//! Calls generic code with the type of the network that was chosen while the program runs.

use super::{
    artifact::Artifact,
    networks::{Known, List},
};
use crate::{
    error::Error,
    network::{
        list::{Networks, Visitor},
        Trainable,
    },
};
use std::process::ExitCode;

/// Code that is generic over a network.
pub(super) trait Task {
    type Output;

    /// Does the task for network `N`.
    fn run<N: Trainable>(self) -> Self::Output;
}

/// Runs `task` for a network of the list `L`.
pub(super) fn with_network<L: Networks, T: Task>(Known { index, .. }: Known, task: T) -> T::Output {
    struct Find<T: Task> {
        /// The number of networks that still come before the chosen one.
        before: usize,
        task: Option<T>,
        output: Option<T::Output>,
    }

    impl<T: Task> Visitor for Find<T> {
        fn network<N: Trainable>(&mut self) {
            match self.before.checked_sub(1) {
                Some(before) => self.before = before,
                None => self.output = self.output.take().or_else(|| Some(self.task.take()?.run::<N>())),
            }
        }
    }

    let mut find = Find { before: index, task: Some(task), output: None };
    L::each(&mut find);
    find.output.expect("the index of a network is within the list")
}

/// A command that works with one file, which is of one network.
pub(super) trait FileCommand {
    type Content;

    /// Opens the file.
    fn open(&self, networks: &List) -> Result<Artifact<Self::Content>, Error>;

    /// Carries out the command with the opened file, which is of network `N`.
    fn run<N: Trainable>(&self, file: &Artifact<Self::Content>) -> Result<ExitCode, Error>;
}

/// Opens the file of a command and carries out the command for the network of that file.
pub(super) fn run<L: Networks, C: FileCommand>(command: &C, networks: &List) -> Result<ExitCode, Error> {
    struct Run<'a, C: FileCommand>(&'a C, &'a Artifact<C::Content>);

    impl<C: FileCommand> Task for Run<'_, C> {
        type Output = Result<ExitCode, Error>;

        fn run<N: Trainable>(self) -> Self::Output {
            self.0.run::<N>(self.1)
        }
    }

    let file = command.open(networks)?;
    with_network::<L, _>(file.network, Run(command, &file))
}
