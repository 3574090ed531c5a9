//! Checks a model on this computer, and computes the logits of images: `logits NETWORK MODEL IMAGES`. The logits are
//! printed, with a line for each image. An error is one line, with exit code 1.

use std::{env, fs, process::ExitCode};
use vit_nostd::{image, int8, model_file, Network};

include!("../../networks.rs");

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args_os().skip(1).collect();
    let [network, model, images] = &arguments[..] else { return ExitCode::from(2) };
    let (model, images) = match (fs::read(model), fs::read(images)) {
        (Ok(model), Ok(images)) => (model, images),
        (Err(error), _) | (_, Err(error)) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    match network.to_str() {
@arms@
        _ => ExitCode::from(2),
    }
}

fn run<N: Network>(mut model: Vec<u8>, images: &[u8]) -> ExitCode {
    let len = model.len();
    model.resize(len + model_file::ALIGNMENT - 1, 0);
    let Some(file) = model_file::align(&mut model, len) else { return ExitCode::from(2) };
    let model = match int8::Model::<N>::from_bytes(file) {
        Ok(model) => model,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(1);
        }
    };
    let mut scratch = Box::new(int8::Scratch::<N>::new());
    for image in images.chunks_exact(N::DIMS.image_values()).filter_map(image::<N>) {
        let logits = model.infer(image, &mut scratch);
        let logits: Vec<_> = logits.as_ref().iter().map(i32::to_string).collect();
        println!("{}", logits.join(" "));
    }
    ExitCode::SUCCESS
}
