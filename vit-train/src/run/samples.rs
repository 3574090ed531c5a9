//! The samples of a run: `samples.bin` in its directory, with which a firmware checks that a chip computes the same
//! logits as this computer.
//!
//! The file has a few test images of different classes. Each comes with the logits that the integer model
//! `model.int8.vit` next to it computes. A firmware embeds both files, runs the model on the images, and compares all
//! bits of the logits.
//!
//! The file consists of records and nothing else. All records have the same length, which follows from the network and
//! is a multiple of 4, so that the logits are aligned in a file that is. Numbers are little-endian.
//!
//! | bytes | content |
//! |---|---|
//! | 2 | the class of the image, an unsigned number |
//! | 2 | zeros |
//! | 4 for each class | the logits, signed numbers, that of class 0 first |
//! | 1 for each value | the levels of the image, row by row, pixel by pixel and channel by channel |
//! | 0 to 3 | zeros, up to a multiple of 4 |

use crate::{
    atomic::Written,
    data::{of_all_classes, Dataset, Format},
    error::{Error, IoContext},
    files::remove,
    formats::checkpoint::Checkpoint,
    inference::view,
    network::{parameters::Parameters, Trainable},
    quantize::quantize_and_score,
    random::{stream, Purpose},
    run::folder::RunFolder,
};
use rand::Rng;
use std::path::{Path, PathBuf};
use vit_nostd::{int8, Dims, Network};

/// The largest number of records in the file.
pub const MOST: usize = 8;

/// The number of bytes of the class and the zeros after it.
const CLASS_BYTES: usize = 4;
/// The number of bytes of a logit, of which the length of a record is a multiple.
const WORD: usize = size_of::<i32>();

/// A test image and its logits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The class that the image has in the data set. The network may take it for another one.
    pub class: u16,
    /// The logits that the integer model computes, one for each class.
    pub logits: Vec<i32>,
    /// The levels of the image, row by row, pixel by pixel and channel by channel.
    pub levels: Vec<u8>,
}

/// Returns the length of a record in bytes, for a network with these dimensions.
pub const fn record_bytes(dims: &Dims) -> usize {
    CLASS_BYTES + WORD * dims.classes as usize + dims.image_values().next_multiple_of(WORD)
}

/// Reads the samples in the `bytes` of a file. Returns `None` if they are not samples for a network with these dimensions.
pub fn read(dims: &Dims, bytes: &[u8]) -> Option<Vec<Sample>> {
    if !bytes.len().is_multiple_of(record_bytes(dims)) {
        return None;
    }
    let record = |record: &[u8]| {
        let (class, rest) = record.split_at(CLASS_BYTES);
        let (logits, rest) = rest.split_at(WORD * usize::from(dims.classes));
        let (levels, padding) = rest.split_at(dims.image_values());
        let class = u32::from_le_bytes(class.try_into().ok()?);
        let is_whole = (class as usize) < usize::from(dims.classes) && padding.iter().all(|&byte| byte == 0);
        let logits = logits.as_chunks().0.iter().map(|&logit| i32::from_le_bytes(logit)).collect();
        is_whole.then_some(Sample { class: u16::try_from(class).ok()?, logits, levels: levels.to_vec() })
    };
    bytes.chunks_exact(record_bytes(dims)).map(record).collect()
}

/// Returns the bytes of the file for the integer `model` and the images `test`. There are up to [`MOST`] samples: the first
/// image of each class, of classes at even distances if there are more. If there are fewer classes, further images of
/// them follow.
pub fn file<N: Network>(model: &int8::Model<'_, N>, test: &Dataset) -> Vec<u8> {
    let mut scratch = Box::new(int8::Scratch::new());
    let mut bytes = Vec::new();
    for index in of_all_classes(test.labels(), MOST) {
        let logits = model.infer(view::<N>(test, index), &mut scratch);
        bytes.extend(u32::from(test.label(index)).to_le_bytes());
        bytes.extend(logits.as_ref().iter().flat_map(|logit: &i32| logit.to_le_bytes()));
        bytes.extend(test.image(index));
        bytes.resize(bytes.len().next_multiple_of(WORD), 0);
    }
    bytes
}

/// Writes the integer model of a run, whose bytes are `model`, and its samples among the images `test` to the
/// `directory` of the run.
///
/// Both files are complete on the disk before the first of them gets its name. The samples of an earlier model are
/// removed before the model is replaced, and the new ones get their name last. If the program is killed in between, the
/// samples are missing, and a firmware that embeds them does not compile. In the reverse order, the samples could be
/// those of another model: the firmware would then report that the chip computes something else.
///
/// # Errors
/// [`Error::Io`] if a file cannot be written, and [`Error::Model`] if the model is not one of network `N`.
pub fn write_with_model<N: Network>(directory: &Path, model: &[u8], test: &Dataset) -> Result<(), Error> {
    let (path, samples_path) = (RunFolder::int8_model(directory), RunFolder::samples(directory));
    let parsed = int8::Model::<N>::from_bytes(model);
    let samples = file(&parsed.map_err(|error| Error::Model { path: path.clone(), error })?, test);

    let model = Written::new(&path, &[model]).at(&path)?;
    let samples = Written::new(&samples_path, &[&samples]).at(&samples_path)?;
    remove(&samples_path)?;
    model.rename().at(&path)?;
    samples.rename().at(&samples_path)
}

