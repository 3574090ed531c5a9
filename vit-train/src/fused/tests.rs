//! Tests that compare the fused pass with dfdx's automatic differentiation of the built-in operations, and both with
//! finite differences of a network in f64.

use super::Step;
use crate::{
    data::{synthetic, Dataset, MNIST_NORMALIZATION},
    network::{
        dropout::{Dropout, Site},
        model::{Model, Pass, Visitor},
        parameters::{self, Layout, Parameters},
        Trainable,
    },
    recipe::Recipe,
    train::state::{Batch, State},
};
use dfdx::prelude::{ConstShape, Cpu, Device, Gradients, Tensor};
use vit_nostd::{Base, Convolution, Nano, Network, Tiny};

vit_nostd::network! {
    /// A network none of whose dimensions is a multiple of a vector's length.
    pub Odd { image: [9, 6, 3], patch: [3, 2], embed: 15, heads: 3, hidden: 19, depth: 3, classes: 7 }
}
vit_nostd::network! {
    /// A network with one block, which is both the first and the last.
    pub Shallow { image: 8, patch: 4, embed: 12, heads: 1, hidden: 9, depth: 1, classes: 2 }
}

vit_nostd::network! {
    /// A network with one convolution, whose windows overlap and reach out of the image.
    pub Overlapping {
        image: [7, 10, 3], tokenizer: [{ kernel: 4, stride: 3, padding: 2 }],
        embed: 10, heads: 2, hidden: 11, depth: 2, classes: 3,
    }
    /// A network with two convolutions. The last row of the map is in no patch.
    pub Stem {
        image: [9, 8, 3],
        tokenizer: [{ kernel: 3, stride: 1, padding: 1, channels: 5 }, { kernel: 3, stride: 3, padding: 1 }],
        embed: 10, heads: 2, hidden: 11, depth: 2, classes: 3,
    }
}

/// Returns `len` pseudorandom numbers from -1 to 1.
pub(super) fn numbers(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    std::iter::repeat_with(next).take(len).collect()
}

/// The parameters of a network, none of which is zero or one, with images and targets.
pub(super) struct Case {
    pub parameters: Vec<f32>,
    pub pixels: Vec<f32>,
    pub targets: Vec<f32>,
}

impl Case {
    pub(super) fn new<N: Trainable>(batch: usize) -> Self {
        let mut parameters = Parameters::init::<N>(1).values;
        let noise = numbers(parameters.len(), 2);
        parameters.iter_mut().zip(noise).for_each(|(parameter, noise)| *parameter += 0.1 * noise);
        let mut targets = numbers(batch * N::CLASSES, 3);
        for target in targets.chunks_exact_mut(N::CLASSES) {
            let sum: f32 = target.iter().map(|x| x.abs()).sum();
            target.iter_mut().for_each(|x| *x = x.abs() / sum);
        }
        Self { parameters, pixels: numbers(batch * N::DIMS.image_values(), 4), targets }
    }

    fn model<N: Trainable, D: Device<f32>>(&self, device: &D) -> Model<N, D> {
        let mut model = Model::<N, _>::zeros(device);
        parameters::load(&mut model, &self.parameters);
        model
    }

    /// Returns the loss, the logits and the gradients of all parameters by the built-in operations.
    pub(super) fn built_in<N: Trainable>(&self, dropout: &Dropout) -> (f32, Vec<f32>, Vec<f32>) {
        self.built_in_on::<N, _>(&Cpu::default(), dropout)
    }

    /// Does the same as [`built_in`](Self::built_in) on any of dfdx's devices.
    pub(super) fn built_in_on<N: Trainable, D: Device<f32>>(
        &self,
        device: &D,
        dropout: &Dropout,
    ) -> (f32, Vec<f32>, Vec<f32>) {
        let mut model = self.model::<N, _>(device);
        let pass = model.loss_and_gradients(self.pixels.clone(), self.targets.clone(), dropout);
        let mut copy = CopyGradients { from: &pass.gradients, to: Vec::new() };
        model.visit(&mut copy);
        (pass.loss, pass.logits, copy.to)
    }

