//! The model file: what `vit-train` writes and a chip reads from its flash.
//!
//! [`ModelFile::parse`] validates a file once, and an engine's `from_bytes` then checks its weights; [`write()`] makes
//! one. [`Metadata::check`] holds the bounds of the description, for the reader, for the writer and for `vit-train`.
//! [`ModelError`] says what can be wrong with a file. The tensors are declared in
//! [`int8::weights`](crate::int8::weights) and [`float::weights`](crate::float::weights). The format itself is defined
//! by the following page, `FORMAT.md` in the folder of this crate; a golden test holds it to its exact bytes.
//!
#![doc = include_str!("../../FORMAT.md")]

pub mod error;
mod format;

pub use format::{
    Kind, ALIGNMENT, LAYER_NORM_EPSILON, MAGIC, MAX_CHANNELS, MAX_LABEL, MAX_NAME, PREAMBLE_LEN, VERSION,
};

use crate::{
    frame::Fit,
    network::{Declaration, Dims, Network},
    tokenizer::{Convolution, Tokenizer},
};
use core::iter;
use crc::{Crc, CRC_32_ISO_HDLC};
use error::{Feature, Field, LabelFault, ModelError};
use serde::{Deserialize, Serialize};

const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);
/// The length of the checksum at the end of a file, in bytes.
const CRC_LEN: usize = 4;

/// The fixed-width beginning of a model file. [`Preamble::read`] is a `const fn`, so that
/// [`include_model!`](crate::include_model) can check a file at compile time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Preamble {
    /// The arithmetic that the model is made for.
    pub kind: Kind,
    /// The dimensions of the network.
    pub dims: Dims,
    /// How pictures are fitted to the input.
    pub fit: Fit,
    /// The length of the whole file in bytes.
    pub file_len: u32,
}

impl Preamble {
    /// Reads the preamble at the beginning of `bytes`, and checks magic, version, kind, unimplemented features and
    /// shape, in this order.
    ///
    /// # Errors
    /// Returns the error of the first check that fails, or [`ModelError::NoPreamble`] if there are too few bytes for
    /// the next check.
    pub const fn read(bytes: &[u8]) -> Result<Self, ModelError> {
        let short = Err(ModelError::NoPreamble { actual: bytes.len() });
        let Some((&[m0, m1, m2, m3, v0, v1, kind, _], rest)) = bytes.split_first_chunk() else {
            return short;
        };
        if !matches!([m0, m1, m2, m3], MAGIC) {
            return Err(ModelError::BadMagic);
        }
        let version = u16::from_le_bytes([v0, v1]);
        if version != VERSION {
            return Err(ModelError::UnsupportedVersion { found: version });
        }
        let kind = match kind {
            0 => Kind::F32,
            1 => Kind::Int8,
            found => return Err(ModelError::UnknownKind { found }),
        };
        let Some((shape, rest)) = rest.split_first_chunk() else { return short };
        let Some((&file_len, rest)) = rest.split_first_chunk() else { return short };
        let Some(settings) = rest.first_chunk() else { return short };
        let settings = match read_settings(kind, settings) {
            Ok(settings) => settings,
            Err(feature) => return Err(ModelError::Unsupported(feature)),
        };
        match read_dims(shape, &settings) {
            Ok(dims) => Ok(Self { kind, dims, fit: settings.fit, file_len: u32::from_le_bytes(file_len) }),
            Err(error) => Err(error),
        }
    }

    /// Returns the offset of the weights of a float model, which stand before the checksum at the end of the file.
    /// Returns `None` for other models, and if the file is too short for its weights.
    pub fn float_weights_at(&self) -> Option<usize> {
        if self.kind != Kind::F32 {
            return None;
        }
        let weights = self.dims.parameters().checked_mul(size_of::<f32>())?;
        (self.file_len as usize).checked_sub(CRC_LEN)?.checked_sub(weights)
    }

