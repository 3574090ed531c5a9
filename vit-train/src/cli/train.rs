//! The command `vit-train train`, which is also what the program does without a command.

use super::{
    advice::{UNFIT, UNQUANTIZABLE},
    artifact::file_or_in,
    data::DataArguments,
    dispatch::{with_network, Task},
    interrupt::{Interrupt, EXIT_CODE},
    networks::{Known, List},
    options::{positive, CudaArguments, DATA},
    output::{print_json, quoted},
    outputs::{check_files_of_run, check_links_of_run, check_run},
    progress::{Console, Lines},
};
use crate::{
    data::{Augmentation, Format, Splits, Style},
    digest::Digest,
    formats::checkpoint::Checkpoint,
    network::list::Networks,
    network::{name, parameters::Parameters, Trainable},
    recipe::{Allowed, Recipe},
    run::{folder::RunFolder, record::TestScores, report::Report},
    train::{
        check_processor,
        snapshot::{Position, Run, Snapshot},
        train, Start,
    },
    Error,
};
use clap::{Args, ValueEnum};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};
use vit_nostd::frame::Fit;

const RECIPE: &str = "Recipe";
const RESULTS: &str = "Results";

pub(super) const EXAMPLES: &str = "\
Examples:
  vit-train --preset nano --epochs 5 --lr 3e-3 --dropout 0    train the smallest network on MNIST
  vit-train --preset nano --data synthetic --limit 1000       have a quick look, on built-in digits
  vit-train --data photos --out runs/x                        train on pictures, with one folder for each class
  vit-train --out runs/x --resume                             continue a run that was interrupted
  vit-train --init runs/base --out runs/more                  begin with the parameters of another run
  vit-train --quiet --json > report.json                      print the report only, for a script

Ctrl-C, SIGTERM and SIGHUP end a training after the current step, with everything saved (exit code 130); a second one
ends it at once. A new run in the folder of an earlier run replaces the earlier results after its first epoch.";

/// The recipe that settings are taken from if no option gives them.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum RecipeName {
    /// The best known recipe for the network
    Best,
    /// The recipe of the PyTorch article that the project started from (docs/guide.md): AdamW with a learning rate of
    /// 1e-3 that falls along a cosine, 20 epochs, dropout 0.1, small rotations and translations
    Article,
}

/// The options that replace settings of the recipe.
#[derive(Args, Debug)]
#[command(next_help_heading = RECIPE)]
struct Settings {
    /// Number of passes over the training images
    #[arg(long, value_name = "N", value_parser = positive)]
    epochs: Option<usize>,
    /// Number of images in a training step
    #[arg(long, value_name = "N", value_parser = positive)]
    batch_size: Option<usize>,
    /// Largest learning rate; after the warm-up, it falls to 0 along a cosine
    #[arg(long, value_name = "RATE", value_parser = above_0)]
    lr: Option<f32>,
    /// Number of epochs in which the learning rate rises, less than --epochs [default: that of the recipe, or less if
    /// no epoch would be left for the full learning rate]
    #[arg(long, value_name = "N")]
    warmup: Option<usize>,
    /// Weight decay of AdamW
    #[arg(long, value_name = "RATE", value_parser = at_least_0)]
    weight_decay: Option<f32>,
    /// Largest norm of the gradients; longer ones are scaled down to it
    #[arg(long, value_name = "NORM", value_parser = above_0)]
    grad_clip: Option<f32>,
    /// Share of the activations that dropout sets to 0 in each step, from 0 to below 1
    #[arg(long, value_name = "SHARE", value_parser = share)]
    dropout: Option<f32>,
    /// Share of a target's probability that is spread over all classes, from 0 to below 1
    #[arg(long, value_name = "SHARE", value_parser = share)]
    label_smoothing: Option<f32>,
    /// Augmentation of the training images, of which the following options change parts [default: digits for images in
    /// MNIST's format and for the built-in digits, photos for all others]
    #[arg(long, value_enum)]
    augment: Option<AugmentName>,
    /// Rotate training images by a random angle of up to DEGREES in either direction
    #[arg(long, value_name = "DEGREES", value_parser = rotation)]
    rotation: Option<f32>,
    /// Shift training images at random by up to SHARE of their side
    #[arg(long, value_name = "SHARE", value_parser = share)]
    translation: Option<f32>,
    /// Enlarge or shrink training images at random by up to SHARE of their size
    #[arg(long, value_name = "SHARE", value_parser = scale)]
    scale: Option<f32>,
    /// Shear training images by a random angle of up to DEGREES in either direction
    #[arg(long, value_name = "DEGREES", value_parser = shear)]
    shear: Option<f32>,
    /// Distort training images elastically, moving their parts by up to SHARE of the side
    #[arg(long, value_name = "SHARE", value_parser = share)]
    elastic: Option<f32>,
    /// Mirror this SHARE of the training images, so that left becomes right
    #[arg(long, value_name = "SHARE", value_parser = part)]
    mirror: Option<f32>,
    /// Cut off up to SHARE of the area of training images at random, and enlarge the rest
    #[arg(long, value_name = "SHARE", value_parser = scale)]
    crop: Option<f32>,
    /// Change the brightness of training images at random by up to SHARE
    #[arg(long, value_name = "SHARE", value_parser = part)]
    brightness: Option<f32>,
    /// Change the contrast of training images at random by up to SHARE
    #[arg(long, value_name = "SHARE", value_parser = part)]
    contrast: Option<f32>,
    /// Change the saturation of training images at random by up to SHARE
    #[arg(long, value_name = "SHARE", value_parser = part)]
    saturation: Option<f32>,
    /// Erase a random rectangle of this SHARE of the training images
    #[arg(long, value_name = "SHARE", value_parser = part)]
    erasing: Option<f32>,
    /// Draw all classes equally often: in each epoch, images of small classes are repeated, and some of large classes
    /// are left out
    #[arg(long)]
    balance: bool,
}

