//! Checked views of the memory that a C program passes.

use crate::error::VitError;
use core::ops::Range;

/// Checks a pointer to `count` values of type `T`, and returns the addresses of their bytes.
pub(crate) fn check<T>(pointer: *const T, count: usize) -> Result<Range<usize>, VitError> {
    check_layout(pointer.cast(), align_of::<T>(), count.checked_mul(size_of::<T>()))
}

/// Checks a pointer to `bytes` bytes (`None` if that number is too large) with this alignment, and returns the addresses
/// of the bytes.
pub(crate) fn check_layout(
    pointer: *const u8,
    align: usize,
    bytes: Option<usize>,
) -> Result<Range<usize>, VitError> {
    let address = pointer.addr();
    if address == 0 {
        return Err(VitError::VIT_ERROR_NULL);
    }
    if address & (align - 1) != 0 {
        return Err(VitError::VIT_ERROR_MISALIGNED);
    }
    // Rust's slices have at most `isize::MAX` bytes.
    let bytes = bytes.filter(|&bytes| bytes <= isize::MAX as usize).ok_or(VitError::VIT_ERROR_ADDRESS)?;
    let end = address.checked_add(bytes).ok_or(VitError::VIT_ERROR_ADDRESS)?;
    Ok(address..end)
}

/// Checks that no range of addresses that is written to overlaps another one.
pub(crate) fn check_apart<const WRITTEN: usize, const READ: usize>(
    written: [&Range<usize>; WRITTEN],
    read: [&Range<usize>; READ],
) -> Result<(), VitError> {
    for (index, a) in written.iter().enumerate() {
        for b in written.iter().skip(index + 1).chain(&read) {
            if a.start < b.end && b.start < a.end {
                return Err(VitError::VIT_ERROR_OVERLAP);
            }
        }
    }
    Ok(())
}
