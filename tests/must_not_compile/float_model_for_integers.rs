// `cargo check` says: this model file is of another kind than the firmware's engine
use vit_nostd::{include_model, Nano};

static MODEL: &[u8] = include_model!("nano.f32.vit", Nano, Int8);

fn main() {
    println!("{}", MODEL.len());
}
