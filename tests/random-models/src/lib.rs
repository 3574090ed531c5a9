//! Random integer models, from calm to hostile. The tests of the integer engine, of its reference in `vit-train` and of
//! the chips share them.

mod file;

pub use file::{aligned, metadata};

use vit_nostd::{
    int8::weights::WeightsMut,
    model_file::{self, Kind},
    Network,
};

/// A pseudo-random number generator (a linear congruential generator of 64 bits), which starts from a seed.
pub struct Random(pub u64);

impl Random {
    /// Returns a number from 0 to below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    /// Returns one of `choices`.
    pub fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    /// Returns a number from -limit to limit. One time in four, it is one of the ends.
    pub fn within(&mut self, limit: i64) -> i64 {
        match self.below(8) {
            0 => limit,
            1 => -limit,
            _ => self.below(2 * limit as u64 + 1) as i64 - limit,
        }
    }
}

/// The character of the numbers in a random model, from harmless to hostile.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mood {
    /// The scales keep activations within their range, like those that a quantizer chooses.
    Calm,
    /// The scales make activations saturate, and biases reach their bounds.
    Wild,
    /// Every number is at one of its bounds.
    Extreme,
    /// The numbers are like those of [`Mood::Calm`], but all channels of a token are equal up to the first MLP, so that
    /// their variance is zero.
    Flat,
}

impl Mood {
    /// All moods.
    pub const ALL: [Self; 4] = [Self::Calm, Self::Wild, Self::Extreme, Self::Flat];
}

