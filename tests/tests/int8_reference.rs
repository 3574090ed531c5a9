//! Tests that the integer engine and its independent second implementation, on dfdx tensors, compute the same logits.

use std::{collections::HashSet, env, path::Path};
use vit_nostd::{
    frame::Fit,
    image,
    int8::{weights::Weights, Model, Scratch},
    ConvNano, Image, Nano, Network, Tiny,
};
use vit_random_models::{
    normalizing_weights, random_image, random_weights, with_file, with_weights, Mood, Normalizer, Random,
    ROOTS,
};
use vit_train::{
    data::{self, synthetic, Dataset, Format, Source},
    formats::model_bytes::ModelBytes,
    inference::view,
    verify::reference,
};

vit_nostd::network! {
    Small { image: 4, patch: 2, embed: 4, heads: 2, hidden: 4, depth: 1, classes: 2 }
    OneHead { image: [6, 9, 3], patch: [2, 3], embed: 8, heads: 1, hidden: 20, depth: 3, classes: 3 }
    Tokens577 { image: 48, patch: 2, embed: 8, heads: 2, hidden: 8, depth: 1, classes: 3 }
    ManyTokens { image: 12, patch: 2, embed: 12, heads: 4, hidden: 8, depth: 2, classes: 10 }
    HeadsOf1 { image: 5, patch: 5, embed: 16, heads: 16, hidden: 4, depth: 4, classes: 7 }
    Wide128 { image: 8, patch: 4, embed: 128, heads: 2, hidden: 384, depth: 2, classes: 10 }
    Wide132 { image: [6, 20, 3], patch: [3, 5], embed: 132, heads: 2, hidden: 12, depth: 2, classes: 10 }
    Wide256 { image: [8, 6, 3], patch: [4, 3], embed: 256, heads: 4, hidden: 384, depth: 2, classes: 10 }
    OverlappingColour {
        image: [9, 7, 3], tokenizer: [{ kernel: 5, stride: 2, padding: 2 }],
        embed: 8, heads: 2, hidden: 12, depth: 2, classes: 3,
    }
    RowsLeftOver {
        image: [8, 11], tokenizer: [{ kernel: 3, stride: 4, padding: 1 }],
        embed: 12, heads: 3, hidden: 8, depth: 1, classes: 3,
    }
    Stem {
        image: [12, 10, 3],
        tokenizer: [{ kernel: 3, stride: 2, padding: 1, channels: 4 }, { kernel: 3, stride: 2, padding: 1 }],
        embed: 8, heads: 2, hidden: 12, depth: 2, classes: 3,
    }
    StemOfGaps {
        image: [11, 13], tokenizer: [{ kernel: 2, stride: 1, channels: 8 }, { kernel: 2, stride: 3 }],
        embed: 16, heads: 2, hidden: 12, depth: 1, classes: 4,
    }
    GapsOfStem {
        image: [11, 8, 3], tokenizer: [{ kernel: 2, stride: 3, channels: 4 }, { kernel: 4, padding: 3 }],
        embed: 8, heads: 1, hidden: 8, depth: 1, classes: 4,
    }
}

/// Compares the logits of `images` by the model in `file`. Returns the number of different results.
fn assert_equal<N: Network>(file: &[u8], images: &[&Image<N>], what: &str) -> usize {
    let model = Model::<N>::from_bytes(file).unwrap();
    let mut scratch = Box::new(Scratch::new());
    let reference = reference::int8::logits::<N>(file, images).unwrap();
    assert_eq!(reference.len(), images.len());
    let mut distinct = HashSet::new();
    for (index, (image, reference)) in images.iter().zip(&reference).enumerate() {
        let engine = model.infer(image, &mut scratch);
        assert_eq!(reference.as_ref(), engine.as_ref(), "{what}, {:?}, image {index}", N::DIMS);
        distinct.insert(engine.as_ref().to_vec());
    }
    distinct.len()
}

