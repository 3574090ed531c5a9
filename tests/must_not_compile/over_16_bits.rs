// `cargo build` says: a dimension is stored in 16 bits
use vit_nostd::{float::Model, Vit};

type Wrong = Vit<28, 7, 17, 48, 4, 12, 65536, 4, 10>;

fn main() {
    let _ = Model::<Wrong>::from_bytes(&[]);
}
