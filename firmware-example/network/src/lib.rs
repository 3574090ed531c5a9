//! The network of the example's camera, which training and firmware share.

#![no_std]

vit_nostd::network! {
    /// Tells sixteen road signs apart, as a small colour camera sees them.
    pub Signs { image: [32, 32, 3], patch: [4, 4], embed: 64, heads: 2, hidden: 128, depth: 6, classes: 16 }
}
