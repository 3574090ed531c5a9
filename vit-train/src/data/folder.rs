//! Folders of class folders: each has a class's name and holds its pictures.
//!
//! ```text
//! pets/cat/one.png             pets/train/cat/one.png
//! pets/cat/two.jpg      or     pets/train/dog/three.png
//! pets/dog/three.png           pets/test/cat/two.jpg
//! ```
//!
//! The classes are numbered in natural order (2 before 10). The images to test on lie in a folder `test`, `val`, `valid`
//! or `validation` beside `train`, the first of these that is there; otherwise a fifth of each class is set aside: those
//! whose file names have the smallest SHA-256, so that the same ones are set aside every time, and most of them even
//! when others join them. Names that begin with a dot are passed over; whatever else lies in a class folder has to be a
//! picture.

use super::{picture, DataError, Dataset, Format, Reading};
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};
use vit_nostd::model_file::check_label;

/// The folder of the images to train on, where there is one for those to test on, too.
const TRAIN: &str = "train";
/// What that one may be called.
const TEST: [&str; 4] = ["test", "val", "valid", "validation"];

/// What a folder of class folders holds.
pub(super) struct Folder {
    pub class_names: Vec<String>,
    pub train: Dataset,
    pub test: Dataset,
}

/// Whether there is a folder in `directory`, which may not exist.
pub(super) fn has_folders(directory: &Path) -> bool {
    entries(directory).is_ok_and(|entries| entries.iter().any(|path| path.is_dir()))
}

