//! Tests of the integer engine against NUMERICS.md, which is implemented here a second time, as directly as possible.

use vit_nostd::{
    image,
    int8::{
        kernels::Portable,
        requantize::Scale,
        weights::{Weights, WeightsMut},
        Model, Scratch,
    },
    ConvNano, Convolution, Field, ModelError, Nano, Network, Probe, Tiny, Values,
};
use vit_random_models::{
    normalizing_weights, random_image, random_weights, with_file, with_weights, Mood, Normalizer, Random,
    ROOTS,
};

vit_nostd::network! {
    Small { image: 4, patch: 2, embed: 4, heads: 2, hidden: 4, depth: 1, classes: 2 }
    OneHead { image: 6, patch: 3, embed: 8, heads: 1, hidden: 20, depth: 3, classes: 3 }
    ManyTokens { image: 12, patch: 2, embed: 12, heads: 4, hidden: 8, depth: 2, classes: 10 }
    Tokens577 { image: 48, patch: 2, embed: 8, heads: 2, hidden: 8, depth: 1, classes: 3 }
    HeadsOf20 { image: 6, patch: 2, embed: 40, heads: 2, hidden: 52, depth: 2, classes: 5 }
    HeadOf24 { image: 4, patch: 4, embed: 24, heads: 1, hidden: 36, depth: 2, classes: 5 }
    HeadsOf24 { image: 6, patch: 2, embed: 96, heads: 4, hidden: 100, depth: 1, classes: 5 }
    Colour { image: [6, 20, 3], patch: [3, 5], embed: 12, heads: 3, hidden: 8, depth: 2, classes: 4 }
    UprightColour { image: [12, 4, 3], patch: [4, 1], embed: 16, heads: 2, hidden: 20, depth: 2, classes: 3 }
    GreyRectangle { image: [2, 9], patch: [1, 3], embed: 8, heads: 2, hidden: 12, depth: 2, classes: 3 }
    RowsOf3136 { image: [56, 56], patch: [56, 56], embed: 8, heads: 2, hidden: 8, depth: 1, classes: 3 }
    Embed128 { image: [4, 6], patch: 2, embed: 128, heads: 4, hidden: 16, depth: 2, classes: 3 }
    Embed132 { image: [4, 9, 3], patch: [2, 3], embed: 132, heads: 3, hidden: 136, depth: 2, classes: 5 }
    Embed180 { image: [4, 6], patch: 2, embed: 180, heads: 20, hidden: 8, depth: 2, classes: 3 }
    Embed256 { image: [4, 4, 3], patch: [2, 4], embed: 256, heads: 2, hidden: 260, depth: 2, classes: 5 }
    OverlappingPatches {
        image: [9, 7], tokenizer: [{ kernel: 5, stride: 2, padding: 2 }],
        embed: 8, heads: 2, hidden: 12, depth: 2, classes: 3,
    }
    PaddedColour {
        image: [5, 8, 3], tokenizer: [{ kernel: 3, stride: 3, padding: 2 }],
        embed: 12, heads: 3, hidden: 8, depth: 1, classes: 3,
    }
    RowsLeftOver {
        image: [8, 11, 3], tokenizer: [{ kernel: 4, stride: 4 }],
        embed: 12, heads: 3, hidden: 8, depth: 1, classes: 3,
    }
    Stem {
        image: [12, 10, 3],
        tokenizer: [{ kernel: 3, stride: 2, padding: 1, channels: 4 }, { kernel: 3, stride: 2, padding: 1 }],
        embed: 8, heads: 2, hidden: 12, depth: 2, classes: 3,
    }
    StemOfGaps {
        image: [11, 13], tokenizer: [{ kernel: 2, stride: 1, channels: 8 }, { kernel: 2, stride: 3 }],
        embed: 16, heads: 2, hidden: 12, depth: 1, classes: 4,
    }
    StemOfStride1 {
        image: [6, 5, 3], tokenizer: [{ kernel: 2, channels: 4 }, { kernel: 3, padding: 2 }],
        embed: 8, heads: 1, hidden: 8, depth: 1, classes: 4,
    }
    LargeWindows {
        image: [70, 66, 3], tokenizer: [{ kernel: 40, stride: 7, padding: 3, channels: 20 }, { kernel: 5, stride: 1, padding: 4 }],
        embed: 8, heads: 1, hidden: 8, depth: 1, classes: 4,
    }
}

