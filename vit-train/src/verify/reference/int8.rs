//! The integer network on dfdx's `f64` tensors, written from `vit-nostd/NUMERICS.md`. Its logits equal those of the
//! engine.
//!
//! Every number on that page is an integer below 2^53, which an `f64` represents exactly. The same is true of the
//! intermediate sums and products. None of them is rounded, so that the order in which dfdx's matrix product sums does
//! not matter. dfdx has no shift, no integer division, no integer root and no rounding down. The functions
//! `requantize`, `quotient`, `normalized_root` and `floor` replace them, and their comments say why the results are
//! exact.
//!
//! A tensor has one row per token of an image, or per token and head, and one column per channel.

use dfdx::{
    shapes::{Axes2, Axes4, Axis, HasShape},
    tensor::{Cpu, Tensor, TensorFrom, TensorFromVec, ZerosTensor},
    tensor_ops::{
        BroadcastTo, ChooseFrom, GatherTo, MaxTo, PermuteTo, ReshapeTo, SelectTo, SumTo, TryConcatAlong,
        TryLt, TryMatMul,
    },
};
use rayon::prelude::*;
use std::marker::PhantomData;
use vit_nostd::{
    int8::weights::{Block, Weights},
    model_file::{Kind, ModelFile},
    Field, Image, ModelError, Network, Vector,
};

type Values = Tensor<(usize,), f64, Cpu>;
type Matrix = Tensor<(usize, usize), f64, Cpu>;
type PerHead = (usize, usize, usize, usize);

/// The number of images in a batch.
const BATCH: usize = 32;

/// Computes the logits of `images`, in the same order, by the integer model file `model`. It uses all threads.
///
/// The numbers in `model` must be within the bounds that `NUMERICS.md` gives. They are not checked here.
///
/// # Errors
/// The errors are those of [`ModelFile::parse`].
pub fn logits<N: Network>(
    model: &[u8],
    images: &[&Image<N>],
) -> Result<Vec<Vector<N::Classes, i32>>, ModelError> {
    let file = ModelFile::parse::<N>(model, Kind::Int8, Weights::<N>::BYTES)?;
    let weights = Weights::from_bytes(file.weights).ok_or(ModelError::BadField(Field::Weights))?;
    let network = Quantized::<N>::new(&weights);
    Ok(images.par_chunks(BATCH).flat_map_iter(|images| network.logits(images)).collect())
}

/// A quantized network whose weights are tensors.
struct Quantized<N: Network> {
    /// The values that stand for zeros around the image, one for each channel.
    zeros_of_image: Vec<f64>,
    stem: Option<Stem>,
    exp_table: Values,
    positions: Matrix,
    patch: Linear,
    blocks: Vec<Encoder<N>>,
    norm: Norm,
    head_weight: Matrix,
    head_bias: Vector<N::Classes, i32>,
}

impl<N: Network> Quantized<N> {
    fn new(weights: &Weights<'_, N>) -> Self {
        let (convolutions, embedding, head) = (&weights.convolutions, &weights.embedding, &weights.head);
        // There are four values for each convolution, and none for patches without padding.
        let zeros: Vec<f64> = convolutions.zeros.as_ref().iter().map(|&zero| zero.into()).collect();
        let stem = N::STEM.map(|stem| {
            let len = stem.kernel[0] * stem.kernel[1] * N::CHANNELS;
            let rows: Vec<_> =
                convolutions.stem_weight.as_ref().iter().map(|row| &row.as_ref()[..len]).collect();
            Stem {
                layer: Linear::new(
                    &rows,
                    convolutions.stem_bias,
                    convolutions.stem_multiplier,
                    convolutions.stem_shift,
                ),
                gelu_table: vector(&convolutions.stem_gelu_table.as_ref()[0]),
                zero_of_map: zeros[4],
            }
        });
        let channels = stem.as_ref().map_or(N::CHANNELS, |_| convolutions.stem_bias.as_ref().len());
        let len = N::PATCHES.kernel[0] * N::PATCHES.kernel[1] * channels;
        let patch_rows: Vec<_> =
            embedding.patch_weight.as_ref().iter().map(|row| &row.as_ref()[..len]).collect();
        Self {
            zeros_of_image: zeros.into_iter().take(N::CHANNELS).collect(),
            stem,
            exp_table: vector(embedding.exp_table),
            positions: matrix(embedding.positions.as_ref()),
            patch: Linear::new(
                &patch_rows,
                embedding.patch_bias,
                embedding.patch_multiplier,
                embedding.patch_shift,
            ),
            blocks: weights.blocks().map(|block| Encoder::new(&block)).collect(),
            norm: Norm::new(head.norm),
            head_weight: matrix(head.head_weight.as_ref()).permute::<_, Axes2<1, 0>>(),
            head_bias: *head.head_bias,
        }
    }

