//! The kernels of `kernels.cu`: compiling them and calling them.

use super::error::CudaError;
use crate::network::dimensions::Dimensions;
use cudarc::{
    driver::{
        CudaContext, CudaFunction, CudaStream, CudaView, CudaViewMut, DriverError, LaunchArgs, LaunchConfig,
    },
    driver::{DeviceRepr, PushKernelArg, ValidAsZeroBits},
    nvrtc::{self, Ptx},
};
use dfdx::shapes::ConstDim;
use std::{ffi::CStr, sync::Arc};
use vit_nostd::Windows;

/// Memory that a kernel reads.
pub(crate) type Read<'a, T = f32> = CudaView<'a, T>;
/// Memory that a kernel writes, or reads and writes.
pub(crate) type Write<'a, T = f32> = CudaViewMut<'a, T>;

/// The values that change from step to step, in the memory of the device. `kernels.cu` describes the fields.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(C)]
#[allow(missing_docs)]
pub(crate) struct Counters {
    pub seed_key: u64,
    pub dropout_key: u64,
    pub step: u64,
    pub loss_sum: f64,
    pub first: u32,
    pub next: u32,
    pub correct: u32,
    pub lr: f32,
    pub weight_decay: f32,
    pub max_norm: f32,
    pub norm: f32,
    pub scale: f32,
}

// SAFETY: the struct has C's layout without padding. Its fields are numbers that have the same size and alignment on
// the host and on the device.
unsafe impl DeviceRepr for Counters {}
// SAFETY: all fields are numbers, for which all bits zero is a valid value.
unsafe impl ValidAsZeroBits for Counters {}

/// The dropout mask of a matrix. `kernels.cu` describes the fields.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C)]
#[allow(missing_docs)]
pub(crate) struct Mask {
    pub site: u64,
    pub threshold: u32,
    pub keep: f32,
    pub len: u32,
    pub mask_len: u32,
}

// SAFETY: the struct has C's layout without padding. Its fields are numbers that have the same size and alignment on
// the host and on the device.
unsafe impl DeviceRepr for Mask {}

/// The size of an image. `kernels.cu` has the same struct.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C)]
#[allow(missing_docs)]
pub(crate) struct ImageSize {
    pub height: u32,
    pub width: u32,
    pub channels: u32,
}

// SAFETY: the struct has C's layout without padding. Its fields are numbers that have the same size and alignment on
// the host and on the device.
unsafe impl DeviceRepr for ImageSize {}

impl ImageSize {
    /// Returns the size of the images of a network with these dimensions.
    pub(crate) const fn of<D: Dimensions>() -> Self {
        Self {
            height: D::Height::SIZE as u32,
            width: D::Width::SIZE as u32,
            channels: D::Channels::SIZE as u32,
        }
    }
}

/// The windows of a convolution in its input. `kernels.cu` has the same struct.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C)]
#[allow(missing_docs)]
pub(crate) struct InputWindows {
    pub height: u32,
    pub width: u32,
    pub channels: u32,
    pub kernel: [u32; 2],
    pub stride: [u32; 2],
    pub padding: u32,
    pub rows: u32,
    pub columns: u32,
    pub skip: u32,
    pub channel: u32,
    pub row: u32,
    pub pixel: u32,
}

// SAFETY: the struct has C's layout without padding. Its fields are numbers that have the same size and alignment on
// the host and on the device.
unsafe impl DeviceRepr for InputWindows {}

impl InputWindows {
    /// Returns the windows in images, which are stored channel by channel, and in a channel row by row. `skip` rows
    /// precede the windows of each image.
    pub(crate) const fn of_images(windows: Windows, skip: usize) -> Self {
        let Windows { height, width, .. } = windows;
        Self::new(windows, skip, [height * width, width, 1])
    }

    /// Returns the windows in maps, which are stored pixel by pixel, with all channels of a pixel side by side. `skip`
    /// rows precede the windows of each map.
    pub(crate) const fn of_maps(windows: Windows, skip: usize) -> Self {
        let Windows { width, channels, .. } = windows;
        Self::new(windows, skip, [1, width * channels, channels])
    }

