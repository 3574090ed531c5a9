// `cargo build` says: no dimension may be zero
use vit_nostd::{float::Model, Vit};

type Wrong = Vit<28, 7, 17, 48, 4, 12, 0, 4, 10>;

fn main() {
    let _ = Model::<Wrong>::from_bytes(&[]);
}
