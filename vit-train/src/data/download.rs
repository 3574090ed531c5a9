//! Downloads MNIST from public mirrors.

use std::fs;
use std::path::Path;
use std::process;
use std::time::Duration;

use super::error::DataError;
use super::idx::{self, File};

/// The addresses under which MNIST's files are served, with their usual names followed by `.gz`. They are tried in this
/// order.
pub(super) const MIRRORS: &[&str] =
    &["https://ossci-datasets.s3.amazonaws.com/mnist", "https://storage.googleapis.com/cvdf-datasets/mnist"];

/// The time limit for resolving a name, and again for connecting. Without a network, the program waits at most twice
/// this long for every mirror.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// The time limit for one file, from the first byte to the last. The largest file has 10 MB.
const TRANSFER_TIMEOUT: Duration = Duration::from_secs(300);
/// The largest accepted size of a compressed file. It is more than any of MNIST's files has, and keeps a faulty
/// mirror from filling the memory.
const MAX_BYTES: u64 = 16 << 20;
/// The largest accepted size of a decompressed file.
const MAX_UNPACKED_BYTES: u64 = 64 << 20;

/// Downloads the files of MNIST that are missing in `directory`. A file appears there whole and verified, or not at
/// all.
pub(super) fn complete(directory: &Path, mirrors: &[&str]) -> Result<(), DataError> {
    let missing: Vec<&File> = idx::FILES.iter().filter(|file| file.find(directory).is_none()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_resolve(Some(CONNECT_TIMEOUT))
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_global(Some(TRANSFER_TIMEOUT))
        .build()
        .into();
    missing.into_iter().try_for_each(|file| fetch(&agent, file, directory, mirrors))
}

fn fetch(agent: &ureq::Agent, file: &File, directory: &Path, mirrors: &[&str]) -> Result<(), DataError> {
    let name = format!("{}.gz", file.name);
    let mut reasons = Vec::new();
    for mirror in mirrors {
        let url = format!("{mirror}/{name}");
        match get(agent, &url, file) {
            Ok(bytes) => return store(directory, &name, &bytes),
            Err(reason) => reasons.push(format!("{mirror}: {reason}")),
        }
    }
    Err(DataError::Download { path: directory.into(), name, reasons: reasons.join("; ") })
}

/// Downloads the compressed file at `url`, and checks that it decompresses to `file`.
fn get(agent: &ureq::Agent, url: &str, file: &File) -> Result<Vec<u8>, String> {
    let mut response = agent.get(url).call().map_err(|error| error.to_string())?;
    let bytes = response
        .body_mut()
        .with_config()
        .limit(MAX_BYTES)
        .read_to_vec()
        .map_err(|error| error.to_string())?;
    let unpacked =
        idx::gunzip(&bytes, MAX_UNPACKED_BYTES).map_err(|error| format!("damaged gzip file ({error})"))?;
    file.check(&unpacked, Path::new(url)).map_err(|_| "not MNIST's file".to_owned())?;
    Ok(bytes)
}

/// Writes a file under a temporary name and renames it, so that no program finds half a file.
fn store(directory: &Path, name: &str, bytes: &[u8]) -> Result<(), DataError> {
    let path = directory.join(name);
    let temporary = directory.join(format!("{name}.{}.part", process::id()));
    fs::create_dir_all(directory)
        .and_then(|()| fs::write(&temporary, bytes))
        .and_then(|()| fs::rename(&temporary, &path))
        .map_err(|error| {
            let _ = fs::remove_file(&temporary); // it may not exist; the first error is the one to report
            DataError::Io { path, error }
        })
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

    #[test]
    fn folder_that_cannot_be_made_is_reported() {
        let folder = Folder::new("readonly");
        folder.write("file", b"");
        let error = store(&folder.path().join("file"), "hello.gz", HELLO).unwrap_err();
        assert!(matches!(error, DataError::Io { .. }), "{error}");
    }
}
