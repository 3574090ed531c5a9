//! Tests that `NUMERICS.md` and the description of the file format are complete: a program in another language, which
//! was written from them alone, computes the same logits.

use std::{
    env, fs,
    path::PathBuf,
    process::{Command, Stdio},
};
use vit_nostd::{
    frame::Fit,
    int8::{Model, Scratch},
    Nano,
};
use vit_train::{
    data::{self, synthetic},
    formats::model_bytes::ModelBytes,
    inference::view,
};

/// Returns a path in the folder of this crate.
fn in_this_crate(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Compares on MNIST's test images if `MNIST_DIR` names their folder, or else on the built-in digits.
#[test]
fn numpy_computes_the_same_logits() {
    let mut digits = match env::var_os(data::MNIST_DIR) {
        Some(directory) => {
            let source = data::Source::Directory(directory.into());
            data::load(&source, data::Format::of::<Nano>(), Fit::Stretch).unwrap().test
        }
        None => synthetic::dataset(100, 11),
    };
    digits.truncate(100);
    let path = in_this_crate("../firmware-example/models/nano.int8.vit");
    let file = ModelBytes::read(&path).unwrap();
    let model = Model::<Nano>::from_bytes(&file).unwrap();
    let mut scratch = Box::new(Scratch::new());
    let engine: Vec<_> =
        (0..digits.len()).map(|index| model.infer(view::<Nano>(&digits, index), &mut scratch)).collect();

    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("images");
    fs::write(&images, digits.images()).unwrap();
    let output = Command::new(in_this_crate("numpy-python"))
        .args([in_this_crate("numpy/vit_int8.py"), path])
        .stdin(fs::File::open(images).unwrap())
        .stderr(Stdio::inherit())
        .output()
        .expect("tests/numpy-python starts");
    assert!(output.status.success(), "the numpy program failed (its message is above)");
    let lines = String::from_utf8(output.stdout).unwrap();
    let numpy: Vec<Vec<i32>> = lines
        .lines()
        .map(|line| line.split(' ').map(|logit| logit.parse().expect("an integer")).collect())
        .collect();
    assert_eq!(numpy.len(), 100);
    for (index, (numpy, engine)) in numpy.iter().zip(engine).enumerate() {
        assert_eq!(numpy[..], engine, "image {index}");
    }
}
