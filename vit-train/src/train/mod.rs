//! The training loop.

mod cpu;
pub(crate) mod cuda;
pub(crate) mod engine;
mod finish;
pub(crate) mod optimizer;
mod order;
mod progress;
pub(crate) mod snapshot;
pub(crate) mod state;

use crate::{
    data::{Format, Splits},
    digest::Digest,
    error::{Divergence, Error},
    formats::checkpoint::{Checkpoint, Description},
    fused::cuda::Device,
    network::{
        name,
        parameters::{Layout, Parameters},
        Trainable,
    },
    recipe::{Processor, Recipe},
    run::{
        folder::RunFolder,
        record::{Epoch, Timing},
        report::{Environment, Report},
    },
    train::{
        cpu::CpuEngine,
        cuda::Trainer,
        engine::Engine,
        snapshot::{Checkpointer, Position, Run, Snapshot},
        state::{Current, EpochPlan, State},
    },
};
pub use progress::Progress;

use finish::finish;
use order::{imbalance, order};
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// Checks that a processor can be used.
///
/// # Errors
/// Returns [`Error::Cuda`] if there is no such GPU, or if one of NVIDIA's libraries is missing.
pub(crate) fn check_processor(processor: Processor) -> Result<(), Error> {
    match processor {
        Processor::Cpu => Ok(()),
        Processor::Cuda { index, .. } => Ok(Device::check(index)?),
    }
}

/// Returns the engine for the processor of `recipe`.
///
/// # Errors
/// Returns [`Error::Cuda`] if the GPU cannot be used.
pub(crate) fn engine<'a, N: Trainable>(
    recipe: &'a Recipe,
    data: &'a Splits,
) -> Result<Box<dyn Engine<N> + 'a>, Error> {
    Ok(match recipe.processor {
        Processor::Cpu => Box::new(CpuEngine::<N>::new(recipe, data)),
        Processor::Cuda { index, precision } => Box::new(Trainer::<N>::new(index, precision, recipe, data)?),
    })
}

/// The state that a run begins with.
#[derive(Debug)]
pub enum Start {
    /// Random parameters.
    Random,
    /// These parameters, in the order of the network.
    Parameters(Parameters),
    /// The snapshot of an interrupted run with the same settings, which is continued.
    Snapshot(Box<Snapshot<'static>>),
}

impl Start {
    /// Returns the state in which the run in `folder` was interrupted, from which [`train`] continues it to the same
    /// results, to the bit, as if it had not been interrupted. Returns `None` if there is no run in the folder that could
    /// be continued, or if it is finished. A run that begins with another [`Start`] replaces the one in the folder.
    ///
    /// This function goes on with a run that was interrupted:
    ///
    /// ```
    /// # use std::{path::Path, time::Duration};
    /// # use vit_train::{data::Splits, recipe::Recipe, run::{folder::RunFolder, report::Report}, train::{train, Start}};
    /// # vit_nostd::network! { pub Mine { image: 28, patch: 7, embed: 48, heads: 4, hidden: 96, depth: 2, classes: 10 } }
    /// fn run(recipe: &Recipe, data: &Splits) -> Result<Report, vit_train::Error> {
    ///     let folder = RunFolder::create(Path::new("runs/mine"))?;
    ///     let start = Start::resumed::<Mine>(recipe, data, &folder)?.unwrap_or(Start::Random);
    ///     train::<Mine>(recipe, data, start, &folder, Duration::from_secs(60), &mut ())
    /// }
    /// ```
    ///
    /// # Errors
    /// [`Error::OtherRun`] if the interrupted run has another recipe, another network or other images; [`Error::Snapshot`]
    /// if its snapshot is damaged; [`Error::Io`] if that cannot be read.
    pub fn resumed<N: Trainable>(
        recipe: &Recipe,
        data: &Splits,
        folder: &RunFolder,
    ) -> Result<Option<Self>, Error> {
        let snapshot = match Snapshot::load(folder) {
            Err(Error::NothingToResume { .. }) => return Ok(None),
            snapshot => snapshot?,
        };
        if snapshot.position.finished {
            return Ok(None);
        }
        // The parameters that the run began with do not matter any more.
        let run = Run::new::<N>(recipe, data, snapshot.run.init.clone());
        Ok(Some(Self::Snapshot(Box::new(snapshot.of_run::<N>(folder, &run)?))))
    }

