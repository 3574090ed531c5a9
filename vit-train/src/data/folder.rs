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
//! Files that operating systems leave in folders are ignored. Every other file in a class folder has to be a picture,
//! unless [`Unreadable`] says that those that are not are left out.

use super::{
    cache,
    dataset::Dataset,
    error::DataError,
    format::Format,
    loading::{Loading, Unreadable},
    memory, picture,
    picture_error::PictureError,
};
use crate::paths::folder_of;
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use std::{
    collections::{HashMap, HashSet},
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

/// The content of a folder of class folders.
pub(super) struct Folder {
    pub class_names: Vec<String>,
    pub train: Dataset,
    pub test: Dataset,
    /// The folders next to those of the two parts, which were not read.
    pub passed_over: Vec<PathBuf>,
    /// The files that were left out because they cannot be used.
    pub skipped: Vec<String>,
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
            let refused = |error| DataError::Picture { path: path.clone(), error };
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

/// Reads the pictures in the class folders of `directory`, and fits them to the size of `format`.
pub(super) fn read(directory: &Path, format: Format, loading: &Loading) -> Result<Folder, DataError> {
    let folders = ClassFolders::find(directory)?;
    let class_names = folders.names();
    if class_names.len() != format.classes {
        let path = folders.parts.train;
        return Err(DataError::Classes { path, names: class_names, classes: format.classes });
    }
    let mut pictures = folders.pictures()?;
    let mut order = pictures.divide()?;
    let all = order.concat();
    let (mut levels, unreadable) = load(directory, &all, format, loading)?;
    if !unreadable.is_empty() {
        pictures = pictures.without(&unreadable)?;
        order = pictures.divide()?;
        let values = format.values();
        memory::check(directory, order.iter().map(Vec::len).sum(), values, memory::available())?;
        let places: HashMap<&Path, usize> = all.iter().map(|picture| &*picture.path).zip(0..).collect();
        let images =
            order.iter().flatten().map(|picture| &levels[places[&*picture.path] * values..][..values]);
        levels = images.collect::<Vec<_>>().concat();
    }
    let [train, test] = order;
    let labels = |pictures: &[Picture]| pictures.iter().map(|picture| picture.label).collect::<Vec<_>>();
    let test_levels = levels.split_off(train.len() * format.values());
    let Parts { train: train_directory, passed_over, .. } = folders.parts;
    let train = Dataset::new(format, levels, labels(&train), &train_directory)?;
    let test = Dataset::new(format, test_levels, labels(&test), directory)?;
    Ok(Folder { class_names, train, test, passed_over, skipped: skipped(directory, &unreadable) })
}

/// The class folders of a data set.
pub(super) struct ClassFolders {
    parts: Parts,
    /// The classes of the images to train on.
    classes: Vec<Class>,
}

impl ClassFolders {
    /// Finds the class folders in `directory`.
    pub(super) fn find(directory: &Path) -> Result<Self, DataError> {
        let parts = Parts::find(directory)?;
        let classes = Class::all_in(&parts.train)?;
        Ok(Self { parts, classes })
    }

    /// Returns the names of the classes, class 0 first.
    pub(super) fn names(&self) -> Vec<String> {
        self.classes.iter().map(|class| class.name.clone()).collect()
    }

    /// Returns the folders next to those of the two parts, which are not read.
    pub(super) fn passed_over(&self) -> &[PathBuf] {
        &self.parts.passed_over
    }

    /// Lists the files in the class folders.
    pub(super) fn pictures(&self) -> Result<Pictures, DataError> {
        let train = (0..=u16::MAX).zip(&self.classes).map(|(label, class)| class.pictures(label));
        let train = train.collect::<Result<Vec<_>, _>>()?.concat();
        let Some(directory) = &self.parts.test else {
            return Ok(Pictures { train, test: None });
        };
        let mut test = Vec::new();
        for class in Class::all_in(directory)? {
            let mut labels = (0..=u16::MAX).zip(&self.classes);
            let Some((label, _)) = labels.find(|(_, known)| known.name == class.name) else {
                return Err(DataError::UnknownClass { path: class.path, train: self.parts.train.clone() });
            };
            test.extend(class.pictures(label)?);
        }
        Ok(Pictures { train, test: Some(test) })
    }
}

/// The files in class folders.
pub(super) struct Pictures {
    train: Vec<Picture>,
    /// Those in a folder for testing, if there is one.
    test: Option<Vec<Picture>>,
}

impl Pictures {
    /// Returns the pictures to train on and those to test on, in the order in which they are used. If there is no
    /// folder for testing, a fifth of each class is set aside: the pictures with the smallest keys.
    pub(super) fn divide(&self) -> Result<[Vec<Picture>; 2], DataError> {
        let mut train = self.train.clone();
        let mut test = match &self.test {
            Some(test) => test.clone(),
            None => {
                let (mut others, mut test) = (Vec::new(), Vec::new());
                train.sort_by_cached_key(|picture| (picture.label, picture.key()));
                for class in train.chunk_by(|a, b| a.label == b.label) {
                    if class.len() < 2 {
                        return Err(DataError::TooFew { path: class[0].folder().to_owned() });
                    }
                    let (first, rest) = class.split_at(class.len().div_ceil(5));
                    test.extend_from_slice(first);
                    others.extend_from_slice(rest);
                }
                train = others;
                test
            }
        };
        // The classes are mixed, so that the first images are a sample of all classes.
        train.sort_by_cached_key(Picture::key);
        test.sort_by_cached_key(Picture::key);
        Ok([train, test])
    }

    /// Returns the pictures without those that are `unreadable`. They have to be divided again.
    ///
    /// # Errors
    /// [`DataError::NothingReadable`] if a class loses all of its pictures.
    pub(super) fn without(&self, unreadable: &HashSet<PathBuf>) -> Result<Self, DataError> {
        let readable = |pictures: &Vec<Picture>| readable(pictures, unreadable);
        Ok(Self { train: readable(&self.train)?, test: self.test.as_ref().map(readable).transpose()? })
    }
}

/// Returns the pictures that are not `unreadable`, of which each class must have one.
fn readable(pictures: &[Picture], unreadable: &HashSet<PathBuf>) -> Result<Vec<Picture>, DataError> {
    let readable: Vec<_> =
        pictures.iter().filter(|picture| !unreadable.contains(&picture.path)).cloned().collect();
    let left: HashSet<u16> = readable.iter().map(|picture| picture.label).collect();
    match pictures.iter().find(|picture| !left.contains(&picture.label)) {
        Some(lost) => Err(DataError::NothingReadable { path: lost.folder().to_owned() }),
        None => Ok(readable),
    }
}

/// Returns the sorted paths of the files in `directory` that are left out.
pub(super) fn skipped(directory: &Path, unreadable: &HashSet<PathBuf>) -> Vec<String> {
    let mut skipped: Vec<_> = unreadable.iter().map(|path| relative(directory, path)).collect();
    skipped.sort();
    skipped
}

/// The files in a folder that are left out because it is known that they cannot be used.
pub(super) struct Known<'a> {
    directory: &'a Path,
    paths: HashSet<&'a str>,
}

impl<'a> Known<'a> {
    pub(super) fn new(directory: &'a Path, unreadable: &'a Unreadable) -> Self {
        let paths = match unreadable {
            Unreadable::Known(paths) => paths.iter().map(String::as_str).collect(),
            Unreadable::Refuse | Unreadable::LeaveOut => HashSet::new(),
        };
        Self { directory, paths }
    }

    pub(super) fn contains(&self, path: &Path) -> bool {
        !self.paths.is_empty() && self.paths.contains(&*relative(self.directory, path))
    }
}

/// A file that is not used: because of an error, or because this is [`Known`].
pub(super) type Unused<'a> = (&'a Path, Option<PictureError>);

