//! The command `vit-train bench`.

use super::{
    dispatch::{with_network, Task},
    networks::List,
    options::{positive_up_to, thread_count, use_threads, CudaArguments},
    output::print_json,
};
use crate::{
    data::{synthetic, Dataset, Format, Source, Splits, Style, MNIST_NORMALIZATION},
    formats::{checkpoint::Checkpoint, vit::float_model},
    fused::{cpu::multiply_adds, network::Sizes, timed::Times, Step},
    inference::{infer, int8_logits, nostd_logits, view},
    network::list::Networks,
    network::{dropout::Dropout, model::Pass, parameters::Parameters, Trainable},
    quantize::quantize_and_score,
    random::{stream, Purpose},
    recipe::Recipe,
    train::{
        self, engine,
        state::{Batch, Current, EpochPlan, State},
    },
    Error,
};
use clap::Args;
use rand::RngExt;
use serde::Serialize;
use std::{
    collections::BTreeMap,
    hint::black_box,
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};
use vit_nostd::{float, frame::Fit, int8};

pub(super) const EXAMPLES: &str = "\
Examples:
  vit-train bench                                    measure all networks
  vit-train bench --preset nano --no-builtin         measure one network, without dfdx's slow operations
  vit-train bench --threads 1 --json                 measure on one thread, for a script";

/// The largest number of steps, whose times are all kept in memory.
const MOST_STEPS: usize = 1_000_000;

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Network to measure [default: all]
    #[arg(long, value_name = "NAME")]
    preset: Option<String>,
    /// Number of repetitions, whose median is shown
    #[arg(long, value_name = "N", default_value_t = 15, value_parser = positive_up_to::<MOST_STEPS>)]
    steps: usize,
    /// Leave out the measurement of dfdx's built-in operations, which takes longest
    #[arg(long)]
    no_builtin: bool,
    #[command(flatten)]
    cuda: CudaArguments,
    /// Number of threads [default: one for each processor]
    #[arg(long, value_name = "N", value_parser = thread_count)]
    threads: Option<usize>,
    /// Print the results as JSON
    #[arg(long)]
    json: bool,
}

/// All measurements: times in milliseconds by the name of the network, and the speed that they can be compared with.
#[derive(Debug, Default, Serialize)]
struct Timings {
    threads: usize,
    /// The speed of multiply-adds alone, on all threads.
    peak_gflops: f64,
    step_ms: BTreeMap<String, StepTimes>,
    infer_ms: BTreeMap<String, InferenceTimes>,
}

/// The times of a training step of 128 images, in milliseconds.
#[derive(Debug, Serialize)]
pub(super) struct StepTimes {
    /// The whole step with the fused pass: loss, gradients, clipping and AdamW.
    fused: f64,
    /// The whole step with dfdx's built-in operations.
    builtin: Option<f64>,
    /// The part of the fused step that computes loss and gradients.
    pass: f64,
    /// The part of the fused step that clips, runs AdamW and copies the parameters back to dfdx.
    update: f64,
    /// Augmenting and normalising a batch, which training does in parallel with the step before.
    prepare: f64,
    /// The speed of the fused pass in GFLOP/s, counting matrix products only.
    gflops: f64,
    /// The time of each operation of the fused pass, as the mean of the threads that share the batch.
    operations: BTreeMap<&'static str, f64>,
    /// The rest of the fused pass: folding, packing, adding up gradients, waiting for the last thread.
    around: f64,
    /// The times on the GPU, with `--cuda`.
    cuda: Option<CudaTimes>,
}

/// The times of a training step of 128 images on a GPU, which includes everything from augmentation to AdamW.
#[derive(Debug, Serialize)]
struct CudaTimes {
    /// The name of the GPU, and the precision of its matrix products.
    device: String,
    /// The time of a step in milliseconds: the median, over stretches of steps, of the mean in a stretch. A stretch
    /// ends where the host waits for the loss.
    step: f64,
    /// The speed in GFLOP/s, counting matrix products only.
    gflops: f64,
}

/// The times of the inference of one image, in milliseconds.
#[derive(Debug, Serialize)]
pub(super) struct InferenceTimes {
    /// The float engine with one image, on one thread.
    f32_single: f64,
    /// The float engine with many images on all threads: the time divided by the number of images.
    f32_batch: f64,
    /// The integer engine with one image, on one thread.
    int8_single: f64,
    /// The integer engine with many images on all threads: the time divided by the number of images.
    int8_batch: f64,
}

