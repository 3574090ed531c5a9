//! Snapshots, from which interrupted runs are resumed.
//!
//! A snapshot is one file, which is replaced as a whole. It has the identity of the [`Run`], the parameters, AdamW's
//! moments, the parameters of the epoch that is kept, and the position in the run. It has no state of a random number
//! generator, because every random choice is a function of (seed, epoch, index). The other files of a run are results
//! only: a resumed run writes them again with the same bytes, whichever of them the interrupted run had written.
//!
//! Until the first epoch of a new run is done, it writes only [`RunFolder::new_snapshot`], so that an earlier run in
//! the same folder stays complete. Then all files of the earlier run are removed, those of the new one are written, and
//! the snapshot becomes [`RunFolder::snapshot`]. Whenever the program is killed, the results in the folder are all of
//! one run, and at least one of the two runs can be resumed. If there are two snapshots, the new run is resumed.
//!
//! The time decides when a snapshot is written, but it does not affect the results.
//!
//! The file begins with 15 bytes that name the format and its version. Then follow a [`Snapshot`] in postcard's
//! encoding and the SHA-256 of all bytes before it. It is meant for the same version of the program on the same
//! kind of machine. The file to exchange with others is `checkpoint.safetensors`.

use crate::{
    data::Splits,
    error::{Difference, Error, IoContext},
    files::{read_regular, remove, write_atomically},
    network::{name, parameters::Parameters, Trainable},
    recipe::Recipe,
    run::{data::RunData, folder::RunFolder, record::Epoch},
    train::{
        optimizer::AdamW,
        state::{Current, State},
    },
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{
    borrow::Cow,
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use vit_nostd::model_file::Normalization;

/// The first bytes of the file. The last of them is the version of the format.
const MAGIC: &[u8] = b"vit-train run \x06";

/// The identity of a run: everything that its results depend on. Two runs with equal identities have the same results
/// to the byte.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The version of this crate.
    pub version: String,
    /// The name of the network.
    pub network: String,
    /// The dimensions of the network, because its declaration may be changed while a run is interrupted.
    pub dimensions: String,
    /// The settings of the run.
    pub recipe: Recipe,
    /// The [`Digest`](crate::digest::Digest) of the initial parameters, or `None` if they were random.
    pub init: Option<String>,
    /// The identity of the images.
    pub data: RunData,
    /// The normalisation of each channel.
    pub normalization: Vec<Normalization>,
}

impl Run {
    /// Makes the identity of a run of network `N`. It begins with the parameters that have the
    /// [`Digest`](crate::digest::Digest) `init`, or with random ones.
    pub fn new<N: Trainable>(recipe: &Recipe, data: &Splits, init: Option<String>) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            network: name::<N>(),
            dimensions: N::DIMS.to_string(),
            recipe: recipe.clone(),
            init,
            data: RunData::of(data),
            normalization: data.normalization.clone(),
        }
    }

    /// Returns the name and the value of each setting, for messages. The path of the images is not a setting.
    fn settings(&self) -> Vec<(&'static str, String)> {
        let Recipe {
            epochs,
            batch_size,
            lr,
            warmup,
            weight_decay,
            grad_clip,
            dropout,
            label_smoothing,
            augmentation,
            balance,
            seed,
            processor,
        } = &self.recipe;
        let RunData { name, source: _, training_images, fit, skipped: _, class_names, sha256 } = &self.data;
        let init =
            self.init.as_ref().map_or("random".to_owned(), |sha256| format!("of SHA-256 {}", short(sha256)));
        let channels = self.normalization.iter();
        let normalization: Vec<_> =
            channels.map(|Normalization { mean, std }| format!("mean {mean}, std {std}")).collect();
        vec![
            ("version", self.version.clone()),
            ("network", self.network.clone()),
            ("dimensions", self.dimensions.clone()),
            ("epochs", epochs.to_string()),
            ("batch_size", batch_size.to_string()),
            ("lr", lr.to_string()),
            ("warmup", warmup.to_string()),
            ("weight_decay", weight_decay.to_string()),
            ("grad_clip", grad_clip.to_string()),
            ("dropout", dropout.to_string()),
            ("label_smoothing", label_smoothing.to_string()),
            ("augmentation", augmentation.to_string()),
            ("balance", balance.to_string()),
            ("seed", seed.to_string()),
            ("processor", processor.to_string()),
            ("init", init),
            ("training_images", training_images.to_string()),
            ("data", format!("{name} (SHA-256 {})", short(sha256))),
            ("fit", format!("{fit:?}").to_lowercase()),
            ("class_names", class_names.join(", ")),
            // It is computed from all images, even from those that a limit leaves out.
            ("normalization", normalization.join("; ")),
        ]
    }

    /// Returns all settings in which this run differs from `other`.
    fn differences(&self, other: &Self) -> Vec<Difference> {
        let implied =
            [("data", self.data.sha256 == other.data.sha256), ("dimensions", self.network != other.network)];
        let pairs = self.settings().into_iter().zip(other.settings());
        let different = pairs.filter(|(a, b)| a != b && !implied.contains(&(a.0, true)));
        different.map(|((name, theirs), (_, ours))| Difference { name, theirs, ours }).collect()
    }
}

