//! Measures the cost of an inference of the integer engine, and of resizing a frame, on each emulated chip:
//! instructions, memory and code.

use anyhow::{ensure, Context, Result};
use object::{Object, ObjectSection, ObjectSymbol, SymbolKind};
use serde::{Deserialize, Serialize};
use std::{fs, path::Path};
use vit_emulator::{Chip, Emulator, Run};
use vit_nostd::{
    frame::Fit,
    int8::{
        weights::{Weights, WeightsMut},
        Model,
    },
    model_file::{self, Kind, Metadata, Normalization, Provenance, MAX_CHANNELS},
    Base, ConvNano, ConvTiny, Dims, Nano, Network, Stage, Tiny,
};
use vit_test_networks::{each_shape, Signs, Visitor};

/// Returns the part of an inference that a stage belongs to in reports. The softmax, which is a part of the attention,
/// is measured separately.
fn part(stage: Stage) -> &'static str {
    match stage {
        Stage::Norm1 | Stage::Norm2 | Stage::Norm => "layer_norm",
        Stage::Key | Stage::Value | Stage::Query => "qkv",
        Stage::Hidden | Stage::Mlp => "mlp",
        stage => stage.name(),
    }
}

/// The cost of one network on one chip. Instructions are not cycles: many take several cycles.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// The name of the chip.
    pub chip: String,
    /// The name of the network: a preset, or `signs`.
    pub preset: String,
    /// The name of the integer engine's kernels.
    pub engine: String,
    /// The number of instructions of an inference.
    pub instructions: u64,
    /// The number of instructions of a block in the middle, which processes all tokens.
    pub instructions_per_block: u64,
    /// The number of instructions of that block for each of its products.
    pub instructions_per_mac: f64,
    /// The number of instructions of a softmax for each score of a row.
    pub softmax_instructions_per_element: f64,
    /// The share of each part of an inference in its instructions, in percent.
    pub stages: Vec<(String, f64)>,
    /// The size of the scratch memory in bytes, `int8::Scratch::BYTES`.
    pub scratch_bytes: usize,
    /// The measured number of bytes of stack that an inference takes.
    pub stack_bytes: usize,
    /// The size of the engine's functions in flash, in bytes.
    pub code_bytes: u64,
    /// The size of the model file in bytes.
    pub model_bytes: usize,
}

impl Cost {
    /// Returns the names and values of the counts that must not grow.
    pub fn counts(&self) -> [(&'static str, f64); 3] {
        [
            ("instructions", self.instructions as f64),
            ("instructions_per_block", self.instructions_per_block as f64),
            ("softmax_instructions_per_element", self.softmax_instructions_per_element),
        ]
    }
}

/// The cost of resizing a frame of 320 x 240 pixels, cropped, to an input of 32 x 32 pixels on one chip.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FrameCost {
    /// The name of the chip.
    pub chip: String,
    /// The formats of the frame and of the input, as in `RGB 565 to grey`.
    pub formats: String,
    /// The number of instructions for each pixel of the frame, those that are cut off included.
    pub instructions_per_pixel: f64,
    /// The measured number of bytes of stack.
    pub stack_bytes: usize,
}

/// The record of all costs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Inferences.
    pub inferences: Vec<Cost>,
    /// Frames in several formats.
    pub frames: Vec<FrameCost>,
}

/// Measures the resizing of frames on every chip.
///
/// # Errors
/// If the firmware cannot be built, fails, or does not log the expected numbers.
pub fn measure_frames() -> Result<Vec<FrameCost>> {
    let mut costs = Vec::new();
    for chip in Chip::ALL {
        let elf = chip.build("bench_frame")?;
        let run = Emulator::new(chip.machine).count_instructions().run(&elf, |_| ())?;
        ensure!(run.exit_code == 0, "the firmware on the {} failed: {:#?}", chip.name, run.log);
        for line in run.log.iter().filter_map(|line| line.strip_prefix("INFO frame ")) {
            let (formats, rest) = line.split_once(": ").context("no formats")?;
            let [ticks, stack] = numbers(rest)[..] else { anyhow::bail!("{line}") };
            let per_pixel = chip.instructions(ticks) as f64 / (320 * 240) as f64;
            costs.push(FrameCost {
                chip: chip.name.to_owned(),
                formats: formats.to_owned(),
                instructions_per_pixel: (100.0 * per_pixel).round() / 100.0,
                stack_bytes: stack as usize,
            });
        }
    }
    Ok(costs)
}

