//! The networks of a program, described by values instead of types, so that one can be chosen while the program runs.

use crate::{
    error::Error,
    formats::{
        checkpoint::{Checkpoint, Description},
        vit::checkpoint_of,
    },
    network::{
        list::{Networks, Visitor},
        name,
        parameters::Layout,
        Trainable,
    },
    recipe::Recipe,
    run::origins::check_origins,
};
use clap::builder::PossibleValue;
use std::cmp::Reverse;
use std::path::Path;
use vit_nostd::{
    model_file::{Kind, Preamble},
    Dims,
};

/// A network of a program, with its functions for files.
#[derive(Clone, Copy)]
pub(super) struct Known {
    /// The position in the list.
    pub index: usize,
    pub dims: Dims,
    pub name: fn() -> String,
    pub layout: fn() -> Layout,
    /// Puts the tensors of a checkpoint into the network's order, and checks them.
    pub ordered: fn(Checkpoint, &Path) -> Result<Checkpoint, Error>,
    pub describe: fn(&Checkpoint) -> Description,
    /// Reads the checkpoint out of a float model.
    pub checkpoint_of: fn(&[u8], &Path) -> Result<Checkpoint, Error>,
    /// Checks that the files of a run belong together.
    pub check_origins: fn(&Path, &[Kind]) -> Result<(), Error>,
}

impl Known {
    pub(super) fn name(&self) -> String {
        (self.name)()
    }

    fn layout(&self) -> Layout {
        (self.layout)()
    }
}

/// The networks of a program and its recipes for them.
pub(super) struct List {
    networks: Vec<Known>,
    /// Returns the program's own recipe for the network of this name, if it has one.
    own_recipe: fn(&str) -> Option<Recipe>,
}

impl Visitor for List {
    fn network<N: Trainable>(&mut self) {
        self.networks.push(Known {
            index: self.networks.len(),
            dims: N::DIMS,
            name: name::<N>,
            layout: Layout::of::<N>,
            ordered: Checkpoint::into_order_of::<N>,
            describe: Checkpoint::describe::<N>,
            checkpoint_of: checkpoint_of::<N>,
            check_origins: check_origins::<N>,
        });
    }
}

impl List {
    /// Lists the networks of `L`.
    ///
    /// # Errors
    /// [`Error::Usage`] if two of them have the same name or the same dimensions, so that a name on the command line or
    /// a model file would stand for both.
    pub(super) fn of<L: Networks>(own_recipe: fn(&str) -> Option<Recipe>) -> Result<Self, Error> {
        let mut list = Self { networks: Vec::new(), own_recipe };
        L::each(&mut list);
        for (index, network) in list.networks.iter().enumerate() {
            let same = |other: &&Known| other.name() == network.name() || other.dims == network.dims;
            if let Some(other) = list.networks[..index].iter().find(same) {
                return Err(Error::Usage(format!(
                    "the networks {} and {} of this program have the same name or the same dimensions: change \
                     one of them",
                    other.name(),
                    network.name()
                )));
            }
        }
        Ok(list)
    }

    /// Returns all networks.
    pub(super) fn all(&self) -> &[Known] {
        &self.networks
    }

    /// Returns the network that is used if none is named: the first one.
    pub(super) fn default(&self) -> Known {
        self.networks[0]
    }

    /// Returns the network of this name.
    pub(super) fn named(&self, name: &str) -> Option<Known> {
        self.networks.iter().copied().find(|network| network.name() == name)
    }

    /// Returns the network that an option names, or the default one if the option is not given.
    pub(super) fn chosen(&self, name: Option<&str>) -> Known {
        name.and_then(|name| self.named(name)).unwrap_or(self.default())
    }

    /// Returns the values that `--preset` accepts, with their descriptions.
    pub(super) fn values(&self) -> Vec<PossibleValue> {
        let value = |network: &Known| {
            let help = format!("{} parameters: {}", network.dims.parameters(), network.dims);
            PossibleValue::new(network.name()).help(help)
        };
        self.networks.iter().map(value).collect()
    }

    /// Returns the network that has the dimensions of a model file. `path` is the file's, for errors.
    pub(super) fn of_model(&self, preamble: &Preamble, path: &Path) -> Result<Known, Error> {
        let found = self.networks.iter().find(|network| network.dims == preamble.dims);
        let unknown = || Error::UnknownShape { path: path.to_owned(), found: preamble.dims.to_string() };
        found.copied().ok_or_else(unknown)
    }

    /// Returns the network that has the most tensors, by name and shape, in common with `parameters`. The number of
    /// heads shows in no shape, so that it is that of the network.
    pub(super) fn nearest(&self, parameters: &Layout) -> Known {
        // Of networks that have equally many in common, the one with the fewest others is the nearest.
        let nearness = |network: &&Known| {
            let layout = network.layout();
            (layout.in_common(parameters), Reverse(layout.0.len()))
        };
        self.networks.iter().max_by_key(nearness).copied().unwrap_or(self.default())
    }

    /// Returns the network whose tensors a checkpoint has. `path` is the checkpoint's, for errors.
    pub(super) fn of_checkpoint(&self, checkpoint: &Checkpoint, path: &Path) -> Result<Known, Error> {
        let layout = &checkpoint.parameters.layout;
        let nearest = self.nearest(layout);
        let misfit = |mismatches| Error::Misfit {
            path: path.to_owned(),
            network: format!("any network of this program (the nearest is {})", nearest.name()),
            mismatches,
        };
        nearest.layout().check(layout).map(|()| nearest).map_err(misfit)
    }

    /// Returns the program's own recipe for a network, if it has one.
    pub(super) fn own_recipe(&self, network: Known) -> Option<Recipe> {
        (self.own_recipe)(&network.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vit_nostd::{Base, Nano, Tiny};

    vit_nostd::network! {
        /// Another name for the dimensions of `Nano`.
        Twin { image: 28, patch: 7, embed: 48, heads: 4, hidden: 96, depth: 4, classes: 10 }
    }

    mod elsewhere {
        vit_nostd::network! {
            /// Other dimensions under the name of `vit_nostd::Nano`.
            pub Nano { image: 28, patch: 7, embed: 48, heads: 4, hidden: 96, depth: 3, classes: 10 }
        }
    }

    #[test]
    fn networks_are_told_apart_by_name_and_by_dimensions() {
        for list in [List::of::<(Nano, Tiny, Twin)>(|_| None), List::of::<(elsewhere::Nano, Nano)>(|_| None)]
        {
            let error = list.err().unwrap().to_string();
            assert!(error.contains("the same name or the same dimensions"), "{error}");
        }
    }

    #[test]
    fn the_first_network_is_the_default_one() {
        let list = List::of::<(Base, Tiny, Nano)>(|_| None).unwrap();
        let names: Vec<_> = list.all().iter().map(Known::name).collect();
        assert_eq!(names, ["base", "tiny", "nano"]);
        assert_eq!(
            (list.chosen(None).name(), list.chosen(Some("tiny")).name()),
            ("base".into(), "tiny".into())
        );
        assert!(list.named("twin").is_none());
        assert_eq!(list.nearest(&Layout::of::<Nano>()).name(), "nano");
    }

    #[test]
    fn a_program_may_have_recipes_of_its_own() {
        let own = |name: &str| (name == "tiny").then(|| Recipe { epochs: 7, ..Recipe::default() });
        let list = List::of::<(Base, Tiny)>(own).unwrap();
        let epochs = |name| list.own_recipe(list.named(name).unwrap()).map(|recipe| recipe.epochs);
        assert_eq!((epochs("base"), epochs("tiny")), (None, Some(7)));
    }
}
