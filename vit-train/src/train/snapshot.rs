//! What a run is continued from after it was interrupted, wherever that was.
//!
//! All of it is in one file, the snapshot, which is replaced as a whole: what [`Run`] it is, parameters, AdamW's moments,
//! the parameters of the best epoch so far, and how far the run is. There is no random state in it, because every random
//! choice is a function of (seed, epoch, index). So the other files of a run are results only: what an interrupted run
//! had written of them, before or after it saved its snapshot for the last time, is written again with the same bytes.
//!
//! Until its first epoch is done, a run touches nothing in its folder but [`RunFolder::new_snapshot`]: an earlier run there
//! stays whole. Then all files of the earlier run are removed, those of the new one are written, and the snapshot becomes
//! [`RunFolder::snapshot`]. Whenever the program is killed, the folder never holds files of both, and there is a snapshot of
//! one of them to go on from; where there are two, the new run is meant.
//!
//! The time decides when a snapshot is written, but nothing of what is in the results.
//!
//! The file is 15 bytes that name the format and its version, then a [`Snapshot`] in postcard, then the SHA-256 of all
//! before. It is for the program that wrote it, on the kind of machine where it was written; what one gives to others
//! is `checkpoint.safetensors`.

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
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use vit_nostd::model_file::Normalization;

/// The first bytes of the file; the last one is the version of the format.
const MAGIC: &[u8] = b"vit-train run \x05";

/// What run it is: everything that its results depend on. Two runs in which all of it is equal end in the same bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The version of this crate.
    pub version: String,
    /// The network's name.
    pub network: String,
    /// The network's dimensions: a declaration may be changed while a run is interrupted.
    pub dimensions: String,
    /// The settings.
    pub recipe: Recipe,
    /// The [`Digest`](crate::digest::Digest) of the parameters that it began with; None where these were random.
    pub init: Option<String>,
    /// The images.
    pub data: RunData,
    /// How their pixels become numbers.
    pub normalization: Normalization,
}

impl Run {
    /// A run of network `N` that begins with the parameters that have the
    /// [`Digest`](crate::digest::Digest) `init`, or with random ones.
    pub fn new<N: Trainable>(recipe: &Recipe, data: &Splits, init: Option<String>) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            network: name::<N>(),
            dimensions: N::DIMS.to_string(),
            recipe: recipe.clone(),
            init,
            data: RunData::of(data),
            normalization: data.normalization,
        }
    }

    /// Each setting with its value. Where the images are and what they are called is none of them.
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
            seed,
            processor,
        } = &self.recipe;
        let RunData { name, source: _, training_images, class_names, sha256 } = &self.data;
        let init =
            self.init.as_ref().map_or("random".to_owned(), |sha256| format!("of SHA-256 {}", short(sha256)));
        let Normalization { mean, std } = self.normalization;
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
            ("seed", seed.to_string()),
            ("processor", processor.to_string()),
            ("init", init),
            ("training_images", training_images.to_string()),
            ("data", format!("{name} (SHA-256 {})", short(sha256))),
            ("class_names", class_names.join(", ")),
            // Of all images, also of those that a limit leaves out.
            ("normalization", format!("mean {mean}, std {std}")),
        ]
    }

    /// All settings in which this run differs from `other`.
    fn differences(&self, other: &Self) -> Vec<Difference> {
        let implied =
            [("data", self.data.sha256 == other.data.sha256), ("dimensions", self.network != other.network)];
        let pairs = self.settings().into_iter().zip(other.settings());
        let different = pairs.filter(|(a, b)| a != b && !implied.contains(&(a.0, true)));
        different.map(|((name, theirs), (_, ours))| Difference { name, theirs, ours }).collect()
    }
}

/// Enough of a hash to tell it from another.
fn short(sha256: &str) -> &str {
    sha256.get(..8).unwrap_or(sha256)
}

/// How far a run is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// The epochs that are done.
    pub epochs: Vec<Epoch>,
    /// The best of them, counted from 1.
    pub best_epoch: usize,
    /// Of the epoch after them.
    pub current: Current,
    /// What each step of the run took.
    pub step_seconds: Vec<f64>,
    /// Whether all results are written.
    pub finished: bool,
}

/// A run between two steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot<'a> {
    /// What run it is.
    pub run: Cow<'a, Run>,
    /// How far it is.
    pub position: Cow<'a, Position>,
    /// The values of the parameters, in the order of the network's layout.
    pub parameters: Cow<'a, [f32]>,
    /// AdamW's moments and steps.
    pub optimizer: Cow<'a, AdamW>,
    /// The parameters of the best epoch, like `parameters`.
    pub best: Cow<'a, [f32]>,
}