/// Returns the numbers in a line of a log.
fn numbers(line: &str) -> Vec<u64> {
    line.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect()
}

/// Measures every preset on every chip that it fits on, and a network for colour pictures on the Cortex-M4F. Calls
/// `each` with each result as soon as it is known.
///
/// # Errors
/// If a firmware cannot be built, fails, or does not log the expected numbers.
pub fn measure(mut each: impl FnMut(&Cost)) -> Result<Vec<Cost>> {
    let mut costs = Vec::new();
    for chip in Chip::ALL {
        costs.extend(measure_on(chip, &mut each)?);
    }
    Ok(costs)
}

/// Measures the networks that fit on one chip, like [`measure`].
///
/// # Errors
/// The errors are those of [`measure`].
pub fn measure_on(chip: Chip, mut each: impl FnMut(&Cost)) -> Result<Vec<Cost>> {
    let mut costs = Vec::new();
    let mut add = |cost: Cost| {
        each(&cost);
        costs.push(cost);
    };
    add(measure_one::<Nano>(chip, "nano")?);
    add(measure_one::<ConvNano>(chip, "conv-nano")?);
    if chip != Chip::M0 {
        add(measure_one::<Base>(chip, "base")?);
        add(measure_one::<Tiny>(chip, "tiny")?);
        add(measure_one::<ConvTiny>(chip, "conv-tiny")?);
    }
    if [Chip::M0_LARGE, Chip::M4F].contains(&chip) {
        add(measure_one::<Signs>(chip, "signs")?);
    }
    Ok(costs)
}

/// The instructions of an inference of a network.
#[derive(Clone, Copy, Debug)]
pub struct ShapeCost {
    /// The dimensions of the network.
    pub dims: Dims,
    /// The number of instructions.
    pub instructions: u64,
}

/// Measures the networks of [`each_shape`] on a chip.
///
/// # Errors
/// The errors are those of [`measure`].
pub fn measure_shapes(chip: Chip) -> Result<Vec<ShapeCost>> {
    struct Measure<'a>(Chip, &'a Path, Vec<Result<ShapeCost>>);
    impl Visitor for Measure<'_> {
        fn visit<N: Network>(&mut self) {
            let &mut Self(chip, elf, ref mut costs) = self;
            costs.push(run::<N>(chip, elf).and_then(|(run, _)| {
                let [ticks, _, _] = inference(&run)?;
                Ok(ShapeCost { dims: N::DIMS, instructions: chip.instructions(ticks) })
            }));
        }
    }
    let elf = chip.build("bench_shapes")?;
    let mut measure = Measure(chip, &elf, Vec::new());
    each_shape(&mut measure);
    measure.2.into_iter().collect()
}

/// Runs a firmware that measures inferences of network `N` on a chip. Returns its log, and the size of the model file.
fn run<N: Network>(chip: Chip, elf: &Path) -> Result<(Run, usize)> {
    let model = model::<N>()?;
    let run = chip.run_with_model(elf, &model)?;
    ensure!(run.exit_code == 0, "the firmware on the {} failed: {:#?}", chip.name, run.log);
    Ok((run, model.len()))
}

/// Returns the rest of the line in the log that begins with `begin`.
fn after<'a>(run: &'a Run, begin: &str) -> Result<&'a str> {
    let line = run.log.iter().find_map(|line| line.strip_prefix("INFO ")?.strip_prefix(begin));
    line.with_context(|| format!("no line of the log begins with {begin:?}: {:#?}", run.log))
}

