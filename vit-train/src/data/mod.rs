//! Loads images for training and testing, and augments or corrupts them.
//!
//! [`load`] turns a [`Source`] (MNIST, CIFAR-10, the built-in digits or a folder) into a pair of [`Dataset`]s, one to
//! train on and one to test on. Images stay levels of 8 bits from the file to the network's input, because that is what
//! the microcontroller sees, too. [`Dataset::split`] sets a validation part aside, and [`Augmentation`] varies the
//! rest.
//!
//! Every random choice is a function of numbers that the caller passes, such as (seed, epoch, index). Neither the order
//! of calls nor the number of threads changes a pixel.
//!
//! ```
//! use vit_nostd::frame::Fit;
//! use vit_train::data::{load, Augmentation, Format, Source};
//!
//! let format = Format::grey(28, 10);
//! let data = load(&Source::Synthetic, format, Fit::Crop)?;
//! let (train, validation) = data.train.split(42);
//! assert_eq!(train.len(), 9 * validation.len());
//!
//! let (seed, epoch, index) = (42, 0, train[0]);
//! let mut image = vec![0; format.values()];
//! Augmentation::default().apply(data.train.image(index), format, (seed, epoch, index as u64), &mut image);
//! # Ok::<(), vit_train::data::DataError>(())
//! ```

mod augment;
mod cache;
mod choice;
mod cifar;
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
mod loading;
mod memory;
mod picture;
mod picture_error;
mod place;
pub mod signs;
mod sine;
mod source;
mod splits;
// The command that chooses a network for images needs it.
pub(crate) mod survey;
pub mod synthetic;
mod whole;

use labels::read_class_names;
use place::{Content, Named, Place};
use rayon::prelude::*;
use source::chosen_directory;
use std::{
    env,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};
use vit_nostd::frame::Fit;

pub use augment::Augmentation;
pub(crate) use augment::{Colours, Erased, Variation, Warp};
pub(crate) use choice::of_all_classes;
pub(crate) use corruption::Corruption;
pub use dataset::Dataset;
pub(crate) use dataset::MNIST_NORMALIZATION;
pub(crate) use error::list;
pub use error::DataError;
pub(crate) use folder::pictures_in;
pub use format::{Format, CIFAR10_DIR, MNIST_DIR};
pub(crate) use format::{CLASS_NAMES, MAX_CLASSES};
pub(crate) use labels::repeated;
pub(crate) use loading::{Loading, Reading, Unreadable};
pub(crate) use picture::read_fitted;
pub use picture_error::PictureError;
pub(crate) use place::UNKNOWN;
pub use source::Source;
pub(crate) use source::{CIFAR10_CACHE, PICTURE_CACHE, PICTURE_CACHE_DIR};
pub use splits::{Splits, Style};

/// The [`Splits::sha256`] of all of MNIST.
const MNIST_SHA256: &str = "06b0d1f124c4e5fa796686ade41a9b778edacc8622f2195a352ef479ad44fc16";

/// Loads the images that `source` names, and checks that they fit `format`. Pictures of another size are fitted to it as
/// `fit` says.
///
/// Damaged files are an error for every source: [`Source::Auto`] falls back to the built-in digits only if MNIST is not
/// on the disk and cannot be downloaded.
///
/// # Errors
///
/// Returns a [`DataError`] that says what is wrong, where, and what to do.
pub fn load(source: &Source, format: Format, fit: Fit) -> Result<Splits, DataError> {
    load_and_tell(source, format, &Loading { fit, ..Loading::default() })
}

/// Loads images like [`load`], in the way that `loading` describes.
///
/// # Errors
///
/// The errors are those of [`load`].
pub(crate) fn load_and_tell(source: &Source, format: Format, loading: &Loading) -> Result<Splits, DataError> {
    if format.classes > MAX_CLASSES {
        return Err(DataError::TooManyClasses { classes: format.classes });
    }
    load_from(Place::find(source, place::mnist, place::cifar10)?, format, loading)
}

