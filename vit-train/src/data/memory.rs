//! Checks that images fit into memory, before they are read.

use super::error::DataError;
use std::path::Path;

/// Returns the number of bytes of memory that programs can use without swapping, if the operating system tells it.
pub(super) fn available() -> Option<u64> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    let content = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = content.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1 << 10)
}

/// Checks that there is memory for `images` images of `bytes_each` bytes from `path`: no more than is `available`, and
/// as much as the operating system grants.
///
/// # Errors
/// Returns [`DataError::Memory`] if there is not.
pub(super) fn check(
    path: &Path,
    images: usize,
    bytes_each: usize,
    available: Option<u64>,
) -> Result<(), DataError> {
    let error = || DataError::Memory { path: path.into(), images, bytes_each, available };
    let bytes = images.checked_mul(bytes_each).ok_or_else(error)?;
    if available.is_some_and(|available| bytes as u64 > available) {
        return Err(error());
    }
    // An allocation that fails aborts the process. Reserving the memory first shows that it does not.
    Vec::<u8>::new().try_reserve_exact(bytes).map_err(|_| error())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_that_do_not_fit_are_refused_with_their_size() {
        let path = Path::new("photos");
        check(path, 1000, 1 << 20, Some(1000 << 20)).unwrap();
        let error = check(path, 1000, 1 << 20, Some((1000 << 20) - 1)).unwrap_err().to_string();
        assert!(
            error.starts_with("photos: 1000 images of 1048576 bytes take 0.98 GiB, but only 0.98 GiB of memory are available: "),
            "{error}"
        );
        for (images, bytes) in [(usize::MAX, 2), (1 << 62, 1)] {
            let error = check(path, images, bytes, None).unwrap_err().to_string();
            assert!(
                error.contains("GiB, but the operating system does not have as much memory: "),
                "{error}"
            );
        }
    }

    #[test]
    fn linux_tells_how_much_is_available() {
        assert_eq!(available().is_some(), cfg!(target_os = "linux"));
        assert!(available().is_none_or(|bytes| bytes > 1 << 20));
    }
}