/// Reads the pictures in `directory`.
pub(super) fn read(directory: &Path, format: Format, reading: Reading) -> Result<Folder, DataError> {
    let train_directory = directory.join(TRAIN);
    // A class that is called `train` holds pictures, and no folders.
    let parted = has_folders(&train_directory);
    let train_directory = if parted { &train_directory } else { directory };
    let test_directory = TEST.map(|name| directory.join(name)).into_iter().find(|path| has_folders(path));

    let classes = Class::all_in(train_directory)?;
    let class_names: Vec<_> = classes.iter().map(|class| class.name.clone()).collect();
    // A label has 8 bits.
    if class_names.len() != format.classes.min(256) {
        let path = train_directory.to_owned();
        return Err(DataError::Classes { path, names: class_names, classes: format.classes });
    }
    let (mut train, mut test) = match test_directory {
        Some(test_directory) if parted => {
            let mut test = Vec::new();
            for class in Class::all_in(&test_directory)? {
                let mut labels = (0..=u8::MAX).zip(&class_names);
                let Some((label, _)) = labels.find(|(_, name)| **name == class.name) else {
                    let (path, train) = (test_directory.join(class.name), train_directory.to_owned());
                    return Err(DataError::UnknownClass { path, train });
                };
                test.extend(class.pictures(label)?);
            }
            let train = (0..=u8::MAX).zip(classes).map(|(label, class)| class.pictures(label));
            (train.collect::<Result<Vec<_>, _>>()?.concat(), test)
        }
        _ => {
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

    // The classes are mixed, so that the first of the images are a sample of all.
    train.sort_by_cached_key(Picture::key);
    test.sort_by_cached_key(Picture::key);
    let images = train.len();
    let pictures = [train, test].concat();
    let mut train_pixels = load(&pictures, format.side, reading)?;
    let test_pixels = train_pixels.split_off(images * format.pixels());
    let mut train_labels: Vec<_> = pictures.iter().map(|picture| picture.label).collect();
    let test_labels = train_labels.split_off(images);
    let train = Dataset::new(format, train_pixels, train_labels, train_directory)?;
    let test = Dataset::new(format, test_pixels, test_labels, directory)?;
    Ok(Folder { class_names, train, test })
}

/// The pixels of all pictures, read in parallel: in memory are the small images, and one large one for each thread.
fn load(pictures: &[Picture], side: usize, reading: Reading) -> Result<Vec<u8>, DataError> {
    let (done, total) = (AtomicUsize::new(0), pictures.len());
    reading(0, total);
    let mut pixels = vec![0; total * side * side];
    let jobs = pixels.par_chunks_exact_mut(side * side).zip(pictures);
    let broken = jobs.filter_map(|(pixels, Picture { path, .. })| {
        let image = picture::read_square(path, side);
        reading(done.fetch_add(1, Ordering::Relaxed) + 1, total);
        image.map(|image| pixels.copy_from_slice(&image)).map_err(|error| (path, error)).err()
    });
    let mut broken: Vec<_> = broken.collect();
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

/// A class folder.
struct Class {
    name: String,
    path: PathBuf,
}

impl Class {
    /// The classes in `directory`, in natural order.
    fn all_in(directory: &Path) -> Result<Vec<Self>, DataError> {
        let mut classes = Vec::new();
        for path in entries(directory)?.into_iter().filter(|path| path.is_dir()) {
            match path.file_name().and_then(|name| name.to_str()) {
                Some(name) if check_label(name).is_ok() => {
                    classes.push(Self { name: name.to_owned(), path });
                }
                _ => return Err(DataError::ClassName { path }),
            }
        }
        classes.sort_by(|a, b| alphanumeric_sort::compare_str(&a.name, &b.name));
        Ok(classes)
    }

    /// What lies in this folder; at least one picture.
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

/// A file, and the class whose folder it lies in.
#[derive(Clone)]
struct Picture {
    path: PathBuf,
    label: u8,
}

impl Picture {
    /// Sorts pictures into an order that has nothing to do with what they show, and that is the same on every machine.
    fn key(&self) -> ([u8; 32], u8) {
        let name = self.path.file_name().unwrap_or_default();
        (Sha256::digest(name.as_encoded_bytes()).into(), self.label)
    }
}

/// What is in `directory`, in an order of its own, without what is hidden.
fn entries(directory: &Path) -> Result<Vec<PathBuf>, DataError> {
    let failed = |error| DataError::Io { path: directory.to_owned(), error };
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
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

    /// A folder with these files; pictures are of one grey value, and all others are made up.
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

    /// The message for files that are no data; one line that names the place.
    fn refuse(files: &[(&str, u8)], place: &str, words: &[&str]) -> DataError {
        let folder = folder(files);
        let error = load(&Source::Directory(folder.path().into()), FORMAT).unwrap_err();
        let message = error.to_string();
        let place = folder.path().join(place).display().to_string();
        assert!(message.starts_with(&format!("{}: ", place.trim_end_matches('/'))), "{message}");
        assert!(!message.contains('\n') && words.iter().all(|word| message.contains(word)), "{message}");
        error
    }

    /// Label and grey value of each image.
    fn content(dataset: &Dataset) -> BTreeSet<(u8, u8)> {
        (0..dataset.len()).map(|index| (dataset.label(index), dataset.image(index)[0])).collect()
    }

    /// `count` pictures in each of three classes; the grey value tells which one it is.
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
        let data = read(&folder(&files));
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

        // Made in another order, in another place, with other names of classes: the same ones.
        let other: Vec<_> = files.iter().rev().map(|(name, grey)| (name.replace('c', "d"), *grey)).collect();
        let other = read(&folder(&borrow(&other)));
        assert_eq!((&other.train, &other.test), (&data.train, &data.test));

        // When some join, hardly any changes sides.
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
        let error = refuse(&two, "", &["2 class folders (cat, dog)", "has 3 classes", "README"]);
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
        refuse(&broken, "dog/9.jpg", &["neither can 2 more", "owl/2.txt", "owl/3.jpeg"]);
        refuse(&[("a/1.png", 1), ("b/1.png", 1), ("c/.hidden", 1)], "a", &["only one image"]);
        let empty = [("a/1.png", 1), ("a/2.png", 1), ("b/1.png", 1), ("b/2.png", 1), ("c/.hidden", 1)];
        refuse(&empty, "c", &["no images in it"]);
    }

    #[test]
    fn both_parts_have_the_same_classes() {
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