impl Arguments {
    pub(super) fn run<L: Networks>(self, networks: &List) -> Result<ExitCode, Error> {
        use_threads(self.threads)?;
        train::check_processor(self.cuda.processor())?;
        let (threads, peak_gflops) = (rayon::current_num_threads(), peak_gflops(self.steps));
        if !self.json {
            out!("{threads} threads, which reach {peak_gflops:.0} GFLOP/s with multiply-adds alone");
        }
        let mut timings = Timings { threads, peak_gflops, ..Timings::default() };
        for network in networks.all() {
            let name = network.name();
            if self.preset.as_ref().is_some_and(|only| *only != name) {
                continue;
            }
            let (step, inference) = with_network::<L, _>(*network, &self)?;
            if !self.json {
                print(&name, &step, &inference);
            }
            timings.step_ms.insert(name.clone(), step);
            timings.infer_ms.insert(name, inference);
        }
        if self.json {
            print_json(&timings)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Measures training steps of network `N`.
    fn step<N: Trainable>(&self) -> Result<StepTimes, Error> {
        let recipe = Recipe::default();
        let data = noise::<N>(recipe.batch_size);
        let batch: Vec<usize> = (0..data.len()).collect();
        let normalization = vec![MNIST_NORMALIZATION; N::CHANNELS];
        let mut prepared = Batch::default();
        let prepare = median_of(self.steps, || prepared.fill::<N>(&recipe, &data, &normalization, &batch, 1));

        let dropout = Dropout::new(recipe.dropout, recipe.seed, 1);
        let mut state = State::<N>::new(Parameters::init::<N>(recipe.seed), recipe.weight_decay);
        let mut fused = Step::<N>::default();
        let Batch { pixels, targets } = &prepared;
        let update =
            |state: &mut State<N>, pass: &mut Pass<_>| state.update(pass, recipe.grad_clip, recipe.lr);
        let (mut passes, mut updates, mut both) = (Vec::new(), Vec::new(), Vec::new());
        let mut times = Times::default();
        for repetition in 0..WARM_UP + self.steps {
            let begin = Instant::now();
            let mut pass = fused.loss_and_gradients(&mut state.model, pixels, targets, &dropout);
            let between = Instant::now();
            update(&mut state, &mut pass);
            if repetition >= WARM_UP {
                passes.push(milliseconds(between - begin));
                updates.push(milliseconds(between.elapsed()));
                both.push(milliseconds(begin.elapsed()));
                times.add(&fused.times());
            }
        }
        let share = |time: Duration| milliseconds(time) / self.steps as f64;
        let operations: BTreeMap<_, _> = times.iter().map(|(name, time)| (name, share(time))).collect();
        let around = passes.iter().sum::<f64>() / self.steps as f64 - operations.values().sum::<f64>();
        let pass = median(passes);
        let builtin = (!self.no_builtin).then(|| {
            median_of(self.steps.div_ceil(3), || {
                let mut pass = state.model.loss_and_gradients(pixels.clone(), targets.clone(), &dropout);
                update(&mut state, &mut pass);
            })
        });
        let flops = (Sizes::of::<N>().flops() * recipe.batch_size) as f64;
        Ok(StepTimes {
            fused: median(both),
            builtin,
            pass,
            update: median(updates),
            prepare,
            gflops: flops / pass / 1e6,
            operations,
            around,
            cuda: if self.cuda.cuda { Some(self.cuda_step::<N>()?) } else { None },
        })
    }

    /// Measures training steps of network `N` on the GPU.
    fn cuda_step<N: Trainable>(&self) -> Result<CudaTimes, Error> {
        let recipe = Recipe { processor: self.cuda.processor(), ..Recipe::default() };
        let data = Splits {
            name: "noise".to_owned(),
            source: Source::Synthetic,
            synthetic: true,
            fallback: None,
            passed_over: Vec::new(),
            skipped: Vec::new(),
            class_names: Vec::new(),
            style: Style::Photos,
            fit: Fit::default(),
            normalization: vec![MNIST_NORMALIZATION; N::CHANNELS],
            train: noise::<N>(synthetic::TRAIN_IMAGES),
            test: noise::<N>(1),
        };
        let mut state = State::<N>::new(Parameters::init::<N>(recipe.seed), recipe.weight_decay);
        let mut engine = engine::<N>(&recipe, &data)?;
        // A smaller batch at the end of an epoch would take less time.
        let images = data.train.len() / recipe.batch_size * recipe.batch_size;
        let mut times = Vec::new();
        for number in 1..=WARM_UP + self.steps.div_ceil(STRETCHES) {
            let (order, mut done) = ((0..images).collect(), Current::default());
            engine.begin_epoch(&mut state, EpochPlan { number, order, lr: recipe.lr }, &done)?;
            while done.images < images {
                let (begin, before) = (Instant::now(), done.steps);
                engine.advance(&mut state, &mut done)?;
                let each = milliseconds(begin.elapsed()) / (done.steps - before) as f64;
                times.extend((number > WARM_UP).then_some(each));
            }
            engine.sync(&mut state)?;
        }
        let step = median(times);
        let flops = (Sizes::of::<N>().flops() * recipe.batch_size) as f64;
        Ok(CudaTimes { device: engine.device(), step, gflops: flops / step / 1e6 })
    }
}

/// Measures one network.
impl Task for &Arguments {
    type Output = Result<(StepTimes, InferenceTimes), Error>;

    fn run<N: Trainable>(self) -> Self::Output {
        Ok((self.step::<N>()?, inference::<N>(self.steps)?))
    }
}

/// Measures the speed that all threads together reach with multiply-adds alone, in GFLOP/s.
fn peak_gflops(repetitions: usize) -> f64 {
    /// The number of rounds, which take some milliseconds.
    const ROUNDS: usize = 1 << 20;
    let mut flops = 0;
    let time = median_of(repetitions, || flops = rayon::broadcast(|_| multiply_adds(ROUNDS)).iter().sum());
    flops as f64 / time / 1e6
}

/// Measures inference with network `N`.
fn inference<N: Trainable>(repetitions: usize) -> Result<InferenceTimes, Error> {
    let checkpoint = Checkpoint { parameters: Parameters::init::<N>(0), description: None };
    let path = Path::new("a model in memory");
    let file = float_model::<N>(&checkpoint, path)?;
    let model = float::Model::<N>::from_bytes(&file);
    let model = model.map_err(|error| Error::Model { path: path.to_owned(), error })?;
    let data = noise::<N>(128);
    let (images, image) = (data.len() as f64, view::<N>(&data, 0));
    let mut scratch = Box::new(float::Scratch::<N>::new());
    let f32_single = median_of(repetitions, || black_box(infer(&model, image, &mut scratch)));
    let f32_batch = median_of(repetitions, || black_box(nostd_logits(&model, &data, data.len()))) / images;

    let indices: Vec<usize> = (0..data.len()).collect();
    let (file, _) = quantize_and_score::<N>(&checkpoint, (&data, &indices), &data, path)?;
    let model = int8::Model::<N>::from_bytes(&file);
    let model = model.map_err(|error| Error::Model { path: path.to_owned(), error })?;
    let mut scratch = Box::new(int8::Scratch::<N>::new());
    let int8_single = median_of(repetitions, || black_box(model.infer(image, &mut scratch)));
    let int8_batch = median_of(repetitions, || black_box(int8_logits(&model, &data, data.len()))) / images;
    Ok(InferenceTimes { f32_single, f32_batch, int8_single, int8_batch })
}

/// The least number of stretches of steps, each timed as one, in an epoch of the built-in digits on a GPU.
const STRETCHES: usize = 2;

/// The number of repetitions before those that count.
const WARM_UP: usize = 2;

/// Measures the median time of `f` in milliseconds.
fn median_of<T>(repetitions: usize, mut f: impl FnMut() -> T) -> f64 {
    let mut time = || {
        let begin = Instant::now();
        black_box(f());
        milliseconds(begin.elapsed())
    };
    for _ in 0..WARM_UP {
        time();
    }
    median((0..repetitions).map(|_| time()).collect())
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn milliseconds(time: Duration) -> f64 {
    1e3 * time.as_secs_f64()
}

fn print(preset: &str, step: &StepTimes, inference: &InferenceTimes) {
    let builtin =
        step.builtin.map_or(String::new(), |ms| format!(", with dfdx's built-in operations {ms:.1} ms"));
    out!("{preset}: a training step of 128 images {:.1} ms{builtin}", step.fused);
    out!(
        "    loss and gradients {:.1} ms ({:.0} GFLOP/s), clipping and AdamW {:.2} ms; in parallel, augmentation \
         {:.2} ms",
        step.pass, step.gflops, step.update, step.prepare
    );
    if let Some(CudaTimes { device, step, gflops }) = &step.cuda {
        out!("    on {device}: {step:.3} ms ({gflops:.0} GFLOP/s), augmentation and AdamW included");
    }
    let mut operations: Vec<_> = step.operations.iter().collect();
    operations.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    for (name, time) in operations.into_iter().chain([(&"everything else", &step.around)]) {
        out!("    {:5.1} %  {time:8.3} ms  {name}", 100.0 * time / step.pass);
    }
    let InferenceTimes { f32_single, f32_batch, int8_single, int8_batch } = inference;
    for (engine, single, batch) in [("f32", f32_single, f32_batch), ("int8", int8_single, int8_batch)] {
        out!(
            "    {engine} inference {single:.3} ms for one image on one thread, {batch:.3} ms per image for many on all"
        );
    }
}

/// Returns `count` images of noise for network `N`, all of class 0. The time of a step does not depend on what they
/// show.
fn noise<N: Trainable>(count: usize) -> Dataset {
    let format = Format::of::<N>();
    let mut levels = vec![0; count * format.values()];
    stream(Purpose::Init, [0; 3]).fill(&mut levels[..]);
    Dataset::new(format, levels, vec![0; count], Path::new("noise")).expect("there is a label for each image")
}
