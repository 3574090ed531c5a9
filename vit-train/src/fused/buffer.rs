//! Buffers and layers whose shapes are types, so that the compiler checks that the fused operations fit together.
//!
//! The shapes are dfdx's and describe one image. The number of images is known at run time only.

use crate::network::dimensions::Dimensions;
use dfdx::shapes::{Const, ConstDim, ConstShape, Dim};
use std::marker::PhantomData;

/// The number of rows where only the class token counts.
pub(crate) type One = Const<1>;
/// A dimension whose size is the product of the sizes of two others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Times<A, B>(A, B);
/// The number of values of a patch, channel by channel and row by row, as in PyTorch's `Conv2d`.
pub(crate) type PatchValues<D> = Times<
    <D as Dimensions>::PatchChannels,
    Times<<D as Dimensions>::PatchHeight, <D as Dimensions>::PatchWidth>,
>;
/// The number of values of one of the stem's windows, in the same order.
pub(crate) type StemValues<D> =
    Times<<D as Dimensions>::Channels, Times<<D as Dimensions>::StemKernel, <D as Dimensions>::StemKernel>>;
/// The shape of the map that the stem computes: a row for each pixel, with all of its channels.
pub(crate) type Map<D> = (<D as Dimensions>::MapPixels, <D as Dimensions>::StemChannels);
/// The shape of an image, channel by channel and row by row.
pub(crate) type Image<D> = (<D as Dimensions>::Channels, <D as Dimensions>::Height, <D as Dimensions>::Width);
/// The shape of attention's weights: for each head and each of `R` queries, a number for each key.
pub(crate) type AttentionWeights<D, R> = (<D as Dimensions>::Heads, R, <D as Dimensions>::Tokens);
/// The width of rows with keys on the left and values on the right.
pub(crate) type KeyValue<D> = Times<Const<2>, <D as Dimensions>::Embed>;

impl<A: ConstDim, B: ConstDim> Dim for Times<A, B> {
    fn size(&self) -> usize {
        Self::SIZE
    }

    fn from_size(size: usize) -> Option<Self> {
        (size == Self::SIZE).then(Self::default)
    }
}

impl<A: ConstDim, B: ConstDim> ConstDim for Times<A, B> {
    const SIZE: usize = A::SIZE * B::SIZE;
}

/// Activations or their gradients: elements of shape `S`, row by row, for each image.
///
/// The memory, of type `V`, is the device's. It may have room for more images than a pass uses.
#[derive(Debug)]
pub(crate) struct Buffer<V, S> {
    /// The elements of all images, one image after the other.
    pub(super) values: V,
    shape: PhantomData<S>,
}

impl<V, S: ConstShape> Buffer<V, S> {
    /// The number of elements of an image.
    pub(crate) const IMAGE_LEN: usize = S::NUMEL;

    /// Makes a buffer of this memory.
    pub(crate) const fn new(values: V) -> Self {
        Self { values, shape: PhantomData }
    }

    /// Makes a buffer of what `memory` returns for a number of elements per image.
    ///
    /// # Errors
    /// Returns the error of `memory`.
    pub(crate) fn within<E>(memory: impl FnOnce(usize) -> Result<V, E>) -> Result<Self, E> {
        memory(Self::IMAGE_LEN).map(Self::new)
    }
}

/// The form in which a device holds a linear layer from `I` channels to `O`.
#[derive(Clone, Debug)]
pub(crate) struct Layer<L, I, O> {
    /// The weights and the bias, in the device's form.
    pub(super) weights: L,
    shape: PhantomData<(I, O)>,
}

impl<L, I: ConstDim, O: ConstDim> Layer<L, I, O> {
    /// Makes a layer of these weights, which must have its shape.
    pub(crate) const fn new(weights: L) -> Self {
        Self { weights, shape: PhantomData }
    }

    /// Returns a layer of the same shape whose weights are `f` of this one's.
    pub(crate) fn map<M>(&self, f: impl FnOnce(&L) -> M) -> Layer<M, I, O> {
        Layer::new(f(&self.weights))
    }
}
