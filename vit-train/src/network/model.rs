//! The Vision Transformer as dfdx tensors of compile-time shapes, built from dfdx's own operations.
//!
//! Parameters have the names and the layouts of the PyTorch model that is this project's reference, so that checkpoints
//! can be exchanged in both directions. The network is pre-LayerNorm, with learned positions, a class token, exact
//! (erf) GELU, and dropout after the embedding, on the attention weights and after both layers of the MLP.

use super::{
    dimensions::{Dimensions, Trainable},
    dropout::{Dropout, Site},
    names,
    windows::places,
};
use dfdx::prelude::*;
use std::f64::consts::{PI, SQRT_2};
use vit_nostd::{float::LAYER_NORM_EPSILON, Windows};

/// Network `N` on device `D`.
pub(crate) struct Model<N: Trainable, D: Device<f32>> {
    cls_token: Tensor<(One, One, Embed<N>), f32, D>,
    pos_embed: Tensor<(One, Tokens<N>, Embed<N>), f32, D>,
    /// The first of two convolutions.
    stem: Option<Linear<StemWeight<N>, StemChannels<N>, D>>,
    /// The only convolution, or the second one.
    patch_embed: Linear<PatchWeight<N>, Embed<N>, D>,
    blocks: Vec<Block<N, D>>,
    norm: LayerNorm<Embed<N>, D>,
    head: Linear<(Classes<N>, Embed<N>), Classes<N>, D>,
}

/// The result of [`Model::loss_and_gradients`].
pub(crate) struct Pass<D: Device<f32>> {
    /// The mean cross entropy of the batch.
    pub loss: f32,
    /// The logits, `batch x classes`.
    pub logits: Vec<f32>,
    /// The gradients of the loss with respect to all parameters.
    pub gradients: Gradients<f32, D>,
}

/// An action that is done with every parameter of a network.
pub(crate) trait Visitor<D: Device<f32>> {
    /// Does the action with one parameter. `dims` is its shape in PyTorch, where it has the same elements in the same
    /// order.
    fn visit<S: ConstShape>(&mut self, name: &str, dims: &[usize], parameter: &mut Tensor<S, f32, D>);
}

type One = Const<1>;
// A network has these lengths both as `vit_nostd::Network` and as `Dimensions`; these aliases choose the latter.
type Channels<N> = <N as Dimensions>::Channels;
type PatchHeight<N> = <N as Dimensions>::PatchHeight;
type PatchWidth<N> = <N as Dimensions>::PatchWidth;
type PatchWeight<N> = (Embed<N>, <N as Dimensions>::PatchChannels, PatchHeight<N>, PatchWidth<N>);
type StemChannels<N> = <N as Dimensions>::StemChannels;
type StemKernel<N> = <N as Dimensions>::StemKernel;
type StemWeight<N> = (StemChannels<N>, Channels<N>, StemKernel<N>, StemKernel<N>);
type Tokens<N> = <N as Dimensions>::Tokens;
type Embed<N> = <N as Dimensions>::Embed;
type Heads<N> = <N as Dimensions>::Heads;
type HeadDim<N> = <N as Dimensions>::HeadDim;
type Hidden<N> = <N as Dimensions>::Hidden;
type Classes<N> = <N as Dimensions>::Classes;

/// Images, channel by channel and row by row.
type Images<D, T> = Tensor<(usize, usize), f32, D, T>;

/// One encoder block.
struct Block<N: Trainable, D: Device<f32>> {
    norm1: LayerNorm<Embed<N>, D>,
    in_proj_weight: Tensor<(Const<3>, Embed<N>, Embed<N>), f32, D>,
    in_proj_bias: Tensor<(Const<3>, Embed<N>), f32, D>,
    out_proj: Linear<(Embed<N>, Embed<N>), Embed<N>, D>,
    norm2: LayerNorm<Embed<N>, D>,
    hidden: Linear<(Hidden<N>, Embed<N>), Hidden<N>, D>,
    mlp: Linear<(Embed<N>, Hidden<N>), Embed<N>, D>,
}

/// Weights of shape `W` (outputs first) and a bias for each of `O` outputs.
struct Linear<W: ConstShape, O: ConstDim, D: Device<f32>> {
    weight: Tensor<W, f32, D>,
    bias: Tensor<(O,), f32, D>,
}

struct LayerNorm<E: ConstDim, D: Device<f32>> {
    weight: Tensor<(E,), f32, D>,
    bias: Tensor<(E,), f32, D>,
}

/// The tokens of a batch, one per row.
type Rows<W, D, T> = Tensor<(usize, W), f32, D, T>;

impl<W: ConstShape, O: ConstDim, D: Device<f32>> Linear<W, O, D> {
    fn zeros(device: &D) -> Self {
        Self { weight: device.zeros(), bias: device.zeros() }
    }

