//! Reads folders of class folders. A class folder has the name of a class and contains its pictures.
//!
//! ```text
//! pets/cat/one.png             pets/train/cat/one.png
//! pets/cat/two.jpg      or     pets/train/dog/three.png
//! pets/dog/three.png           pets/test/cat/two.jpg
//! ```
//!
//! The classes are numbered in natural order (2 before 10). The images to test on are in a folder `test` or, if there
//! is no such folder, in a folder `val`, next to the folder `train`. The names `training`, `testing`, `valid` and
//! `validation` are understood, too, in upper or lower case.
//!
//! If there is no folder of test images, a fifth of each class is set aside for testing: the files whose names have the
//! smallest SHA-256. The same files are set aside every time, and when files are added, most of the ones set aside
//! stay the same.
//!
//! Files that operating systems leave in folders are ignored. Every other file in a class folder has to be a picture.

use super::{
    dataset::Dataset,
    error::DataError,
    format::Format,
    picture::{self, PictureError},
};
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};
use unicode_normalization::UnicodeNormalization;
use vit_nostd::model_file::check_label;

/// The names that the folder of the images to train on may have, in lower case.
const TRAIN: &[&str] = &["train", "training"];
/// The names that the folder of the images to test on may have, in lower case. If both lists match a folder, the first
/// list takes precedence.
const TEST: [&[&str]; 2] = [&["test", "testing"], &["val", "valid", "validation"]];
/// The names, in lower case, of files and folders that operating systems and other programs leave in folders. Those
/// whose names begin with a full stop are ignored, too.
const LEFT_BEHIND: [&str; 8] = [
    "thumbs.db",
    "ehthumbs.db",
    "desktop.ini",
    "__macosx",
    "$recycle.bin",
    "system volume information",
    "lost+found",
    "@eadir",
];
/// The extensions of pictures. Formats that cannot be read are included, so that such files are reported and not
/// ignored.
const EXTENSIONS: [&str; 15] = [
    "png", "jpg", "jpeg", "jpe", "jfif", "heic", "heif", "avif", "webp", "gif", "bmp", "tif", "tiff", "jxl",
    "jp2",
];

/// A function that is called with the number of pictures read so far and the number of all pictures, to show the
/// progress.
///
/// Several threads may call it at once. It is called only while class folders are read, because other data load
/// quickly.
pub(crate) type Reading<'a> = &'a (dyn Fn(usize, usize) + Sync);

/// The content of a folder of class folders.
pub(super) struct Folder {
    pub class_names: Vec<String>,
    pub train: Dataset,
    pub test: Dataset,
    /// The folders next to those of the two parts, which were not read.
    pub passed_over: Vec<PathBuf>,
}

/// Returns true if there is a folder in `directory`.
pub(super) fn has_folders(directory: &Path) -> Result<bool, DataError> {
    Ok(entries(directory)?.iter().any(|path| path.is_dir()))
}

/// A path in a folder, with an error if its name is that of a picture but it is not a file.
pub(super) type Listed = (PathBuf, Result<(), DataError>);

/// Returns the pictures in a folder, sorted by name: everything with the extension of a picture, and files whose
/// content is a picture. If something has such an extension but is not a file (a pipe, for example), it comes with an
/// error.
///
/// # Errors
/// Returns [`DataError::Io`] if the folder cannot be read, and [`DataError::NoPictures`] if there are no pictures in
/// it.
pub(crate) fn pictures_in(directory: &Path) -> Result<Vec<Listed>, DataError> {
    let is_called_so = |path: &Path| {
        let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
        EXTENSIONS.iter().any(|known| extension == *known)
    };
    let mut pictures = Vec::new();
    for path in entries(directory)?.into_iter().filter(|path| !path.is_dir()) {
        let file = picture::require_file(&path);
        if is_called_so(&path) || file.is_ok() && picture::looks_like_a_picture(&path) {
            let refused = |error| DataError::Picture { path: path.clone(), error, others: Vec::new() };
            let file = file.map_err(refused);
            pictures.push((path, file));
        }
    }
    if pictures.is_empty() {
        return Err(DataError::NoPictures { path: directory.to_owned() });
    }
    Ok(pictures)
}

/// The folders that contain the class folders of the two parts of a data set.
struct Parts {
    train: PathBuf,
    test: Option<PathBuf>,
    passed_over: Vec<PathBuf>,
}