/// A set of random changes of training images.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum AugmentName {
    /// For handwriting: rotated, moved, scaled, sheared, distorted elastically, and more so if there are fewer than
    /// 2,000 images
    Digits,
    /// For photographs: cropped, changed in brightness, contrast and saturation, erased in part
    Photos,
    /// None: images stay as they are
    None,
}

impl Settings {
    /// Returns `recipe`, for this many training images, with the settings that are given.
    fn applied_to(&self, mut recipe: Recipe, images: usize) -> Recipe {
        fn set<T: Copy>(setting: &mut T, given: Option<T>) {
            *setting = given.unwrap_or(*setting);
        }
        if let Some(epochs) = self.epochs {
            recipe = recipe.with_epochs(epochs);
        }
        set(&mut recipe.batch_size, self.batch_size);
        set(&mut recipe.lr, self.lr);
        set(&mut recipe.warmup, self.warmup);
        set(&mut recipe.weight_decay, self.weight_decay);
        set(&mut recipe.grad_clip, self.grad_clip);
        set(&mut recipe.dropout, self.dropout);
        set(&mut recipe.label_smoothing, self.label_smoothing);
        recipe.balance |= self.balance;
        let augmentation = &mut recipe.augmentation;
        match self.augment {
            Some(AugmentName::Digits) => *augmentation = Augmentation::best(Style::Digits, images),
            Some(AugmentName::Photos) => *augmentation = Augmentation::best(Style::Photos, images),
            Some(AugmentName::None) => *augmentation = Augmentation::NONE,
            None => (),
        }
        set(&mut augmentation.rotation_degrees, self.rotation);
        set(&mut augmentation.translation, self.translation);
        set(&mut augmentation.scale, self.scale);
        set(&mut augmentation.shear_degrees, self.shear);
        set(&mut augmentation.elastic, self.elastic);
        set(&mut augmentation.mirror, self.mirror);
        set(&mut augmentation.crop, self.crop);
        set(&mut augmentation.brightness, self.brightness);
        set(&mut augmentation.contrast, self.contrast);
        set(&mut augmentation.saturation, self.saturation);
        set(&mut augmentation.erasing, self.erasing);
        recipe
    }
}

/// A way in which pictures are fitted to the images of a network.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum FitName {
    /// The largest part in the middle that has the proportions of the network's images
    Crop,
    /// The whole picture, with black bars on two sides
    Pad,
    /// The whole picture, with changed proportions
    Stretch,
}

