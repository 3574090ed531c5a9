//! Networks as types. [`network!`](crate::network) declares a network by its dimensions and implements the trait
//! [`Network`] for it, over which everything else in the library is generic.

use crate::{
    shape::{Length, Matrix, Vector},
    tokenizer::{Convolution, Tokenizer, Windows},
};
use core::fmt;

/// The dimensions of a Vision Transformer, at compile time.
///
/// [`network!`](crate::network) implements this trait, and checks that the dimensions fit together. The associated
/// types are lengths of arrays; the constants are the same lengths as numbers.
pub trait Network: Copy + fmt::Debug + Send + Sync + 'static {
    /// The name that the network is declared with.
    const NAME: &'static str;

    /// The height of the input image, in pixels.
    type Height: Length;
    /// The width of the input image, in pixels.
    type Width: Length;
    /// The number of channels of the input image: 1 for grey, 3 for red, green and blue.
    type Channels: Length;
    /// The number of stems: 1 if the tokenizer has two convolutions, of which the stem is the first one, otherwise 0.
    type Stems: Length;
    /// The height and the width of the stem's windows, in pixels, or 0 without a stem.
    type StemKernel: Length;
    /// The number of channels of the map that the stem computes, or 0 without a stem.
    type StemChannels: Length;
    /// The number of values of one of the stem's windows, rounded up to a multiple of 4.
    type StemRow: Length;
    /// The number of pixels of the map, or 0 without a stem.
    type MapPixels: Length;
    /// The number of pixels in those rows of the map that a row of tokens needs, or 0 without a stem.
    type Stripe: Length;
    /// The number of values in the model file that stand for zeros around an input: 4 for each convolution, and none
    /// for patches.
    type Zeros: Length;
    /// The height of a patch, which is the window of a token, in pixels of the image or of the map.
    type PatchHeight: Length;
    /// The width of a patch, in pixels of the image or of the map.
    type PatchWidth: Length;
    /// The number of channels of a patch: those of the map, or without a stem those of the image.
    type PatchChannels: Length;
    /// The number of values of a patch, one for each channel of each pixel, rounded up to a multiple of 4.
    type PatchRow: Length;
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

    /// The height of the input image, in pixels.
    const HEIGHT: usize = Self::Height::LEN;
    /// The width of the input image, in pixels.
    const WIDTH: usize = Self::Width::LEN;
    /// The number of channels of the input image.
    const CHANNELS: usize = Self::Channels::LEN;
    /// The windows that the stem gathers from the image, or `None` if the tokenizer has no stem.
    const STEM: Option<Windows> = Self::DIMS.stem_windows();
    /// The windows that become tokens, which are gathered from the map, or without a stem from the image.
    const PATCHES: Windows = Self::DIMS.patches();
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
    /// All dimensions as a value, as a model file states them.
    const DIMS: Dims;
}

/// An input image of network `N`: `HEIGHT` rows of `WIDTH` pixels, each with `CHANNELS` levels from 0 to 255.
pub type Image<N> =
    Vector<<N as Network>::Height, Matrix<<N as Network>::Width, <N as Network>::Channels, u8>>;

/// Views `bytes` as an image of network `N`: row by row, pixel by pixel, and the channels of a pixel next to each other.
/// Returns `None` if their number is not `HEIGHT * WIDTH * CHANNELS`.
///
/// ```
/// use vit_nostd::{image, Nano};
/// assert!(image::<Nano>(&[0; 784]).is_some());
/// assert!(image::<Nano>(&[0; 783]).is_none());
/// ```
pub fn image<N: Network>(bytes: &[u8]) -> Option<&Image<N>> {
    bytemuck::try_from_bytes(bytes).ok()
}