    /// Computes the logits of a batch of images.
    ///
    /// All tokens pass through all blocks, although only the class tokens are used at the end.
    fn logits(&self, images: &[&Image<N>]) -> Vec<Vector<N::Classes, i32>> {
        let mut x = self.embed(images);
        for block in &self.blocks {
            x = block.attention(x, &self.exp_table);
            x = block.mlp(x);
        }

        let x = x.reshape_like(&(images.len(), N::TOKENS, N::EMBED));
        let first = x.device().tensor_from_vec(vec![0; images.len()], (images.len(),));
        let class_tokens: Matrix = x.select(first);
        let sums = self.norm.apply(&class_tokens).matmul(self.head_weight.clone()).as_vec();
        let logits = sums.chunks_exact(N::CLASSES).map(|sums| {
            let mut logits = self.head_bias;
            logits.as_mut().iter_mut().zip(sums).for_each(|(logit, &sum)| *logit += sum as i32);
            logits
        });
        logits.collect()
    }

    /// Embeds the patches of a batch of images. The result has one row per token, image by image.
    fn embed(&self, images: &[&Image<N>]) -> Matrix {
        let pixels = images.iter().flat_map(|&image| image.as_ref()).flat_map(|row| row.as_ref());
        let levels = pixels.flat_map(|pixel| pixel.as_ref()).map(|&level| f64::from(level) - 128.0);
        let mut pictures = Pictures {
            height: N::HEIGHT,
            width: N::WIDTH,
            channels: N::CHANNELS,
            values: levels.collect(),
            zeros: self.zeros_of_image.clone(),
        };
        if let (Some(stem), Some(windows)) = (&self.stem, N::STEM) {
            let kernel = Kernel { size: windows.kernel, stride: windows.stride, padding: windows.padding };
            let sums = sat8(stem.layer.apply(pictures.windows(kernel)));
            let channels = sums.shape().1;
            pictures = Pictures {
                height: kernel.count(0, pictures.height),
                width: kernel.count(1, pictures.width),
                channels,
                values: look_up(&stem.gelu_table, sums + 128.0).as_vec(),
                zeros: vec![stem.zero_of_map; channels],
            };
        }
        let patches = N::PATCHES;
        let kernel = Kernel { size: patches.kernel, stride: patches.stride, padding: patches.padding };
        let embedded = self.patch.apply(pictures.windows(kernel));
        let embedded = embedded.reshape_like(&(images.len(), N::TOKENS - 1, N::EMBED));
        let nothing = embedded.device().zeros_like(&(images.len(), 1, N::EMBED));
        let tokens = (nothing, embedded).concat_along(Axis::<1>);
        let positions = self.positions.clone().broadcast_like::<_, Axis<0>>(&tokens);
        sat16((tokens + positions).reshape_like(&(images.len() * N::TOKENS, N::EMBED)))
    }
}

/// The first of two convolutions.
struct Stem {
    layer: Linear,
    gelu_table: Values,
    /// The value that stands for zeros around the map.
    zero_of_map: f64,
}