/// Returns the beginning of a hash, which is enough to tell it from others.
fn short(sha256: &str) -> &str {
    sha256.get(..8).unwrap_or(sha256)
}

/// The position in a run: the part of it that is done.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// The records of the epochs that are done.
    pub epochs: Vec<Epoch>,
    /// The number of the epoch whose parameters are kept, from 1; 0 if none is done.
    pub kept_epoch: usize,
    /// The part that is done of the epoch after them.
    pub current: Current,
    /// The seconds that each step of the run took.
    pub step_seconds: Vec<f64>,
    /// True if all results are written.
    pub finished: bool,
}

/// The complete state of a run between two steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot<'a> {
    /// The identity of the run.
    pub run: Cow<'a, Run>,
    /// The position in the run.
    pub position: Cow<'a, Position>,
    /// The values of the parameters, in the order of the network's layout.
    pub parameters: Cow<'a, [f32]>,
    /// The moments and the number of steps of AdamW.
    pub optimizer: Cow<'a, AdamW>,
    /// The values of the parameters of the epoch that is kept, in the same order.
    pub kept: Cow<'a, [f32]>,
}

impl Snapshot<'_> {
    /// Returns the path of the snapshot from which the run in `directory` is resumed: that of a new run, if there is
    /// one.
    fn current_path(directory: &Path) -> PathBuf {
        Some(RunFolder::new_snapshot(directory))
            .filter(|path| path.exists())
            .unwrap_or_else(|| RunFolder::snapshot(directory))
    }

    /// Reads the snapshot of the run in `directory`. If there are two, it reads that of the new run.
    ///
    /// # Errors
    /// Returns [`Error::NothingToResume`] if there is no snapshot, [`Error::Io`] if it cannot be read, and
    /// [`Error::Snapshot`] if it is damaged or has another format.
    pub fn load(directory: &Path) -> Result<Snapshot<'static>, Error> {
        let path = Self::current_path(directory);
        match read_regular(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(Error::NothingToResume { directory: directory.to_owned() })
            }
            bytes => Snapshot::parse(&bytes.at(&path)?).ok_or(Error::Snapshot { path }),
        }
    }

    /// Returns the number of epochs that are done and the number of all epochs of the unfinished run in `directory`.
    /// Returns `None` if the run is finished or has no epoch done, or if there is no run that can be resumed.
    pub fn unfinished(directory: &Path) -> Option<(usize, usize)> {
        let Snapshot { run, position, .. } =
            Snapshot::parse(&read_regular(&RunFolder::snapshot(directory)).ok()?)?;
        (!position.finished).then_some((position.epochs.len(), run.recipe.epochs))
    }

    /// Checks that this is a snapshot of `run`, whose network is `N`, and returns it. Errors name `directory`.
    ///
    /// # Errors
    /// Returns [`Error::OtherRun`] if it is a snapshot of another run, and [`Error::Snapshot`] if its numbers of
    /// parameters are not those of `N`.
    pub fn of_run<N: Trainable>(self, directory: &Path, run: &Run) -> Result<Self, Error> {
        let path = Self::current_path(directory);
        let differences = self.run.differences(run);
        if !differences.is_empty() {
            return Err(Error::OtherRun { path, differences });
        }
        let len = N::DIMS.parameters();
        if [self.parameters.len(), self.kept.len(), self.optimizer.len()] != [len; 3] {
            return Err(Error::Snapshot { path });
        }
        Ok(self)
    }

    /// Returns true if the file at `path` begins like a snapshot, of this or of another version of the format.
    pub(crate) fn is_at(path: &Path) -> bool {
        const NAME: &[u8] = MAGIC.split_last().expect("it is not empty").1;
        let mut head = [0; NAME.len()];
        path.is_file()
            && fs::File::open(path).and_then(|mut file| file.read_exact(&mut head)).is_ok()
            && head == *NAME
    }

    fn parse(bytes: &[u8]) -> Option<Snapshot<'static>> {
        let (content, digest) = bytes.split_last_chunk::<32>()?;
        if Sha256::digest(content)[..] != digest[..] {
            return None;
        }
        postcard::from_bytes(content.strip_prefix(MAGIC)?).ok()
    }

    fn serialize(&self) -> Result<Vec<u8>, postcard::Error> {
        let mut bytes = postcard::to_extend(self, MAGIC.to_vec())?;
        let digest = Sha256::digest(&bytes);
        bytes.extend_from_slice(&digest);
        Ok(bytes)
    }
}

