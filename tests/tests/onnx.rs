//! Compares the logits that onnxruntime computes from the ONNX export with those of vit-nostd.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Command, Stdio},
};

use serde::Deserialize;
use vit_nostd::{float, Base, ConvNano, Nano, Tiny};
use vit_tests::{noise, random_checkpoint};
use vit_train::{
    formats::{checkpoint::Checkpoint, onnx::onnx_model, vit::float_model},
    inference::nostd_logits,
    network::Trainable,
};

vit_nostd::network! {
    Colour { image: [12, 20, 3], patch: [4, 5], embed: 40, heads: 1, hidden: 8, depth: 1, classes: 7 }
    Overlapping {
        image: [9, 7, 3], tokenizer: [{ kernel: 5, stride: 2, padding: 2 }],
        embed: 8, heads: 2, hidden: 12, depth: 2, classes: 3,
    }
    ColourStem {
        image: [13, 10, 3],
        tokenizer: [{ kernel: 3, stride: 2, padding: 1, channels: 5 }, { kernel: 3, stride: 2, padding: 2 }],
        embed: 8, heads: 2, hidden: 12, depth: 2, classes: 3,
    }
}

/// The largest permitted difference of a logit.
const TOLERANCE: f64 = 1e-4;

/// The output of `onnx/logits.py`: what onnxruntime has read in an exported network, and computed with it.
#[derive(Deserialize)]
struct Session {
    metadata: BTreeMap<String, String>,
    /// The logits of each image of each batch.
    logits: Vec<Vec<Vec<f64>>>,
}

/// Runs an exported network. `pixels` are those of all batches, one after the other. The program is loaded once and must
/// run with any number of images.
fn run(exported: &[u8], batches: &[usize], pixels: &[u8]) -> Session {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    let [model, images] = ["model.onnx", "images"].map(|name| folder.path().join(name));
    fs::write(&model, exported).unwrap();
    fs::write(&images, pixels).unwrap();
    let output = Command::new(tests.join("onnx-python"))
        .args([&tests.join("onnx/logits.py"), &model])
        .args(batches.iter().map(usize::to_string))
        .stdin(fs::File::open(images).unwrap())
        .stderr(Stdio::inherit())
        .output()
        .expect("tests/onnx-python starts");
    assert!(output.status.success(), "onnxruntime failed (its message is above)");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn compare<N: Trainable>(checkpoint: &Checkpoint, batches: &[usize]) {
    let path = Path::new("random");
    let file = float_model::<N>(checkpoint, path).unwrap();
    let model = float::Model::<N>::from_bytes(&file).unwrap();
    let images = batches.iter().sum();
    let data = noise::<N>(images, 3);
    let theirs =
        run(&onnx_model::<N>(checkpoint, path).unwrap(), batches, &planes::<N>(data.images())).logits;
    assert!(theirs.iter().map(Vec::len).eq(batches.iter().copied()));

    let ours = nostd_logits(&model, &data, images);
    let theirs: Vec<f64> = theirs.into_iter().flatten().flatten().collect();
    assert_eq!((ours.len(), theirs.len()), (images * N::CLASSES, images * N::CLASSES));
    let differences = ours.iter().zip(&theirs).map(|(&ours, theirs)| (f64::from(ours) - theirs).abs());
    let largest = differences.fold(0.0, |max: f64, d| if d <= max { max } else { d });
    println!("{}: largest difference of a logit {largest:e}", N::DIMS);
    assert!(largest <= TOLERANCE, "{}: {largest}", N::DIMS);
}

/// Returns the levels of images in the order of ONNX: one channel after the other, and not those of a pixel together.
fn planes<N: Trainable>(images: &[u8]) -> Vec<u8> {
    let images = images.chunks(N::DIMS.image_values());
    let channels = images.flat_map(|image| (0..N::CHANNELS).map(move |channel| image.iter().skip(channel)));
    channels.flat_map(|levels| levels.step_by(N::CHANNELS)).copied().collect()
}

#[test]
fn onnxruntime_computes_the_same() {
    compare::<Nano>(&random_checkpoint::<Nano>(1), &[1, 7, 128]);
    compare::<Tiny>(&random_checkpoint::<Tiny>(1), &[5]);
    compare::<Base>(&random_checkpoint::<Base>(1), &[1, 5]);
    compare::<Colour>(&random_checkpoint::<Colour>(1), &[3]);
    compare::<ConvNano>(&random_checkpoint::<ConvNano>(1), &[1, 7]);
    compare::<Overlapping>(&random_checkpoint::<Overlapping>(1), &[3]);
    compare::<ColourStem>(&random_checkpoint::<ColourStem>(1), &[3]);
}

/// The variance of tokens that are almost zero is about as small as the epsilon that LayerNorm adds to it, so that a
/// wrong epsilon would change the logits.
#[test]
fn layer_norm_adds_the_same_to_the_variance() {
    let mut checkpoint = random_checkpoint::<Nano>(2);
    for name in ["cls_token", "pos_embed", "patch_embed.proj.weight", "patch_embed.proj.bias"] {
        checkpoint.parameters.get_mut(name).unwrap().iter_mut().for_each(|value| *value *= 1e-3);
    }
    compare::<Nano>(&checkpoint, &[7]);
}

#[test]
fn what_the_checkpoint_says_is_in_the_metadata() {
    let exported = onnx_model::<Nano>(&random_checkpoint::<Nano>(3), Path::new("random")).unwrap();
    let metadata = run(&exported, &[], &[]).metadata;
    let said = |key: &str| metadata.get(key).map(String::as_str);
    let labels = r#"["class 0","class 1","class 2","class 3","class 4","class 5","class 6","class 7","class 8","class 9"]"#;
    assert_eq!(said("labels"), Some(labels));
    assert_eq!(said("normalization"), Some(r#"[{"mean":0.125,"std":0.375}]"#));
    assert_eq!(said("fit"), Some("crop"));
    assert_eq!((said("dataset"), said("seed")), (Some("none"), Some("3")));
}
