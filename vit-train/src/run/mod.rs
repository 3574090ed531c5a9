//! The files that a training run leaves in its directory.

pub mod data;
pub mod folder;
pub mod origins;
pub mod record;
pub mod report;