// ---- The arithmetic of NUMERICS.md ----

fn requantize(a: i128, m: i128, s: i128) -> i128 {
    assert!(a.abs() <= 1 << 31 && (0..=32767).contains(&m) && (17..=46).contains(&s), "{a} {m} {s}");
    (a * m + (1 << (s - 1))).div_euclid(1 << s)
}

fn sat(bits: u32, x: i128) -> i128 {
    x.clamp(-(1 << (bits - 1)), (1 << (bits - 1)) - 1)
}

fn layer_norm(x: &[i128], &[e0, e1, n0, n1, shift]: &[u32; 5]) -> Vec<i128> {
    let (epsilon, numerator) =
        (i128::from(e0) + (i128::from(e1) << 32), i128::from(n0) + (i128::from(n1) << 32));
    let d = x.len() as i128;
    let (sum, square) = (x.iter().sum::<i128>(), x.iter().map(|x| x * x).sum::<i128>());
    let v = d * square - sum * sum + epsilon;
    assert!((1024..1 << 52).contains(&v));
    let mut e = 0;
    while v * 4i128.pow(e + 1) < 1 << 52 {
        e += 1;
    }
    let (mut low, mut high) = (0, 1 << 27); // isqrt by bisection
    while low + 1 < high {
        let middle = (low + high) / 2;
        if middle * middle <= v * 4i128.pow(e) {
            low = middle;
        } else {
            high = middle;
        }
    }
    assert!((1 << 25..1 << 26).contains(&low));
    let r = (numerator / low).min(32767);
    let f = if d <= 128 { 256 } else { 128 };
    x.iter().map(|x| sat(8, requantize(f * (d * x - sum), r, i128::from(shift) - i128::from(e)))).collect()
}

struct Layer {
    rows: Vec<Vec<i128>>,
    bias: Vec<i128>,
    scale: Vec<(i128, i128)>,
}

impl Layer {
    fn new<W: AsRef<[R]>, R: AsRef<[i8]>>(
        weight: &W,
        bias: &impl AsRef<[i32]>,
        m: &impl AsRef<[u16]>,
        s: &impl AsRef<[u8]>,
    ) -> Self {
        let wide = |row: &R| row.as_ref().iter().map(|&w| w.into()).collect();
        Self {
            rows: weight.as_ref().iter().map(wide).collect(),
            bias: bias.as_ref().iter().map(|&b| b.into()).collect(),
            scale: m.as_ref().iter().zip(s.as_ref()).map(|(&m, &s)| (m.into(), s.into())).collect(),
        }
    }

    fn run(&self, x: &[i128]) -> Vec<i128> {
        let dot = |row: &[i128]| x.iter().zip(row).map(|(x, w)| x * w).sum::<i128>();
        let sums = self.rows.iter().zip(&self.bias).map(|(row, bias)| bias + dot(row));
        sums.zip(&self.scale).map(|(sum, &(m, s))| requantize(sum, m, s)).collect()
    }

    fn run8(&self, x: &[i128]) -> Vec<i128> {
        self.run(x).into_iter().map(|y| sat(8, y)).collect()
    }
}