    /// Returns the bytes of the preamble in two halves: the inverse of [`Preamble::read`].
    fn to_bytes(self) -> [[u8; PREAMBLE_LEN / 2]; 2] {
        let Self { kind, dims, fit, file_len } = self;
        let Dims { height, width, channels, patch_height, patch_width, .. } = dims;
        let Dims { embed, heads, hidden, depth, classes, .. } = dims;
        let Dims { stem, patch_stride: [stride, _], patch_padding, .. } = dims;
        let count = dims.convolutions() as u8;
        let last = Convolution { kernel: patch_height, stride, padding: patch_padding, channels: embed };
        let none = Convolution { stride: 0, ..Convolution::DEFAULT };
        let [first, second] = match stem {
            Some(stem) => [stem, last],
            None if count > 0 => [last, none],
            None => [none; 2],
        };
        let colours = if channels == CHANNELS[GREY as usize] { GREY } else { RGB };
        let [v0, v1] = VERSION.to_le_bytes();
        let pair = |[low, high]: [u16; 2]| (u32::from(low) | u32::from(high) << 16).to_le_bytes();
        let window = |Convolution { kernel, stride, padding, .. }: Convolution| {
            [kernel as u8, stride as u8, padding as u8, 0]
        };
        let words: [[u8; 4]; PREAMBLE_LEN / 4] = [
            MAGIC,
            [v0, v1, kind as u8, 0],
            pair([height, width]),
            pair([channels, patch_height]),
            pair([patch_width, embed]),
            pair([heads, hidden]),
            pair([depth, classes]),
            file_len.to_le_bytes(),
            [kind.weight_bits(), colours, fit as u8, count],
            window(first),
            pair([first.channels, 0]),
            window(second),
            pair([second.channels, 0]),
            LAYER_NORM_EPSILON.to_le_bytes(),
            [0; 4],
            [0; 4],
        ];
        bytemuck::cast(words)
    }
}

const GREY: u8 = 0;
const RGB: u8 = 1;
/// The number of channels of an image in these colours.
const CHANNELS: [u16; 2] = [1, 3];

/// The settings in the second half of the preamble.
struct Settings {
    /// The number of channels of an image in the colours that the file states.
    channels: u16,
    fit: Fit,
    convolutions: [Convolution; 2],
    /// The number of convolutions in use.
    count: u8,
}

/// Reads the second half of the preamble, which follows the length of the file.
const fn read_settings(kind: Kind, settings: &[u8; PREAMBLE_LEN / 2]) -> Result<Settings, Feature> {
    let &[bits, colours, fit, count, a @ .., _, _, _, _, _, _, _, _, _, _, _, _] = settings;
    let &[.., e0, e1, e2, e3, _, _, _, _, _, _, _, _] = settings;
    if bits != kind.weight_bits() {
        return Err(Feature::WeightBits { found: bits });
    }
    let channels = match colours {
        GREY => CHANNELS[GREY as usize],
        RGB => CHANNELS[RGB as usize],
        found => return Err(Feature::Colours { found }),
    };
    let fit = match fit {
        0 => Fit::Stretch,
        1 => Fit::Crop,
        2 => Fit::Pad,
        found => return Err(Feature::Fit { found }),
    };
    if count > 2 {
        Err(Feature::Convolutions { found: count })
    } else if u32::from_le_bytes([e0, e1, e2, e3]) != LAYER_NORM_EPSILON.to_bits() {
        Err(Feature::Epsilon)
    } else {
        let convolutions =
            [convolution(a[0], a[1], a[2], [a[4], a[5]]), convolution(a[8], a[9], a[10], [a[12], a[13]])];
        Ok(Settings { channels, fit, convolutions, count })
    }
}

/// Returns the convolution with these bytes in the preamble.
const fn convolution(kernel: u8, stride: u8, padding: u8, channels: [u8; 2]) -> Convolution {
    Convolution {
        kernel: kernel as u16,
        stride: stride as u16,
        padding: padding as u16,
        channels: u16::from_le_bytes(channels),
    }
}

