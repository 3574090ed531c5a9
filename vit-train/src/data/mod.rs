//! The first station: images in, data sets out.
//!
//! [`load`] turns what the user wrote after `--data` (a [`Source`]) into a pair of [`Dataset`]s, one to train on and
//! one to test on. Images stay `u8` grey values from the file to the network's input, because that is what the
//! microcontroller sees, too. [`Dataset::split`] sets a validation part aside, [`Augmentation`] varies what is left.
//!
//! Every random choice is a function of numbers that the caller names, such as (seed, epoch, index). No order of
//! calls and no number of threads changes a pixel.
//!
//! ```
//! use vit_train::data::{load, Augmentation, Format, Source};
//!
//! let format = Format { side: 28, classes: 10 };
//! let data = load(&Source::Synthetic, format)?;
//! let (train, validation) = data.train.split(42);
//! assert_eq!(train.len(), 9 * validation.len());
//!
//! let (seed, epoch, index) = (42, 0, train[0]);
//! let mut image = vec![0; format.pixels()];
//! Augmentation::default().apply(data.train.image(index), format.side, (seed, epoch, index as u64), &mut image);
//! # Ok::<(), vit_train::data::DataError>(())
//! ```

mod augment;
mod disturb;
mod download;
mod error;
mod folder;
pub mod handwriting;
mod idx;
mod jpeg;
mod picture;
pub mod synthetic;

use std::collections::HashSet;
use std::convert::Infallible;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::{env, fmt, fs};

use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use unicode_normalization::UnicodeNormalization;
use vit_nostd::model_file::{check_label, Normalization};
use vit_nostd::Network;

use crate::{
    hex::hex,
    paths::{no_file, resolve},
    random::{stream, Purpose},
};

pub use augment::Augmentation;
pub(crate) use augment::Motion;
pub use disturb::Disturbance;
pub use error::DataError;
pub use folder::pictures_in;
pub use picture::{read_grey, PictureError};

/// The environment variable that names a folder with MNIST's four files.
pub const MNIST_DIR: &str = "MNIST_DIR";

/// The [`Splits::sha256`] of all of MNIST.
const MNIST_SHA256: &str = "06b0d1f124c4e5fa796686ade41a9b778edacc8622f2195a352ef479ad44fc16";

/// Where MNIST is looked for without [`MNIST_DIR`], and downloaded to; relative to the working directory.
pub const MNIST_CACHE: &str = "data/mnist";

/// The file beside those in MNIST's format that names the classes, one a line, class 0 first; without it, they are
/// called by their numbers.
pub const CLASS_NAMES: &str = "labels.txt";

/// What some editors put before a text in UTF-8.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// The most classes: a label has 8 bits.
pub const MAX_CLASSES: usize = 256;

/// MNIST's mean and standard deviation: the built-in digits, which stand in for it, are normalised with them, too.
pub const MNIST_NORMALIZATION: Normalization = Normalization { mean: 0.1307, std: 0.3081 };

/// Is told how many pictures are read, and how many there are in all; by several threads at once. Only class folders
/// take so long that it is.
pub type Reading<'a> = &'a (dyn Fn(usize, usize) + Sync);

/// What the network expects of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// Width and height of an image in pixels.
    pub side: usize,
    /// The number of classes; labels are smaller.
    pub classes: usize,
}

impl Format {
    /// What a network of shape `N` expects.
    pub const fn of<N: Network>() -> Self {
        Self { side: N::IMAGE, classes: N::CLASSES }
    }

    /// The number of pixels of one image.
    pub const fn pixels(self) -> usize {
        self.side * self.side
    }
}

/// Square grey images and their labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    format: Format,
    pixels: Vec<u8>,
    labels: Vec<u8>,
}

