//! The files that a training run leaves in its directory.

pub(crate) mod data;
pub mod folder;
pub(crate) mod origins;
pub mod record;
pub mod report;
pub mod samples;