    fn visit(&mut self, name: &str, dims: &[usize], visitor: &mut impl Visitor<D>) {
        visitor.visit(&names::weight(name), dims, &mut self.weight);
        visitor.visit(&names::bias(name), &[O::SIZE], &mut self.bias);
    }
}

impl<W: ConstShape, O: ConstDim, D: Device<f32>> Linear<W, O, D> {
    /// Computes the convolution that gathers `windows` from `x`, of shape `batch x values`, in which the value of a
    /// channel at a row and a column has the index that `place` returns. The result has a row for each window.
    ///
    /// dfdx has its convolution on nightly compilers only. Here, the windows become rows of a matrix.
    fn convolve<T: Tape<f32, D>>(
        &self,
        x: Tensor<(usize, usize), f32, D, T>,
        windows: Windows,
        place: impl Fn([usize; 3]) -> usize,
    ) -> Rows<O, D, T> {
        let (batch, values) = *x.shape();
        // The value after the last one is zero.
        let of_window = |window| places(windows, window, &place).map(|place| place.unwrap_or(values));
        let places: Vec<_> = (0..windows.rows() * windows.columns()).flat_map(of_window).collect();
        let (device, rows) = (x.device().clone(), places.len() / windows.values());
        let places = device.tensor_from_vec(places.repeat(batch), (batch, rows * windows.values()));
        let zero = device.zeros_like(&(batch, 1usize));
        let x: Images<D, T> = (x, zero).concat_along(Axis::<1>).gather(places);
        let weight = self.weight.retaped::<T>().reshape_like(&(O::default(), windows.values()));
        linear(x.reshape_like(&(batch * rows, windows.values())), weight, self.bias.retaped())
    }
}

impl<I: ConstDim, O: ConstDim, D: Device<f32>> Linear<(O, I), O, D> {
    fn forward<T: Tape<f32, D>>(&self, x: Rows<I, D, T>) -> Rows<O, D, T> {
        linear(x, self.weight.retaped(), self.bias.retaped())
    }
}

impl<E: ConstDim, D: Device<f32>> LayerNorm<E, D> {
    fn zeros(device: &D) -> Self {
        Self { weight: device.zeros(), bias: device.zeros() }
    }

    fn visit(&mut self, name: &str, visitor: &mut impl Visitor<D>) {
        visitor.visit(&names::weight(name), &[E::SIZE], &mut self.weight);
        visitor.visit(&names::bias(name), &[E::SIZE], &mut self.bias);
    }

    fn forward<T: Tape<f32, D>>(&self, x: Rows<E, D, T>) -> Rows<E, D, T> {
        let shape = *x.shape();
        x.normalize::<Axis<1>>(f64::from(LAYER_NORM_EPSILON))
            * self.weight.retaped::<T>().broadcast_like(&shape)
            + self.bias.retaped::<T>().broadcast_like(&shape)
    }
}

/// Computes the exact (erf) GELU, with a correction of dfdx's derivative.
///
/// Let `P` be the normal distribution and `p` its density. The derivative of GELU is `P(x) + x p(x)`, but that of
/// `accurate_gelu` in dfdx 0.13 is `P(x) + sqrt(2) x p(x)`. Because `p'(x) = -x p(x)`, the missing term is the
/// derivative of `(sqrt(2) - 1) p(x)`. This function adds that term and subtracts its value as a constant, so that it
/// changes the derivative only.
fn gelu<S: Shape, D: Device<f32>, T: Tape<f32, D>>(x: Tensor<S, f32, D, T>) -> Tensor<S, f32, D, T> {
    let value = x.retaped::<T>().accurate_gelu();
    if !T::OWNS_TAPE {
        return value;
    }
    let factor = (SQRT_2 - 1.0) / (2.0 * PI).sqrt();
    let correction = (x.square() * -0.5).exp() * factor as f32;
    let constant = correction.device().tensor_from_vec(correction.as_vec(), *correction.shape());
    value + (correction - constant)
}

/// Returns `x W^T + b`.
fn linear<I: Dim, O: ConstDim, D: Device<f32>, T: Tape<f32, D>>(
    x: Tensor<(usize, I), f32, D, T>,  // (rows, I)
    weight: Tensor<(O, I), f32, D, T>, // (O, I)
    bias: Tensor<(O,), f32, D, T>,
) -> Rows<O, D, T> {
    let y = x.matmul(weight.permute::<(I, O), _>()); // (rows, O)
    let shape = *y.shape();
    y + bias.broadcast_like(&shape)
}

