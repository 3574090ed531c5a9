//! Prefetching of memory into the cache.

/// Starts fetching the memory at `address` into the cache, on processors where that makes a difference. Every address
/// is allowed, because nothing is read.
#[inline(always)]
pub(crate) fn prefetch<T>(address: *const T) {
    #[cfg(target_arch = "x86_64")]
    #[allow(unsafe_code)]
    // SAFETY: the instruction reads nothing and cannot fault, whatever the address, and every x86-64 has it.
    unsafe {
        use core::arch::x86_64::{_mm_prefetch, _MM_HINT_T0};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
