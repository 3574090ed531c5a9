vit_nostd::network! {
    Wrong { image: [2, 32768], patch: 1, embed: 48, heads: 4, hidden: 96, depth: 4, classes: 10 }
}

fn main() {}