impl<N: Trainable, D: Device<f32>> Block<N, D> {
    fn zeros(device: &D) -> Self {
        Self {
            norm1: LayerNorm::zeros(device),
            in_proj_weight: device.zeros(),
            in_proj_bias: device.zeros(),
            out_proj: Linear::zeros(device),
            norm2: LayerNorm::zeros(device),
            hidden: Linear::zeros(device),
            mlp: Linear::zeros(device),
        }
    }

    fn visit(&mut self, index: usize, visitor: &mut impl Visitor<D>) {
        let name = |part| names::in_block(index, part);
        self.norm1.visit(&name(names::NORM1), visitor);
        let in_proj = name(names::IN_PROJ);
        visitor.visit(&names::weight(&in_proj), &[3 * N::EMBED, N::EMBED], &mut self.in_proj_weight);
        visitor.visit(&names::bias(&in_proj), &[3 * N::EMBED], &mut self.in_proj_bias);
        self.out_proj.visit(&name(names::OUT_PROJ), &[N::EMBED, N::EMBED], visitor);
        self.norm2.visit(&name(names::NORM2), visitor);
        self.hidden.visit(&name(names::HIDDEN), &[N::HIDDEN, N::EMBED], visitor);
        self.mlp.visit(&name(names::MLP), &[N::EMBED, N::HIDDEN], visitor);
    }

    fn forward<T: Tape<f32, D>>(
        &self,
        x: Rows<Embed<N>, D, T>,
        dropout: &Dropout,
        index: usize,
    ) -> Rows<Embed<N>, D, T> {
        let skip = x.retaped::<T>();
        let x = self.attention(self.norm1.forward(x), dropout, index) + skip; // (rows, EMBED)

        let skip = x.retaped::<T>();
        let h = gelu(self.hidden.forward(self.norm2.forward(x))); // (rows, HIDDEN)
        let h = self.mlp.forward(dropout.apply(h, Site::Hidden(index))); // (rows, EMBED)
        dropout.apply(h, Site::Mlp(index)) + skip
    }

    fn attention<T: Tape<f32, D>>(
        &self,
        x: Rows<Embed<N>, D, T>,
        dropout: &Dropout,
        index: usize,
    ) -> Rows<Embed<N>, D, T> {
        type Split<N> = (usize, Tokens<N>, Heads<N>, HeadDim<N>);
        let batch = x.shape().0 / N::TOKENS;
        let split: Split<N> = (batch, Tokens::<N>::default(), Heads::<N>::default(), HeadDim::<N>::default());
        let device = x.device().clone();
        let project = |x, part: usize| {
            let part = device.tensor(part);
            let weight = self.in_proj_weight.retaped::<T>().select(part.clone());
            linear(x, weight, self.in_proj_bias.retaped::<T>().select(part)).reshape_like(&split)
        };
        let (x_key, x_value) = (x.retaped::<T>(), x.retaped::<T>());
        let query = project(x, 0).permute::<(usize, Heads<N>, Tokens<N>, HeadDim<N>), Axes4<0, 2, 1, 3>>();
        let key = project(x_key, 1).permute::<(usize, Heads<N>, HeadDim<N>, Tokens<N>), Axes4<0, 2, 3, 1>>();
        let value =
            project(x_value, 2).permute::<(usize, Heads<N>, Tokens<N>, HeadDim<N>), Axes4<0, 2, 1, 3>>();

        let scale = 1.0 / (N::HEAD_DIM as f64).sqrt();
        let scores = query.matmul(key) * scale as f32; // (batch, HEADS, TOKENS, TOKENS)
        let attention = dropout.apply(scores.softmax::<Axis<3>>(), Site::Attention(index));
        let context = attention.matmul(value); // (batch, HEADS, TOKENS, HEAD_DIM)
        let context = context.permute::<Split<N>, Axes4<0, 2, 1, 3>>();
        self.out_proj.forward(context.reshape_like(&(batch * N::TOKENS, Embed::<N>::default())))
    }
}

impl<N: Trainable, D: Device<f32>> Model<N, D> {
    /// Makes a network whose parameters are all zero.
    pub(crate) fn zeros(device: &D) -> Self {
        Self {
            cls_token: device.zeros(),
            pos_embed: device.zeros(),
            stem: N::STEM.map(|_| Linear::zeros(device)),
            patch_embed: Linear::zeros(device),
            blocks: (0..N::DEPTH).map(|_| Block::zeros(device)).collect(),
            norm: LayerNorm::zeros(device),
            head: Linear::zeros(device),
        }
    }