    /// Returns the loss, the logits and the gradients of all parameters by the fused operations.
    fn fused<N: Trainable>(&self, step: &mut Step<N>, dropout: &Dropout) -> (f32, Vec<f32>, Vec<f32>) {
        let mut model = self.model::<N, _>(&Cpu::default());
        let mut pass = step.loss_and_gradients(&mut model, &self.pixels, &self.targets, dropout);
        let mut gradients = vec![0.0; self.parameters.len()];
        parameters::collect_gradients(&mut model, &mut pass.gradients, &mut gradients);
        (pass.loss, pass.logits, gradients)
    }
}

pub(super) fn worst(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Compares the fused operations with the built-in ones on a batch of this size.
fn compare<N: Trainable>(batch: usize, rate: f32) {
    let case = Case::new::<N>(batch);
    let dropout = Dropout::new(rate, 5, 6);
    compare_passes::<N>(&case.built_in::<N>(&dropout), &case.fused::<N>(&mut Step::default(), &dropout));
}

/// A visitor that copies the gradients of all parameters, from any of dfdx's devices.
struct CopyGradients<'a, D: Device<f32>> {
    from: &'a Gradients<f32, D>,
    to: Vec<f32>,
}

impl<D: Device<f32>> Visitor<D> for CopyGradients<'_, D> {
    fn visit<S: ConstShape>(&mut self, _: &str, _: &[usize], parameter: &mut Tensor<S, f32, D>) {
        self.to.extend(self.from.get(parameter).as_vec());
    }
}

/// Compares loss, logits and gradients. The largest difference of a tensor's gradients may be 1e-4 of its largest
/// gradient, or 1e-6.
pub(super) fn compare_passes<N: Trainable>(
    (loss, logits, gradients): &(f32, Vec<f32>, Vec<f32>),
    (fused_loss, fused_logits, fused_gradients): &(f32, Vec<f32>, Vec<f32>),
) {
    assert!((loss - fused_loss).abs() <= 1e-5, "loss {loss} {fused_loss}");
    assert!(worst(logits, fused_logits) <= 1e-4, "logits {}", worst(logits, fused_logits));
    for entry in &Layout::of::<N>().0 {
        let (expected, found) = (&gradients[entry.range.clone()], &fused_gradients[entry.range.clone()]);
        let (error, largest) = (worst(expected, found), worst(expected, &vec![0.0; expected.len()]));
        assert!(error <= (1e-4 * largest).max(1e-6), "{}: {error:e}, largest {largest:e}", entry.name);
        assert!(found.iter().all(|x| x.is_finite()), "{}", entry.name);
    }
}

#[test]
fn gradients_are_those_of_the_built_in_operations() {
    for rate in [0.0, 0.1, 0.5] {
        for batch in [1, 3, 128] {
            compare::<Odd>(batch, rate);
            compare::<Shallow>(batch, rate);
            compare::<Overlapping>(batch, rate);
            compare::<Stem>(batch, rate);
        }
    }
    for (batch, rate) in [(1, 0.1), (3, 0.0), (20, 0.1)] {
        compare::<Nano>(batch, rate);
        compare::<Tiny>(batch, rate);
    }
    compare::<Base>(9, 0.1);
}

/// Two training runs of the same network on the same batches with the same masks: one by the fused operations, one by
/// the built-in ones.
struct Twins<'a, N: Trainable> {
    recipe: Recipe,
    data: &'a Dataset,
    step: usize,
    fused: State<N>,
    built_in: State<N>,
    operation: Step<N>,
    prepared: Batch,
}

impl<'a, N: Trainable> Twins<'a, N> {
    fn new(recipe: Recipe, data: &'a Dataset) -> Self {
        let state = || State::<N>::new(Parameters::init::<N>(recipe.seed), recipe.weight_decay);
        let (fused, built_in) = (state(), state());
        let (operation, prepared) = (Step::default(), Batch::default());
        Self { recipe, data, step: 0, fused, built_in, operation, prepared }
    }

