use vit_nostd::{include_model, Nano};

static MODEL: &[u8] = include_model!("unknown_colours.f32.vit", Nano, F32);

fn main() {
    println!("{}", MODEL.len());
}
