//! Tests of the kernels, and, on a GPU, comparisons of operations, passes and steps with those of the CPU.
//!
//! Without a GPU, the comparisons print that they were skipped, or fail if the environment variable
//! `VIT_TRAIN_TEST_GPU` is `required`. `tests/stand_in_gpu` is a substitute for a GPU that runs on the CPU.

use super::{
    kernels::{compile, Counters, Grid, ImageSize, InputWindows, Mask, SIGNATURES},
    libraries,
    pass::Matrix,
    CudaError, Device, Resident,
};
use crate::{
    data::{load, Augmentation, Dataset, Format, Source, Splits},
    fused::{
        buffer::{Image, KeyValue, One, PatchValues},
        cpu::{
            attention::{
                self, Heads,
                InLanes::{self, KeyValues, Query, Weights},
            },
            chunk::{self, Chunk, Scratch},
            lanes::CHUNK,
            memory::Memory,
            remaining::Remaining,
        },
        fold::Fold,
        network::Sizes,
        ops::{Ops, Store},
        tests::{compare_passes, numbers, worst, Case, Odd, Shallow, Stem},
    },
    network::{
        dimensions::Dimensions,
        dropout::{Dropout, Site},
        parameters::{Layout, Parameters},
        Trainable,
    },
    recipe::{Precision, Processor, Recipe},
    train::{
        cuda::Trainer,
        engine,
        engine::Engine,
        optimizer::{clip, AdamW},
        state::{Batch, Current, EpochPlan, State},
    },
};
use cudarc::driver::sys::{CUgraphInstantiate_flags, CUstreamCaptureMode};
#[cfg(feature = "dfdx-cuda")]
use dfdx::prelude::{Cuda, Device as DfdxDevice};
use dfdx::shapes::{ConstDim, ConstShape};
use std::env;
use std::path::Path;
use vit_nostd::{frame::Fit, Base, Nano, Tiny};

/// Returns what was found. Otherwise prints that a test was skipped and why, or panics if the environment says that a
/// GPU is required.
fn or_skip<T>(found: Result<T, impl Into<CudaError>>) -> Option<T> {
    found
        .map_err(|error| {
            let error = error.into();
            assert!(env::var_os("VIT_TRAIN_TEST_GPU").is_none_or(|value| value != "required"), "{error}");
            println!("SKIPPED: {error}");
        })
        .ok()
}

fn gpu(precision: Precision) -> Option<Device> {
    or_skip(Device::open(0, precision))
}

#[test]
fn kernels_compile() {
    if or_skip(libraries::load_nvrtc()).is_none() {
        return;
    }
    for capability in [(8, 0), (9, 0)] {
        let code = compile(capability).unwrap();
        // Machine code is an ELF file with a symbol for every kernel.
        assert_eq!(code[..4], *b"\x7fELF");
        for (name, _) in SIGNATURES {
            let symbol = [name.as_bytes(), &[0]].concat();
            assert!(code.windows(symbol.len()).any(|window| window == symbol), "{name}");
        }
    }
    let error = compile((1, 0)).unwrap_err();
    assert!(matches!(error, CudaError::Compile { .. }) && !error.to_string().contains('\n'), "{error}");
}