/// The windows of a convolution.
#[derive(Clone, Copy)]
struct Kernel {
    /// The height and the width of a window.
    size: [usize; 2],
    /// The distances from one window to the next below it, and to the next at its right.
    stride: [usize; 2],
    /// The number of rows and columns of zeros around the picture.
    padding: usize,
}

impl Kernel {
    /// Returns the number of windows along an axis of this length: axis 0 is the height and axis 1 the width.
    fn count(self, axis: usize, length: usize) -> usize {
        (length + 2 * self.padding - self.size[axis]) / self.stride[axis] + 1
    }
}

/// Images, or the maps of images.
struct Pictures {
    height: usize,
    width: usize,
    channels: usize,
    /// The activations, image by image, row by row, pixel by pixel and channel by channel.
    values: Vec<f64>,
    /// The activations that stand for zeros around a picture, one for each channel.
    zeros: Vec<f64>,
}

impl Pictures {
    /// Returns the windows of all pictures, one in each row, with their values in the order row, pixel, channel.
    fn windows(&self, kernel: Kernel) -> Matrix {
        let &Self { height, width, channels, ref values, ref zeros } = self;
        let Kernel { size, stride, padding } = kernel;
        let mut windows = Vec::new();
        for picture in values.chunks_exact(height * width * channels) {
            for top in (0..kernel.count(0, height)).map(|row| row * stride[0]) {
                for left in (0..kernel.count(1, width)).map(|column| column * stride[1]) {
                    for (y, x) in
                        (top..top + size[0]).flat_map(|y| (left..left + size[1]).map(move |x| (y, x)))
                    {
                        let inside = (padding..padding + height).contains(&y)
                            && (padding..padding + width).contains(&x);
                        if inside {
                            let pixel = (y - padding) * width + x - padding;
                            windows.extend(&picture[pixel * channels..][..channels]);
                        } else {
                            windows.extend(zeros);
                        }
                    }
                }
            }
        }
        let len = size[0] * size[1] * channels;
        let rows = windows.len() / len;
        Cpu::default().tensor_from_vec(windows, (rows, len))
    }
}

/// An encoder block whose weights are tensors.
struct Encoder<N: Network> {
    norm1: Norm,
    query: Linear,
    key: Linear,
    value: Linear,
    score_scale: Scale,
    context_scale: Scale,
    proj: Linear,
    norm2: Norm,
    hidden: Linear,
    gelu_table: Values,
    mlp: Linear,
    shape: PhantomData<N>,
}

impl<N: Network> Encoder<N> {
    fn new(block: &Block<'_, N>) -> Self {
        macro_rules! linear {
            ($weight:ident, $bias:ident, $multiplier:ident, $shift:ident) => {
                Linear::new(block.$weight.as_ref(), block.$bias, block.$multiplier, block.$shift)
            };
        }
        Self {
            norm1: Norm::new(block.norm1),
            query: linear!(query_weight, query_bias, query_multiplier, query_shift),
            key: linear!(key_weight, key_bias, key_multiplier, key_shift),
            value: linear!(value_weight, value_bias, value_multiplier, value_shift),
            score_scale: Scale::new(block.score_scale),
            context_scale: Scale::new(block.context_scale),
            proj: linear!(proj_weight, proj_bias, proj_multiplier, proj_shift),
            norm2: Norm::new(block.norm2),
            hidden: linear!(hidden_weight, hidden_bias, hidden_multiplier, hidden_shift),
            gelu_table: vector(block.gelu_table),
            mlp: linear!(mlp_weight, mlp_bias, mlp_multiplier, mlp_shift),
            shape: PhantomData,
        }
    }