impl Dataset {
    /// Joins the images, one after the other and row by row, with their labels. `origin` names them in an error.
    ///
    /// # Errors
    ///
    /// [`DataError::Empty`], [`DataError::Count`] and [`DataError::Label`], where the parts do not fit `format` or
    /// each other.
    pub fn new(format: Format, pixels: Vec<u8>, labels: Vec<u8>, origin: &Path) -> Result<Self, DataError> {
        let Format { classes, .. } = format;
        let path = || origin.to_path_buf();
        let images = pixels.len() / format.pixels().max(1);
        if labels.is_empty() && pixels.is_empty() {
            return Err(DataError::Empty { path: path() });
        }
        if images != labels.len() || images * format.pixels() != pixels.len() {
            return Err(DataError::Count { path: path(), images, labels: labels.len() });
        }
        match labels.iter().position(|&label| usize::from(label) >= classes) {
            Some(index) => Err(DataError::Label { path: path(), index, label: labels[index], classes }),
            None => Ok(Self { format, pixels, labels }),
        }
    }

    /// The size of the images and the number of classes.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The number of images, never 0.
    #[allow(clippy::len_without_is_empty)] // it would always be false
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// The grey values of image `index`, row by row: 0 is the background, 255 full ink.
    ///
    /// # Panics
    ///
    /// If `index >= self.len()`, like a slice.
    pub fn image(&self, index: usize) -> &[u8] {
        let pixels = self.format.pixels();
        &self.pixels[index * pixels..][..pixels]
    }

    /// Keeps only the first `images` images, and at least one.
    pub fn truncate(&mut self, images: usize) {
        self.labels.truncate(images.max(1));
        self.pixels.truncate(images.max(1) * self.format.pixels());
    }

    /// The class of image `index`.
    ///
    /// # Panics
    ///
    /// If `index >= self.len()`, like a slice.
    pub fn label(&self, index: usize) -> u8 {
        self.labels[index]
    }

    /// All images, one after the other.
    pub fn images(&self) -> &[u8] {
        &self.pixels
    }

    /// Mean and standard deviation of all pixels, rounded to four decimals, as they are usually given; None where
    /// nothing deviates.
    pub fn normalization(&self) -> Option<Normalization> {
        let mut counts = [0_u64; 256];
        self.pixels.iter().for_each(|&pixel| counts[usize::from(pixel)] += 1);
        let sum = |power| {
            counts.iter().zip(0_u64..).map(|(count, grey)| count * grey.pow(power)).sum::<u64>() as f64
        };
        let mean = sum(1) / sum(0) / 255.0;
        let std = (sum(2) / sum(0) / 255.0 / 255.0 - mean * mean).max(0.0).sqrt();
        let round = |value: f64| ((1e4 * value).round() / 1e4) as f32;
        Some(Normalization { mean: round(mean), std: round(std) })
            .filter(|normalization| normalization.std > 0.0)
    }

    /// All labels.
    pub fn labels(&self) -> &[u8] {
        &self.labels
    }

    /// Draws a tenth of the images for validation and keeps the rest for training: two ascending lists of indices,
    /// (train, validation). The same seed and length always give the same lists. Of a single image, the validation
    /// part is empty.
    pub fn split(&self, seed: u64) -> (Vec<usize>, Vec<usize>) {
        let mut train: Vec<usize> = (0..self.len()).collect();
        train.shuffle(&mut stream(Purpose::Split, [seed, 0, 0]));
        let mut validation = train.split_off(self.len() - self.len().div_ceil(10).min(self.len() - 1));
        train.sort_unstable();
        validation.sort_unstable();
        (train, validation)
    }
}

/// A data set in its two parts, and where it came from.
#[derive(Debug)]
pub struct Splits {
    /// `mnist`, `synthetic`, or the folder's name. A folder that is called like one of the variants of [`Source`] has the
    /// name `./mnist`, unless its content is MNIST.
    pub name: String,
    /// Where they were found: never [`Source::Auto`], and a folder by its absolute path.
    pub source: Source,
    /// Whether these are the built-in digits. Accuracies on them say nothing about real handwriting.
    pub synthetic: bool,
    /// Why [`Source::Auto`] fell back to the built-in digits; to be shown loudly.
    pub fallback: Option<DataError>,
    /// Folders next to those of images to train and to test on, of which nothing was read; to be named to the user.
    pub passed_over: Vec<PathBuf>,
    /// What a label stands for, one name per class.
    pub class_names: Vec<String>,
    /// How pixels become numbers: by mean and standard deviation of the images to train on.
    pub normalization: Normalization,
    /// The images to train (and validate) on.
    pub train: Dataset,
    /// The images to test on, once, at the end.
    pub test: Dataset,
}

