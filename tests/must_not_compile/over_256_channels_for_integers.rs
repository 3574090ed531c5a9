use vit_nostd::int8::Model;

vit_nostd::network! {
    Wrong { image: 28, patch: 7, embed: 260, heads: 4, hidden: 96, depth: 4, classes: 10 }
}

fn main() {
    let _ = Model::<Wrong>::from_bytes(&[]);
}
