//! The error codes.

use core::ffi::{c_char, c_int, CStr};
use vit_nostd::{frame::FrameError, ModelError};

/// The result of a function: `VIT_OK`, or the reason that it failed.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(non_camel_case_types)] // These are the names in C, where they are not in a namespace.
pub enum VitError {
    /// The function did what it should.
    VIT_OK = 0,
    /// A pointer is null.
    VIT_ERROR_NULL = 1,
    /// A pointer is not a multiple of the alignment of its type. A model file must begin at a multiple of 16.
    VIT_ERROR_MISALIGNED = 2,
    /// A buffer would reach beyond the end of the address space.
    VIT_ERROR_ADDRESS = 3,
    /// Two buffers overlap, and one of them would be written to.
    VIT_ERROR_OVERLAP = 4,
    /// This is not a network of the library.
    VIT_ERROR_NETWORK = 5,
    /// The model was not opened by `vit_open`.
    VIT_ERROR_NOT_OPEN = 6,
    /// The image has another number of bytes than the network's input.
    VIT_ERROR_IMAGE_SIZE = 7,
    /// The scratch memory is too small.
    VIT_ERROR_SCRATCH_SIZE = 8,
    /// The number of logits or probabilities is not the number of classes.
    VIT_ERROR_CLASSES = 9,
    /// There is no class with this index.
    VIT_ERROR_NO_CLASS = 10,
    /// The file is shorter than the part that every model file begins with.
    VIT_ERROR_TOO_SHORT = 20,
    /// The file is not a model file.
    VIT_ERROR_NO_MODEL = 21,
    /// The model file has a version of the format that this library does not read.
    VIT_ERROR_FORMAT_VERSION = 22,
    /// The model is a float model, or of an unknown kind. This library runs integer models.
    VIT_ERROR_KIND = 23,
    /// The model needs a feature that this library does not have.
    VIT_ERROR_UNSUPPORTED = 24,
    /// The model is of another network: its dimensions differ, or are impossible.
    VIT_ERROR_SHAPE = 25,
    /// The number of bytes is not the length of the model file.
    VIT_ERROR_FILE_LENGTH = 26,
    /// The checksum is wrong: the model file is damaged.
    VIT_ERROR_CHECKSUM = 27,
    /// The checksum is correct, but the content is not: the program that wrote the model file has an error.
    VIT_ERROR_CONTENT = 28,
    /// The resizer was not begun by `vit_resizer_begin`, or has ended.
    VIT_ERROR_NOT_BEGUN = 40,
    /// There is no such pixel format.
    VIT_ERROR_PIXEL_FORMAT = 41,
    /// The frame has a width or a height of 0, or, with its padding, of more than 4096 pixels.
    VIT_ERROR_FRAME_SIZE = 42,
    /// Two pixels of YUV 4:2:2 share their colour, so that a line must have an even number of pixels.
    VIT_ERROR_ODD_WIDTH = 43,
    /// The number of sums is not that of the network.
    VIT_ERROR_SUMS = 44,
    /// The line has another number of bytes than the frame's lines.
    VIT_ERROR_LINE_LENGTH = 45,
    /// The frame has no more lines.
    VIT_ERROR_TOO_MANY_LINES = 46,
    /// The frame was ended before its last line.
    VIT_ERROR_MISSING_LINES = 47,
}

