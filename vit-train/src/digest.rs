//! The digest of a checkpoint, by which a program can tell whether two files belong together.
//!
//! The digest is the SHA-256 of the parameters alone. It does not depend on the description, on the order of the
//! tensors in the file, or on the program that wrote it. For each tensor, sorted by the bytes of the names, the hash
//! covers:
//!
//! | bytes | content, little-endian |
//! |---|---|
//! | 4 | length of the name in bytes, u32 |
//! | .. | the name, UTF-8 |
//! | 4 | number of dimensions, u32 |
//! | 8 each | the dimensions, outermost first, u64 |
//! | 4 each | the values, row by row, f32 |
//!
//! Names and shapes are those of PyTorch's `state_dict`. Values of other types are converted to f32 first, as
//! [`Checkpoint::load`](crate::formats::checkpoint::Checkpoint::load) does.

use crate::{hex::hex, network::parameters::Parameters};
use serde::{Serialize, Serializer};
use sha2::Sha256;
use std::fmt;

/// The digest of a checkpoint's parameters. It is displayed as 64 hexadecimal digits, or as the first ones of them with
/// a precision: `{:.12}` shows 12.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Computes the digest of `parameters`.
    pub fn of(parameters: &Parameters) -> Self {
        use sha2::Digest as _;
        let mut entries: Vec<_> = parameters.layout.0.iter().collect();
        entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let mut hash = Sha256::new();
        for entry in entries {
            hash.update((entry.name.len() as u32).to_le_bytes());
            hash.update(&entry.name);
            hash.update((entry.dims.len() as u32).to_le_bytes());
            entry.dims.iter().for_each(|&dim| hash.update((dim as u64).to_le_bytes()));
            let values = &parameters.values[entry.range.clone()];
            hash.update(values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>());
        }
        Self(hash.finalize().into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex(self.0))
    }
}

impl Serialize for Digest {
    fn serialize<N: Serializer>(&self, serializer: N) -> Result<N::Ok, N::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::parameters::Layout;

    fn parameters(tensors: &[(&str, &[usize], &[f32])]) -> Parameters {
        let mut parameters = Parameters { layout: Layout(Vec::new()), values: Vec::new() };
        for (name, dims, values) in tensors {
            parameters.layout.push(name, dims);
            parameters.values.extend_from_slice(values);
        }
        parameters
    }

    /// The expected digest was computed with Python 3.11: `hashlib.sha256(struct.pack("<I1sIQQ2fI2sIQf", 1, b"a", 2, 1,
    /// 2, 1.5, -2, 2, b"b.", 1, 1, 0.25)).hexdigest()`.
    #[test]
    fn the_digest_is_that_of_the_specification() {
        let [a, b] = [("a", &[1, 2][..], &[1.5, -2.0][..]), ("b.", &[1][..], &[0.25][..])];
        let digest = Digest::of(&parameters(&[a, b]));
        assert_eq!(digest.to_string(), "ec067fe14c6c16664189655390d378f122903a5e1f08d086ea9498767f09df0a");
        assert_eq!(format!("{digest:.12}"), digest.to_string()[..12]);
        assert_eq!(serde_json::to_value(digest).unwrap(), digest.to_string());
        assert_eq!(Digest::of(&parameters(&[b, a])), digest, "the order of the tensors does not matter");
        for other in [
            parameters(&[a]),
            parameters(&[("c", a.1, a.2), b]),
            parameters(&[("a", &[2, 1], a.2), b]),
            parameters(&[("a", a.1, &[1.5, 2.0]), b]),
        ] {
            assert_ne!(Digest::of(&other), digest);
        }
    }
}
