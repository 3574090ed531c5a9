//! The errors of training on a GPU.

use super::libraries::Missing;
use crate::error::Error;
use cudarc::{cublas::result::CublasError, driver::DriverError};

/// A reason why a GPU cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CudaError {
    /// One of NVIDIA's libraries was not found.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// The machine has no GPU of this number.
    #[error("there is no GPU {index}: this machine has {count} GPUs, numbered from 0 (CUDA_VISIBLE_DEVICES can hide some)")]
    NoSuchDevice {
        /// The number of the GPU that was asked for.
        index: usize,
        /// The number of GPUs that the driver shows.
        count: usize,
    },
    /// The GPU is too old for NVIDIA's current compilers.
    #[error("{name}: its compute capability {}.{} is below 7.5, the lowest that the kernels support", capability.0, capability.1)]
    TooOld {
        /// The name of the GPU.
        name: String,
        /// The compute capability of the GPU: the major and the minor number.
        capability: (i32, i32),
    },
    /// NVRTC could not compile the kernels.
    #[error("NVRTC cannot compile the kernels for {architecture} (is it older than the GPU?): {message}")]
    Compile {
        /// The architecture of the GPU, such as `sm_90`.
        architecture: String,
        /// The error and the log of NVRTC, in one line.
        message: String,
    },
    /// The attention of the network does not fit into the shared memory of a block.
    #[error(
        "this network is too large for the GPU kernels: its attention needs {bytes} bytes of shared memory, \
         and a block has {limit}"
    )]
    TooLarge {
        /// The bytes of shared memory that attention needs.
        bytes: usize,
        /// The bytes of shared memory that a block has.
        limit: usize,
    },
    /// A call of the driver failed.
    #[error("NVIDIA's driver {what}: {message}")]
    Driver {
        /// The action that failed, as the end of a sentence about the driver: "failed to open the GPU".
        what: &'static str,
        /// The driver's message.
        message: String,
    },
    /// A step was recorded, but the recorded graph is empty.
    #[error("NVIDIA's driver recorded an empty graph of a training step")]
    NothingRecorded,
    /// A call of cuBLAS failed.
    #[error("cuBLAS failed: {0:?}")]
    Blas(#[from] CublasError),
}

impl From<CudaError> for Error {
    fn from(error: CudaError) -> Self {
        Self::Cuda(Box::new(error))
    }
}

impl CudaError {
    /// Returns a function for `map_err`. `what` says what the driver failed to do: see [`CudaError::Driver`].
    pub(crate) fn driver(what: &'static str) -> impl Fn(DriverError) -> Self {
        move |error| {
            let text = error.error_string().map(|text| text.to_string_lossy().into_owned());
            Self::Driver { what, message: text.unwrap_or_else(|_| format!("{:?}", error.0)) }
        }
    }
}