impl Parts {
    /// Finds out whether the folders in `directory` are parts or classes. They are parts if a folder with the name of
    /// a part contains folders. A class may be called `train`, but its folder contains pictures and no folders.
    fn find(directory: &Path) -> Result<Self, DataError> {
        let folders: Vec<_> = entries(directory)?.into_iter().filter(|path| path.is_dir()).collect();
        let called = |names: &[&str]| -> Vec<&PathBuf> {
            let has_name = |path: &&PathBuf| {
                let name = path.file_name().unwrap_or_default().to_ascii_lowercase();
                names.iter().any(|known| name == *known)
            };
            folders.iter().filter(has_name).collect()
        };
        let (train, test) = (called(TRAIN), TEST.map(called).into_iter().find(|test| !test.is_empty()));
        let test = test.unwrap_or_default();
        let mut has_classes = false;
        for part in [&train[..], &test].concat() {
            has_classes |= has_folders(part)?;
        }
        if !has_classes {
            return Ok(Self { train: directory.to_owned(), test: None, passed_over: Vec::new() });
        }

        let path = directory.to_owned();
        for (purpose, parts) in [("train", &train), ("test", &test)] {
            if let [first, second, ..] = parts[..] {
                let (first, second) = (first.clone(), second.clone());
                return Err(DataError::TwoParts { path, purpose, first, second });
            }
        }
        let test = test.first().copied().cloned();
        let Some(train) = train.first().copied().cloned() else {
            return Err(DataError::NoTrain { path, test: test.unwrap_or_default() });
        };
        if let Some(test) = &test {
            for (part, other) in [(&train, test), (test, &train)] {
                if !has_folders(part)? {
                    return Err(DataError::NoClasses { path: part.clone(), other: other.clone() });
                }
            }
        }
        let is_other = |path: &PathBuf| *path != train && Some(path) != test.as_ref();
        let passed_over = folders.iter().filter(|path| is_other(path)).cloned().collect();
        Ok(Self { train, test, passed_over })
    }
}

/// Reads the pictures in the class folders of `directory`.
pub(super) fn read(directory: &Path, format: Format, reading: Reading) -> Result<Folder, DataError> {
    let parts = Parts::find(directory)?;
    let classes = Class::all_in(&parts.train)?;
    let class_names: Vec<_> = classes.iter().map(|class| class.name.clone()).collect();
    if class_names.len() != format.classes {
        let path = parts.train;
        return Err(DataError::Classes { path, names: class_names, classes: format.classes });
    }
    let (mut train, mut test) = match &parts.test {
        Some(test_directory) => {
            let mut test = Vec::new();
            for class in Class::all_in(test_directory)? {
                let mut labels = (0..=u8::MAX).zip(&class_names);
                let Some((label, _)) = labels.find(|(_, name)| **name == class.name) else {
                    return Err(DataError::UnknownClass { path: class.path, train: parts.train });
                };
                test.extend(class.pictures(label)?);
            }
            let train = (0..=u8::MAX).zip(classes).map(|(label, class)| class.pictures(label));
            (train.collect::<Result<Vec<_>, _>>()?.concat(), test)
        }
        None => {
            let (mut train, mut test) = (Vec::new(), Vec::new());
            for (label, class) in (0..=u8::MAX).zip(classes) {
                let path = class.path.clone();
                let mut pictures = class.pictures(label)?;
                if pictures.len() < 2 {
                    return Err(DataError::TooFew { path });
                }
                pictures.sort_by_cached_key(Picture::key);
                train.extend(pictures.split_off(pictures.len().div_ceil(5)));
                test.extend(pictures);
            }
            (train, test)
        }
    };

    // The classes are mixed, so that the first images are a sample of all classes.
    train.sort_by_cached_key(Picture::key);
    test.sort_by_cached_key(Picture::key);
    let images = train.len();
    let pictures = [train, test].concat();
    let mut train_pixels = load(&pictures, format.side, reading)?;
    let test_pixels = train_pixels.split_off(images * format.pixels());
    let mut train_labels: Vec<_> = pictures.iter().map(|picture| picture.label).collect();
    let test_labels = train_labels.split_off(images);
    let train = Dataset::new(format, train_pixels, train_labels, &parts.train)?;
    let test = Dataset::new(format, test_pixels, test_labels, directory)?;
    Ok(Folder { class_names, train, test, passed_over: parts.passed_over })
}

