//! Downloads MNIST and CIFAR-10.

use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use flate2::read::GzDecoder;
use sha2::{Digest, Sha256};

use super::cifar;
use super::error::DataError;
use super::format::{CIFAR10_DIR, MNIST_DIR};
use super::idx::{self, File};
use crate::{atomic, hex::hex};

/// The addresses under which MNIST's files are served, with their usual names followed by `.gz`. They are tried in this
/// order.
pub(super) const MIRRORS: &[&str] =
    &["https://ossci-datasets.s3.amazonaws.com/mnist", "https://storage.googleapis.com/cvdf-datasets/mnist"];

/// CIFAR-10's archive, as its author publishes it. He publishes its MD5, c32a1d4ab5d03f1284b67883e8d87530. The SHA-256
/// of the file with that MD5 is in several libraries that download it, such as Julia's MLDatasets and Ruby's
/// TorchVision.
pub(super) const CIFAR10: Archive = Archive {
    url: "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    sha256: "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
};

/// A packed folder on a server.
pub(super) struct Archive<'a> {
    pub url: &'a str,
    /// The SHA-256 of the archive, in hexadecimal digits.
    pub sha256: &'a str,
}

/// The time limit for resolving a name, and again for connecting. Without a network, the program waits at most twice
/// this long for every mirror.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// The time limit for one file, from the first byte to the last. The largest file has 10 MB.
const TRANSFER_TIMEOUT: Duration = Duration::from_secs(300);
/// The time limit for CIFAR-10's archive, which has 170 MB.
const ARCHIVE_TIMEOUT: Duration = Duration::from_secs(3600);
/// The largest accepted size of a compressed file. It is more than any of MNIST's files has, and keeps a faulty
/// mirror from filling the memory.
const MAX_BYTES: u64 = 16 << 20;
/// The largest accepted size of CIFAR-10's archive.
const MAX_ARCHIVE_BYTES: u64 = 256 << 20;
/// The largest accepted size of a decompressed file.
const MAX_UNPACKED_BYTES: u64 = 64 << 20;

/// Downloads the files of MNIST that are missing in `directory`. A file appears there whole and verified, or not at
/// all.
pub(super) fn complete(directory: &Path, mirrors: &[&str]) -> Result<(), DataError> {
    let missing: Vec<&File> = idx::FILES.iter().filter(|file| file.find(directory).is_none()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let agent = agent(TRANSFER_TIMEOUT);
    missing.into_iter().try_for_each(|file| fetch(&agent, file, directory, mirrors))
}

/// Downloads CIFAR-10 to `directory` if one of its files is missing there. They appear there whole and verified, or not
/// at all.
pub(super) fn complete_cifar10(directory: &Path, archive: &Archive) -> Result<(), DataError> {
    if cifar::files().all(|name| directory.join(name).exists()) {
        return Ok(());
    }
    fetch_archive(&agent(ARCHIVE_TIMEOUT), archive, directory)
}

fn fetch_archive(agent: &ureq::Agent, archive: &Archive, directory: &Path) -> Result<(), DataError> {
    let failed = |reason| DataError::Download {
        path: directory.into(),
        name: archive.url.rsplit('/').next().unwrap_or_default().to_owned(),
        reasons: format!("{}: {reason}", archive.url),
        files: "the files of cifar-10-binary.tar.gz",
        variable: CIFAR10_DIR,
    };
    let bytes = get(agent, archive.url, MAX_ARCHIVE_BYTES).map_err(failed)?;
    let found = hex(Sha256::digest(&bytes));
    if found != archive.sha256 {
        return Err(failed(format!(
            "not CIFAR-10's archive (SHA-256 {found} instead of {})",
            archive.sha256
        )));
    }
    let unpacked = unpack(&bytes).map_err(|error| failed(format!("damaged archive ({error})")))?;
    unpacked.iter().try_for_each(|(name, bytes)| store(directory, name, bytes))
}

/// Returns the files of CIFAR-10 in an archive, each with its name. There may be others, which are left out.
fn unpack(archive: &[u8]) -> io::Result<Vec<(&'static str, Vec<u8>)>> {
    let mut archive = tar::Archive::new(GzDecoder::new(archive));
    let mut unpacked = Vec::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        if let Some(name) = cifar::files().find(|name| path.ends_with(name)) {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes)?;
            unpacked.push((name, bytes));
        }
    }
    match cifar::files().find(|file| unpacked.iter().all(|(name, _)| name != file)) {
        Some(missing) => Err(io::Error::other(format!("{missing} is missing"))),
        None => Ok(unpacked),
    }
}

