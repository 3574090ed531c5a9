//! The Vision Transformer as dfdx tensors of compile-time shapes, out of dfdx's built-in operations.
//!
//! Parameters have the names and the layouts of the PyTorch model that this project takes as its reference, so that
//! a checkpoint goes both ways. The network is pre-LayerNorm, with learned positions, a class token, exact (erf)
//! GELU, and dropout after the embedding, on the attention and on both layers of the MLP.

use crate::{
    dropout::{Dropout, Site},
    fused::buffer::Dimensions,
};
use dfdx::prelude::*;
use std::f64::consts::{PI, SQRT_2};
use vit_nostd::float::LAYER_NORM_EPSILON;

/// A shape that can be trained: every [`vit_nostd::Vit`].
pub trait Network: vit_nostd::Shape + Dimensions {
    /// The network of this shape on device `D`.
    type Model<D: Device<f32>>: Model<D>;
}

/// What training and evaluation need of a network, whatever its shape.
pub trait Model<D: Device<f32>> {
    /// All parameters zero.
    fn zeros(device: &D) -> Self;

    /// Shows every parameter to `visitor`, in the order of PyTorch's `state_dict`.
    fn visit(&mut self, visitor: &mut impl Visitor<D>);

    /// What makes the logits, `batch x classes`, of `batch` normalised images (row by row), for threads to share. dfdx's
    /// CUDA device is none that they can.
    fn logits(&self) -> impl Fn(Vec<f32>, usize) -> Vec<f32> + Sync
    where
        D: Sync;

    /// Forward and backward: the mean cross entropy between the logits of `pixels` and the distributions `targets`
    /// (`batch x classes`), the logits, and the gradient of every parameter. Training uses the fused
    /// [`Step`](crate::fused::Step), whose reference this is.
    fn loss_and_gradients(&self, pixels: Vec<f32>, targets: Vec<f32>, dropout: &Dropout) -> Pass<D>;
}

/// The result of [`Model::loss_and_gradients`].
pub struct Pass<D: Device<f32>> {
    /// Mean cross entropy.
    pub loss: f32,
    /// `batch x classes`.
    pub logits: Vec<f32>,
    /// Of every parameter.
    pub gradients: Gradients<f32, D>,
}

/// Something done to every parameter of a network.
pub trait Visitor<D: Device<f32>> {
    /// `dims` is the parameter's shape in PyTorch, which has the same elements in the same order.
    fn visit<S: ConstShape>(&mut self, name: &str, dims: &[usize], parameter: &mut Tensor<S, f32, D>);
}

/// A Vision Transformer; see [`vit_nostd::Vit`] for the dimensions.
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
    D: Device<f32>,
> {
    cls_token: Tensor<Rank3<1, 1, EMBED>, f32, D>,
    pos_embed: Tensor<Rank3<1, TOKENS, EMBED>, f32, D>,
    patch_embed: Linear<PatchWeight<EMBED, PATCH>, EMBED, D>,
    blocks: [Block<TOKENS, EMBED, HEADS, HEAD_DIM, HIDDEN, D>; DEPTH],
    norm: LayerNorm<EMBED, D>,
    head: Linear<Rank2<CLASSES, EMBED>, CLASSES, D>,
}

type PatchWeight<const EMBED: usize, const PATCH: usize> = Rank4<EMBED, 1, PATCH, PATCH>;

/// One encoder block.
struct Block<
    const TOKENS: usize,
    const EMBED: usize,
    const HEADS: usize,
    const HEAD_DIM: usize,
    const HIDDEN: usize,
    D: Device<f32>,
> {
    norm1: LayerNorm<EMBED, D>,
    in_proj_weight: Tensor<Rank3<3, EMBED, EMBED>, f32, D>,
    in_proj_bias: Tensor<Rank2<3, EMBED>, f32, D>,
    out_proj: Linear<Rank2<EMBED, EMBED>, EMBED, D>,
    norm2: LayerNorm<EMBED, D>,
    hidden: Linear<Rank2<HIDDEN, EMBED>, HIDDEN, D>,
    mlp: Linear<Rank2<EMBED, HIDDEN>, EMBED, D>,
}

