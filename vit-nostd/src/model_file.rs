//! The model file: what `vit-train` writes and a chip reads from its flash.
//!
//! # Format, version 1
//!
//! A file is one [postcard](https://postcard.jamesmunns.com) value. Integers of more than one byte that are called
//! fixed are little-endian; "varint" and "string" are postcard's encodings.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | magic, `ViT!` |
//! | 4 | 2 | format version, fixed u16: 1 |
//! | 6 | 1 | kind: 0 `f32`, 1 `int8` |
//! | 7 | 1 | reserved, 0 |
//! | 8 | 18 | shape, nine fixed u16: image, patch, tokens, embed, heads, head_dim, hidden, depth, classes |
//! | 26 | 2 | reserved, 0 |
//! | 28 | 4 | length of the whole file, fixed u32 |
//! | 32 | 8 | input normalisation: mean and standard deviation, f32; a pixel `p` enters as `(p / 255 - mean) / std` |
//! | 40 | .. | labels: one string, one label a class, separated by line feeds |
//! | .. | .. | provenance: dataset (string), seed (varint u64), test accuracy in percent (postcard option of f32), tool (string) |
//! | .. | .. | padding: varint length (0 to 15), then that many zeros, so that the weights are aligned |
//! | .. | .. | weights: varint length, then the raw tensors, at a multiple of 16 from the file's start |
//! | end - 4 | 4 | CRC-32 (the one of zlib: reflected, polynomial 0x04C11DB7) of all bytes before it, fixed u32 |
//!
//! The tensors lie one after the other without gaps, little-endian, in the order in which
//! [`float::weights`](crate::float::weights) declares them for kind `f32`, and
//! [`int8::weights`](crate::int8::weights) for kind `int8`. Those of kind `f32` are finite numbers; NUMERICS.md bounds
//! those of kind `int8`.
//!
//! **Versioning rule.** Every change of the layout or of the meaning of a byte raises the format version. A reader
//! reads one version and refuses every other by [`ModelError::UnsupportedVersion`]; the first 8 bytes keep their
//! meaning for ever, so that it always can. A golden test holds version 1 to its exact bytes.
//!
//! **Checks.** [`ModelFile::parse`] validates everything once, in this order: alignment, magic, version, kind, shape,
//! length, CRC, fields; the engine that is to run the model then checks its weights. Inference afterwards cannot fail.

use crate::{
    error::{Field, ModelError},
    shape::{Dims, Shape},
};
use core::fmt;
use crc::{Crc, CRC_32_ISO_HDLC};
use serde::{Deserialize, Serialize};

/// What a model file begins with.
pub const MAGIC: [u8; 4] = *b"ViT!";
/// The version of the format that this library reads and writes.
pub const VERSION: u16 = 1;
/// A model's first byte must lie at a multiple of this many bytes, and so do its weights.
pub const ALIGNMENT: usize = 16;
/// Bytes of the fixed-width part at the beginning.
pub const PREAMBLE_LEN: usize = 32;

const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);
/// Bytes of the checksum at the end.
const CRC_LEN: usize = 4;

/// The arithmetic a model is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Kind {
    /// 32-bit floating point: the engine in [`float`](crate::float).
    F32 = 0,
    /// 8-bit weights and activations, integers only.
    Int8 = 1,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Int8 => "int8",
        })
    }
}

/// The fixed-width beginning of a model file. [`Preamble::read`] is a `const fn`, so that a firmware's compiler can
/// look at the file it embeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Preamble {
    /// The arithmetic the model is made for.
    pub kind: Kind,
    /// The network's shape.
    pub dims: Dims,
    /// Length of the whole file in bytes.
    pub file_len: u32,
}

impl Preamble {
    /// Reads the preamble; checks magic, version and kind, in this order.
    pub const fn read(bytes: &[u8]) -> Result<Self, ModelError> {
        let Some(preamble) = bytes.first_chunk::<PREAMBLE_LEN>() else {
            return Err(ModelError::NoPreamble { actual: bytes.len() });
        };
        let [m0, m1, m2, m3, v0, v1, kind, _, shape @ .., _, _, l0, l1, l2, l3] = preamble;
        if !matches!([*m0, *m1, *m2, *m3], MAGIC) {
            return Err(ModelError::BadMagic);
        }
        let version = u16::from_le_bytes([*v0, *v1]);
        if version != VERSION {
            return Err(ModelError::UnsupportedVersion { found: version });
        }
        let kind = match *kind {
            0 => Kind::F32,
            1 => Kind::Int8,
            found => return Err(ModelError::UnknownKind { found }),
        };
        Ok(Self { kind, dims: read_dims(shape), file_len: u32::from_le_bytes([*l0, *l1, *l2, *l3]) })
    }