/// Returns the files that are left out: all that are `unused` among so many `files`, unless errors are to be refused.
///
/// # Errors
/// [`DataError::Unreadable`], with the error of the first file in the order of paths.
pub(super) fn left_out(
    mut unused: Vec<Unused>,
    unreadable: &Unreadable,
    files: usize,
) -> Result<HashSet<PathBuf>, DataError> {
    unused.sort_by_key(|(path, _)| *path);
    let left_out = unused.iter().map(|(path, _)| path.to_path_buf()).collect();
    let mut refused = unused.into_iter().filter_map(|(path, error)| Some((path, error?)));
    match refused.next() {
        Some((path, error)) if !matches!(unreadable, Unreadable::LeaveOut) => {
            let count = 1 + refused.count();
            Err(DataError::Unreadable { path: path.to_owned(), error, count, files })
        }
        _ => Ok(left_out),
    }
}

/// Returns the path of a file in `directory`, with slashes on every system.
fn relative(directory: &Path, path: &Path) -> String {
    let path = path.strip_prefix(directory).unwrap_or(path);
    path.iter().map(OsStr::to_string_lossy).collect::<Vec<_>>().join("/")
}

/// Reads all pictures in parallel and returns the levels of the fitted images, and which files are left out. Besides
/// the levels, only one picture per thread is in memory.
fn load(
    directory: &Path,
    pictures: &[Picture],
    format: Format,
    loading: &Loading,
) -> Result<(Vec<u8>, HashSet<PathBuf>), DataError> {
    let known = Known::new(directory, &loading.unreadable);
    let total = pictures.len();
    memory::check(directory, total, format.values(), memory::available())?;
    let mut levels = vec![0; total * format.values()];
    let key = || {
        let paths = pictures.iter().map(|picture| &*picture.path);
        cache::key(directory, paths, format, loading.fit)
    };
    let cached = loading.cache.as_deref().map(|folder| (folder, key()));
    let found = cached.and_then(|(folder, key)| cache::read(folder, key, total, &mut levels));
    let mut there = found.unwrap_or_else(|| vec![false; total]);
    let wanted =
        pictures.iter().zip(&there).filter(|(picture, there)| !*there && !known.contains(&picture.path));
    let (done, wanted) = (AtomicUsize::new(0), wanted.count());
    if wanted > 0 {
        (loading.reading)(0, wanted);
    }
    let jobs = levels.par_chunks_exact_mut(format.values()).zip(&mut there).zip(pictures);
    let broken = jobs.filter_map(|((levels, there), Picture { path, .. })| {
        if known.contains(path) {
            return Some((&**path, None));
        }
        if *there {
            return None;
        }
        let image =
            picture::require_file(path).and_then(|()| picture::read_fitted(path, format, loading.fit));
        (loading.reading)(done.fetch_add(1, Ordering::Relaxed) + 1, wanted);
        *there = image.is_ok();
        image.map(|image| levels.copy_from_slice(&image)).map_err(|error| (&**path, Some(error))).err()
    });
    let broken: Vec<Unused> = broken.collect();
    // If a picture was changed while it was read, it is not known whether its levels are the old or the new ones.
    let failed = broken.iter().filter(|(_, error)| error.is_some()).count();
    if let Some((folder, before)) = cached.filter(|_| failed < wanted)
        && key() == before
    {
        cache::write(folder, before, &there, &levels, cache::LIMIT);
    }
    Ok((levels, left_out(broken, &loading.unreadable, total)?))
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
    fn pictures(&self, label: u16) -> Result<Vec<Picture>, DataError> {
        let paths = entries(&self.path)?;
        if let Some(path) = paths.iter().find(|path| path.is_dir()) {
            return Err(DataError::Nested { path: path.clone() });
        }
        if paths.is_empty() {
            return Err(DataError::Empty { path: self.path.clone() });
        }
        Ok(paths.into_iter().map(|path| Picture { path, label }).collect())
    }
}

