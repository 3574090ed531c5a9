use vit_nostd::{include_model, Nano};

fn main() {
    let model: &[u8] = include_model!("truncated.f32.vit", Nano, F32);
    println!("{}", model.len());
}
