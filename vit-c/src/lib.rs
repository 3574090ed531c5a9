//! The C interface of [`vit_nostd`], for firmware that is written in C or C++.
//!
//! C programs do not use this crate directly. The command `vit-train export MODEL --c DIR` builds a static library from
//! it, for one processor and for the networks of some models, and writes a folder which a C project can use without
//! Rust. The functions are declared and documented in `include/vit.h`, which is made from the sources of this crate; a
//! test compares the two.
//!
//! A library of one's own declares its networks and exports each of them:
//!
//! ```
//! vit_nostd::network! {
//!     /// Which gesture a hand makes.
//!     Gestures { image: [32, 48, 3], patch: 8, embed: 64, heads: 4, hidden: 128, depth: 6, classes: 5 }
//! }
//!
//! vit_c::export!(vit_gestures: Gestures);
//! ```
//!
//! In C, the network is then `extern const vit_network vit_gestures;`.
//!
//! The functions check every argument that can be checked: pointers that are null or misaligned, lengths, buffers that
//! overlap, models that were not opened. A wrong argument is an error code. No function allocates, waits, panics, or keeps
//! a state of its own.
#![no_std]
// A C program passes pointers. Every block states why they may be used.
#![allow(unsafe_code)]

// The header declares the functions in the order of these modules.
mod memory;
mod model;
mod network;

mod infer;
mod prediction;

mod frame;

mod error;
mod version;

pub use error::{vit_error_name, VitError};
pub use frame::{vit_resizer_begin, vit_resizer_end, vit_resizer_row, VitFrame, VitPixelFormat, VitResizer};
pub use frame::{VIT_GREY8, VIT_RGB565_BE, VIT_RGB565_LE, VIT_RGB888, VIT_UYVY, VIT_YUYV};
pub use infer::{vit_infer, vit_infer_observed, VitObserver};
pub use model::{vit_file_bytes, vit_label, vit_open, VitModel};
pub use network::{vit_network_sizes, VitNetwork, VitSizes};
pub use prediction::{vit_softmax, vit_top_k, VitPrediction};
pub use version::{vit_format_version, vit_version, VIT_FORMAT_VERSION};

/// The header `vit.h`, which declares the functions in C.
pub const HEADER: &str = include_str!("../include/vit.h");