/// A file and its class.
#[derive(Clone)]
pub(super) struct Picture {
    pub path: PathBuf,
    pub label: u16,
}

impl Picture {
    /// Returns the class folder.
    fn folder(&self) -> &Path {
        folder_of(&self.path)
    }

    /// Returns a key that sorts pictures into an order that does not depend on what they show and is the same on every
    /// machine.
    fn key(&self) -> ([u8; 32], u16) {
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
    use super::super::{load, load_and_tell, Loading, Source, Splits};
    use super::*;
    use image::GrayImage;
    use std::{collections::BTreeSet, sync::Mutex};
    use tempfile::TempDir;
    use vit_nostd::frame::Fit;

    const FORMAT: Format = Format::grey(28, 3);

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
        load(&Source::Directory(folder.path().into()), FORMAT, Fit::Crop).unwrap()
    }

    /// Returns the error for these files, and checks that its message is one line that names the place.
    fn refuse(files: &[(&str, u8)], place: &str, words: &[&str]) -> DataError {
        let folder = folder(files);
        let error = load(&Source::Directory(folder.path().into()), FORMAT, Fit::Crop).unwrap_err();
        let message = error.to_string();
        let place = folder.path().join(place).display().to_string();
        assert!(message.starts_with(&format!("{}: ", place.trim_end_matches('/'))), "{message}");
        assert!(!message.contains('\n') && words.iter().all(|word| message.contains(word)), "{message}");
        error
    }