/// Returns the name and the folder of the data set that has to be downloaded to load the images of `source`, if that
/// takes long.
pub(crate) fn long_download(source: &Source) -> Option<(&'static str, &'static Path)> {
    let cache = Path::new(CIFAR10_CACHE);
    let is_there =
        || chosen_directory(CIFAR10_DIR).is_some() || cifar::files().all(|name| cache.join(name).exists());
    (*source == Source::Cifar10 && !is_there()).then_some(("CIFAR-10 (170 MB)", cache))
}

/// Returns the folder for the levels of decoded pictures: the one that the environment variable [`PICTURE_CACHE_DIR`]
/// names, or else `data/pictures`. Returns `None` if the variable is set and empty.
pub(crate) fn picture_cache() -> Option<PathBuf> {
    match env::var_os(PICTURE_CACHE_DIR) {
        None => Some(PICTURE_CACHE.into()),
        Some(directory) => (!directory.is_empty()).then(|| directory.into()),
    }
}

/// Loads the images in `place` like [`load_and_tell`].
fn load_from(place: Place, format: Format, loading: &Loading) -> Result<Splits, DataError> {
    let style = place.style();
    let splits = match place {
        Place::Mnist(directory) => load_mnist(&directory, format),
        Place::Cifar10(directory) => {
            load_cifar10(&directory, format, Source::Cifar10.to_string(), Source::Cifar10)
        }
        Place::Digits(fallback) => load_synthetic(format, fallback),
        Place::Signs => load_signs(format, loading),
        Place::Named(named) => load_named(named, format, loading),
    };
    Ok(Splits { style, ..splits? })
}

/// Loads the files of CIFAR-10, or files of the same format, in `directory`.
fn load_cifar10(directory: &Path, format: Format, name: String, source: Source) -> Result<Splits, DataError> {
    let cifar::Cifar10 { class_names, train, test } = cifar::read(directory, format)?;
    splits(directory, name, source, class_names, train, test)
}

fn load_mnist(directory: &Path, format: Format) -> Result<Splits, DataError> {
    load_idx(directory, format, "mnist".into(), Source::Mnist, &idx::FILES)
}

/// Loads the images in a folder that the user has named.
fn load_named(named: Named, format: Format, loading: &Loading) -> Result<Splits, DataError> {
    let Named { directory, name, source, content } = named;
    match content {
        Content::Idx => {
            let files = idx::FILES.map(idx::File::unchecked);
            let mut splits = load_idx(&directory, format, name, source, &files)?;
            let path = directory.join(CLASS_NAMES);
            if path.symlink_metadata().is_ok() {
                splits.class_names = read_class_names(path, format)?;
            }
            if splits.sha256(splits.train.len()) == MNIST_SHA256 {
                splits.name = Source::Mnist.to_string();
            }
            Ok(splits)
        }
        Content::Cifar10 => load_cifar10(&directory, format, name, source),
        Content::Folders => {
            let folder::Folder { class_names, train, test, passed_over, skipped } =
                folder::read(&directory, format, loading)?;
            let splits = splits(&directory, name, source, class_names, train, test)?;
            Ok(Splits { passed_over, skipped, fit: loading.fit, ..splits })
        }
    }
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
    splits(directory, name, source, numbers(format.classes), train, test)
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
        skipped: Vec::new(),
        class_names,
        style: Style::Digits,
        fit: Fit::Stretch,
        normalization,
        train,
        test,
    })
}

/// Returns the names of classes without names: their numbers.
fn numbers(classes: usize) -> Vec<String> {
    (0..classes).map(|class| class.to_string()).collect()
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
        skipped: Vec::new(),
        class_names: numbers(format.classes),
        style: Style::Digits,
        fit: Fit::Stretch,
        normalization: vec![MNIST_NORMALIZATION],
        train: synthetic::dataset(synthetic::TRAIN_IMAGES, synthetic::TRAIN_SEED),
        test: synthetic::dataset(synthetic::TEST_IMAGES, synthetic::TEST_SEED),
    })
}

