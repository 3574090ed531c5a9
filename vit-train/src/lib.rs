//! Trains Vision Transformers with dfdx and writes the model files that [`vit_nostd`] runs.
//!
//! The program `vit-train` is a thin command line around this library. What it does, in one's own program, and with a
//! network of one's own shape:
//!
//! ```
//! // Run it with `cargo run --release`: without optimisation, training takes many times as long.
//! use std::{path::Path, time::Duration};
//! use vit_train::{
//!     data::{load, Format, Source},
//!     files::write_atomically,
//!     formats::{checkpoint::Checkpoint, vit::float_model},
//!     quantize::quantize_and_score,
//!     recipe::Recipe,
//!     run::folder::RunFolder,
//!     train::{train, Start},
//!     Error,
//! };
//!
//! vit_nostd::network! {
//!     /// A small network for ten classes.
//!     pub Mine { image: 28, patch: 7, embed: 48, heads: 4, hidden: 96, depth: 2, classes: 10 }
//! }
//!
//! fn main() -> Result<(), Error> {
//! #   let folder = tempfile::tempdir().unwrap();
//! #   std::env::set_current_dir(&folder).unwrap();
//!     let mut data = load(&Source::Synthetic, Format::of::<Mine>())?; // or Source::Directory("photos".into())
//!     data.train.truncate(300); // for a quick look
//!     let recipe = Recipe { epochs: 1, batch_size: 32, lr: 3e-3, ..Recipe::default() };
//!     let run = Path::new("runs/mine");
//!
//!     // Everything at once: training, both model files, the comparison of the engines, the report. The run is saved
//!     // after every epoch and every minute, and () shows no progress.
//!     let folder = RunFolder::create(run)?;
//!     let report = train::<Mine>(&recipe, &data, Start::Random, &folder, Duration::from_secs(60), &mut ())?;
//!     println!("{:.2} % of the test images", report.test.map_or(0.0, |test| test.f32.acc));
//!
//!     // Or step by step, from a checkpoint: quantize it, and write a model file for each engine.
//!     let path = RunFolder::checkpoint(run);
//!     let checkpoint = Checkpoint::load(&path)?.into_order_of::<Mine>(&path)?;
//!     let (calibration, _) = data.train.split(recipe.seed);
//!     let (int8, logits) = quantize_and_score::<Mine>(&checkpoint, (&data.train, &calibration), &data.test, &path)?;
//!     write_atomically(Path::new("mine.int8.vit"), &int8)?;
//!     write_atomically(Path::new("mine.f32.vit"), &float_model::<Mine>(&checkpoint, &path)?)?;
//!     assert_eq!(logits.len(), 10 * data.test.len());
//!     Ok(())
//! }
//! ```
//!
//! # How it is built
//!
//! Data flow one way, and the modules are the stations. Whatever depends on the dimensions of a network is generic over it
//! (`N:` [`Trainable`](network::Trainable), which every network is that [`vit_nostd::network!`] declares). The program
//! ([`cli`]) has a list of networks, one of which is chosen by a name or by what a file contains.
//!
//! | station | what it does |
//! |---|---|
//! | [`data`] | reads files or makes digits: grey images to train on, and to test on |
//! | [`network`] | a network as dfdx tensors, and its parameters as one slice with PyTorch's names |
//! | [`fused`] | computes loss and gradients as [`network::model::Model::loss_and_gradients`] does, only faster, on the CPU or on a GPU |
//! | [`formats`] | reads and writes checkpoints, model files and ONNX |
//! | [`quantize`] | makes integers of a checkpoint, and shows what they lose, layer by layer |
//! | [`verify`](mod@verify) | compares [`vit_nostd`] with dfdx and with an independent reference |
//! | [`run`] | what a run leaves in its folder: its record, its report, its images |
//! | [`train`](mod@train) | the training loop and what carries out its steps |
//! | [`cli`] | the program |
//!
//! A training step is augmentation ([`data::Augmentation`]) and normalisation, then [`fused::Step`] with dropout masks that are
//! a function of seed and step, then clipping and AdamW ([`train::optimizer`]). After each epoch the validation images decide
//! whether it is the best one. [`train::snapshot`] says what an interrupted run goes on from, [`run::data`] which images a run
//! is about. [`inference`] runs a network over many images, and [`score`] says how well it did.
//!
//! No result depends on the number of threads, on the time, or on how often a run was interrupted: every random choice
//! is a function of the numbers that name it, such as (seed, epoch, image), and every sum has one order.
//!
//! The engines' arithmetic is written twice: in [`vit_nostd`], which the chip runs, and in [`verify::reference`], with dfdx
//! tensors, from the specification; neither calls the other's.
//!
//! Nothing of NVIDIA's is needed to build this crate, also for training on a GPU ([`fused::cuda`]). Its feature
//! `dfdx-cuda` is for tests, which then compare with dfdx's own CUDA device, too; that needs NVIDIA's toolkit and a GPU to
//! build.
//!
//! A [`digest`] names a checkpoint by its parameters; model files carry that of the checkpoint they were made from, and
//! [`run::origins`] tells whether the files of a run belong together.
//!
//! A stable compiler builds this crate, and a nightly one does not: there, dfdx's build script turns on an unfinished
//! language feature (`generic_const_exprs`), with which dfdx itself does not compile. It asks the compiler for its version,
//! so that nothing outside dfdx can keep it from that. With rustup, `cargo +stable build` is the way out.
//!
//! Everything that fails is an [`Error`], whose message is one line for a person. [`files`] writes whole files or none.

pub mod cli;
pub mod data;
pub mod device;
pub mod digest;
pub mod error;
pub mod files;
pub mod formats;
pub mod fused;
mod hex;
pub mod inference;
pub mod network;
pub mod paths;
pub mod quantize;
mod random;
pub mod recipe;
pub mod run;
pub mod score;
pub mod train;
pub mod verify;

pub use error::Error;