impl Splits {
    /// Checks that a network that expects `format` can be trained on these images; it can, on those that [`load`] returns.
    ///
    /// # Errors
    ///
    /// [`DataError::Unfit`].
    pub fn check(&self, format: Format) -> Result<(), DataError> {
        let unfit = |reason| Err(DataError::Unfit { name: self.name.clone(), reason });
        let Format { side, classes } = format;
        for part in [&self.train, &self.test] {
            let Format { side: theirs, .. } = part.format;
            if theirs != side {
                return unfit(format!(
                    "images of {theirs}x{theirs} pixels, but the network takes {side}x{side}"
                ));
            }
            if part.format.classes != classes {
                let found = part.format.classes;
                return unfit(format!("images of {found} classes, but the network has {classes}"));
            }
        }
        if self.train.len() < 2 {
            return unfit("a single image to train on, so that none is left to validate with".to_owned());
        }
        Ok(())
    }

    /// The SHA-256 in hexadecimal digits of all images and labels: of the first `training_images` to train on, and of
    /// those to test on.
    pub fn sha256(&self, training_images: usize) -> String {
        let mut hash = Sha256::new();
        for (part, images) in
            [(&self.train, training_images.min(self.train.len())), (&self.test, self.test.len())]
        {
            hash.update(&part.images()[..images * part.format().pixels()]);
            hash.update(&part.labels()[..images]);
        }
        hex(hash.finalize())
    }
}

/// Where the images come from: the argument of `--data`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// `auto`: MNIST, and where it cannot be had, the built-in digits.
    #[default]
    Auto,
    /// `mnist`: MNIST from `$MNIST_DIR`, from `data/mnist`, or downloaded there.
    Mnist,
    /// `synthetic`: the built-in digits.
    Synthetic,
    /// A folder with four files in MNIST's format, perhaps with [`CLASS_NAMES`], or with a folder of PNG and JPEG files
    /// for each class. One that is called like a variant above is `./mnist`.
    Directory(PathBuf),
}

impl Source {
    /// Whether `path` is the folder, or lies in it. A folder in a folder with files in MNIST's format does not count: it is
    /// not read.
    pub fn is_within(&self, path: &Path) -> bool {
        let directory = match self {
            Self::Directory(directory) => directory.clone(),
            Self::Auto | Self::Mnist => chosen_directory().unwrap_or_else(|| MNIST_CACHE.into()),
            Self::Synthetic => return false,
        };
        let (directory, path) = (resolve(&directory), resolve(path));
        let is_idx = || idx::FILES.iter().any(|file| file.find(&directory).is_some());
        path == directory || path.starts_with(&directory) && (path.is_file() || !is_idx())
    }
}

impl FromStr for Source {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text {
            "auto" => Self::Auto,
            "mnist" => Self::Mnist,
            "synthetic" => Self::Synthetic,
            directory => Self::Directory(directory.into()),
        })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Mnist => f.write_str("mnist"),
            Self::Synthetic => f.write_str("synthetic"),
            Self::Directory(directory) => directory.display().fmt(f),
        }
    }
}

/// Loads the images that `source` names, and checks that they fit `format`.
///
/// Files that are there but damaged are an error for every source: [`Source::Auto`] falls back only where MNIST is
/// neither on the disk nor to be downloaded.
///
/// # Errors
///
/// A [`DataError`] that says what is wrong, where, and what to do.
pub fn load(source: &Source, format: Format) -> Result<Splits, DataError> {
    load_and_tell(source, format, &|_, _| {})
}

/// [`load`], with somebody who is told how far it is.
///
/// # Errors
///
/// Those of [`load`].
pub fn load_and_tell(source: &Source, format: Format, reading: Reading) -> Result<Splits, DataError> {
    load_from(source, format, reading, chosen_directory(), Path::new(MNIST_CACHE), download::MIRRORS)
}

