vit_nostd::network! {
    Wrong {
        image: 28, tokenizer: [],
        embed: 48, heads: 4, hidden: 96, depth: 4, classes: 10,
    }
}

fn main() {}