/// Reads the ten numbers of the shape, checks them, and computes the dimensions that follow from them.
const fn read_dims(b: &[u8; 20], settings: &Settings) -> Result<Dims, ModelError> {
    let (height, width) = (u16::from_le_bytes([b[0], b[1]]), u16::from_le_bytes([b[2], b[3]]));
    let channels = u16::from_le_bytes([b[4], b[5]]);
    let (patch_height, patch_width) = (u16::from_le_bytes([b[6], b[7]]), u16::from_le_bytes([b[8], b[9]]));
    let (embed, heads) = (u16::from_le_bytes([b[10], b[11]]), u16::from_le_bytes([b[12], b[13]]));
    let (hidden, depth) = (u16::from_le_bytes([b[14], b[15]]), u16::from_le_bytes([b[16], b[17]]));
    let classes = u16::from_le_bytes([b[18], b[19]]);
    if channels != CHANNELS[GREY as usize] && channels != CHANNELS[RGB as usize] {
        return Err(ModelError::Unsupported(Feature::Channels { found: channels }));
    }
    let [first, second] = settings.convolutions;
    let tokenizer = match settings.count {
        0 => Tokenizer::Patches([patch_height as usize, patch_width as usize]),
        1 => Tokenizer::Convolutions(&[first]),
        _ => Tokenizer::Convolutions(&[first, second]),
    };
    let declaration = Declaration {
        image: [height as usize, width as usize, channels as usize],
        tokenizer,
        embed: embed as usize,
        heads: heads as usize,
        hidden: hidden as usize,
        depth: depth as usize,
        classes: classes as usize,
    };
    match declaration.check() {
        Ok(dims) if channels == settings.channels => Ok(dims),
        _ => Err(ModelError::ImpossibleShape),
    }
}

/// The input normalisation of one channel: a level `p` enters the network as `(p / 255 - mean) / std`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Normalization {
    /// The mean of the channel over all training pixels, on a scale of 0 to 1.
    pub mean: f32,
    /// The standard deviation of the channel, on the same scale.
    pub std: f32,
}

impl Normalization {
    /// The values for a channel that the network does not have.
    pub const NO_CHANNEL: Self = Self { mean: 0.0, std: 1.0 };

    /// Returns the normalisation of a network with one channel that is normalised like this.
    pub const fn grey(self) -> [Self; MAX_CHANNELS] {
        [self, Self::NO_CHANNEL, Self::NO_CHANNEL]
    }

    /// True if the numbers are within the [bounds](self) of the format, so that every level becomes a finite number.
    pub const fn is_usable(self) -> bool {
        self.mean.abs() <= 1e6 && self.std >= 1e-6 && self.std <= 1e6 // false for NaN
    }

    const fn to_bits(self) -> [u32; 2] {
        [self.mean.to_bits(), self.std.to_bits()]
    }
}

/// The origin of the weights.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Provenance<'a> {
    /// The name of the data set that the network was trained on.
    pub dataset: &'a str,
    /// The seed of the training run.
    pub seed: u64,
    /// The top-1 accuracy on the whole test set in percent, if it was measured.
    pub test_accuracy: Option<f32>,
    /// The name and version of the program that wrote the file.
    pub tool: &'a str,
    /// The digest of the checkpoint that the weights were made from, if it is known.
    pub checkpoint: Option<[u8; 32]>,
}

/// The description in a model file: everything except the shape and the weights.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Metadata<'a> {
    /// How the network's training pictures were fitted to the input.
    pub fit: Fit,
    /// The input normalisation of each channel, [`Normalization::NO_CHANNEL`] for those that the network does not have.
    pub normalization: [Normalization; MAX_CHANNELS],
    labels: &'a str,
    /// The origin of the weights.
    pub provenance: Provenance<'a>,
}

impl<'a> Metadata<'a> {
    /// Creates a description. `labels` has one label per class, separated by line feeds, because serde can borrow one
    /// string but not a list of them. Nothing is checked; see [`Metadata::check`].
    pub fn new(
        fit: Fit,
        normalization: [Normalization; MAX_CHANNELS],
        labels: &'a str,
        provenance: Provenance<'a>,
    ) -> Self {
        Self { fit, normalization, labels, provenance }
    }