impl Snapshot<'_> {
    /// The one of the two that a run in `directory` goes on from.
    fn current_path(directory: &Path) -> PathBuf {
        Some(RunFolder::new_snapshot(directory))
            .filter(|path| path.exists())
            .unwrap_or_else(|| RunFolder::snapshot(directory))
    }

    /// Reads the snapshot of the run in `directory`; that of a new one, where there are two.
    ///
    /// # Errors
    /// [`Error::NothingToResume`], [`Error::Io`], and [`Error::Snapshot`] where the file is damaged or of another format.
    pub fn load(directory: &Path) -> Result<Snapshot<'static>, Error> {
        let path = Self::current_path(directory);
        match read_regular(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(Error::NothingToResume { directory: directory.to_owned() })
            }
            bytes => Snapshot::parse(&bytes.at(&path)?).ok_or(Error::Snapshot { path }),
        }
    }

    /// How far the run in `directory` is that has an epoch done and is not finished: the epochs that are done, and all of
    /// them. None if there is no such run, or if it cannot be resumed.
    pub fn unfinished(directory: &Path) -> Option<(usize, usize)> {
        let Snapshot { run, position, .. } =
            Snapshot::parse(&read_regular(&RunFolder::snapshot(directory)).ok()?)?;
        (!position.finished).then_some((position.epochs.len(), run.recipe.epochs))
    }

    /// Checks that this is `run`, of network `N`; `directory` is named in errors.
    ///
    /// # Errors
    /// [`Error::OtherRun`].
    pub fn of_run<N: Trainable>(self, directory: &Path, run: &Run) -> Result<Self, Error> {
        let path = Self::current_path(directory);
        let differences = self.run.differences(run);
        if !differences.is_empty() {
            return Err(Error::OtherRun { path, differences });
        }
        let len = N::DIMS.parameters();
        if [self.parameters.len(), self.best.len(), self.optimizer.len()] != [len; 3] {
            return Err(Error::Snapshot { path });
        }
        Ok(self)
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

/// Writes the snapshots of a run.
#[derive(Debug)]
pub struct Checkpointer {
    directory: PathBuf,
    run: Run,
    every: Duration,
    saved: Instant,
}

impl Checkpointer {
    /// Creates the one for `run` in `directory`, which is to be saved at intervals of `every`.
    pub fn new(directory: &Path, run: Run, every: Duration) -> Self {
        Self { directory: directory.to_owned(), run, every, saved: Instant::now() }
    }

    /// Whether the last snapshot is so old that it is time for another.
    pub fn is_due(&self) -> bool {
        self.saved.elapsed() >= self.every
    }

    /// Replaces the snapshot by that of a run at `position`, with `best` as the parameters of its best epoch.
    ///
    /// # Errors
    /// [`Error::Io`]; the one before is still there then.
    pub fn save<N: Trainable>(
        &mut self,
        position: &Position,
        state: &State<N>,
        best: &Parameters,
    ) -> Result<(), Error> {
        let snapshot = Snapshot {
            run: Cow::Borrowed(&self.run),
            position: Cow::Borrowed(position),
            parameters: Cow::Borrowed(&state.parameters.values),
            optimizer: Cow::Borrowed(&state.optimizer),
            best: Cow::Borrowed(&best.values),
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
    use crate::data::{synthetic, Augmentation, Source, MNIST_NORMALIZATION};
    use std::fs;
    use vit_nostd::{Nano, Tiny};

    /// So many digits to train on, and ten to test on.
    pub(crate) fn data(images: usize) -> Splits {
        Splits {
            name: "synthetic".to_owned(),
            source: Source::Synthetic,
            synthetic: true,
            fallback: None,
            passed_over: Vec::new(),
            class_names: (0..10).map(|class| class.to_string()).collect(),
            normalization: MNIST_NORMALIZATION,
            train: synthetic::dataset(images, 1),
            test: synthetic::dataset(10, 2),
        }
    }

    fn load(directory: &Path, recipe: &Recipe, data: &Splits) -> Result<Snapshot<'static>, Error> {
        Snapshot::load(directory)?.of_run::<Nano>(directory, &Run::new::<Nano>(recipe, data, None))
    }

    /// Saves a run of `recipe` on `data(20)`, and looks whether it is there.
    fn save(directory: &Path, recipe: &Recipe) {
        let (best, parameters) = (Parameters::init::<Nano>(1), Parameters::init::<Nano>(2));
        let mut state = State::<Nano>::new(parameters, recipe.weight_decay);
        state.optimizer.step(&mut state.parameters.values, &best.values, 0.1);
        let current = Current { steps: 3, images: 384, loss_sum: 0.1 + 0.2, right: 17 };
        let position = Position { current, step_seconds: vec![0.1; 3], ..Position::default() };

        let run = Run::new::<Nano>(recipe, &data(20), None);
        let mut checkpointer = Checkpointer::new(directory, run.clone(), Duration::from_secs(3600));
        assert!(!checkpointer.is_due());
        checkpointer.save(&position, &state, &best).unwrap();
        let snapshot = load(directory, recipe, &data(20)).unwrap();
        assert_eq!((&*snapshot.run, &*snapshot.position), (&run, &position));
        assert_eq!(*snapshot.parameters, state.parameters.values);
        assert_eq!(*snapshot.optimizer, state.optimizer);
        assert_eq!(*snapshot.best, best.values);
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
        refuse(&recipe, &data(20), "nothing to resume");
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

        // A network that was declared anew under its old name is another one.
        let mut changed = Run::new::<Nano>(&recipe, &data(20), None);
        changed.dimensions = changed.dimensions.replace("4 heads", "2 heads");
        let error = Snapshot::load(directory).unwrap().of_run::<Nano>(directory, &changed);
        assert!(error.unwrap_err().to_string().contains("4 heads of 12"));

        // The same images in another place are the same.
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