/// Compares the parameters of the kernels in Rust with those in `kernels.cu`.
#[test]
fn kernels_are_called_as_they_are_declared() {
    let source = include_str!("kernels.cu");
    let mut declared = Vec::new();
    for declaration in source.split("extern \"C\" __global__ void ").skip(1) {
        let (name, rest) = declaration.split_once('(').unwrap();
        let (parameters, _) = rest.split_once(')').unwrap();
        let parameters = parameters.split(',').map(|parameter| {
            let words: Vec<&str> = parameter.split_whitespace().collect();
            let (last, kind) = words.split_last().unwrap();
            let pointer = last.starts_with('*');
            let kind = kind.join(" ");
            (last.trim_start_matches('*').to_owned(), if pointer { format!("{kind} *") } else { kind })
        });
        declared.push((name.to_owned(), parameters.collect::<Vec<_>>()));
    }
    let numbers = [
        ("f32", "float"),
        ("f64", "double"),
        ("u8", "unsigned char"),
        ("u16", "unsigned short"),
        ("u32", "u32"),
        ("i64", "long long"),
    ];
    let structs = ["Counters", "ImageSize", "InputWindows", "Mask"].map(|name| (name, name));
    let types: Vec<(String, String)> = numbers
        .into_iter()
        .chain(structs)
        .flat_map(|(rust, c)| {
            let element = if rust == "f32" { String::new() } else { format!(", {rust}") };
            [
                (rust.to_owned(), c.to_owned()),
                (format!("Read<'_{element}>"), format!("const {c} *")),
                (format!("Write<'_{element}>"), format!("{c} *")),
            ]
        })
        .collect();
    let in_c = |rust: &str| types.iter().find(|(name, _)| name == rust).map(|(_, c)| c.clone());
    let called: Vec<_> = SIGNATURES
        .iter()
        .map(|(name, parameters)| {
            let parameters = parameters.iter().map(|(name, rust)| ((*name).to_owned(), in_c(rust).unwrap()));
            ((*name).to_owned(), parameters.collect::<Vec<_>>())
        })
        .collect();
    assert_eq!(called, declared);
    let sizes = (size_of::<Counters>(), size_of::<ImageSize>(), size_of::<InputWindows>(), size_of::<Mask>());
    assert_eq!(sizes, (64, 12, 56, 24), "the fields of kernels.cu have no padding between them");
}

#[test]
fn what_is_missing_is_said_in_one_line() {
    for library in [libraries::load_driver(), libraries::load_nvrtc()] {
        let Err(missing) = library else { continue };
        let line = missing.to_string();
        assert!(
            line.contains("not found") && line.contains("LD_LIBRARY_PATH") && !line.contains('\n'),
            "{line}"
        );
    }
}

/// Tells the compiler that these are operations of the network [`Odd`].
fn of_odd<V, L>(ops: &mut impl Ops<Odd, V, L>) -> &mut impl Ops<Odd, V, L> {
    ops
}

