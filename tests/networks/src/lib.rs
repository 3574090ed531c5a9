//! Networks that tests of the host and of the chips share.

#![no_std]

pub use signs_network::Signs;

use vit_nostd::Network;

vit_nostd::network! {
    /// A network with patches of 45 values, whose rows are filled up to 48.
    pub Colour { image: [6, 20, 3], patch: [3, 5], embed: 24, heads: 3, hidden: 36, depth: 2, classes: 7 }
    /// A network with the most channels.
    pub Widest { image: [8, 6, 3], patch: [4, 3], embed: 256, heads: 8, hidden: 64, depth: 2, classes: 5 }
    /// A network with rows of 4096 weights in the patch projection, and rows of 4092 weights in the MLP.
    pub LargePatch { image: 64, patch: 64, embed: 8, heads: 2, hidden: 4092, depth: 1, classes: 10 }
    /// A network with rows of 8192 weights in the MLP.
    pub WideMlp { image: 8, patch: 8, embed: 8, heads: 2, hidden: 8192, depth: 1, classes: 10 }
    /// A network with two convolutions, for images in colour that are not square. The stride of the second convolution is
    /// larger than its kernel, so that there are rows and columns of the map that no patch needs.
    pub TwoConvolutions {
        image: [13, 20, 3],
        tokenizer: [
            { kernel: 3, stride: 2, padding: 2, channels: 8 },
            { kernel: 2, stride: 3, padding: 1 },
        ],
        embed: 24, heads: 3, hidden: 36, depth: 2, classes: 7,
    }
    /// A network with a single convolution, whose windows overlap and have padding.
    pub OneConvolution {
        image: [11, 9, 3],
        tokenizer: [{ kernel: 4, stride: 2, padding: 3 }],
        embed: 20, heads: 1, hidden: 24, depth: 2, classes: 5,
    }
    /// A network whose patches have 4608 values, gathered from rows of the map that patches share.
    pub LargeWindow {
        image: 24,
        tokenizer: [
            { kernel: 2, stride: 1, padding: 1, channels: 32 },
            { kernel: 12, stride: 6, padding: 2 },
        ],
        embed: 8, heads: 2, hidden: 16, depth: 1, classes: 10,
    }
    /// A small network with 10 classes.
    pub Classes10 { image: 8, patch: 8, embed: 8, heads: 2, hidden: 16, depth: 1, classes: 10 }
    /// The same network with 100 classes.
    pub Classes100 { image: 8, patch: 8, embed: 8, heads: 2, hidden: 16, depth: 1, classes: 100 }
    /// The same network with 1000 classes.
    pub Classes1000 { image: 8, patch: 8, embed: 8, heads: 2, hidden: 16, depth: 1, classes: 1000 }
}

/// A function for each network of a list.
pub trait Visitor {
    /// Does what is to be done for network `N`.
    fn visit<N: Network>(&mut self);
}

/// Declares the networks of [`each_shape`].
macro_rules! shapes {
    ($($name:ident { $($fields:tt)* })+) => {
        vit_nostd::network! { $($name { $($fields)* })+ }

        /// The number of networks that [`each_shape`] visits.
        pub const SHAPES: usize = [$($name::DIMS),+].len();

        /// Visits networks of many shapes, from 5 to 169 tokens and from 16 to 224 channels. Those with patches were drawn
        /// at random. The last ones have convolutions.
        pub fn each_shape(visitor: &mut impl Visitor) {
            $(visitor.visit::<$name>();)+
        }
    };
}