fn agent(timeout: Duration) -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .timeout_resolve(Some(CONNECT_TIMEOUT))
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_global(Some(timeout));
    config.build().into()
}

fn fetch(agent: &ureq::Agent, file: &File, directory: &Path, mirrors: &[&str]) -> Result<(), DataError> {
    let name = format!("{}.gz", file.name);
    let mut reasons = Vec::new();
    for mirror in mirrors {
        let url = format!("{mirror}/{name}");
        match get_file(agent, &url, file) {
            Ok(bytes) => return store(directory, &name, &bytes),
            Err(reason) => reasons.push(format!("{mirror}: {reason}")),
        }
    }
    Err(DataError::Download {
        path: directory.into(),
        name,
        reasons: reasons.join("; "),
        files: "MNIST's four files",
        variable: MNIST_DIR,
    })
}

/// Downloads the compressed file at `url`, and checks that it decompresses to `file`.
fn get_file(agent: &ureq::Agent, url: &str, file: &File) -> Result<Vec<u8>, String> {
    let bytes = get(agent, url, MAX_BYTES)?;
    let unpacked =
        idx::gunzip(&bytes, MAX_UNPACKED_BYTES).map_err(|error| format!("damaged gzip file ({error})"))?;
    file.check(&unpacked, Path::new(url)).map_err(|_| "not MNIST's file".to_owned())?;
    Ok(bytes)
}

/// Downloads what is at `url`, which has at most `limit` bytes.
fn get(agent: &ureq::Agent, url: &str, limit: u64) -> Result<Vec<u8>, String> {
    let mut response = agent.get(url).call().map_err(|error| error.to_string())?;
    let body = response.body_mut().with_config().limit(limit);
    body.read_to_vec().map_err(|error| error.to_string())
}

