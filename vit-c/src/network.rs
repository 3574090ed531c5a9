//! The description of a network, which is how one function works for all networks of a library.

use crate::{
    error::VitError,
    infer,
    memory::{check, check_apart},
    model::{self, VitModel},
};
use vit_nostd::{frame::Input, int8::Scratch, Network};

/// A network of the library. Its header declares it, as in `extern const vit_network vit_nano;`.
#[derive(Debug)]
pub struct VitNetwork {
    /// The number that tells a network from other memory.
    magic: u32,
    pub(crate) sizes: VitSizes,
    /// Opens a model of this network.
    pub(crate) open: model::Open,
    /// Finds the label of a class.
    pub(crate) label: model::Label,
    /// Classifies an image with a model of this network.
    pub(crate) infer: infer::Infer,
    /// The number of times that an observer is called during an inference.
    pub(crate) steps: u32,
}

/// The lengths and the memory of a network. The header of the network has the same numbers as macros.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VitSizes {
    /// The height of the input image, in pixels.
    pub height: usize,
    /// The width of the input image, in pixels.
    pub width: usize,
    /// The number of bytes of a pixel of the input image: 1 for grey, 3 for red, green and blue.
    pub channels: usize,
    /// The number of classes, which is the number of logits.
    pub classes: usize,
    /// The number of bytes of the input image: height * width * channels.
    pub image_bytes: usize,
    /// The number of bytes of the scratch memory of an inference.
    pub scratch_bytes: usize,
    /// The number of sums that a resizer needs, with 4 bytes each: width * channels.
    pub sums: usize,
}

const MAGIC: u32 = 0x5649_5401;

impl VitNetwork {
    /// Returns the description of network `N`. Use [`export!`](crate::export) to give it a name in C.
    pub const fn of<N: Network>() -> Self {
        let input = Input::of::<N>();
        // After the embedding, each block has three stages for every token, and six for every query. In the last block,
        // only the class token has a query. The last LayerNorm and the classifier follow.
        let steps = N::TOKENS + N::DEPTH * 3 * N::TOKENS + (N::DEPTH - 1) * 6 * N::TOKENS + 6 + 2;
        Self {
            magic: MAGIC,
            sizes: VitSizes {
                height: N::HEIGHT,
                width: N::WIDTH,
                channels: N::CHANNELS,
                classes: N::CLASSES,
                image_bytes: input.bytes(),
                scratch_bytes: Scratch::<N>::BYTES + infer::scratch_padding::<N>(),
                sums: input.sums(),
            },
            open: VitModel::open::<N>,
            label: VitModel::label::<N>,
            infer: infer::infer::<N>,
            steps: steps as u32,
        }
    }

    /// Returns the lengths and the memory of the network.
    pub const fn sizes(&self) -> VitSizes {
        self.sizes
    }

    /// Returns the network that a C program passes.
    ///
    /// # Safety
    /// `network` is null, or points to a network, or at least to as much readable memory.
    pub(crate) unsafe fn from_c(network: *const Self) -> Result<&'static Self, VitError> {
        check(network, 1)?;
        // SAFETY: The pointer is neither null nor misaligned, and the caller promises that the memory can be read. Only
        // the number is looked at before it is known that the rest is a network.
        if unsafe { (&raw const (*network).magic).read() } != MAGIC {
            return Err(VitError::VIT_ERROR_NETWORK);
        }
        // SAFETY: The memory is a network, and networks are `static`.
        Ok(unsafe { &*network })
    }
}

/// Makes the network `$network` available in C as the constant `$symbol`.
#[macro_export]
macro_rules! export {
    ($symbol:ident: $network:ty) => {
        #[unsafe(no_mangle)]
        #[allow(non_upper_case_globals, missing_docs)] // This is the name in C.
        pub static $symbol: $crate::VitNetwork = $crate::VitNetwork::of::<$network>();
    };
}

/// Writes the lengths and the memory of a network to `sizes`, for programs that learn at run time which network they
/// have.
///
/// # Safety
/// `network` is a network of the library. `sizes` can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vit_network_sizes(network: *const VitNetwork, sizes: *mut VitSizes) -> VitError {
    let write = || {
        // SAFETY: The caller promises what `from_c` needs.
        let network = unsafe { VitNetwork::from_c(network)? };
        check_apart([&check(sizes, 1)?], [&check(network, 1)?])?;
        // SAFETY: The pointers are neither null nor misaligned, they do not overlap, and the caller promises that the
        // second one can be written to.
        unsafe { (&raw const network.sizes).copy_to_nonoverlapping(sizes, 1) };
        Ok(())
    };
    write().into()
}
