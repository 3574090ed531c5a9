//! A GPU and its two queues.

use super::{
    error::CudaError,
    kernels::{compile, Kernels, Read, Write},
    libraries,
};
use crate::recipe::Precision;
use cudarc::{
    cublas::{result, sys},
    driver::{CudaContext, CudaSlice, CudaStream, DevicePtr, DevicePtrMut, DriverError},
};
use std::sync::Arc;

/// A GPU with a main queue and a side queue.
///
/// A queue executes its operations in order, independently of the other queue. Only a [`Pass`](super::pass::Pass) uses
/// the side queue, and it makes the queues wait for each other so that no kernel writes memory that another one is
/// using. The safety of the methods rests on this.
#[derive(Debug)]
pub(crate) struct Device {
    /// The queue of all operations whose results later operations of the pass need.
    pub(crate) main: Queue,
    /// The queue of operations whose results are needed only at the end of a pass.
    pub(crate) side: Queue,
    /// The name of the GPU, such as `NVIDIA H100`.
    pub name: String,
    /// The precision of matrix products.
    pub precision: Precision,
}

/// A CUDA stream, with the kernels and the cuBLAS handle that queue operations in it.
#[derive(Debug)]
pub(crate) struct Queue {
    // Fields are dropped in this order: the stream must outlive cuBLAS and the kernels.
    blas: Blas,
    /// The kernels, which are queued in `stream`.
    pub kernels: Kernels,
    /// The stream.
    pub stream: Arc<CudaStream>,
}

/// The lowest compute capability that NVIDIA's current compilers support.
const OLDEST: (i32, i32) = (7, 5);

impl Device {
    /// Opens GPU number `index`, compiles the kernels for it, and creates its queues.
    ///
    /// # Errors
    /// Returns an error if a library of NVIDIA's is missing, if there is no such GPU, or if the GPU is too old or
    /// cannot be used.
    pub(crate) fn open(index: usize, precision: Precision) -> Result<Self, CudaError> {
        libraries::load()?;
        let context = open_context(index)?;
        let failed = CudaError::driver("failed to prepare the GPU");
        let name = context.name().map_err(&failed)?;
        let capability = context.compute_capability().map_err(&failed)?;
        if capability < OLDEST {
            return Err(CudaError::TooOld { name, capability });
        }
        // SAFETY: without event tracking, nothing makes a stream wait for another one that uses the same memory. This
        // is sound under two conditions:
        // - Outside a pass, memory is used on the main stream only. The exception is the workspace of cuBLAS, of which
        //   each stream has its own.
        // - A pass, which also uses the side stream, makes the streams wait for each other where they share memory, and
        //   before it ends.
        unsafe { context.disable_event_tracking() };
        let code = compile(capability)?;
        let queue = || {
            // Operations on the default stream could not be captured in a graph.
            let stream = context.new_stream().map_err(&failed)?;
            let kernels = Kernels::load(&context, &stream, code.clone()).map_err(&failed)?;
            Ok::<_, CudaError>(Queue { blas: Blas::new(&stream, precision)?, kernels, stream })
        };
        Ok(Self { main: queue()?, side: queue()?, name, precision })
    }

    /// Checks that NVIDIA's libraries are installed and that there is a GPU number `index`.
    ///
    /// # Errors
    /// Returns an error if a library is missing, or if there is no such GPU or it cannot be used.
    pub(crate) fn check(index: usize) -> Result<(), CudaError> {
        libraries::load()?;
        open_context(index).map(drop)
    }
}

impl Queue {
    /// Makes all operations that are queued here from now on wait for those that are already in `other`.
    pub(crate) fn wait_for(&self, other: &Self) -> Result<(), DriverError> {
        self.stream.join(&other.stream)
    }

    /// Queues `out` = `left` `right`, or `out` += `left` `right`. `out` is a `rows x columns` matrix; the sums have
    /// `depth` terms.
    pub(crate) fn product(
        &self,
        left: View<'_>,
        right: View<'_>,
        [rows, depth, columns]: [usize; 3],
        out: Write<'_>,
        add: bool,
    ) -> Result<(), CudaError> {
        self.blas.product(&self.stream, left, right, [rows, depth, columns], out, add)
    }
}

/// Returns the context of GPU number `index`.
fn open_context(index: usize) -> Result<Arc<CudaContext>, CudaError> {
    let failed = CudaError::driver("failed to open the GPU");
    let count = CudaContext::device_count().map_err(CudaError::driver("finds no GPU"))?;
    if index >= count as usize {
        return Err(CudaError::NoSuchDevice { index, count: count as usize });
    }
    CudaContext::new(index).map_err(failed)
}

/// A matrix in memory, or its transpose.
#[derive(Debug)]
pub(crate) struct View<'a> {
    values: Read<'a>,
    /// The number of elements of a row in memory.
    width: usize,
    transposed: bool,
}