    fn attention(&self, x: Matrix, exp_table: &Values) -> Matrix {
        let images = x.shape().0 / N::TOKENS;
        let rows = images * N::HEADS * N::TOKENS;
        let of_heads = (images, N::TOKENS, N::HEADS, N::HEAD_DIM);
        let normed = self.norm1.apply(&x);
        let query = sat8(self.query.apply(normed.clone())).reshape_like(&of_heads);
        let query = query.permute::<PerHead, Axes4<0, 2, 1, 3>>(); // (images, HEADS, TOKENS, HEAD_DIM)
        let key = sat8(self.key.apply(normed.clone())).reshape_like(&of_heads);
        let key = key.permute::<PerHead, Axes4<0, 2, 3, 1>>(); // (images, HEADS, HEAD_DIM, TOKENS)
        let value = sat8(self.value.apply(normed)).reshape_like(&of_heads);
        let value = value.permute::<PerHead, Axes4<0, 2, 1, 3>>(); // (images, HEADS, TOKENS, HEAD_DIM)

        let scores: Matrix = query.matmul(key).reshape_like(&(rows, N::TOKENS));
        let max: Values = scores.clone().max::<_, Axis<1>>();
        let max = max.broadcast_like::<_, Axis<1>>(&scores);
        let steps = self.score_scale.apply(max - scores);
        let weights = look_up(exp_table, at_most(255.0, steps)); // (rows, TOKENS)
        let (normal, power_of_e) = of_sixteen_bits(weights.clone().sum::<_, Axis<1>>());
        let multiplier = quotient(self.context_scale.multiplier * power_of_two(15), normal);
        // 2^(s + 7 - e), where 2^s is the power of the scale.
        let power = power_of_e.recip() * (self.context_scale.power * power_of_two(7));

        let weights = weights.reshape_like(&(images, N::HEADS, N::TOKENS, N::TOKENS));
        let sums: Matrix = weights.matmul(value).reshape_like(&(rows, N::HEAD_DIM));
        let of_row = |vector: Values| vector.broadcast_like::<_, Axis<1>>(&sums);
        let (multiplier, power) = (of_row(multiplier), of_row(power));
        let context = sat8(requantize(sums, multiplier, power));
        let context = context.reshape_like(&(images, N::HEADS, N::TOKENS, N::HEAD_DIM));
        let context = context.permute::<PerHead, Axes4<0, 2, 1, 3>>(); // (images, TOKENS, HEADS, HEAD_DIM)
        sat16(x + self.proj.apply(context.reshape_like(&(images * N::TOKENS, N::EMBED))))
    }

    fn mlp(&self, x: Matrix) -> Matrix {
        let hidden = sat8(self.hidden.apply(self.norm2.apply(&x)));
        sat16(x + self.mlp.apply(look_up(&self.gelu_table, hidden + 128.0)))
    }
}

/// A linear layer without the saturation of its results.
struct Linear {
    /// The weights, of shape `inputs x outputs`.
    weight: Matrix,
    bias: Values,
    multiplier: Values,
    /// 2 to the power of the shift.
    power: Values,
}

impl Linear {
    fn new<Row: AsRef<[i8]>>(
        rows: &[Row],
        bias: &impl AsRef<[i32]>,
        multiplier: &impl AsRef<[u16]>,
        shift: &impl AsRef<[u8]>,
    ) -> Self {
        let powers: Vec<f64> = shift.as_ref().iter().map(|&shift| power_of_two(shift.into())).collect();
        Self {
            weight: matrix(rows).permute::<_, Axes2<1, 0>>(),
            bias: vector(bias.as_ref()),
            multiplier: vector(multiplier.as_ref()),
            power: vector(&powers),
        }
    }

    /// Computes `requantize(bias[j] + sum over k of x[k] * weight[j][k], scale[j])` for every row.
    fn apply(&self, x: Matrix) -> Matrix {
        let sums = x.matmul(self.weight.clone());
        let of_column = |vector: &Values| vector.clone().broadcast_like::<_, Axis<0>>(&sums);
        let (bias, multiplier, power) =
            (of_column(&self.bias), of_column(&self.multiplier), of_column(&self.power));
        requantize(sums + bias, multiplier, power)
    }
}

/// The multiplier and the shift of a whole tensor.
struct Scale {
    multiplier: f64,
    /// 2 to the power of the shift.
    power: f64,
}