/// The writer of the snapshots of a run.
#[derive(Debug)]
pub(crate) struct Checkpointer {
    directory: PathBuf,
    run: Run,
    every: Duration,
    saved: Instant,
}

impl Checkpointer {
    /// Creates the checkpointer of `run` in `directory`. Snapshots are due at intervals of `every`.
    pub(crate) fn new(directory: &Path, run: Run, every: Duration) -> Self {
        Self { directory: directory.to_owned(), run, every, saved: Instant::now() }
    }

    /// Returns true if the interval since the last snapshot is over.
    pub(crate) fn is_due(&self) -> bool {
        self.saved.elapsed() >= self.every
    }

    /// Replaces the snapshot by that of a run at `position`, with `kept` as the parameters of the epoch that is kept.
    ///
    /// # Errors
    /// Returns [`Error::Io`] if it cannot be written. The previous snapshot is then still there.
    pub(crate) fn save<N: Trainable>(
        &mut self,
        position: &Position,
        state: &State<N>,
        kept: &Parameters,
    ) -> Result<(), Error> {
        let snapshot = Snapshot {
            run: Cow::Borrowed(&self.run),
            position: Cow::Borrowed(position),
            parameters: Cow::Borrowed(&state.parameters.values),
            optimizer: Cow::Borrowed(&state.optimizer),
            kept: Cow::Borrowed(&kept.values),
        };
        let new = RunFolder::new_snapshot(&self.directory);
        let path =
            if position.epochs.is_empty() { new.clone() } else { RunFolder::snapshot(&self.directory) };
        let bytes = snapshot.serialize().map_err(io::Error::other).at(&path)?;
        write_atomically(&path, &bytes)?;
        if path != new {
            remove(&new)?;
        }
        self.saved = Instant::now();
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::data::Style;
    use crate::data::{synthetic, Augmentation, Source, MNIST_NORMALIZATION};
    use std::fs;
    use vit_nostd::frame::Fit;
    use vit_nostd::{Nano, Tiny};

    /// Returns this many built-in digits for training, and ten for testing.
    pub(crate) fn data(images: usize) -> Splits {
        Splits {
            name: "synthetic".to_owned(),
            source: Source::Synthetic,
            synthetic: true,
            fallback: None,
            passed_over: Vec::new(),
            skipped: Vec::new(),
            class_names: (0..10).map(|class| class.to_string()).collect(),
            style: Style::Digits,
            fit: Fit::Stretch,
            normalization: vec![MNIST_NORMALIZATION],
            train: synthetic::dataset(images, 1),
            test: synthetic::dataset(10, 2),
        }
    }

    fn load(directory: &Path, recipe: &Recipe, data: &Splits) -> Result<Snapshot<'static>, Error> {
        Snapshot::load(directory)?.of_run::<Nano>(directory, &Run::new::<Nano>(recipe, data, None))
    }

