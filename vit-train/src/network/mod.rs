//! Networks that can be trained, as dfdx tensors and as lists of parameters.

pub(crate) mod dimensions;
pub(crate) mod dropout;
pub(crate) mod list;
pub(crate) mod model;
pub(crate) mod names;
pub mod parameters;
pub(crate) mod windows;

pub use dimensions::Trainable;

use heck::ToKebabCase;

/// Returns the name of network `N` on the command line and in files: that of its type in kebab case, such as
/// `conv-nano` for `ConvNano`.
pub(crate) fn name<N: vit_nostd::Network>() -> String {
    N::NAME.to_kebab_case()
}

#[cfg(test)]
mod tests {
    use super::name;

    #[test]
    fn names_are_in_kebab_case() {
        vit_nostd::network! {
            ConvNano { image: 4, patch: 2, embed: 4, heads: 1, hidden: 4, depth: 1, classes: 2 }
        }
        assert_eq!(
            (name::<ConvNano>(), name::<vit_nostd::Base>()),
            ("conv-nano".to_owned(), "base".to_owned())
        );
    }
}
