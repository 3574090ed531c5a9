//! What an inference of the integer engine takes on each emulated chip.

use anyhow::{ensure, Context, Result};
use object::{Object, ObjectSection, ObjectSymbol, SymbolKind};
use serde::{Deserialize, Serialize};
use std::{fs, path::Path};
use vit_emulator::Chip;
use vit_nostd::{
    int8::{
        weights::{Weights, WeightsMut},
        Model,
    },
    model_file::{self, Kind, Metadata, Normalization, Provenance},
    Base, Nano, Network, Stage, Tiny,
};

/// The part of an inference that a stage belongs to. The softmax, which is a part of the attention, is measured separately.
fn part(stage: Stage) -> &'static str {
    match stage {
        Stage::Norm1 | Stage::Norm2 | Stage::Norm => "layer_norm",
        Stage::Key | Stage::Value | Stage::Query => "qkv",
        Stage::Hidden | Stage::Mlp => "mlp",
        stage => stage.name(),
    }
}

/// Of one preset on one chip. Instructions are not cycles.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// The processor.
    pub chip: String,
    /// The shape of the network.
    pub preset: String,
    /// The kernels of the integer engine.
    pub engine: String,
    /// Of one inference.
    pub instructions: u64,
    /// Of a block in the middle, with all tokens.
    pub instructions_per_block: u64,
    /// The block's instructions by its products.
    pub instructions_per_mac: f64,
    /// From the scores to the probabilities, by a row's scores.
    pub softmax_instructions_per_element: f64,
    /// Of an inference, in percent, by stage.
    pub stages: Vec<(String, f64)>,
    /// `int8::Scratch::BYTES`.
    pub scratch_bytes: usize,
    /// Measured.
    pub stack_bytes: usize,
    /// The engine's functions and tables in flash.
    pub code_bytes: u64,
    /// The model file.
    pub model_bytes: usize,
}

impl Cost {
    /// The counts that must not grow.
    pub fn counts(&self) -> [(&'static str, f64); 3] {
        [
            ("instructions", self.instructions as f64),
            ("instructions_per_block", self.instructions_per_block as f64),
            ("softmax_instructions_per_element", self.softmax_instructions_per_element),
        ]
    }
}

/// Measures every preset that fits on every chip, and calls `each` with each result as it comes.
///
/// # Errors
/// If a firmware is not built, or does not do what it should.
pub fn measure(mut each: impl FnMut(&Cost)) -> Result<Vec<Cost>> {
    let mut costs = Vec::new();
    for chip in Chip::ALL {
        let mut add = |cost: Cost| {
            each(&cost);
            costs.push(cost);
        };
        add(measure_one::<Nano>(chip, "nano")?);
        if chip != Chip::M0 {
            add(measure_one::<Base>(chip, "base")?);
            add(measure_one::<Tiny>(chip, "tiny")?);
        }
    }
    Ok(costs)
}

fn measure_one<N: Network>(chip: Chip, preset: &str) -> Result<Cost> {
    let elf = chip.build(&format!("bench_{preset}"))?;
    let model = model::<N>()?;
    let run = chip.run_with_model(&elf, &model)?;
    ensure!(run.exit_code == 0, "the {} refused: {:#?}", chip.name, run.log);

    let numbers = |line: &str| -> Vec<u64> {
        line.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect()
    };
    let after = |begin: &str| -> Result<&str> {
        let line = run.log.iter().find_map(|line| line.strip_prefix("INFO ")?.strip_prefix(begin));
        line.with_context(|| format!("the log has no {begin:?}: {:#?}", run.log))
    };
    let instructions = |ticks: u64| chip.instructions(ticks);
    let engine = after("kernels ")?.to_owned();
    let [ticks, scratch, stack] = numbers(after("inference ")?)[..] else { anyhow::bail!("{:#?}", run.log) };
    let [softmax_ticks, elements] = numbers(after("softmax ")?)[..] else { anyhow::bail!("{:#?}", run.log) };
    let softmax = instructions(softmax_ticks) as f64 / elements as f64;

    let (mut block, mut all) = (0, 0);
    let mut stages: Vec<(String, f64)> = Vec::new();
    for stage in Stage::ALL {
        let name = part(stage);
        let [of_all, of_block] = numbers(after(&format!("stage {}:", stage.name()))?)[..] else {
            anyhow::bail!("{:#?}", run.log)
        };
        (all, block) = (all + of_all, block + of_block);
        match stages.iter_mut().find(|(stage, _)| stage == name) {
            Some((_, ticks)) => *ticks += of_all as f64,
            None => stages.push((name.to_owned(), of_all as f64)),
        }
    }
    ensure!(all.abs_diff(ticks) * 100 <= ticks, "the stages take {all} ticks, and the inference {ticks}");

    // In the last block, the class token has the only query.
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
        model_bytes: model.len(),
    })
}

/// Products of an encoder block: four projections, scores and weighted values, the MLP.
fn macs<N: Network>() -> usize {
    N::TOKENS * N::EMBED * (4 * N::EMBED + 2 * N::TOKENS + 2 * N::HIDDEN)
}

/// What the integer engine adds to a firmware: its functions, and those of the compiler that only it calls.
fn code_bytes(elf: &Path) -> Result<u64> {
    // As the compiler's old and new names for symbols spell them.
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
    // Functions with the same instructions share them.
    let mut sizes: Vec<(u64, u64)> = of_engine.map(|symbol| (symbol.address(), symbol.size())).collect();
    sizes.sort_unstable();
    sizes.dedup_by_key(|(address, _)| *address);
    Ok(sizes.iter().map(|(_, size)| size).sum())
}

/// A model file of weights of no meaning: what an inference takes does not depend on them.
fn model<N: Network>() -> Result<Vec<u8>> {
    let mut words = vec![0u32; Weights::<N>::BYTES.div_ceil(4)];
    let bytes: &mut [u8] = &mut bytemuck::cast_slice_mut(&mut words)[..Weights::<N>::BYTES];
    let mut state = 1u32;
    for byte in bytes.iter_mut() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *byte = (state >> 24) as u8;
    }
    let mut weights = WeightsMut::<N>::from_bytes(bytes).context("the weights do not fit")?;
    let norm = [1 << 13, 0, 0, 192, 43];
    let embedding = &mut weights.embedding;
    *embedding.exp_table = std::array::from_fn(|i| (32767.0 * (-(i as f64) / 24.0).exp()).round() as u16);
    embedding.positions.as_mut().iter_mut().flat_map(|row| row.as_mut()).for_each(|p| *p >>= 4);
    macro_rules! scales {
        ($part:expr, $($bias:ident $multiplier:ident $shift:ident $value:literal),*) => {$(
            $part.$bias.as_mut().iter_mut().for_each(|b| *b >>= 20);
            $part.$multiplier.as_mut().iter_mut().for_each(|m| *m = *m >> 2 | 1 << 14);
            $part.$shift.as_mut().fill($value);
        )*};
    }
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
    let metadata = Metadata::new(Normalization { mean: 0.1307, std: 0.3081 }, &labels, provenance);
    let mut file = vec![0u32; (bytes.len() + model_file::overhead(&metadata)).div_ceil(4)];
    let file: &mut [u8] = bytemuck::cast_slice_mut(&mut file);
    let len = model_file::write::<N>(Kind::Int8, &metadata, bytes, file)
        .map_err(|error| anyhow::anyhow!("{error}"))?;
    Model::<N>::from_bytes(&file[..len]).map_err(|error| anyhow::anyhow!("{error}"))?;
    Ok(file[..len].to_vec())
}