/// Carries out one operation of the network [`Odd`] on the CPU and on a GPU, on buffers of these shapes with the same
/// numbers. Then compares all buffers and the gradients of all layers. The operation takes the buffers and returns
/// them. A buffer that is not row by row on the CPU is followed by its [`Form`].
macro_rules! same {
    ($resident:ident, $factor:expr, |
        $ops:ident, $layers:ident, $($buffer:ident: $shape:ty $(=> $form:ident($what:expr))?),*
    | $work:expr) => {{
        let (sizes, images, rate) = (Sizes::of::<Odd>(), 5, 0.25);
        let layout = Layout::of::<Odd>();
        let parameters: Vec<f32> = numbers(layout.len(), 1).iter().map(|x| $factor * x).collect();
        let dropout = Dropout::new(rate, 5, 6);
        let shapes = [$((stringify!($buffer), <$shape as ConstShape>::NUMEL)),*];
        let forms = [$({
            let _form = Form::Rows;
            $(let _form = $form($what);)?
            _form
        }),*];
        let values = shapes.iter().zip(2..).map(|(&(name, len), seed)| -> Vec<f32> {
            // The operations expect the row of the class token in the patches to be zero before the first pass.
            let factor = if name == "patches" { 0.0 } else { $factor };
            numbers(images * len, seed).iter().map(|x| factor * x).collect()
        });
        let values: Vec<Vec<f32>> = values.collect();

        let mut expected = values.iter().zip(forms);
        let (mut gradients, mut scratch) = (vec![0.0; layout.len()], Scratch::default());
        let $layers = &Fold::new(sizes, layout.clone()).places::<Odd>().map(|place| {
            let mut layer = chunk::Linear::new(place);
            layer.load(&parameters);
            layer
        });
        let expected: Vec<Vec<f32>> = {
            $(
                #[allow(unused_mut)]
                let mut $buffer = {
                    let (rows, form) = expected.next().unwrap();
                    chunk::Matrix::<$shape>::new(form.before(images, rows))
                };
            )*
            let (gradients, scratch) = (&mut gradients, &mut scratch);
            let remaining = &Remaining::new(1);
            let mut chunk =
                Chunk { first: 0, images, batch: images, dropout, gradients, add: false, remaining, scratch };
            let $ops = of_odd(&mut chunk);
            let ($($buffer),*) = { $work };
            let ended = [$($buffer.get(CHUNK).to_vec()),*];
            ended.into_iter().zip(forms).map(|(values, form)| form.after(images, values)).collect()
        };

        let stream = $resident.device.main.stream.clone();
        let mut found = values.iter();
        $(
            #[allow(unused_mut)]
            let mut $buffer = Matrix::<$shape>::new(stream.clone_htod(found.next().unwrap()).unwrap());
        )*
        stream.memcpy_htod(&parameters, &mut $resident.folded).unwrap();
        stream.memset_zeros(&mut $resident.gradients).unwrap();
        stream.memset_zeros(&mut $resident.sums).unwrap();
        let counters = Counters { seed_key: Dropout::seed_key(5), step: 5, ..Counters::default() };
        $resident.set_counters(counters).unwrap();
        let counters = $resident.counters.as_view_mut();
        $resident.device.main.kernels.begin_step(Grid::images(1, 1, 1, 0), counters, images as u32).unwrap();
        let (_, $layers, mut pass) = $resident.parts(images, dropout);
        let $ops = of_odd(&mut pass);
        let ($($buffer),*) = { $work };
        pass.finish().unwrap();
        $resident.finish_biases().unwrap();
        let found = [$(stream.clone_dtoh(&$buffer.read(images)).unwrap()),*];
        let found_gradients = stream.clone_dtoh(&$resident.gradients).unwrap();

        let what = |name: &str| format!("{name} in {}, times {}", stringify!($work), $factor);
        for ((expected, found), (name, ..)) in expected.iter().zip(&found).zip(shapes) {
            assert_close(expected, found, &what(name));
        }
        for entry in &layout.0 {
            let range = entry.range.clone();
            assert_close(&gradients[range.clone()], &found_gradients[range], &what(&entry.name));
        }
    }};
}

/// The memory layout of a buffer on the CPU.
#[derive(Clone, Copy)]
enum Form {
    Rows,
    /// Rows before the operation, and lanes after it.
    After(Heads, InLanes),
    /// Lanes before and after the operation.
    Lanes(Heads, InLanes),
}

impl Form {
    /// Returns the memory of a chunk with `rows` in the layout that they have before the operation.
    fn before(self, images: usize, rows: &[f32]) -> Memory {
        let mut memory = Memory::zeros(CHUNK * rows.len() / images);
        match self {
            Self::Rows | Self::After(..) => memory[..rows.len()].copy_from_slice(rows),
            Self::Lanes(heads, what) => {
                attention::to_lanes(what, heads, images, rows, &mut memory);
            }
        }
        memory
    }

    /// Returns the rows of a chunk's memory, which has the layout after the operation.
    fn after(self, images: usize, mut values: Vec<f32>) -> Vec<f32> {
        let len = images * values.len() / CHUNK;
        match self {
            Self::Rows => values.truncate(len),
            Self::After(heads, what) | Self::Lanes(heads, what) => {
                let mut rows = vec![f32::NAN; len];
                attention::to_rows(what, heads, images, &values, &mut rows);
                values = rows;
            }
        }
        values
    }
}

/// Fails if the largest difference is more than 1e-5 of the largest number.
fn assert_close(expected: &[f32], found: &[f32], what: &str) {
    let (error, largest) = (worst(expected, found), worst(expected, &vec![0.0; expected.len()]));
    assert!(error <= 1e-5 * largest.max(1e-3), "{what}: {error:e} of {largest:e}");
    assert!(found.iter().all(|x| x.is_finite()), "{what}");
}