impl Scale {
    fn new(&[multiplier, shift]: &[u32; 2]) -> Self {
        Self { multiplier: multiplier.into(), power: power_of_two(shift) }
    }

    /// Computes `requantize(x, scale)` for every element.
    fn apply(&self, x: Matrix) -> Matrix {
        let (multiplier, power) = (constant(self.multiplier, &x), constant(self.power, &x));
        requantize(x, multiplier, power)
    }
}

/// The constants of a LayerNorm.
struct Norm {
    epsilon: f64,
    numerator: f64,
    /// 2 to the power of the shift.
    power: f64,
}

impl Norm {
    fn new(&[epsilon_low, epsilon_high, numerator_low, numerator_high, shift]: &[u32; 5]) -> Self {
        let join = |low: u32, high: u32| f64::from(low) + f64::from(high) * power_of_two(32);
        Self {
            epsilon: join(epsilon_low, epsilon_high),
            numerator: join(numerator_low, numerator_high),
            power: power_of_two(shift),
        }
    }

    fn apply(&self, x: &Matrix) -> Matrix {
        let width = x.shape().1 as f64;
        let sum: Values = x.clone().sum::<_, Axis<1>>();
        let square: Values = x.clone().square().sum::<_, Axis<1>>();
        let variance = square * width - sum.clone().square() + self.epsilon;
        let (root, power_of_e) = normalized_root(variance);

        let multiplier = at_most(32767.0, quotient(self.numerator, root));
        let multiplier = multiplier.broadcast_like::<_, Axis<1>>(x);
        let power = (power_of_e.recip() * self.power).broadcast_like::<_, Axis<1>>(x);
        let distance = x.clone() * width - sum.broadcast_like::<_, Axis<1>>(x);
        let factor = if width <= 128.0 { 256.0 } else { 128.0 };
        sat8(requantize(distance * factor, multiplier, power))
    }
}

/// Returns `isqrt(v * 4^e)` with the largest `e` for which `v * 4^e < 2^52`, and `2^e`.
///
/// The binary digits of `e` are found from the highest to the lowest. A product with a power of two is exact.
///
/// The root of an `f64` is correctly rounded. Rounded down, it equals `isqrt` for numbers below 2^52: if a root is
/// not an integer, its distance from the next integer `i <= 2^26` is at least `i - sqrt(i^2 - 1)`. This is more than
/// `1 / (2i) >= 2^-27`, whereas numbers below 2^26 are rounded by at most 2^-28.
fn normalized_root(v: Values) -> (Values, Values) {
    let one = v.clone() * 0.0 + 1.0;
    let (v, power) = [16, 8, 4, 2, 1].into_iter().fold((v, one), |(v, power), digit| {
        let square = power_of_two(2 * digit);
        let fits = v.lt(power_of_two(52) / square);
        (fits.clone().choose(v.clone() * square, v), fits.choose(power.clone() * power_of_two(digit), power))
    });
    (floor(v.sqrt()), power)
}

/// Returns `floor(sum * 2^e)` with the `e` for which it has 16 bits, and `2^e`. The sums are at least 2^8 and below
/// 2^24.
fn of_sixteen_bits(sum: Values) -> (Values, Values) {
    let one = sum.clone() * 0.0 + 1.0;
    // The sum is first brought below 2^16, and is at least 2^8 then. The binary digits of the rest of `e` follow.
    let start = sum.lt(power_of_two(16)).choose(one.clone(), one / power_of_two(8));
    let (scaled, power) =
        [4, 2, 1].into_iter().fold((sum * start.clone(), start), |(scaled, power), digit| {
            let factor = power_of_two(digit);
            let fits = scaled.lt(power_of_two(16) / factor);
            (fits.clone().choose(scaled.clone() * factor, scaled), fits.choose(power.clone() * factor, power))
        });
    (floor(scaled), power)
}

