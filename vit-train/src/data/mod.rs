//! Loads images for training and testing, and augments or corrupts them.
//!
//! [`load`] turns a [`Source`] (MNIST, the built-in digits or a folder) into a pair of [`Dataset`]s, one to train on
//! and one to test on. Images stay `u8` grey values from the file to the network's input, because that is what the
//! microcontroller sees, too. [`Dataset::split`] sets a validation part aside, and [`Augmentation`] varies the rest.
//!
//! Every random choice is a function of numbers that the caller passes, such as (seed, epoch, index). Neither the order
//! of calls nor the number of threads changes a pixel.
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
mod corruption;
mod dataset;
mod download;
mod error;
mod folder;
mod format;
pub(crate) mod handwriting;
mod idx;
mod jpeg;
mod labels;
mod picture;
mod sine;
mod source;
mod splits;
pub mod synthetic;

use labels::read_class_names;
use source::chosen_directory;
use std::{
    fs,
    path::{Path, PathBuf},
};

pub use augment::Augmentation;
pub(crate) use augment::Warp;
pub(crate) use corruption::Corruption;
pub use dataset::Dataset;
pub(crate) use dataset::MNIST_NORMALIZATION;
pub use error::DataError;
pub(crate) use folder::{pictures_in, Reading};
pub use format::{Format, MNIST_DIR};
pub(crate) use format::{CLASS_NAMES, MAX_CLASSES};
pub(crate) use labels::repeated;
pub use picture::PictureError;
pub use source::Source;
pub(crate) use source::MNIST_CACHE;
pub use splits::Splits;

/// The name of the data set of a network that does not say what it was trained on.
pub(crate) const UNKNOWN: &str = "unknown";

/// The [`Splits::sha256`] of all of MNIST.
const MNIST_SHA256: &str = "06b0d1f124c4e5fa796686ade41a9b778edacc8622f2195a352ef479ad44fc16";

/// Loads the images that `source` names, and checks that they fit `format`.
///
/// Damaged files are an error for every source: [`Source::Auto`] falls back to the built-in digits only if MNIST is not
/// on the disk and cannot be downloaded.
///
/// # Errors
///
/// Returns a [`DataError`] that says what is wrong, where, and what to do.
pub fn load(source: &Source, format: Format) -> Result<Splits, DataError> {
    load_and_tell(source, format, &|_, _| {})
}

/// Loads images like [`load`], and reports the progress to `reading`.
///
/// # Errors
///
/// The errors are those of [`load`].
pub(crate) fn load_and_tell(source: &Source, format: Format, reading: Reading) -> Result<Splits, DataError> {
    load_from(source, format, reading, chosen_directory(), Path::new(MNIST_CACHE), download::MIRRORS)
}

/// Does what [`load_and_tell`] does, with everything that depends on the environment as an argument: the folder
/// `chosen` by an environment variable, the `cache` for downloads and the `mirrors`.
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

/// Loads the four files in MNIST's format or the class folders in `directory`, whichever are there.
fn load_directory(directory: &Path, format: Format, reading: Reading) -> Result<Splits, DataError> {
    // The name goes into the model file, whose readers need not know the whole path. A path such as `..` has no name of
    // its own; its canonical form does.
    let canonical = directory.canonicalize().unwrap_or_else(|_| directory.into());
    let name = directory.file_name().or(canonical.file_name()).unwrap_or(directory.as_os_str());
    let mut name = name.to_string_lossy().into_owned();
    if !matches!(name.parse(), Ok(Source::Directory(_))) || name == UNKNOWN {
        name.insert_str(0, "./"); // without it, the name would mean a built-in data set, or none
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

/// Returns the names of classes without names: their numbers.
fn numbers(format: Format) -> Vec<String> {
    (0..format.classes).map(|class| class.to_string()).collect()
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

#[cfg(test)]
mod tests {
    use super::testing::Folder;
    use super::*;
    use std::env;
    use vit_nostd::model_file::Normalization;

    const FORMAT: Format = Format { side: 28, classes: 10 };
    const UNTOLD: Reading = &|_, _| {};
    /// A mirror at a port where nobody listens, so that connections are refused at once.
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
    fn a_limit_may_be_of_any_size() {
        for images in [10, 23_529_010_298_098_918, 1 << 60, usize::MAX] {
            let mut digits = synthetic::dataset(10, 1);
            digits.truncate(images);
            assert_eq!((digits.len(), digits.images().len()), (10, 10 * 784));
        }
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
        assert!(message.starts_with(expected) && message.contains("docs/guide.md"), "{message}");
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
        assert!(!cache.exists(), "a failed download leaves an empty folder");

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
        assert!(
            matches!(load_auto(None), Err(DataError::Checksum { .. })),
            "files in the cache are checked, too"
        );
        // The same files are accepted as a data set that does not claim to be MNIST.
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
            (names.replace('b', "a"), "the name a occurs twice"),
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
        for (called, name) in [
            ("mnist", "./mnist"),
            ("synthetic", "./synthetic"),
            ("auto", "./auto"),
            ("unknown", "./unknown"),
            ("mine", "mine"),
        ] {
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
        assert!(error.to_string().contains("a.png: a file, and images"), "{error}");
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
        assert!(error.to_string().contains("takes 32x32 pixels and has 10 classes"), "{error}");
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
}

#[cfg(test)]
mod testing {
    //! Folders and files for the tests of the data layer.

    use std::path::{Path, PathBuf};
    use std::{env, fs, process};

    /// A temporary folder that is removed when it goes out of scope.
    pub(super) struct Folder(PathBuf);

    impl Folder {
        pub(super) fn new(name: &str) -> Self {
            let path = env::temp_dir().join(format!("vit-train-{}-{name}", process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        pub(super) fn path(&self) -> &Path {
            &self.0
        }

        pub(super) fn write(&self, name: &str, bytes: &[u8]) {
            fs::write(self.0.join(name), bytes).unwrap();
        }

        /// Writes the four files of a data set with these labels; `suffix` is appended to their names.
        pub(super) fn write_set(&self, suffix: &str, side: u32, labels: &[u8]) {
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
            let _ = fs::remove_dir_all(&self.0); // a folder that is left does not disturb the next run
        }
    }

    /// Returns an IDX file with this header and content.
    pub(super) fn idx(magic: u32, dimensions: &[u32], content: &[u8]) -> Vec<u8> {
        let header =
            [magic].into_iter().chain(dimensions.iter().copied()).flat_map(|word| word.to_be_bytes());
        header.chain(content.iter().copied()).collect()
    }

    /// Returns an IDX file of `count` images whose grey values count from 0 to 250, again and again.
    pub(super) fn images(count: usize, side: u32) -> Vec<u8> {
        let pixels: Vec<u8> = (0..count * (side * side) as usize).map(|at| (at % 251) as u8).collect();
        idx(0x803, &[count as u32, side, side], &pixels)
    }
}