type T = <Odd as Dimensions>::Tokens;
type E = <Odd as Dimensions>::Embed;
type Kv = KeyValue<Odd>;
type N = <Odd as Dimensions>::Heads;
type H = <Odd as Dimensions>::Hidden;

/// The dimensions are not multiples of the size of a warp or of a block. The numbers are zeros, ordinary ones, and
/// large ones, with which softmax and GELU saturate.
#[test]
fn each_operation_is_the_cpus() {
    type C = <Odd as Dimensions>::Classes;
    let Some(device) = gpu(Precision::F32) else { return };
    let mut resident = Resident::<Odd>::new(device, 7).unwrap();
    let r = &mut resident;
    for factor in [0.0, 1.0, 30.0] {
        same!(r, factor, |ops, l, pixels: Image<Odd>, patches: (T, PatchValues<Odd>), x: (T, E)| {
            ops.cut_images(&pixels, &mut patches);
            ops.embed(&l.embedding, &patches, &mut x);
            (pixels, patches, x)
        });
        same!(r, factor, |ops, l, x: (T, PatchValues<Odd>), d: (T, E)| {
            ops.embed_backward(&l.embedding, &x, &mut d);
            (x, d)
        });
        each_operation_on_rows::<One>(r, factor);
        each_operation_on_rows::<T>(r, factor);
        same!(r, factor, |ops, _l, all: (T, E), class: (One, E)| {
            ops.class_tokens(&all, &mut class);
            (all, class)
        });
        for store in [Store::Set, Store::Add] {
            same!(r, factor, |ops, _l, class: (One, E), all: (T, E)| {
                ops.class_tokens_backward(&class, &mut all, store);
                (class, all)
            });
        }
        same!(r, factor, |ops,
                          _l,
                          logits: (One, C),
                          targets: (One, C),
                          losses: (One,),
                          d_logits: (One, C)| {
            ops.cross_entropy(&logits, &targets, &mut losses, &mut d_logits);
            (logits, targets, losses, d_logits)
        });
    }
}

fn each_operation_on_rows<R: ConstDim>(r: &mut Resident<Odd>, factor: f32) {
    same!(r, factor, |ops, _l, x: (R, E), normed: (R, E), scale: (R,)| {
        ops.normalize(&x, &mut normed, &mut scale);
        (x, normed, scale)
    });
    for store in [Store::Set, Store::Add] {
        same!(r, factor, |ops, _l, normed: (R, E), scale: (R,), d_y: (R, E), d_x: (R, E)| {
            ops.normalize_backward(&normed, &scale, &d_y, &mut d_x, store);
            (normed, scale, d_y, d_x)
        });
        same!(r, factor, |ops, l, x: (R, E), y: (R, Kv)| {
            ops.linear(&l.blocks[1].key_value, &x, &mut y, store);
            (x, y)
        });
        same!(r, factor, |ops, l, x: (R, H), d_y: (R, E), d_x: (R, H)| {
            ops.linear_backward(&l.blocks[2].mlp, &x, &d_y, &mut d_x, store);
            (x, d_y, d_x)
        });
    }
    same!(r, factor, |ops, l, x: (R, E), y: (R, H), slope: (R, H)| {
        ops.linear_gelu_dropout(&l.blocks[0].hidden, &x, Site::Hidden(0), &mut y, &mut slope);
        (x, y, slope)
    });
    same!(r, factor, |ops, _l, slope: (R, H), d: (R, H)| {
        ops.gelu_dropout_backward(&slope, &mut d);
        (slope, d)
    });
    same!(r, factor, |ops, l, x: (R, H), stream: (R, E)| {
        ops.linear_dropout_add(&l.blocks[0].mlp, &x, Site::Mlp(2), &mut stream);
        (x, stream)
    });
    same!(r, factor, |ops, _l, d_y: (R, E), d_x: (R, E)| {
        ops.dropout_backward(Site::Mlp(1), &d_y, &mut d_x);
        (d_y, d_x)
    });
    let heads = Heads { tokens: T::SIZE, queries: R::SIZE, embed: E::SIZE, heads: N::SIZE };
    let [after, lanes] = [Form::After, Form::Lanes].map(|form| move |what| form(heads, what));
    same!(r, factor, |ops, _l, y: (R, E), q: (R, E) => after(Query), kv: (T, Kv) => after(KeyValues),
        kept: (N, R, T) => after(Weights), dropped: (N, R, T) => after(Weights)| {
        let mut w = [kept, dropped];
        ops.attention(Site::Attention(1), &mut q, &mut kv, &mut w, &mut y);
        let [kept, dropped] = w;
        (y, q, kv, kept, dropped)
    });
    same!(r, factor, |ops, _l, d: (R, E), d_q: (R, E), d_kv: (T, Kv), q: (R, E) => lanes(Query),
        kv: (T, Kv) => lanes(KeyValues), kept: (N, R, T) => lanes(Weights), dropped: (N, R, T) => lanes(Weights)| {
        let w = [kept, dropped];
        ops.attention_backward(&q, &kv, &w, &d, &mut d_q, &mut d_kv);
        let [kept, dropped] = w;
        (d, d_q, d_kv, q, kv, kept, dropped)
    });
}