/// Fills `bytes` with the weights of a random model of network `N`.
pub fn random_weights<N: Network>(random: &mut Random, mood: Mood, bytes: &mut [u8]) {
    const MAX_BIAS: i64 = (1 << 30) - 1;
    let mut weights = WeightsMut::<N>::from_bytes(bytes).unwrap();
    fn bias(random: &mut Random, mood: Mood) -> i32 {
        match mood {
            Mood::Extreme => random.of(&[-MAX_BIAS, 0, MAX_BIAS]) as i32,
            // Only some biases are large: if all were, nothing else would affect the results.
            Mood::Wild if random.below(8) == 0 => random.within(MAX_BIAS) as i32,
            _ => random.within(3000) as i32,
        }
    }
    fn multiplier(random: &mut Random, mood: Mood) -> u16 {
        match mood {
            Mood::Extreme => random.of(&[0, 32767, 32767]),
            _ => 16384 + random.below(16384) as u16,
        }
    }
    /// Returns a shift with which typical sums of `terms` products give results of about 40, or of about 1500 if
    /// `wide`.
    fn shift(random: &mut Random, mood: Mood, terms: usize, wide: bool) -> u8 {
        let sum = (terms as f64).sqrt() * 3000.0;
        match mood {
            Mood::Wild => 17 + random.below(30) as u8,
            Mood::Extreme => random.of(&[17, 46]),
            _ => (15.0 + (sum / if wide { 1500.0 } else { 40.0 }).log2().round()).max(17.0) as u8,
        }
    }
    fn norm(random: &mut Random, mood: Mood, out: &mut [u32; 5]) {
        let (epsilon, numerator, shift): (u64, u64, u32) = match mood {
            Mood::Calm | Mood::Flat => (1 << 13, (1 << 39) + random.below(1 << 31) * 256, 43),
            Mood::Wild => {
                let numerator = (1 << 39) + random.below(1 << 31) * 256;
                (1024 << random.below(34), numerator, 37 + random.below(10) as u32)
            }
            Mood::Extreme => {
                (random.of(&[1 << 10, (1 << 44) - 1]), random.of(&[1 << 39, 1 << 40]), random.of(&[37, 46]))
            }
        };
        *out = [epsilon as u32, (epsilon >> 32) as u32, numerator as u32, (numerator >> 32) as u32, shift];
    }
    fn scale(random: &mut Random, mood: Mood, shifts: &[u32]) -> [u32; 2] {
        let multiplier = u32::from(multiplier(random, mood));
        [multiplier, random.of(if mood == Mood::Extreme { &[17, 46] } else { shifts })]
    }
    fn signed(random: &mut Random, mood: Mood) -> i8 {
        match mood {
            Mood::Extreme => random.of(&[-128, 127]),
            _ => random.within(127) as i8,
        }
    }
    macro_rules! layer {
        ($part:expr, $terms:expr, $wide:expr, $bias:ident, $multiplier:ident, $shift:ident) => {{
            $part.$bias.as_mut().iter_mut().for_each(|b| *b = bias(random, mood));
            $part.$multiplier.as_mut().iter_mut().for_each(|m| *m = multiplier(random, mood));
            $part.$shift.as_mut().iter_mut().for_each(|s| *s = shift(random, mood, $terms, $wide));
        }};
    }
    macro_rules! weight {
        ($tensor:expr) => {
            $tensor.as_mut().iter_mut().flat_map(|row| row.as_mut()).for_each(|w| *w = signed(random, mood))
        };
    }

    let convolutions = &mut weights.convolutions;
    convolutions.zeros.as_mut().iter_mut().for_each(|zero| *zero = signed(random, mood));
    if let Some(stem) = N::STEM {
        layer!(convolutions, stem.values(), false, stem_bias, stem_multiplier, stem_shift);
        for row in convolutions.stem_weight.as_mut() {
            row.as_mut()[..stem.values()].iter_mut().for_each(|w| *w = signed(random, mood));
        }
        convolutions
            .stem_gelu_table
            .as_mut()
            .as_flattened_mut()
            .iter_mut()
            .for_each(|g| *g = signed(random, mood));
    }
    let embedding = &mut weights.embedding;
    let one = 32767.min(((1 << 24) - 1) / N::TOKENS);
    for (i, entry) in embedding.exp_table.iter_mut().enumerate() {
        *entry = match mood {
            // The entries are in no order: the last entries of a real table are all equal, and would hide a wrong
            // index.
            Mood::Wild if i > 0 => random.below(one as u64 + 1) as u16,
            Mood::Extreme if i > 0 => random.of(&[0, one as u16]),
            _ => (one as f64 * (-(i as f64) / 24.0).exp()).round() as u16,
        };
    }
    layer!(embedding, N::PATCHES.values(), true, patch_bias, patch_multiplier, patch_shift);
    let positions = embedding.positions.as_mut().iter_mut().flat_map(|row| row.as_mut());
    positions.for_each(|p| {
        *p = match mood {
            Mood::Calm | Mood::Flat => random.within(2000) as i16,
            Mood::Wild => random.within(32767) as i16,
            Mood::Extreme => random.of(&[i16::MIN, i16::MAX]),
        }
    });
    for row in embedding.patch_weight.as_mut() {
        row.as_mut()[..N::PATCHES.values()].iter_mut().for_each(|w| *w = signed(random, mood));
    }
    if mood == Mood::Flat {
        embedding.patch_multiplier.as_mut().fill(0);
        embedding.positions.as_mut().iter_mut().for_each(|row| {
            let same = random.within(32767) as i16;
            row.as_mut().fill(same);
        });
    }
    for block in weights.blocks() {
        norm(random, mood, block.norm1);
        norm(random, mood, block.norm2);
        *block.score_scale = scale(random, mood, &[17, 18, 19, 20, 21, 22]);
        *block.context_scale = match mood {
            Mood::Wild => scale(random, mood, &[17, 18, 19, 20, 21, 22, 23, 24]),
            // This shift has a smaller bound than the others.
            Mood::Extreme => [multiplier(random, mood).into(), random.of(&[17, 31])],
            _ => scale(random, mood, &[22]),
        };
        layer!(block, N::EMBED, false, query_bias, query_multiplier, query_shift);
        layer!(block, N::EMBED, false, key_bias, key_multiplier, key_shift);
        layer!(block, N::EMBED, false, value_bias, value_multiplier, value_shift);
        layer!(block, N::EMBED, true, proj_bias, proj_multiplier, proj_shift);
        layer!(block, N::EMBED, false, hidden_bias, hidden_multiplier, hidden_shift);
        layer!(block, N::HIDDEN, true, mlp_bias, mlp_multiplier, mlp_shift);
        if mood == Mood::Flat {
            block.proj_multiplier.as_mut().fill(0);
        }
        block.gelu_table.iter_mut().for_each(|g| *g = signed(random, mood));
        weight!(block.query_weight);
        weight!(block.key_weight);
        weight!(block.value_weight);
        weight!(block.proj_weight);
        weight!(block.hidden_weight);
        weight!(block.mlp_weight);
    }
    let head = &mut weights.head;
    norm(random, mood, head.norm);
    *head.logit_scale = 1e-3;
    head.head_bias.as_mut().iter_mut().for_each(|b| *b = bias(random, mood));
    weight!(head.head_weight);
}

