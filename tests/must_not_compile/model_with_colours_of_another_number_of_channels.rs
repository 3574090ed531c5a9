use vit_nostd::{include_model, Nano};

static MODEL: &[u8] = include_model!("rgb_of_one_channel.f32.vit", Nano, F32);

fn main() {
    println!("{}", MODEL.len());
}