/// Declares networks: types that implement [`Network`].
///
/// ```
/// vit_nostd::network! {
///     /// Recognises handwritten letters.
///     pub Letters { image: 28, patch: 7, embed: 48, heads: 4, hidden: 96, depth: 4, classes: 26 }
///     /// Recognises gestures, as a small colour camera sees them.
///     pub Gestures { image: [32, 48, 3], patch: [8, 8], embed: 64, heads: 4, hidden: 128, depth: 6, classes: 5 }
/// }
/// use vit_nostd::Network;
/// assert_eq!((Letters::TOKENS, Letters::HEAD_DIM), (17, 12));
/// assert_eq!((Gestures::TOKENS, Gestures::PATCHES.values()), (25, 192));
/// ```
///
/// The fields may come in any order, and their values are constant expressions. `image` is `[height, width, channels]`
/// in pixels, with 1 channel for grey images and 3 for colour (red, green and blue); `[height, width]` is grey, and a
/// single number is the side of a grey square. `patch` is `[height, width]`, or the side of a square. The number of
/// tokens and the channels of a head are computed. The height and the width of a patch must divide those of the image,
/// `heads` must divide `embed`, no field may be missing or 0, and every length must fit in 16 bits: if not, the
/// declaration is a compile error that says why.
///
/// In the place of `patch`, a network may have a `tokenizer` of one or two convolutions, with GELU between them:
///
/// ```
/// vit_nostd::network! {
///     /// Recognises handwritten digits.
///     pub Digits {
///         image: 28,
///         tokenizer: [
///             { kernel: 3, stride: 2, padding: 1, channels: 16 },
///             { kernel: 5, stride: 4, padding: 2 },
///         ],
///         embed: 48, heads: 4, hidden: 96, depth: 4, classes: 10,
///     }
/// }
/// use vit_nostd::Network;
/// let stem = Digits::STEM.unwrap(); // 28x28 pixels become a map of 14x14, whose windows become 4x4 tokens
/// assert_eq!((stem.rows(), stem.columns(), Digits::PATCHES.rows(), Digits::TOKENS), (14, 14, 4, 17));
/// ```
///
/// `kernel` is the height and the width of a window, `stride` the distance from one window to the next (1 if it is
/// left out), `padding` the number of rows and columns of zeros around the input (0 if it is left out), and `channels`
/// the number of outputs, which the last convolution must leave out, because it has `embed` of them. A window must fit
/// into the padded input, and `padding` must be less than `kernel`. Rows and columns at the bottom and at the right
/// that fill no window are not used. `patch: 7` is the short form of `tokenizer: [{ kernel: 7, stride: 7 }]` for images
/// whose sides are multiples of 7.
///
/// The integer engine needs more; its `from_bytes` does not compile for other networks:
///
/// | | float engine | integer engine |
/// |---|---|---|
/// | every length, the number of tokens included | at most 65,535 | at most 65,535 |
/// | `embed` | a multiple of `heads` | a multiple of `heads` and of 4, at most 256 |
/// | `hidden` | any | a multiple of 4 |
/// | `channels` of the first of two convolutions | any | a multiple of 4 |
/// | values of a patch, or of another window of a convolution, and `hidden` | any | at most 65,536 |
/// | classes | any | any |
/// | stack of an inference, besides less than 1 KB | 4 bytes for each class | 4 bytes for each class |
#[macro_export]
macro_rules! network {
    (@fields [$($done:tt)*]) => {
        $crate::Declaration { $($done)* }
    };
    (@fields [$($done:tt)*] image: [$($length:expr),* $(,)?] $(, $($rest:tt)*)?) => {
        $crate::network!(@fields [$($done)* image: $crate::Declaration::image(&[$($length),*]),] $($($rest)*)?)
    };
    (@fields [$($done:tt)*] image: $side:expr $(, $($rest:tt)*)?) => {
        $crate::network!(@fields [$($done)* image: [$side, $side, 1],] $($($rest)*)?)
    };
    (@fields [$($done:tt)*] patch: [$($length:expr),* $(,)?] $(, $($rest:tt)*)?) => {
        $crate::network!(@fields [$($done)* tokenizer: $crate::Declaration::patch(&[$($length),*]),] $($($rest)*)?)
    };
    (@fields [$($done:tt)*] patch: $side:expr $(, $($rest:tt)*)?) => {
        $crate::network!(@fields [$($done)* tokenizer: $crate::Tokenizer::Patches([$side, $side]),] $($($rest)*)?)
    };
    (@fields [$($done:tt)*] tokenizer: [$({ $($convolution:tt)* }),* $(,)?] $(, $($rest:tt)*)?) => {
        $crate::network!(@fields [$($done)* tokenizer: $crate::Tokenizer::Convolutions(
            &[$($crate::network!(@convolution $($convolution)*)),*],
        ),] $($($rest)*)?)
    };
    (@convolution $($field:ident: $length:expr),* $(,)?) => {{
        #[allow(clippy::needless_update)] // All fields may be given.
        const CONVOLUTION: $crate::Convolution =
            $crate::Convolution { $($field: $crate::Convolution::length($length),)* ..$crate::Convolution::DEFAULT };
        CONVOLUTION
    }};
    (@fields [$($done:tt)*] $field:ident: $length:expr $(, $($rest:tt)*)?) => {
        $crate::network!(@fields [$($done)* $field: $length,] $($($rest)*)?)
    };
    ($($(#[$attribute:meta])* $visibility:vis $name:ident { $($fields:tt)* })+) => {$(
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug)]
        $visibility struct $name;

        const _: () = {
            const DECLARED: $crate::Declaration<'_> = $crate::network!(@fields [] $($fields)*);
            const DIMS: $crate::Dims = DECLARED.dims();

            impl $crate::Network for $name {
                const NAME: &'static str = ::core::stringify!($name);
                type Height = $crate::Len<{ DIMS.height as usize }>;
                type Width = $crate::Len<{ DIMS.width as usize }>;
                type Channels = $crate::Len<{ DIMS.channels as usize }>;
                type Stems = $crate::Len<{ DIMS.stem.is_some() as usize }>;
                type StemKernel = $crate::Len<{ DIMS.stem_kernel() }>;
                type StemChannels = $crate::Len<{ DIMS.stem_channels() }>;
                type StemRow = $crate::Len<{ DIMS.stem_values().next_multiple_of(4) }>;
                type MapPixels = $crate::Len<{ DIMS.map_pixels() }>;
                type Stripe = $crate::Len<{ DIMS.stripe() }>;
                type Zeros = $crate::Len<{ 4 * DIMS.convolutions() }>;
                type PatchHeight = $crate::Len<{ DIMS.patch_height as usize }>;
                type PatchWidth = $crate::Len<{ DIMS.patch_width as usize }>;
                type PatchChannels = $crate::Len<{ DIMS.patches().channels }>;
                type PatchRow = $crate::Len<{ DIMS.patch_values().next_multiple_of(4) }>;
                type Tokens = $crate::Len<{ DIMS.tokens as usize }>;
                type Embed = $crate::Len<{ DIMS.embed as usize }>;
                type Heads = $crate::Len<{ DIMS.heads as usize }>;
                type HeadDim = $crate::Len<{ DIMS.head_dim as usize }>;
                type Hidden = $crate::Len<{ DIMS.hidden as usize }>;
                type Depth = $crate::Len<{ DIMS.depth as usize }>;
                type Classes = $crate::Len<{ DIMS.classes as usize }>;
                const DIMS: $crate::Dims = DIMS;
            }
        };
    )+};
}