vit_nostd::network! {
    /// The network of [`normalizing_weights`].
    pub Normalizer { image: 4, patch: 2, embed: 4, heads: 1, hidden: 4, depth: 1, classes: 4 }
}

/// A row, the constants of a LayerNorm, and the result, which was computed by hand.
pub struct NormCase {
    /// The row that is normalised.
    pub row: [i16; 4],
    /// The epsilon of the LayerNorm.
    pub epsilon: u64,
    /// The numerator of the LayerNorm.
    pub numerator: u64,
    /// The shift of the LayerNorm.
    pub shift: u32,
    /// The normalised row.
    pub expected: [i32; 4],
}

/// Cases of LayerNorm in which a square root that is too large by 1 changes the result. In the first case the root is
/// exactly 2^25. In the second case it is just below 2^26 and not an integer, so that it must be rounded down.
pub const ROOTS: [NormCase; 2] = [
    NormCase {
        row: [101, -101, 101, -101],
        epsilon: (1 << 20) - 16 * 101 * 101,
        numerator: 1 << 39,
        shift: 40,
        expected: [51, -50, 51, -50],
    },
    NormCase {
        row: [25856, -25856, 25856, -25856],
        epsilon: (1 << 44) - 1 - 16 * 25856 * 25856,
        numerator: (1 << 40) - (1 << 14),
        shift: 37,
        expected: [51, -50, 51, -50],
    },
];

/// Fills `bytes` with the weights of a model whose logits are the result of `case` for every image.
pub fn normalizing_weights(case: &NormCase, bytes: &mut [u8]) {
    let &NormCase { row, epsilon, numerator, shift, .. } = case;
    random_weights::<Normalizer>(&mut Random(1), Mood::Calm, bytes);
    let mut weights = WeightsMut::<Normalizer>::from_bytes(bytes).unwrap();
    weights.embedding.positions[0] = row;
    for block in weights.blocks() {
        (*block.proj_multiplier, *block.mlp_multiplier) = ([0; 4], [0; 4]);
    }
    let (low, high) = (|x: u64| x as u32, |x: u64| (x >> 32) as u32);
    *weights.head.norm = [low(epsilon), high(epsilon), low(numerator), high(numerator), shift];
    *weights.head.head_bias = [0; 4];
    *weights.head.head_weight = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]];
}

/// Calls `then` with `len` zeroed bytes that are aligned like weights.
pub fn with_weights<R>(len: usize, then: impl FnOnce(&mut [u8]) -> R) -> R {
    const ALIGNMENT: usize = 4;
    let mut buffer = vec![0; len + ALIGNMENT];
    let start = buffer.as_ptr().align_offset(ALIGNMENT);
    then(&mut buffer[start..start + len])
}

/// Calls `then` with an integer model file that has these weights.
pub fn with_file<N: Network, R>(weights: &[u8], then: impl FnOnce(&[u8]) -> R) -> R {
    let labels = vec!["x"; N::CLASSES].join("\n");
    let metadata = metadata::<N>(&labels);
    let mut bytes = vec![0; weights.len() + model_file::overhead(&metadata)];
    let len = model_file::write::<N>(Kind::Int8, &metadata, weights, &mut bytes).unwrap();
    aligned(&bytes[..len], then)
}

/// Returns the pixels of a test image: all 0 for index 0, all 255 for index 1, and noise for the others.
pub fn random_image<N: Network>(random: &mut Random, index: usize) -> Vec<u8> {
    let pixel = |_| match index {
        0 => 0,
        1 => 255,
        _ => random.below(256) as u8,
    };
    (0..N::DIMS.image_values()).map(pixel).collect()
}
