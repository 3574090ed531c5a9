//! Shapes as types, for what the fused operations work on: dfdx's, of one image. How many images there are is a number.

use crate::network::dimensions::Dimensions;
use dfdx::shapes::{Const, ConstDim, ConstShape, Dim};
use std::marker::PhantomData;

/// One row: that of the class token.
pub type One = Const<1>;
/// A dimension that is two others, one within the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times<A, B>(A, B);
/// The pixels of a patch.
pub type Area<D> = Times<<D as Dimensions>::Patch, <D as Dimensions>::Patch>;
/// For each head and each of `R` queries, a number for each key.
pub type AttentionWeights<D, R> = (<D as Dimensions>::Heads, R, <D as Dimensions>::Tokens);
/// Keys on the left, values on the right.
pub type KeyValue<D> = Times<Const<2>, <D as Dimensions>::Embed>;

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

/// Activations, or their gradients: elements of shape `S`, row by row, for each of up to as many images as there is
/// memory for. What `V` is depends on the device.
#[derive(Debug)]
pub struct Buffer<V, S> {
    /// All images' elements.
    pub(super) values: V,
    shape: PhantomData<S>,
}

impl<V, S: ConstShape> Buffer<V, S> {
    /// Elements of an image.
    pub const IMAGE_LEN: usize = S::NUMEL;

    /// Takes the memory of a number of images.
    pub const fn new(values: V) -> Self {
        Self { values, shape: PhantomData }
    }

    /// Takes what `memory` gives for this number of elements per image.
    ///
    /// # Errors
    /// Those of `memory`.
    pub fn within<E>(memory: impl FnOnce(usize) -> Result<V, E>) -> Result<Self, E> {
        memory(Self::IMAGE_LEN).map(Self::new)
    }
}

/// What a device holds of a linear layer from `I` channels to `O`.
#[derive(Clone, Debug)]
pub struct Layer<L, I, O> {
    /// Weights and bias, in whatever form.
    pub(super) weights: L,
    shape: PhantomData<(I, O)>,
}

impl<L, I: ConstDim, O: ConstDim> Layer<L, I, O> {
    /// Takes the weights of a layer of this shape.
    pub const fn new(weights: L) -> Self {
        Self { weights, shape: PhantomData }
    }

    /// Makes something of the weights.
    pub fn map<M>(&self, f: impl FnOnce(&L) -> M) -> Layer<M, I, O> {
        Layer::new(f(&self.weights))
    }
}
