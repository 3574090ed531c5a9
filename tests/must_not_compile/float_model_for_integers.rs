use vit_nostd::{include_model, Nano};

static MODEL: &[u8] = include_model!("nano.f32.vit", Nano, Int8);

fn main() {
    println!("{}", MODEL.len());
}
