//! Tests that dfdx and vit-nostd compute the same network on the host, for models and images that are made here, and
//! for MNIST if the environment variable `MNIST_DIR` names its folder.

use std::{path::Path, time::Duration};
use vit_nostd::{frame::Fit, Base, Nano, Tiny};
use vit_tests::{noise, random_checkpoint};
use vit_train::{
    data::{self, synthetic, Augmentation, Format, Source, Splits},
    formats::{checkpoint::Checkpoint, model_bytes::ModelBytes, vit::float_model},
    inference::nostd_logits,
    network::{parameters::Parameters, Trainable},
    quantize::quantize_and_score,
    recipe::Recipe,
    run::folder::RunFolder,
    score::Score,
    train::{train, Progress, Start},
    verify::{verify, Files, Verification},
};

/// The path of a random network in error messages. There is no such file.
const NOWHERE: &str = "random.vit";

/// Returns a random network, and its float and its integer model.
fn random<N: Trainable>(seed: u64) -> (Parameters, [ModelBytes; 2]) {
    let checkpoint = random_checkpoint::<N>(seed);
    let float = float_model::<N>(&checkpoint, Path::new(NOWHERE)).unwrap();
    let data = noise::<N>(20, seed);
    let indices: Vec<usize> = (0..data.len()).collect();
    let integer = quantize_and_score::<N>(&checkpoint, (&data, &indices), &data, Path::new(NOWHERE));
    (checkpoint.parameters, [float, integer.unwrap().0])
}

fn files([float, integer]: &[ModelBytes; 2]) -> Files<'_> {
    let path = Path::new(NOWHERE);
    Files { f32: (path, float), int8: Some((path, integer)) }
}

fn compare<N: Trainable>(seed: u64, images: usize, exact: usize) -> Verification {
    let (parameters, models) = random::<N>(seed);
    verify::<N>(&parameters, files(&models), &noise::<N>(images, seed), exact).unwrap()
}

#[test]
fn every_preset_agrees() {
    for verification in [compare::<Nano>(1, 200, 50), compare::<Tiny>(2, 50, 5), compare::<Base>(3, 30, 3)] {
        assert!(verification.passed(), "{verification:?}");
        assert!(
            verification.dfdx_vs_nostd_f32_max_abs > 0.0,
            "dfdx and vit-nostd sum in different orders: equal bits mean that they were not compared"
        );
    }
}

#[test]
fn odd_shapes_agree() {
    vit_nostd::network! {
        Colour { image: [12, 20, 3], patch: [4, 5], embed: 40, heads: 1, hidden: 8, depth: 2, classes: 7 }
    }
    vit_nostd::network! {
        ManyHeads { image: 28, patch: 4, embed: 24, heads: 8, hidden: 20, depth: 3, classes: 10 }
    }
    for verification in [compare::<Colour>(4, 50, 50), compare::<ManyHeads>(5, 30, 10)] {
        assert!(verification.passed(), "{verification:?}");
    }
}

#[test]
fn another_network_is_noticed() {
    let (parameters, _) = random::<Nano>(6);
    let (_, models) = random::<Nano>(7);
    let verification = verify::<Nano>(&parameters, files(&models), &synthetic::dataset(20, 1), 5).unwrap();
    assert!(!verification.passed());
    assert!(verification.dfdx_vs_nostd_f32_max_abs > 1e-2 && verification.argmax_disagreements > 0);
}

struct Silent;

impl Progress for Silent {
    fn step(&mut self, _: usize, _: usize, _: usize, _: usize, _: f64) {}
    fn epoch(&mut self, _: &vit_train::run::record::Epoch, _: usize, _: bool) {}
    fn stage(&mut self, _: &str) {}
}

/// Trains `nano` on the built-in digits alone. If MNIST is available, the network recognises at least half of its test
/// images.
#[test]
fn built_in_digits_teach_real_ones() {
    let format = Format::grey(28, 10);
    let digits: Splits = data::load(&Source::Synthetic, format, Fit::Stretch).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let outputs = RunFolder::create(folder.path()).unwrap();
    let augmentation = Augmentation::NONE; // the digits are varied enough for two epochs
    let recipe =
        Recipe { epochs: 2, lr: 2e-3, dropout: 0.0, batch_size: 32, augmentation, ..Recipe::default() };
    let report =
        train::<Nano>(&recipe, &digits, Start::Random, &outputs, Duration::from_secs(60), &mut Silent)
            .unwrap();
    let test = report.test.unwrap();
    let accuracy = test.f32.acc;
    println!("trained on built-in digits: {accuracy:.2} % of them");
    assert!(accuracy >= 80.0, "{accuracy}");
    assert!(report.verify.unwrap().passed());
    let lost = accuracy - test.int8.unwrap().acc;
    println!("lost in integers: {lost:.2} points");
    assert!(lost <= 1.0, "{lost}");

    if std::env::var_os("MNIST_DIR").is_some() {
        let mnist = data::load(&Source::Mnist, format, Fit::Stretch).unwrap();
        let file = ModelBytes::read(&RunFolder::float_model(folder.path())).unwrap();
        let model = vit_nostd::float::Model::<Nano>::from_bytes(&file).unwrap();
        let logits = nostd_logits(&model, &mnist.test, mnist.test.len());
        let score = Score::new(&logits, mnist.test.labels().iter().copied());
        println!("trained on built-in digits: {:.2} % of MNIST's test images", score.acc);
        assert!(score.acc >= 50.0, "{score:?}");
        let path = RunFolder::checkpoint(folder.path());
        let checkpoint = Checkpoint::load(&path).unwrap().into_order_of::<Nano>(&path).unwrap();
        let int8_file = ModelBytes::read(&RunFolder::int8_model(folder.path())).unwrap();
        let models = [file.clone(), int8_file];
        let verification = verify::<Nano>(&checkpoint.parameters, files(&models), &mnist.test, 100).unwrap();
        assert!(verification.passed(), "{verification:?}");
    } else {
        println!("MNIST_DIR is not set: nothing was compared on MNIST");
    }
}