/// Returns the rows of windows that a convolution gathers from an input of height and width `size`, whose pixels have
/// the values `input`. Each window has the values `zero` where it is outside of the input.
fn windows(
    input: &[Vec<i128>],
    size: [usize; 2],
    zero: &[i128],
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: usize,
) -> Vec<Vec<Vec<i128>>> {
    let starts = |axis: usize| {
        (0..)
            .map(move |i| i * stride[axis])
            .take_while(move |&i| i + kernel[axis] <= size[axis] + 2 * padding)
    };
    let pixel = |y: usize, x: usize| {
        let inside = (padding..size[0] + padding).contains(&y) && (padding..size[1] + padding).contains(&x);
        if inside {
            input[(y - padding) * size[1] + x - padding].clone()
        } else {
            zero.to_vec()
        }
    };
    let window = |top: usize, left: usize| {
        let pixels = (top..top + kernel[0]).flat_map(|y| (left..left + kernel[1]).map(move |x| (y, x)));
        pixels.flat_map(|(y, x)| pixel(y, x)).collect()
    };
    starts(0).map(|top| starts(1).map(|left| window(top, left)).collect()).collect()
}

fn plain<N: Network>(weights: &Weights<'_, N>, image: &[u8]) -> Vec<i32> {
    let embedding = &weights.embedding;
    let patch = Layer::new(
        embedding.patch_weight,
        embedding.patch_bias,
        embedding.patch_multiplier,
        embedding.patch_shift,
    );
    let convolutions = &weights.convolutions;
    let zeros: Vec<i128> = convolutions.zeros.as_ref().iter().map(|&zero| zero.into()).collect();
    let mut zero = zeros.get(..N::CHANNELS).unwrap_or_default();
    let dims = N::DIMS;
    let mut size = [N::HEIGHT, N::WIDTH];
    let mut pixels: Vec<Vec<i128>> =
        image.chunks(N::CHANNELS).map(|p| p.iter().map(|&p| i128::from(p) - 128).collect()).collect();
    if let Some(Convolution { kernel, stride, padding, .. }) = dims.stem {
        let stem = Layer::new(
            convolutions.stem_weight,
            convolutions.stem_bias,
            convolutions.stem_multiplier,
            convolutions.stem_shift,
        );
        let table = convolutions.stem_gelu_table.as_ref().as_flattened();
        let rows = windows(&pixels, size, zero, [kernel.into(); 2], [stride.into(); 2], padding.into());
        size = [rows.len(), rows[0].len()];
        let gelu = |a: i128| i128::from(table[(128 + a) as usize]);
        pixels = rows.iter().flatten().map(|w| stem.run8(w).into_iter().map(gelu).collect()).collect();
        zero = &zeros[4..5];
    }
    let zero: Vec<i128> =
        (0..pixels[0].len()).filter_map(|c| zero.get(c % zero.len().max(1)).copied()).collect();
    let kernel = [dims.patch_height.into(), dims.patch_width.into()];
    let stride = dims.patch_stride.map(usize::from);
    let patches = windows(&pixels, size, &zero, kernel, stride, dims.patch_padding.into());
    let patches: Vec<_> = patches.concat();
    let mut x: Vec<Vec<i128>> = Vec::new();
    for (t, position) in embedding.positions.as_ref().iter().enumerate() {
        let mut row: Vec<i128> = position.as_ref().iter().map(|&p| p.into()).collect();
        if t > 0 {
            // The rows of weights may be longer: the sum ends with the values.
            let embedded = patch.run(&patches[t - 1]);
            row.iter_mut().zip(embedded).for_each(|(x, a)| *x = sat(16, a + *x));
        }
        x.push(row);
    }
    assert_eq!(x.len(), patches.len() + 1);
    for block in weights.blocks() {
        let scale = |pair: &[u32; 2]| (i128::from(pair[0]), i128::from(pair[1]));
        let query =
            Layer::new(block.query_weight, block.query_bias, block.query_multiplier, block.query_shift);
        let key = Layer::new(block.key_weight, block.key_bias, block.key_multiplier, block.key_shift);
        let value =
            Layer::new(block.value_weight, block.value_bias, block.value_multiplier, block.value_shift);
        let proj = Layer::new(block.proj_weight, block.proj_bias, block.proj_multiplier, block.proj_shift);
        let hidden =
            Layer::new(block.hidden_weight, block.hidden_bias, block.hidden_multiplier, block.hidden_shift);
        let out = Layer::new(block.mlp_weight, block.mlp_bias, block.mlp_multiplier, block.mlp_shift);

        let n: Vec<Vec<i128>> = x.iter().map(|x| layer_norm(x, block.norm1)).collect();
        let q: Vec<_> = n.iter().map(|n| query.run8(n)).collect();
        let k: Vec<_> = n.iter().map(|n| key.run8(n)).collect();
        let v: Vec<_> = n.iter().map(|n| value.run8(n)).collect();
        for t in 0..N::TOKENS {
            let mut o = Vec::new();
            for h in 0..N::HEADS {
                let c = h * N::HEAD_DIM..(h + 1) * N::HEAD_DIM;
                let s: Vec<i128> = k.iter().map(|k| c.clone().map(|c| q[t][c] * k[c]).sum()).collect();
                let max = s.iter().max().unwrap();
                let (m, shift) = scale(block.score_scale);
                let w: Vec<i128> = s
                    .iter()
                    .map(|s| embedding.exp_table[requantize(max - s, m, shift).min(255) as usize].into())
                    .collect();
                let all: i128 = w.iter().sum();
                let scaled = |e: i128| all << (e + 8) >> 8; // floor(all * 2^e)
                let e = (-8..=7).find(|&e| (1 << 15..1 << 16).contains(&scaled(e))).unwrap();
                let (m, shift) = scale(block.context_scale);
                let r = m * (1 << 15) / scaled(e);
                for c in c {
                    let sum = w.iter().zip(&v).map(|(w, v)| w * v[c]).sum();
                    o.push(sat(8, requantize(sum, r, shift + 7 - e)));
                }
            }
            x[t].iter_mut().zip(proj.run(&o)).for_each(|(x, a)| *x = sat(16, *x + a));
        }
        for x in &mut x {
            let n = layer_norm(x, block.norm2);
            let g: Vec<i128> =
                hidden.run8(&n).iter().map(|&a| block.gelu_table[(128 + a) as usize].into()).collect();
            x.iter_mut().zip(out.run(&g)).for_each(|(x, a)| *x = sat(16, *x + a));
        }
    }
    let n = layer_norm(&x[0], weights.head.norm);
    let rows = weights.head.head_weight.as_ref().iter().zip(weights.head.head_bias.as_ref());
    rows.map(|(row, &bias)| {
        let sum: i128 = row.as_ref().iter().zip(&n).map(|(&w, n)| i128::from(w) * n).sum();
        i32::try_from(i128::from(bias) + sum).unwrap()
    })
    .collect()
}