/// Draws road signs for as many classes as the network has.
fn load_signs(format: Format, loading: &Loading) -> Result<Splits, DataError> {
    if format.classes > signs::MAX_CLASSES {
        return Err(DataError::Signs { classes: format.classes });
    }
    let path = Path::new("synthetic-signs");
    let (done, total) = (AtomicUsize::new(0), synthetic::TRAIN_IMAGES + synthetic::TEST_IMAGES);
    memory::check(path, total, format.values(), memory::available())?;
    let draw = |images: usize, seed: u64| {
        let mut levels = vec![0; images * format.values()];
        let pictures = levels.par_chunks_exact_mut(format.values()).enumerate();
        pictures.try_for_each(|(index, levels)| {
            let picture = signs::picture(index % format.classes, seed, index as u64);
            levels.copy_from_slice(&picture::fitted(picture.into(), format, loading.fit)?);
            (loading.reading)(done.fetch_add(1, Ordering::Relaxed) + 1, total);
            Ok::<(), PictureError>(())
        })?;
        Ok(Dataset {
            format,
            pixels: levels,
            labels: (0..images).map(|index| (index % format.classes) as u16).collect(),
        })
    };
    let unfit = |error| DataError::Picture { path: path.into(), error };
    let train = draw(synthetic::TRAIN_IMAGES, synthetic::TRAIN_SEED).map_err(unfit)?;
    let test = draw(synthetic::TEST_IMAGES, synthetic::TEST_SEED).map_err(unfit)?;
    let names = (0..format.classes).map(|class| signs::name(class).to_owned()).collect();
    let source = Source::SyntheticSigns;
    let splits = splits(path, source.to_string(), source, names, train, test)?;
    Ok(Splits { synthetic: true, fit: loading.fit, ..splits })
}

#[cfg(test)]
mod tests {
    use super::testing::Folder;
    use super::*;
    use std::fs;
    use vit_nostd::model_file::Normalization;

    const FORMAT: Format = Format::grey(28, 10);
    /// Loads images with MNIST in the folder `chosen` or, if there is none, downloaded from `mirrors` to `cache`.
    fn load_from(
        source: &Source,
        format: Format,
        chosen: Option<&Path>,
        cache: &Path,
        mirrors: &[&str],
    ) -> Result<Splits, DataError> {
        let mnist = || match chosen {
            Some(directory) => Ok(directory.to_owned()),
            None => download::complete(cache, mirrors).map(|()| cache.to_owned()),
        };
        let place = Place::find(source, mnist, || unreachable!())?;
        super::load_from(place, format, &Loading::default())
    }

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
        let format = Format::grey(2, 10);
        let new =
            |pixels, labels: &[u16]| Dataset::new(format, vec![0; pixels], labels.to_vec(), Path::new("x"));
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
        let data = load_from(&Source::Auto, FORMAT, None, &cache, NOWHERE).unwrap();
        assert!(data.synthetic && data.name == "synthetic");
        assert_eq!((data.train.len(), data.test.len()), (12_000, 2_000));
        assert_eq!(data.class_names[9], "9");
        let note = data.fallback.unwrap().to_string();
        assert!(note.contains("127.0.0.1:1") && note.contains("MNIST_DIR") && !note.contains('\n'), "{note}");
        assert!(!cache.exists(), "a failed download leaves an empty folder");