    /// Does one step of both runs. Returns (loss, norm of the gradients before clipping) of the fused run, then of the
    /// other.
    fn step(&mut self) -> [(f32, f32); 2] {
        let Self { recipe, data, prepared, .. } = self;
        let first = self.step * recipe.batch_size;
        self.step += 1;
        let batch: Vec<usize> = (first..first + recipe.batch_size).map(|index| index % data.len()).collect();
        prepared.fill::<N>(recipe, data, &[MNIST_NORMALIZATION], &batch, 1 + first / data.len());
        let dropout = Dropout::new(recipe.dropout, recipe.seed, self.step as u64);
        let Batch { pixels, targets } = prepared;
        let mut fused = self.operation.loss_and_gradients(&mut self.fused.model, pixels, targets, &dropout);
        let mut built_in = self.built_in.model.loss_and_gradients(pixels.clone(), targets.clone(), &dropout);
        let update = |state: &mut State<N>, pass: &mut Pass<_>| {
            (pass.loss, state.update(pass, recipe.grad_clip, recipe.lr))
        };
        [update(&mut self.fused, &mut fused), update(&mut self.built_in, &mut built_in)]
    }
}

/// Takes steps with dropout, active clipping, and AdamW. AdamW makes steps of equal length of all gradients, even of
/// those that are nothing but rounding errors. The test therefore compares the movement of each tensor as a whole, and
/// leaves out the bias of the keys, whose gradient is zero in theory.
#[test]
fn parameters_move_as_with_the_built_in_operations() {
    let data = synthetic::dataset(100, 3);
    let recipe = Recipe { batch_size: 20, grad_clip: 0.5, ..Recipe::default() };
    let mut twins = Twins::<Nano>::new(recipe, &data);
    let begin = twins.fused.parameters.clone();
    for _ in 0..8 {
        let [(_, fused), (_, built_in)] = twins.step();
        assert!((fused - built_in).abs() <= 1e-4 * built_in, "{fused} {built_in}");
        assert!(built_in > 2.0 * twins.recipe.grad_clip, "the gradients are not clipped: {built_in}");
    }
    let keys = Nano::EMBED..2 * Nano::EMBED;
    for entry in &begin.layout.0 {
        let distance = |to: &[f32], from: &[f32]| -> f64 {
            let pairs = to[entry.range.clone()].iter().zip(&from[entry.range.clone()]).enumerate();
            let pairs = pairs.filter(|(i, _)| !entry.name.ends_with("in_proj_bias") || !keys.contains(i));
            pairs.map(|(_, (a, b))| f64::from(a - b).powi(2)).sum::<f64>().sqrt()
        };
        let [fused, built_in] = [&twins.fused, &twins.built_in].map(|state| &state.parameters.values);
        let (apart, moved) = (distance(fused, built_in), distance(built_in, &begin.values));
        assert!(apart <= 1e-3 * moved, "{}: {apart:e} apart, moved {moved:e}", entry.name);
    }
}

/// Compares the losses of both runs over 200 steps of `recipe`. Returns (largest difference in the first 50 steps,
/// difference of the means of the last 50).
fn loss_curves<N: Trainable>(recipe: Recipe) -> (f64, f64) {
    let data = synthetic::dataset(20 * recipe.batch_size, 3);
    let mut twins = Twins::<N>::new(recipe, &data);
    let losses: Vec<[f64; 2]> = (0..200)
        .map(|step| {
            let losses = twins.step().map(|(loss, _)| f64::from(loss));
            println!("step {:3}: {:.6} fused, {:.6} built-in", step + 1, losses[0], losses[1]);
            losses
        })
        .collect();
    let difference = |losses: &[f64; 2]| losses[0] - losses[1];
    let first = losses[..50].iter().map(|pair| difference(pair).abs()).fold(0.0, f64::max);
    let last = losses[150..].iter().map(difference).sum::<f64>() / 50.0;
    println!("{first:.1e} in the first 50 steps, {last:.1e} in the mean of the last 50");
    (first, last.abs())
}