// ---- The comparison with the engine ----

fn compare<N: Network>(seed: u64, images: usize) {
    for mood in Mood::ALL {
        let mut random = Random(seed);
        with_weights(Weights::<N>::BYTES, |bytes| {
            random_weights::<N>(&mut random, mood, bytes);
            // What fills up the rows of the convolutions does not count.
            let weights = WeightsMut::<N>::from_bytes(bytes).unwrap();
            for row in weights.embedding.patch_weight.as_mut() {
                row.as_mut()[N::PATCHES.values()..].fill(random.within(127) as i8);
            }
            for row in weights.convolutions.stem_weight.as_mut() {
                row.as_mut()[N::DIMS.stem_values()..].fill(random.within(127) as i8);
            }
            with_file::<N, _>(bytes, |file| {
                let model = Model::<N>::from_bytes(file).unwrap();
                let weights = Weights::<N>::from_bytes(bytes).unwrap();
                let mut scratch = Box::new(Scratch::<N>::new());
                let mut distinct = std::collections::BTreeSet::new();
                for n in 0..images {
                    let pixels = random_image::<N>(&mut random, n);
                    let logits = model.infer(image::<N>(&pixels).unwrap(), &mut scratch);
                    let plain = plain::<N>(&weights, &pixels);
                    assert_eq!(logits.as_ref(), plain, "{:?}, {mood:?}, seed {seed}, image {n}", N::DIMS);
                    assert_other_kernels(&model, &pixels, &mut scratch, &plain);
                    distinct.insert(plain);
                }
                assert!(
                    distinct.len() > images / 2 || mood != Mood::Calm,
                    "most images have the same logits"
                );
            });
        });
    }
}

