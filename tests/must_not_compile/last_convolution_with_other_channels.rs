vit_nostd::network! {
    Wrong {
        image: 28,
        tokenizer: [
            { kernel: 3, stride: 2, padding: 1, channels: 12 },
            { kernel: 5, stride: 4, padding: 2, channels: 12 },
        ],
        embed: 48, heads: 4, hidden: 96, depth: 4, classes: 10,
    }
}

fn main() {}