    /// Saves a snapshot of a run of `recipe` on `data(20)`, and checks that it can be loaded.
    fn save(directory: &Path, recipe: &Recipe) {
        let (kept, parameters) = (Parameters::init::<Nano>(1), Parameters::init::<Nano>(2));
        let mut state = State::<Nano>::new(parameters, recipe.weight_decay);
        state.optimizer.step(&mut state.parameters.values, &kept.values, 0.1);
        let current = Current { steps: 3, images: 384, loss_sum: 0.1 + 0.2, correct: 17 };
        let position = Position { current, step_seconds: vec![0.1; 3], ..Position::default() };

        let run = Run::new::<Nano>(recipe, &data(20), None);
        let mut checkpointer = Checkpointer::new(directory, run.clone(), Duration::from_secs(3600));
        assert!(!checkpointer.is_due());
        checkpointer.save(&position, &state, &kept).unwrap();
        let snapshot = load(directory, recipe, &data(20)).unwrap();
        assert_eq!((&*snapshot.run, &*snapshot.position), (&run, &position));
        assert_eq!(*snapshot.parameters, state.parameters.values);
        assert_eq!(*snapshot.optimizer, state.optimizer);
        assert_eq!(*snapshot.kept, kept.values);
    }

    #[test]
    fn other_settings_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path();
        let recipe = Recipe::default();
        let refuse = |recipe: &Recipe, data: &Splits, expected: &str| {
            let error = load(directory, recipe, data).unwrap_err().to_string();
            assert!(error.contains(expected), "no {expected:?} in {error}");
        };
        refuse(&recipe, &data(20), "contains no run that could be resumed");
        save(directory, &recipe);
        refuse(&Recipe { epochs: 21, ..recipe.clone() }, &data(20), "other settings: epochs 20, not 21");
        refuse(&Recipe { lr: 2e-3, ..recipe.clone() }, &data(20), ": lr 0.001, not 0.002");
        refuse(&Recipe { augmentation: Augmentation::NONE, ..recipe.clone() }, &data(20), ": augmentation ");
        refuse(&recipe, &data(21), "training_images 20, not 21");
        refuse(&recipe, &Splits { train: synthetic::dataset(20, 3), ..data(20) }, "SHA-256");
        refuse(&recipe, &Splits { test: synthetic::dataset(11, 2), ..data(20) }, "SHA-256");
        let both = Recipe { seed: 7, epochs: 21, ..recipe.clone() };
        refuse(&both, &data(20), ": epochs 20, not 21; seed 42, not 7");
        let tiny = Run::new::<Tiny>(&recipe, &data(20), Some("0123".to_owned()));
        let error = Snapshot::load(directory).unwrap().of_run::<Tiny>(directory, &tiny);
        let error = error.unwrap_err().to_string();
        assert!(error.contains(": network nano, not tiny; init random, not of SHA-256 0123"), "{error}");

        // A network that was declared again with the same name and other dimensions is another one.
        let mut changed = Run::new::<Nano>(&recipe, &data(20), None);
        changed.dimensions = changed.dimensions.replace("4 heads", "2 heads");
        let error = Snapshot::load(directory).unwrap().of_run::<Nano>(directory, &changed);
        assert!(error.unwrap_err().to_string().contains("4 heads of 12"));

        // The path and the name of the images do not matter.
        let moved =
            Splits { name: "moved".to_owned(), source: Source::Directory("moved".into()), ..data(20) };
        load(directory, &recipe, &moved).unwrap();
    }

    #[test]
    fn damage_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        save(folder.path(), &Recipe::default());
        let path = RunFolder::new_snapshot(folder.path());
        let good = fs::read(&path).unwrap();
        let flipped = |index: usize| {
            let mut bytes = good.clone();
            bytes[index] ^= 1;
            bytes
        };
        let len = good.len();
        let cut = [0, 20, len - 1].map(|len| good[..len].to_vec());
        let flips = [0, MAGIC.len() - 1, 20, len / 2, len - 40, len - 1].map(flipped);
        for bytes in cut.iter().chain(&flips).chain([&[&good[..], &[0]].concat()]) {
            fs::write(&path, bytes).unwrap();
            let error = Snapshot::load(folder.path()).unwrap_err();
            assert!(matches!(error, Error::Snapshot { .. }), "{error}");
        }
    }
}