/// The folder that [`MNIST_DIR`] names.
fn chosen_directory() -> Option<PathBuf> {
    env::var_os(MNIST_DIR).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// [`load_and_tell`], with the surroundings as arguments.
fn load_from(
    source: &Source,
    format: Format,
    reading: Reading,
    chosen: Option<PathBuf>,
    cache: &Path,
    mirrors: &[&str],
) -> Result<Splits, DataError> {
    if format.classes > MAX_CLASSES {
        return Err(DataError::TooManyClasses { classes: format.classes });
    }
    let mnist = || match chosen {
        Some(directory) => Ok(directory),
        None => download::complete(cache, mirrors).map(|()| cache.to_path_buf()),
    };
    match source {
        Source::Auto => match mnist() {
            Ok(directory) => load_mnist(&directory, format),
            Err(reason) => load_synthetic(format, Some(reason)),
        },
        Source::Mnist => load_mnist(&mnist()?, format),
        Source::Synthetic => load_synthetic(format, None),
        Source::Directory(directory) => load_directory(directory, format, reading),
    }
}

fn load_mnist(directory: &Path, format: Format) -> Result<Splits, DataError> {
    load_idx(directory, format, "mnist".into(), Source::Mnist, &idx::FILES)
}

/// Whatever kind of data is in `directory`.
fn load_directory(directory: &Path, format: Format, reading: Reading) -> Result<Splits, DataError> {
    // Its own name only: where it lies is nobody's business who reads the model file. (`..` has one by another path.)
    let canonical = directory.canonicalize().unwrap_or_else(|_| directory.into());
    let name = directory.file_name().or(canonical.file_name()).unwrap_or(directory.as_os_str());
    let mut name = name.to_string_lossy().into_owned();
    if !matches!(name.parse(), Ok(Source::Directory(_))) {
        name.insert_str(0, "./"); // as it has to be written after --data, too
    }
    let source = Source::Directory(canonical);
    let files = idx::FILES.map(idx::File::unchecked);
    if !directory.is_dir() || files.iter().any(|file| file.find(directory).is_some()) {
        let mut splits = load_idx(directory, format, name, source, &files)?;
        let path = directory.join(CLASS_NAMES);
        if path.symlink_metadata().is_ok() {
            splits.class_names = read_class_names(path, format)?;
        }
        if splits.sha256(splits.train.len()) == MNIST_SHA256 {
            splits.name = Source::Mnist.to_string();
        }
        return Ok(splits);
    }
    if let Err(error) = fs::read_dir(directory) {
        return Err(DataError::Io { path: directory.into(), error });
    }
    if !folder::has_folders(directory)? {
        return Err(DataError::NoImages { path: directory.into() });
    }
    let folder::Folder { class_names, train, test, passed_over } = folder::read(directory, format, reading)?;
    Ok(Splits { passed_over, ..splits(directory, name, source, class_names, train, test)? })
}

fn load_idx(
    directory: &Path,
    format: Format,
    name: String,
    source: Source,
    [train_images, train_labels, test_images, test_labels]: &[idx::File; 4],
) -> Result<Splits, DataError> {
    let train = idx::read(directory, train_images, train_labels, format)?;
    let test = idx::read(directory, test_images, test_labels, format)?;
    splits(directory, name, source, numbers(format), train, test)
}

fn splits(
    directory: &Path,
    name: String,
    source: Source,
    class_names: Vec<String>,
    train: Dataset,
    test: Dataset,
) -> Result<Splits, DataError> {
    let blank = || DataError::Blank { path: directory.into() };
    let normalization = train.normalization().ok_or_else(blank)?;
    Ok(Splits {
        name,
        source,
        synthetic: false,
        fallback: None,
        passed_over: Vec::new(),
        class_names,
        normalization,
        train,
        test,
    })
}

/// What classes are called that have no names.
fn numbers(format: Format) -> Vec<String> {
    (0..format.classes).map(|class| class.to_string()).collect()
}

/// The first name that is in the list a second time.
pub fn repeated(names: &[String]) -> Option<&String> {
    let mut seen = HashSet::new();
    names.iter().find(|&name| !seen.insert(name))
}

/// The most bytes of a list of classes' names.
const LONGEST_LIST: u64 = 1 << 20;

fn read_class_names(path: PathBuf, format: Format) -> Result<Vec<String>, DataError> {
    let read = |path: &Path| {
        let error = |error| DataError::Io { path: path.to_owned(), error };
        // A pipe would be waited for without end.
        if let Some(kind) = no_file(&fs::metadata(path).map_err(error)?) {
            return Err(DataError::NotAFile { path: path.to_owned(), kind });
        }
        let mut bytes = Vec::new();
        let file = fs::File::open(path).map_err(error)?;
        file.take(LONGEST_LIST + 1).read_to_end(&mut bytes).map_err(error)?;
        Ok(bytes)
    };
    let bytes = read(&path)?;
    if bytes.len() as u64 > LONGEST_LIST {
        return Err(DataError::ClassEncoding { path, encoding: "larger than 1 MiB, and no list of names" });
    }
    let Ok(text) = str::from_utf8(&bytes) else {
        let utf16 = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
        let encoding = if utf16 { "text in UTF-16" } else { "not text in UTF-8" };
        return Err(DataError::ClassEncoding { path, encoding });
    };
    let text = text.trim_start_matches(BYTE_ORDER_MARK).trim_end();
    let names: Vec<_> = text.lines().map(|line| line.trim().nfc().collect::<String>()).collect();
    for (name, line) in names.iter().zip(1..) {
        if let Err(fault) = check_label(name) {
            return Err(DataError::ClassLine { path, line, fault });
        }
    }
    if let Some(name) = repeated(&names) {
        return Err(DataError::ClassTwice { path, name: name.clone() });
    }
    if names.len() != format.classes {
        return Err(DataError::ClassNames { path, found: names.len(), classes: format.classes });
    }
    Ok(names)
}

fn load_synthetic(format: Format, fallback: Option<DataError>) -> Result<Splits, DataError> {
    if format != synthetic::FORMAT {
        return Err(DataError::Synthetic { format });
    }
    Ok(Splits {
        name: "synthetic".into(),
        source: Source::Synthetic,
        synthetic: true,
        fallback,
        passed_over: Vec::new(),
        class_names: numbers(format),
        normalization: MNIST_NORMALIZATION,
        train: synthetic::dataset(synthetic::TRAIN_IMAGES, synthetic::TRAIN_SEED),
        test: synthetic::dataset(synthetic::TEST_IMAGES, synthetic::TEST_SEED),
    })
}

/// Sine and cosine for -pi..pi, by their series: unlike the platform's, the same bits everywhere.
fn sin_cos(angle: f32) -> (f32, f32) {
    let square = f64::from(angle) * f64::from(angle);
    let (mut sin, mut cos) = (1.0, 1.0);
    for n in (1..=12).rev() {
        let n = f64::from(2 * n);
        cos = 1.0 - square / (n * (n - 1.0)) * cos;
        sin = 1.0 - square / (n * (n + 1.0)) * sin;
    }
    ((sin * f64::from(angle)) as f32, cos as f32)
}

#[cfg(test)]
mod tests {
    use super::testing::Folder;
    use super::*;

    const FORMAT: Format = Format { side: 28, classes: 10 };
    const UNTOLD: Reading = &|_, _| {};
    /// A port that nobody serves: refuses at once.
    const NOWHERE: &[&str] = &["http://127.0.0.1:1/mnist"];

    #[test]
    fn source_is_what_the_user_wrote() {
        for (text, source) in [
            ("auto", Source::Auto),
            ("mnist", Source::Mnist),
            ("synthetic", Source::Synthetic),
            ("./mnist", Source::Directory("./mnist".into())),
        ] {
            assert_eq!(text.parse(), Ok(source.clone()));
            assert_eq!(source.to_string(), text);
        }
        assert_eq!(Source::default(), Source::Auto);
    }

    #[test]
    fn split_is_a_partition_by_seed() {
        let digits = synthetic::dataset(1001, 1);
        let (train, validation) = digits.split(42);
        assert_eq!((train.len(), validation.len()), (900, 101));
        let mut all = [train.clone(), validation.clone()].concat();
        all.sort_unstable();
        assert_eq!(all, Vec::from_iter(0..1001));
        assert!(train.is_sorted() && validation.is_sorted());
        assert_eq!(digits.split(42), (train.clone(), validation));
        assert_ne!(digits.split(43).0, train);
        assert_eq!(synthetic::dataset(1, 1).split(42), (vec![0], vec![]));
        assert_eq!(synthetic::dataset(2, 1).split(42).1.len(), 1);
    }

    #[test]
    fn parts_must_fit() {
        let format = Format { side: 2, classes: 10 };
        let new =
            |pixels, labels: &[u8]| Dataset::new(format, vec![0; pixels], labels.to_vec(), Path::new("x"));
        let dataset = new(8, &[9, 0]).unwrap();
        assert_eq!((dataset.len(), dataset.image(1), dataset.label(0)), (2, &[0; 4][..], 9));
        assert!(matches!(new(0, &[]), Err(DataError::Empty { .. })));
        assert!(matches!(new(8, &[1]), Err(DataError::Count { images: 2, labels: 1, .. })));
        assert!(matches!(new(9, &[1, 1]), Err(DataError::Count { .. })));
        let error = new(8, &[1, 12]).unwrap_err();
        assert!(matches!(error, DataError::Label { index: 1, label: 12, classes: 10, .. }));
        let message = error.to_string();
        let expected = "x: label 12 at index 1, but there are 10 classes: labels go from 0 to 9; ";
        assert!(message.starts_with(expected) && message.contains("README"), "{message}");
    }

    #[test]
    fn auto_falls_back_where_there_is_no_mnist() {
        let folder = Folder::new("fallback");
        let cache = folder.path().join("cache");
        let data = load_from(&Source::Auto, FORMAT, UNTOLD, None, &cache, NOWHERE).unwrap();
        assert!(data.synthetic && data.name == "synthetic");
        assert_eq!((data.train.len(), data.test.len()), (12_000, 2_000));
        assert_eq!(data.class_names[9], "9");
        let note = data.fallback.unwrap().to_string();
        assert!(note.contains("127.0.0.1:1") && note.contains("MNIST_DIR") && !note.contains('\n'), "{note}");
        assert!(!cache.exists(), "a failure leaves an empty folder");

        let strict = load_from(&Source::Mnist, FORMAT, UNTOLD, None, &cache, NOWHERE);
        assert!(matches!(strict, Err(DataError::Download { .. })));
        let chosen = load_from(&Source::Synthetic, FORMAT, UNTOLD, None, &cache, NOWHERE).unwrap();
        assert!(chosen.synthetic && chosen.fallback.is_none());
    }

    #[test]
    fn auto_does_not_hide_broken_files() {
        let folder = Folder::new("broken");
        let load_auto = |chosen: Option<&Path>| {
            load_from(&Source::Auto, FORMAT, UNTOLD, chosen.map(Path::to_path_buf), folder.path(), NOWHERE)
        };
        let nowhere = folder.path().join("nowhere");
        assert!(matches!(load_auto(Some(&nowhere)), Err(DataError::MissingDirectory { .. })));
        assert!(matches!(load_auto(Some(folder.path())), Err(DataError::MissingFile { .. })));
        folder.write_set("", 28, &[3, 1]);
        assert!(matches!(load_auto(Some(folder.path())), Err(DataError::Checksum { .. })));
        assert!(matches!(load_auto(None), Err(DataError::Checksum { .. })), "those in the cache count, too");
        // The same files are fine as a set of their own.
        let own = Source::Directory(folder.path().into());
        let data = load_from(&own, FORMAT, UNTOLD, None, &nowhere, NOWHERE).unwrap();
        assert_eq!((data.train.labels(), data.test.len(), data.synthetic), (&[3, 1][..], 2, false));
        assert_eq!(Some(data.name.as_ref()), folder.path().file_name());
    }

    #[test]
    fn classes_may_have_names() {
        let folder = Folder::new("names");
        folder.write_set("", 28, &[3, 1]);
        let load = || load(&Source::Directory(folder.path().into()), FORMAT);
        assert_eq!(load().unwrap().class_names[8..], ["8", "9"]);
        let names =
            "T-shirt/top\nTrouser\r\n Pullover\nDress\nCoat\nSandal\nShirt\nSneaker\nBag\nAnkle boot\n\n";
        folder.write(CLASS_NAMES, names.as_bytes());
        let loaded = load().unwrap().class_names;
        assert_eq!(
            (loaded.len(), &loaded[..3]),
            (10, &["T-shirt/top", "Trouser", "Pullover"].map(String::from)[..])
        );
        for (bad, found) in [("one\ntwo", 2), ("", 0), (&format!("{}\nx", names.trim_end()), 11)] {
            folder.write(CLASS_NAMES, bad.as_bytes());
            let error = load().unwrap_err();
            let message = error.to_string();
            assert!(
                message.contains(&format!("labels.txt: {found} names, but the network has 10")),
                "{message}"
            );
            assert!(matches!(error, DataError::ClassNames { classes: 10, .. }));
        }
    }

    #[test]
    fn lists_of_class_names_are_text() {
        let folder = Folder::new("text");
        folder.write_set("", 28, &[3, 1]);
        let load = |names: &[u8]| {
            folder.write(CLASS_NAMES, names);
            load(&Source::Directory(folder.path().into()), FORMAT)
        };
        let names = "a\nb\nc\nd\ne\nf\ng\nh\ni\ncafe\u{301}";
        let expected = load(names.as_bytes()).unwrap().class_names;
        assert_eq!(expected[9], "caf\u{e9}");
        for same in [format!("\u{feff}{names}"), format!("{names}\n\n  \r\n"), names.replace('\n', "\r\n")] {
            assert_eq!(load(same.as_bytes()).unwrap().class_names, expected, "{same:?}");
        }
        for (bad, words) in [
            (names.replace('c', "c\u{7}"), "the name in line 3 contains a control character"),
            (names.replace("d\n", " \n"), "the name in line 4 is empty"),
            (names.replace('b', &"b".repeat(101)), "the name in line 2 has more than 100 characters"),
            (names.replace('b', "a"), "a is there twice"),
        ] {
            let error = load(bad.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        let utf16: Vec<u8> =
            [0xff, 0xfe].into_iter().chain(names.encode_utf16().flat_map(u16::to_le_bytes)).collect();
        for (bad, words) in
            [(utf16, "text in UTF-16: save labels.txt as UTF-8"), (vec![0x80; 9], "not text in UTF-8")]
        {
            let error = load(&bad).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn folders_do_not_take_the_names_of_built_in_data() {
        let parent = tempfile::tempdir().unwrap();
        for (called, name) in
            [("mnist", "./mnist"), ("synthetic", "./synthetic"), ("auto", "./auto"), ("mine", "mine")]
        {
            let folder = Folder::new(called);
            folder.write_set("", 28, &[0, 1, 2]);
            let path = parent.path().join(called);
            fs::rename(folder.path(), &path).unwrap();
            assert_eq!(load(&Source::Directory(path), FORMAT).unwrap().name, name);
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_list_of_names_that_cannot_be_read_is_no_missing_one() {
        let folder = Folder::new("link");
        folder.write_set("", 28, &[0, 1, 2]);
        std::os::unix::fs::symlink("/no/such/file", folder.path().join(CLASS_NAMES)).unwrap();
        let error = load(&Source::Directory(folder.path().into()), FORMAT).unwrap_err().to_string();
        assert!(error.contains("labels.txt"), "{error}");
    }

    #[test]
    fn a_file_is_not_a_folder() {
        let folder = Folder::new("file");
        folder.write("a.png", b"any");
        let error = load(&Source::Directory(folder.path().join("a.png")), FORMAT).unwrap_err();
        assert!(matches!(error, DataError::NotADirectory { .. }));
        assert!(error.to_string().contains("vit-train predict"), "{error}");
    }

    #[test]
    fn normalization_is_that_of_the_pixels() {
        let format = Format { side: 2, classes: 1 };
        let of = |pixels: &[u8]| {
            Dataset::new(format, pixels.to_vec(), vec![0; pixels.len() / 4], Path::new("x"))
                .unwrap()
                .normalization()
        };
        assert_eq!(of(&[0, 255, 0, 255]), Some(Normalization { mean: 0.5, std: 0.5 }));
        // 51 / 255 = 0.2: mean 0.05 and variance (3 * 0.05^2 + 0.15^2) / 4 = 0.0075.
        assert_eq!(of(&[0, 0, 51, 0]), Some(Normalization { mean: 0.05, std: 0.0866 }));
        assert_eq!(of(&[9; 8]), None);
    }

    #[test]
    fn built_in_digits_need_their_format() {
        let error = load(&Source::Synthetic, Format { side: 32, classes: 10 }).unwrap_err();
        assert!(error.to_string().contains("takes 32x32 and 10"), "{error}");
        assert!(load(&Source::Synthetic, Format { side: 28, classes: 26 }).is_err());
    }

    #[test]
    fn mnist_itself() {
        if env::var_os(MNIST_DIR).is_none() {
            return;
        }
        let data = load(&Source::Auto, FORMAT).unwrap();
        assert!(!data.synthetic && data.name == "mnist");
        assert_eq!((data.train.len(), data.test.len()), (60_000, 10_000));
        assert_eq!(data.train.labels()[..5], [5, 0, 4, 1, 9]);
        assert_eq!(data.test.labels()[..5], [7, 2, 1, 0, 4]);
        assert_eq!(data.normalization, MNIST_NORMALIZATION);
        assert_eq!(data.train.split(42).1.len(), 6_000);
        let folder = Source::Directory(env::var_os(MNIST_DIR).unwrap().into());
        assert_eq!(load(&folder, FORMAT).unwrap().name, "mnist");
    }

    #[test]
    fn series_are_sine_and_cosine() {
        use std::f32::consts::PI;
        for (angle, sin, cos) in [
            (0.0, 0.0, 1.0),
            (PI / 6.0, 0.5, 0.75_f32.sqrt()),
            (-PI / 4.0, -(0.5_f32.sqrt()), 0.5_f32.sqrt()),
            (PI / 2.0, 1.0, 0.0),
            (PI, 0.0, -1.0),
        ] {
            let (a, b) = sin_cos(angle);
            assert!((a - sin).abs() < 2e-7 && (b - cos).abs() < 2e-7, "{angle}: {a}, {b}");
        }
    }
}

#[cfg(test)]
mod testing {
    //! Folders and files for this module's tests.

    use std::path::{Path, PathBuf};
    use std::{env, fs, process};

    /// A folder that goes away with the test.
    pub struct Folder(PathBuf);

    impl Folder {
        pub fn new(name: &str) -> Self {
            let path = env::temp_dir().join(format!("vit-train-{}-{name}", process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        pub fn path(&self) -> &Path {
            &self.0
        }

        pub fn write(&self, name: &str, bytes: &[u8]) {
            fs::write(self.0.join(name), bytes).unwrap();
        }

        /// Writes the four files of a set with these labels, their names followed by `suffix`.
        pub fn write_set(&self, suffix: &str, side: u32, labels: &[u8]) {
            for part in ["train", "t10k"] {
                self.write(&format!("{part}-images-idx3-ubyte{suffix}"), &images(labels.len(), side));
                self.write(
                    &format!("{part}-labels-idx1-ubyte{suffix}"),
                    &idx(0x801, &[labels.len() as u32], labels),
                );
            }
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0); // the next run does not mind
        }
    }

    pub fn idx(magic: u32, dimensions: &[u32], content: &[u8]) -> Vec<u8> {
        let header =
            [magic].into_iter().chain(dimensions.iter().copied()).flat_map(|word| word.to_be_bytes());
        header.chain(content.iter().copied()).collect()
    }

    pub fn images(count: usize, side: u32) -> Vec<u8> {
        let pixels: Vec<u8> = (0..count * (side * side) as usize).map(|at| (at % 251) as u8).collect();
        idx(0x803, &[count as u32, side, side], &pixels)
    }
}
