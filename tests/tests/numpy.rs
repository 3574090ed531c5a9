//! Tests that `NUMERICS.md` and the description of the file format are complete: a program in another language, which
//! was written from them alone, computes the same logits.

use std::{
    env, fs,
    path::PathBuf,
    process::{Command, Stdio},
};
use vit_nostd::{
    frame::Fit,
    image,
    int8::{weights::Weights, Model, Scratch},
    Nano, Network,
};
use vit_random_models::{random_image, random_weights, with_file, with_weights, Mood, Random};
use vit_train::{
    data::{self, synthetic},
    formats::model_bytes::ModelBytes,
};

/// Returns a path in the folder of this crate.
fn in_this_crate(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

vit_nostd::network! {
    /// One convolution, whose windows overlap and reach beyond the image.
    Overlapping {
        image: [9, 7], tokenizer: [{ kernel: 5, stride: 2, padding: 2 }],
        embed: 8, heads: 2, hidden: 12, depth: 2, classes: 3,
    }
    /// One convolution, between whose windows rows and columns of a colour image are left out.
    Sparse {
        image: [8, 11, 3], tokenizer: [{ kernel: 2, stride: 3 }],
        embed: 12, heads: 3, hidden: 8, depth: 1, classes: 3,
    }
    /// Two convolutions with padding.
    Stem {
        image: [12, 10, 3],
        tokenizer: [{ kernel: 3, stride: 2, padding: 1, channels: 4 }, { kernel: 3, stride: 2, padding: 1 }],
        embed: 8, heads: 2, hidden: 12, depth: 2, classes: 3,
    }
    /// Two convolutions, with pixels of the map that are in no patch.
    StemOfGaps {
        image: [11, 13], tokenizer: [{ kernel: 2, channels: 8 }, { kernel: 2, stride: 3 }],
        embed: 16, heads: 2, hidden: 12, depth: 1, classes: 4,
    }
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
    compare::<Nano>(&ModelBytes::read(&path).unwrap(), digits.images());
}

#[test]
fn numpy_computes_the_same_logits_with_convolutions() {
    compare_random::<Overlapping>();
    compare_random::<Sparse>();
    compare_random::<Stem>();
    compare_random::<StemOfGaps>();
}

fn compare_random<N: Network>() {
    for (seed, mood) in Mood::ALL.into_iter().enumerate() {
        let mut random = Random(seed as u64);
        let images: Vec<u8> = (0..6).flat_map(|index| random_image::<N>(&mut random, index)).collect();
        with_weights(Weights::<N>::BYTES, |weights| {
            random_weights::<N>(&mut random, mood, weights);
            with_file::<N, _>(weights, |file| compare::<N>(file, &images));
        });
    }
}

/// Compares the logits that numpy and the engine compute for `images` with the model in `file`.
fn compare<N: Network>(file: &[u8], images: &[u8]) {
    let model = Model::<N>::from_bytes(file).unwrap();
    let mut scratch = Box::new(Scratch::new());
    let engine: Vec<Vec<i32>> = images
        .chunks(N::DIMS.image_values())
        .map(|pixels| model.infer(image::<N>(pixels).unwrap(), &mut scratch).as_ref().to_vec())
        .collect();

    let folder = tempfile::tempdir().unwrap();
    let [path, pixels] = ["model.int8.vit", "images"].map(|name| folder.path().join(name));
    fs::write(&path, file).unwrap();
    fs::write(&pixels, images).unwrap();
    let output = Command::new(in_this_crate("numpy-python"))
        .args([in_this_crate("numpy/vit_int8.py"), path])
        .stdin(fs::File::open(pixels).unwrap())
        .stderr(Stdio::inherit())
        .output()
        .expect("tests/numpy-python starts");
    assert!(output.status.success(), "the numpy program failed (its message is above)");
    let lines = String::from_utf8(output.stdout).unwrap();
    let numpy: Vec<Vec<i32>> = lines
        .lines()
        .map(|line| line.split(' ').map(|logit| logit.parse().expect("an integer")).collect())
        .collect();
    assert_eq!(numpy.len(), engine.len());
    for (index, (numpy, engine)) in numpy.iter().zip(&engine).enumerate() {
        assert_eq!(numpy, engine, "{}, image {index}", N::NAME);
    }
}
