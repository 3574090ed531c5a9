//! What a run leaves in its folder.

pub mod data;
pub mod folder;
pub mod origins;
pub mod record;
pub mod report;