/// Returns the ticks of an inference, the size of its scratch memory and the stack that it takes.
fn inference(run: &Run) -> Result<[u64; 3]> {
    numbers(after(run, "inference ")?).try_into().map_err(|_| anyhow::anyhow!("{:#?}", run.log))
}

fn measure_one<N: Network>(chip: Chip, preset: &str) -> Result<Cost> {
    let elf = chip.build(&format!("bench_{}", preset.replace('-', "_")))?;
    let (run, model_bytes) = run::<N>(chip, &elf)?;
    let instructions = |ticks: u64| chip.instructions(ticks);
    let engine = after(&run, "kernels ")?.to_owned();
    let [ticks, scratch, stack] = inference(&run)?;
    let [softmax_ticks, elements] = numbers(after(&run, "softmax ")?)[..] else {
        anyhow::bail!("{:#?}", run.log)
    };
    let softmax = instructions(softmax_ticks) as f64 / elements as f64;

    let (mut block, mut all) = (0, 0);
    let mut stages: Vec<(String, f64)> = Vec::new();
    for stage in Stage::ALL {
        let name = part(stage);
        let [of_all, of_block] = numbers(after(&run, &format!("stage {}:", stage.name()))?)[..] else {
            anyhow::bail!("{:#?}", run.log)
        };
        (all, block) = (all + of_all, block + of_block);
        match stages.iter_mut().find(|(stage, _)| stage == name) {
            Some((_, ticks)) => *ticks += of_all as f64,
            None => stages.push((name.to_owned(), of_all as f64)),
        }
    }
    ensure!(all.abs_diff(ticks) * 100 <= ticks, "the stages take {all} ticks, and the inference {ticks}");

    // In the last block, only the class token has a query.
    let rows = (N::DEPTH - 1) * N::TOKENS * N::HEADS + N::HEADS;
    let softmax_share = (rows * N::TOKENS) as f64 * softmax / chip.tick;
    for (name, ticks) in &mut stages {
        if name == "attention" {
            *ticks -= softmax_share;
        }
    }
    stages.push(("softmax".to_owned(), softmax_share));
    let percent = |ticks: f64| (10_000.0 * ticks / all as f64).round() / 100.0;
    let instructions_per_block = instructions(block);
    Ok(Cost {
        chip: chip.name.to_owned(),
        preset: preset.to_owned(),
        engine,
        instructions: instructions(ticks),
        instructions_per_block,
        instructions_per_mac: (1e3 * instructions_per_block as f64 / macs::<N>() as f64).round() / 1e3,
        softmax_instructions_per_element: (10.0 * softmax).round() / 10.0,
        stages: stages.into_iter().map(|(name, ticks)| (name, percent(ticks))).collect(),
        scratch_bytes: scratch as usize,
        stack_bytes: stack as usize,
        code_bytes: code_bytes(&elf)?,
        model_bytes,
    })
}

/// Returns the number of products in an encoder block: those of four projections, of the scores, of the weighted sums
/// of values, and of the MLP.
fn macs<N: Network>() -> usize {
    N::TOKENS * N::EMBED * (4 * N::EMBED + 2 * N::TOKENS + 2 * N::HIDDEN)
}

/// Returns the number of bytes that the integer engine adds to a firmware: its functions, and those of the compiler's
/// library that only it calls.
fn code_bytes(elf: &Path) -> Result<u64> {
    // Parts of the symbols' names in the compiler's old and new manglings.
    const ENGINE: [&str; 4] = ["9vit_nostd4int8", "vit_nostd..int8", "5bench5infer", "int_sqrt"];
    let file = fs::read(elf)?;
    let elf = object::File::parse(&*file)?;
    let text = elf.section_by_name(".text").context("no .text")?.address();
    let functions =
        elf.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.address() >= text);
    let of_engine = functions.filter(|symbol| {
        symbol
            .name()
            .is_ok_and(|name| ENGINE.iter().any(|part| name.contains(part)) && !name.contains("from_bytes"))
    });
    // Functions with the same instructions share an address, which must count once.
    let mut sizes: Vec<(u64, u64)> = of_engine.map(|symbol| (symbol.address(), symbol.size())).collect();
    sizes.sort_unstable();
    sizes.dedup_by_key(|(address, _)| *address);
    Ok(sizes.iter().map(|(_, size)| size).sum())
}

