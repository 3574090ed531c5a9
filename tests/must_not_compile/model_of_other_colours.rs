use vit_nostd::include_model;

vit_nostd::network! {
    Colour { image: [28, 28, 3], patch: 7, embed: 48, heads: 4, hidden: 96, depth: 4, classes: 10 }
}

static MODEL: &[u8] = include_model!("nano.f32.vit", Colour, F32);

fn main() {
    println!("{}", MODEL.len());
}