/// Weights of shape `W` (outputs first) and `OUT` biases.
struct Linear<W: ConstShape, const OUT: usize, D: Device<f32>> {
    weight: Tensor<W, f32, D>,
    bias: Tensor<Rank1<OUT>, f32, D>,
}

struct LayerNorm<const EMBED: usize, D: Device<f32>> {
    weight: Tensor<Rank1<EMBED>, f32, D>,
    bias: Tensor<Rank1<EMBED>, f32, D>,
}

/// Tokens of a batch, one a row.
type Rows<const WIDTH: usize, D, T> = Tensor<(usize, Const<WIDTH>), f32, D, T>;

impl<W: ConstShape, const OUT: usize, D: Device<f32>> Linear<W, OUT, D> {
    fn zeros(device: &D) -> Self {
        Self { weight: device.zeros(), bias: device.zeros() }
    }

    fn visit(&mut self, name: &str, dims: &[usize], visitor: &mut impl Visitor<D>) {
        visitor.visit(&format!("{name}.weight"), dims, &mut self.weight);
        visitor.visit(&format!("{name}.bias"), &[OUT], &mut self.bias);
    }
}

impl<const IN: usize, const OUT: usize, D: Device<f32>> Linear<Rank2<OUT, IN>, OUT, D> {
    fn forward<T: Tape<f32, D>>(&self, x: Rows<IN, D, T>) -> Rows<OUT, D, T> {
        linear(x, self.weight.retaped(), self.bias.retaped())
    }
}

impl<const EMBED: usize, D: Device<f32>> LayerNorm<EMBED, D> {
    fn zeros(device: &D) -> Self {
        Self { weight: device.zeros(), bias: device.zeros() }
    }

    fn visit(&mut self, name: &str, visitor: &mut impl Visitor<D>) {
        visitor.visit(&format!("{name}.weight"), &[EMBED], &mut self.weight);
        visitor.visit(&format!("{name}.bias"), &[EMBED], &mut self.bias);
    }

    fn forward<T: Tape<f32, D>>(&self, x: Rows<EMBED, D, T>) -> Rows<EMBED, D, T> {
        let shape = *x.shape();
        x.normalize::<Axis<1>>(f64::from(LAYER_NORM_EPSILON))
            * self.weight.retaped::<T>().broadcast_like(&shape)
            + self.bias.retaped::<T>().broadcast_like(&shape)
    }
}

/// The exact (erf) GELU. The derivative that dfdx 0.13 has for its `accurate_gelu` is `P(x) + sqrt(2) x p(x)`, with
/// `P` and `p` the normal distribution and its density, and should be `P(x) + x p(x)`. The difference is the
/// derivative of `(sqrt(2) - 1) p(x)`, because `p'(x) = -x p(x)`: added here with its value taken away again.
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

/// `x W^T + b`.
fn linear<I: Dim, const OUT: usize, D: Device<f32>, T: Tape<f32, D>>(
    x: Tensor<(usize, I), f32, D, T>,           // (rows, IN)
    weight: Tensor<(Const<OUT>, I), f32, D, T>, // (OUT, IN)
    bias: Tensor<Rank1<OUT>, f32, D, T>,
) -> Rows<OUT, D, T> {
    let y = x.matmul(weight.permute::<(I, Const<OUT>), _>()); // (rows, OUT)
    let shape = *y.shape();
    y + bias.broadcast_like(&shape)
}