    /// Where in the file the weights of a float model begin: they are the last but the checksum. Nothing for other
    /// models, and for a file that would be too short.
    pub fn float_weights_at(&self) -> Option<usize> {
        if self.kind != Kind::F32 {
            return None;
        }
        let weights = self.dims.parameters().checked_mul(size_of::<f32>())?;
        (self.file_len as usize).checked_sub(CRC_LEN)?.checked_sub(weights)
    }

    fn to_bytes(self) -> [u8; PREAMBLE_LEN] {
        let d = self.dims;
        let dims = [d.image, d.patch, d.tokens, d.embed, d.heads, d.head_dim, d.hidden, d.depth, d.classes]
            .map(u16::to_le_bytes);
        let mut bytes = [0; PREAMBLE_LEN];
        let head = MAGIC.into_iter().chain(VERSION.to_le_bytes()).chain([self.kind as u8, 0]);
        let tail = dims.into_iter().flatten().chain([0, 0]).chain(self.file_len.to_le_bytes());
        bytes.iter_mut().zip(head.chain(tail)).for_each(|(byte, value)| *byte = value);
        bytes
    }
}

const fn read_dims(b: &[u8; 18]) -> Dims {
    Dims {
        image: u16::from_le_bytes([b[0], b[1]]),
        patch: u16::from_le_bytes([b[2], b[3]]),
        tokens: u16::from_le_bytes([b[4], b[5]]),
        embed: u16::from_le_bytes([b[6], b[7]]),
        heads: u16::from_le_bytes([b[8], b[9]]),
        head_dim: u16::from_le_bytes([b[10], b[11]]),
        hidden: u16::from_le_bytes([b[12], b[13]]),
        depth: u16::from_le_bytes([b[14], b[15]]),
        classes: u16::from_le_bytes([b[16], b[17]]),
    }
}

/// How a pixel becomes a number: `(pixel / 255 - mean) / std`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Normalization {
    /// Mean of the training pixels, on a scale of 0 to 1.
    pub mean: f32,
    /// Their standard deviation, on the same scale.
    pub std: f32,
}

/// Where the weights come from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Provenance<'a> {
    /// What the network was trained on.
    pub dataset: &'a str,
    /// The seed of the training run.
    pub seed: u64,
    /// Top-1 accuracy on the whole test set in percent, if it was measured.
    pub test_accuracy: Option<f32>,
    /// Name and version of the program that wrote the file.
    pub tool: &'a str,
}

/// What a model file says besides its shape and its weights.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Metadata<'a> {
    /// How a pixel becomes a number.
    pub normalization: Normalization,
    labels: &'a str,
    /// Where the weights come from.
    #[serde(borrow)]
    pub provenance: Provenance<'a>,
}

impl<'a> Metadata<'a> {
    /// `labels`: one label per class, separated by line feeds (serde can borrow one string, but not a list of them).
    pub fn new(normalization: Normalization, labels: &'a str, provenance: Provenance<'a>) -> Self {
        Self { normalization, labels, provenance }
    }

    /// The names of the classes, in the order of the logits.
    pub fn labels(&self) -> impl Iterator<Item = &'a str> {
        self.labels.split('\n')
    }

    fn check(&self, classes: usize) -> Result<(), Field> {
        let Normalization { mean, std } = self.normalization;
        if !(mean.is_finite() && std.is_finite() && std > 0.0) {
            return Err(Field::Normalization);
        }
        if self.labels().count() != classes || self.labels().any(str::is_empty) {
            return Err(Field::Labels);
        }
        match self.provenance.test_accuracy {
            Some(accuracy) if !(0.0..=100.0).contains(&accuracy) => Err(Field::Accuracy),
            _ => Ok(()),
        }
    }
}

