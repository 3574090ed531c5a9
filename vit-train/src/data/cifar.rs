//! Reads CIFAR-10 in its binary format.
//!
//! ```text
//! data_batch_1.bin .. data_batch_5.bin    images to train on
//! test_batch.bin                          images to test on
//! batches.meta.txt                        the names of the classes, one per line
//! ```
//!
//! An image is a record of 3073 bytes: its label and the levels of 32x32 pixels, row by row, first all of red, then all
//! of green and all of blue. Networks that take grey images get them by the formula with which a chip makes a frame
//! grey.

use super::{dataset::Dataset, error::DataError, format::Format, labels::read_class_names, memory};
use crate::paths::no_file;
use rayon::prelude::*;
use std::{fs, io::Read, path::Path};
use vit_nostd::frame::{Fit, Frame, FrameError, Input, PixelFormat, Resizer};

const TRAIN: [&str; 5] =
    ["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"];
const TEST: &str = "test_batch.bin";
const NAMES: &str = "batches.meta.txt";

const SIDE: usize = 32;
const PIXELS: usize = SIDE * SIDE;
const RECORD: usize = 1 + 3 * PIXELS;
const CLASSES: usize = 10;

/// The format of the images as they are in the files.
pub(super) const FORMAT: Format = Format { height: SIDE, width: SIDE, channels: 3, classes: CLASSES };

/// Returns the names of all files.
pub(super) fn files() -> impl Iterator<Item = &'static str> {
    TRAIN.into_iter().chain([TEST, NAMES])
}

/// Returns true if `directory` has files with images in this format.
pub(super) fn is_in(directory: &Path) -> bool {
    TRAIN.iter().chain([&TEST]).any(|name| directory.join(name).exists())
}

/// The content of the files.
pub(super) struct Cifar10 {
    pub class_names: Vec<String>,
    pub train: Dataset,
    pub test: Dataset,
}

/// The names of the classes, and the numbers of images in the two parts, which follow from the sizes of the files.
pub(super) struct Extent {
    pub class_names: Vec<String>,
    pub train: usize,
    pub test: usize,
}

/// Reads the names of the classes in `directory` and counts the images, for a network that takes `format`.
///
/// # Errors
/// Returns a [`DataError`] that says what is wrong with the files.
pub(super) fn measure(directory: &Path, format: Format) -> Result<Extent, DataError> {
    let path = || directory.to_owned();
    if !directory.is_dir() {
        return Err(match directory.exists() {
            true => DataError::NotADirectory { path: path() },
            false => DataError::MissingDirectory { path: path() },
        });
    }
    if let Some(name) = files().find(|name| directory.join(name).symlink_metadata().is_err()) {
        return Err(DataError::MissingCifarFile { path: path(), name });
    }
    let class_names = read_class_names(directory.join(NAMES), format)?;
    if [format.height, format.width] != [SIDE; 2] || ![1, 3].contains(&format.channels) {
        let side = SIDE as u32;
        return Err(DataError::ImageSize { path: path(), rows: side, columns: side, format });
    }
    let train = TRAIN.iter().map(|name| images_in(&directory.join(name))).sum::<Result<_, _>>()?;
    Ok(Extent { class_names, train, test: images_in(&directory.join(TEST))? })
}

/// Reads the files in `directory` for a network that takes `format`.
pub(super) fn read(directory: &Path, format: Format) -> Result<Cifar10, DataError> {
    let Extent { class_names, train, test } = measure(directory, format)?;
    memory::check(directory, train + test, format.values(), memory::available())?;
    let part = |names: &[&str]| {
        let (mut levels, mut labels) = (Vec::new(), Vec::new());
        for name in names {
            read_batch(&directory.join(name), format, &mut levels, &mut labels)?;
        }
        Dataset::new(format, levels, labels, directory)
    };
    Ok(Cifar10 { class_names, train: part(&TRAIN)?, test: part(&[TEST])? })
}

/// Returns the number of images in a file, which follows from its size.
fn images_in(path: &Path) -> Result<usize, DataError> {
    let metadata = fs::metadata(path).map_err(|error| DataError::Io { path: path.into(), error })?;
    // Reading a pipe could block forever.
    if let Some(kind) = no_file(&metadata) {
        return Err(DataError::NotAFile { path: path.into(), kind });
    }
    match metadata.len() {
        0 => Err(DataError::Empty { path: path.into() }),
        found if found % RECORD as u64 != 0 => {
            Err(DataError::Records { path: path.into(), found, record: RECORD })
        }
        found => Ok((found / RECORD as u64) as usize),
    }
}

/// Appends the images and the labels of a file.
fn read_batch(
    path: &Path,
    format: Format,
    levels: &mut Vec<u8>,
    labels: &mut Vec<u16>,
) -> Result<(), DataError> {
    let io = |error| DataError::Io { path: path.into(), error };
    // It is checked before that the network takes images of this size.
    let unfit =
        |error: FrameError| DataError::Unfit { name: path.display().to_string(), reason: error.to_string() };
    let mut records = vec![0; images_in(path)? * RECORD];
    fs::File::open(path).and_then(|mut file| file.read_exact(&mut records)).map_err(io)?;
    let before = levels.len();
    levels.resize(before + records.len() / RECORD * format.values(), 0);
    let images = levels[before..].par_chunks_exact_mut(format.values()).zip(records.par_chunks_exact(RECORD));
    images.try_for_each(|(image, record)| convert(&record[1..], format, image)).map_err(unfit)?;
    for (index, record) in records.chunks_exact(RECORD).enumerate() {
        let label = u16::from(record[0]);
        if usize::from(label) >= CLASSES {
            return Err(DataError::Label { path: path.into(), index, label, classes: CLASSES });
        }
        labels.push(label);
    }
    Ok(())
}