        let strict = load_from(&Source::Mnist, FORMAT, None, &cache, NOWHERE);
        assert!(matches!(strict, Err(DataError::Download { .. })));
        let chosen = load_from(&Source::Synthetic, FORMAT, None, &cache, NOWHERE).unwrap();
        assert!(chosen.synthetic && chosen.fallback.is_none());
    }

    #[test]
    fn auto_does_not_hide_broken_files() {
        let folder = Folder::new("broken");
        let load_auto =
            |chosen: Option<&Path>| load_from(&Source::Auto, FORMAT, chosen, folder.path(), NOWHERE);
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
        let data = load_from(&own, FORMAT, None, &nowhere, NOWHERE).unwrap();
        assert_eq!((data.train.labels(), data.test.len(), data.synthetic), (&[3, 1][..], 2, false));
        assert_eq!(Some(data.name.as_ref()), folder.path().file_name());
    }

    #[test]
    fn classes_may_have_names() {
        let folder = Folder::new("names");
        folder.write_set("", 28, &[3, 1]);
        let load = || load(&Source::Directory(folder.path().into()), FORMAT, Fit::Crop);
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
            load(&Source::Directory(folder.path().into()), FORMAT, Fit::Crop)
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
            assert_eq!(load(&Source::Directory(path), FORMAT, Fit::Crop).unwrap().name, name);
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_list_of_names_that_cannot_be_read_is_no_missing_one() {
        let folder = Folder::new("link");
        folder.write_set("", 28, &[0, 1, 2]);
        std::os::unix::fs::symlink("/no/such/file", folder.path().join(CLASS_NAMES)).unwrap();
        let error =
            load(&Source::Directory(folder.path().into()), FORMAT, Fit::Crop).unwrap_err().to_string();
        assert!(error.contains("labels.txt"), "{error}");
    }

    #[test]
    fn a_file_is_not_a_folder() {
        let folder = Folder::new("file");
        folder.write("a.png", b"any");
        let error = load(&Source::Directory(folder.path().join("a.png")), FORMAT, Fit::Crop).unwrap_err();
        assert!(matches!(error, DataError::NotADirectory { .. }));
        assert!(error.to_string().contains("a.png: a file, and images"), "{error}");
    }

    #[test]
    fn normalization_is_that_of_the_pixels() {
        let format = Format::grey(2, 1);
        let of = |pixels: &[u8]| {
            Dataset::new(format, pixels.to_vec(), vec![0; pixels.len() / 4], Path::new("x"))
                .unwrap()
                .normalization()
        };
        assert_eq!(of(&[0, 255, 0, 255]), Some(vec![Normalization { mean: 0.5, std: 0.5 }]));
        // 51 / 255 = 0.2: mean 0.05 and variance (3 * 0.05^2 + 0.15^2) / 4 = 0.0075.
        assert_eq!(of(&[0, 0, 51, 0]), Some(vec![Normalization { mean: 0.05, std: 0.0866 }]));
        assert_eq!(of(&[9; 8]), None);

        // Each channel has its own. That of green, which is the same everywhere, is not divided by 0.
        let format = Format { height: 1, width: 2, channels: 3, classes: 1 };
        let of = |levels: [u8; 6]| Dataset::new(format, levels.to_vec(), vec![0], Path::new("x")).unwrap();
        let channels = [(0.5, 0.5), (0.2, 1.0), (0.1, 0.1)].map(|(mean, std)| Normalization { mean, std });
        assert_eq!(of([0, 51, 51, 255, 51, 0]).normalization(), Some(channels.to_vec()));
        assert_eq!(of([7, 8, 9, 7, 8, 9]).normalization(), None);
    }

    #[test]
    fn built_in_digits_need_their_format() {
        let error = load(&Source::Synthetic, Format::grey(32, 10), Fit::Crop).unwrap_err();
        assert!(error.to_string().contains("takes 32x32 grey pixels and has 10 classes"), "{error}");
        assert!(load(&Source::Synthetic, Format::grey(28, 26), Fit::Crop).is_err());
    }

    #[test]
    fn mnist_itself() {
        if env::var_os(MNIST_DIR).is_none() {
            return;
        }
        let data = load(&Source::Auto, FORMAT, Fit::Crop).unwrap();
        assert!(!data.synthetic && data.name == "mnist");
        assert_eq!((data.train.len(), data.test.len()), (60_000, 10_000));
        assert_eq!(data.train.labels()[..5], [5, 0, 4, 1, 9]);
        assert_eq!(data.test.labels()[..5], [7, 2, 1, 0, 4]);
        assert_eq!(data.normalization, [MNIST_NORMALIZATION]);
        assert_eq!(data.train.split(42).1.len(), 6_000);
        let folder = Source::Directory(env::var_os(MNIST_DIR).unwrap().into());
        assert_eq!(load(&folder, FORMAT, Fit::Crop).unwrap().name, "mnist");
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
