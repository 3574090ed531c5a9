//! Proves that the host, the `no_std` library and the emulated chip compute the same bits.

pub mod chip_bench;
