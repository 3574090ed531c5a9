//! The ONNX export in the hands of `tract`, against vit-nostd.

use std::path::Path;
use tract_onnx::{onnx, prelude::*};
use vit_nostd::{float, Base, Nano, Tiny, Vit};
use vit_tests::random_checkpoint;
use vit_train::{
    data::synthetic,
    export::{float_model, onnx_model},
    inference::nostd_logits,
    model::Network,
};

/// The largest difference of a logit.
const TOLERANCE: f32 = 1e-4;

fn compare<S: Network>(batches: &[usize]) {
    let (checkpoint, path) = (random_checkpoint::<S>(1), Path::new("random"));
    let file = float_model::<S>(&checkpoint, path).unwrap();
    let model = float::Model::<S>::from_bytes(&file).unwrap();
    let exported = onnx_model::<S>(&checkpoint, path).unwrap();
    // Once, for any number of images.
    let tract = onnx().model_for_read(&mut exported.as_slice()).unwrap();
    let tract = tract.into_optimized().unwrap().into_runnable().unwrap();
    for &batch in batches {
        let data = synthetic::dataset(batch, 3);
        let pixels = Tensor::from_shape(&[batch, 1, S::IMAGE, S::IMAGE], data.images()).unwrap();
        let outputs = tract.run(tvec!(pixels.into())).unwrap();
        assert_eq!((outputs.len(), outputs[0].shape()), (1, &[batch, S::CLASSES][..]));
        let theirs = outputs[0].try_as_plain_ram().unwrap();
        let differences = nostd_logits(&model, &data, batch)
            .into_iter()
            .zip(theirs.as_slice::<f32>().unwrap())
            .map(|(ours, theirs)| (ours - theirs).abs());
        let largest = differences.fold(0.0, |max: f32, d| if d <= max { max } else { d });
        println!("{}, batch {batch}: largest difference of a logit {largest:e}", S::DIMS);
        assert!(largest <= TOLERANCE, "{largest}");
    }
}

#[test]
fn tract_computes_the_same() {
    compare::<Nano>(&[1, 7, 128]);
    compare::<Tiny>(&[5]);
    compare::<Base>(&[1, 5]);
    compare::<Vit<28, 14, 5, 40, 1, 40, 8, 1, 10>>(&[3]);
}