/// Returns the loss, the logits and the gradients of `case` on a GPU, with the masks of step 6 of a run with seed 5.
fn pass<N: Trainable>(resident: &mut Resident<N>, case: &Case, rate: f32) -> (f32, Vec<f32>, Vec<f32>) {
    let images = case.targets.len() / N::CLASSES;
    let stream = resident.device.main.stream.clone();
    resident.load(&case.parameters).unwrap();
    stream.memcpy_htod(&case.pixels, &mut resident.activations.pixels.write(images)).unwrap();
    stream.memcpy_htod(&case.targets, &mut resident.activations.targets.write(images)).unwrap();
    let counters = Counters { seed_key: Dropout::seed_key(5), step: 5, ..Counters::default() };
    resident.set_counters(counters).unwrap();
    let counters = resident.counters.as_view_mut();
    resident.device.main.kernels.begin_step(Grid::images(1, 1, 1, 0), counters, images as u32).unwrap();
    resident.fold().unwrap();
    resident.pass(images, Dropout::new(rate, 5, 6)).unwrap();
    let losses = stream.clone_dtoh(&resident.activations.losses.read(images)).unwrap();
    let logits = stream.clone_dtoh(&resident.activations.logits.read(images)).unwrap();
    let gradients = stream.clone_dtoh(&resident.gradients).unwrap();
    (losses.iter().sum::<f32>() / images as f32, logits, gradients)
}

fn compare<N: Trainable>(batches: &[usize], rates: &[f32]) {
    let Some(device) = gpu(Precision::F32) else { return };
    // There is more room than any batch needs, and later batches find memory that earlier ones have written.
    let mut resident = Resident::<N>::new(device, 1 + batches.iter().max().unwrap()).unwrap();
    for &rate in rates {
        for &batch in batches {
            let case = Case::new::<N>(batch);
            let found = pass(&mut resident, &case, rate);
            compare_passes::<N>(&case.built_in::<N>(&Dropout::new(rate, 5, 6)), &found);
            assert_eq!(found, pass(&mut resident, &case, rate), "a repeated pass has another result");
        }
    }
}

#[test]
fn gradients_of_odd_shapes_are_those_of_the_built_in_operations() {
    compare::<Odd>(&[3, 1, 37], &[0.0, 0.1, 0.5]);
    compare::<Shallow>(&[3, 1, 37], &[0.0, 0.1, 0.5]);
    compare::<Stem>(&[3, 1, 37], &[0.0, 0.1]);
}

#[test]
fn gradients_are_those_of_the_built_in_operations() {
    compare::<Nano>(&[3, 20], &[0.1]);
    compare::<Tiny>(&[2], &[0.1]);
}

#[test]
fn gradients_of_base_are_those_of_the_built_in_operations() {
    compare::<Base>(&[9], &[0.1]);
}