/// Computes `(a * m + 2^(s-1)) >> s`, where `m` is the multiplier and `power` is `2^s`.
///
/// Because `|a * m| < 2^46` and `s <= 46`, adding 2^46 makes the sum positive and the result larger by the integer
/// 2^46 / 2^s, which is subtracted again. The division by a power of two is exact.
fn requantize(a: Matrix, multiplier: Matrix, power: Matrix) -> Matrix {
    let one = power_of_two(46);
    let half = power.clone() * 0.5;
    let inverse = power.recip();
    floor((a * multiplier + (half + one)) * inverse.clone()) - inverse * one
}

/// Computes `floor(numerator / denominator)` for all `denominators`.
///
/// The quotient of `f64`s is correctly rounded. If the exact quotient is below an integer, its distance from it is at
/// least `1 / denominator`. Here numerators are at most 2^40 and denominators below 2^26 (or 2^30 and 2^16), so that
/// the rounding error is far smaller.
fn quotient(numerator: f64, denominators: Values) -> Values {
    let numerator = denominators.device().tensor(numerator).broadcast_like::<_, Axis<0>>(&denominators);
    floor(numerator / denominators)
}

/// Rounds numbers down, which must not be negative. The conversion to integers cuts off the fraction.
fn floor<D: dfdx::shapes::Shape>(x: Tensor<D, f64, Cpu>) -> Tensor<D, f64, Cpu> {
    x.to_dtype::<i64>().to_dtype::<f64>()
}

/// Returns `min(bound, x)` for numbers that are not negative.
fn at_most<D: dfdx::shapes::Shape>(bound: f64, x: Tensor<D, f64, Cpu>) -> Tensor<D, f64, Cpu> {
    x.clamp(0.0, bound)
}

fn sat8(x: Matrix) -> Matrix {
    x.clamp(-128.0, 127.0)
}

fn sat16(x: Matrix) -> Matrix {
    x.clamp(-32768.0, 32767.0)
}

/// Returns the entries of `table` at `indices`.
fn look_up(table: &Values, indices: Matrix) -> Matrix {
    let shape = *indices.shape();
    let indices = indices.reshape_like(&(shape.0 * shape.1,)).to_dtype::<usize>();
    let entries: Values = table.clone().gather(indices);
    entries.reshape_like(&shape)
}

/// Returns a tensor of the shape of `like` whose elements are all `value`.
fn constant(value: f64, like: &Matrix) -> Matrix {
    like.device().tensor(value).broadcast_like::<_, Axes2<0, 1>>(like)
}

fn power_of_two(exponent: u32) -> f64 {
    (1u64 << exponent) as f64
}

fn vector<T: Copy + Into<f64>>(values: &[T]) -> Values {
    let values: Vec<f64> = values.iter().map(|&value| value.into()).collect();
    let len = values.len();
    Cpu::default().tensor_from_vec(values, (len,))
}

