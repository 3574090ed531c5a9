//! Typed views of raw weights.

use bytemuck::Pod;

/// Declares a list of tensors that lie one after the other without gaps. Defines a struct of references to them, a
/// second struct of mutable references for code that writes them, and their size in bytes.
///
/// The declaration is the only place that states the order and the types of the tensors.
macro_rules! tensors {
    (
        $(#[$meta:meta])*
        $name:ident, $(#[$meta_mut:meta])* $name_mut:ident {
            $($(#[$doc:meta])* $field:ident: $type:ty,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name<'a, N: Network> {
            $($(#[$doc])* pub $field: &'a $type,)*
        }

        $(#[$meta_mut])*
        #[derive(Debug)]
        pub struct $name_mut<'a, N: Network> {
            $($(#[$doc])* pub $field: &'a mut $type,)*
        }

        impl<'a, N: Network> $name<'a, N> {
            /// The size of all the tensors together, in bytes.
            pub const BYTES: usize = 0 $(+ size_of::<$type>())*;

            /// Views the front of `bytes` as these tensors, and returns them and the remaining bytes. Returns `None` if
            /// there are too few bytes, or if they are misaligned.
            pub(crate) fn split_from(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
                $(let ($field, bytes) = crate::tensors::split(bytes)?;)*
                Some((Self { $($field,)* }, bytes))
            }
        }

        impl<'a, N: Network> $name_mut<'a, N> {
            /// Views the front of `bytes` as these tensors, and returns them and the remaining bytes. Returns `None` if
            /// there are too few bytes, or if they are misaligned.
            pub(crate) fn split_from(bytes: &'a mut [u8]) -> Option<(Self, &'a mut [u8])> {
                $(let ($field, bytes) = crate::tensors::split_mut(bytes)?;)*
                Some((Self { $($field,)* }, bytes))
            }
        }
    };
}
pub(crate) use tensors;

/// Splits one tensor off the front of `bytes`. Returns `None` if there are too few bytes, or if they are misaligned.
pub(crate) fn split<T: Pod>(bytes: &[u8]) -> Option<(&T, &[u8])> {
    let (tensor, rest) = bytes.split_at_checked(size_of::<T>())?;
    Some((bytemuck::try_from_bytes(tensor).ok()?, rest))
}

/// Splits one mutable tensor off the front of `bytes`, like [`split`].
pub(crate) fn split_mut<T: Pod>(bytes: &mut [u8]) -> Option<(&mut T, &mut [u8])> {
    let (tensor, rest) = bytes.split_at_mut_checked(size_of::<T>())?;
    Some((bytemuck::try_from_bytes_mut(tensor).ok()?, rest))
}