    /// Returns the labels of the classes, in the order of the logits.
    pub fn labels(&self) -> impl Iterator<Item = &'a str> + Clone {
        // `str::split` takes more flash, and contains a panic.
        let mut rest = Some(self.labels);
        iter::from_fn(move || {
            let labels = rest?;
            let end = labels.bytes().position(|byte| byte == b'\n');
            rest = end.and_then(|end| labels.get(end + 1..));
            labels.get(..end.unwrap_or(labels.len()))
        })
    }

    /// Checks that a network with these dimensions can be described like this. The [format](self) states the bounds.
    ///
    /// # Errors
    /// The first field that is out of its bounds.
    pub fn check(&self, dims: &Dims) -> Result<(), Field> {
        let Provenance { dataset, seed: _, test_accuracy, tool, checkpoint: _ } = self.provenance;
        let (channels, others) =
            self.normalization.split_at_checked(dims.channels.into()).ok_or(Field::Normalization)?;
        let no_channel = Normalization::NO_CHANNEL.to_bits();
        if !channels.iter().all(|channel| channel.is_usable())
            || others.iter().any(|other| other.to_bits() != no_channel)
        {
            return Err(Field::Normalization);
        }
        check_labels(self.labels(), dims.classes.into())?;
        if [dataset, tool].iter().any(|name| name.contains(is_control) || is_longer(name, MAX_NAME)) {
            return Err(Field::Name);
        }
        match test_accuracy {
            Some(accuracy) if !(0.0..=100.0).contains(&accuracy) => Err(Field::Accuracy),
            _ => Ok(()),
        }
    }
}

/// Checks that there is one usable label for each of `classes` classes. [`Metadata::check`] does this, too.
///
/// # Errors
/// - [`Field::Labels`] if the number of labels is wrong.
/// - [`Field::Label`] for the first label that is unusable.
pub fn check_labels<'a>(labels: impl Iterator<Item = &'a str> + Clone, classes: usize) -> Result<(), Field> {
    let found = labels.clone().count();
    if found != classes {
        return Err(Field::Labels { found, classes });
    }
    for (class, label) in labels.enumerate() {
        check_label(label).map_err(|fault| Field::Label { class, fault })?;
    }
    Ok(())
}

/// Checks that the label of a class is usable. [`Metadata::check`] does this, too.
///
/// # Errors
/// The reason that the label is unusable.
pub fn check_label(label: &str) -> Result<(), LabelFault> {
    if label.contains(is_control) {
        Err(LabelFault::Control)
    } else if label.chars().all(|character| character == ' ') {
        Err(LabelFault::Empty)
    } else if is_longer(label, MAX_LABEL) {
        Err(LabelFault::TooLong)
    } else {
        Ok(())
    }
}

/// True if a text has more than `most` characters.
fn is_longer(text: &str, most: usize) -> bool {
    // The first byte of a character in UTF-8 is none of those from 0x80 to 0xBF. `chars` takes more flash.
    text.bytes().filter(|byte| byte & 0xC0 != 0x80).count() > most
}

/// True for control characters, line breaks, and characters that XML does not allow.
fn is_control(character: char) -> bool {
    matches!(
        character,
        '\0'..='\x1F' | '\x7F'..='\u{9F}' | '\u{2028}' | '\u{2029}' | '\u{FFFE}' | '\u{FFFF}'
    )
}

/// The whole file in postcard's data model.
#[derive(Serialize, Deserialize)]
struct Wire<'a> {
    preamble: [[u8; PREAMBLE_LEN / 2]; 2],
    normalization: [Normalization; MAX_CHANNELS],
    labels: &'a str,
    #[serde(borrow)]
    provenance: Provenance<'a>,
    padding: &'a [u8],
    weights: &'a [u8],
    crc: [u8; CRC_LEN],
}

/// A validated model file, borrowed from the bytes that it was read from.
#[derive(Clone, Copy, Debug)]
pub struct ModelFile<'a> {
    /// The description of the network.
    pub metadata: Metadata<'a>,
    /// The raw tensors, at a multiple of [`ALIGNMENT`].
    pub weights: &'a [u8],
}