impl From<FitName> for Fit {
    fn from(name: FitName) -> Self {
        match name {
            FitName::Crop => Self::Crop,
            FitName::Pad => Self::Pad,
            FitName::Stretch => Self::Stretch,
        }
    }
}

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Network to train [default: the first of the possible values]
    #[arg(long, help_heading = RECIPE, value_name = "NAME")]
    preset: Option<String>,
    /// Recipe for all settings that no option gives [default: best]
    #[arg(long, help_heading = RECIPE, value_enum)]
    recipe: Option<RecipeName>,
    #[command(flatten)]
    settings: Settings,
    /// Seed of all random choices: the same seed gives the same model on processors with the same vector instructions
    /// [default: 42]
    #[arg(long, help_heading = RECIPE, value_name = "N")]
    seed: Option<u64>,
    /// How pictures of other proportions become images of the network [default: crop]
    #[arg(long, help_heading = DATA, value_enum)]
    fit: Option<FitName>,
    /// Train on the first N training images only, for a quick look
    #[arg(long, help_heading = DATA, value_name = "N", value_parser = at_least_ten)]
    limit: Option<usize>,
    /// Folder for the results; those of an earlier run in it are replaced when the first epoch is done [default:
    /// runs/<preset>]
    #[arg(long, help_heading = RESULTS, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Continue the run in --out that was interrupted. Its results are the same, byte for byte, as without the
    /// interruption. The run knows its settings and its images: they need not be given again, and others are refused
    #[arg(long, help_heading = RESULTS)]
    resume: bool,
    /// Save the state for --resume every SECONDS, and after every epoch
    #[arg(long, help_heading = RESULTS, value_name = "SECONDS", default_value_t = 60)]
    save_every: u64,
    /// Checkpoint whose parameters the training begins with (or a PyTorch state_dict with the same tensor names), or a
    /// run that has one
    #[arg(long, help_heading = RECIPE, value_name = "FILE.safetensors|RUN")]
    init: Option<PathBuf>,
    /// Print the report as JSON at the end; everything else goes to the standard error
    #[arg(long, help_heading = RESULTS)]
    json: bool,
    #[command(flatten)]
    cuda: CudaArguments,
    #[command(flatten)]
    data: DataArguments,
}

/// A training whose images have not been loaded yet.
struct Opened {
    network: Known,
    /// The program's own recipe for the network, if it has one.
    own: Option<Recipe>,
    directory: PathBuf,
    /// The folder and the snapshot of the run that is resumed; None for a new run.
    resumed: Option<(RunFolder, Snapshot<'static>)>,
}

impl Task for (Arguments, Opened) {
    type Output = Result<ExitCode, Error>;

    fn run<N: Trainable>(self) -> Self::Output {
        let (arguments, Opened { own, directory, resumed, .. }) = self;
        match resumed {
            None => arguments.begin::<N>(own, &directory),
            Some((folder, snapshot)) => arguments.resume::<N>(own, &directory, &folder, snapshot),
        }
    }
}

impl Arguments {
    pub(super) fn run<L: Networks>(self, networks: &List) -> Result<ExitCode, Error> {
        let opened = self.open(networks)?;
        with_network::<L, _>(opened.network, (self, opened))
    }

    /// Finds the network, its recipe and, if a run is resumed, the snapshot.
    fn open(&self, networks: &List) -> Result<Opened, Error> {
        let chosen = networks.chosen(self.preset.as_deref());
        let directory = self.out.clone().unwrap_or_else(|| Path::new("runs").join(chosen.name()));
        if !self.resume {
            return Ok(Opened {
                network: chosen,
                own: networks.own_recipe(chosen),
                directory,
                resumed: None,
            });
        }
        if !directory.is_dir() {
            return Err(Error::NothingToResume { directory });
        }
        check_files_of_run(&directory)?;
        let folder = RunFolder::create(&directory)?;
        let snapshot = Snapshot::load(&directory)?;
        let Some(network) = networks.named(&snapshot.run.network) else {
            let (run, network) = (directory.display(), &snapshot.run.network);
            return Err(Error::Usage(format!(
                "{run}: this run trains the network {network}, which this program does not have. Resume it with the \
                 program that started it"
            )));
        };
        let own = networks.own_recipe(networks.chosen(self.preset.as_deref().or(Some(&network.name()))));
        Ok(Opened { network, own, directory, resumed: Some((folder, snapshot)) })
    }

    /// Begins a new run.
    fn begin<N: Trainable>(self, own: Option<Recipe>, directory: &Path) -> Result<ExitCode, Error> {
        let (processor, seed) = (self.cuda.processor(), Recipe::default().seed);
        let recipe_for = |images, style| {
            let best = own.clone().unwrap_or_else(|| Recipe::best(N::DIMS.parameters(), images, style));
            self.applied_to(Recipe { processor, seed, ..best.clone() }, best, images)
        };
        // Settings that cannot be are refused before images are loaded, on which the rest of the recipe depends.
        let recipe = recipe_for(usize::MAX, Style::Digits);
        recipe.check()?;
        check_processor(recipe.processor)?;
        check_run(directory, self.init_path()?.as_deref(), Some(&self.data.source()))?;
        let start = self.init::<N>()?.map_or(Start::Random, Start::Parameters);
        let mut data =
            self.data.load(Format::of::<N>(), self.fit.map_or(Fit::default(), Into::into), None)?;
        if let Some(limit) = self.limit {
            data.train.truncate(limit);
        }
        let recipe = recipe_for(data.train.len(), data.style);
        recipe.check()?;
        let folder = RunFolder::create(directory)?;
        if RunFolder::new_snapshot(directory).exists() {
            let run = quoted(directory);
            err!(
                "NOTE: This run replaces the one in {run} that was interrupted in its first epoch. To continue that one \
                 instead, stop this one before it saves anything, and run: vit-train --resume --out {run}"
            );
        }
        tell_of_unfinished_run(directory);
        self.train::<N>(&recipe, &data, start, directory, &folder)
    }

