//! Shapes are types: a network's dimensions are const generics of one marker type, [`Vit`].
//!
//! Everything else in the library is generic over the trait [`Shape`], which [`Vit`] implements for every choice of
//! dimensions, and spells arrays in the words of the network: `S::Tokens<S::Embed<f32>>` is a `tokens x embed`
//! matrix. Stable Rust cannot use an associated constant as an array length, but it can use an associated type;
//! that is all the trait is for.

use bytemuck::Pod;
use core::fmt;

/// A plain number, or an array of them: any bit pattern is a value, and zero is one.
pub trait Element: Pod + fmt::Debug + Send + Sync {
    /// All elements zero.
    const ZERO: Self;
}

macro_rules! numbers {
    ($($number:ty => $zero:literal),* $(,)?) => {
        $(impl Element for $number { const ZERO: Self = $zero; })*
    };
}
numbers!(u8 => 0, i8 => 0, u16 => 0, i16 => 0, u32 => 0, i32 => 0, f32 => 0.0);

impl<T: Element, const N: usize> Element for [T; N] {
    const ZERO: Self = [T::ZERO; N];
}

/// `[T; LEN]`, when `LEN` is a dimension of a [`Shape`].
pub trait Array<T: Element>: Element + AsRef<[T]> + AsMut<[T]> {
    /// The number of elements.
    const LEN: usize;
}

impl<T: Element, const N: usize> Array<T> for [T; N] {
    const LEN: usize = N;
}

/// The dimensions of a Vision Transformer, at compile time. Implemented by [`Vit`] alone.
pub trait Shape: sealed::Sealed + Copy + fmt::Debug + Send + Sync + 'static {
    /// Side of the square input image, in pixels.
    const IMAGE: usize;
    /// Side of a square patch, in pixels.
    const PATCH: usize;
    /// Patches plus one: token 0 is the class token (CLS).
    const TOKENS: usize;
    /// Width of the residual stream.
    const EMBED: usize;
    /// Attention heads.
    const HEADS: usize;
    /// Width of one head.
    const HEAD_DIM: usize;
    /// Width of the MLP's hidden layer.
    const HIDDEN: usize;
    /// Encoder blocks.
    const DEPTH: usize;
    /// Classes.
    const CLASSES: usize;

    /// Patches along one side of the image.
    const GRID: usize = Self::IMAGE / Self::PATCH;
    /// The same dimensions as a value, as they stand in a model file. Using it asserts that they fit together.
    const DIMS: Dims;

    /// One value per pixel row or column.
    type Image<T: Element>: Array<T>;
    /// One value per row or column of a patch.
    type Patch<T: Element>: Array<T>;
    /// One value per token.
    type Tokens<T: Element>: Array<T>;
    /// One value per channel of the residual stream.
    type Embed<T: Element>: Array<T>;
    /// One value per channel of the MLP's hidden layer.
    type Hidden<T: Element>: Array<T>;
    /// One value per class.
    type Classes<T: Element>: Array<T>;
}

/// An input image of shape `S`: rows of grey levels, 0 to 255.
pub type Image<S> = <S as Shape>::Image<<S as Shape>::Image<u8>>;

/// Views `pixels` (row by row) as an image of shape `S`, or says nothing if their number is not `IMAGE * IMAGE`.
///
/// ```
/// use vit_nostd::{image, Nano};
/// assert!(image::<Nano>(&[0; 784]).is_some());
/// assert!(image::<Nano>(&[0; 783]).is_none());
/// ```
pub fn image<S: Shape>(pixels: &[u8]) -> Option<&Image<S>> {
    bytemuck::try_from_bytes(pixels).ok()
}

/// The shape of a Vision Transformer. A preset is a type alias of it; a new one is one declaration:
///
/// ```
/// use vit_nostd::Vit;
/// //              image patch tokens embed heads head_dim hidden depth classes
/// type Mine = Vit<28,   7,    17,    32,   2,    16,      64,    2,    10>;
/// ```
///
/// Dimensions that do not fit together (`EMBED == HEADS * HEAD_DIM`, `PATCH` divides `IMAGE`,
/// `TOKENS == (IMAGE / PATCH)^2 + 1`) do not compile where they are used.
#[derive(Clone, Copy, Debug)]
pub struct Vit<
    const IMAGE: usize,
    const PATCH: usize,
    const TOKENS: usize,
    const EMBED: usize,
    const HEADS: usize,
    const HEAD_DIM: usize,
    const HIDDEN: usize,
    const DEPTH: usize,
    const CLASSES: usize,
>;