/// The main queue waits for the side queue even if a pass fails. Otherwise the graph could not be recorded to its end.
#[test]
fn a_pass_that_fails_is_waited_for() {
    let Some(device) = gpu(Precision::F32) else { return };
    let mut resident = Resident::<Odd>::new(device, 3).unwrap();
    let stream = resident.device.main.stream.clone();
    let zeros = |len| stream.alloc_zeros(3 * len);
    let [x, d_y, mut d_x] = [0; 3].map(|_| Matrix::<(T, E)>::within(zeros).unwrap());
    stream.begin_capture(CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_RELAXED).unwrap();
    let (_, layers, mut pass) = resident.parts(3, Dropout::none());
    of_odd(&mut pass).linear_backward(&layers.blocks[0].out, &x, &d_y, &mut d_x, Store::Set);
    pass.error.get_or_insert(CudaError::NothingRecorded);
    assert_eq!(pass.finish(), Err(CudaError::NothingRecorded));
    let graph = stream.end_capture(CUgraphInstantiate_flags(0)).unwrap();
    assert!(graph.is_some(), "nothing was recorded");
}

/// Compares the built-in operations on dfdx's own CUDA device with those on the CPU and with the fused ones.
#[cfg(feature = "dfdx-cuda")]
#[cfg_attr(not(feature = "dfdx-cuda-check"), test)]
#[cfg_attr(feature = "dfdx-cuda-check", allow(dead_code))] // functions that are not called need not be linked
fn dfdxs_own_cuda_device_gives_the_same_results() {
    if gpu(Precision::F32).is_some() {
        let device = Cuda::default();
        compare_with::<Odd>(&device, 3);
        compare_with::<Stem>(&device, 3);
        compare_with::<Nano>(&device, 20);
        compare_with::<Base>(&device, 9);
    }
}

#[cfg(feature = "dfdx-cuda")]
fn compare_with<N: Trainable>(device: &impl DfdxDevice<f32>, batch: usize) {
    let (case, dropout) = (Case::new::<N>(batch), Dropout::new(0.1, 5, 6));
    let by_dfdx = case.built_in_on::<N, _>(device, &dropout);
    compare_passes::<N>(&case.built_in::<N>(&dropout), &by_dfdx);
    let mut resident = Resident::<N>::new(gpu(Precision::F32).unwrap(), batch).unwrap();
    compare_passes::<N>(&by_dfdx, &pass(&mut resident, &case, 0.1));
}

/// Runs two epochs, in which the last batch is smaller than the others. Returns the statistics of each epoch, the
/// parameters at the end, and the loss of the training images.
fn run(recipe: &Recipe, data: &Splits) -> (Vec<Current>, Vec<f32>, f64) {
    let mut state = State::<Nano>::new(Parameters::init::<Nano>(recipe.seed), recipe.weight_decay);
    let mut engine: Box<dyn Engine<Nano> + '_> = engine(recipe, data).unwrap();
    let mut epochs = Vec::new();
    for number in 1..=2 {
        let order: Vec<usize> = (0..data.train.len()).map(|index| index * 7 % data.train.len()).collect();
        let mut done = Current::default();
        engine.begin_epoch(&mut state, EpochPlan { number, order, lr: recipe.lr }, &done).unwrap();
        while done.images < data.train.len() {
            engine.advance(&mut state, &mut done).unwrap();
        }
        engine.sync(&mut state).unwrap();
        epochs.push(done);
    }
    let score = engine.score(&state, &(0..data.train.len()).collect::<Vec<_>>()).unwrap();
    (epochs, state.parameters.values, score.loss)
}

/// Returns data with the first `images` of the built-in digits as training images.
fn digits(images: usize) -> Splits {
    let mut data = load(&Source::Synthetic, Format::of::<Nano>(), Fit::Crop).unwrap();
    data.train.truncate(images);
    data
}

