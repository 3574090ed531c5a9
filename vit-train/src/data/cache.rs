//! Keeps the levels of decoded pictures in files, so that the same folder is read quickly the next time.
//!
//! A file has the levels of all pictures of a data set, fitted to the images of a network. Its name is a key: a SHA-256
//! of everything that the levels depend on. If a picture is changed, renamed, added or removed, or if the network or
//! the fit is another one, the key is another one, too. Nobody has to remove a file that is out of date: the least
//! recently used files are removed when all together are larger than a limit.
//!
//! The cache is never needed. A file that is damaged is ignored and written again, and a folder that cannot be written
//! to is no error.
//!
//! | bytes | content |
//! |---|---|
//! | 16 | the name and the version of the format |
//! | 1 each | 1 if the levels of a picture are there, or 0 if it could not be read |
//! | values each | the levels of each picture |
//! | 32 | the SHA-256 of all bytes before |

use super::format::Format;
use crate::{
    atomic::{self, is_temporary},
    hex::hex,
};
use sha2::{Digest, Sha256};
use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};
use vit_nostd::frame::Fit;

/// The version of the arithmetic from a file to levels. It must be increased by everything that changes a level: our
/// code or a new version of a decoder. A test notices it.
const ARITHMETIC: u32 = 1;
const MAGIC: &[u8; 16] = b"vit-train levels";
const EXTENSION: &str = "levels";
/// The age at which a temporary file is no longer being written.
const LEFT_BEHIND: Duration = Duration::from_secs(24 * 3600);
/// The largest size of all files of the cache together, in bytes.
pub(super) const LIMIT: u64 = 4 << 30;

/// Returns the key for the pictures of a folder at `paths`, in this order.
///
/// Besides the path, size and time of change of each picture, the folder itself counts: pictures of a fixed size that
/// are unpacked with a fixed time would otherwise be mistaken for those with the same names in another folder.
pub(super) fn key<'a>(
    folder: &Path,
    paths: impl Iterator<Item = &'a Path>,
    format: Format,
    fit: Fit,
) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut text = |text: &[u8]| {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    };
    let Format { height, width, channels, classes: _ } = format;
    text(&ARITHMETIC.to_le_bytes());
    text(format!("{height} {width} {channels} {fit:?}").as_bytes());
    let canonical = folder.canonicalize();
    text(canonical.as_deref().unwrap_or(folder).as_os_str().as_encoded_bytes());
    for path in paths {
        text(path.strip_prefix(folder).unwrap_or(path).as_os_str().as_encoded_bytes());
        text(fs::metadata(path).map(|metadata| state(&metadata)).unwrap_or_default().as_bytes());
    }
    hash.finalize().into()
}

/// Describes the size of a file and the times of its last change.
fn state(metadata: &fs::Metadata) -> String {
    let modified = metadata.modified().ok().map(|time| match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => after.as_nanos() as i128,
        Err(before) => -(before.duration().as_nanos() as i128),
    });
    // Programs can set the time of the last modification to any value, but not that of the last change.
    #[cfg(unix)]
    let changed = {
        use std::os::unix::fs::MetadataExt;
        (metadata.ctime(), metadata.ctime_nsec())
    };
    #[cfg(not(unix))]
    let changed = ();
    format!("{} {modified:?} {changed:?}", metadata.len())
}

/// Returns the file for a key in the folder `cache`.
fn file(cache: &Path, key: [u8; 32]) -> PathBuf {
    cache.join(hex(key)).with_extension(EXTENSION)
}

/// Reads the levels of pictures, and returns for each whether they are there. Returns `None`, with any `levels`, if the
/// file for `key` does not exist or is damaged.
pub(super) fn read(cache: &Path, key: [u8; 32], pictures: usize, levels: &mut [u8]) -> Option<Vec<bool>> {
    let path = file(cache, key);
    let mut file = fs::File::open(&path).ok()?;
    let len = MAGIC.len() + pictures + levels.len() + 32;
    if !file.metadata().ok()?.is_file() || file.metadata().ok()?.len() != len as u64 {
        return None;
    }
    let mut head = vec![0; MAGIC.len() + pictures];
    let mut digest = [0; 32];
    for part in [&mut head[..], levels, &mut digest] {
        file.read_exact(part).ok()?;
    }
    let (magic, there) = head.split_at(MAGIC.len());
    if magic != MAGIC || sha256(&[&head, levels]) != digest {
        return None;
    }
    // The file is now the most recently used one. It is good even if this cannot be noted.
    let _ = fs::File::options().append(true).open(path).and_then(|file| file.set_modified(SystemTime::now()));
    Some(there.iter().map(|&there| there == 1).collect())
}