#[test]
fn loss_falls_as_with_the_built_in_operations() {
    let (first, last) = loss_curves::<Nano>(Recipe { batch_size: 32, ..Recipe::default() });
    assert!(first <= 1e-3 && last <= 1e-2, "{first} {last}");
}

/// The batches are small, so that the test takes one minute instead of fifteen. The learning rate is small, because at
/// the usual one, with so few images, the training of sixteen blocks is chaotic: after 150 steps, differences in
/// rounding have grown to a different run.
#[test]
fn loss_of_base_falls_as_with_the_built_in_operations() {
    let (first, last) = loss_curves::<Base>(Recipe { batch_size: 8, lr: 2e-4, ..Recipe::default() });
    assert!(first <= 1e-3 && last <= 1e-2, "{first} {last}");
}

#[test]
fn memory_of_other_batches_does_not_show() {
    let mut step = Step::<Nano>::default();
    for batch in [67, 1, 13, 128, 3] {
        let case = Case::new::<Nano>(batch);
        let dropout = Dropout::new(0.1, 7, batch as u64);
        assert_eq!(case.fused(&mut step, &dropout), case.fused::<Nano>(&mut Step::default(), &dropout));
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    let case = Case::new::<Nano>(100);
    let dropout = Dropout::new(0.1, 7, 8);
    let [one, two, three] = [1, 2, 3].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| case.fused::<Nano>(&mut Step::default(), &dropout))
    });
    assert_eq!(one, two);
    assert_eq!(one, three);
}

/// An image or a map, channel by channel and row by row.
struct Planes {
    values: Vec<f64>,
    size: [usize; 2],
    channels: usize,
}

impl Planes {
    /// Returns the number of windows below and next to each other, and the values of each window in the same order.
    fn windows(&self, kernel: [usize; 2], stride: [usize; 2], padding: usize) -> ([usize; 2], Vec<Vec<f64>>) {
        let [height, width] = self.size;
        let [down, across] = [0, 1].map(|axis| {
            let starts = (0..).map(|index| index * stride[axis]);
            let fits = |start: &usize| start + kernel[axis] <= self.size[axis] + 2 * padding;
            starts.take_while(fits).collect::<Vec<usize>>()
        });
        let value = |channel: usize, y: usize, x: usize| {
            let inside = (padding..height + padding).contains(&y) && (padding..width + padding).contains(&x);
            if !inside {
                return 0.0;
            }
            self.values[(channel * height + y - padding) * width + x - padding]
        };
        let mut windows = Vec::new();
        for &top in &down {
            for &left in &across {
                let mut window = Vec::new();
                for channel in 0..self.channels {
                    for y in top..top + kernel[0] {
                        window.extend((left..left + kernel[1]).map(|x| value(channel, y, x)));
                    }
                }
                windows.push(window);
            }
        }
        ([down.len(), across.len()], windows)
    }
}

/// The textbook's computation of the loss of `case`, in f64.
struct Textbook<'a> {
    layout: Layout,
    parameters: Vec<f64>,
    case: &'a Case,
    dropout: Dropout,
}