/// The fields of a [`network!`](crate::network) declaration, before they are checked.
#[derive(Clone, Copy, Debug)]
pub struct Declaration<'a> {
    /// The height and the width of the input image in pixels, and the number of its channels.
    pub image: [usize; 3],
    /// The patches or the convolutions that turn the image into tokens.
    pub tokenizer: Tokenizer<'a>,
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

impl<'a> Declaration<'a> {
    /// Returns the height, the width and the number of channels of an image that is declared as a list.
    ///
    /// # Panics
    /// If `lengths` is neither `[height, width]` nor `[height, width, channels]`.
    pub const fn image(lengths: &[usize]) -> [usize; 3] {
        match *lengths {
            [height, width] => [height, width, 1],
            [height, width, channels] => [height, width, channels],
            _ => {
                panic!("`image` is [height, width, channels], [height, width], or the side of a grey square")
            }
        }
    }

    /// Returns the tokenizer whose patch is declared as a list.
    ///
    /// # Panics
    /// If `lengths` is not `[height, width]`.
    pub const fn patch(lengths: &[usize]) -> Tokenizer<'a> {
        match *lengths {
            [height, width] => Tokenizer::Patches([height, width]),
            _ => panic!("`patch` is [height, width], or the side of a square"),
        }
    }

    /// Checks the declaration and returns its dimensions, with those that follow from the declared ones.
    ///
    /// # Panics
    /// If [`check`](Self::check) finds that the dimensions do not fit together.
    pub const fn dims(self) -> Dims {
        match self.check() {
            Ok(dims) => dims,
            Err(fault) => panic!("{}", fault),
        }
    }

    /// Returns the dimensions like [`dims`](Self::dims), for declarations that are made while a program runs.
    ///
    /// # Errors
    /// If the dimensions do not fit together, the reason.
    #[inline(always)]
    pub const fn check(self) -> Result<Dims, &'static str> {
        let Self { image: [height, width, channels], tokenizer, .. } = self;
        let Self { embed, heads, hidden, depth, classes, .. } = self;
        if height == 0 || width == 0 {
            return Err("the height and the width of `image` must not be 0");
        }
        if channels != 1 && channels != 3 {
            return Err("`image` must have 1 channel (grey) or 3 (red, green and blue)");
        }
        if embed == 0 {
            return Err("`embed` must not be 0");
        }
        if heads == 0 || !embed.is_multiple_of(heads) {
            return Err("`heads` must divide `embed`");
        }
        if hidden == 0 {
            return Err("`hidden` must not be 0");
        }
        if depth == 0 {
            return Err("`depth` must not be 0");
        }
        if classes == 0 {
            return Err("`classes` must not be 0");
        }
        let image = Windows { height, width, channels, kernel: [1, 1], stride: [1, 1], padding: 0 };
        let (stem, patches) = match tokenizer.windows(image, embed) {
            Ok(windows) => windows,
            Err(fault) => return Err(fault),
        };
        let tokens = patches.rows().saturating_mul(patches.columns()).saturating_add(1);
        let [patch_height, patch_width] = patches.kernel;
        let lengths = [height, width, patch_height, patch_width, tokens, embed, hidden, depth, classes];
        let mut index = 0;
        while index < lengths.len() {
            if lengths[index] > u16::MAX as usize {
                return Err("no length of a network may be above 65,535, the number of tokens included");
            }
            index += 1;
        }
        Ok(Dims {
            height: height as u16,
            width: width as u16,
            channels: channels as u16,
            stem,
            patch_height: patch_height as u16,
            patch_width: patch_width as u16,
            patch_stride: [patches.stride[0] as u16, patches.stride[1] as u16],
            patch_padding: patches.padding as u16,
            tokens: tokens as u16,
            embed: embed as u16,
            heads: heads as u16,
            head_dim: (embed / heads) as u16,
            hidden: hidden as u16,
            depth: depth as u16,
            classes: classes as u16,
        })
    }
}