/// Reads all pictures in parallel and returns the pixels of the resized images. Besides these, only one picture per
/// thread is in memory.
fn load(pictures: &[Picture], side: usize, reading: Reading) -> Result<Vec<u8>, DataError> {
    let (done, total) = (AtomicUsize::new(0), pictures.len());
    reading(0, total);
    let mut pixels = vec![0; total * side * side];
    let jobs = pixels.par_chunks_exact_mut(side * side).zip(pictures);
    let broken = jobs.filter_map(|(pixels, Picture { path, .. })| {
        let image = picture::require_file(path).and_then(|()| picture::read_square(path, side));
        reading(done.fetch_add(1, Ordering::Relaxed) + 1, total);
        image.map(|image| pixels.copy_from_slice(&image)).map_err(|error| (path, error)).err()
    });
    let mut broken: Vec<(&PathBuf, PictureError)> = broken.collect();
    broken.sort_by_key(|(path, _)| *path);
    let mut broken = broken.into_iter();
    match broken.next() {
        None => Ok(pixels),
        Some((path, error)) => {
            let others = broken.map(|(path, _)| path.clone()).collect();
            Err(DataError::Picture { path: path.clone(), error, others })
        }
    }
}

/// A class and its folder.
struct Class {
    name: String,
    path: PathBuf,
}

impl Class {
    /// Returns the classes in `directory`, in natural order.
    fn all_in(directory: &Path) -> Result<Vec<Self>, DataError> {
        let mut classes: Vec<Self> = Vec::new();
        for path in entries(directory)?.into_iter().filter(|path| path.is_dir()) {
            let Some(name) = path.file_name().and_then(OsStr::to_str) else {
                return Err(DataError::ClassNameEncoding { path });
            };
            if let Err(fault) = check_label(name) {
                return Err(DataError::ClassName { path, fault });
            }
            // Some file systems store accented letters composed and others decomposed.
            let name = name.nfc().collect();
            if let Some(same) = classes.iter().find(|class| class.name == name) {
                return Err(DataError::SameClass { path, other: same.path.clone() });
            }
            classes.push(Self { name, path });
        }
        classes.sort_by(|a, b| alphanumeric_sort::compare_str(&a.name, &b.name));
        Ok(classes)
    }

    /// Returns the files in this folder, which must be pictures. There is at least one.
    fn pictures(self, label: u8) -> Result<Vec<Picture>, DataError> {
        let paths = entries(&self.path)?;
        if let Some(path) = paths.iter().find(|path| path.is_dir()) {
            return Err(DataError::Nested { path: path.clone() });
        }
        if paths.is_empty() {
            return Err(DataError::Empty { path: self.path });
        }
        Ok(paths.into_iter().map(|path| Picture { path, label }).collect())
    }
}

/// A file and its class.
#[derive(Clone)]
struct Picture {
    path: PathBuf,
    label: u8,
}

impl Picture {
    /// Returns a key that sorts pictures into an order that does not depend on what they show and is the same on every
    /// machine.
    fn key(&self) -> ([u8; 32], u8) {
        let name = self.path.file_name().unwrap_or_default();
        (Sha256::digest(name.as_encoded_bytes()).into(), self.label)
    }
}