    const fn new(windows: Windows, skip: usize, [channel, row, pixel]: [usize; 3]) -> Self {
        let Windows { height, width, channels, kernel, stride, padding } = windows;
        Self {
            height: height as u32,
            width: width as u32,
            channels: channels as u32,
            kernel: [kernel[0] as u32, kernel[1] as u32],
            stride: [stride[0] as u32, stride[1] as u32],
            padding: padding as u32,
            rows: windows.rows() as u32,
            columns: windows.columns() as u32,
            skip: skip as u32,
            channel: channel as u32,
            row: row as u32,
            pixel: pixel as u32,
        }
    }
}

/// The source of the kernels.
const SOURCE: &str = include_str!("kernels.cu");

/// Compiles the kernels to machine code for GPUs of a compute capability, such as (9, 0).
/// [`load_nvrtc`](super::libraries::load_nvrtc) must have been called before.
///
/// # Errors
/// Returns [`CudaError::Compile`] if NVRTC fails, for example because it is too old to know these GPUs.
pub(crate) fn compile((major, minor): (i32, i32)) -> Result<Vec<u8>, CudaError> {
    let architecture = format!("sm_{major}{minor}");
    let failed = |message: String| CudaError::Compile { architecture: architecture.clone(), message };
    let refused = |error: nvrtc::result::NvrtcError| failed(format!("{error:?}"));
    let source = std::ffi::CString::new(SOURCE).map_err(|error| failed(error.to_string()))?;
    let program = nvrtc::result::create_program(&source, Some(c"kernels.cu")).map_err(refused)?;
    // The target is machine code and not PTX, because a driver refuses the PTX of compilers that are newer than itself.
    let options = [format!("--gpu-architecture={architecture}"), "--std=c++17".to_owned()];
    // SAFETY:
    // - `program` was just created, and is destroyed once, after its last use.
    // - `code` has as many bytes as NVRTC says that the machine code has.
    unsafe {
        let compiled = nvrtc::result::compile_program(program, &options);
        let code = compiled.and_then(|()| {
            let mut len = 0;
            nvrtc::sys::nvrtcGetCUBINSize(program, &mut len).result()?;
            let mut code = vec![0u8; len];
            nvrtc::sys::nvrtcGetCUBIN(program, code.as_mut_ptr().cast()).result()?;
            Ok(code)
        });
        let code = code.map_err(|error| {
            let log = nvrtc::result::get_program_log(program).unwrap_or_default();
            let log: Vec<u8> = log.iter().map(|&byte| byte as u8).collect();
            let log = CStr::from_bytes_until_nul(&log).unwrap_or_default().to_string_lossy();
            failed(format!("{error:?} {}", log.trim().replace('\n', " ")))
        });
        nvrtc::result::destroy_program(program).map_err(refused)?;
        code
    }
}

/// The dimensions of a launch: the number of blocks, the threads of a block, and the floats of shared memory of a
/// block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grid {
    blocks: (u32, u32),
    threads: (u32, u32),
    shared: u32,
}

/// The number of threads of a block.
const THREADS: u32 = 256;
/// The number of threads of a warp, which work on a row together.
const WARP: u32 = 32;
/// The largest number of blocks, which is more than any GPU works on at a time.
const MAX_BLOCKS: u32 = 4096;

impl Grid {
    /// Returns a grid with one thread per element, up to the largest number of blocks. Kernels loop over the rest.
    pub(crate) fn elements(count: usize) -> Self {
        let blocks = count.div_ceil(THREADS as usize).clamp(1, MAX_BLOCKS as usize) as u32;
        Self { blocks: (blocks, 1), threads: (THREADS, 1), shared: 0 }
    }

    /// Returns a grid with one warp per row, up to the largest number of blocks. Kernels loop over the rest.
    pub(crate) fn rows(count: usize) -> Self {
        Self::elements(count * WARP as usize)
    }

    /// Returns a grid of this many blocks, each with shared memory for a sum over its threads.
    pub(crate) const fn sums(blocks: u32) -> Self {
        Self { blocks: (blocks, 1), threads: (THREADS, 1), shared: 2 * WARP }
    }

    /// Returns a grid with a block of 32 x 8 threads for every 32 of `columns`, `parts` times. Each block has shared
    /// memory for `sums` sums per thread.
    pub(crate) fn columns(columns: usize, parts: usize, sums: u32) -> Self {
        let blocks = (columns.div_ceil(WARP as usize) as u32, parts as u32);
        Self { blocks, threads: (WARP, THREADS / WARP), shared: sums * THREADS }
    }