/// Writes a file completely or not at all.
fn store(directory: &Path, name: &str, bytes: &[u8]) -> Result<(), DataError> {
    let path = directory.join(name);
    let written = fs::create_dir_all(directory).and_then(|()| atomic::write(&path, &[bytes]));
    written.map_err(|error| DataError::Io { path, error })
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;

    use super::super::testing::Folder;
    use super::*;

    /// Starts a mirror that answers every request with these bytes, and returns its URL.
    fn mirror(answer: Vec<u8>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        thread::spawn(move || {
            for mut client in listener.incoming().flatten() {
                let mut request = Vec::new();
                let mut byte = [0];
                while !request.ends_with(b"\r\n\r\n") && client.read_exact(&mut byte).is_ok() {
                    request.push(byte[0]);
                }
                let _ = client.write_all(&answer); // the client may have closed the connection
            }
        });
        url
    }

    fn ok(body: &[u8], length: usize) -> Vec<u8> {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
        [head.as_bytes(), body].concat()
    }

    /// Returns an agent for the tests. It ignores proxies, because it talks to its own machine.
    fn direct() -> ureq::Agent {
        ureq::Agent::config_builder().proxy(None).timeout_global(Some(Duration::from_secs(5))).build().into()
    }

    /// The text "hello\n", compressed with gzip.
    const HELLO: &[u8] = &[
        0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xcb, 0x48, 0xcd, 0xc9, 0xc9, 0xe7, 2, 0, 0x20, 0x30, 0x3a, 0x36,
        6, 0, 0, 0,
    ];
    const FILE: File = File {
        name: "hello",
        sha256: Some("5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"),
    };

    #[test]
    fn next_mirror_serves_where_the_first_fails() {
        let folder = Folder::new("download");
        let directory = folder.path().join("data/mnist");
        let mirrors = [
            "http://127.0.0.1:1".to_owned(),
            mirror(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec()),
            mirror(ok(HELLO, HELLO.len())),
        ];
        fetch(&direct(), &FILE, &directory, &mirrors.each_ref().map(String::as_str)).unwrap();
        let names: Vec<_> =
            fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["hello.gz"]);
        assert_eq!(fs::read(directory.join("hello.gz")).unwrap(), HELLO);
    }

    #[test]
    fn damaged_downloads_are_not_kept() {
        let folder = Folder::new("damage");
        let other = [&HELLO[..10], &[0x4b, 0x4c, 0x4a, 6, 0, 0xc2, 0x41, 0x24, 0x35, 3, 0, 0, 0]].concat(); // "abc"
        for (answer, reason) in [
            (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec(), "404"),
            (ok(&HELLO[..20], HELLO.len()), ""),
            (ok(&HELLO[..20], 20), "damaged gzip file"),
            (ok(b"<html>", 6), "damaged gzip file"),
            (ok(&other, other.len()), "not MNIST's file"),
            (ok(&[], MAX_BYTES as usize + 1), ""),
        ] {
            let mirror = mirror(answer);
            let error = fetch(&direct(), &FILE, folder.path(), &[&mirror]).unwrap_err();
            assert!(matches!(&error, DataError::Download { name, .. } if name == "hello.gz"), "{error}");
            assert!(error.to_string().contains(&format!("({mirror}: ")), "{error}");
            assert!(error.to_string().contains(reason), "{error}");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }

    /// Returns an archive of these files in a folder.
    fn archive(names: &[&str]) -> Vec<u8> {
        let encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let mut archive = tar::Builder::new(encoder);
        for name in names {
            let mut header = tar::Header::new_gnu();
            header.set_size(name.len() as u64);
            header.set_mode(0o644);
            archive
                .append_data(&mut header, format!("cifar-10-batches-bin/{name}"), name.as_bytes())
                .unwrap();
        }
        archive.into_inner().unwrap().finish().unwrap()
    }

    #[test]
    fn an_archive_is_unpacked() {
        let folder = Folder::new("archive");
        let directory = folder.path().join("data/cifar10");
        let names: Vec<_> = cifar::files().chain(["readme.html"]).collect();
        let bytes = archive(&names);
        let (url, sha256) = (mirror(ok(&bytes, bytes.len())), hex(Sha256::digest(&bytes)));
        let url = format!("{url}/cifar-10-binary.tar.gz");
        fetch_archive(&direct(), &Archive { url: &url, sha256: &sha256 }, &directory).unwrap();
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 7);
        for name in cifar::files() {
            assert_eq!(fs::read(directory.join(name)).unwrap(), name.as_bytes());
        }
        // It is not downloaded again.
        complete_cifar10(&directory, &Archive { url: "http://127.0.0.1:1", sha256: "" }).unwrap();

        for (names, sha256, reason) in [
            (&names[..], CIFAR10.sha256, "not CIFAR-10's archive (SHA-256 "),
            (&names[1..], "", "damaged archive (data_batch_1.bin is missing)"),
        ] {
            let bytes = archive(names);
            let found = hex(Sha256::digest(&bytes));
            let url = mirror(ok(&bytes, bytes.len()));
            let sha256 = if sha256.is_empty() { &found } else { sha256 };
            let error = fetch_archive(&direct(), &Archive { url: &url, sha256 }, folder.path()).unwrap_err();
            let error = error.to_string();
            assert!(error.contains(reason) && error.contains("CIFAR10_DIR"), "{error}");
            assert!(!folder.path().join("test_batch.bin").exists());
        }
    }

    #[test]
    fn folder_that_cannot_be_made_is_reported() {
        let folder = Folder::new("readonly");
        folder.write("file", b"");
        let error = store(&folder.path().join("file"), "hello.gz", HELLO).unwrap_err();
        assert!(matches!(error, DataError::Io { .. }), "{error}");
    }
}
