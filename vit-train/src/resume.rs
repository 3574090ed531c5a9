//! What a run is continued from after it was interrupted, wherever that was.
//!
//! All of it is in one file, [`Snapshot::path`], which is replaced as a whole: parameters, AdamW's moments, the
//! parameters of the best epoch so far, and how far the run is. There is no random state in it, because every random
//! choice is a function of (seed, epoch, index). So the other files of a run are results only: what an interrupted run
//! had written of them, before or after it saved its snapshot for the last time, is written again with the same bytes.
//!
//! The time decides when a snapshot is written, but nothing of what is in the results.
//!
//! The file is 15 bytes that name the format and its version, then a [`Snapshot`] in postcard, then the SHA-256 of all
//! before. It is for the program that wrote it, on the kind of machine where it was written; what one gives to others
//! is `checkpoint.safetensors`.

use crate::{
    data::Splits,
    error::{Error, IoContext},
    files::write_atomically,
    model::Network,
    optimizer::AdamW,
    parameters::Parameters,
    preset::shape_name,
    recipe::Recipe,
    report::Epoch,
    train::State,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{
    borrow::Cow,
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// The first bytes of the file; the last one is the version of the format.
const MAGIC: &[u8] = b"vit-train run \x03";

/// Every setting that the results of a run depend on, with its value: two runs in which all are equal end in the same
/// bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings(Vec<(String, String)>);

impl Settings {
    /// Those of a run of network `S`.
    pub fn of<S: Network>(recipe: &Recipe, data: &Splits) -> Self {
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
        } = recipe;
        let mut images = Sha256::new();
        for part in [&data.train, &data.test] {
            images.update(part.images());
            images.update(part.labels());
        }
        let settings = [
            ("vit-train", env!("CARGO_PKG_VERSION").to_owned()),
            ("--preset", shape_name::<S>()),
            ("--epochs", epochs.to_string()),
            ("--batch-size", batch_size.to_string()),
            ("--lr", lr.to_string()),
            ("--warmup", warmup.to_string()),
            ("--weight-decay", weight_decay.to_string()),
            ("--grad-clip", grad_clip.to_string()),
            ("--dropout", dropout.to_string()),
            ("--label-smoothing", label_smoothing.to_string()),
            ("an augmentation (--no-augment and others) of", augmentation.to_string()),
            ("--seed", seed.to_string()),
            ("a processor (--cuda, --precision):", processor.to_string()),
            ("--data", data.name.clone()),
            ("a number of training images (--limit) of", data.train.len().to_string()),
            ("classes with the names", data.class_names.join(", ")),
            // Of all images, also of those that a limit leaves out.
            (
                "a normalisation (mean and standard deviation) of",
                format!("{} and {}", data.normalization.mean, data.normalization.std),
            ),
            ("images with the SHA-256", images.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
        ];
        Self(settings.map(|(name, value)| (name.to_owned(), value)).into())
    }

    /// The first setting in which these differ from `others`: its name, the value here, and the value there.
    fn difference<'a>(&'a self, others: &'a Self) -> Option<(&'a str, &'a str, &'a str)> {
        let pairs = self.0.iter().zip(&others.0).find(|(a, b)| a != b);
        pairs.map(|((name, here), (_, there))| (name.as_str(), here.as_str(), there.as_str()))
    }
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

/// The part of an epoch that is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Current {
    /// Steps.
    pub steps: usize,
    /// Their training images.
    pub images: usize,
    /// The sum of those images' cross entropies.
    pub loss_sum: f64,
    /// How many of them were classified right.
    pub right: usize,
}

impl Current {
    /// The mean cross entropy.
    pub fn loss(&self) -> f64 {
        self.loss_sum / self.images as f64
    }
}

/// A run between two steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot<'a> {
    settings: Cow<'a, Settings>,
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
    /// Where the run in `directory` keeps its snapshot.
    pub fn path(directory: &Path) -> PathBuf {
        directory.join("last.run")
    }

    /// Reads the snapshot of the run in `directory`.
    ///
    /// # Errors
    /// [`Error::NothingToResume`], [`Error::Io`], and [`Error::Snapshot`] where the file is damaged or of another format.
    pub fn load(directory: &Path) -> Result<Snapshot<'static>, Error> {
        let path = Self::path(directory);
        match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(Error::NothingToResume { directory: directory.to_owned() })
            }
            bytes => Snapshot::parse(&bytes.at(&path)?).ok_or(Error::Snapshot { path }),
        }
    }

    /// Checks that this is a run of network `S` with these settings; `directory` is named in errors.
    ///
    /// # Errors
    /// [`Error::OtherRun`].
    pub fn of_run<S: Network>(self, directory: &Path, recipe: &Recipe, data: &Splits) -> Result<Self, Error> {
        let settings = Settings::of::<S>(recipe, data);
        if let Some((name, theirs, ours)) = self.settings.difference(&settings) {
            let (name, theirs, ours) = (name.to_owned(), theirs.to_owned(), ours.to_owned());
            return Err(Error::OtherRun { path: Self::path(directory), name, theirs, ours });
        }
        let len = S::DIMS.parameters();
        if [self.parameters.len(), self.best.len(), self.optimizer.len()] != [len; 3] {
            return Err(Error::Snapshot { path: Self::path(directory) });
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
pub struct Keeper {
    path: PathBuf,
    settings: Settings,
    every: Duration,
    saved: Instant,
}

impl Keeper {
    /// For the run in `directory` with these settings, which is to be saved at intervals of `every`.
    pub fn new(directory: &Path, settings: Settings, every: Duration) -> Self {
        Self { path: Snapshot::path(directory), settings, every, saved: Instant::now() }
    }

    /// Whether the last snapshot is so old that it is time for another.
    pub fn is_due(&self) -> bool {
        self.saved.elapsed() >= self.every
    }

    /// Replaces the snapshot by that of a run at `position`, with `best` as the parameters of its best epoch.
    ///
    /// # Errors
    /// [`Error::Io`]; the one before is still there then.
    pub fn save<S: Network>(
        &mut self,
        position: &Position,
        state: &State<S>,
        best: &Parameters,
    ) -> Result<(), Error> {
        let snapshot = Snapshot {
            settings: Cow::Borrowed(&self.settings),
            position: Cow::Borrowed(position),
            parameters: Cow::Borrowed(&state.parameters.values),
            optimizer: Cow::Borrowed(&state.optimizer),
            best: Cow::Borrowed(&best.values),
        };
        let bytes = snapshot.serialize().map_err(io::Error::other).at(&self.path)?;
        write_atomically(&self.path, &bytes)?;
        self.saved = Instant::now();
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::data::{synthetic, Augmentation, MNIST_NORMALIZATION};
    use vit_nostd::{Nano, Tiny};

    /// So many digits to train on, and ten to test on.
    pub(crate) fn data(images: usize) -> Splits {
        Splits {
            name: "synthetic".to_owned(),
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
        Snapshot::load(directory)?.of_run::<Nano>(directory, recipe, data)
    }

    /// Saves a run of `recipe` on `data(20)`.
    fn save(directory: &Path, recipe: &Recipe) {
        let (best, parameters) = (Parameters::init::<Nano>(1), Parameters::init::<Nano>(2));
        let mut state = State::<Nano>::new(parameters, recipe.weight_decay);
        state.optimizer.step(&mut state.parameters.values, &best.values, 0.1);
        let current = Current { steps: 3, images: 384, loss_sum: 0.1 + 0.2, right: 17 };
        let position = Position { current, step_seconds: vec![0.1; 3], ..Position::default() };

        let settings = Settings::of::<Nano>(recipe, &data(20));
        let mut keeper = Keeper::new(directory, settings, Duration::from_secs(3600));
        assert!(!keeper.is_due());
        keeper.save(&position, &state, &best).unwrap();
        let snapshot = load(directory, recipe, &data(20)).unwrap();
        assert_eq!(*snapshot.position, position);
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
        refuse(&Recipe { epochs: 21, ..recipe.clone() }, &data(20), "has --epochs 20, and not 21");
        refuse(&Recipe { lr: 2e-3, ..recipe.clone() }, &data(20), "has --lr 0.001, and not 0.002");
        refuse(&Recipe { augmentation: Augmentation::NONE, ..recipe.clone() }, &data(20), "--no-augment");
        refuse(&recipe, &data(21), "(--limit) of 20, and not 21");
        refuse(&recipe, &Splits { train: synthetic::dataset(20, 3), ..data(20) }, "SHA-256");
        refuse(&recipe, &Splits { test: synthetic::dataset(11, 2), ..data(20) }, "SHA-256");
        let error = Snapshot::load(directory).unwrap().of_run::<Tiny>(directory, &recipe, &data(20));
        let error = error.unwrap_err().to_string();
        assert!(error.contains("has --preset nano, and not tiny"), "{error}");
    }

    #[test]
    fn damage_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        save(folder.path(), &Recipe::default());
        let path = Snapshot::path(folder.path());
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
