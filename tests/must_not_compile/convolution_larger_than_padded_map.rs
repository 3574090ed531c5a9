vit_nostd::network! {
    Wrong {
        image: 28,
        tokenizer: [
            { kernel: 3, stride: 2, padding: 1, channels: 12 },
            { kernel: 17, padding: 1 },
        ],
        embed: 48, heads: 4, hidden: 96, depth: 4, classes: 10,
    }
}

fn main() {}
