//! Networks as types. [`network!`](crate::network) declares a network by its dimensions and implements the trait
//! [`Network`] for it, over which everything else in the library is generic.

use crate::shape::{Length, Matrix};
use core::fmt;

/// The dimensions of a Vision Transformer, at compile time.
///
/// [`network!`](crate::network) implements this trait, and checks that the dimensions fit together. The associated
/// types are lengths of arrays; the constants are the same lengths as numbers.
pub trait Network: Copy + fmt::Debug + Send + Sync + 'static {
    /// The name that the network is declared with.
    const NAME: &'static str;

    /// The side of the square input image, in pixels.
    type Image: Length;
    /// The side of a square patch, in pixels.
    type Patch: Length;
    /// The number of tokens: the class token (CLS), which is token 0, and one token per patch.
    type Tokens: Length;
    /// The number of channels of the residual stream.
    type Embed: Length;
    /// The number of attention heads.
    type Heads: Length;
    /// The number of channels of one head.
    type HeadDim: Length;
    /// The number of channels of the MLP's hidden layer.
    type Hidden: Length;
    /// The number of encoder blocks.
    type Depth: Length;
    /// The number of classes.
    type Classes: Length;

    /// The side of the square input image, in pixels.
    const IMAGE: usize = Self::Image::LEN;
    /// The side of a square patch, in pixels.
    const PATCH: usize = Self::Patch::LEN;
    /// The number of tokens: the class token and one token per patch.
    const TOKENS: usize = Self::Tokens::LEN;
    /// The number of channels of the residual stream.
    const EMBED: usize = Self::Embed::LEN;
    /// The number of attention heads.
    const HEADS: usize = Self::Heads::LEN;
    /// The number of channels of one head.
    const HEAD_DIM: usize = Self::HeadDim::LEN;
    /// The number of channels of the MLP's hidden layer.
    const HIDDEN: usize = Self::Hidden::LEN;
    /// The number of encoder blocks.
    const DEPTH: usize = Self::Depth::LEN;
    /// The number of classes.
    const CLASSES: usize = Self::Classes::LEN;
    /// The number of patches along one side of the image.
    const GRID: usize = Self::IMAGE / Self::PATCH;
    /// All dimensions as a value, as a model file states them.
    const DIMS: Dims = Declaration {
        image: Self::IMAGE,
        patch: Self::PATCH,
        embed: Self::EMBED,
        heads: Self::HEADS,
        hidden: Self::HIDDEN,
        depth: Self::DEPTH,
        classes: Self::CLASSES,
    }
    .dims();
}

/// An input image of network `N`: `IMAGE` rows of `IMAGE` grey levels, 0 to 255.
pub type Image<N> = Matrix<<N as Network>::Image, <N as Network>::Image, u8>;

/// Views `pixels` (row by row) as an image of network `N`. Returns `None` if their number is not `IMAGE * IMAGE`.
///
/// ```
/// use vit_nostd::{image, Nano};
/// assert!(image::<Nano>(&[0; 784]).is_some());
/// assert!(image::<Nano>(&[0; 783]).is_none());
/// ```
pub fn image<N: Network>(pixels: &[u8]) -> Option<&Image<N>> {
    bytemuck::try_from_bytes(pixels).ok()
}

/// Declares networks: types that implement [`Network`].
///
/// ```
/// vit_nostd::network! {
///     /// Recognises handwritten letters.
///     pub Letters { image: 28, patch: 7, embed: 48, heads: 4, hidden: 96, depth: 4, classes: 26 }
/// }
/// use vit_nostd::Network;
/// assert_eq!((Letters::TOKENS, Letters::HEAD_DIM), (17, 12));
/// ```
///
/// The fields may come in any order, and their values are constant expressions. `image` and `patch` are the side of a
/// square in pixels, and may also be written as `[height, width]`. The number of tokens and the channels of a head are
/// computed. `patch` must divide `image`, `heads` must divide `embed`, no field may be missing or 0, and every length
/// must fit in 16 bits: if not, the declaration is a compile error that says why. The integer engine also needs `embed`
/// and `hidden` to be multiples of 4, and `embed` to be at most 128; its `from_bytes` does not compile for other
/// networks.
#[macro_export]
macro_rules! network {
    (@fields [$($done:tt)*]) => {
        $crate::Declaration { $($done)* }
    };
    (@fields [$($done:tt)*] $field:ident: [$($length:expr),* $(,)?] $(, $($rest:tt)*)?) => {
        $crate::network!(@fields [$($done)* $field: $crate::Declaration::side(&[$($length),*]),] $($($rest)*)?)
    };
    (@fields [$($done:tt)*] $field:ident: $length:expr $(, $($rest:tt)*)?) => {
        $crate::network!(@fields [$($done)* $field: $length,] $($($rest)*)?)
    };
    ($($(#[$attribute:meta])* $visibility:vis $name:ident { $($fields:tt)* })+) => {$(
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug)]
        $visibility struct $name;

        const _: () = {
            const DECLARED: $crate::Declaration = $crate::network!(@fields [] $($fields)*);
            const DIMS: $crate::Dims = DECLARED.dims();

            impl $crate::Network for $name {
                const NAME: &'static str = ::core::stringify!($name);
                type Image = $crate::Len<{ DIMS.image as usize }>;
                type Patch = $crate::Len<{ DIMS.patch as usize }>;
                type Tokens = $crate::Len<{ DIMS.tokens as usize }>;
                type Embed = $crate::Len<{ DIMS.embed as usize }>;
                type Heads = $crate::Len<{ DIMS.heads as usize }>;
                type HeadDim = $crate::Len<{ DIMS.head_dim as usize }>;
                type Hidden = $crate::Len<{ DIMS.hidden as usize }>;
                type Depth = $crate::Len<{ DIMS.depth as usize }>;
                type Classes = $crate::Len<{ DIMS.classes as usize }>;
            }
        };
    )+};
}

