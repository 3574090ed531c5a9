//! Compares the logits that the program `tract` computes from the ONNX export with those of vit-nostd.

use std::path::Path;
use tract_onnx::{onnx, prelude::*};
use vit_nostd::{float, Base, Nano, Tiny};
use vit_tests::random_checkpoint;
use vit_train::{
    data::synthetic,
    formats::{checkpoint::Checkpoint, onnx::onnx_model, vit::float_model},
    inference::nostd_logits,
    network::Trainable,
};

vit_nostd::network! {
    OneHead { image: 28, patch: 14, embed: 40, heads: 1, hidden: 8, depth: 1, classes: 10 }
}

/// The largest permitted difference of a logit.
const TOLERANCE: f32 = 1e-4;

fn compare<N: Trainable>(batches: &[usize]) {
    compare_network::<N>(&random_checkpoint::<N>(1), batches);
}

fn compare_network<N: Trainable>(checkpoint: &Checkpoint, batches: &[usize]) {
    let path = Path::new("random");
    let file = float_model::<N>(checkpoint, path).unwrap();
    let model = float::Model::<N>::from_bytes(&file).unwrap();
    let exported = onnx_model::<N>(checkpoint, path).unwrap();
    // The program is loaded once and must run with any number of images.
    let tract = onnx().model_for_read(&mut exported.as_slice()).unwrap();
    let tract = tract.into_optimized().unwrap().into_runnable().unwrap();
    for &batch in batches {
        let data = synthetic::dataset(batch, 3);
        let pixels = Tensor::from_shape(&[batch, 1, N::IMAGE, N::IMAGE], data.images()).unwrap();
        let outputs = tract.run(tvec!(pixels.into())).unwrap();
        assert_eq!((outputs.len(), outputs[0].shape()), (1, &[batch, N::CLASSES][..]));
        let theirs = outputs[0].try_as_plain_ram().unwrap();
        let differences = nostd_logits(&model, &data, batch)
            .into_iter()
            .zip(theirs.as_slice::<f32>().unwrap())
            .map(|(ours, theirs)| (ours - theirs).abs());
        let largest = differences.fold(0.0, |max: f32, d| if d <= max { max } else { d });
        println!("{}, batch {batch}: largest difference of a logit {largest:e}", N::DIMS);
        assert!(largest <= TOLERANCE, "{largest}");
    }
}

#[test]
fn tract_computes_the_same() {
    compare::<Nano>(&[1, 7, 128]);
    compare::<Tiny>(&[5]);
    compare::<Base>(&[1, 5]);
    compare::<OneHead>(&[3]);
}

/// The variance of tokens that are almost zero is about as small as the epsilon that LayerNorm adds to it, so that a
/// wrong epsilon would change the logits.
#[test]
fn layer_norm_adds_the_same_to_the_variance() {
    let mut checkpoint = random_checkpoint::<Nano>(2);
    for name in ["cls_token", "pos_embed", "patch_embed.proj.weight", "patch_embed.proj.bias"] {
        checkpoint.parameters.get_mut(name).unwrap().iter_mut().for_each(|value| *value *= 1e-3);
    }
    compare_network::<Nano>(&checkpoint, &[7]);
}

#[test]
fn what_the_checkpoint_says_is_in_the_metadata() {
    let exported = onnx_model::<Nano>(&random_checkpoint::<Nano>(3), Path::new("random")).unwrap();
    let model = onnx().proto_model_for_read(&mut exported.as_slice()).unwrap();
    let said =
        |key: &str| model.metadata_props.iter().find(|said| said.key == key).map(|said| said.value.as_str());
    let labels = r#"["class 0","class 1","class 2","class 3","class 4","class 5","class 6","class 7","class 8","class 9"]"#;
    assert_eq!(said("labels"), Some(labels));
    assert_eq!(said("normalization"), Some(r#"{"mean":0.125,"std":0.375}"#));
    assert_eq!((said("dataset"), said("seed")), (Some("none"), Some("3")));
}