impl<
        const TOKENS: usize,
        const EMBED: usize,
        const HEADS: usize,
        const HEAD_DIM: usize,
        const HIDDEN: usize,
        D: Device<f32>,
    > Block<TOKENS, EMBED, HEADS, HEAD_DIM, HIDDEN, D>
{
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
        let name = |part: &str| format!("blocks.{index}.{part}");
        self.norm1.visit(&name("norm1"), visitor);
        visitor.visit(&name("attn.in_proj_weight"), &[3 * EMBED, EMBED], &mut self.in_proj_weight);
        visitor.visit(&name("attn.in_proj_bias"), &[3 * EMBED], &mut self.in_proj_bias);
        self.out_proj.visit(&name("attn.out_proj"), &[EMBED, EMBED], visitor);
        self.norm2.visit(&name("norm2"), visitor);
        self.hidden.visit(&name("mlp.0"), &[HIDDEN, EMBED], visitor);
        self.mlp.visit(&name("mlp.3"), &[EMBED, HIDDEN], visitor);
    }

    fn forward<T: Tape<f32, D>>(
        &self,
        x: Rows<EMBED, D, T>,
        dropout: &Dropout,
        index: usize,
    ) -> Rows<EMBED, D, T> {
        let skip = x.retaped::<T>();
        let x = self.attention(self.norm1.forward(x), dropout, index) + skip; // (rows, EMBED)

        let skip = x.retaped::<T>();
        let h = gelu(self.hidden.forward(self.norm2.forward(x))); // (rows, HIDDEN)
        let h = self.mlp.forward(dropout.apply(h, Site::Hidden(index))); // (rows, EMBED)
        dropout.apply(h, Site::Mlp(index)) + skip
    }

    fn attention<T: Tape<f32, D>>(
        &self,
        x: Rows<EMBED, D, T>,
        dropout: &Dropout,
        index: usize,
    ) -> Rows<EMBED, D, T> {
        type Split<const TOKENS: usize, const HEADS: usize, const HEAD_DIM: usize> =
            (usize, Const<TOKENS>, Const<HEADS>, Const<HEAD_DIM>);
        let batch = x.shape().0 / TOKENS;
        let device = x.device().clone();
        let project = |x, part: usize| {
            let part = device.tensor(part);
            let weight = self.in_proj_weight.retaped::<T>().select(part.clone());
            linear(x, weight, self.in_proj_bias.retaped::<T>().select(part))
                .reshape_like::<Split<TOKENS, HEADS, HEAD_DIM>>(&(batch, Const, Const, Const))
        };
        let (x_key, x_value) = (x.retaped::<T>(), x.retaped::<T>());
        let query = project(x, 0)
            .permute::<(usize, Const<HEADS>, Const<TOKENS>, Const<HEAD_DIM>), Axes4<0, 2, 1, 3>>();
        let key = project(x_key, 1)
            .permute::<(usize, Const<HEADS>, Const<HEAD_DIM>, Const<TOKENS>), Axes4<0, 2, 3, 1>>();
        let value = project(x_value, 2)
            .permute::<(usize, Const<HEADS>, Const<TOKENS>, Const<HEAD_DIM>), Axes4<0, 2, 1, 3>>();

        let scale = 1.0 / (HEAD_DIM as f64).sqrt();
        let scores = query.matmul(key) * scale as f32; // (batch, HEADS, TOKENS, TOKENS)
        let attention = dropout.apply(scores.softmax::<Axis<3>>(), Site::Attention(index));
        let context = attention.matmul(value); // (batch, HEADS, TOKENS, HEAD_DIM)
        let context = context.permute::<Split<TOKENS, HEADS, HEAD_DIM>, Axes4<0, 2, 1, 3>>();
        self.out_proj.forward(context.reshape_like(&(batch * TOKENS, Const)))
    }
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
        D: Device<f32>,
    > Vit<IMAGE, PATCH, TOKENS, EMBED, HEADS, HEAD_DIM, HIDDEN, DEPTH, CLASSES, D>
{
    fn forward<T: Tape<f32, D>>(
        &self,
        pixels: Tensor<(usize, Const<IMAGE>, Const<IMAGE>), f32, D, T>,
        dropout: &Dropout,
    ) -> Rows<CLASSES, D, T> {
        let batch = pixels.shape().0;
        let grid = IMAGE / PATCH;
        let (patches, area) = (grid * grid, PATCH * PATCH);

        let pixels = pixels
            .reshape_like(&(batch, grid, Const::<PATCH>, grid, Const::<PATCH>))
            .permute::<(usize, usize, usize, Const<PATCH>, Const<PATCH>), Axes5<0, 1, 3, 2, 4>>()
            .reshape_like(&(batch * patches, area));
        let weight = self.patch_embed.weight.retaped::<T>().reshape_like(&(Const::<EMBED>, area));
        let x = linear(pixels, weight, self.patch_embed.bias.retaped()); // (batch * patches, EMBED)
        let x = x.reshape_like(&(batch, patches, Const::<EMBED>));

        let cls = self.cls_token.retaped::<T>().reshape::<Rank1<EMBED>>();
        let cls = cls.broadcast_like(&(batch, 1usize, Const::<EMBED>));
        let x = (cls, x).concat_along(Axis::<1>).reshape_like(&(batch, Const::<TOKENS>, Const::<EMBED>));

        let positions = self.pos_embed.retaped::<T>().reshape::<Rank2<TOKENS, EMBED>>();
        let x = x + positions.broadcast_like(&(batch, Const::<TOKENS>, Const::<EMBED>));
        let x = dropout.apply(x, Site::Embedding).reshape_like(&(batch * TOKENS, Const::<EMBED>));

        let x = self.blocks.iter().enumerate().fold(x, |x, (index, block)| block.forward(x, dropout, index));

        // Only the class token is classified.
        let x = x.reshape_like(&(batch, Const::<TOKENS>, Const::<EMBED>));
        let device = x.device().clone();
        let cls = x.select(device.tensor_from_vec(vec![0; batch], (batch,))); // (batch, EMBED)
        self.head.forward(self.norm.forward(cls))
    }
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
        D: Device<f32>,
    > Model<D> for Vit<IMAGE, PATCH, TOKENS, EMBED, HEADS, HEAD_DIM, HIDDEN, DEPTH, CLASSES, D>
{
    fn zeros(device: &D) -> Self {
        Self {
            cls_token: device.zeros(),
            pos_embed: device.zeros(),
            patch_embed: Linear::zeros(device),
            blocks: std::array::from_fn(|_| Block::zeros(device)),
            norm: LayerNorm::zeros(device),
            head: Linear::zeros(device),
        }
    }

    fn visit(&mut self, visitor: &mut impl Visitor<D>) {
        visitor.visit("cls_token", &[1, 1, EMBED], &mut self.cls_token);
        visitor.visit("pos_embed", &[1, TOKENS, EMBED], &mut self.pos_embed);
        self.patch_embed.visit("patch_embed.proj", &[EMBED, 1, PATCH, PATCH], visitor);
        self.blocks.iter_mut().enumerate().for_each(|(index, block)| block.visit(index, visitor));
        self.norm.visit("norm", visitor);
        self.head.visit("head", &[CLASSES, EMBED], visitor);
    }

    fn logits(&self) -> impl Fn(Vec<f32>, usize) -> Vec<f32> + Sync
    where
        D: Sync,
    {
        |pixels, batch| {
            let pixels = self.cls_token.device().tensor_from_vec(pixels, (batch, Const, Const));
            self.forward(pixels, &Dropout::none()).as_vec()
        }
    }

    fn loss_and_gradients(&self, pixels: Vec<f32>, targets: Vec<f32>, dropout: &Dropout) -> Pass<D> {
        let device = self.cls_token.device();
        let batch = targets.len() / CLASSES;
        let pixels = device.tensor_from_vec(pixels, (batch, Const, Const));
        let targets = device.tensor_from_vec(targets, (batch, Const::<CLASSES>));
        let logits = self.forward(pixels.leaky_trace(), dropout);
        let values = logits.as_vec();
        let loss = cross_entropy_with_logits_loss(logits, targets);
        Pass { loss: loss.as_vec()[0], logits: values, gradients: loss.backward() }
    }
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
    > Network for vit_nostd::Vit<IMAGE, PATCH, TOKENS, EMBED, HEADS, HEAD_DIM, HIDDEN, DEPTH, CLASSES>
{
    type Model<D: Device<f32>> = Vit<IMAGE, PATCH, TOKENS, EMBED, HEADS, HEAD_DIM, HIDDEN, DEPTH, CLASSES, D>;
}
