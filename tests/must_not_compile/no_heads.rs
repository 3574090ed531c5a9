// `cargo build` says: EMBED must be HEADS * HEAD_DIM
use vit_nostd::{float::Model, Vit};

type Wrong = Vit<28, 7, 17, 0, 0, 12, 96, 4, 10>;

fn main() {
    let _ = Model::<Wrong>::from_bytes(&[]);
}
