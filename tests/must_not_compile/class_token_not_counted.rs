// `cargo build` says: TOKENS must be (IMAGE / PATCH)^2 + 1
use vit_nostd::{float::Model, Vit};

type Wrong = Vit<28, 7, 16, 48, 4, 12, 96, 4, 10>;

fn main() {
    let _ = Model::<Wrong>::from_bytes(&[]);
}