/// Compares the logits of the kernels that `infer` does not choose on this processor, because it has better ones.
fn assert_other_kernels<N: Network>(
    model: &Model<'_, N>,
    pixels: &[u8],
    scratch: &mut Scratch<N>,
    expected: &[i32],
) {
    let image = image::<N>(pixels).unwrap();
    let portable = model.infer_with(Portable, image, scratch, &mut ());
    assert_eq!(portable.as_ref(), expected, "portable: {:?}", N::DIMS);
    #[cfg(target_arch = "x86_64")]
    if let Some(avx2) = vit_nostd::int8::kernels::Best::detect() {
        let avx2 = model.infer_with(avx2.without_vnni(), image, scratch, &mut ());
        assert_eq!(avx2.as_ref(), expected, "AVX2: {:?}", N::DIMS);
    }
}

#[test]
fn engine_is_the_specification() {
    for seed in 0..20 {
        compare::<Small>(seed, 10);
        compare::<OneHead>(seed, 10);
        compare::<ManyTokens>(seed, 5);
        compare::<Tokens577>(seed, 1);
    }
    // Heads that fill one vector and a part of another, and an even number of tokens.
    compare::<HeadsOf20>(21, 10);
    compare::<HeadOf24>(22, 10);
    compare::<HeadsOf24>(23, 10);
    compare::<Nano>(100, 5);
    compare::<Tiny>(101, 3);
}

#[test]
fn rectangles_and_colours_are_as_specified() {
    for seed in 0..10 {
        compare::<Colour>(seed, 10);
        compare::<UprightColour>(seed, 10);
        compare::<GreyRectangle>(seed, 10);
    }
    compare::<RowsOf3136>(30, 5);
}

#[test]
fn convolutions_are_as_specified() {
    for seed in 60..70 {
        compare::<OverlappingPatches>(seed, 10);
        compare::<PaddedColour>(seed, 10);
        compare::<RowsLeftOver>(seed, 10);
        compare::<Stem>(seed, 10);
        compare::<StemOfGaps>(seed, 10);
        compare::<StemOfStride1>(seed, 10);
    }
    compare::<LargeWindows>(70, 2);
    compare::<ConvNano>(71, 5);
}

#[test]
fn rows_of_more_than_128_channels_are_as_specified() {
    for seed in 40..43 {
        compare::<Embed128>(seed, 5);
        compare::<Embed132>(seed, 5);
        compare::<Embed180>(seed, 5);
        compare::<Embed256>(seed, 5);
    }
}

#[test]
fn roots_are_rounded_down() {
    for case in &ROOTS {
        with_weights(Weights::<Normalizer>::BYTES, |bytes| {
            normalizing_weights(case, bytes);
            with_file::<Normalizer, _>(bytes, |file| {
                let model = Model::<Normalizer>::from_bytes(file).unwrap();
                assert_eq!(model.infer(&[[[7]; 4]; 4], &mut Scratch::new()), case.expected);
            });
            assert_eq!(plain(&Weights::<Normalizer>::from_bytes(bytes).unwrap(), &[7; 16]), case.expected);
        });
    }
}