/// The whole file, as postcard sees it.
#[derive(Serialize, Deserialize)]
struct Wire<'a> {
    preamble: [u8; PREAMBLE_LEN],
    #[serde(borrow)]
    metadata: Metadata<'a>,
    padding: &'a [u8],
    weights: &'a [u8],
    crc: [u8; CRC_LEN],
}

/// A validated model file, borrowed from where it lies.
#[derive(Clone, Copy, Debug)]
pub struct ModelFile<'a> {
    /// Normalisation, labels, provenance.
    pub metadata: Metadata<'a>,
    /// The raw tensors, at a multiple of [`ALIGNMENT`].
    pub weights: &'a [u8],
}

impl<'a> ModelFile<'a> {
    /// Validates `bytes` as a model of shape `S` and kind `kind` with `weights_len` bytes of weights.
    ///
    /// # Errors
    /// The first of the checks that fails, in the order of [`ModelError`]'s variants.
    pub fn parse<S: Shape>(bytes: &'a [u8], kind: Kind, weights_len: usize) -> Result<Self, ModelError> {
        if !is_aligned(bytes) {
            return Err(ModelError::Misaligned);
        }
        let preamble = Preamble::read(bytes)?;
        check_fits::<S>(preamble, kind)?;
        let (expected, actual) = (preamble.file_len as usize, bytes.len());
        if actual < expected {
            return Err(ModelError::Truncated { expected, actual });
        }
        if actual > expected {
            return Err(ModelError::TrailingBytes { expected, actual });
        }
        let Some((content, stored)) = bytes.split_last_chunk::<CRC_LEN>() else {
            return Err(ModelError::NoPreamble { actual });
        };
        let (stored, computed) = (u32::from_le_bytes(*stored), CRC.checksum(content));
        if stored != computed {
            return Err(ModelError::BadCrc { stored, computed });
        }
        let file = match postcard::take_from_bytes::<Wire<'a>>(bytes) {
            Ok((file, [])) => file,
            _ => return Err(ModelError::BadField(Field::Encoding)),
        };
        // The preamble was read from these bytes: only the reserved ones are not in it.
        if file.preamble != preamble.to_bytes() {
            return Err(ModelError::BadField(Field::Reserved));
        }
        file.metadata.check(S::CLASSES).map_err(ModelError::BadField)?;
        if file.padding.len() >= ALIGNMENT
            || file.padding.iter().any(|&byte| byte != 0)
            || !is_aligned(file.weights)
        {
            return Err(ModelError::BadField(Field::Padding));
        }
        if file.weights.len() != weights_len {
            return Err(ModelError::BadField(Field::Weights));
        }
        Ok(Self { metadata: file.metadata, weights: file.weights })
    }
}

fn is_aligned(bytes: &[u8]) -> bool {
    bytes.as_ptr().addr().is_multiple_of(ALIGNMENT)
}

const fn check_fits<S: Shape>(preamble: Preamble, expected: Kind) -> Result<(), ModelError> {
    let (a, b) = (preamble.dims, S::DIMS);
    if preamble.kind as u8 != expected as u8 {
        return Err(ModelError::WrongKind { found: preamble.kind, expected });
    }
    // `==` of a derived `PartialEq` is not `const`.
    let equal = a.image == b.image
        && a.patch == b.patch
        && a.tokens == b.tokens
        && a.embed == b.embed
        && a.heads == b.heads
        && a.head_dim == b.head_dim
        && a.hidden == b.hidden
        && a.depth == b.depth
        && a.classes == b.classes;
    if !equal {
        return Err(ModelError::WrongShape { found: a, expected: b });
    }
    Ok(())
}

/// The most bytes that [`write()`] adds to the weights.
///
/// Two strings of the metadata, the preamble, numbers, length prefixes, padding and checksum.
pub const fn overhead(metadata: &Metadata<'_>) -> usize {
    const NUMBERS: usize = 8 + 10 + 5; // normalisation, seed as varint, accuracy as option
    const LENGTHS: usize = 5 * 5; // three strings, padding, weights
    let strings = metadata.labels.len() + metadata.provenance.dataset.len() + metadata.provenance.tool.len();
    PREAMBLE_LEN + NUMBERS + LENGTHS + strings + ALIGNMENT + CRC_LEN
}

