//! Kernels for x86-64 with AVX2. Linear layers use AVX-512 VNNI on processors that have it.

mod attention;
mod layer_norm;
mod linear;
mod products;
mod requantize;
mod vnni;

use super::{
    interface::KernelsFor,
    tile::{Rows, Scores, Tile},
};
use crate::{
    int8::{layer_norm::Norm, linear::Linear, requantize::Scale, softmax::ExpTable},
    network::Network,
    shape::Array,
};
use core::{
    arch::x86_64::{__cpuid_count, __m256i},
    ops::Range,
    sync::atomic::{AtomicU8, Ordering},
};
use linear::Results;

pub(crate) use attention::SCORED;
pub(crate) use products::{Wide, TILE};

/// The type that tiles are aligned like: the largest unit that the kernels load at once.
pub(super) type Fetch = __m256i;

cpufeatures::new!(avx2, "avx2");
cpufeatures::new!(avx512vl, "avx2", "avx512f", "avx512vl");

/// Kernels for x86-64 with AVX2. A value of this type exists only on a processor with AVX2.
#[derive(Clone, Copy, Debug)]
pub struct Best {
    /// True if linear layers use AVX-512 VNNI. It is true only on a processor that has this extension.
    vnni: bool,
}

impl Best {
    /// Detects the processor's extensions. Returns `None` if it does not have AVX2.
    #[inline(always)]
    pub fn detect() -> Option<Self> {
        avx2::get().then(|| Self { vnni: has_vnni() })
    }

    /// Returns these kernels without the use of AVX-512 VNNI.
    pub fn without_vnni(self) -> Self {
        Self { vnni: false }
    }

    #[inline(always)]
    fn any_linear<R: Array<i8>, O: Results>(
        self,
        x: &Tile<'_, Wide>,
        tokens: usize,
        layer: Linear<'_, R>,
        out: &mut [O],
    ) {
        // SAFETY: a value of this type exists only on a processor with AVX2, and `vnni` is true only on one with
        // AVX-512 VNNI.
        unsafe {
            match (tokens, self.vnni) {
                (1, true) => linear::linear_vnni::<R, O, 1>(x, layer, out),
                (2, true) => linear::linear_vnni::<R, O, 2>(x, layer, out),
                (_, true) => linear::linear_vnni::<R, O, TILE>(x, layer, out),
                (1, false) => linear::linear::<R, O, 1>(x, layer, out),
                (2, false) => linear::linear::<R, O, 2>(x, layer, out),
                (_, false) => linear::linear::<R, O, TILE>(x, layer, out),
            }
        }
    }
}

/// Evaluates an expression with the best kernels for this processor, which are detected at run time. The macro must
/// stand at the end of a function, because it may return from it.
macro_rules! with_best {
    ($kernels:ident => $then:expr) => {{
        if let Some($kernels) = $crate::int8::kernels::Best::detect() {
            return $then;
        }
        let $kernels = $crate::int8::kernels::Portable;
        $then
    }};
}
pub(crate) use with_best;

/// Detects AVX-512 VNNI, and remembers the result: in a virtual machine, the instruction CPUID takes as long as an
/// inference of a small network.
#[inline(always)]
fn has_vnni() -> bool {
    const UNKNOWN: u8 = 0;
    const NO: u8 = 1;
    const YES: u8 = 2;
    static FOUND: AtomicU8 = AtomicU8::new(UNKNOWN);
    match FOUND.load(Ordering::Relaxed) {
        UNKNOWN => {
            #[allow(unused_unsafe)] // In newer compilers, the intrinsic is safe.
            // SAFETY: the instruction is executed only on a processor with AVX-512. Each of those has CPUID and leaf 7.
            let found = avx512vl::get() && unsafe { __cpuid_count(7, 0) }.ecx & (1 << 11) != 0;
            FOUND.store(if found { YES } else { NO }, Ordering::Relaxed);
            found
        }
        found => found == YES,
    }
}

impl KernelsFor<Wide, TILE, SCORED> for Best {
    fn name(self) -> &'static str {
        if self.vnni {
            "AVX-512 VNNI"
        } else {
            "AVX2"
        }
    }

    #[inline(always)]
    fn layer_norm(self, x: &[i16], norm: Norm, out: &mut [i8]) {
        // SAFETY: a value of this type exists only on a processor with AVX2.
        unsafe { layer_norm::layer_norm(x, norm, out) }
    }

    #[inline(always)]
    fn widen(self, x: &mut Tile<'_, Wide>, tokens: usize) {
        // SAFETY: a value of this type exists only on a processor with AVX2.
        unsafe { widen(x, tokens) }
    }

    #[inline(always)]
    fn linear<R: Array<i8>>(self, x: &Tile<'_, Wide>, tokens: usize, layer: Linear<'_, R>, out: &mut [i8]) {
        self.any_linear(x, tokens, layer, out);
    }

    #[inline(always)]
    fn add_linear<R: Array<i8>>(
        self,
        x: &Tile<'_, Wide>,
        tokens: usize,
        layer: Linear<'_, R>,
        out: &mut [i16],
    ) {
        self.any_linear(x, tokens, layer, out);
    }

    #[inline(always)]
    fn scores<N: Network>(
        self,
        query: &Tile<'_, Wide>,
        tokens: Range<usize>,
        head: usize,
        keys: &Rows<N>,
        out: &mut Scores<N, SCORED>,
    ) {
        // SAFETY: a value of this type exists only on a processor with AVX2.
        unsafe { attention::scores::<N>(query, tokens, head, keys, out) }
    }

    #[inline(always)]
    fn exponentials(self, scores: &mut [i32], scale: Scale, table: &ExpTable) -> u32 {
        // SAFETY: a value of this type exists only on a processor with AVX2.
        unsafe { attention::exponentials(scores, scale, table) }
    }

    #[inline(always)]
    fn context<N: Network>(
        self,
        exponentials: &Scores<N, SCORED>,
        tokens: Range<usize>,
        head: usize,
        values: &Rows<N>,
        scales: &[Scale; SCORED],
        out: &mut Tile<'_, Wide>,
    ) {
        // SAFETY: a value of this type exists only on a processor with AVX2.
        unsafe { attention::context::<N>(exponentials, tokens, head, values, scales, out) }
    }
}

#[target_feature(enable = "avx2")]
fn widen(x: &mut Tile<'_, Wide>, tokens: usize) {
    let values = tokens * x.width;
    x.wide.iter_mut().zip(&*x.rows).take(values).for_each(|(wide, &value)| *wide = i16::from(value));
}