    /// Returns a grid with a block for each head of each image. A block has this many threads and shared floats.
    pub(crate) const fn images(images: usize, heads: usize, threads: u32, shared: usize) -> Self {
        Self { blocks: (images as u32, heads as u32), threads: (threads, 1), shared: shared as u32 }
    }

    const fn config(self) -> LaunchConfig {
        LaunchConfig {
            grid_dim: (self.blocks.0, self.blocks.1, 1),
            block_dim: (self.threads.0, self.threads.1, 1),
            shared_mem_bytes: 4 * self.shared,
        }
    }
}

/// A type that can be an argument of a kernel.
trait Argument {
    fn push<'a>(&'a mut self, launch: &mut LaunchArgs<'a>);
}

impl<T> Argument for Read<'_, T> {
    fn push<'a>(&'a mut self, launch: &mut LaunchArgs<'a>) {
        launch.arg(&*self);
    }
}

impl<T> Argument for Write<'_, T> {
    fn push<'a>(&'a mut self, launch: &mut LaunchArgs<'a>) {
        launch.arg(self);
    }
}

macro_rules! plain_arguments {
    ($($plain:ty)*) => {
        $(impl Argument for $plain {
            fn push<'a>(&'a mut self, launch: &mut LaunchArgs<'a>) {
                launch.arg(&*self);
            }
        })*
    };
}
plain_arguments!(u32 f32 ImageSize InputWindows Mask);

/// Lists the kernels with their parameters, and defines a method for each of them.
macro_rules! kernels {
    ($($name:ident($($argument:ident: $type:ty),* $(,)?);)*) => {
        /// The kernels, loaded into a GPU. There is a method for each of them that queues it in the stream.
        /// `kernels.cu` describes what they do.
        #[derive(Debug)]
        pub(crate) struct Kernels {
            stream: Arc<CudaStream>,
            $($name: CudaFunction),*
        }

        impl Kernels {
            /// Loads `code`, the result of [`compile`], into the GPU. The kernels will be queued in `stream`.
            pub(crate) fn load(
                context: &Arc<CudaContext>,
                stream: &Arc<CudaStream>,
                code: Vec<u8>,
            ) -> Result<Self, DriverError> {
                let module = context.load_module(Ptx::from_binary(code))?;
                Ok(Self { stream: Arc::clone(stream), $($name: module.load_function(stringify!($name))?),* })
            }

            $(
                #[allow(clippy::too_many_arguments)]
                pub(crate) fn $name(&self, grid: Grid, $(mut $argument: $type),*) -> Result<(), DriverError> {
                    let mut launch = self.stream.launch_builder(&self.$name);
                    $($argument.push(&mut launch);)*
                    // SAFETY:
                    // - The number, order and types of the arguments are those of the kernel's parameters. The test
                    //   `kernels_are_called_as_they_are_declared` compares them.
                    // - The callers, in this folder and in `train/cuda.rs`, pass sizes that fit the buffers.
                    // - No other operation uses the buffers at the same time: see `Device`.
                    unsafe { launch.launch(grid.config()) }.map(drop)
                }
            )*
        }

        /// The names and parameters of the kernels, to be compared with `kernels.cu`.
        #[cfg(test)]
        pub(crate) const SIGNATURES: &[(&str, &[(&str, &str)])] =
            &[$((stringify!($name), &[$((stringify!($argument), stringify!($type))),*])),*];
    };
}