    /// Calls `visitor` with every parameter, in the order of PyTorch's `state_dict`.
    pub(crate) fn visit(&mut self, visitor: &mut impl Visitor<D>) {
        visitor.visit(names::CLS_TOKEN, &[1, 1, N::EMBED], &mut self.cls_token);
        visitor.visit(names::POS_EMBED, &[1, N::TOKENS, N::EMBED], &mut self.pos_embed);
        if let (Some(stem), Some(windows)) = (&mut self.stem, N::STEM) {
            let [height, width] = windows.kernel;
            stem.visit(names::STEM, &[StemChannels::<N>::SIZE, N::CHANNELS, height, width], visitor);
        }
        let [height, width] = N::PATCHES.kernel;
        let patch = [N::EMBED, N::PATCHES.channels, height, width];
        self.patch_embed.visit(names::patch_embed(N::DIMS.convolutions()), &patch, visitor);
        self.blocks.iter_mut().enumerate().for_each(|(index, block)| block.visit(index, visitor));
        self.norm.visit(names::NORM, visitor);
        self.head.visit(names::HEAD, &[N::CLASSES, N::EMBED], visitor);
    }

    /// Returns a function that computes the logits, `batch x classes`, of `batch` normalised images, which are
    /// `channels x height x width`. It can be shared between threads, which dfdx's CUDA device does not allow.
    pub(crate) fn logits(&self) -> impl Fn(Vec<f32>, usize) -> Vec<f32> + Sync
    where
        D: Sync,
    {
        |pixels, batch| {
            let pixels = self.cls_token.device().tensor_from_vec(pixels, (batch, N::DIMS.image_values()));
            self.forward(pixels, &Dropout::none()).as_vec()
        }
    }

    /// Computes the mean cross entropy between the logits of `pixels` and the distributions `targets`
    /// (`batch x classes`), the logits, and the gradients of all parameters. It is the reference for the fused
    /// [`Step`](crate::fused::Step), which training uses.
    pub(crate) fn loss_and_gradients(
        &self,
        pixels: Vec<f32>,
        targets: Vec<f32>,
        dropout: &Dropout,
    ) -> Pass<D> {
        let device = self.cls_token.device();
        let batch = targets.len() / N::CLASSES;
        let pixels = device.tensor_from_vec(pixels, (batch, N::DIMS.image_values()));
        let targets = device.tensor_from_vec(targets, (batch, Classes::<N>::default()));
        let logits = self.forward(pixels.leaky_trace(), dropout);
        let values = logits.as_vec();
        let loss = cross_entropy_with_logits_loss(logits, targets);
        Pass { loss: loss.as_vec()[0], logits: values, gradients: loss.backward() }
    }

    /// Computes the tokens of all patches, `batch * patches x embed`, before their positions are added.
    fn embed<T: Tape<f32, D>>(&self, pixels: Images<D, T>) -> Rows<Embed<N>, D, T> {
        let of_image = |[channel, y, x]: [usize; 3]| (channel * N::HEIGHT + y) * N::WIDTH + x;
        let (Some(stem), Some(windows)) = (&self.stem, N::STEM) else {
            return self.patch_embed.convolve(pixels, N::PATCHES, of_image);
        };
        let batch = pixels.shape().0;
        let map = gelu(stem.convolve(pixels, windows, of_image)); // (batch * pixels of the map, channels)
        let Windows { height, width, channels, .. } = N::PATCHES;
        let map = map.reshape_like(&(batch, height * width * channels));
        self.patch_embed.convolve(map, N::PATCHES, |[channel, y, x]| (y * width + x) * channels + channel)
    }

    fn forward<T: Tape<f32, D>>(&self, pixels: Images<D, T>, dropout: &Dropout) -> Rows<Classes<N>, D, T> {
        let batch = pixels.shape().0;
        let (patches, tokens, embed) = (N::TOKENS - 1, Tokens::<N>::default(), Embed::<N>::default());
        let x = self.embed(pixels).reshape_like(&(batch, patches, embed));

        let cls = self.cls_token.retaped::<T>().reshape::<(Embed<N>,)>();
        let cls = cls.broadcast_like(&(batch, 1usize, embed));
        let x = (cls, x).concat_along(Axis::<1>).reshape_like(&(batch, tokens, embed));

        let positions = self.pos_embed.retaped::<T>().reshape::<(Tokens<N>, Embed<N>)>();
        let x = x + positions.broadcast_like(&(batch, tokens, embed));
        let x = dropout.apply(x, Site::Embedding).reshape_like(&(batch * N::TOKENS, embed));

        let x = self.blocks.iter().enumerate().fold(x, |x, (index, block)| block.forward(x, dropout, index));

        // Only the class token is classified.
        let x = x.reshape_like(&(batch, tokens, embed));
        let device = x.device().clone();
        let cls = x.select(device.tensor_from_vec(vec![0; batch], (batch,))); // (batch, EMBED)
        self.head.forward(self.norm.forward(cls))
    }
}