impl Textbook<'_> {
    fn get(&self, name: &str) -> &[f64] {
        let entry = self.layout.0.iter().find(|entry| entry.name == name).unwrap();
        &self.parameters[entry.range.clone()]
    }

    fn linear(&self, x: &[f64], weight: &str, bias: &str) -> Vec<f64> {
        let rows = self.get(weight).chunks_exact(x.len()).zip(self.get(bias));
        rows.map(|(row, bias)| bias + row.iter().zip(x).map(|(w, x)| w * x).sum::<f64>()).collect()
    }

    fn normalize(&self, x: &[f64], name: &str) -> Vec<f64> {
        let len = x.len() as f64;
        let mean = x.iter().sum::<f64>() / len;
        let variance = x.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / len;
        let parameters = self.get(&format!("{name}.weight")).iter().zip(self.get(&format!("{name}.bias")));
        x.iter().zip(parameters).map(|(x, (g, c))| (x - mean) / (variance + 1e-6).sqrt() * g + c).collect()
    }

    /// Applies dropout to `x`, the elements at `site` from number `first` on.
    fn drop(&self, site: Site, first: usize, x: Vec<f64>) -> Vec<f64> {
        let mut mask = vec![0.0; x.len()];
        self.dropout.fill_from(site, first, &mut mask);
        x.iter().zip(mask).map(|(x, mask)| x * f64::from(mask)).collect()
    }

    /// Returns the cross entropy of image `image`.
    fn loss<N: Trainable>(&self, image: usize) -> f64 {
        let dims = N::DIMS;
        let pixels = &self.case.pixels[image * dims.image_values()..][..dims.image_values()];
        let mut input = Planes {
            values: pixels.iter().copied().map(f64::from).collect(),
            size: [N::HEIGHT, N::WIDTH],
            channels: N::CHANNELS,
        };
        if let Some(Convolution { kernel, stride, padding, channels }) = dims.stem {
            let [kernel, stride] = [[kernel; 2], [stride; 2]].map(|lengths| lengths.map(usize::from));
            let (size, windows) = input.windows(kernel, stride, padding.into());
            let map = windows.iter().map(|window| {
                let x = self.linear(window, "tokenizer.conv1.weight", "tokenizer.conv1.bias");
                x.iter().map(|x| x * 0.5 * libm::erfc(-x / 2f64.sqrt())).collect::<Vec<f64>>()
            });
            let map: Vec<_> = map.collect();
            let values = (0..channels.into()).flat_map(|c| map.iter().map(move |pixel| pixel[c])).collect();
            input = Planes { values, size, channels: channels.into() };
        }
        let kernel = [dims.patch_height.into(), dims.patch_width.into()];
        let (_, patches) =
            input.windows(kernel, dims.patch_stride.map(usize::from), dims.patch_padding.into());
        let name = ["patch_embed.proj", "tokenizer.conv1", "tokenizer.conv2"][dims.convolutions()];
        let token = |index: usize| {
            let mut x = self.get("cls_token").to_vec();
            if let Some(patch) = index.checked_sub(1) {
                x = self.linear(&patches[patch], &format!("{name}.weight"), &format!("{name}.bias"));
            }
            let position = &self.get("pos_embed")[index * N::EMBED..];
            let x = x.iter().zip(position).map(|(x, position)| x + position).collect();
            self.drop(Site::Embedding, (image * N::TOKENS + index) * N::EMBED, x)
        };
        let mut stream: Vec<Vec<f64>> = (0..N::TOKENS).map(token).collect();
        for block in 0..N::DEPTH {
            self.block::<N>(image, block, &mut stream);
        }
        let logits = self.linear(&self.normalize(&stream[0], "norm"), "head.weight", "head.bias");
        let total = logits.iter().map(|x| x.exp()).sum::<f64>().ln();
        let targets = &self.case.targets[image * N::CLASSES..];
        logits.iter().zip(targets).map(|(x, &target)| f64::from(target) * (total - x)).sum()
    }

    fn block<N: Trainable>(&self, image: usize, block: usize, stream: &mut [Vec<f64>]) {
        let name = |part: &str| format!("blocks.{block}.{part}");
        let linear = |x: &[f64], part: &str, separator: char| {
            let name = name(part);
            self.linear(x, &format!("{name}{separator}weight"), &format!("{name}{separator}bias"))
        };
        let qkv: Vec<Vec<f64>> =
            stream.iter().map(|x| linear(&self.normalize(x, &name("norm1")), "attn.in_proj", '_')).collect();
        let contexts: Vec<Vec<f64>> = (0..N::TOKENS)
            .map(|query| {
                let context = (0..N::HEADS).flat_map(|head| {
                    let part = |row: &[f64], part: usize| {
                        row[part * N::EMBED + head * N::HEAD_DIM..][..N::HEAD_DIM].to_vec()
                    };
                    let q = part(&qkv[query], 0);
                    let score = |row: &Vec<f64>| {
                        let dot: f64 = part(row, 1).iter().zip(&q).map(|(k, q)| k * q).sum();
                        (dot / (N::HEAD_DIM as f64).sqrt()).exp()
                    };
                    let e: Vec<f64> = qkv.iter().map(score).collect();
                    let total: f64 = e.iter().sum();
                    let first = ((image * N::HEADS + head) * N::TOKENS + query) * N::TOKENS;
                    let weights = e.iter().map(|e| e / total).collect();
                    let weights = self.drop(Site::Attention(block), first, weights);
                    let values: Vec<Vec<f64>> = qkv.iter().map(|row| part(row, 2)).collect();
                    (0..N::HEAD_DIM)
                        .map(|d| weights.iter().zip(&values).map(|(p, v)| p * v[d]).sum())
                        .collect::<Vec<f64>>()
                });
                context.collect()
            })
            .collect();
        for (token, (x, context)) in stream.iter_mut().zip(&contexts).enumerate() {
            let row = image * N::TOKENS + token;
            let out = linear(context, "attn.out_proj", '.');
            x.iter_mut().zip(out).for_each(|(x, y)| *x += y);
            let h = linear(&self.normalize(x, &name("norm2")), "mlp.0", '.');
            let h = h.iter().map(|x| x * 0.5 * libm::erfc(-x / 2f64.sqrt())).collect();
            let h = self.drop(Site::Hidden(block), row * N::HIDDEN, h);
            let y = self.drop(Site::Mlp(block), row * N::EMBED, linear(&h, "mlp.3", '.'));
            x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
        }
    }
}