/// The fields of a [`network!`](crate::network) declaration, before they are checked.
#[derive(Clone, Copy, Debug)]
pub struct Declaration {
    /// The side of the square input image, in pixels.
    pub image: usize,
    /// The side of a square patch, in pixels.
    pub patch: usize,
    /// The number of channels of the residual stream.
    pub embed: usize,
    /// The number of attention heads.
    pub heads: usize,
    /// The number of channels of the MLP's hidden layer.
    pub hidden: usize,
    /// The number of encoder blocks.
    pub depth: usize,
    /// The number of classes.
    pub classes: usize,
}

impl Declaration {
    /// Returns the side of the square that is declared as `[height, width]`.
    ///
    /// # Panics
    /// If `lengths` is not two equal lengths.
    pub const fn side(lengths: &[usize]) -> usize {
        match *lengths {
            [height, width] => {
                assert!(height == width, "images and patches must be square");
                height
            }
            _ => panic!("an image or a patch is the side of a square, or [height, width]"),
        }
    }

    /// Checks the declaration and returns its dimensions, with those that follow from the declared ones.
    ///
    /// # Panics
    /// If the dimensions do not fit together.
    pub const fn dims(self) -> Dims {
        let Self { image, patch, embed, heads, hidden, depth, classes } = self;
        assert!(image > 0, "`image` must not be 0");
        assert!(patch > 0 && image.is_multiple_of(patch), "`patch` must divide `image`");
        assert!(embed > 0, "`embed` must not be 0");
        assert!(heads > 0 && embed.is_multiple_of(heads), "`heads` must divide `embed`");
        assert!(hidden > 0, "`hidden` must not be 0");
        assert!(depth > 0, "`depth` must not be 0");
        assert!(classes > 0, "`classes` must not be 0");
        let grid = image / patch;
        Dims {
            image: dim(image),
            patch: dim(patch),
            tokens: dim(grid * grid + 1),
            embed: dim(embed),
            heads: dim(heads),
            head_dim: dim(embed / heads),
            hidden: dim(hidden),
            depth: dim(depth),
            classes: dim(classes),
        }
    }
}

const fn dim(length: usize) -> u16 {
    assert!(
        length <= u16::MAX as usize,
        "no length of a network may be above 65,535, the number of tokens included"
    );
    length as u16
}

network! {
    /// The reference network, with 1.80 M parameters in 16 blocks: for chips of the class of an STM32H7.
    pub Base { image: 28, patch: 7, embed: 96, heads: 4, hidden: 384, depth: 16, classes: 10 }

    /// A network with more and smaller patches, 50 tokens of 64 channels: for chips like an STM32F4.
    pub Tiny { image: 28, patch: 4, embed: 64, heads: 4, hidden: 128, depth: 6, classes: 10 }

    /// The smallest network, with 80 k parameters in 4 blocks: for chips with 128 KB of flash.
    pub Nano { image: 28, patch: 7, embed: 48, heads: 4, hidden: 96, depth: 4, classes: 10 }
}

/// The dimensions of a network as a value, such as those that a model file states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Dims {
    /// The side of the square input image, in pixels.
    pub image: u16,
    /// The side of a square patch, in pixels.
    pub patch: u16,
    /// The number of tokens: the number of patches plus one.
    pub tokens: u16,
    /// The number of channels of the residual stream.
    pub embed: u16,
    /// The number of attention heads.
    pub heads: u16,
    /// The number of channels of one head.
    pub head_dim: u16,
    /// The number of channels of the MLP's hidden layer.
    pub hidden: u16,
    /// The number of encoder blocks.
    pub depth: u16,
    /// The number of classes.
    pub classes: u16,
}

impl Dims {
    /// Returns the number of learned parameters of a network of these dimensions, biases and class token included.
    pub const fn parameters(&self) -> usize {
        let (embed, hidden) = (self.embed as usize, self.hidden as usize);
        let (patch, tokens, classes) = (self.patch as usize, self.tokens as usize, self.classes as usize);
        let embedding = (patch * patch + 1) * embed + embed + tokens * embed;
        let attention = 4 * (embed + 1) * embed;
        let mlp = (embed + 1) * hidden + (hidden + 1) * embed;
        let norm = 2 * embed;
        embedding + self.depth as usize * (attention + mlp + 2 * norm) + norm + (embed + 1) * classes
    }
}

impl fmt::Display for Dims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "image {}, patch {}, {} tokens, embed {}, {} heads of {}, hidden {}, depth {}, {} classes",
            self.image,
            self.patch,
            self.tokens,
            self.embed,
            self.heads,
            self.head_dim,
            self.hidden,
            self.depth,
            self.classes
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameter_counts_of_the_presets() {
        // Summed by hand, layer by layer. A PyTorch implementation of nano has 79,690 parameters too.
        let (embedding, block, head) =
            (4_800 + 96 + 1_632, 192 + 27_936 + 9_312 + 192 + 37_248 + 36_960, 192 + 970);
        assert_eq!(Base::DIMS.parameters(), embedding + 16 * block + head);
        assert_eq!(Nano::DIMS.parameters(), 79_690);
    }

    #[test]
    fn a_declaration_may_be_written_in_several_ways() {
        const BLOCKS: usize = 4;
        network! {
            Same { classes: 5 + 5, depth: BLOCKS, hidden: 96, heads: 4, embed: 48, patch: [7, 7], image: [28, 28] }
        }
        assert_eq!((Same::NAME, Same::DIMS), ("Same", Nano::DIMS));
        assert_eq!((Same::TOKENS, Same::HEAD_DIM, Same::GRID), (17, 12, 4));
    }
}
