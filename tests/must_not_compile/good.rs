//! A complete program. The test puts a model file next to it.

use std::sync::Mutex;
use vit_nostd::{
    float::{Model, Scratch},
    image, include_model, top_k, Nano,
};

static MODEL: &[u8] = include_model!("nano.f32.vit", Nano, F32);
static SCRATCH: Mutex<Scratch<Nano>> = Mutex::new(Scratch::new());

fn main() {
    let model = Model::<Nano>::from_bytes(MODEL).expect("the file is whole");
    let pixels = [0; 28 * 28];
    let image = image::<Nano>(&pixels).expect("28 x 28 pixels");
    let logits = model.infer(image, &mut SCRATCH.lock().expect("nobody panicked"));
    let [best] = top_k(&logits);
    let label = model.metadata().labels().nth(best.class).expect("one label a class");
    println!("{label} ({:.0} %)", 100.0 * best.probability);
}