kernels! {
    begin_step(counters: Write<'_, Counters>, images: u32);
    prepare(
        counters: Read<'_, Counters>,
        data: Read<'_, u8>,
        labels: Read<'_, u16>,
        order: Read<'_, u32>,
        variations: Read<'_, i64>,
        normalized: Read<'_>,
        size: ImageSize,
        classes: u32,
        smoothing: f32,
        pixels: Write<'_>,
        targets: Write<'_>,
    );
    fold_rows(
        parameters: Read<'_>,
        folded: Write<'_>,
        rows: Read<'_, u32>,
        factors: Read<'_>,
        count: u32,
        width: u32,
    );
    fold_embedding(
        parameters: Read<'_>,
        folded: Write<'_>,
        class_token: u32,
        patch_bias: u32,
        positions: u32,
        tokens: u32,
        embed: u32,
    );
    unfold_columns(
        parameters: Read<'_>,
        gradients: Write<'_>,
        norms: Read<'_, u32>,
        factors: Read<'_>,
        width: u32,
    );
    unfold_rows(
        parameters: Read<'_>,
        gradients: Write<'_>,
        rows: Read<'_, u32>,
        factors: Read<'_>,
        count: u32,
        width: u32,
    );
    unfold_embedding(
        gradients: Write<'_>,
        class_token: u32,
        patch_bias: u32,
        positions: u32,
        tokens: u32,
        embed: u32,
    );
    cut_windows(inputs: Read<'_>, windows: Write<'_>, count: u32, w: InputWindows);
    add_up_windows(d_windows: Read<'_>, d_inputs: Write<'_>, count: u32, w: InputWindows);
    add_table_dropout(
        counters: Read<'_, Counters>,
        mask: Mask,
        stream: Write<'_>,
        table: Read<'_>,
        count: u32,
        image_len: u32,
    );
    normalize(x: Read<'_>, normed: Write<'_>, scales: Write<'_>, rows: u32, width: u32);
    normalize_backward(
        normed: Read<'_>,
        scales: Read<'_>,
        d_normed: Read<'_>,
        d_x: Write<'_>,
        rows: u32,
        width: u32,
        add: u32,
    );
    spread_bias(bias: Read<'_>, y: Write<'_>, count: u32, width: u32, add: u32);
    column_sums(d_y: Read<'_>, partial: Write<'_>, rows: u32, width: u32, stride: u32);
    finish_column_sums(partial: Read<'_>, gradients: Write<'_>, places: Read<'_, u32>, count: u32, parts: u32);
    gelu_dropout(
        counters: Read<'_, Counters>,
        mask: Mask,
        bias: Read<'_>,
        slope: Write<'_>,
        y: Write<'_>,
        count: u32,
        width: u32,
    );
    multiply(slope: Read<'_>, d: Write<'_>, count: u32);
    dropout_add(
        counters: Read<'_, Counters>,
        mask: Mask,
        bias: Read<'_>,
        y: Read<'_>,
        stream: Write<'_>,
        count: u32,
        width: u32,
    );
    dropout_backward(
        counters: Read<'_, Counters>,
        mask: Mask,
        d_y: Read<'_>,
        d_x: Write<'_>,
        count: u32,
    );
    dropout_in_place(counters: Read<'_, Counters>, mask: Mask, d: Write<'_>, count: u32);
    attention(
        counters: Read<'_, Counters>,
        mask: Mask,
        query: Read<'_>,
        key_value: Read<'_>,
        kept: Write<'_>,
        dropped: Write<'_>,
        context: Write<'_>,
        queries: u32,
        tokens: u32,
        width: u32,
    );
    attention_backward(
        query: Read<'_>,
        key_value: Read<'_>,
        kept: Read<'_>,
        dropped: Read<'_>,
        d_context: Read<'_>,
        d_query: Write<'_>,
        d_key_value: Write<'_>,
        queries: u32,
        tokens: u32,
        width: u32,
    );
    class_tokens(all: Read<'_>, classes: Write<'_>, count: u32, width: u32, image_len: u32);
    class_tokens_backward(
        d_classes: Read<'_>,
        d_all: Write<'_>,
        count: u32,
        width: u32,
        image_len: u32,
        add: u32,
    );
    cross_entropy(
        logits: Read<'_>,
        targets: Read<'_>,
        losses: Write<'_>,
        d_logits: Write<'_>,
        images: u32,
        classes: u32,
    );
    score(
        counters: Write<'_, Counters>,
        logits: Read<'_>,
        losses: Read<'_>,
        labels: Read<'_, u16>,
        order: Read<'_, u32>,
        images: u32,
        classes: u32,
    );
    square_sums(gradients: Read<'_>, sums: Write<'_, f64>, count: u32);
    clip(counters: Write<'_, Counters>, sums: Read<'_, f64>, count: u32);
    adamw(
        counters: Read<'_, Counters>,
        gradients: Read<'_>,
        parameters: Write<'_>,
        means: Write<'_>,
        squares: Write<'_>,
        count: u32,
    );
}