impl<'a> ModelFile<'a> {
    /// Validates `bytes` as a model of network `N` and kind `kind` with `weights_len` bytes of weights. It does not
    /// look at the weights themselves; the engines do.
    ///
    /// # Errors
    /// Returns the error of the first check that fails. Checks are made in the order of the variants of [`ModelError`].
    pub fn parse<N: Network>(bytes: &'a [u8], kind: Kind, weights_len: usize) -> Result<Self, ModelError> {
        if !is_aligned(bytes) {
            return Err(ModelError::Misaligned);
        }
        let preamble = Preamble::read(bytes)?;
        check_fits::<N>(preamble, kind)?;
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
        // `preamble` was read from these bytes, so that only the reserved ones, which it does not hold, can differ. Its
        // dimensions are those of the network. The compiler knows the latter.
        if file.preamble != (Preamble { dims: N::DIMS, ..preamble }).to_bytes() {
            return Err(ModelError::BadField(Field::Reserved));
        }
        let Wire { normalization, labels, provenance, .. } = file;
        let metadata = Metadata { fit: preamble.fit, normalization, labels, provenance };
        metadata.check(&N::DIMS).map_err(ModelError::BadField)?;
        if file.padding.len() >= ALIGNMENT
            || file.padding.iter().any(|&byte| byte != 0)
            || !is_aligned(file.weights)
        {
            return Err(ModelError::BadField(Field::Padding));
        }
        if file.weights.len() != weights_len {
            return Err(ModelError::BadField(Field::Weights));
        }
        Ok(Self { metadata, weights: file.weights })
    }
}

fn is_aligned(bytes: &[u8]) -> bool {
    bytes.as_ptr().addr().is_multiple_of(ALIGNMENT)
}

const fn check_fits<N: Network>(preamble: Preamble, expected: Kind) -> Result<(), ModelError> {
    let (a, b) = (preamble.dims, N::DIMS);
    if preamble.kind as u8 != expected as u8 {
        return Err(ModelError::WrongKind { found: preamble.kind, expected });
    }
    // `==` of a derived `PartialEq` is not `const`.
    let equal = a.height == b.height
        && a.width == b.width
        && a.channels == b.channels
        && stems_are_equal(a.stem, b.stem)
        && a.patch_stride[0] == b.patch_stride[0]
        && a.patch_stride[1] == b.patch_stride[1]
        && a.patch_padding == b.patch_padding
        && a.patch_height == b.patch_height
        && a.patch_width == b.patch_width
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

const fn stems_are_equal(a: Option<Convolution>, b: Option<Convolution>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => {
            a.kernel == b.kernel && a.stride == b.stride && a.padding == b.padding && a.channels == b.channels
        }
        (None, None) => true,
        _ => false,
    }
}

/// Returns the largest number of bytes that [`write()`] adds to the weights: the preamble, the description, length
/// prefixes, padding and checksum.
pub const fn overhead(metadata: &Metadata<'_>) -> usize {
    const NUMBERS: usize = 24 + 10 + 5 + 33; // normalisation, seed as varint, accuracy and digest as options
    const LENGTHS: usize = 5 * 5; // three strings, padding, weights
    let strings = metadata.labels.len() + metadata.provenance.dataset.len() + metadata.provenance.tool.len();
    PREAMBLE_LEN + NUMBERS + LENGTHS + strings + ALIGNMENT + CRC_LEN
}

/// Writes a model of network `N` to the beginning of `out` and returns the length of the file in bytes. Besides the
/// weights, `out` needs room for [`overhead`] bytes.
///
/// Equal arguments give equal bytes. Neither the number nor the content of the weights is checked.
///
/// # Errors
/// - [`ModelError::BadField`] with the first field of `metadata` that is out of its bounds.
/// - [`ModelError::BadField`] with [`Field::Encoding`] if `out` is too small.
/// - [`ModelError::BadField`] with [`Field::Weights`] if the length of the file does not fit 32 bits.
pub fn write<N: Network>(
    kind: Kind,
    metadata: &Metadata<'_>,
    weights: &[u8],
    out: &mut [u8],
) -> Result<usize, ModelError> {
    const ZEROS: [u8; ALIGNMENT] = [0; ALIGNMENT];
    metadata.check(&N::DIMS).map_err(ModelError::BadField)?;
    let encoding = |_| ModelError::BadField(Field::Encoding);
    let mut file = Wire {
        preamble: [[0; PREAMBLE_LEN / 2]; 2],
        normalization: metadata.normalization,
        labels: metadata.labels,
        provenance: metadata.provenance,
        padding: &[],
        weights: &[],
        crc: [0; CRC_LEN],
    };

    // The offset of the weights without padding: the length of the file without weights and checksum, with the varint
    // of the weights' length instead of the one byte for an empty slice.
    let before =
        postcard::to_slice(&file, out).map_err(encoding)?.len() - CRC_LEN - 1 + varint_len(weights.len());
    let padding = before.next_multiple_of(ALIGNMENT) - before;
    let total = before + padding + weights.len() + CRC_LEN;
    let file_len = u32::try_from(total).map_err(|_| ModelError::BadField(Field::Weights))?;
    file.preamble = Preamble { kind, dims: N::DIMS, fit: metadata.fit, file_len }.to_bytes();
    file.padding = ZEROS.get(..padding).unwrap_or_default();
    file.weights = weights;

    let written = postcard::to_slice(&file, out).map_err(encoding)?;
    if let Some((content, crc)) = written.split_last_chunk_mut::<CRC_LEN>() {
        *crc = CRC.checksum(content).to_le_bytes();
    }
    Ok(total)
}

