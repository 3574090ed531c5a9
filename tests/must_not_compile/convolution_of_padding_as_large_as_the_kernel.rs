vit_nostd::network! {
    Wrong {
        image: 28, tokenizer: [{ kernel: 7, stride: 7, padding: 7 }],
        embed: 48, heads: 4, hidden: 96, depth: 4, classes: 10,
    }
}

fn main() {}