/// All errors with their names.
const NAMES: [(VitError, &CStr); 28] = [
    (VitError::VIT_OK, c"ok"),
    (VitError::VIT_ERROR_NULL, c"null pointer"),
    (VitError::VIT_ERROR_MISALIGNED, c"misaligned pointer"),
    (VitError::VIT_ERROR_ADDRESS, c"buffer beyond the address space"),
    (VitError::VIT_ERROR_OVERLAP, c"overlapping buffers"),
    (VitError::VIT_ERROR_NETWORK, c"not a network"),
    (VitError::VIT_ERROR_NOT_OPEN, c"model not open"),
    (VitError::VIT_ERROR_IMAGE_SIZE, c"wrong image size"),
    (VitError::VIT_ERROR_SCRATCH_SIZE, c"scratch memory too small"),
    (VitError::VIT_ERROR_CLASSES, c"wrong number of classes"),
    (VitError::VIT_ERROR_NO_CLASS, c"no such class"),
    (VitError::VIT_ERROR_TOO_SHORT, c"model file too short"),
    (VitError::VIT_ERROR_NO_MODEL, c"not a model file"),
    (VitError::VIT_ERROR_FORMAT_VERSION, c"unknown format version"),
    (VitError::VIT_ERROR_KIND, c"not an integer model"),
    (VitError::VIT_ERROR_UNSUPPORTED, c"unsupported feature of a model"),
    (VitError::VIT_ERROR_SHAPE, c"model of another network"),
    (VitError::VIT_ERROR_FILE_LENGTH, c"wrong length of the model file"),
    (VitError::VIT_ERROR_CHECKSUM, c"wrong checksum of the model file"),
    (VitError::VIT_ERROR_CONTENT, c"wrong content of the model file"),
    (VitError::VIT_ERROR_NOT_BEGUN, c"resizer not begun"),
    (VitError::VIT_ERROR_PIXEL_FORMAT, c"unknown pixel format"),
    (VitError::VIT_ERROR_FRAME_SIZE, c"impossible frame size"),
    (VitError::VIT_ERROR_ODD_WIDTH, c"odd frame width"),
    (VitError::VIT_ERROR_SUMS, c"wrong number of sums"),
    (VitError::VIT_ERROR_LINE_LENGTH, c"wrong line length"),
    (VitError::VIT_ERROR_TOO_MANY_LINES, c"too many lines"),
    (VitError::VIT_ERROR_MISSING_LINES, c"missing lines"),
];

impl From<ModelError> for VitError {
    fn from(error: ModelError) -> Self {
        match error {
            ModelError::Misaligned => Self::VIT_ERROR_MISALIGNED,
            ModelError::NoPreamble { .. } => Self::VIT_ERROR_TOO_SHORT,
            ModelError::BadMagic => Self::VIT_ERROR_NO_MODEL,
            ModelError::UnsupportedVersion { .. } => Self::VIT_ERROR_FORMAT_VERSION,
            ModelError::UnknownKind { .. } | ModelError::WrongKind { .. } => Self::VIT_ERROR_KIND,
            ModelError::Unsupported(_) => Self::VIT_ERROR_UNSUPPORTED,
            ModelError::ImpossibleShape | ModelError::WrongShape { .. } => Self::VIT_ERROR_SHAPE,
            ModelError::Truncated { .. } | ModelError::TrailingBytes { .. } => Self::VIT_ERROR_FILE_LENGTH,
            ModelError::BadCrc { .. } => Self::VIT_ERROR_CHECKSUM,
            _ => Self::VIT_ERROR_CONTENT,
        }
    }
}

impl From<FrameError> for VitError {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::OddWidth { .. } => Self::VIT_ERROR_ODD_WIDTH,
            FrameError::SumsLength { .. } => Self::VIT_ERROR_SUMS,
            FrameError::ImageLength { .. } => Self::VIT_ERROR_IMAGE_SIZE,
            FrameError::LineLength { .. } => Self::VIT_ERROR_LINE_LENGTH,
            FrameError::TooManyLines { .. } => Self::VIT_ERROR_TOO_MANY_LINES,
            FrameError::MissingLines { .. } => Self::VIT_ERROR_MISSING_LINES,
            _ => Self::VIT_ERROR_FRAME_SIZE,
        }
    }
}

impl From<Result<(), VitError>> for VitError {
    fn from(result: Result<(), VitError>) -> Self {
        match result {
            Ok(()) => Self::VIT_OK,
            Err(error) => error,
        }
    }
}

/// Returns the name of an error in English, such as "wrong image size". It is a constant, which ends in a zero byte. The
/// name of an unknown number is "unknown error".
#[unsafe(no_mangle)]
pub extern "C" fn vit_error_name(error: c_int) -> *const c_char {
    let found = NAMES.iter().find(|(known, _)| *known as c_int == error);
    found.map_or(c"unknown error", |(_, name)| name).as_ptr()
}