impl<'a> View<'a> {
    /// Makes a view of rows of `width` elements.
    pub(crate) const fn rows(values: Read<'a>, width: usize) -> Self {
        Self { values, width, transposed: false }
    }

    /// Returns the transpose.
    pub(crate) fn transpose(self) -> Self {
        Self { transposed: !self.transposed, ..self }
    }

    /// Returns the operation that tells cuBLAS whether to transpose the matrix. cuBLAS stores matrices column by
    /// column, so it sees every matrix of ours as its transpose, and [`Blas::product`] computes the transpose of the
    /// product.
    const fn operation(&self) -> sys::cublasOperation_t {
        if self.transposed {
            sys::cublasOperation_t::CUBLAS_OP_T
        } else {
            sys::cublasOperation_t::CUBLAS_OP_N
        }
    }
}

/// A cuBLAS handle for one queue, with a workspace of its own. cuBLAS therefore allocates no memory while a step is
/// recorded, and operations of the other queue cannot change the order of a sum.
#[derive(Debug)]
struct Blas {
    handle: sys::cublasHandle_t,
    precision: Precision,
    _workspace: CudaSlice<u8>,
}

/// The bytes of a workspace, as cuBLAS recommends for the newest GPUs.
const WORKSPACE: usize = 32 << 20;

impl Blas {
    fn new(stream: &Arc<CudaStream>, precision: Precision) -> Result<Self, CudaError> {
        let failed = CudaError::driver("failed to prepare cuBLAS");
        let mut workspace = stream.alloc_zeros::<u8>(WORKSPACE).map_err(&failed)?;
        stream.synchronize().map_err(&failed)?;
        let handle = result::create_handle()?;
        let (address, _) = workspace.device_ptr_mut(stream);
        // SAFETY:
        // - The handle was just created, so that no operation uses it yet.
        // - The stream and the workspace live at least as long as the handle.
        // - `address` is that of the workspace, which has `WORKSPACE` bytes.
        unsafe {
            result::set_stream(handle, stream.cu_stream().cast())?;
            sys::cublasSetWorkspace_v2(handle, address as *mut _, WORKSPACE).result()?;
        }
        Ok(Self { handle, precision, _workspace: workspace })
    }

    fn product(
        &self,
        stream: &CudaStream,
        left: View<'_>,
        right: View<'_>,
        [rows, depth, columns]: [usize; 3],
        mut out: Write<'_>,
        add: bool,
    ) -> Result<(), CudaError> {
        let widths = |view: &View<'_>, rows, columns| if view.transposed { rows } else { columns };
        assert_eq!(
            (left.values.len(), left.width),
            (rows * depth, widths(&left, rows, depth)),
            "the size of the left matrix"
        );
        assert_eq!(
            (right.values.len(), right.width),
            (depth * columns, widths(&right, depth, columns)),
            "the size of the right matrix"
        );
        assert_eq!(out.len(), rows * columns, "the size of the product");
        let compute = match self.precision {
            Precision::F32 => sys::cublasComputeType_t::CUBLAS_COMPUTE_32F,
            Precision::Tf32 => sys::cublasComputeType_t::CUBLAS_COMPUTE_32F_FAST_TF32,
        };
        let (alpha, beta) = (1.0f32, if add { 1.0f32 } else { 0.0 });
        let float = sys::cudaDataType::CUDA_R_32F;
        let (left_address, _left) = left.values.device_ptr(stream);
        let (right_address, _right) = right.values.device_ptr(stream);
        let (out_address, _out) = out.device_ptr_mut(stream);
        // cuBLAS stores matrices column by column, so it is asked for the transpose: out^T = right^T left^T.
        // SAFETY:
        // - The handle is valid until `self` is dropped.
        // - The assertions above guarantee that each matrix has as many elements as cuBLAS reads or writes with these
        //   sizes and widths.
        // - The matrices are borrowed until the call is in the queue.
        // - `alpha` and `beta` are in host memory and have the type that `compute` expects.
        unsafe {
            result::gemm_ex(
                self.handle,
                right.operation(),
                left.operation(),
                columns as i32,
                rows as i32,
                depth as i32,
                (&raw const alpha).cast(),
                right_address as *const _,
                float,
                right.width as i32,
                left_address as *const _,
                float,
                left.width as i32,
                (&raw const beta).cast(),
                out_address as *mut _,
                float,
                columns as i32,
                compute,
                sys::cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT,
            )?;
        }
        Ok(())
    }
}

impl Drop for Blas {
    fn drop(&mut self) {
        // SAFETY: `new` created the handle and nothing else owns it, so it is destroyed once and not used afterwards.
        let _ = unsafe { result::destroy_handle(self.handle) }; // `drop` cannot report an error
    }
}
