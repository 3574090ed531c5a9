//! A GPU, with all that operations on it need.

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

/// A GPU, and two queues: what is in one is done in its order, whatever the other does. Nothing is done in `beside`
/// but what a [`Pass`](super::pass::Pass) queues there, which makes them wait for each other: no kernel writes what
/// another one is using, and that is what makes the methods safe.
#[derive(Debug)]
pub struct Device {
    /// Of everything that others wait for.
    pub(crate) main: Queue,
    /// Of what is needed at the end of a pass only.
    pub(crate) beside: Queue,
    /// Its name, such as `NVIDIA H100`.
    pub name: String,
    /// Of products.
    pub precision: Precision,
}

/// A stream, and what can be queued in it.
#[derive(Debug)]
pub struct Queue {
    // In the order in which they are given back.
    blas: Blas,
    /// The kernels.
    pub kernels: Kernels,
    /// What they are queued in.
    pub stream: Arc<CudaStream>,
}

/// The first compute capability that NVIDIA's compilers still know.
const OLDEST: (i32, i32) = (7, 5);

impl Device {
    /// Makes the GPU number `index` ready.
    ///
    /// # Errors
    /// [`CudaError`], in words for the person who asked for a GPU.
    pub fn open(index: usize, precision: Precision) -> Result<Self, CudaError> {
        libraries::load()?;
        let context = open_context(index)?;
        let failed = CudaError::driver("cannot be made ready");
        let name = context.name().map_err(&failed)?;
        let capability = context.compute_capability().map_err(&failed)?;
        if capability < OLDEST {
            return Err(CudaError::TooOld { name, capability });
        }
        // SAFETY: without events, nothing makes a stream wait for another one that uses the same memory. All memory but a
        // workspace is used on one stream only, and a pass, which uses a second one, makes the two wait for each other
        // before it ends.
        unsafe { context.disable_event_tracking() };
        let code = compile(capability)?;
        let queue = || {
            // Not the default stream, on which nothing can be recorded.
            let stream = context.new_stream().map_err(&failed)?;
            let kernels = Kernels::load(&context, &stream, code.clone()).map_err(&failed)?;
            Ok::<_, CudaError>(Queue { blas: Blas::new(&stream, precision)?, kernels, stream })
        };
        Ok(Self { main: queue()?, beside: queue()?, name, precision })
    }

    /// Whether there is a GPU number `index`, and what it needs.
    ///
    /// # Errors
    /// [`CudaError`], as those of [`open`](Self::open).
    pub fn check(index: usize) -> Result<(), CudaError> {
        libraries::load()?;
        open_context(index).map(drop)
    }
}

impl Queue {
    /// What is queued from here on waits for what is in `other` by now.
    pub fn wait_for(&self, other: &Self) -> Result<(), DriverError> {
        self.stream.join(&other.stream)
    }

    /// `out` = `left` `right`, or `out` += that; `out` has `rows x columns` elements, `depth` is summed over.
    pub fn product(
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

/// The context of GPU number `index`.
fn open_context(index: usize) -> Result<Arc<CudaContext>, CudaError> {
    let failed = CudaError::driver("cannot be used");
    let count = CudaContext::device_count().map_err(CudaError::driver("finds no GPU"))?;
    if index >= count as usize {
        return Err(CudaError::NoSuchDevice { index, count: count as usize });
    }
    CudaContext::new(index).map_err(failed)
}

/// A matrix in memory, or its transpose.
#[derive(Debug)]
pub struct View<'a> {
    values: Read<'a>,
    /// Of a row in memory.
    width: usize,
    transposed: bool,
}

impl<'a> View<'a> {
    /// Rows of `width` elements.
    pub const fn rows(values: Read<'a>, width: usize) -> Self {
        Self { values, width, transposed: false }
    }

    /// The transpose.
    pub fn transpose(self) -> Self {
        Self { transposed: !self.transposed, ..self }
    }

    /// As cuBLAS takes it, which has its matrices column by column: what lies in memory is the transpose of that.
    const fn operation(&self) -> sys::cublasOperation_t {
        if self.transposed {
            sys::cublasOperation_t::CUBLAS_OP_T
        } else {
            sys::cublasOperation_t::CUBLAS_OP_N
        }
    }
}

/// cuBLAS for one queue, with memory of its own, so that it takes none while a step is recorded, and what another queue
/// does at the same time changes no sum.
#[derive(Debug)]
struct Blas {
    handle: sys::cublasHandle_t,
    precision: Precision,
    _workspace: CudaSlice<u8>,
}

/// What cuBLAS recommends for the newest GPUs.
const WORKSPACE: usize = 32 << 20;

impl Blas {
    fn new(stream: &Arc<CudaStream>, precision: Precision) -> Result<Self, CudaError> {
        let failed = CudaError::driver("cannot be made ready");
        let mut workspace = stream.alloc_zeros::<u8>(WORKSPACE).map_err(&failed)?;
        stream.synchronize().map_err(&failed)?;
        let handle = result::create_handle()?;
        let (address, _) = workspace.device_ptr_mut(stream);
        // SAFETY: the handle was just created, so that nothing is computed with it yet. The stream and the workspace live as
        // long as the handle, and `address` leads to the `WORKSPACE` bytes of the workspace.
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
        assert_eq!((left.values.len(), left.width), (rows * depth, widths(&left, rows, depth)), "left");
        assert_eq!(
            (right.values.len(), right.width),
            (depth * columns, widths(&right, depth, columns)),
            "right"
        );
        assert_eq!(out.len(), rows * columns, "out");
        let compute = match self.precision {
            Precision::F32 => sys::cublasComputeType_t::CUBLAS_COMPUTE_32F,
            Precision::Tf32 => sys::cublasComputeType_t::CUBLAS_COMPUTE_32F_FAST_TF32,
        };
        let (alpha, beta) = (1.0f32, if add { 1.0f32 } else { 0.0 });
        let float = sys::cudaDataType::CUDA_R_32F;
        let (left_address, _left) = left.values.device_ptr(stream);
        let (right_address, _right) = right.values.device_ptr(stream);
        let (out_address, _out) = out.device_ptr_mut(stream);
        // Column by column, `out` is the transpose: out^T = right^T left^T.
        // SAFETY: the handle is valid until `self` is dropped. The assertions above say that each matrix has as many numbers
        // as cuBLAS reads or writes by these sizes and widths, and the matrices are borrowed until the call is in the queue.
        // `alpha` and `beta` are on the host and of the type that the call names.
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
        // SAFETY: `new` created the handle, and nobody else has it, so that it is destroyed once and not used afterwards.
        let _ = unsafe { result::destroy_handle(self.handle) }; // there is nobody to tell
    }
}
