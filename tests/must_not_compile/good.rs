//! A complete program. The test puts the model files next to it.

use std::sync::Mutex;
use vit_nostd::{
    float::{Model, Scratch},
    image, include_model, top_k, Nano, Network,
};

const CHANNELS: usize = 4;
vit_nostd::network! {
    /// The network of the second file, `ConvNano`, whose fields come in another order here.
    Convolutions {
        tokenizer: [
            { channels: 3 * CHANNELS, padding: 1, stride: 2, kernel: 3, },
            { padding: 2, kernel: 5, stride: 4 },
        ],
        image: 28, embed: 48, heads: 4, hidden: 96, depth: 4, classes: 10,
    }
    /// A network with a convolution whose stride and padding are left out, for the integer engine.
    pub Overlapping {
        image: [9, 8, 3], tokenizer: [{ kernel: 3 }], embed: 8, heads: 2, hidden: 16, depth: 1, classes: 2,
    }
}

static NANO: &[u8] = include_model!("nano.f32.vit", Nano, F32);
static CONVOLUTIONS: &[u8] = include_model!("conv_nano.f32.vit", Convolutions, F32);
static SCRATCH: Mutex<Scratch<Nano>> = Mutex::new(Scratch::new());
static CONVOLUTIONS_SCRATCH: Mutex<Scratch<Convolutions>> = Mutex::new(Scratch::new());

fn main() {
    classify::<Nano>(NANO, &SCRATCH);
    classify::<Convolutions>(CONVOLUTIONS, &CONVOLUTIONS_SCRATCH);
    assert_eq!(Overlapping::TOKENS, 7 * 6 + 1);
    assert!(vit_nostd::int8::Model::<Overlapping>::from_bytes(NANO).is_err());
}

fn classify<N: Network>(file: &'static [u8], scratch: &Mutex<Scratch<N>>) {
    let model = Model::<N>::from_bytes(file).expect("the file is whole");
    let pixels = [0; 28 * 28];
    let image = image::<N>(&pixels).expect("28 x 28 pixels");
    let logits = model.infer(image, &mut scratch.lock().expect("nobody panicked"));
    let [best] = top_k(logits.as_ref());
    let label = model.metadata().labels().nth(best.class).expect("one label a class");
    println!("{label} ({:.0} %)", 100.0 * best.probability);
}