/// 1.80 M parameters, 16 blocks: STM32H7-class chips.
pub type Base = Vit<28, 7, 17, 96, 4, 24, 384, 16, 10>;
/// 50 tokens of 64 channels, 6 blocks: the best accuracy per byte, for STM32F4-class chips.
pub type Tiny = Vit<28, 4, 50, 64, 4, 16, 128, 6, 10>;
/// 80 k parameters, 4 blocks: for chips with 128 KB of flash.
pub type Nano = Vit<28, 7, 17, 48, 4, 12, 96, 4, 10>;

mod sealed {
    pub trait Sealed {}
}

impl<
        const IMAGE: usize,
        const PATCH: usize,
        const TOKENS: usize,
        const EMBED: usize,
        const HEADS: usize,
        const HEAD_DIM: usize,
        const HIDDEN: usize,
        const DEPTH: usize,
        const CLASSES: usize,
    > sealed::Sealed for Vit<IMAGE, PATCH, TOKENS, EMBED, HEADS, HEAD_DIM, HIDDEN, DEPTH, CLASSES>
{
}

impl<
        const IMAGE: usize,
        const PATCH: usize,
        const TOKENS: usize,
        const EMBED: usize,
        const HEADS: usize,
        const HEAD_DIM: usize,
        const HIDDEN: usize,
        const DEPTH: usize,
        const CLASSES: usize,
    > Shape for Vit<IMAGE, PATCH, TOKENS, EMBED, HEADS, HEAD_DIM, HIDDEN, DEPTH, CLASSES>
{
    const IMAGE: usize = IMAGE;
    const PATCH: usize = PATCH;
    const TOKENS: usize = TOKENS;
    const EMBED: usize = EMBED;
    const HEADS: usize = HEADS;
    const HEAD_DIM: usize = HEAD_DIM;
    const HIDDEN: usize = HIDDEN;
    const DEPTH: usize = DEPTH;
    const CLASSES: usize = CLASSES;

    const DIMS: Dims = {
        assert!(PATCH > 0 && IMAGE.is_multiple_of(PATCH), "PATCH must divide IMAGE");
        assert!(
            TOKENS == (IMAGE / PATCH) * (IMAGE / PATCH) + 1,
            "TOKENS must be (IMAGE / PATCH)^2 + 1: the patches and the class token"
        );
        assert!(HEADS > 0 && EMBED == HEADS * HEAD_DIM, "EMBED must be HEADS * HEAD_DIM");
        assert!(
            IMAGE > 0 && HEAD_DIM > 0 && HIDDEN > 0 && DEPTH > 0 && CLASSES > 0,
            "no dimension may be zero"
        );
        Dims {
            image: dim(IMAGE),
            patch: dim(PATCH),
            tokens: dim(TOKENS),
            embed: dim(EMBED),
            heads: dim(HEADS),
            head_dim: dim(HEAD_DIM),
            hidden: dim(HIDDEN),
            depth: dim(DEPTH),
            classes: dim(CLASSES),
        }
    };

    type Image<T: Element> = [T; IMAGE];
    type Patch<T: Element> = [T; PATCH];
    type Tokens<T: Element> = [T; TOKENS];
    type Embed<T: Element> = [T; EMBED];
    type Hidden<T: Element> = [T; HIDDEN];
    type Classes<T: Element> = [T; CLASSES];
}

const fn dim(value: usize) -> u16 {
    assert!(value <= u16::MAX as usize, "a dimension is stored in 16 bits");
    value as u16
}

/// The dimensions of a network as a value: what a model file says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Dims {
    /// Side of the square input image, in pixels.
    pub image: u16,
    /// Side of a square patch, in pixels.
    pub patch: u16,
    /// Patches plus one.
    pub tokens: u16,
    /// Width of the residual stream.
    pub embed: u16,
    /// Attention heads.
    pub heads: u16,
    /// Width of one head.
    pub head_dim: u16,
    /// Width of the MLP's hidden layer.
    pub hidden: u16,
    /// Encoder blocks.
    pub depth: u16,
    /// Classes.
    pub classes: u16,
}

impl Dims {
    /// Learned parameters of a network of these dimensions, biases and class token included.
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
        // Summed by hand, layer by layer; a PyTorch twin of nano has 79,690 parameters too.
        let (embedding, block, head) =
            (4_800 + 96 + 1_632, 192 + 27_936 + 9_312 + 192 + 37_248 + 36_960, 192 + 970);
        assert_eq!(Base::DIMS.parameters(), embedding + 16 * block + head);
        assert_eq!(Nano::DIMS.parameters(), 79_690);
    }
}