/// Writes the levels of pictures, with a note for each whether they are `there`. Then removes the least recently used
/// files until all together have at most `limit` bytes. Errors are ignored.
pub(super) fn write(cache: &Path, key: [u8; 32], there: &[bool], levels: &[u8], limit: u64) {
    let there: Vec<u8> = there.iter().copied().map(u8::from).collect();
    let parts = [&MAGIC[..], &there, levels];
    let len = parts.iter().map(|part| part.len() as u64).sum::<u64>() + 32;
    if len > limit || fs::create_dir_all(cache).is_err() {
        return;
    }
    // What cannot be written is decoded again the next time.
    let _ = atomic::write(&file(cache, key), &[parts[0], parts[1], parts[2], &sha256(&parts)]);
    let _ = tidy(cache, limit);
}

fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().into()
}

/// Removes the least recently used files until all together have at most `limit` bytes, and temporary files that killed
/// processes have left.
fn tidy(cache: &Path, limit: u64) -> io::Result<()> {
    let mut files = Vec::new();
    for entry in fs::read_dir(cache)? {
        let (path, metadata) = entry.and_then(|entry| Ok((entry.path(), entry.metadata()?)))?;
        let name = path.file_stem().unwrap_or_default().as_encoded_bytes();
        let is_ours = name.len() == 64 && path.extension().is_some_and(|extension| extension == EXTENSION);
        if is_ours && metadata.is_file() {
            files.push((metadata.modified()?, metadata.len(), path));
        } else if is_temporary(&path) && metadata.modified()?.elapsed().is_ok_and(|age| age > LEFT_BEHIND) {
            fs::remove_file(path)?;
        }
    }
    files.sort();
    let mut size: u64 = files.iter().map(|(_, len, _)| len).sum();
    for (_, len, path) in files {
        if size <= limit {
            break;
        }
        fs::remove_file(path)?;
        size -= len;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{load_and_tell, picture, Loading, Source, Splits, Unreadable};
    use super::*;
    use image::{GrayImage, Luma};
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        thread,
    };
    use tempfile::TempDir;

    const FORMAT: Format = Format::grey(28, 2);

    /// A folder of pictures and a folder for the cache.
    struct Folders {
        pictures: TempDir,
        cache: TempDir,
    }

    impl Folders {
        fn new() -> Self {
            let folders =
                Self { pictures: tempfile::tempdir().unwrap(), cache: tempfile::tempdir().unwrap() };
            for class in 0..2 {
                for n in 0..5 {
                    folders.save(&format!("{class}/{n}.bmp"), 100 * class + 10 * n);
                }
            }
            folders
        }

        /// Writes a picture whose left half has this grey value. The size of the file is always the same.
        fn save(&self, name: &str, grey: u8) {
            let path = self.pictures.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let picture = GrayImage::from_fn(60, 40, |x, _| Luma([if x < 30 { grey } else { 255 - grey }]));
            picture.save(path).unwrap();
        }

        /// Loads the pictures, and returns how many of them were decoded, too.
        fn load_in(&self, format: Format, fit: Fit, unreadable: Unreadable) -> (Splits, usize) {
            let read = AtomicUsize::new(0);
            let reading = |done, _| _ = read.fetch_max(done, Ordering::Relaxed);
            let cache = Some(self.cache.path().to_owned());
            let loading = Loading { fit, unreadable, cache, reading: &reading };
            let source = Source::Directory(self.pictures.path().into());
            let splits = load_and_tell(&source, format, &loading).unwrap();
            // Without the cache, the levels are the same.
            let plain = Loading { cache: None, reading: &|_, _| {}, ..loading };
            let fresh = load_and_tell(&source, format, &plain).unwrap();
            assert_eq!(
                (&splits.train, &splits.test, &splits.skipped),
                (&fresh.train, &fresh.test, &fresh.skipped)
            );
            (splits, read.into_inner())
        }

        /// Returns the number of pictures that are decoded when they are loaded.
        fn decoded(&self) -> usize {
            self.load_in(FORMAT, Fit::Crop, Unreadable::Refuse).1
        }

        fn files(&self) -> Vec<PathBuf> {
            let entries = fs::read_dir(self.cache.path()).unwrap();
            let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
            paths.sort();
            paths
        }
    }

    #[test]
    fn pictures_are_decoded_once() {
        let folders = Folders::new();
        assert_eq!((folders.decoded(), folders.decoded(), folders.files().len()), (10, 0, 1));
        // A picture of the same size at another time, under another name, one more and one less.
        folders.save("0/0.bmp", 77);
        assert_eq!((folders.decoded(), folders.decoded()), (10, 0));
        let path = |name: &str| folders.pictures.path().join(name);
        fs::rename(path("0/0.bmp"), path("0/9.bmp")).unwrap();
        assert_eq!((folders.decoded(), folders.decoded()), (10, 0));
        folders.save("1/7.bmp", 78);
        assert_eq!((folders.decoded(), folders.decoded()), (11, 0));
        fs::remove_file(path("1/7.bmp")).unwrap();
        assert_eq!(folders.decoded(), 0, "these are the pictures from before");
    }

    #[cfg(unix)]
    #[test]
    fn a_time_that_was_set_hides_no_change() {
        let folders = Folders::new();
        assert_eq!(folders.decoded(), 10);
        let path = folders.pictures.path().join("1/1.bmp");
        let time = fs::metadata(&path).unwrap().modified().unwrap();
        folders.save("1/1.bmp", 5);
        fs::File::options().append(true).open(path).unwrap().set_modified(time).unwrap();
        assert_eq!(folders.decoded(), 10);
    }

    #[test]
    fn other_settings_have_other_files() {
        let folders = Folders::new();
        let colour = Format { channels: 3, ..FORMAT };
        let oblong = Format { width: 14, ..FORMAT };
        for format in [FORMAT, colour, oblong] {
            for fit in [Fit::Crop, Fit::Pad, Fit::Stretch] {
                let decoded = || folders.load_in(format, fit, Unreadable::Refuse).1;
                assert_eq!((decoded(), decoded()), (10, 0), "{format} {fit:?}");
            }
        }
        assert_eq!(folders.files().len(), 9);
        // Pictures with the same names, sizes and times in another folder are others.
        let other = Folders { cache: folders.cache, ..Folders::new() };
        assert_eq!(other.decoded(), 10);
    }

    #[test]
    fn damaged_files_are_ignored_and_written_again() {
        let folders = Folders::new();
        folders.decoded();
        let [path] = &folders.files()[..] else { panic!() };
        let good = fs::read(path).unwrap();
        let flipped = |at: usize| {
            let mut bytes = good.clone();
            bytes[at] ^= 1;
            bytes
        };
        let len = good.len();
        let damaged = [0, 16, 25, 26, len / 2, len - 33, len - 1].map(flipped);
        let cut = [0, 10, len - 1].map(|len| good[..len].to_vec());
        for bytes in damaged.iter().chain(&cut).chain([&[&good[..], &[0]].concat()]) {
            fs::write(path, bytes).unwrap();
            assert_eq!((folders.decoded(), folders.decoded()), (10, 0));
            assert!(fs::read(path).unwrap() == good);
        }
        fs::remove_file(path).unwrap();
        fs::create_dir(path).unwrap();
        assert_eq!(folders.decoded(), 10);
    }

    #[test]
    fn a_folder_that_cannot_be_written_to_is_no_error() {
        let folders = Folders::new();
        let file = folders.pictures.path().join("desktop.ini");
        fs::write(&file, "a file where the folder would be").unwrap();
        let loading = Loading { cache: Some(file.join("cache")), ..Loading::default() };
        load_and_tell(&Source::Directory(folders.pictures.path().into()), FORMAT, &loading).unwrap();
    }

    #[test]
    fn files_that_were_left_out_are_not_in_the_cache() {
        let folders = Folders::new();
        fs::write(folders.pictures.path().join("0/7.bmp"), "no picture").unwrap();
        let load = |unreadable| folders.load_in(FORMAT, Fit::Crop, unreadable);
        let (first, decoded) = load(Unreadable::LeaveOut);
        assert_eq!((decoded, first.skipped.len()), (11, 1));
        // A file that cannot be read is tried again.
        assert_eq!(load(Unreadable::LeaveOut).1, 1);
        assert_eq!(load(Unreadable::Known(first.skipped)).1, 0);
        let cache = Some(folders.cache.path().to_owned());
        let strict = Loading { cache, ..Loading::default() };
        let error =
            load_and_tell(&Source::Directory(folders.pictures.path().into()), FORMAT, &strict).unwrap_err();
        assert!(error.to_string().contains("(1 of 11 files cannot be used)"), "{error}");
    }

    #[test]
    fn several_processes_may_write_at_once() {
        let folders = Folders::new();
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| assert!([0, 10].contains(&folders.decoded())));
            }
        });
        assert_eq!((folders.decoded(), folders.files().len()), (0, 1));
    }

    #[test]
    fn the_least_recently_used_files_are_removed() {
        let cache = tempfile::tempdir().unwrap();
        let len = MAGIC.len() as u64 + 1 + 100 + 32;
        let keep = |key: u8, limit| write(cache.path(), [key; 32], &[true], &[key; 100], limit);
        let is_there = |key: u8| {
            let mut levels = [0; 100];
            let there = read(cache.path(), [key; 32], 1, &mut levels);
            there.is_some_and(|there| there == [true] && levels == [key; 100])
        };
        let notes = cache.path().join("notes.levels");
        fs::write(&notes, vec![0; 1000]).unwrap();
        for key in 1..4 {
            keep(key, 3 * len);
            thread::sleep(Duration::from_millis(20));
        }
        assert!(is_there(1)); // and is now the most recently used
        thread::sleep(Duration::from_millis(20));
        keep(4, 3 * len);
        assert_eq!([1, 2, 3, 4].map(is_there), [true, false, true, true]);
        keep(5, len - 1);
        assert_eq!(
            [1, 3, 4, 5].map(is_there),
            [true, true, true, false],
            "it is larger than all together may be"
        );
        assert!(notes.exists(), "only files of the cache are removed");

        let left = cache.path().join(".vit-train-XYZ.tmp");
        let being_written = cache.path().join(".vit-train-ABC.tmp");
        for (path, age) in [(&left, 2 * LEFT_BEHIND), (&being_written, Duration::ZERO)] {
            fs::write(path, "half a fi").unwrap();
            let file = fs::File::options().append(true).open(path).unwrap();
            file.set_modified(SystemTime::now() - age).unwrap();
        }
        keep(6, 3 * len);
        assert!(!left.exists() && being_written.exists());
    }

    /// If this test fails, a picture has other levels than before: increase [`ARITHMETIC`], and then change the number
    /// here.
    #[cfg(target_arch = "x86_64")]
    #[test]
    fn the_version_stands_for_the_levels() {
        let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/data/picture_files"));
        let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths
            .retain(|path| path.extension().is_some_and(|extension| extension != "rgb" && extension != "py"));
        paths.sort();
        let mut hash = Sha256::new();
        for path in paths {
            for (channels, fit) in [(1, Fit::Crop), (3, Fit::Pad), (3, Fit::Stretch)] {
                let format = Format { channels, ..Format::grey(16, 1) };
                hash.update(picture::read_fitted(&path, format, fit).unwrap());
            }
        }
        assert_eq!(
            (ARITHMETIC, &*hex(hash.finalize())),
            (1, "c7d37f35496a70a97f83404c6f35a9b6d328254334780d569130c9def16ada2b")
        );
    }
}