/// Writes a model of shape `S` to the front of `out` and returns how many bytes it has; `out` needs room for
/// [`overhead`] bytes besides the weights.
///
/// The same input gives the same bytes. Neither the number nor the content of the weights is looked at.
///
/// # Errors
/// [`ModelError::BadField`] with what [`ModelFile::parse`] would refuse in `metadata`, or [`Field::Encoding`] if `out`
/// is too small.
pub fn write<S: Shape>(
    kind: Kind,
    metadata: &Metadata<'_>,
    weights: &[u8],
    out: &mut [u8],
) -> Result<usize, ModelError> {
    const ZEROS: [u8; ALIGNMENT] = [0; ALIGNMENT];
    metadata.check(S::CLASSES).map_err(ModelError::BadField)?;
    let encoding = |_| ModelError::BadField(Field::Encoding);
    let mut file = Wire {
        preamble: [0; PREAMBLE_LEN],
        metadata: *metadata,
        padding: &[],
        weights: &[],
        crc: [0; CRC_LEN],
    };

    // Everything but the weights and what their length adds to its varint gives the offset of the weights.
    let before =
        postcard::to_slice(&file, out).map_err(encoding)?.len() - CRC_LEN - 1 + varint_len(weights.len());
    let padding = before.next_multiple_of(ALIGNMENT) - before;
    let total = before + padding + weights.len() + CRC_LEN;
    let file_len = u32::try_from(total).map_err(|_| ModelError::BadField(Field::Weights))?;
    file.preamble = Preamble { kind, dims: S::DIMS, file_len }.to_bytes();
    file.padding = ZEROS.get(..padding).unwrap_or_default();
    file.weights = weights;

    let written = postcard::to_slice(&file, out).map_err(encoding)?;
    if let Some((content, crc)) = written.split_last_chunk_mut::<CRC_LEN>() {
        *crc = CRC.checksum(content).to_le_bytes();
    }
    Ok(total)
}

/// Bytes of a length as postcard writes it: seven bits each.
const fn varint_len(value: usize) -> usize {
    let bits = (usize::BITS - value.leading_zeros()) as usize;
    if bits == 0 {
        1
    } else {
        bits.div_ceil(7)
    }
}

/// Aligns what it holds to [`ALIGNMENT`] bytes. [`include_model!`](crate::include_model) uses it for files that are
/// part of the firmware; a program that reads a file at run time copies it into one.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(16))]
pub struct Aligned<T: ?Sized>(pub T);

const _: () = assert!(align_of::<Aligned<u8>>() == ALIGNMENT);

/// Panics, at compile time, unless `bytes` is a whole model file of shape `S` and kind `kind`. Behind
/// [`include_model!`](crate::include_model).
#[doc(hidden)]
pub const fn assert_fits<S: Shape>(bytes: &[u8], kind: Kind) {
    match Preamble::read(bytes) {
        Ok(preamble) => {
            match check_fits::<S>(preamble, kind) {
                Ok(()) => {}
                Err(ModelError::WrongKind { .. }) => {
                    panic!("this model file is of another kind than the firmware's engine")
                }
                Err(_) => panic!("this model file is of another shape than the firmware's type"),
            }
            assert!(preamble.file_len as usize == bytes.len(), "this model file is truncated, or too long");
        }
        Err(ModelError::UnsupportedVersion { .. }) => panic!("this model file is of another format version"),
        Err(_) => panic!("this is not a model file"),
    }
}

/// Embeds a model file into the program, aligned, and gives it as `&'static [u8]`. A file of another shape or kind
/// does not compile.
///
/// ```text
/// static MODEL: &[u8] = vit_nostd::include_model!("../models/nano.f32.vit", vit_nostd::Nano, F32);
/// ```
///
/// The path is relative to the source file, as that of [`include_bytes!`].
#[macro_export]
macro_rules! include_model {
    ($path:expr, $shape:ty, $kind:ident) => {{
        const _: () =
            $crate::model_file::assert_fits::<$shape>(include_bytes!($path), $crate::model_file::Kind::$kind);
        static MODEL: &$crate::model_file::Aligned<[u8]> =
            &$crate::model_file::Aligned(*include_bytes!($path));
        &MODEL.0
    }};
}
