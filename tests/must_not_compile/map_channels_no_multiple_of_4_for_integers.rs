use vit_nostd::int8::Model;

vit_nostd::network! {
    Wrong {
        image: 28,
        tokenizer: [{ kernel: 3, stride: 2, padding: 1, channels: 10 }, { kernel: 5, stride: 4, padding: 2 }],
        embed: 48, heads: 4, hidden: 96, depth: 4, classes: 10,
    }
}

fn main() {
    let _ = Model::<Wrong>::from_bytes(&[]);
}