    /// Returns the digest of the initial parameters: see [`Run::init`].
    fn init(&self) -> Option<String> {
        match self {
            Self::Random => None,
            Self::Parameters(parameters) => Some(Digest::of(parameters).to_string()),
            Self::Snapshot(snapshot) => snapshot.run.init.clone(),
        }
    }

    /// Returns the state, the position from which the run goes on, and the parameters that are kept so far.
    fn into_parts<N: Trainable>(self, recipe: &Recipe) -> (State<N>, Position, Parameters) {
        match self {
            Self::Random => Self::Parameters(Parameters::init::<N>(recipe.seed)).into_parts(recipe),
            Self::Parameters(parameters) => {
                let state = State::new(parameters.clone(), recipe.weight_decay);
                (state, Position::default(), parameters)
            }
            Self::Snapshot(snapshot) => {
                let Snapshot { position, parameters, optimizer, kept, .. } = *snapshot;
                let layout = Layout::of::<N>();
                let kept = Parameters { layout: layout.clone(), values: kept.into_owned() };
                let parameters = Parameters { layout, values: parameters.into_owned() };
                let mut state = State::new(parameters, recipe.weight_decay);
                state.optimizer = optimizer.into_owned();
                (state, position.into_owned(), kept)
            }
        }
    }
}

/// Trains network `N` on `data`, and writes the snapshots, checkpoint, model files and report to `folder`.
///
/// `save_every` is the time between snapshots within an epoch. If the network cannot be quantized, there is no integer
/// model, and the report says why ([`TestScores::int8_error`](crate::run::record::TestScores::int8_error)).
///
/// # Errors
/// Before training begins, it returns
/// - [`Error::Recipe`] if a setting of `recipe` is out of its range;
/// - [`Error::Data`] if the images do not fit `N`, or if `N` has more classes than labels can distinguish;
/// - [`Error::Description`] if the class names or the normalisation of the data cannot be stored in a model file of
///   `N`;
/// - [`Error::Cuda`] if the GPU cannot be used.
///
/// During training, it returns
/// - [`Error::Io`] if a file cannot be written;
/// - [`Error::Diverged`] if a loss or a parameter is no longer finite; `folder` then has the checkpoint and the report
///   of the epochs before;
/// - [`Error::Interrupted`] if [`Progress::wants_to_end`] returns true;
/// - [`Error::Cuda`] if the GPU fails.
pub fn train<N: Trainable>(
    recipe: &Recipe,
    data: &Splits,
    start: Start,
    folder: &RunFolder,
    save_every: Duration,
    progress: &mut impl Progress,
) -> Result<Report, Error> {
    recipe.check()?;
    let description = describe(recipe, data);
    description.check(&N::DIMS).map_err(|field| Error::Description { from: data.name.clone(), field })?;
    data.check(Format::of::<N>())?;
    if cfg!(debug_assertions) {
        progress.note(
            "this program was compiled without optimisation and trains very slowly: run it with --release",
        );
    }
    let directory: &Path = folder;
    let (train_indices, validation_indices) = data.train.split(recipe.seed);
    let steps = train_indices.len().div_ceil(recipe.batch_size);
    let mut engine = engine::<N>(recipe, data)?;
    let device = engine.device();
    let run = Run::new::<N>(recipe, data, start.init());
    let run_data = run.data.clone();
    let (mut state, mut position, kept) = start.into_parts::<N>(recipe);
    let mut kept = Checkpoint { parameters: kept, description: Some(description) };
    if position == Position::default()
        && let Some(note) = imbalance(data, &train_indices)
    {
        progress.note(&match recipe.balance {
            true => format!("{note}. All classes are drawn equally often."),
            false => format!("{note}. With --balance, all classes are drawn equally often."),
        });
    }
    // From now on, this run is the one that can be resumed.
    let mut checkpointer = Checkpointer::new(directory, run, save_every);
    checkpointer.save(&position, &state, &kept.parameters)?;
    if !position.epochs.is_empty() {
        run_data.write(directory)?; // the path of the images may have changed
    }

    let report = |position: &Position| Report {
        preset: name::<N>(),
        params: N::DIMS.parameters(),
        dataset: data.name.clone(),
        synthetic: data.synthetic,
        skipped: data.skipped.clone(),
        device: device.clone(),
        threads: rayon::current_num_threads(),
        environment: Some(Environment::here()),
        seed: recipe.seed,
        recipe: Some(recipe.clone()),
        epochs: position.epochs.clone(),
        kept_epoch: position.kept_epoch,
        test: None,
        verify: None,
        timing: timing(position, train_indices.len()),
    };

    while position.epochs.len() < recipe.epochs {
        let mut clock = Instant::now();
        let epoch = position.epochs.len() + 1;
        let lr = recipe.lr_of(epoch);
        let order = order(recipe, &data.train, &train_indices, epoch);
        let plan = EpochPlan { number: epoch, order, lr: lr as f32 };
        engine.begin_epoch(&mut state, plan, &position.current)?;
        while position.current.steps < steps {
            let before = position.current.steps;
            engine.advance(&mut state, &mut position.current)?;
            let Current { steps: step, .. } = position.current;
            progress.step(epoch, recipe.epochs, step, steps, position.current.loss());
            let seconds = std::mem::replace(&mut clock, Instant::now()).elapsed().as_secs_f64();
            let each = seconds / (step - before) as f64;
            position.step_seconds.extend(std::iter::repeat_n(each, step - before));
            let end = progress.wants_to_end();
            if end || checkpointer.is_due() {
                engine.sync(&mut state)?;
                state.check(epoch, step)?;
                checkpointer.save(&position, &state, &kept.parameters)?;
            }
            if end {
                return Err(Error::Interrupted { epoch, step });
            }
        }

        engine.sync(&mut state)?;
        state.check(epoch, steps)?;
        let validation = engine.score(&state, &validation_indices)?;
        if !validation.loss.is_finite() {
            return Err(Error::Diverged { epoch, sign: Divergence::Validation { loss: validation.loss } });
        }
        let trained = std::mem::take(&mut position.current);
        let step_seconds = &position.step_seconds[(epoch - 1) * steps..];
        let record = Epoch {
            epoch,
            train_loss: trained.loss(),
            train_acc: 100.0 * trained.correct as f64 / trained.images as f64,
            val_loss: validation.loss,
            val_acc: validation.acc,
            val_top5: validation.top5,
            lr,
            seconds: step_seconds.iter().sum::<f64>() + clock.elapsed().as_secs_f64(),
        };
        let before = position.epochs.get(position.kept_epoch.wrapping_sub(1));
        let is_kept = before.is_none_or(|before| is_kept(&record, before, validation_indices.len()));
        if epoch == 1 {
            folder.clear()?;
            run_data.write(directory)?;
        }
        if is_kept {
            position.kept_epoch = epoch;
            kept.parameters.values.copy_from_slice(&state.parameters.values);
            kept.save(&RunFolder::checkpoint(directory))?;
        }
        position.epochs.push(record);
        report(&position).write(directory)?;
        checkpointer.save(&position, &state, &kept.parameters)?;
        progress.epoch(&record, recipe.epochs, is_kept);
        if progress.wants_to_end() {
            return Err(Error::Interrupted { epoch, step: steps });
        }
    }

    let data = (data, train_indices.as_slice(), validation_indices.as_slice());
    let report = finish::<N>(report(&position), &mut kept, data, directory, progress)?;
    position.finished = true;
    checkpointer.save(&position, &state, &kept.parameters)?;
    Ok(report)
}

/// The number of validation images from which on they choose the epoch whose parameters are kept.
const ENOUGH_TO_CHOOSE: usize = 500;

/// Returns true if the parameters of `epoch` are kept instead of those of an epoch `before` it.
///
/// With enough validation images, they are if more of these are classified correctly, or as many with a smaller loss. A
/// few images cannot tell a good epoch from a lucky one. The last epoch, in which the learning rate has fallen to
/// almost 0, is then the better choice, as measured in RECIPES.md.
fn is_kept(epoch: &Epoch, before: &Epoch, validation_images: usize) -> bool {
    validation_images < ENOUGH_TO_CHOOSE
        || (epoch.val_acc, -epoch.val_loss) > (before.val_acc, -before.val_loss)
}

fn describe(recipe: &Recipe, data: &Splits) -> Description {
    Description {
        dataset: data.name.clone(),
        seed: recipe.seed,
        fit: data.fit,
        normalization: data.normalization.clone(),
        labels: data.class_names.clone(),
        test_accuracy: None,
    }
}

/// Returns the timing of a run after some epochs of `images` images.
fn timing(position: &Position, images: usize) -> Timing {
    let epochs = position.epochs.len() as f64;
    let total = position.epochs.iter().map(|epoch| epoch.seconds).sum::<f64>();
    let mut step_seconds = position.step_seconds.clone();
    step_seconds.sort_by(f64::total_cmp);
    Timing {
        total_train_seconds: total,
        avg_epoch_seconds: total / epochs,
        median_step_ms: 1e3 * step_seconds[step_seconds.len() / 2],
        images_per_second: epochs * images as f64 / step_seconds.iter().sum::<f64>(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        data::{synthetic, Augmentation, Dataset, MNIST_NORMALIZATION},
        inference::dfdx_logits,
        network::{model::Model, parameters},
        score::Score,
        train::snapshot::tests::data,
        train::state::Batch,
    };
    use dfdx::prelude::Cpu;
    use std::fs;
    use vit_nostd::{argmax, Nano};

    const HOUR: Duration = Duration::from_secs(3600);

    /// Returns a recipe without weight decay, dropout, label smoothing and augmentation.
    fn plain(epochs: usize, batch_size: usize, lr: f32) -> Recipe {
        let augmentation = Augmentation::NONE;
        let (weight_decay, dropout, label_smoothing) = (0.0, 0.0, 0.0);
        Recipe {
            epochs,
            batch_size,
            lr,
            weight_decay,
            dropout,
            label_smoothing,
            augmentation,
            ..Recipe::default()
        }
    }

    /// The loss after each step.
    #[derive(Default)]
    struct Losses(Vec<f64>);

    impl Progress for Losses {
        fn step(&mut self, _: usize, _: usize, _: usize, _: usize, loss: f64) {
            self.0.push(loss);
        }
        fn epoch(&mut self, _: &Epoch, _: usize, _: bool) {}
        fn stage(&mut self, _: &str) {}
    }

    /// Trains `nano`. Returns the report, the parameters of the checkpoint, and those after the last step.
    fn run(recipe: &Recipe, data: &Splits, progress: &mut impl Progress) -> (Report, Vec<f32>, Vec<f32>) {
        let folder = tempfile::tempdir().unwrap();
        let outputs = RunFolder::create(folder.path()).unwrap();
        let report = train::<Nano>(recipe, data, Start::Random, &outputs, HOUR, progress).unwrap();
        let checkpoint = Checkpoint::load(&RunFolder::checkpoint(folder.path())).unwrap();
        let checkpoint = checkpoint.into_order_of::<Nano>(folder.path()).unwrap();
        let last = Snapshot::load(folder.path()).unwrap().parameters.into_owned();
        (report, checkpoint.parameters.values, last)
    }

    /// Ends a run after this many steps, and keeps the notes.
    struct EndAfter(usize, Vec<String>);

    impl Progress for EndAfter {
        fn step(&mut self, _: usize, _: usize, _: usize, _: usize, _: f64) {
            self.0 = self.0.saturating_sub(1);
        }
        fn epoch(&mut self, _: &Epoch, _: usize, _: bool) {}
        fn stage(&mut self, _: &str) {}
        fn note(&mut self, text: &str) {
            self.1.push(text.to_owned());
        }
        fn wants_to_end(&mut self) -> bool {
            self.0 == 0
        }
    }

    #[test]
    fn a_balanced_run_is_resumed_to_the_same_bits() {
        let mut data = data(80);
        // The images of five classes more belong to the first class now.
        let labels = data.train.labels().iter().map(|label| label.saturating_sub(5)).collect();
        let (format, pixels) = (data.train.format(), data.train.images().to_vec());
        data.train = Dataset::new(format, pixels, labels, Path::new("x")).unwrap();
        let recipe = Recipe { balance: true, augmentation: Augmentation::default(), ..plain(2, 10, 1e-3) };
        let (_, checkpoint, last) = run(&recipe, &data, &mut ());
        let unbalanced = Recipe { balance: false, ..recipe.clone() };
        assert_ne!(run(&unbalanced, &data, &mut ()).2, last);

        let folder = tempfile::tempdir().unwrap();
        let outputs = RunFolder::create(folder.path()).unwrap();
        let resumed = |recipe: &Recipe| Start::resumed::<Nano>(recipe, &data, &outputs);
        let mut notes = Vec::new();
        for (run, steps) in [3, 6, usize::MAX].into_iter().enumerate() {
            let start = resumed(&recipe).unwrap();
            assert_eq!(start.is_some(), run > 0);
            let (start, mut progress) = (start.unwrap_or(Start::Random), EndAfter(steps, Vec::new()));
            let result = train::<Nano>(&recipe, &data, start, &outputs, HOUR, &mut progress);
            assert_eq!(matches!(result, Err(Error::Interrupted { .. })), steps < usize::MAX);
            notes.extend(progress.1.into_iter().filter(|note| note.contains("balanced")));
            // Another run cannot be resumed from it.
            if steps < usize::MAX {
                let error = resumed(&unbalanced).unwrap_err().to_string();
                assert!(error.contains("balance true, not false"), "{error}");
            }
        }
        assert!(resumed(&recipe).unwrap().is_none(), "the run is finished");
        assert_eq!(Snapshot::load(folder.path()).unwrap().parameters, last);
        let resumed = Checkpoint::load(&RunFolder::checkpoint(folder.path())).unwrap();
        let resumed = resumed.into_order_of::<Nano>(folder.path()).unwrap();
        assert!(resumed.parameters.values == checkpoint);
        assert_eq!(notes.len(), 1, "{notes:?}");
        assert!(notes[0].ends_with("and 5 only 0. All classes are drawn equally often."), "{notes:?}");
    }

    fn logits(parameters: &[f32], data: &Splits, indices: &[usize]) -> Vec<f32> {
        let mut model = Model::<Nano, _>::zeros(&Cpu::default());
        parameters::load(&mut model, parameters);
        dfdx_logits(&model, &data.normalization, &data.train, indices)
    }

    fn score(parameters: &[f32], data: &Splits, indices: &[usize]) -> Score {
        let labels: Vec<u16> = indices.iter().map(|&index| data.train.label(index)).collect();
        Score::new(&logits(parameters, data, indices), labels.into_iter())
    }

    /// With a tiny learning rate, the scores of all epochs must be those of the initial network. The test also shows
    /// that training uses only the training part, each image once per epoch, in batches that differ between epochs.
    #[test]
    fn a_network_that_does_not_change_keeps_its_score() {
        let (recipe, data) = (plain(2, 10, 1e-30), data(100));
        let mut losses = Losses::default();
        let (report, checkpoint, _) = run(&recipe, &data, &mut losses);
        let first = Parameters::init::<Nano>(recipe.seed).values;
        assert!(checkpoint.iter().zip(&first).all(|(a, b)| (a - b).abs() < 1e-20));
        let (train, validation) = data.train.split(recipe.seed);
        let [train, validation] = [train, validation].map(|indices| score(&first, &data, &indices));
        assert!(train.acc > 0.0);
        for epoch in &report.epochs {
            assert_eq!((epoch.train_acc, epoch.val_acc), (train.acc, validation.acc));
            assert!((epoch.train_loss - train.loss).abs() < 1e-5, "{epoch:?} {train:?}");
            assert!((epoch.val_loss - validation.loss).abs() < 1e-5, "{epoch:?} {validation:?}");
        }
        let Losses(losses) = losses;
        assert_eq!(losses.len(), 2 * 9, "batches of ten of the ninety images to train on");
        assert!((losses[0] - losses[9]).abs() > 1e-4, "the second epoch has other batches: {losses:?}");
    }

    fn epoch(val_acc: f64, val_loss: f64) -> Epoch {
        let (train_loss, train_acc) = (0.1, 99.0);
        Epoch { epoch: 1, train_loss, train_acc, val_loss, val_acc, val_top5: 100.0, lr: 1e-3, seconds: 1.0 }
    }

    #[test]
    fn enough_validation_images_choose_the_epoch_that_is_kept() {
        let before = epoch(98.0, 0.1);
        for (epoch, better) in [
            (epoch(98.2, 0.2), true),
            (epoch(98.0, 0.09), true),
            (epoch(98.0, 0.1), false),
            (epoch(98.0, 0.11), false),
            (epoch(97.8, 0.05), false),
        ] {
            assert_eq!(is_kept(&epoch, &before, ENOUGH_TO_CHOOSE), better, "{epoch:?}");
            assert!(is_kept(&epoch, &before, ENOUGH_TO_CHOOSE - 1), "{epoch:?}");
        }
    }

    /// Returns images on which the validation loss of `nano` rises with each epoch: the label of the validation images is
    /// the initial prediction of the network for the first of them, and all training images have another label.
    fn data_that_mislead(images: usize, recipe: &Recipe) -> Splits {
        let mut data = data(images);
        let (_, validation) = data.train.split(recipe.seed);
        let first = Parameters::init::<Nano>(recipe.seed).values;
        let class = argmax(&logits(&first, &data, &validation[..1])) as u16;
        let mut labels = vec![(class + 1) % 10; images];
        validation.iter().for_each(|&index| labels[index] = class);
        data.train =
            Dataset::new(synthetic::FORMAT, data.train.images().to_vec(), labels, Path::new("none")).unwrap();
        data
    }

    #[test]
    fn enough_validation_images_keep_the_best_epoch() {
        let recipe = plain(2, 512, 1e-3);
        let data = data_that_mislead(10 * ENOUGH_TO_CHOOSE, &recipe);
        let (report, checkpoint, last) = run(&recipe, &data, &mut ());
        assert_eq!(report.kept_epoch, 1, "{:?}", report.epochs);
        assert_ne!(checkpoint, last);
        let (_, validation) = data.train.split(recipe.seed);
        assert!((score(&checkpoint, &data, &validation).loss - report.epochs[0].val_loss).abs() < 1e-6);
    }

    #[test]
    fn with_few_validation_images_the_last_epoch_is_kept() {
        let recipe = plain(3, 16, 1e-3);
        let data = data_that_mislead(10, &recipe);
        let (report, checkpoint, last) = run(&recipe, &data, &mut ());
        let losses: Vec<f64> = report.epochs.iter().map(|epoch| epoch.val_loss).collect();
        assert!(losses.is_sorted_by(|a, b| a < b), "{losses:?}");
        assert_eq!(report.kept_epoch, 3);
        assert_eq!(checkpoint, last);
    }

    /// There are two epochs of one step each. The length of AdamW's first step is at most the learning rate, and that
    /// of the second one, by Cauchy's inequality, at most 1.0014 times the learning rate. If a gradient does not
    /// change, both steps have the length of the learning rate.
    #[test]
    fn the_second_of_two_epochs_learns_half_as_fast() {
        let recipe = plain(2, 64, 1e-3);
        let (_, _, last) = run(&recipe, &data(40), &mut ());
        let first = Parameters::init::<Nano>(recipe.seed).values;
        let farthest = first.iter().zip(&last).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!((1.49e-3..1.502e-3).contains(&farthest), "{farthest:e}");
    }

    /// Returns the error of `train` for `data`, and checks that it has not written anything.
    fn refuse<N: Trainable>(data: &Splits) -> String {
        let folder = tempfile::tempdir().unwrap();
        let outputs = RunFolder::create(folder.path()).unwrap();
        let error =
            train::<N>(&plain(1, 16, 1e-3), data, Start::Random, &outputs, HOUR, &mut ()).unwrap_err();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{error}");
        error.to_string()
    }

    #[test]
    fn what_cannot_be_described_is_not_trained() {
        let check = |change: &dyn Fn(&mut Splits), words: &str| {
            let mut data = data(40);
            change(&mut data);
            let error = refuse::<Nano>(&data);
            assert!(error.starts_with(&data.name) && error.contains(words), "{error}");
        };
        check(&|data| drop(data.class_names.pop()), "9 labels for 10 classes");
        check(&|data| data.class_names.push("more".to_owned()), "11 labels for 10 classes");
        check(&|data| data.class_names[4].clear(), "the label of class 4 is empty");
        check(&|data| data.class_names[4] = "x".repeat(101), "the label of class 4 has more than 100");
        check(&|data| data.class_names[4] = "a\nb".to_owned(), "the label of class 4 contains");
        check(&|data| data.normalization[0].std = 0.0, "normalisation");
        check(&|data| data.normalization[0].mean = f32::NAN, "normalisation");
    }

    fn diverge(recipe: &Recipe, data: &Splits) -> (tempfile::TempDir, Error) {
        let folder = tempfile::tempdir().unwrap();
        let outputs = RunFolder::create(folder.path()).unwrap();
        let error =
            train::<Nano>(recipe, data, Start::Random, &outputs, Duration::ZERO, &mut ()).unwrap_err();
        (folder, error)
    }

    /// There is one step, whose loss is computed before the first change and is finite. The divergence must be found in
    /// the parameters or in the validation loss.
    #[test]
    fn divergence_is_found_in_the_epoch_in_which_it_occurs() {
        let (_, error) = diverge(&plain(2, 64, 1e38), &data(40));
        assert!(
            matches!(error, Error::Diverged { epoch: 1, sign: Divergence::Parameters { step: 1, .. } }),
            "{error}"
        );
        let (folder, error) = diverge(&plain(2, 64, 1e30), &data(40));
        assert!(
            matches!(error, Error::Diverged { epoch: 1, sign: Divergence::Validation { .. } }),
            "{error}"
        );
        assert!(!RunFolder::checkpoint(folder.path()).exists());
        // The snapshot, from which the run could be resumed, has not diverged.
        let snapshot = Snapshot::load(folder.path()).unwrap();
        assert!(snapshot.parameters.iter().all(|value| value.is_finite()));
    }

    /// The weights grow by a factor of 100,000 in each epoch.
    #[test]
    fn what_was_good_before_divergence_is_kept() {
        let (recipe, data) = (Recipe { weight_decay: 1e8, ..plain(8, 64, 1e-3) }, data(40));
        let (folder, error) = diverge(&recipe, &data);
        let Error::Diverged { epoch, .. } = error else { panic!("{error}") };
        assert!(epoch > 1 && error.to_string().contains("an epoch before it"), "{error}");
        let report = Report::load(folder.path()).unwrap();
        assert_eq!(report.epochs.len(), epoch - 1);
        assert!(report.epochs.iter().all(|epoch| epoch.val_loss.is_finite()), "{:?}", report.epochs);
        let path = RunFolder::checkpoint(folder.path());
        let checkpoint = Checkpoint::load(&path).unwrap().into_order_of::<Nano>(&path).unwrap();
        let (_, validation) = data.train.split(recipe.seed);
        let kept = score(&checkpoint.parameters.values, &data, &validation).loss;
        assert_eq!(kept, report.epochs[report.kept_epoch - 1].val_loss);
    }

    #[test]
    fn what_cannot_be_trained_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let outputs = RunFolder::create(folder.path()).unwrap();
        let refuse = |recipe: &Recipe, data: &Splits, words: &str| {
            let error = train::<Nano>(recipe, data, Start::Random, &outputs, Duration::ZERO, &mut ())
                .unwrap_err()
                .to_string();
            assert!(error.contains(words), "no {words:?} in {error}");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{error}");
        };
        let good = plain(1, 10, 1e-3);
        refuse(&Recipe { epochs: 0, ..good.clone() }, &data(20), "epochs is 0");
        refuse(&Recipe { batch_size: 0, ..good.clone() }, &data(20), "batch_size is 0");
        refuse(&good, &data(1), "only one image to train on");
        let other = |side, classes| {
            let pixels = vec![0; 20 * side * side];
            Dataset::new(Format::grey(side, classes), pixels, vec![0; 20], Path::new("x")).unwrap()
        };
        refuse(
            &good,
            &Splits { train: other(14, 10), ..data(20) },
            "14x14 grey pixels, but the network takes 28x28 grey pixels",
        );
        refuse(&good, &Splits { test: other(28, 9), ..data(20) }, "9 classes, but the network has 10");
    }

    #[test]
    fn targets_are_smoothed() {
        let (data, recipe) = (synthetic::dataset(3, 1), Recipe { label_smoothing: 0.2, ..Recipe::default() });
        let mut prepared = Batch::default();
        for batch in [&[0, 1][..], &[2]] {
            prepared.fill::<Nano>(&recipe, &data, &[MNIST_NORMALIZATION], batch, 1);
            assert_eq!(prepared.targets.len(), batch.len() * 10);
            for (targets, &index) in prepared.targets.chunks(10).zip(batch) {
                for (class, &target) in targets.iter().enumerate() {
                    // A fifth of the probability is spread over all ten classes.
                    let expected = if class == usize::from(data.label(index)) { 0.82 } else { 0.02 };
                    assert!((target - expected).abs() < 1e-6, "{class}: {target}");
                }
            }
        }
    }
}
