//! Trains Vision Transformers with dfdx and writes the model files that [`vit_nostd`] runs.
//!
//! The program `vit-train` is a thin command line around this library. This example trains and converts a network of
//! its own shape:
//!
//! ```
//! // Run it with `cargo run --release`: without optimisation, training takes many times as long.
//! use std::{path::Path, time::Duration};
//! use vit_nostd::frame::Fit;
//! use vit_train::{
//!     cli::Console,
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
//!     let mut data = load(&Source::Synthetic, Format::of::<Mine>(), Fit::Crop)?; // or Source::Directory("photos".into())
//!     data.train.truncate(300); // for a quick look
//!     // Recipe::default() is the recipe of the article. The best known one for a network of this size is
//!     // Recipe::best(<Mine as vit_nostd::Network>::DIMS.parameters(), data.train.len(), data.style).
//!     let recipe = Recipe { epochs: 1, batch_size: 32, lr: 3e-3, ..Recipe::default() };
//!     let run = Path::new("runs/mine");
//!
//!     // Everything at once: training, both model files, the comparison of the engines, the report. The run is saved
//!     // after every epoch and every minute, or on Ctrl-C, and goes on from there when the program is started again.
//!     // With () instead of the console, nothing is shown.
//!     let mut console = Console::listen("start the program again")?;
//!     let folder = RunFolder::create(run)?;
//!     let start = Start::resumed::<Mine>(&recipe, &data, &folder)?.unwrap_or(Start::Random);
//!     let report = train::<Mine>(&recipe, &data, start, &folder, Duration::from_secs(60), &mut console)?;
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
//! # Modules
//!
//! Data flow in one direction through these modules. Code that depends on the dimensions of a network is generic over
//! it: it has a parameter `N:` [`Trainable`](network::Trainable), a trait of every network that [`vit_nostd::network!`]
//! declares. The program ([`cli`]) has a list of networks, and chooses one by its name or by the content of a file.
//!
//! | module | purpose |
//! |---|---|
//! | [`data`] | reads files or makes digits: grey images to train on and to test on |
//! | [`network`] | describes a network as dfdx tensors, and its parameters as one slice with PyTorch's names |
//! | `fused` | computes the same loss and gradients as dfdx's operations, but faster, on the CPU or a GPU |
//! | [`formats`] | reads and writes checkpoints, model files and ONNX |
//! | [`quantize`] | converts a checkpoint to integers, and measures the error of each layer |
//! | [`verify`](mod@verify) | compares [`vit_nostd`] with dfdx and with an independent reference |
//! | [`run`] | writes and reads what a run leaves in its directory: its record, its report, its images |
//! | [`train`](mod@train) | has the training loop and the engines that carry out its steps |
//! | [`cli`] | is the program |
//!
//! A training step consists of augmentation ([`data::Augmentation`]) and normalisation, then of the fused pass with
//! dropout masks that are a function of seed and step, then of clipping and AdamW. After each epoch, the accuracy on
//! the validation images decides whether the parameters are kept. A snapshot of everything that changes is
//! saved, from which an interrupted run continues. [`inference`] runs a network on many images, and [`score`] measures
//! its accuracy.
//!
//! # Invariants
//!
//! - No result depends on the number of threads, on the time, or on how often a run was interrupted: every random
//!   choice is a function of the numbers that name it, such as (seed, epoch, image), and every sum has one order.
//! - The arithmetic of the engines is written twice: in [`vit_nostd`], which the chip runs, and from the specification,
//!   with dfdx tensors, in [`verify::reference`]. Neither calls the other.
//! - A [digest](formats::checkpoint::Checkpoint::digest) identifies a checkpoint by its parameters. Model files contain
//!   the digest of the checkpoint that they were made from, by which the program checks whether the files of a run
//!   belong together.
//! - Every failure is an [`Error`], whose message states the cause in one line. [`files`] writes files completely or
//!   not at all.
//!
//! # Building
//!
//! Nothing from NVIDIA is needed to build this crate, not even for training on a GPU. The feature
//! `dfdx-cuda` is for tests, which then also compare with dfdx's own CUDA device. Building it needs NVIDIA's toolkit
//! and a GPU.
//!
//! This crate builds with a stable compiler, but not with a nightly one: with a nightly compiler, the build script of
//! dfdx turns on an unfinished language feature (`generic_const_exprs`), with which dfdx itself does not compile. The
//! script asks the compiler for its version, so that nothing outside dfdx can prevent this. With rustup, use `cargo
//! +stable build`.

mod atomic;
pub mod board;
mod c_library;
pub mod cli;
pub mod data;
pub mod device;
mod digest;
pub mod error;
pub mod files;
mod folder;
pub mod formats;
mod fused;
mod hex;
pub mod inference;
pub mod network;
mod paths;
mod project;
pub mod quantize;
mod random;
pub mod recipe;
mod repository;
pub mod run;
pub mod score;
mod template;
pub mod train;
pub mod verify;

pub use error::Error;
