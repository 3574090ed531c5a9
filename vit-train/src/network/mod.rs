//! The second station: networks that can be trained, as dfdx tensors and as lists of parameters.

pub mod dimensions;
pub mod dropout;
pub mod list;
pub mod model;
pub mod parameters;

pub use dimensions::Trainable;

use heck::ToKebabCase;

/// The name of network `N` on the command line and in files: that of its type in kebab case, `conv-nano` for `ConvNano`.
pub fn name<N: vit_nostd::Network>() -> String {
    N::NAME.to_kebab_case()
}
