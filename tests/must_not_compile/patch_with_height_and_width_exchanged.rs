vit_nostd::network! {
    Wrong { image: [6, 20, 3], patch: [5, 3], embed: 48, heads: 4, hidden: 96, depth: 4, classes: 10 }
}

fn main() {}