/// Returns a model file with arbitrary weights: the cost of an inference does not depend on them.
///
/// # Errors
/// If the model is not valid, which would be a fault of this function.
pub fn model<N: Network>() -> Result<Vec<u8>> {
    let mut words = vec![0u32; Weights::<N>::BYTES.div_ceil(4)];
    let bytes: &mut [u8] = &mut bytemuck::cast_slice_mut(&mut words)[..Weights::<N>::BYTES];
    let mut state = 1u32;
    for byte in bytes.iter_mut() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *byte = (state >> 24) as u8;
    }
    let mut weights = WeightsMut::<N>::from_bytes(bytes).context("the weights do not fit")?;
    let norm = [1 << 13, 0, 0, 192, 43];
    macro_rules! scales {
        ($part:expr, $($bias:ident $multiplier:ident $shift:ident $value:literal),*) => {$(
            $part.$bias.as_mut().iter_mut().for_each(|b| *b >>= 20);
            $part.$multiplier.as_mut().iter_mut().for_each(|m| *m = *m >> 2 | 1 << 14);
            $part.$shift.as_mut().fill($value);
        )*};
    }
    let convolutions = &mut weights.convolutions;
    scales!(convolutions, stem_bias stem_multiplier stem_shift 24);
    let embedding = &mut weights.embedding;
    *embedding.exp_table = std::array::from_fn(|i| (32767.0 * (-(i as f64) / 24.0).exp()).round() as u16);
    embedding.positions.as_mut().iter_mut().flat_map(|row| row.as_mut()).for_each(|p| *p >>= 4);
    scales!(embedding, patch_bias patch_multiplier patch_shift 20);
    for block in weights.blocks() {
        (*block.norm1, *block.norm2) = (norm, norm);
        (*block.score_scale, *block.context_scale) = ([20_000, 20], [20_000, 22]);
        scales!(block, query_bias query_multiplier query_shift 24, key_bias key_multiplier key_shift 24,
            value_bias value_multiplier value_shift 24, proj_bias proj_multiplier proj_shift 20,
            hidden_bias hidden_multiplier hidden_shift 24, mlp_bias mlp_multiplier mlp_shift 20);
    }
    let head = &mut weights.head;
    (*head.norm, *head.logit_scale) = (norm, 1e-3);
    head.head_bias.as_mut().iter_mut().for_each(|b| *b >>= 20);

    let provenance =
        Provenance { dataset: "none", seed: 0, test_accuracy: None, tool: "chip-bench", checkpoint: None };
    let labels = vec!["x"; N::CLASSES].join("\n");
    let mut normalization = [Normalization::NO_CHANNEL; MAX_CHANNELS];
    normalization[..N::CHANNELS].fill(Normalization { mean: 0.1307, std: 0.3081 });
    let metadata = Metadata::new(Fit::Stretch, normalization, &labels, provenance);
    let mut file = vec![0u32; (bytes.len() + model_file::overhead(&metadata)).div_ceil(4)];
    let file: &mut [u8] = bytemuck::cast_slice_mut(&mut file);
    let len = model_file::write::<N>(Kind::Int8, &metadata, bytes, file)
        .map_err(|error| anyhow::anyhow!("{error}"))?;
    Model::<N>::from_bytes(&file[..len]).map_err(|error| anyhow::anyhow!("{error}"))?;
    Ok(file[..len].to_vec())
}