network! {
    /// The reference network, with 1.80 M parameters in 16 blocks: for chips of the class of an STM32H7.
    pub Base { image: 28, patch: 7, embed: 96, heads: 4, hidden: 384, depth: 16, classes: 10 }

    /// A network with more and smaller patches, 50 tokens of 64 channels: for chips like an STM32F4.
    pub Tiny { image: 28, patch: 4, embed: 64, heads: 4, hidden: 128, depth: 6, classes: 10 }

    /// The smallest network, with 80 k parameters in 4 blocks: for chips with 128 KB of flash.
    pub Nano { image: 28, patch: 7, embed: 48, heads: 4, hidden: 96, depth: 4, classes: 10 }

    /// [`Nano`] with two convolutions in the place of its patches, and 12 KB more of weights.
    pub ConvNano {
        image: 28,
        tokenizer: [
            { kernel: 3, stride: 2, padding: 1, channels: 12 },
            { kernel: 5, stride: 4, padding: 2 },
        ],
        embed: 48, heads: 4, hidden: 96, depth: 4, classes: 10,
    }

    /// [`Tiny`] with two convolutions in the place of its patches, and 14 KB more of weights.
    pub ConvTiny {
        image: 28,
        tokenizer: [
            { kernel: 3, stride: 2, padding: 1, channels: 24 },
            { kernel: 3, stride: 2, padding: 1 },
        ],
        embed: 64, heads: 4, hidden: 128, depth: 6, classes: 10,
    }
}

