use vit_nostd::int8::Model;

vit_nostd::network! {
    Wrong { image: [148, 148, 3], patch: 148, embed: 48, heads: 4, hidden: 96, depth: 4, classes: 10 }
}

fn main() {
    let _ = Model::<Wrong>::from_bytes(&[]);
}
