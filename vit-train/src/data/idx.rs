//! Reads IDX, the file format of MNIST: a big-endian header followed by bytes. The file may be compressed with gzip.
//!
//! ```text
//! images:  0x00000803  count  rows  columns  count * rows * columns grey values
//! labels:  0x00000801  count                 count labels
//! ```

use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::iter;
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use sha2::{Digest, Sha256};

use super::{dataset::Dataset, error::DataError, format::Format, memory};
use crate::{hex::hex, paths::no_file};

const IMAGES_MAGIC: u32 = 0x0000_0803;
const LABELS_MAGIC: u32 = 0x0000_0801;

/// One of the four files of a data set.
#[derive(Clone, Copy)]
pub(super) struct File {
    /// The name of the file, without `.gz`.
    pub name: &'static str,
    /// The required SHA-256 of the uncompressed bytes, or `None` if any content is accepted.
    pub sha256: Option<&'static str>,
}

impl File {
    const fn mnist(name: &'static str, sha256: &'static str) -> Self {
        Self { name, sha256: Some(sha256) }
    }

    /// Returns a file with the same name whose content is not checked.
    pub(super) const fn unchecked(self) -> Self {
        Self { sha256: None, ..self }
    }

    /// Returns the path of this file in `directory`. Its name may end with `.gz`, and have `.idx` instead of `-idx`.
    pub(super) fn find(&self, directory: &Path) -> Option<PathBuf> {
        let dotted = self.name.replacen("-idx", ".idx", 1);
        let spellings =
            [self.name, &dotted].into_iter().flat_map(|name| [name.to_owned(), format!("{name}.gz")]);
        let mut paths = spellings.map(|name| directory.join(name)).filter(|path| path.exists());
        let first = paths.next()?;
        // If a folder has one of the names, the file may have another one.
        Some(if first.is_file() { first } else { paths.find(|path| path.is_file()).unwrap_or(first) })
    }

    /// Checks the SHA-256 of the uncompressed bytes of the file at `path`.
    pub(super) fn check(&self, bytes: &[u8], path: &Path) -> Result<(), DataError> {
        let Some(expected) = self.sha256 else { return Ok(()) };
        let found = hex(Sha256::digest(bytes));
        if found == expected {
            Ok(())
        } else {
            Err(DataError::Checksum { path: path.into(), expected, found })
        }
    }
}

