//! Projects of one's own: the choice of a network for a folder of pictures and a board, and the files of a workspace
//! that trains it and of a firmware that runs it.

pub(crate) mod choice;
mod firmware;
mod name;
pub(crate) mod write;

pub(crate) use name::Name;