/// Returns data with images of noise, for any network.
fn noise<N: Trainable>(images: usize) -> Splits {
    let format = Format::of::<N>();
    let levels = numbers(images * format.values(), 9).iter().map(|x| (127.9 * (x + 1.0)) as u8).collect();
    let labels = (0..images).map(|index| (index / 3 % N::CLASSES) as u16).collect();
    let train = Dataset::new(format, levels, labels, Path::new("noise")).unwrap();
    let normalization = train.normalization().unwrap();
    Splits { test: train.clone(), train, normalization, ..digits(2) }
}

#[test]
fn a_step_takes_the_images_of_the_cpu_and_counts_correct_predictions() {
    if gpu(Precision::F32).is_none() {
        return;
    }
    let recipe = Recipe { batch_size: 16, ..Recipe::default() };
    step_takes_the_images_of_the_cpu::<Nano>(&recipe, &digits(50));
    for augmentation in [Augmentation::NONE, Augmentation::PHOTOS, Augmentation::DIGITS] {
        let recipe = Recipe { augmentation, ..recipe.clone() };
        step_takes_the_images_of_the_cpu::<Nano>(&recipe, &digits(50));
        step_takes_the_images_of_the_cpu::<Odd>(&recipe, &noise::<Odd>(50));
    }
}

/// Compares the augmented and normalised images and the targets of a step with those of the CPU to the bit, and checks
/// the counters that the host reads. All parameters are zero, so that all classes are equally likely and every
/// prediction is class 0.
fn step_takes_the_images_of_the_cpu<N: Trainable>(recipe: &Recipe, data: &Splits) {
    let mut trainer = Trainer::<N>::new(0, Precision::F32, recipe, data).unwrap();
    let parameters = vec![0.0; N::DIMS.parameters()];
    let parameters = Parameters { layout: Layout::of::<N>(), values: parameters };
    let mut state = State::<N>::new(parameters, recipe.weight_decay);
    // The batch before has another number of images of class 0, and this batch another one of the last class.
    let order: Vec<usize> = (0..50).map(|index| (index + 8) % 50).collect();
    let (before, batch) = order[..32].split_at(16);
    let plan = EpochPlan { number: 3, order: order.clone(), lr: recipe.lr };
    let done = Current { steps: 1, images: 16, ..Current::default() };
    trainer.begin_epoch(&mut state, plan, &done).unwrap();
    trainer.queue_step(16).unwrap();

    let mut expected = Batch::default();
    expected.fill::<N>(recipe, &data.train, &data.normalization, batch, 3);
    let (stream, activations) = (trainer.device().main.stream.clone(), &trainer.resident.activations);
    assert_eq!(stream.clone_dtoh(&activations.pixels.read(16)).unwrap(), expected.pixels);
    assert_eq!(stream.clone_dtoh(&activations.targets.read(16)).unwrap(), expected.targets);

    let with_label =
        |images: &[usize], label| images.iter().filter(|&&i| data.train.label(i) == label).count();
    let zeros = with_label(batch, 0);
    assert!(
        zeros != with_label(before, 0) && zeros != with_label(batch, N::CLASSES as u16 - 1),
        "the test would not notice a mistake"
    );
    let counters = trainer.read_counters().unwrap();
    assert_eq!(counters.correct as usize, zeros);
    assert!((counters.loss_sum - 16.0 * (N::CLASSES as f64).ln()).abs() < 1e-4, "{counters:?}");
}

