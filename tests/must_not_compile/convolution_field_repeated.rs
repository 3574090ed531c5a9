vit_nostd::network! {
    Wrong {
        image: 28, tokenizer: [{ kernel: 5, stride: 4, kernel: 2 }],
        embed: 48, heads: 4, hidden: 96, depth: 4, classes: 10,
    }
}

fn main() {}