/// The dimensions of a network as a value, such as those that a model file states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Dims {
    /// The height of the input image, in pixels.
    pub height: u16,
    /// The width of the input image, in pixels.
    pub width: u16,
    /// The number of channels of the input image: 1 for grey, 3 for red, green and blue.
    pub channels: u16,
    /// The first of two convolutions, whose map the patches are gathered from, or `None` if they are gathered from the
    /// image.
    pub stem: Option<Convolution>,
    /// The height of a patch, in pixels of the map or the image.
    pub patch_height: u16,
    /// The width of a patch, in pixels of the map or the image.
    pub patch_width: u16,
    /// The distances from one patch to the next below it, and to the next at its right.
    pub patch_stride: [u16; 2],
    /// The number of rows and columns of zeros around the map or the image.
    pub patch_padding: u16,
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
    /// Returns the number of values of an image, one for each channel of each pixel.
    pub const fn image_values(&self) -> usize {
        self.height as usize * self.width as usize * self.channels as usize
    }

    /// Returns the windows that the stem gathers from the image, or `None` if the tokenizer has no stem.
    pub const fn stem_windows(&self) -> Option<Windows> {
        let Some(Convolution { kernel, stride, padding, channels: _ }) = self.stem else { return None };
        Some(Windows {
            height: self.height as usize,
            width: self.width as usize,
            channels: self.channels as usize,
            kernel: [kernel as usize; 2],
            stride: [stride as usize; 2],
            padding: padding as usize,
        })
    }

    /// Returns the windows that become tokens.
    pub const fn patches(&self) -> Windows {
        let [height, width, channels] = match (self.stem, self.stem_windows()) {
            (Some(stem), Some(windows)) => [windows.rows(), windows.columns(), stem.channels as usize],
            _ => [self.height as usize, self.width as usize, self.channels as usize],
        };
        Windows {
            height,
            width,
            channels,
            kernel: [self.patch_height as usize, self.patch_width as usize],
            stride: [self.patch_stride[0] as usize, self.patch_stride[1] as usize],
            padding: self.patch_padding as usize,
        }
    }

    /// Returns the number of convolutions of the tokenizer: 0 for patches that touch each other and fill the image,
    /// otherwise 1 or 2.
    pub const fn convolutions(&self) -> usize {
        let fill =
            self.height.is_multiple_of(self.patch_height) && self.width.is_multiple_of(self.patch_width);
        let [down, across] = self.patch_stride;
        let touch = down == self.patch_height && across == self.patch_width && self.patch_padding == 0;
        match self.stem {
            Some(_) => 2,
            None if fill && touch => 0,
            None => 1,
        }
    }

    /// Returns the convolutions of the tokenizer as they are declared, with no `channels` in the last one. There are none
    /// if the tokenizer has patches.
    pub fn declared_convolutions(&self) -> impl Iterator<Item = Convolution> + use<> {
        let &Self { stem, patch_height, patch_stride: [stride, _], patch_padding, .. } = self;
        let last = Convolution { kernel: patch_height, stride, padding: patch_padding, channels: 0 };
        stem.into_iter().chain((self.convolutions() > 0).then_some(last))
    }

    /// Returns the field of a [`network!`](crate::network) declaration that declares the tokenizer, for programs that
    /// write such declarations: `patch: [7, 7]`, for example, or `tokenizer: [{ kernel: 7, stride: 4, padding: 3 }]`.
    pub const fn tokenizer_field(&self) -> impl fmt::Display + use<> {
        TokenizerField(*self)
    }

    /// Returns the height and the width of the stem's windows, or 0 without a stem.
    pub const fn stem_kernel(&self) -> usize {
        match self.stem {
            Some(stem) => stem.kernel as usize,
            None => 0,
        }
    }

    /// Returns the number of channels of the stem's map, or 0 without a stem.
    pub const fn stem_channels(&self) -> usize {
        match self.stem {
            Some(stem) => stem.channels as usize,
            None => 0,
        }
    }

    /// Returns the number of values of a window of the stem, or 0 without a stem.
    pub const fn stem_values(&self) -> usize {
        match self.stem_windows() {
            Some(windows) => windows.values(),
            None => 0,
        }
    }

    /// Returns the number of pixels of the map, or 0 without a stem.
    pub const fn map_pixels(&self) -> usize {
        match self.stem_windows() {
            Some(windows) => windows.rows() * windows.columns(),
            None => 0,
        }
    }

    /// Returns the number of pixels in those rows of the map that a row of tokens needs, or 0 without a stem.
    pub const fn stripe(&self) -> usize {
        match self.stem {
            Some(_) => self.patch_height as usize * self.patches().width,
            None => 0,
        }
    }

    /// Returns the number of values of a patch, one for each channel of each pixel.
    pub const fn patch_values(&self) -> usize {
        self.patches().values()
    }

    /// Returns the number of learned parameters of a network of these dimensions, biases and class token included.
    pub const fn parameters(&self) -> usize {
        let (embed, hidden) = (self.embed as usize, self.hidden as usize);
        let (tokens, classes) = (self.tokens as usize, self.classes as usize);
        let stem = (self.stem_values() + 1) * self.stem_channels();
        let embedding = stem + (self.patch_values() + 1) * embed + embed + tokens * embed;
        let attention = 4 * (embed + 1) * embed;
        let mlp = (embed + 1) * hidden + (hidden + 1) * embed;
        let norm = 2 * embed;
        embedding + self.depth as usize * (attention + mlp + 2 * norm) + norm + (embed + 1) * classes
    }
}

