//! Trains.

pub mod data;
