// `cargo build` says: the integer engine needs HIDDEN to be a multiple of 4
use vit_nostd::{int8::Model, Vit};

type Wrong = Vit<28, 7, 17, 48, 4, 12, 98, 4, 10>;

fn main() {
    let _ = Model::<Wrong>::from_bytes(&[]);
}