impl fmt::Display for Dims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { height, width, channels, patch_height, patch_width, patch_stride, patch_padding, .. } =
            self;
        write!(f, "image {height}x{width}x{channels}, ")?;
        if let Some(Convolution { kernel, stride, padding, channels }) = self.stem {
            write!(
                f,
                "convolution {kernel}x{kernel} (stride {stride}, padding {padding}) to {channels} channels, "
            )?;
        }
        if self.convolutions() == 0 {
            write!(f, "patch {patch_height}x{patch_width}, ")?;
        } else {
            let [stride, _] = patch_stride;
            write!(
                f,
                "convolution {patch_height}x{patch_width} (stride {stride}, padding {patch_padding}), "
            )?;
        }
        let Self { tokens, embed, heads, head_dim, hidden, depth, classes, .. } = self;
        write!(
            f,
            "{tokens} tokens, embed {embed}, {heads} heads of {head_dim}, hidden {hidden}, depth {depth}, {classes} classes"
        )
    }
}

/// Displays the tokenizer as a field of a declaration.
struct TokenizerField(Dims);

impl fmt::Display for TokenizerField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(dims) = self;
        if dims.convolutions() == 0 {
            return write!(f, "patch: [{}, {}]", dims.patch_height, dims.patch_width);
        }
        for (index, convolution) in dims.declared_convolutions().enumerate() {
            let Convolution { kernel, stride, padding, channels } = convolution;
            f.write_str(if index == 0 { "tokenizer: [" } else { ", " })?;
            write!(f, "{{ kernel: {kernel}, stride: {stride}, padding: {padding}")?;
            if channels > 0 {
                write!(f, ", channels: {channels}")?;
            }
            f.write_str(" }")?;
        }
        f.write_str("]")
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
        // Images of 6 x 20 x 3 with patches of 3 x 5.
        let (embedding, block, head) =
            (45 * 48 + 48 + 48 + 9 * 48, 4 * 49 * 48 + 4_704 + 4_656 + 192, 96 + 490);
        assert_eq!(Wide::DIMS.parameters(), embedding + 4 * block + head);
    }

    const BLOCKS: usize = 4;
    const HEIGHT: usize = 6;
    network! {
        Same { classes: 5 + 5, depth: BLOCKS, hidden: 96, heads: 4, embed: 48, patch: [7, 7], image: [28, 28] }
        Grey { image: [28, 28, 1], patch: 7, embed: 48, heads: 4, hidden: 96, depth: 4, classes: 10 }
        Wide { image: [6, 20, 3], patch: [3, 5], embed: 48, heads: 4, hidden: 96, depth: 4, classes: 10 }
        AlsoWide {
            patch: [HEIGHT / 2, 5,],
            image: [HEIGHT, 4 * 5, 3,],
            embed: 48, heads: 4, hidden: 96, depth: 4, classes: 10,
        }
        High { image: [20, 6], patch: [5, 3], embed: 48, heads: 4, hidden: 96, depth: 4, classes: 10 }
        SquarePatches { image: [6, 9, 3], patch: 3, embed: 48, heads: 4, hidden: 96, depth: 4, classes: 10 }
        WidePatches { image: 6, patch: [2, 3], embed: 48, heads: 4, hidden: 96, depth: 4, classes: 10 }
    }

    #[test]
    fn a_declaration_may_be_written_in_several_ways() {
        assert_eq!((Same::NAME, Same::DIMS), ("Same", Nano::DIMS));
        assert_eq!((Grey::NAME, Grey::DIMS), ("Grey", Nano::DIMS));
        assert_eq!((Same::TOKENS, Same::HEAD_DIM, Same::PATCHES.columns()), (17, 12, 4));
        assert_eq!((Wide::TOKENS, Wide::PATCHES.columns(), Wide::PATCHES.values()), (9, 4, 45));
        assert_eq!((AlsoWide::NAME, AlsoWide::DIMS), ("AlsoWide", Wide::DIMS));
        assert_eq!((High::HEIGHT, High::WIDTH, High::CHANNELS), (20, 6, 1));
        assert_eq!((High::PATCHES.kernel, High::PATCHES.columns(), High::TOKENS), ([5, 3], 2, 9));
        assert_eq!((SquarePatches::TOKENS, SquarePatches::PATCHES.values()), (7, 27));
        assert_eq!((WidePatches::TOKENS, WidePatches::PATCHES.values()), (7, 6));
        let text =
            "image 6x20x3, patch 3x5, 9 tokens, embed 48, 4 heads of 12, hidden 96, depth 4, 10 classes";
        assert_eq!(format!("{}", Wide::DIMS), text);
    }

    #[test]
    fn tokenizers_are_written_as_they_are_declared() {
        network! {
            Overlapping {
                image: 30,
                tokenizer: [{ kernel: 7, stride: 4, padding: 3 }],
                embed: 48, heads: 4, hidden: 96, depth: 4, classes: 10,
            }
        }
        for (dims, field) in [
            (Wide::DIMS, "patch: [3, 5]"),
            (Overlapping::DIMS, "tokenizer: [{ kernel: 7, stride: 4, padding: 3 }]"),
            (
                ConvNano::DIMS,
                "tokenizer: [{ kernel: 3, stride: 2, padding: 1, channels: 12 }, { kernel: 5, stride: 4, padding: 2 }]",
            ),
        ] {
            assert_eq!(dims.tokenizer_field().to_string(), field);
        }
    }

    #[test]
    fn rows_of_patches_have_a_multiple_of_4_values() {
        let rows = [
            (Nano::PATCHES.values(), <<Nano as Network>::PatchRow as Length>::LEN),
            (Tiny::PATCHES.values(), <<Tiny as Network>::PatchRow as Length>::LEN),
            (Wide::PATCHES.values(), <<Wide as Network>::PatchRow as Length>::LEN),
            (WidePatches::PATCHES.values(), <<WidePatches as Network>::PatchRow as Length>::LEN),
        ];
        assert_eq!(rows, [(49, 52), (16, 16), (45, 48), (6, 8)]);
    }

    #[test]
    fn an_image_has_rows_of_pixels_of_channels() {
        let bytes: [u8; 6 * 20 * 3] = core::array::from_fn(|index| index as u8);
        let wide = image::<Wide>(&bytes).unwrap();
        assert_eq!(size_of_val(wide), bytes.len());
        assert_eq!((wide[0][0], wide[0][1], wide[1][0]), ([0, 1, 2], [3, 4, 5], [60, 61, 62]));
        assert_eq!(usize::from(wide[4][2][1]), (4 * 20 + 2) * 3 + 1);
        assert!(image::<Wide>(&bytes[1..]).is_none() && image::<High>(&bytes).is_none());
        assert_eq!(Wide::DIMS.image_values(), bytes.len());
    }
}
