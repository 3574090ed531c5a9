// `cargo build` says: PATCH must divide IMAGE
use vit_nostd::{float::Model, Vit};

type Wrong = Vit<28, 5, 26, 48, 4, 12, 96, 4, 10>;

fn main() {
    let _ = Model::<Wrong>::from_bytes(&[]);
}