/// Returns the number of bytes that postcard needs for a length: it stores seven bits in each.
const fn varint_len(value: usize) -> usize {
    let bits = (usize::BITS - value.leading_zeros()) as usize;
    if bits == 0 {
        1
    } else {
        bits.div_ceil(7)
    }
}

/// A wrapper that aligns its content to [`ALIGNMENT`] bytes. [`include_model!`](crate::include_model) uses it for files
/// that are part of a firmware. A program that reads a file at run time can use [`align`].
#[derive(Clone, Copy, Debug)]
#[repr(C, align(16))]
pub struct Aligned<T: ?Sized>(pub T);

const _: () = assert!(align_of::<Aligned<u8>>() == ALIGNMENT);

/// Moves the first `len` bytes of `buffer` to the first place in it that is aligned to [`ALIGNMENT`], and returns them
/// there. This is for model files that a program reads at run time, such as from a card or over a network. Returns
/// `None` if the buffer is too small; with `len + ALIGNMENT - 1` bytes, it is large enough wherever it lies.
///
/// ```
/// use vit_nostd::model_file::{align, ALIGNMENT};
///
/// let mut buffer = [0; 1000 + ALIGNMENT - 1];
/// buffer[..1000].fill(7); // here: read a file of 1000 bytes
/// let file = align(&mut buffer, 1000).unwrap();
/// assert_eq!(file, [7; 1000]);
/// assert!(file.as_ptr().addr().is_multiple_of(ALIGNMENT));
/// ```
pub fn align(buffer: &mut [u8], len: usize) -> Option<&mut [u8]> {
    let first = buffer.as_ptr().align_offset(ALIGNMENT);
    let end = first.checked_add(len).filter(|&end| end <= buffer.len())?;
    buffer.copy_within(..len, first);
    buffer.get_mut(first..end)
}

/// Checks, at compile time, that `bytes` is a whole model file of network `N` and kind `kind`. This is an
/// implementation detail of [`include_model!`](crate::include_model).
///
/// # Panics
/// If `bytes` is not such a file. The checksum and the content after the preamble are not checked.
#[doc(hidden)]
pub const fn assert_fits<N: Network>(bytes: &[u8], kind: Kind) {
    match Preamble::read(bytes) {
        Ok(preamble) => {
            match check_fits::<N>(preamble, kind) {
                Ok(()) => {}
                Err(ModelError::WrongKind { .. }) => {
                    panic!("this model file is of another kind than the firmware's engine")
                }
                Err(_) => panic!("this model file is of another shape than the firmware's type"),
            }
            assert!(preamble.file_len as usize == bytes.len(), "this model file is truncated, or too long");
        }
        Err(ModelError::UnsupportedVersion { .. }) => {
            panic!("this model file is of another format version: write it again from its checkpoint")
        }
        Err(ModelError::Unsupported(_)) => {
            panic!("this model file is of a network that this version of the library cannot run")
        }
        Err(_) => panic!("this is not a model file"),
    }
}

/// Embeds a model file into the program, aligned, and evaluates to a `&'static [u8]`. A file of another network or kind
/// is a compile error.
///
/// ```text
/// static MODEL: &[u8] = vit_nostd::include_model!("../models/nano.f32.vit", vit_nostd::Nano, F32);
/// ```
///
/// The path is relative to the source file, as in [`include_bytes!`].
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