/// Compares clipping and AdamW step by step. Some gradients are so small that AdamW's epsilon matters, others so large
/// that they are clipped.
#[test]
fn the_optimizer_is_the_cpus() {
    const LEN: usize = 1300; // enough for every block to have some
    const BLOCKS: u32 = 5;
    let Some(device) = gpu(Precision::F32) else { return };
    let (lr, weight_decay, max_norm) = (0.01, 0.1, 1.0);
    let mut parameters = numbers(LEN, 1);
    let mut adam = AdamW::new(LEN, weight_decay);
    let stream = &device.main.stream;
    let mut found = stream.clone_htod(&parameters).unwrap();
    let [mut means, mut squares] = [0, 1].map(|_| stream.alloc_zeros::<f32>(LEN).unwrap());
    let mut sums = stream.alloc_zeros::<f64>(BLOCKS as usize).unwrap();
    for (step, size) in [(1, 0.02), (2, 3.0), (3, 0.005), (4, 0.03)] {
        let sizes = [size, size * 1e-3, size * 1e-6].into_iter().cycle();
        let mut gradients: Vec<f32> =
            numbers(LEN, step).iter().zip(sizes).map(|(x, size)| x * size).collect();
        let on_gpu = stream.clone_htod(&gradients).unwrap();
        let norm = clip(&mut gradients, max_norm);
        adam.step(&mut parameters, &gradients, lr);

        let counters = Counters { step, lr, weight_decay, max_norm, ..Counters::default() };
        let mut counters = stream.clone_htod(&[counters]).unwrap();
        let (kernels, len) = (&device.main.kernels, LEN as u32);
        kernels.square_sums(Grid::sums(BLOCKS), on_gpu.as_view(), sums.as_view_mut(), len).unwrap();
        kernels.clip(Grid::sums(1), counters.as_view_mut(), sums.as_view(), BLOCKS).unwrap();
        let (grid, gradients, values) = (Grid::elements(LEN), on_gpu.as_view(), found.as_view_mut());
        let (means, squares) = (means.as_view_mut(), squares.as_view_mut());
        kernels.adamw(grid, counters.as_view(), gradients, values, means, squares, len).unwrap();

        let counters = stream.clone_dtoh(&counters).unwrap()[0];
        assert!((counters.norm - norm).abs() <= 1e-6 * norm, "step {step}: {} {norm}", counters.norm);
        let error = worst(&parameters, &stream.clone_dtoh(&found).unwrap());
        assert!(error <= 1e-6, "step {step}: {error:e}");
    }
}

/// Takes steps with augmentation, dropout and clipping. With AdamW, gradients that are nothing but rounding errors move
/// parameters as far as others. The test therefore compares the movement of all parameters as a whole.
#[test]
fn steps_are_those_of_the_cpu() {
    if gpu(Precision::F32).is_none() {
        return;
    }
    let data = digits(50);
    // The test tries every part of a variation.
    let augmentation = Augmentation {
        rotation_degrees: 10.0,
        translation: 0.07,
        scale: 0.1,
        shear_degrees: 10.0,
        elastic: 0.03,
        mirror: 0.5,
        ..Augmentation::PHOTOS
    };
    let recipe = Recipe { batch_size: 16, grad_clip: 0.5, augmentation, ..Recipe::default() };
    let on = |precision| Recipe { processor: Processor::Cuda { index: 0, precision }, ..recipe.clone() };
    let (expected, parameters, loss) = run(&recipe, &data);
    let begin = Parameters::init::<Nano>(recipe.seed).values;
    let distance = |to: &[f32], from: &[f32]| {
        to.iter().zip(from).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt()
    };
    for (precision, tolerance) in [(Precision::F32, 1e-4), (Precision::Tf32, 2e-2)] {
        let (epochs, found, found_loss) = run(&on(precision), &data);
        for (a, b) in expected.iter().zip(&epochs) {
            assert_eq!((a.steps, a.images), (b.steps, b.images));
            let (a, b) = (a.loss(), b.loss());
            assert!((a - b).abs() <= tolerance, "{precision}: loss {a} {b}");
        }
        assert!((loss - found_loss).abs() <= tolerance, "{precision}: loss {loss} {found_loss}");
        let (apart, moved) = (distance(&found, &parameters), distance(&parameters, &begin));
        println!("{precision}: {:.1e} of the movement apart", apart / moved);
        assert!(apart <= 10.0 * tolerance * moved, "{precision}: {apart:e} apart, moved {moved:e}");
        let again = run(&on(precision), &data);
        assert_eq!(again, (epochs, found, found_loss), "a repeated run has another result");
    }
}