/// MNIST's files, in this order: images and labels to train on, images and labels to test on.
#[rustfmt::skip]
pub(super) const FILES: [File; 4] = [
    File::mnist("train-images-idx3-ubyte", "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
    File::mnist("train-labels-idx1-ubyte", "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
    File::mnist("t10k-images-idx3-ubyte", "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
    File::mnist("t10k-labels-idx1-ubyte", "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
];

/// Reads one part of a data set from `directory`.
pub(super) fn read(
    directory: &Path,
    images: &File,
    labels: &File,
    format: Format,
) -> Result<Dataset, DataError> {
    let fits = |path: &Path, [count, rows, columns]: [u32; 3]| {
        if count == 0 {
            return Err(DataError::Empty { path: path.into() });
        }
        if [rows, columns].map(u64::from) != [format.height, format.width].map(|side| side as u64) {
            return Err(DataError::ImageSize { path: path.into(), rows, columns, format });
        }
        memory::check(path, count as usize, format.values(), memory::available())
    };
    let (path, mut pixels) = load(directory, images, "images", IMAGES_MAGIC, fits)?;
    images.check(&pixels, &path)?;
    pixels.drain(..16);

    let (path, mut classes) = load(directory, labels, "labels", LABELS_MAGIC, |_, [_]| Ok(()))?;
    labels.check(&classes, &path)?;
    classes.drain(..8);
    // For a network that takes colours, each grey level is one of red, green and blue.
    if format.channels > 1 {
        pixels = pixels.iter().flat_map(|&level| iter::repeat_n(level, format.channels)).collect();
    }
    Dataset::new(format, pixels, classes.into_iter().map(u16::from).collect(), &path)
}

/// The size of the images of one part of a data set, and their labels.
pub(super) struct Extent {
    /// The height and the width of an image in pixels.
    pub size: [usize; 2],
    /// The class of each image.
    pub labels: Vec<u8>,
    /// The file of the images.
    pub images_path: PathBuf,
    /// The file of the labels.
    pub labels_path: PathBuf,
}

/// Reads the labels of one part of a data set, but only the header of the images.
///
/// # Errors
/// Those of [`read`] for any format, except that the content of the images is not looked at.
pub(super) fn measure(directory: &Path, images: &File, labels: &File) -> Result<Extent, DataError> {
    let Opened { path: images_path, dimensions, expected, len, .. } =
        Opened::open(directory, images, "images", IMAGES_MAGIC)?;
    if let Some(found) = len.filter(|&found| found != expected) {
        return Err(DataError::Length { path: images_path, expected, found });
    }
    let [images, rows, columns] = dimensions.map(|dimension| dimension as usize);
    if [images, rows, columns].contains(&0) {
        return Err(DataError::Empty { path: images_path });
    }
    let (labels_path, mut bytes) = load(directory, labels, "labels", LABELS_MAGIC, |_, [_]| Ok(()))?;
    labels.check(&bytes, &labels_path)?;
    let labels = bytes.split_off(8);
    if labels.len() != images {
        return Err(DataError::Count { path: labels_path, images, labels: labels.len() });
    }
    Ok(Extent { size: [rows, columns], labels, images_path, labels_path })
}

/// Finds a file and reads its uncompressed bytes, whose header has `N` dimensions that `fits` must accept.
///
/// No more bytes are kept than the header announces, because a small compressed file may expand to a huge one.
fn load<const N: usize>(
    directory: &Path,
    file: &File,
    kind: &'static str,
    magic: u32,
    fits: impl Fn(&Path, [u32; N]) -> Result<(), DataError>,
) -> Result<(PathBuf, Vec<u8>), DataError> {
    let Opened { path, mut reader, len, mut bytes, dimensions, expected } =
        Opened::open(directory, file, kind, magic)?;
    let fit = fits(&path, dimensions);
    let wanted = if fit.is_ok() { expected - bytes.len() as u64 } else { 0 };
    let failed = |error| failure(&path, len.is_none(), error);
    reader.by_ref().take(wanted).read_to_end(&mut bytes).map_err(failed)?;
    let found = match len {
        None => bytes.len() as u64 + io::copy(&mut reader, &mut io::sink()).map_err(failed)?,
        Some(len) => len,
    };
    if found != expected {
        return Err(DataError::Length { path, expected, found });
    }
    fit.map(|()| (path, bytes))
}

/// Returns the error for a file that cannot be read.
fn failure(path: &Path, packed: bool, error: io::Error) -> DataError {
    let path = path.to_owned();
    match packed && error.kind() != io::ErrorKind::OutOfMemory {
        true => DataError::Gzip { path, error },
        false => DataError::Io { path, error },
    }
}

/// A file whose header has been read.
struct Opened<const N: usize> {
    path: PathBuf,
    /// The uncompressed bytes after the header.
    reader: Box<dyn Read>,
    /// The length of the file, or `None` if it is compressed.
    len: Option<u64>,
    /// The bytes of the header.
    bytes: Vec<u8>,
    dimensions: [u32; N],
    /// The uncompressed length according to the header.
    expected: u64,
}

impl<const N: usize> Opened<N> {
    fn open(directory: &Path, file: &File, kind: &'static str, magic: u32) -> Result<Self, DataError> {
        if !directory.is_dir() {
            let path = directory.into();
            return Err(match directory.exists() {
                true => DataError::NotADirectory { path },
                false => DataError::MissingDirectory { path },
            });
        }
        let Some(path) = file.find(directory) else {
            return Err(DataError::MissingFile { path: directory.into(), name: file.name.into() });
        };
        let io = |error| DataError::Io { path: path.clone(), error };
        // Reading a pipe could block forever.
        let metadata = fs::metadata(&path).map_err(io)?;
        if let Some(kind) = no_file(&metadata) {
            return Err(DataError::NotAFile { path, kind });
        }
        let mut raw = BufReader::new(fs::File::open(&path).map_err(io)?);
        // The content decides and not the name, because some tools decompress a .gz file and keep its name.
        let packed = raw.fill_buf().map_err(io)?.starts_with(&[0x1f, 0x8b]);
        let mut reader: Box<dyn Read> =
            if packed { Box::new(MultiGzDecoder::new(raw)) } else { Box::new(raw) };
        let start = 4 + 4 * N as u64;
        let mut bytes = Vec::new();
        let read = reader.by_ref().take(start).read_to_end(&mut bytes);
        read.map_err(|error| failure(&path, packed, error))?;
        let dimensions = header(&bytes, &path, kind, magic)?;
        // The product saturates for a hostile header, and no file is that long.
        let content = dimensions.iter().fold(1, |product: u64, &n| product.saturating_mul(n.into()));
        let expected = start.saturating_add(content);
        let len = (!packed).then_some(metadata.len());
        Ok(Self { path, reader, len, bytes, dimensions, expected })
    }
}

/// Decompresses a gzip file, but no more than `limit` bytes of it.
pub(super) fn gunzip(bytes: &[u8], limit: u64) -> io::Result<Vec<u8>> {
    let mut unpacked = Vec::new();
    MultiGzDecoder::new(bytes).take(limit).read_to_end(&mut unpacked)?;
    Ok(unpacked)
}

/// Checks the magic number of an IDX file, and returns its `N` dimensions.
fn header<const N: usize>(
    bytes: &[u8],
    path: &Path,
    kind: &'static str,
    expected: u32,
) -> Result<[u32; N], DataError> {
    let start = 4 + 4 * N as u64;
    let length = || DataError::Length { path: path.into(), expected: start, found: bytes.len() as u64 };
    let mut words =
        bytes.chunks_exact(4).map(|word| u32::from_be_bytes([word[0], word[1], word[2], word[3]]));
    let mut next = || words.next().ok_or_else(length);
    let found = next()?;
    if found != expected {
        return Err(DataError::Magic { path: path.into(), kind, expected, found });
    }
    let mut dimensions = [0; N];
    for dimension in &mut dimensions {
        *dimension = next()?;
    }
    Ok(dimensions)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::write::GzEncoder;
    use flate2::Compression;

    use super::super::testing::{idx, images, Folder};
    use super::super::{load, Source};
    use super::*;
    use vit_nostd::frame::Fit;

    const FORMAT: Format = Format::grey(28, 10);
    const IMAGES: &str = "train-images-idx3-ubyte";
    const LABELS: &str = "train-labels-idx1-ubyte";

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// Returns the error for a valid data set of three images after `spoil` has changed its files. Checks that its
    /// message is one line that names the place.
    fn wrong(test: &str, spoil: impl FnOnce(&Folder)) -> DataError {
        let folder = Folder::new(test);
        folder.write_set("", 28, &[0, 1, 2]);
        let source = Source::Directory(folder.path().into());
        load(&source, FORMAT, Fit::Crop).unwrap();
        spoil(&folder);
        let error = load(&source, FORMAT, Fit::Crop).unwrap_err();
        let message = error.to_string();
        assert!(message.starts_with(&folder.path().display().to_string()), "{message}");
        assert!(!message.contains('\n') && message.contains(": "), "{message}");
        error
    }

    #[test]
    fn every_spelling_is_read() {
        for (dotted, packed) in [(false, false), (false, true), (true, false), (true, true)] {
            let folder = Folder::new(&format!("spelling-{dotted}-{packed}"));
            folder.write_set("", 28, &[4, 5]);
            for File { name, .. } in FILES {
                let bytes = fs::read(folder.path().join(name)).unwrap();
                fs::remove_file(folder.path().join(name)).unwrap();
                let name = if dotted { name.replace("-idx", ".idx") } else { name.into() };
                match packed {
                    true => folder.write(&format!("{name}.gz"), &gzip(&bytes)),
                    false => folder.write(&name, &bytes),
                }
            }
            let data = load(&Source::Directory(folder.path().into()), FORMAT, Fit::Crop).unwrap();
            assert_eq!(data.test.labels(), [4, 5]);
            assert_eq!(data.train.image(1)[..3], [784 % 251, 785 % 251, 786 % 251].map(|ink| ink as u8));
        }
    }

    #[test]
    fn unpacked_file_may_keep_the_name_of_the_packed() {
        let folder = Folder::new("unpacked");
        folder.write_set(".gz", 28, &[4]);
        assert_eq!(load(&Source::Directory(folder.path().into()), FORMAT, Fit::Crop).unwrap().train.len(), 1);
    }

    #[test]
    fn missing_directory() {
        let error = load(&Source::Directory("no/such/place".into()), FORMAT, Fit::Crop).unwrap_err();
        assert!(matches!(error, DataError::MissingDirectory { .. }));
        assert_eq!(error.to_string(), "no/such/place: no such directory: check the path");
    }

    #[test]
    fn missing_file() {
        let error =
            wrong("missing", |folder| fs::remove_file(folder.path().join("t10k-labels-idx1-ubyte")).unwrap());
        assert!(matches!(error, DataError::MissingFile { name, .. } if name == "t10k-labels-idx1-ubyte"));
    }

    #[test]
    fn truncated_gzip() {
        for cut in [2, 5, 12, 40] {
            let error = wrong(&format!("gzip-{cut}"), |folder| {
                folder.write(IMAGES, &gzip(&images(3, 28))[..cut]);
            });
            assert!(matches!(error, DataError::Gzip { .. }), "{error:?}");
        }
        let error = wrong("gzip-tail", |folder| {
            let packed = gzip(&images(3, 28));
            folder.write(IMAGES, &packed[..packed.len() - 1]);
        });
        assert!(matches!(error, DataError::Gzip { .. }), "{error:?}");
    }

    #[test]
    fn wrong_magic() {
        let error = wrong("magic", |folder| folder.write(IMAGES, &idx(0x801, &[3], &[0, 1, 2])));
        assert!(matches!(error, DataError::Magic { kind: "images", expected: 0x803, found: 0x801, .. }));
        assert!(error.to_string().contains("starts with 0x00000801 instead of 0x00000803"), "{error}");
        let error = wrong("magic-labels", |folder| folder.write(LABELS, &images(3, 28)));
        assert!(matches!(error, DataError::Magic { kind: "labels", .. }));
    }

    #[test]
    fn truncated_or_overlong() {
        let whole = images(3, 28);
        for cut in [0, 3, 4, 15, 16, whole.len() - 1] {
            let error = wrong(&format!("cut-{cut}"), |folder| folder.write(IMAGES, &whole[..cut]));
            assert!(matches!(error, DataError::Length { found, .. } if found == cut as u64), "{error:?}");
        }
        let error = wrong("long", |folder| folder.write(IMAGES, &[&whole[..], &[0]].concat()));
        assert!(matches!(error, DataError::Length { expected: 2368, found: 2369, .. }), "{error:?}");
        let error = wrong("long-labels", |folder| folder.write(LABELS, &idx(0x801, &[3], &[0; 4])));
        assert!(matches!(error, DataError::Length { expected: 11, found: 12, .. }), "{error:?}");
        let error = wrong("hostile", |folder| folder.write(IMAGES, &idx(0x803, &[u32::MAX; 3], &[0; 9])));
        assert!(matches!(error, DataError::Length { expected: u64::MAX, .. }), "{error:?}");
    }

    #[test]
    fn small_files_that_unpack_to_huge_ones() {
        // 64 KiB that expand to 64 MiB of zeros, of which no more is kept than the header announces.
        let zeros = vec![0; 64 << 20];
        let error =
            wrong("bomb", |folder| folder.write(IMAGES, &gzip(&[&images(3, 28)[..], &zeros].concat())));
        assert!(
            matches!(error, DataError::Length { expected: 2368, found, .. } if found == 2368 + (64 << 20))
        );
    }

    #[test]
    fn images_that_do_not_fit_into_memory() {
        // Four billion images, none of which is stored: the file has a hole.
        let error = wrong("memory", |folder| {
            folder.write(IMAGES, &idx(0x803, &[u32::MAX, 28, 28], &[]));
            let file = fs::File::options().write(true).open(folder.path().join(IMAGES)).unwrap();
            file.set_len(16 + u64::from(u32::MAX) * 784).unwrap();
        });
        assert!(matches!(error, DataError::Memory { bytes_each: 784, .. }), "{error:?}");
        assert!(
            error.to_string().contains("4294967295 images of 784 bytes take 3136.00 GiB, but "),
            "{error}"
        );
    }

    #[cfg(unix)]
    #[test]
    fn pipes_are_not_waited_for() {
        let error = wrong("pipe", |folder| {
            let path = folder.path().join(IMAGES);
            fs::remove_file(&path).unwrap();
            assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        });
        assert!(matches!(error, DataError::NotAFile { kind: "a named pipe", .. }), "{error:?}");
    }

    #[test]
    fn counts_differ() {
        let error = wrong("count", |folder| folder.write(LABELS, &idx(0x801, &[2], &[0, 1])));
        assert!(matches!(error, DataError::Count { images: 3, labels: 2, .. }));
    }

    #[test]
    fn label_without_a_class() {
        let error = wrong("label", |folder| folder.write(LABELS, &idx(0x801, &[3], &[0, 9, 12])));
        assert!(matches!(error, DataError::Label { index: 2, label: 12, classes: 10, .. }));
        assert!(error.to_string().contains("label 12 at index 2, but there are 10 classes"), "{error}");
    }

    #[test]
    fn images_of_another_size() {
        let error = wrong("size", |folder| folder.write_set("", 32, &[0, 1, 2]));
        assert!(matches!(error, DataError::ImageSize { rows: 32, columns: 32, format: FORMAT, .. }));
        for (rows, columns) in [(14, 56), (28, 27), (27, 28)] {
            let file = idx(0x803, &[1, rows, columns], &vec![0; (rows * columns) as usize]);
            let error = wrong(&format!("oblong-{rows}-{columns}"), |folder| folder.write(IMAGES, &file));
            assert!(
                matches!(error, DataError::ImageSize { rows: r, columns: c, .. } if (r, c) == (rows, columns))
            );
        }
    }

    #[test]
    fn nothing_inside() {
        let error = wrong("empty", |folder| folder.write_set("", 28, &[]));
        assert!(matches!(error, DataError::Empty { path } if path.ends_with(IMAGES)));
    }

    #[test]
    fn checksum() {
        let file = File {
            name: "x",
            sha256: Some("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        };
        assert!(file.check(b"abc", Path::new("x")).is_ok());
        let error = file.check(b"abd", Path::new("x")).unwrap_err();
        assert!(
            matches!(&error, DataError::Checksum { found, .. } if found.len() == 64 && found.starts_with("a52d159f"))
        );
        assert!(error.to_string().starts_with("x: not MNIST's file (SHA-256 a52d159f"), "{error}");
        assert!(file.unchecked().check(b"abd", Path::new("x")).is_ok());
    }
}
