//! Why a GPU cannot be used.

use super::libraries::Missing;
use crate::error::Error;
use cudarc::{cublas::result::CublasError, driver::DriverError};

/// Why a GPU cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CudaError {
    /// A library is not there.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// There are fewer GPUs.
    #[error("--cuda-device {index}: there are {count} GPUs here, numbered from 0 (CUDA_VISIBLE_DEVICES can hide some)")]
    NoSuchDevice {
        /// The one asked for.
        index: usize,
        /// Those that are there.
        count: usize,
    },
    /// A GPU that NVIDIA's compilers do not know any more.
    #[error("{name}: its compute capability {}.{} is below 7.5, the least for which there are kernels", capability.0, capability.1)]
    TooOld {
        /// The GPU.
        name: String,
        /// Its compute capability.
        capability: (i32, i32),
    },
    /// The kernels cannot be compiled.
    #[error("NVRTC cannot compile the kernels for {architecture} (is it older than the GPU?): {message}")]
    Compile {
        /// For which GPUs.
        architecture: String,
        /// What NVRTC says.
        message: String,
    },
    /// A network whose attention does not fit into the memory that a block has.
    #[error(
        "a network of this shape is too large for the kernels: attention takes {bytes} bytes of {limit}"
    )]
    TooLarge {
        /// Needed.
        bytes: usize,
        /// There.
        limit: usize,
    },
    /// The driver refuses.
    #[error("NVIDIA's driver {what}: {message}")]
    Driver {
        /// What did not work.
        what: &'static str,
        /// What the driver says.
        message: String,
    },
    /// A step was recorded, and nothing is in the record.
    #[error("the GPU recorded nothing")]
    NothingRecorded,
    /// cuBLAS refuses.
    #[error("cuBLAS refuses to work: {0:?}")]
    Blas(#[from] CublasError),
}

impl From<CudaError> for Error {
    fn from(error: CudaError) -> Self {
        Self::Cuda(Box::new(error))
    }
}

impl CudaError {
    /// For `map_err`; `what` the GPU does instead.
    pub(crate) fn driver(what: &'static str) -> impl Fn(DriverError) -> Self {
        move |error| {
            let text = error.error_string().map(|text| text.to_string_lossy().into_owned());
            Self::Driver { what, message: text.unwrap_or_else(|_| format!("{:?}", error.0)) }
        }
    }
}