    /// Returns the label and grey value of each image.
    fn content(dataset: &Dataset) -> BTreeSet<(u16, u8)> {
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
        assert!(train.union(&test).all(|(label, grey)| *label == u16::from(grey / 50)));

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
        let labels: BTreeSet<u16> = data.train.labels().iter().copied().collect();
        assert_eq!(labels, [0, 1, 2].into());
    }

    #[test]
    fn reading_is_told() {
        let folder = folder(&borrow(&classes(5)));
        let told = Mutex::new(Vec::new());
        let source = Source::Directory(folder.path().into());
        let reading = |done, total| told.lock().unwrap().push((done, total));
        load_and_tell(&source, FORMAT, &Loading { reading: &reading, ..Loading::default() }).unwrap();
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
        let error = refuse(&[], "", &["no images", "MNIST's four files", "folder of pictures (PNG, JPEG"]);
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
        refuse(&owl(&[("owl/2.txt", 6)]), "owl/2.txt", &["cannot be read as a picture"]);
        let broken = owl(&[("owl/2.txt", 6), ("dog/9.jpg", 6), ("owl/3.jpeg", 6)]);
        let error = refuse(&broken, "dog/9.jpg", &["(3 of 8 files cannot be used): replace or remove it"]);
        assert!(matches!(error, DataError::Unreadable { count: 3, files: 8, .. }));
        refuse(&[("a/1.png", 1), ("b/1.png", 1), ("c/1.png", 1)], "a", &["only one image"]);
        let empty = [("a/1.png", 1), ("a/2.png", 1), ("b/1.png", 1), ("b/2.png", 1), ("c/.hidden", 1)];
        refuse(&empty, "c", &["no images in it"]);
    }

    fn read_without(folder: &TempDir, unreadable: Unreadable) -> Result<Splits, DataError> {
        let loading = Loading { unreadable, ..Loading::default() };
        load_and_tell(&Source::Directory(folder.path().into()), FORMAT, &loading)
    }

    #[test]
    fn files_that_cannot_be_read_are_left_out_if_that_is_wanted() {
        let good = classes(11);
        let bad = [("c9/0.jpg", 0), ("c10/x.txt", 0), ("c10/0 1.gif", 0)];
        let folder = folder(&[&borrow(&good)[..], &bad].concat());
        let names = ["c10/0 1.gif", "c10/x.txt", "c9/0.jpg"].map(str::to_owned).to_vec();
        let data = read_without(&folder, Unreadable::LeaveOut).unwrap();
        assert_eq!(data.skipped, names);
        // What is left is divided like a folder that never had the others.
        let clean = read(&self::folder(&borrow(&good)));
        assert_eq!(
            (&data.train, &data.test, data.normalization),
            (&clean.train, &clean.test, clean.normalization)
        );
        assert!(clean.skipped.is_empty());

        // The same files are left out later, also if one of them is a picture now.
        GrayImage::from_pixel(40, 30, [9].into()).save(folder.path().join("c10/x.png")).unwrap();
        fs::rename(folder.path().join("c10/x.png"), folder.path().join("c10/x.txt")).unwrap();
        let again = read_without(&folder, Unreadable::Known(names.clone())).unwrap();
        assert_eq!((&again.train, &again.test, &again.skipped), (&data.train, &data.test, &names));
        assert_eq!(read_without(&folder, Unreadable::LeaveOut).unwrap().skipped.len(), 2);
        let error = read_without(&folder, Unreadable::Known(names[..2].to_vec())).unwrap_err();
        assert!(matches!(error, DataError::Unreadable { count: 1, files: 36, .. }), "{error}");
    }