fn matrix<T: Copy + Into<f64>, Row: AsRef<[T]>>(rows: &[Row]) -> Matrix {
    let values: Vec<f64> = rows.iter().flat_map(|row| row.as_ref()).map(|&value| value.into()).collect();
    let shape = (rows.len(), values.len() / rows.len());
    Cpu::default().tensor_from_vec(values, shape)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// The items of `vit_nostd` that the reference may use: its file format and the names of types.
    const ALLOWED: [&str; 9] = [
        "Field",
        "Image",
        "ModelError",
        "Network",
        "Vector",
        "int8::weights::Block",
        "int8::weights::Weights",
        "model_file::Kind",
        "model_file::ModelFile",
    ];

    /// Collects the paths of a `use` tree, such as `a::{b, c::{d, e}}`.
    fn paths(tree: &str, prefix: &str, into: &mut BTreeSet<String>) {
        let (mut depth, mut start) = (0, 0);
        let mut items = Vec::new();
        for (index, byte) in tree.bytes().enumerate() {
            match byte {
                b'{' => depth += 1,
                b'}' => depth -= 1,
                b',' if depth == 0 => {
                    items.push(&tree[start..index]);
                    start = index + 1;
                }
                _ => {}
            }
        }
        items.push(&tree[start..]);
        for item in items.into_iter().map(str::trim).filter(|item| !item.is_empty()) {
            match item.split_once("::{") {
                Some((head, tail)) => {
                    paths(tail.strip_suffix('}').unwrap(), &format!("{prefix}{head}::"), into)
                }
                None => {
                    into.insert(format!("{prefix}{item}"));
                }
            }
        }
    }

    #[test]
    fn shares_no_arithmetic_with_the_engine() {
        let (source, _) = include_str!("int8.rs").split_once("\n#[cfg(test)]").unwrap();
        let code: String = source.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        let (before, rest) = code.split_once("use vit_nostd::{").unwrap();
        let (tree, after) = rest.split_once("};").unwrap();
        let mut used = BTreeSet::new();
        paths(tree, "", &mut used);
        assert_eq!(used.iter().map(String::as_str).collect::<Vec<_>>(), ALLOWED);
        for code in [before, after] {
            // No other item is used by its full name, and none of this crate, which could give access to the
            // arithmetic.
            for word in ["vit_nostd", "crate::", "super::", "Model::", "infer", "Scratch", "is_valid"] {
                assert!(!code.contains(word), "{word}");
            }
            // These are the number of windows and what follows from it, which the engine computes from the dimensions.
            for word in
                [".rows()", ".columns()", ".values()", "PATCHES.height", "PATCHES.width", "map_pixels"]
            {
                assert!(!code.contains(word), "{word}");
            }
        }
    }

    #[test]
    fn requantizes_like_its_formula() {
        let factors =
            [-(1 << 31), -(1 << 31) + 1, -12345, -5, -4, -3, -1, 0, 1, 3, 4, 5, 12345, (1 << 31) - 1];
        let multipliers = [0, 1, 16384, 32767];
        let pairs = factors.into_iter().flat_map(|a: i64| multipliers.map(|m: i64| (a, m)));
        let cases: Vec<_> = pairs.flat_map(|(a, m)| (17..=46).map(move |s: u32| (a, m, s))).collect();
        let column = |value: fn(&(i64, i64, u32)) -> f64| {
            let values: Vec<f64> = cases.iter().map(value).collect();
            matrix(&values.chunks(1).collect::<Vec<_>>())
        };
        let results =
            requantize(column(|c| c.0 as f64), column(|c| c.1 as f64), column(|c| power_of_two(c.2)));
        for ((a, m, s), result) in cases.iter().zip(results.as_vec()) {
            assert_eq!(result, ((a * m + (1 << (s - 1))) >> s) as f64, "{a} {m} {s}");
        }
    }

    #[test]
    fn roots_and_quotients_are_rounded_down() {
        // The values are squares of the smallest, the largest and other roots, the numbers next to them, and others.
        let roots = [1 << 25, (1 << 25) + 1, 40_000_000, 47_453_132, (1 << 26) - 1];
        let of_root =
            |root: u64| [root * root - 1, root * root, root * root + 1, (root + 1) * (root + 1) - 1];
        let mut values: Vec<u64> = roots.into_iter().flat_map(of_root).collect();
        values.extend([1024, 1025, 4095, 4096, 1 << 20, (1 << 50) - 1, (1 << 50) + 1, (1 << 52) - 1]);
        let v: Vec<f64> = values.iter().map(|&v| v as f64).collect();
        let (results, powers) = normalized_root(vector(&v));
        let quotients = quotient(power_of_two(40), results.clone());
        let found = results.as_vec().into_iter().zip(powers.as_vec()).zip(quotients.as_vec());
        for (&v, ((root, power), quotient)) in values.iter().zip(found) {
            let e = (0..).take_while(|e| v << (2 * e) < 1 << 52).last().unwrap();
            let exact = (v << (2 * e)).isqrt();
            assert_eq!((root, power), (exact as f64, power_of_two(e)), "{v}");
            assert_eq!(quotient, ((1u64 << 40) / exact) as f64, "{v}");
        }
    }
}
