//! Tests the program from outside: its command lines, what it prints, and the files that it writes.

mod bad_input;
mod c_libraries;
mod command_line;
mod device;
mod documents;
mod exchange;
mod numbers;
mod origins;
mod outputs;
mod pictures;
mod pictures_in_folders;
mod projects;
mod quantization;
mod reproducible;
mod runs;

use serde_json::Value;
use std::{
    fs,
    path::Path,
    process::{Command, Output},
};
use tempfile::TempDir;
use vit_train::data::synthetic;

/// Returns a command that runs the program where MNIST is not found, and without the cache of decoded pictures.
fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vit-train"));
    command.env_remove("MNIST_DIR").env("VIT_TRAIN_CACHE", "");
    command
}

fn run(arguments: &[&str]) -> Output {
    program().args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Runs the program, which must succeed, and returns what it printed.
fn succeed(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

fn json(arguments: &[&str]) -> Value {
    serde_json::from_str(&succeed(arguments)).unwrap()
}

/// Runs the program, which must refuse with exit code 2 and one line that contains all of `words`.
fn refuse(arguments: &[&str], words: &[&str]) {
    let output = run(arguments);
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
    let lines: Vec<&str> = error.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(lines.len(), 1, "{arguments:?}: {error}");
    for word in words {
        assert!(lines[0].contains(word), "{arguments:?}: no {word:?} in {error}");
    }
    assert!(!error.contains(".vit-train-"), "the error has the name of a temporary file: {error}");
    assert!(!error.contains("panicked"), "{error}");
}

/// A folder with four files in MNIST's format that contain synthetic digits.
struct Digits {
    folder: TempDir,
}

impl Digits {
    fn new(train: usize, test: usize) -> Self {
        let digits = Self { folder: tempfile::tempdir().unwrap() };
        for (part, count, seed) in [("train", train, 1), ("t10k", test, 2)] {
            let data = synthetic::dataset(count, seed);
            let header = |magic: u32, dims: &[usize]| {
                let dims = dims.iter().map(|&dim| dim as u32);
                std::iter::once(magic).chain(dims).flat_map(u32::to_be_bytes).collect::<Vec<u8>>()
            };
            let images = [header(0x803, &[count, 28, 28]), data.images().to_vec()].concat();
            let labels = data.labels().iter().map(|&label| label as u8).collect();
            let labels = [header(0x801, &[count]), labels].concat();
            digits.write(&format!("{part}-images-idx3-ubyte"), &images);
            digits.write(&format!("{part}-labels-idx1-ubyte"), &labels);
        }
        digits
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.folder.path().join(name), bytes).unwrap();
    }

    fn edit(&self, name: &str, edit: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = fs::read(self.folder.path().join(name)).unwrap();
        edit(&mut bytes);
        self.write(name, &bytes);
    }

    fn path(&self) -> &str {
        self.folder.path().to_str().unwrap()
    }
}

/// Trains two epochs on `digits` and returns the folder of the results.
fn train(digits: &Digits, preset: &str, seed: &str) -> TempDir {
    let out = tempfile::tempdir().unwrap();
    let arguments = ["--preset", preset, "--epochs", "2", "--batch-size", "32", "--seed", seed];
    succeed(&[&arguments[..], &["--data", digits.path(), "--out", out.path().to_str().unwrap()]].concat());
    out
}

fn file(folder: &TempDir, name: &str) -> String {
    folder.path().join(name).to_str().unwrap().to_owned()
}

fn entries(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
