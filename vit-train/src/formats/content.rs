//! Recognises the type of a file by its first bytes, because users choose names and extensions as they like.

use crate::error::{Error, IoContext};
use std::{fs::File, io::Read, path::Path};
use vit_nostd::model_file::MAGIC;

/// The number of bytes at the beginning of a file that are examined.
const LEN: u64 = 512;
/// The largest header of a checkpoint, in bytes. No real header comes near it.
const MAX_HEADER: u64 = 100_000_000;

/// The type of a file's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// A model file of [`vit_nostd`].
    Model,
    /// A safetensors file, such as a checkpoint.
    Checkpoint,
    /// Weights in the format of another program, which Python can convert.
    Foreign(Foreign),
    /// Content of another or an unknown type.
    Unknown,
}

/// A format in which other programs store weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Foreign {
    /// The format of `torch.save`: a ZIP archive, or a pickle in old versions.
    Torch,
    /// The HDF5 format, which Keras uses.
    Hdf5,
    /// The format of `numpy.savez`: NumPy arrays in a ZIP archive.
    Npz,
    /// An ONNX model.
    Onnx,
    /// The few lines of text that Git LFS keeps in a repository in place of a large file.
    LfsPointer,
}

impl Content {
    /// Returns the type of the file at `path`.
    ///
    /// Anything but a regular file, such as a pipe, is [`Unknown`](Self::Unknown) and not read, because bytes read
    /// from it would be lost.
    ///
    /// # Errors
    /// Returns [`Error::Io`] if the file cannot be read.
    pub(crate) fn of_file(path: &Path) -> Result<Self, Error> {
        if !path.metadata().at(path)?.is_file() {
            return Ok(Self::Unknown);
        }
        let mut bytes = Vec::new();
        File::open(path).and_then(|file| file.take(LEN).read_to_end(&mut bytes)).at(path)?;
        Ok(Self::of(&bytes))
    }

    /// Returns the type of a file that begins with `bytes`.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        match bytes {
            _ if bytes.starts_with(&MAGIC) => Self::Model,
            // A safetensors file begins with the length of its header and the header in JSON.
            [a, b, c, d, e, f, g, h, b'{', ..]
                if u64::from_le_bytes([*a, *b, *c, *d, *e, *f, *g, *h]) <= MAX_HEADER =>
            {
                Self::Checkpoint
            }
            _ if bytes.starts_with(b"PK\x03\x04") => Self::of_archive(bytes),
            // A pickle of one of the protocols 2 to 5, whatever it contains. Those of torch.save begin with a number.
            [0x80, 2..=5, ..] => Self::Foreign(Foreign::Torch),
            _ if bytes.starts_with(b"\x89HDF\r\n\x1a\n") => Self::Foreign(Foreign::Hdf5),
            // An ONNX model begins with a version below 128, followed by the name of a program, its version, a domain
            // or a graph.
            [0x08, 1..=127, 0x12 | 0x1a | 0x22 | 0x3a, ..] => Self::Foreign(Foreign::Onnx),
            _ if bytes.starts_with(b"version https://git-lfs") => Self::Foreign(Foreign::LfsPointer),
            _ => Self::Unknown,
        }
    }

    /// Returns the type of a ZIP archive. It is NumPy's if its first file is an array, and PyTorch's if not.
    fn of_archive(bytes: &[u8]) -> Self {
        let len = bytes.get(26..28).map_or(0, |len| usize::from(u16::from_le_bytes([len[0], len[1]])));
        let is_array = bytes.get(30..30 + len).is_some_and(|name| name.ends_with(b".npy"));
        Self::Foreign(if is_array { Foreign::Npz } else { Foreign::Torch })
    }
}

impl Foreign {
    /// Returns the name of the format and a shell command that makes a checkpoint of the file at `path`.
    pub(crate) fn advice(self, path: &Path) -> String {
        let (from, to) = (path.display(), path.with_extension("safetensors"));
        let to = to.display();
        let (what, python) = match self {
            Self::Torch => (
                "a file written by torch.save",
                format!(
                    "import torch, safetensors.torch as s; w = torch.load('{from}', map_location='cpu'); \
                     s.save_file({{k: v.clone() for k, v in w.items()}}, '{to}')"
                ),
            ),
            Self::Hdf5 => (
                "an HDF5 file",
                format!(
                    "import h5py, safetensors.numpy as s; w = {{}}; h5py.File('{from}').visititems(lambda k, v: \
                     w.update({{k.replace('/', '.'): v[()]}}) if hasattr(v, 'dtype') else None); s.save_file(w, '{to}')"
                ),
            ),
            Self::Npz => (
                "an archive of NumPy arrays",
                format!("import numpy, safetensors.numpy as s; s.save_file(dict(numpy.load('{from}')), '{to}')"),
            ),
            Self::Onnx => (
                "an ONNX model",
                format!(
                    "import onnx, safetensors.numpy as s; s.save_file({{t.name: onnx.numpy_helper.to_array(t) for t in \
                     onnx.load('{from}').graph.initializer if t.data_type == 1 and t.dims}}, '{to}')"
                ),
            ),
            Self::LfsPointer => {
                return "a pointer of Git LFS instead of the file itself; this command downloads the file: git lfs pull"
                    .to_owned();
            }
        };
        format!("{what}; this command converts it to a checkpoint: python3 -c \"{python}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the beginning of an archive whose first file has this name.
    fn archive(name: &str) -> Vec<u8> {
        let mut bytes = b"PK\x03\x04".to_vec();
        bytes.resize(26, 0);
        bytes.extend((name.len() as u16).to_le_bytes());
        bytes.extend([0, 0]);
        bytes.extend(name.bytes());
        bytes
    }

    #[test]
    fn files_are_told_by_their_first_bytes() {
        let torch = Content::Foreign(Foreign::Torch);
        for (bytes, content) in [
            (&MAGIC[..], Content::Model),
            (b"\x10\0\0\0\0\0\0\0{\"a\":1}", Content::Checkpoint),
            (b"\x10\0\0\0\0\0\0\xff{\"a\":1}", Content::Unknown),
            (&archive("model/data.pkl"), torch),
            (&archive("archive/.format_version"), torch),
            (&archive("weight.npy"), Content::Foreign(Foreign::Npz)),
            (&archive("weight.npy")[..33], torch),
            (b"PK\x03\x04", torch),
            (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", torch),
            (b"\x80\x04\x95", torch),
            (b"\x89HDF\r\n\x1a\n\0", Content::Foreign(Foreign::Hdf5)),
            (b"\x08\x08\x12\x07pytorch", Content::Foreign(Foreign::Onnx)),
            (b"version https://git-lfs.github.com/spec/v1\noid ", Content::Foreign(Foreign::LfsPointer)),
            (b"\x89PNG\r\n\x1a\n", Content::Unknown),
            (b"", Content::Unknown),
        ] {
            assert_eq!(Content::of(bytes), content, "{bytes:?}");
        }
    }

    #[test]
    fn advice_is_a_line_that_names_both_files() {
        for foreign in [Foreign::Torch, Foreign::Hdf5, Foreign::Npz, Foreign::Onnx] {
            let advice = foreign.advice(Path::new("a/theirs.bin"));
            assert!(
                advice.contains("'a/theirs.bin'") && advice.contains("'a/theirs.safetensors'"),
                "{advice}"
            );
            assert_eq!((advice.matches('"').count(), advice.lines().count()), (2, 1), "{advice}");
        }
    }
}