#[test]
fn values_out_of_bounds_are_refused() {
    type N = Small;
    let refused = |spoil: &dyn Fn(&mut WeightsMut<'_, N>)| {
        with_weights(Weights::<N>::BYTES, |bytes| {
            random_weights::<N>(&mut Random(1), Mood::Calm, bytes);
            spoil(&mut WeightsMut::<N>::from_bytes(bytes).unwrap());
            with_file::<N, _>(bytes, |file| Model::<N>::from_bytes(file).err())
        })
    };
    let bad = Some(ModelError::BadField(Field::Weights));
    assert_eq!(refused(&|_| {}), None);
    assert_eq!(refused(&|w| w.embedding.exp_table[0] = 32766), bad);
    assert_eq!(refused(&|w| w.embedding.exp_table[255] = 32768), bad);
    assert_eq!(refused(&|w| w.embedding.patch_shift[3] = 16), bad);
    assert_eq!(refused(&|w| w.blocks().for_each(|b| b.query_shift[0] = 47)), bad);
    assert_eq!(refused(&|w| w.blocks().for_each(|b| b.mlp_multiplier[3] = 32768)), bad);
    assert_eq!(refused(&|w| w.blocks().for_each(|b| b.hidden_bias[1] = 1 << 30)), bad);
    assert_eq!(refused(&|w| w.blocks().for_each(|b| b.key_bias[1] = i32::MIN)), bad);
    assert_eq!(refused(&|w| w.blocks().for_each(|b| b.score_scale[1] = 256 + 20)), bad);
    assert_eq!(refused(&|w| w.blocks().for_each(|b| b.context_scale[0] = 1 << 15)), bad);
    assert_eq!(refused(&|w| w.blocks().for_each(|b| b.context_scale[1] = 31)), None);
    assert_eq!(refused(&|w| w.blocks().for_each(|b| b.context_scale[1] = 32)), bad);
    assert_eq!(refused(&|w| w.blocks().for_each(|b| b.norm1[4] = 36)), bad);
    assert_eq!(refused(&|w| w.blocks().for_each(|b| b.norm2[3] = 1 << 9)), bad);
    assert_eq!(refused(&|w| (w.head.norm[0], w.head.norm[1]) = (1023, 0)), bad);
    assert_eq!(refused(&|w| w.head.head_bias[1] = -(1 << 30)), bad);
    for scale in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        assert_eq!(refused(&|w| *w.head.logit_scale = scale), bad, "{scale}");
    }
}

// The promised sizes of the scratch memory, for processors that widen activations; tests on the emulated chips check
// the others. The whole file of `nano` must stay below 104,000 bytes.
const _: () = assert!(Scratch::<Nano>::BYTES <= 4608);
const _: () = assert!(Scratch::<vit_nostd::Base>::BYTES <= 9 * 1024);
const _: () = assert!(Model::<Nano>::WEIGHT_BYTES <= 103_000);
const _: () = assert!(Scratch::<ConvNano>::BYTES <= 7680);
const _: () = assert!(Model::<ConvNano>::WEIGHT_BYTES <= 103_800);

#[test]
fn observer_sees_what_infer_computes() {
    type N = OneHead;
    with_weights(Weights::<N>::BYTES, |bytes| {
        random_weights::<N>(&mut Random(1), Mood::Calm, bytes);
        with_file::<N, _>(bytes, |file| {
            let model = Model::<N>::from_bytes(file).unwrap();
            let mut scratch = Scratch::<N>::new();
            let (mut calls, mut last) = (0, Vec::new());
            let logits =
                model.infer_observed(&[[[7]; 6]; 6], &mut scratch, &mut |_: Probe, values: Values<'_>| {
                    calls += 1;
                    if let Values::I32(logits) = values {
                        last = logits.to_vec();
                    }
                });
            assert_eq!(last, logits);
            // The embedding of 5 tokens; in each of 3 blocks, LayerNorm, keys and values of all tokens; the 6 other
            // stages of all tokens, in the last block of one token; the last LayerNorm and the head.
            assert_eq!(calls, 5 + 3 * (5 * 3) + (5 + 5 + 1) * 6 + 2);
            assert_eq!(model.infer(&[[[7]; 6]; 6], &mut scratch), logits);
        });
    });
}

#[test]
fn scales_have_bounds() {
    assert!(
        Scale { multiplier: 32767, shift: 46 }.is_valid() && Scale { multiplier: 0, shift: 17 }.is_valid()
    );
    for (multiplier, shift) in [(32768, 20), (1, 16), (1, 47)] {
        assert!(!Scale { multiplier, shift }.is_valid());
    }
}