/// Compares random models of all moods, with `count` images each.
fn random_models<N: Network>(seed: u64, count: usize) {
    for mood in Mood::ALL {
        let mut random = Random(seed);
        with_weights(Weights::<N>::BYTES, |weights| {
            random_weights::<N>(&mut random, mood, weights);
            let pixels: Vec<_> = (0..count).map(|index| random_image::<N>(&mut random, index)).collect();
            let images: Vec<_> = pixels.iter().filter_map(|pixels| image::<N>(pixels)).collect();
            with_file::<N, _>(weights, |file| {
                let distinct = assert_equal::<N>(file, &images, &format!("{mood:?}, seed {seed}"));
                assert!(distinct > count / 2 || mood != Mood::Calm, "most images have the same logits");
            });
        });
    }
}

#[test]
fn random_small_networks() {
    for seed in 0..20 {
        random_models::<Small>(seed, 10);
        random_models::<OneHead>(seed, 10);
        random_models::<ManyTokens>(seed, 5);
        random_models::<Tokens577>(seed, 1);
        random_models::<HeadsOf1>(seed, 10);
    }
}

#[test]
fn random_networks_with_convolutions() {
    for seed in 0..20 {
        random_models::<OverlappingColour>(seed, 10);
        random_models::<RowsLeftOver>(seed, 10);
        random_models::<Stem>(seed, 10);
        random_models::<StemOfGaps>(seed, 10);
        random_models::<GapsOfStem>(seed, 10);
    }
}

#[test]
fn random_presets_and_wide_networks() {
    random_models::<Nano>(100, 50); // more than a batch
    random_models::<ConvNano>(105, 50);
    random_models::<Tiny>(101, 3);
    random_models::<Wide128>(102, 5);
    random_models::<Wide132>(103, 5);
    random_models::<Wide256>(104, 5);
}

#[test]
fn roots_are_rounded_down() {
    for case in &ROOTS {
        with_weights(Weights::<Normalizer>::BYTES, |bytes| {
            normalizing_weights(case, bytes);
            with_file::<Normalizer, _>(bytes, |file| {
                let logits = reference::int8::logits::<Normalizer>(file, &[&[[[7]; 4]; 4]]).unwrap();
                assert_eq!(logits, [case.expected]);
            });
        });
    }
}

fn trained() -> ModelBytes {
    let firmware = Path::new(env!("CARGO_MANIFEST_DIR")).join("../firmware-example");
    ModelBytes::read(&firmware.join("models/nano.int8.vit")).unwrap()
}

fn assert_equal_on(data: &Dataset, images: usize) {
    let images: Vec<_> = (0..images).map(|index| view::<Nano>(data, index)).collect();
    let distinct = assert_equal::<Nano>(&trained(), &images, "trained");
    assert!(distinct > images.len() / 2, "most images have the same logits");
}

#[test]
fn trained_network() {
    assert_equal_on(&synthetic::dataset(300, 3), 300);
    assert_equal::<Nano>(&trained(), &[&[[[0]; 28]; 28], &[[[255]; 28]; 28]], "trained");
}

/// Compares on real data, if `MNIST_DIR` names its folder.
#[test]
fn trained_network_on_mnist() {
    let Some(directory) = env::var_os(data::MNIST_DIR) else {
        println!("MNIST_DIR is not set: nothing was compared on MNIST");
        return;
    };
    let format = Format::grey(28, 10);
    assert_equal_on(
        &data::load(&Source::Directory(directory.into()), format, Fit::Stretch).unwrap().test,
        500,
    );
}

#[test]
fn other_files_are_refused() {
    let mut file = trained();
    assert!(reference::int8::logits::<Tiny>(&file, &[]).is_err());
    file.bytes_mut()[5000] ^= 1;
    assert!(reference::int8::logits::<Nano>(&file, &[]).is_err());
}
