use vit_nostd::int8::Model;

vit_nostd::network! {
    Wrong {
        image: [150, 150, 3],
        tokenizer: [{ kernel: 148, channels: 4 }, { kernel: 3 }],
        embed: 48, heads: 4, hidden: 96, depth: 4, classes: 10,
    }
}

fn main() {
    let _ = Model::<Wrong>::from_bytes(&[]);
}