/// Makes an image of `format` of the levels in a record.
fn convert(planes: &[u8], format: Format, image: &mut [u8]) -> Result<(), FrameError> {
    let frame = Frame { width: SIDE, height: SIDE, format: PixelFormat::Rgb888 };
    let input = Input { height: SIDE, width: SIDE, channels: format.channels };
    let mut sums = vec![0; input.sums()];
    let mut resizer = Resizer::new(frame, Fit::Stretch, input, &mut sums, image)?;
    for row in (0..PIXELS).step_by(SIDE) {
        let pixel = |at: usize| [planes[at], planes[PIXELS + at], planes[2 * PIXELS + at]];
        resizer.row(&(row..row + SIDE).flat_map(pixel).collect::<Vec<_>>())?;
    }
    resizer.finish().map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::super::{load, testing::Folder, Source};
    use super::*;

    const COLOUR: Format = Format { height: 32, width: 32, channels: 3, classes: 10 };
    const GREY: Format = Format::grey(32, 10);
    const LABELS: &str = "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n";

    /// Writes files with two images each. Each of red, green and blue is constant in an image.
    fn write(folder: &Folder) {
        folder.write(NAMES, LABELS.as_bytes());
        for (name, first) in TRAIN.iter().chain([&TEST]).zip((0..).step_by(2)) {
            let image = |at: u8| {
                let planes = [10 * at, 100 + at, 255 - at].map(|level| vec![level; PIXELS]);
                [vec![at % 10], planes.concat()].concat()
            };
            folder.write(name, &[image(first), image(first + 1)].concat());
        }
    }

    #[test]
    fn images_are_read_in_colour_and_in_grey() {
        let folder = Folder::new("cifar");
        write(&folder);
        let source = Source::Directory(folder.path().into());
        let data = load(&source, COLOUR, Fit::Crop).unwrap();
        assert_eq!(
            (data.train.labels(), data.test.labels()),
            (&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9][..], &[0, 1][..])
        );
        assert_eq!(
            (&*data.class_names[1], &*data.class_names[9], data.fit),
            ("automobile", "truck", Fit::Stretch)
        );
        for at in 0..10_u8 {
            let pixel = [10 * at, 100 + at, 255 - at];
            assert!(data.train.image(at.into()).chunks_exact(3).all(|levels| levels == pixel), "{at}");
        }
        assert_eq!(Some(data.name.as_ref()), folder.path().file_name());

        let grey = load(&source, GREY, Fit::Crop).unwrap();
        for at in 0..10_u8 {
            let [r, g, b] = [10 * at, 100 + at, 255 - at].map(f64::from);
            let level = (0.299 * r + 0.587 * g + 0.114 * b).round();
            let image = grey.train.image(at.into());
            assert_eq!(image.len(), PIXELS);
            assert!(image.iter().all(|&found| (f64::from(found) - level).abs() <= 1.0), "{at}: {}", image[0]);
        }
    }

    #[test]
    fn pixels_are_in_their_places() {
        let folder = Folder::new("cifar-places");
        write(&folder);
        let planes: Vec<u8> = (0..3 * PIXELS).map(|at| (at % 251) as u8).collect();
        folder.write(TEST, &[&[7], &planes[..]].concat());
        let data = load(&Source::Directory(folder.path().into()), COLOUR, Fit::Crop).unwrap();
        for (at, pixel) in data.test.image(0).chunks_exact(3).enumerate() {
            assert_eq!(pixel, [planes[at], planes[PIXELS + at], planes[2 * PIXELS + at]]);
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        type Spoil<'a> = &'a dyn Fn(&Folder);
        let refuse = |format: Format, words: &[&str], spoil: Spoil| {
            let folder = Folder::new("cifar-wrong");
            write(&folder);
            spoil(&folder);
            let error = load(&Source::Directory(folder.path().into()), format, Fit::Crop).unwrap_err();
            let message = error.to_string();
            assert!(message.starts_with(&folder.path().display().to_string()), "{message}");
            assert!(!message.contains('\n') && words.iter().all(|word| message.contains(word)), "{message}");
        };
        let remove =
            |name: &'static str| move |folder: &Folder| fs::remove_file(folder.path().join(name)).unwrap();
        for name in files() {
            refuse(
                COLOUR,
                &[name, "is missing: put the files of cifar-10-binary.tar.gz there"],
                &remove(name),
            );
        }
        refuse(COLOUR, &["data_batch_3.bin: 3072 bytes, but each image has 3073"], &|folder| {
            folder.write("data_batch_3.bin", &[0; 3072]);
        });
        refuse(COLOUR, &["test_batch.bin: no images"], &|folder| folder.write(TEST, b""));
        refuse(COLOUR, &["data_batch_2.bin: label 10 at index 1, but there are 10 classes"], &|folder| {
            let mut bytes = [0; 2 * RECORD];
            bytes[RECORD] = 10;
            folder.write("data_batch_2.bin", &bytes);
        });
        refuse(COLOUR, &["batches.meta.txt: 2 names, but the network has 10"], &|folder| {
            folder.write(NAMES, b"a\nb")
        });
        refuse(
            Format::grey(28, 10),
            &["images of 32x32 pixels, but the network takes 28x28 grey pixels"],
            &|_| (),
        );
        refuse(
            Format { classes: 4, ..COLOUR },
            &["batches.meta.txt: 10 names, but the network has 4"],
            &|_| (),
        );
        let missing = load(&Source::Directory("no/such".into()), COLOUR, Fit::Crop).unwrap_err();
        assert!(matches!(missing, DataError::MissingDirectory { .. }));
    }
}