/// Compares both ways of computing gradients with finite differences of the loss in f64, for every parameter.
#[test]
fn gradients_are_those_of_the_textbook() {
    compare_with_the_textbook::<Odd>();
    compare_with_the_textbook::<Overlapping>();
    compare_with_the_textbook::<Stem>();
}

fn compare_with_the_textbook<N: Trainable>() {
    const BATCH: usize = 2;
    let case = Case::new::<N>(BATCH);
    let dropout = Dropout::new(0.1, 5, 6);
    let (loss, _, built_in) = case.built_in::<N>(&dropout);
    let (_, _, fused) = case.fused::<N>(&mut Step::default(), &dropout);

    let layout = Layout::of::<N>();
    let parameters: Vec<f64> = case.parameters.iter().copied().map(f64::from).collect();
    let mut textbook = Textbook { layout: layout.clone(), parameters, case: &case, dropout };
    let mean = |textbook: &Textbook<'_>| {
        (0..BATCH).map(|image| textbook.loss::<N>(image)).sum::<f64>() / BATCH as f64
    };
    assert!((mean(&textbook) - f64::from(loss)).abs() < 1e-5);
    for entry in &layout.0 {
        let differences: Vec<f32> = (entry.range.clone())
            .map(|index| {
                let step = 1e-4;
                let value = textbook.parameters[index];
                let [above, below] = [value + step, value - step].map(|moved| {
                    textbook.parameters[index] = moved;
                    mean(&textbook)
                });
                textbook.parameters[index] = value;
                ((above - below) / (2.0 * step)) as f32
            })
            .collect();
        let bound = (1e-4 * worst(&differences, &vec![0.0; differences.len()])).max(1e-6);
        for (who, found) in [("built-in", &built_in), ("fused", &fused)] {
            let error = worst(&differences, &found[entry.range.clone()]);
            assert!(error <= bound, "{who} {}: {error:e}, bound {bound:e}", entry.name);
        }
    }
}
