//! The integer engine against its independent second implementation on dfdx tensors: equal logits, all of them.

#[path = "../../vit-nostd/tests/random_int8/mod.rs"]
mod random_int8;

use random_int8::{
    normalizing_weights, random_image, random_weights, with_file, with_weights, Mood, Normalizer, Random,
    ROOTS,
};
use std::{collections::HashSet, env, path::Path};
use vit_nostd::{
    image,
    int8::{weights::Weights, Model, Scratch},
    Image, Nano, Shape, Tiny, Vit,
};
use vit_train::{
    data::{self, synthetic, Dataset, Format, Source},
    files::ModelBytes,
    inference::view,
    reference,
};

/// Compares the logits of `images` by the model in `file`, and gives how many images have logits of their own.
fn assert_equal<S: Shape>(file: &[u8], images: &[&Image<S>], what: &str) -> usize {
    let model = Model::<S>::from_bytes(file).unwrap();
    let mut scratch = Box::new(Scratch::new());
    let reference = reference::int8::logits::<S>(file, images).unwrap();
    assert_eq!(reference.len(), images.len());
    let mut distinct = HashSet::new();
    for (index, (image, reference)) in images.iter().zip(&reference).enumerate() {
        let engine = model.infer(image, &mut scratch);
        assert_eq!(reference.as_ref(), engine.as_ref(), "{what}, {:?}, image {index}", S::DIMS);
        distinct.insert(engine.as_ref().to_vec());
    }
    distinct.len()
}

/// Random models of all kinds, `count` images each.
fn random_models<S: Shape>(seed: u64, count: usize) {
    for mood in Mood::ALL {
        let mut random = Random(seed);
        with_weights(Weights::<S>::BYTES, |weights| {
            random_weights::<S>(&mut random, mood, weights);
            let pixels: Vec<_> = (0..count).map(|index| random_image::<S>(&mut random, index)).collect();
            let images: Vec<_> = pixels.iter().filter_map(|pixels| image::<S>(pixels)).collect();
            with_file::<S, _>(weights, |file| {
                let distinct = assert_equal::<S>(file, &images, &format!("{mood:?}, seed {seed}"));
                assert!(distinct > count / 2 || mood != Mood::Calm, "the images make no difference");
            });
        });
    }
}

#[test]
fn random_small_networks() {
    for seed in 0..20 {
        random_models::<Vit<4, 2, 5, 4, 2, 2, 4, 1, 2>>(seed, 10);
        random_models::<Vit<6, 3, 5, 8, 1, 8, 20, 3, 3>>(seed, 10);
        random_models::<Vit<12, 2, 37, 12, 4, 3, 8, 2, 10>>(seed, 5);
        random_models::<Vit<5, 5, 2, 16, 16, 1, 4, 4, 7>>(seed, 10);
    }
}

#[test]
fn random_presets_and_widest_network() {
    random_models::<Nano>(100, 50); // more than a batch
    random_models::<Tiny>(101, 3);
    random_models::<Vit<8, 4, 5, 128, 2, 64, 384, 2, 10>>(102, 5);
}

#[test]
fn roots_are_rounded_down() {
    for case in &ROOTS {
        with_weights(Weights::<Normalizer>::BYTES, |bytes| {
            normalizing_weights(case, bytes);
            with_file::<Normalizer, _>(bytes, |file| {
                let logits = reference::int8::logits::<Normalizer>(file, &[&[[7; 4]; 4]]).unwrap();
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
    assert!(distinct > images.len() / 2, "the images make no difference");
}

#[test]
fn trained_network() {
    assert_equal_on(&synthetic::dataset(300, 3), 300);
    assert_equal::<Nano>(&trained(), &[&[[0; 28]; 28], &[[255; 28]; 28]], "trained");
}

/// On real data, where `MNIST_DIR` says that it is.
#[test]
fn trained_network_on_mnist() {
    let Some(directory) = env::var_os(data::MNIST_DIR) else {
        println!("MNIST_DIR is not set: nothing was compared on MNIST");
        return;
    };
    let format = Format { side: 28, classes: 10 };
    assert_equal_on(&data::load(&Source::Directory(directory.into()), format).unwrap().test, 500);
}

#[test]
fn other_files_are_refused() {
    let mut file = trained();
    assert!(reference::int8::logits::<Tiny>(&file, &[]).is_err());
    file.bytes_mut()[5000] ^= 1;
    assert!(reference::int8::logits::<Nano>(&file, &[]).is_err());
}
