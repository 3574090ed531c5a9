//! The shapes that the program knows by name.

use crate::{model::Network, parameters::Layout};
use clap::ValueEnum;
use std::fmt;
use vit_nostd::{Dims, Shape};

/// A named shape. To add one: an alias in `vit_nostd`, a variant here, and its line in [`with_preset!`](crate::with_preset).
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// 1.80 M parameters, 16 blocks of 96 channels: the reference network.
    Base,
    /// 50 tokens of 64 channels, 6 blocks: the best accuracy per byte.
    Tiny,
    /// 80 k parameters, 4 blocks of 48 channels: for the smallest chips.
    Nano,
}

/// Evaluates an expression with `$shape` as the type of a preset that is known at run time only.
#[macro_export]
macro_rules! with_preset {
    ($preset:expr, $shape:ident => $body:expr) => {
        match $preset {
            $crate::Preset::Base => {
                type $shape = vit_nostd::Base;
                $body
            }
            $crate::Preset::Tiny => {
                type $shape = vit_nostd::Tiny;
                $body
            }
            $crate::Preset::Nano => {
                type $shape = vit_nostd::Nano;
                $body
            }
        }
    };
}

impl Preset {
    /// The network's dimensions.
    pub fn dims(self) -> Dims {
        with_preset!(self, S => S::DIMS)
    }

    /// The preset with these dimensions, if there is one.
    pub fn with_dims(dims: Dims) -> Option<Self> {
        Self::value_variants().iter().copied().find(|preset| preset.dims() == dims)
    }

    /// The preset that has the most tensors, by name and shape, in common with `parameters`. Heads leave no trace in a
    /// tensor's shape: they are the preset's.
    pub fn nearest(parameters: &Layout) -> Self {
        let presets = Self::value_variants().iter().copied();
        presets.max_by_key(|preset| preset.layout().in_common(parameters)).unwrap_or(Self::Base)
    }

    /// Names and shapes of the network's parameters.
    pub fn layout(self) -> Layout {
        with_preset!(self, S => Layout::of::<S>())
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}

/// The name of shape `S`, or its dimensions where it is not a preset.
pub fn shape_name<S: Network>() -> String {
    Preset::with_dims(S::DIMS).map_or_else(|| S::DIMS.to_string(), |preset| preset.to_string())
}
