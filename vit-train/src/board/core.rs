//! Processor cores, and the kernels of the integer engine that they run.

use clap::ValueEnum;

/// The core of a microcontroller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Core {
    /// Cortex-M0 or M0+.
    M0,
    /// Cortex-M3.
    M3,
    /// Cortex-M4, with a floating-point unit.
    M4,
    /// Cortex-M7, with a floating-point unit.
    M7,
    /// Cortex-M33, with a floating-point unit and the DSP extension.
    M33,
}

/// The kernels of `vit_nostd`'s integer engine: the modules in `int8/kernels` of that crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernels {
    /// Those of ARMv6-M.
    Armv6m,
    /// Those of ARMv7-M.
    Armv7m,
    /// Those of cores with the DSP extension.
    Dsp,
}

impl Core {
    /// Returns the name, as in `Cortex-M4F`.
    pub fn name(self) -> &'static str {
        match self {
            Self::M0 => "Cortex-M0",
            Self::M3 => "Cortex-M3",
            Self::M4 => "Cortex-M4F",
            Self::M7 => "Cortex-M7",
            Self::M33 => "Cortex-M33",
        }
    }

    /// Returns the kernels that the library chooses for the target.
    pub fn kernels(self) -> Kernels {
        match self {
            Self::M0 => Kernels::Armv6m,
            Self::M3 => Kernels::Armv7m,
            Self::M4 | Self::M7 | Self::M33 => Kernels::Dsp,
        }
    }
}

impl Kernels {
    /// Returns the number of tokens that go through a layer together.
    pub(super) fn tile(self) -> usize {
        match self {
            Self::Armv6m => 1,
            Self::Armv7m => 2,
            Self::Dsp => 3,
        }
    }

    /// Returns the number of tokens whose scores are held at the same time.
    pub(super) fn scored(self) -> usize {
        match self {
            Self::Armv6m | Self::Armv7m => 1,
            Self::Dsp => 3,
        }
    }

    /// True if activations are widened to 16 bits before multiplication.
    pub(super) fn widen(self) -> bool {
        self == Self::Dsp
    }
}