shapes! {
    Shape00 { image: [16, 16, 3], patch: [2, 2], embed: 16, heads: 1, hidden: 32, depth: 1, classes: 40 }
    Shape01 { image: [64, 64, 1], patch: [16, 16], embed: 20, heads: 5, hidden: 40, depth: 3, classes: 100 }
    Shape02 { image: [36, 28, 1], patch: [3, 2], embed: 24, heads: 2, hidden: 24, depth: 4, classes: 10 }
    Shape03 { image: [40, 40, 1], patch: [4, 4], embed: 32, heads: 1, hidden: 32, depth: 4, classes: 16 }
    Shape04 { image: [24, 24, 1], patch: [3, 12], embed: 36, heads: 1, hidden: 108, depth: 4, classes: 10 }
    Shape05 { image: [32, 32, 3], patch: [4, 4], embed: 40, heads: 10, hidden: 40, depth: 1, classes: 10 }
    Shape06 { image: [36, 28, 3], patch: [12, 4], embed: 48, heads: 12, hidden: 96, depth: 2, classes: 16 }
    Shape07 { image: [32, 48, 3], patch: [4, 12], embed: 64, heads: 8, hidden: 128, depth: 6, classes: 16 }
    Shape08 { image: [24, 24, 1], patch: [6, 6], embed: 64, heads: 4, hidden: 192, depth: 4, classes: 10 }
    Shape09 { image: [20, 20, 1], patch: [10, 10], embed: 72, heads: 3, hidden: 216, depth: 2, classes: 26 }
    Shape10 { image: [20, 20, 1], patch: [5, 5], embed: 80, heads: 4, hidden: 80, depth: 2, classes: 3 }
    Shape11 { image: [64, 64, 1], patch: [32, 32], embed: 40, heads: 1, hidden: 80, depth: 4, classes: 10 }
    Shape12 { image: [24, 24, 3], patch: [1, 6], embed: 24, heads: 3, hidden: 72, depth: 2, classes: 5 }
    Shape13 { image: [32, 32, 1], patch: [16, 16], embed: 128, heads: 2, hidden: 384, depth: 2, classes: 7 }
    Shape14 { image: [24, 24, 1], patch: [8, 8], embed: 112, heads: 2, hidden: 224, depth: 6, classes: 3 }
    Shape15 { image: [40, 40, 1], patch: [20, 20], embed: 192, heads: 1, hidden: 384, depth: 2, classes: 5 }
    Shape16 { image: [24, 24, 3], patch: [24, 2], embed: 224, heads: 2, hidden: 448, depth: 1, classes: 10 }
    Shape17 { image: [36, 28, 1], patch: [3, 7], embed: 64, heads: 16, hidden: 128, depth: 1, classes: 40 }
    Shape18 { image: [40, 40, 1], patch: [4, 4], embed: 16, heads: 2, hidden: 32, depth: 1, classes: 10 }
    Shape19 { image: [16, 16, 1], patch: [2, 2], embed: 20, heads: 5, hidden: 20, depth: 3, classes: 10 }
    Shape20 { image: [60, 80, 1], patch: [10, 20], embed: 24, heads: 2, hidden: 24, depth: 6, classes: 40 }
    Shape21 { image: [48, 64, 1], patch: [24, 16], embed: 32, heads: 1, hidden: 128, depth: 4, classes: 300 }
    Shape22 { image: [36, 28, 1], patch: [12, 14], embed: 36, heads: 1, hidden: 144, depth: 6, classes: 26 }
    Shape23 { image: [28, 28, 1], patch: [4, 4], embed: 40, heads: 2, hidden: 160, depth: 6, classes: 26 }
    Shape24 { image: [24, 32, 1], patch: [3, 32], embed: 48, heads: 3, hidden: 144, depth: 4, classes: 5 }
    Shape25 { image: [40, 40, 1], patch: [2, 20], embed: 16, heads: 4, hidden: 32, depth: 4, classes: 40 }
    Shape26 { image: [32, 48, 3], patch: [16, 16], embed: 64, heads: 1, hidden: 128, depth: 2, classes: 100 }
    Shape27 { image: [24, 32, 1], patch: [3, 32], embed: 72, heads: 6, hidden: 72, depth: 4, classes: 2 }
    Shape28 { image: [24, 32, 1], patch: [4, 4], embed: 32, heads: 8, hidden: 96, depth: 2, classes: 7 }
    Shape29 { image: [36, 28, 1], patch: [12, 14], embed: 96, heads: 4, hidden: 96, depth: 2, classes: 2 }
    Shape30 { image: [32, 48, 1], patch: [8, 8], embed: 64, heads: 2, hidden: 256, depth: 1, classes: 100 }
    Shape31 { image: [32, 32, 1], patch: [4, 4], embed: 20, heads: 5, hidden: 80, depth: 6, classes: 10 }
    Shape32 { image: [28, 28, 1], patch: [1, 14], embed: 24, heads: 1, hidden: 48, depth: 1, classes: 26 }
    Shape33 { image: [20, 20, 1], patch: [5, 2], embed: 96, heads: 1, hidden: 192, depth: 2, classes: 3 }
    Shape34 { image: [40, 40, 3], patch: [8, 8], embed: 64, heads: 16, hidden: 256, depth: 3, classes: 10 }
    Shape35 { image: [48, 48, 1], patch: [4, 4], embed: 40, heads: 2, hidden: 40, depth: 2, classes: 5 }
    Shape36 { image: [48, 64, 3], patch: [8, 8], embed: 16, heads: 4, hidden: 48, depth: 6, classes: 26 }
    Shape37 { image: [28, 28, 3], patch: [1, 7], embed: 20, heads: 1, hidden: 40, depth: 3, classes: 26 }
    Shape38 { image: [24, 24, 1], patch: [4, 4], embed: 80, heads: 2, hidden: 160, depth: 2, classes: 100 }
    Shape39 { image: [48, 48, 1], patch: [4, 4], embed: 32, heads: 2, hidden: 64, depth: 1, classes: 2 }
    Convolutions0 {
        image: [28, 28, 1],
        tokenizer: [{ kernel: 3, stride: 2, padding: 1, channels: 16 }, { kernel: 3, stride: 2, padding: 1 }],
        embed: 32, heads: 2, hidden: 64, depth: 2, classes: 10,
    }
    Convolutions1 {
        image: [24, 40, 3],
        tokenizer: [{ kernel: 3, stride: 2, padding: 1, channels: 12 }, { kernel: 4, stride: 4 }],
        embed: 48, heads: 3, hidden: 96, depth: 3, classes: 5,
    }
    Convolutions2 {
        image: [32, 32, 3],
        tokenizer: [{ kernel: 3, stride: 1, padding: 1, channels: 8 }, { kernel: 8, stride: 8 }],
        embed: 40, heads: 2, hidden: 80, depth: 1, classes: 10,
    }
    Convolutions3 {
        image: [48, 64, 1],
        tokenizer: [{ kernel: 7, stride: 4, padding: 3, channels: 20 }, { kernel: 3, stride: 3 }],
        embed: 64, heads: 4, hidden: 128, depth: 2, classes: 3,
    }
    Convolutions4 {
        image: [40, 40, 1],
        tokenizer: [{ kernel: 5, stride: 2, padding: 2, channels: 32 }, { kernel: 5, stride: 4, padding: 2 }],
        embed: 36, heads: 3, hidden: 72, depth: 1, classes: 26,
    }
    Convolutions5 {
        image: [36, 28, 1],
        tokenizer: [{ kernel: 2, stride: 2, channels: 4 }, { kernel: 6, stride: 3, padding: 1 }],
        embed: 24, heads: 2, hidden: 48, depth: 4, classes: 2,
    }
    Convolutions6 {
        image: [32, 48, 3],
        tokenizer: [{ kernel: 10, stride: 6, padding: 2 }],
        embed: 48, heads: 4, hidden: 96, depth: 2, classes: 10,
    }
    Convolutions7 {
        image: [30, 30, 1],
        tokenizer: [{ kernel: 7, stride: 4, padding: 3 }],
        embed: 24, heads: 1, hidden: 24, depth: 3, classes: 10,
    }
}