    #[test]
    fn no_class_loses_all_of_its_pictures() {
        let parts = |train: &'static str, test: &'static str| {
            let good = ["train/a/1", "train/b/1", "train/c/1", "test/a/2", "test/b/2", "test/c/2"];
            let picture = |name: &str| (format!("{name}.png"), name.len() as u8 + name.as_bytes()[6]);
            let mut files: Vec<_> = good
                .iter()
                .filter(|name| !name.starts_with(train) && !name.starts_with(test))
                .map(|name| picture(name))
                .collect();
            files.extend([train, test].map(|name| (format!("{name}/9.jpg"), 0)));
            folder(&borrow(&files))
        };
        for (train, test, lost) in [("train/b", "test/c", "train/b"), ("train/x", "test/c", "test/c")] {
            let folder = parts(train, test);
            if train == "train/x" {
                fs::remove_dir_all(folder.path().join(train)).unwrap();
            }
            let error = read_without(&folder, Unreadable::LeaveOut).unwrap_err();
            assert!(matches!(&error, DataError::NothingReadable { path } if path.ends_with(lost)), "{error}");
        }
        let mut files = classes(3);
        files.retain(|(name, _)| !name.starts_with("c10/"));
        files.extend([("c10/1.png".to_owned(), 60), ("c10/2.txt".to_owned(), 0)]);
        let error = read_without(&folder(&borrow(&files)), Unreadable::LeaveOut).unwrap_err();
        assert!(matches!(&error, DataError::TooFew { path } if path.ends_with("c10")), "{error}");
    }

    #[test]
    fn pictures_that_do_not_fit_into_memory_are_not_read() {
        let folder = folder(&borrow(&classes(2)));
        let format = Format { height: 1 << 20, width: 1 << 20, channels: 256, classes: 3 };
        let error = load(&Source::Directory(folder.path().into()), format, Fit::Crop).unwrap_err();
        assert!(matches!(error, DataError::Memory { images: 6, .. }), "{error}");
        assert!(
            error.to_string().contains("6 images of 281474976710656 bytes take 1572864.00 GiB"),
            "{error}"
        );
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
            assert_eq!(content(&data.test), (0..3).map(|c| (c, 50 * c as u8 + test.len() as u8)).collect());
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
            let error = load(&Source::Directory(folder.path().into()), FORMAT, Fit::Crop).unwrap_err();
            let message = error.to_string();
            assert!(message.contains("control character") && !message.contains('\n'), "{message}");
        }
    }

    #[test]
    fn there_may_be_many_classes() {
        let files: Vec<_> =
            (0..300).flat_map(|c| [1, 2].map(|n| (format!("{c}/{n}.png"), (c % 256) as u8))).collect();
        let folder = folder(&borrow(&files));
        let load =
            |classes| load(&Source::Directory(folder.path().into()), Format::grey(2, classes), Fit::Crop);
        let data = load(300).unwrap();
        assert_eq!((data.class_names.len(), data.train.labels().iter().max()), (300, Some(&299)));
        for index in 0..data.train.len() {
            let label = data.train.label(index);
            assert_eq!(data.train.image(index), [(label % 256) as u8; 4], "class {label}");
        }
        assert!(matches!(load(299), Err(DataError::Classes { classes: 299, .. })));
        assert!(matches!(load(70_000), Err(DataError::TooManyClasses { classes: 70_000 })));
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
            let error =
                load(&Source::Directory(folder.path().into()), FORMAT, Fit::Crop).unwrap_err().to_string();
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
        let error = refuse(&borrow(&files), "", &["one level"]);
        assert!(matches!(error, DataError::Blank { .. }));
    }
}
