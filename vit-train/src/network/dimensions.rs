//! The lengths of a network as dimensions of dfdx, which generic code can use as types where Rust does not allow
//! constants.

use dfdx::shapes::{Const, ConstDim};
use std::fmt::Debug;
use vit_nostd::{Len, Length, Network, Windows};

/// A length that is also a dimension of dfdx.
pub trait Dimension: Length {
    /// The dimension of dfdx that has this length.
    type Dim: ConstDim;
}

impl<const LEN: usize> Dimension for Len<LEN> {
    type Dim = Const<LEN>;
}

/// The dimensions of a [`Network`] for dfdx's tensors and for the fused operations.
pub trait Dimensions: Copy + Debug + Send + Sync + 'static {
    /// The height of the image, in pixels.
    type Height: ConstDim;
    /// The width of the image, in pixels.
    type Width: ConstDim;
    /// The number of channels of the image.
    type Channels: ConstDim;
    /// The height and the width of the stem's windows, or 0 without a stem.
    type StemKernel: ConstDim;
    /// The number of channels of the map that the stem computes, or 0 without a stem.
    type StemChannels: ConstDim;
    /// The number of pixels of the map, or 0 without a stem.
    type MapPixels: ConstDim;
    /// The height of a patch, in pixels of the map or the image.
    type PatchHeight: ConstDim;
    /// The width of a patch, in pixels of the map or the image.
    type PatchWidth: ConstDim;
    /// The number of channels of a patch.
    type PatchChannels: ConstDim;
    /// The number of tokens: the patches and the class token.
    type Tokens: ConstDim;
    /// The number of channels of the residual stream.
    type Embed: ConstDim;
    /// The number of attention heads.
    type Heads: ConstDim;
    /// The number of channels of one head.
    type HeadDim: ConstDim;
    /// The number of channels of the MLP's hidden layer.
    type Hidden: ConstDim;
    /// The number of encoder blocks.
    type Depth: ConstDim;
    /// The number of classes.
    type Classes: ConstDim;
    /// The windows that the stem gathers from the image, or `None` without a stem.
    const STEM_WINDOWS: Option<Windows>;
    /// The windows that become tokens.
    const PATCH_WINDOWS: Windows;
}

type Dim<L> = <L as Dimension>::Dim;

impl<N> Dimensions for N
where
    N: Network<
        Height: Dimension,
        Width: Dimension,
        Channels: Dimension,
        StemKernel: Dimension,
        StemChannels: Dimension,
        MapPixels: Dimension,
        PatchHeight: Dimension,
        PatchWidth: Dimension,
        PatchChannels: Dimension,
        Tokens: Dimension,
        Embed: Dimension,
        Heads: Dimension,
        HeadDim: Dimension,
        Hidden: Dimension,
        Depth: Dimension,
        Classes: Dimension,
    >,
{
    type Height = Dim<N::Height>;
    type Width = Dim<N::Width>;
    type Channels = Dim<N::Channels>;
    type StemKernel = Dim<N::StemKernel>;
    type StemChannels = Dim<N::StemChannels>;
    type MapPixels = Dim<N::MapPixels>;
    type PatchHeight = Dim<N::PatchHeight>;
    type PatchWidth = Dim<N::PatchWidth>;
    type PatchChannels = Dim<N::PatchChannels>;
    type Tokens = Dim<N::Tokens>;
    type Embed = Dim<N::Embed>;
    type Heads = Dim<N::Heads>;
    type HeadDim = Dim<N::HeadDim>;
    type Hidden = Dim<N::Hidden>;
    type Depth = Dim<N::Depth>;
    type Classes = Dim<N::Classes>;
    const STEM_WINDOWS: Option<Windows> = N::STEM;
    const PATCH_WINDOWS: Windows = N::PATCHES;
}

/// A network that can be trained: every network that [`vit_nostd::network!`] declares.
pub trait Trainable: Network + Dimensions {}

impl<N: Network + Dimensions> Trainable for N {}