    /// Continues the run of `snapshot`, if all settings that are given are its own.
    fn resume<N: Trainable>(
        self,
        own: Option<Recipe>,
        directory: &Path,
        folder: &RunFolder,
        snapshot: Snapshot<'static>,
    ) -> Result<ExitCode, Error> {
        let theirs = snapshot.run.clone().into_owned();
        let asked = self.preset.clone().unwrap_or_else(|| theirs.network.clone());
        let processor = self.cuda.processor_or(theirs.recipe.processor);
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let mut ours = Run { version, network: asked, dimensions: N::DIMS.to_string(), ..theirs.clone() };
        if ours.network == theirs.network {
            ours.init = self.init::<N>()?.map(|first| Digest::of(&first).to_string()).or(ours.init);
        }
        ours.data.fit = self.fit.map_or(theirs.data.fit, Into::into);
        let format = Format::of::<N>();
        let mut data = match self.data.data {
            Some(_) => self.data.load(format, ours.data.fit, Some(&theirs.data))?,
            None => self.data.load_own(format, directory, &theirs.data)?,
        };
        ours.normalization.clone_from(&data.normalization);
        ours.data.training_images = self.limit.unwrap_or(theirs.data.training_images).min(data.train.len());
        let images = theirs.data.training_images;
        let best = own.unwrap_or_else(|| Recipe::best(N::DIMS.parameters(), images, data.style));
        ours.recipe = self.applied_to(Recipe { processor, ..theirs.recipe.clone() }, best, images);
        if !theirs.data.matches(&data) {
            ours.data.sha256 = data.sha256(theirs.data.training_images);
            ours.data.name.clone_from(&data.name);
            ours.data.class_names.clone_from(&data.class_names);
        }
        let snapshot = snapshot.of_run::<N>(directory, &ours)?;
        theirs.data.restrict(&mut data);

        let lines = self.lines();
        if snapshot.position.finished {
            lines
                .say(&format!("The run in {} is finished: there is nothing left to do", directory.display()));
            if self.json {
                print_json(&Report::load(directory)?)?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        check_processor(ours.recipe.processor)?;
        check_links_of_run(directory)?;
        lines.say(&describe(&snapshot.position, &ours.recipe));
        let new = RunFolder::new_snapshot(directory);
        if new.exists() && !tell_of_unfinished_run(directory) && RunFolder::snapshot(directory).exists() {
            let new = new.display();
            lines.say(&format!(
                "It replaces the earlier run when its first epoch is done (to keep that one, delete {new})"
            ));
        }
        self.train::<N>(&ours.recipe, &data, Start::Snapshot(Box::new(snapshot)), directory, folder)
    }

    /// Returns `recipe`, for this many training images, with everything that options give; `best` is the recipe that
    /// `--recipe best` stands for.
    fn applied_to(&self, recipe: Recipe, best: Recipe, images: usize) -> Recipe {
        let named = match self.recipe {
            None => recipe.clone(),
            Some(RecipeName::Best) => best,
            Some(RecipeName::Article) => Recipe::default(),
        };
        let Recipe { balance, seed, processor, .. } = recipe;
        let named = Recipe { balance, seed: self.seed.unwrap_or(seed), processor, ..named };
        self.settings.applied_to(named, images)
    }

    /// Returns the checkpoint that `--init` names.
    fn init_path(&self) -> Result<Option<PathBuf>, Error> {
        self.init.as_ref().map(|init| file_or_in(init, "checkpoint.safetensors")).transpose()
    }

    /// Reads the parameters that `--init` names, in the order of network `N`.
    fn init<N: Trainable>(&self) -> Result<Option<Parameters>, Error> {
        let Some(path) = self.init_path()? else { return Ok(None) };
        Ok(Some(Checkpoint::load(&path)?.into_order_of::<N>(&path)?.parameters))
    }

    fn lines(&self) -> Lines {
        match (self.data.quiet, self.json) {
            (true, _) => Lines::Off,
            (_, true) => Lines::Error,
            _ => Lines::Output,
        }
    }

    fn train<N: Trainable>(
        &self,
        recipe: &Recipe,
        data: &Splits,
        start: Start,
        directory: &Path,
        folder: &RunFolder,
    ) -> Result<ExitCode, Error> {
        let lines = self.lines();
        let interrupt =
            Interrupt::listen(format!("continue with: vit-train --resume --out {}", quoted(directory)))?;
        let mut console = Console::new(lines, Arc::clone(&interrupt));
        lines.say(&format!(
            "Training {} ({} parameters) on {} images of {} for {} {}",
            name::<N>(),
            N::DIMS.parameters(),
            data.train.len(),
            data.name,
            recipe.epochs,
            if recipe.epochs == 1 { "epoch" } else { "epochs" }
        ));
        lines.say(&format!("Augmentation: {}", recipe.augmentation));
        let result =
            train::<N>(recipe, data, start, folder, Duration::from_secs(self.save_every), &mut console);
        drop(console); // removes the bar before anything else is printed
        let report = match result {
            Err(interrupted @ Error::Interrupted { .. }) => {
                err!("{interrupted}; {}", interrupt.advice);
                if RunFolder::new_snapshot(directory).exists() {
                    tell_of_unfinished_run(directory);
                }
                return Ok(ExitCode::from(EXIT_CODE));
            }
            result => result?,
        };
        if self.json {
            print_json(&report)?;
        } else {
            summarize(&report, directory);
        }
        if let Some(no_integers) = report.test.as_ref().and_then(TestScores::no_integers) {
            err!("WARNING: {no_integers}. {UNQUANTIZABLE}");
            err!("WARNING: The run has no model.int8.vit. All other results are there.");
        }
        if let Some(warning) = report.test.as_ref().and_then(|test| test.int8_warning.as_ref()) {
            err!("WARNING: {warning}. {UNFIT}");
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Prints a note if a new run is about to replace an unfinished one in its folder, which may have taken much work.
/// Returns whether there is one.
fn tell_of_unfinished_run(directory: &Path) -> bool {
    let Some((done, all)) = Snapshot::unfinished(directory) else { return false };
    let (run, new) = (quoted(directory), quoted(&RunFolder::new_snapshot(directory)));
    err!(
        "NOTE: There is an unfinished run in {run} ({done} of {all} epochs), which the new one replaces when its first \
         epoch is done. To continue the unfinished one instead, interrupt the new one, delete {new}, and run: \
         vit-train --resume --out {run}"
    );
    true
}

/// Says where a run is resumed.
fn describe(position: &Position, recipe: &Recipe) -> String {
    let (epoch, steps) = (position.epochs.len() + 1, position.current.steps);
    if epoch <= recipe.epochs {
        format!("Resuming in epoch {epoch}, after {steps} steps")
    } else {
        "Resuming after the last epoch".to_owned()
    }
}

/// Prints the results of a finished run.
fn summarize(report: &Report, directory: &Path) {
    if report.synthetic {
        out!("The following is about built-in, machine-made images, and says nothing about real ones:");
    }
    if let Some(test) = &report.test {
        let int8 = test.int8.map_or("not possible".to_owned(), |int8| format!("{:.2} %", int8.acc));
        out!(
            "Test accuracy {:.2} %, top-5 {:.2} % (epoch {}); in integers {int8}",
            test.f32.acc,
            test.f32.top5,
            report.kept_epoch
        );
    }
    if let Some(verification) = report.verify {
        out!("{verification}");
    }
    out!("The results are in {}", directory.display());
}

fn allowed(text: &str, allowed: Allowed) -> Result<f32, String> {
    let number = text.parse().ok().filter(|&number| allowed.contains(number));
    number.ok_or_else(|| format!("expected {}", allowed.expected))
}

fn above_0(text: &str) -> Result<f32, String> {
    allowed(text, Allowed::POSITIVE)
}

fn at_least_0(text: &str) -> Result<f32, String> {
    allowed(text, Allowed::NOT_NEGATIVE)
}

fn share(text: &str) -> Result<f32, String> {
    allowed(text, Allowed::SHARE)
}

fn part(text: &str) -> Result<f32, String> {
    allowed(text, Allowed::PART)
}

fn rotation(text: &str) -> Result<f32, String> {
    allowed(text, Allowed::ROTATION)
}

fn shear(text: &str) -> Result<f32, String> {
    allowed(text, Allowed::SHEAR)
}

fn scale(text: &str) -> Result<f32, String> {
    allowed(text, Allowed::SCALE)
}

fn at_least_ten(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&n| n >= 10).ok_or_else(|| "expected a whole number of at least 10".to_owned())
}