/// Returns the paths in `directory`, sorted, without hidden files and those that operating systems leave.
fn entries(directory: &Path) -> Result<Vec<PathBuf>, DataError> {
    let failed = |error| DataError::Io { path: directory.to_owned(), error };
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_ascii_lowercase();
        let left_behind = LEFT_BEHIND.iter().any(|known| name == *known) || name == "icon\r";
        if !left_behind && !name.as_encoded_bytes().starts_with(b".") {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::super::{load, load_and_tell, Source, Splits};
    use super::*;
    use image::GrayImage;
    use std::{collections::BTreeSet, sync::Mutex};
    use tempfile::TempDir;

    const FORMAT: Format = Format { side: 28, classes: 3 };

    /// Creates a folder with these files. Files whose names end with `png` become pictures of this grey value, and
    /// all others text files.
    fn folder(files: &[(&str, u8)]) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        for &(name, grey) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            match name.ends_with("png") {
                true => GrayImage::from_pixel(40, 30, [grey].into()).save(path).unwrap(),
                false => fs::write(path, "no picture").unwrap(),
            }
        }
        folder
    }

    fn read(folder: &TempDir) -> Splits {
        load(&Source::Directory(folder.path().into()), FORMAT).unwrap()
    }

    /// Returns the error for these files, and checks that its message is one line that names the place.
    fn refuse(files: &[(&str, u8)], place: &str, words: &[&str]) -> DataError {
        let folder = folder(files);
        let error = load(&Source::Directory(folder.path().into()), FORMAT).unwrap_err();
        let message = error.to_string();
        let place = folder.path().join(place).display().to_string();
        assert!(message.starts_with(&format!("{}: ", place.trim_end_matches('/'))), "{message}");
        assert!(!message.contains('\n') && words.iter().all(|word| message.contains(word)), "{message}");
        error
    }

    /// Returns the label and grey value of each image.
    fn content(dataset: &Dataset) -> BTreeSet<(u8, u8)> {
        (0..dataset.len()).map(|index| (dataset.label(index), dataset.image(index)[0])).collect()
    }

    /// Returns `count` pictures for each of three classes. Every picture has a different grey value.
    fn classes(count: u8) -> Vec<(String, u8)> {
        let picture = |class: u8, n| (format!("c{}/{n}.png", 9 + class), 50 * class + n);
        (0..3).flat_map(|class| (0..count).map(move |n| picture(class, n))).collect()
    }

    fn borrow(files: &[(String, u8)]) -> Vec<(&str, u8)> {
        files.iter().map(|(name, grey)| (name.as_str(), *grey)).collect()
    }

    #[test]
    fn train_and_test_are_matched_by_name() {
        let files = [
            ("train/10/a.png", 10),
            ("train/2/a.png", 2),
            ("train/2/b.png", 3),
            ("train/x y/a.png", 77),
            ("test/10/z.png", 11),
            ("test/2/z.png", 4),
            ("val/2/z.png", 99),
            ("train/2/.hidden", 0),
            (".git/x", 0),
            ("README", 0),
        ];
        let folder = folder(&files);
        let data = read(&folder);
        assert_eq!(data.passed_over, [folder.path().join("val")]);
        assert_eq!(data.class_names, ["2", "10", "x y"], "natural order");
        assert_eq!(content(&data.train), [(0, 2), (0, 3), (1, 10), (2, 77)].into());
        assert_eq!(content(&data.test), [(0, 4), (1, 11)].into());
        assert_eq!(Some(data.normalization), data.train.normalization());
    }

    #[test]
    fn a_fifth_of_each_class_is_set_aside_and_stays_aside() {
        let files = classes(11);
        let data = read(&folder(&borrow(&files)));
        assert_eq!(data.class_names, ["c9", "c10", "c11"]);
        let (train, test) = (content(&data.train), content(&data.test));
        assert_eq!((train.len(), test.len()), (24, 9));
        assert!(train.is_disjoint(&test));
        assert!((0..3).all(|class| test.iter().filter(|(label, _)| *label == class).count() == 3));
        assert!(train.union(&test).all(|(label, grey)| *label == grey / 50));

        // The same files are set aside if they were made in another order, in another folder, with other class names.
        let other: Vec<_> = files.iter().rev().map(|(name, grey)| (name.replace('c', "d"), *grey)).collect();
        let other = read(&folder(&borrow(&other)));
        assert_eq!((&other.train, &other.test), (&data.train, &data.test));

        // When files are added, few of the others move between the parts.
        let more = content(&read(&folder(&borrow(&classes(13)))).test);
        assert!(test.difference(&more).count() <= 3, "{test:?} {more:?}");
    }

    #[test]
    fn the_first_images_are_of_all_classes() {
        let mut data = read(&folder(&borrow(&classes(20))));
        data.train.truncate(10);
        let labels: BTreeSet<u8> = data.train.labels().iter().copied().collect();
        assert_eq!(labels, [0, 1, 2].into());
    }

    #[test]
    fn reading_is_told() {
        let folder = folder(&borrow(&classes(5)));
        let told = Mutex::new(Vec::new());
        let source = Source::Directory(folder.path().into());
        load_and_tell(&source, FORMAT, &|done, total| told.lock().unwrap().push((done, total))).unwrap();
        let mut told = told.into_inner().unwrap();
        told.sort();
        assert_eq!(told, Vec::from_iter((0..=15).map(|done| (done, 15))));
    }

    #[test]
    fn a_class_may_be_called_train() {
        let names = ["train/a.png", "train/b.png", "test/a.png", "test/b.png", "val/a.png", "val/b.png"];
        assert_eq!(
            read(&folder(&names.map(|name| (name, name.len() as u8)))).class_names,
            ["test", "train", "val"]
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = refuse(&[], "", &["no images", "MNIST's four files", "folder of PNG or JPEG"]);
        assert!(matches!(error, DataError::NoImages { .. }));
        refuse(&[("a.png", 1)], "", &["no images"]);
        let two = [("cat/1.png", 1), ("dog/1.png", 2)];
        let error = refuse(&two, "", &["2 class folders (cat, dog)", "has 3 classes", "docs/guide.md"]);
        assert!(matches!(error, DataError::Classes { classes: 3, .. }));

        let owl = |more: &[(&'static str, u8)]| {
            let good =
                [("cat/1.png", 1), ("cat/2.png", 2), ("dog/1.png", 3), ("dog/2.png", 4), ("owl/1.png", 5)];
            [&good, more].concat()
        };
        let error = refuse(&owl(&[]), "owl", &["only one image"]);
        assert!(matches!(error, DataError::TooFew { .. }));
        let error = refuse(&owl(&[("owl/more/2.png", 6)]), "owl/more", &["within a class folder"]);
        assert!(matches!(error, DataError::Nested { .. }));
        refuse(&owl(&[("owl/2.txt", 6)]), "owl/2.txt", &["cannot be read as a PNG or JPEG"]);
        let broken = owl(&[("owl/2.txt", 6), ("dog/9.jpg", 6), ("owl/3.jpeg", 6)]);
        refuse(&broken, "dog/9.jpg", &["and 2 more cannot be used either", "owl/2.txt", "owl/3.jpeg"]);
        refuse(&[("a/1.png", 1), ("b/1.png", 1), ("c/.hidden", 1)], "a", &["only one image"]);
        let empty = [("a/1.png", 1), ("a/2.png", 1), ("b/1.png", 1), ("b/2.png", 1), ("c/.hidden", 1)];
        refuse(&empty, "c", &["no images in it"]);
    }

    /// Returns a train and a test image for each of three classes, in folders of these names.
    fn in_parts(train: &str, test: &str) -> Vec<(String, u8)> {
        let picture =
            |part: &str, class: u8| (format!("{part}/c{class}/1.png"), 50 * class + part.len() as u8);
        (0..3).flat_map(|class| [picture(train, class), picture(test, class)]).collect()
    }

    #[test]
    fn parts_are_recognised_by_many_names() {
        for (train, test) in [
            ("train", "test"),
            ("Train", "Test"),
            ("TRAIN", "testing"),
            ("training", "VAL"),
            ("Training", "valid"),
            ("train", "Validation"),
        ] {
            let data = read(&folder(&borrow(&in_parts(train, test))));
            assert_eq!(
                (data.train.len(), data.test.len(), data.passed_over.len()),
                (3, 3, 0),
                "{train} {test}"
            );
            assert_eq!(content(&data.test), (0..3).map(|c| (c, 50 * c + test.len() as u8)).collect());
        }
        let data =
            read(&folder(&borrow(&[in_parts("train", "validation"), in_parts("more", "more")].concat())));
        assert_eq!(data.passed_over.len(), 1, "{:?}", data.passed_over);
        assert!(data.passed_over[0].ends_with("more"));
    }

    #[test]
    fn mixtures_of_parts_are_refused() {
        let refuse = |parts: &[(&str, &str)], more: &[(&'static str, u8)], place: &str, words: &[&str]| {
            let files: Vec<_> = parts.iter().flat_map(|(train, test)| in_parts(train, test)).collect();
            refuse(&[&borrow(&files), more].concat(), place, words)
        };
        let error = refuse(
            &[("train", "test"), ("train", "testing")],
            &[],
            "",
            &["both test and testing", "test on"],
        );
        assert!(matches!(error, DataError::TwoParts { .. }));
        refuse(&[("train", "test"), ("training", "test")], &[], "", &["both train and training"]);
        refuse(&[("train", "val"), ("train", "valid")], &[], "", &["both val and valid"]);
        let error = refuse(&[("test", "test")], &[], "", &["test has class folders", "no folder `train`"]);
        assert!(matches!(error, DataError::NoTrain { .. }));
        let error = refuse(
            &[("train", "train")],
            &[("test/1.png", 1)],
            "test",
            &["no class folders", "train has some"],
        );
        assert!(matches!(error, DataError::NoClasses { .. }));
        refuse(&[("test", "test")], &[("Train/1.png", 1)], "Train", &["no class folders"]);
    }

    #[test]
    fn what_systems_leave_in_folders_is_ignored() {
        let mut files = classes(2);
        let left = ["._1.png", ".DS_Store", "Thumbs.db", "desktop.ini", ".ipynb_checkpoints/1.png"];
        files.extend(left.map(|name| (format!("c9/{name}"), 250)));
        files.push(("__MACOSX/c9/1.png".to_owned(), 250));
        let data = read(&folder(&borrow(&files)));
        assert_eq!((data.train.len(), data.test.len()), (3, 3));
    }

    #[test]
    fn class_names_are_compared_in_one_unicode_normalization() {
        let (composed, decomposed) = ("\u{e9}t\u{e9}", "e\u{301}te\u{301}");
        let name = |part, class| (format!("{part}/{class}/1.png"), str::len(class) as u8);
        let files = [
            name("train", composed),
            name("train", "b"),
            name("train", "c"),
            name("test", decomposed),
            ("test/b/1.png".to_owned(), 3),
        ];
        let data = read(&folder(&borrow(&files)));
        assert_eq!((data.class_names[2].as_str(), data.test.labels().len()), (composed, 2));

        let twice = [(format!("{composed}/1.png"), 1), (format!("{decomposed}/1.png"), 2)];
        let error = refuse(&borrow(&twice), composed, &["means the same class as", decomposed]);
        assert!(matches!(error, DataError::SameClass { .. }));
    }

    #[cfg(unix)]
    #[test]
    fn names_that_no_class_can_have() {
        for name in ["a\nb", "a\u{1b}[31m"] {
            let folder = folder(&[("a/1.png", 1)]);
            fs::create_dir(folder.path().join(name)).unwrap();
            let error = load(&Source::Directory(folder.path().into()), FORMAT).unwrap_err();
            let message = error.to_string();
            assert!(message.contains("control character") && !message.contains('\n'), "{message}");
        }
    }

    #[test]
    fn labels_have_8_bits() {
        let files: Vec<_> =
            (0..=256).flat_map(|c| [1, 2].map(|n| (format!("{c}/{n}.png"), c as u8))).collect();
        let load = |files: &[(String, u8)], classes| {
            let folder = folder(&borrow(files));
            load(&Source::Directory(folder.path().into()), Format { side: 2, classes })
        };
        let most = load(&files[..512], 256).unwrap();
        assert_eq!((most.class_names.len(), most.train.labels().iter().max()), (256, Some(&255)));
        for classes in [257, 1000] {
            let error = load(&files, classes).unwrap_err();
            let message = error.to_string();
            assert!(matches!(error, DataError::TooManyClasses { .. }));
            assert!(
                message.contains(&format!("has {classes} classes")) && message.contains("at most 256"),
                "{message}"
            );
        }
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_file_is_refused_and_not_waited_for() {
        let pipe =
            |path: &Path| assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
        let socket = |path: &Path| drop(std::os::unix::net::UnixListener::bind(path).unwrap());
        let link = |path: &Path| std::os::unix::fs::symlink("/no/such/file", path).unwrap();
        let device = |path: &Path| std::os::unix::fs::symlink("/dev/zero", path).unwrap();
        type Make<'a> = &'a dyn Fn(&Path);
        let kinds: [(Make, &str); 4] = [
            (&pipe, "a named pipe"),
            (&socket, "a socket"),
            (&link, "a link to nothing"),
            (&device, "a device"),
        ];
        for (make, words) in kinds {
            let folder = folder(&borrow(&classes(2)));
            let path = folder.path().join("c10/x.png");
            make(&path);
            let error = load(&Source::Directory(folder.path().into()), FORMAT).unwrap_err().to_string();
            assert!(error.contains("c10/x.png: ") && error.contains(words), "{error}");
            let pictures = pictures_in(&folder.path().join("c10")).unwrap();
            assert_eq!(pictures.len(), 3);
            let error = pictures[2].1.as_ref().unwrap_err().to_string();
            assert!(error.contains("c10/x.png: ") && error.contains(words), "{error}");
        }
    }

    #[test]
    fn test_has_no_class_that_train_lacks() {
        let files = [("train/a/1.png", 1), ("train/b/1.png", 2), ("train/c/1.png", 3), ("test/d/1.png", 4)];
        let error = refuse(&files, "test/d", &["no such class in ", "train"]);
        assert!(matches!(error, DataError::UnknownClass { .. }));
    }

    #[test]
    fn images_that_are_all_the_same_teach_nothing() {
        let files: Vec<_> = classes(2).into_iter().map(|(name, _)| (name, 200)).collect();
        let error = refuse(&borrow(&files), "", &["one grey value"]);
        assert!(matches!(error, DataError::Blank { .. }));
    }
}