/// Writes the integer model of an untrained network `N` and its samples, which are noise, to `directory`, and returns
/// the path of the model. With them, a firmware can be tested before anything is trained.
///
/// # Errors
/// [`Error::Io`] if a file cannot be written.
pub fn write_untrained<N: Trainable>(directory: &Path) -> Result<PathBuf, Error> {
    let path = RunFolder::int8_model(directory);
    let format = Format::of::<N>();
    let count = MOST.max(2);
    let mut levels = vec![0; count * format.values()];
    stream(Purpose::Noise, [0; 3]).fill_bytes(&mut levels);
    let labels = (0..count).map(|index| (index % N::CLASSES) as u16).collect();
    let noise = Dataset::new(format, levels, labels, Path::new("noise"))?;
    let checkpoint = Checkpoint { parameters: Parameters::init::<N>(0), description: None };
    let indices: Vec<usize> = (0..count).collect();
    let (model, _) = quantize_and_score::<N>(&checkpoint, (&noise, &indices), &noise, &path)?;
    write_with_model::<N>(directory, &model, &noise)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::model_bytes::ModelBytes;
    use std::fs;

    vit_nostd::network! {
        /// An image has 54 values, so that two zeros follow them.
        Odd { image: [6, 9], patch: [3, 3], embed: 8, heads: 2, hidden: 12, depth: 1, classes: 3 }
    }

    /// Returns images whose levels count from `first`.
    fn images(labels: &[u16], first: u8) -> Dataset {
        let format = Format::of::<Odd>();
        let pixels = (0..labels.len() * format.values()).map(|at| (at % 251) as u8 ^ first).collect();
        Dataset::new(format, pixels, labels.to_vec(), Path::new("x")).unwrap()
    }

    fn model(seed: u64) -> ModelBytes {
        let checkpoint = Checkpoint { parameters: Parameters::init::<Odd>(seed), description: None };
        let train = images(&[0, 1, 2, 0, 1, 2], 0);
        let indices = [0, 1, 2, 3, 4, 5];
        quantize_and_score::<Odd>(&checkpoint, (&train, &indices), &train, Path::new("x")).unwrap().0
    }

    fn infer(model: &[u8], image: &[u8]) -> Vec<i32> {
        let model = int8::Model::<Odd>::from_bytes(model).unwrap();
        let image = vit_nostd::image::<Odd>(image).unwrap();
        model.infer(image, &mut int8::Scratch::new()).as_ref().to_vec()
    }

    #[test]
    fn the_bytes_are_those_of_the_table() {
        let (folder, model, test) = (tempfile::tempdir().unwrap(), model(1), images(&[2, 2, 0, 1], 7));
        write_with_model::<Odd>(folder.path(), &model, &test).unwrap();
        assert!(fs::read(RunFolder::int8_model(folder.path())).unwrap() == *model);
        let bytes = fs::read(RunFolder::samples(folder.path())).unwrap();
        let mut expected = Vec::new();
        for (class, index) in [(0, 2), (1, 3), (2, 0), (2, 1)] {
            expected.extend([class, 0, 0, 0]);
            let image = &test.images()[54 * index..][..54];
            expected.extend(infer(&model, image).into_iter().flat_map(i32::to_le_bytes));
            expected.extend(image);
            expected.extend([0, 0]);
        }
        assert_eq!((bytes.len(), record_bytes(&Odd::DIMS)), (4 * 72, 72));
        assert!(bytes == expected);

        let samples = read(&Odd::DIMS, &bytes).unwrap();
        assert_eq!(samples.iter().map(|sample| sample.class).collect::<Vec<_>>(), [0, 1, 2, 2]);
        for Sample { logits, levels, .. } in samples {
            assert_eq!(logits, infer(&model, &levels));
        }
    }

    #[test]
    fn there_are_at_most_eight() {
        let model = model(1);
        let model = int8::Model::<Odd>::from_bytes(&model).unwrap();
        for (images, samples) in [(1, 1), (7, 7), (8, 8), (30, 8)] {
            let labels: Vec<u16> = (0..images).map(|index| index % 3).collect();
            let file = file(&model, &self::images(&labels, 0));
            assert_eq!(read(&Odd::DIMS, &file).unwrap().len(), samples);
        }
    }

    #[test]
    fn the_samples_are_those_of_the_model() {
        let (folder, test) = (tempfile::tempdir().unwrap(), images(&[0, 1, 2], 7));
        let read = |path: fn(&Path) -> PathBuf| fs::read(path(folder.path())).unwrap();
        let mut logits = Vec::new();
        for seed in [1, 2] {
            write_with_model::<Odd>(folder.path(), &model(seed), &test).unwrap();
            let model = ModelBytes::from(&*read(RunFolder::int8_model));
            let samples = super::read(&Odd::DIMS, &read(RunFolder::samples)).unwrap();
            assert!(samples.iter().all(|sample| sample.logits == infer(&model, &sample.levels)));
            logits.push(samples[0].logits.clone());
        }
        assert_ne!(logits[0], logits[1]);

        // If the model cannot be replaced, the samples of the old one stay.
        let old = [read(RunFolder::int8_model), read(RunFolder::samples)];
        assert!(write_with_model::<vit_nostd::Nano>(folder.path(), &model(3), &test).is_err());
        assert!([read(RunFolder::int8_model), read(RunFolder::samples)] == old);
    }

    #[test]
    fn other_bytes_are_not_samples() {
        let model = model(1);
        let model = int8::Model::<Odd>::from_bytes(&model).unwrap();
        let good = file(&model, &images(&[0, 1], 7));
        assert_eq!(read(&Odd::DIMS, &[]), Some(Vec::new()));
        assert!(read(&Odd::DIMS, &good[1..]).is_none());
        for (at, byte) in [(0, 3), (1, 1), (2, 1), (3, 1), (70, 1), (71, 1), (72, 3)] {
            let mut bad = good.clone();
            bad[at] = byte;
            assert!(read(&Odd::DIMS, &bad).is_none(), "{at}");
        }
    }
}
