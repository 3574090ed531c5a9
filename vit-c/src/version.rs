//! The versions of the library and of the file format.

use core::ffi::{c_char, CStr};
use vit_nostd::model_file::VERSION;

/// The version of the model format that this header is for.
pub const VIT_FORMAT_VERSION: u16 = 2;
const _: () = assert!(VIT_FORMAT_VERSION == VERSION);

const VERSION_TEXT: &CStr =
    match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(text) => text,
        Err(_) => panic!("a version has no zero byte"),
    };

/// Returns the version of the library, such as "0.1.0". It is a constant, which ends in a zero byte.
#[unsafe(no_mangle)]
pub extern "C" fn vit_version() -> *const c_char {
    VERSION_TEXT.as_ptr()
}

/// Returns the version of the model format that the library reads.
#[unsafe(no_mangle)]
pub extern "C" fn vit_format_version() -> u16 {
    VERSION
}
