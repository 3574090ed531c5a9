use vit_nostd::{include_model, Nano};

static MODEL: &[u8] = include_model!("conv_nano.f32.vit", Nano, F32);

fn main() {
    println!("{}", MODEL.len());
}
