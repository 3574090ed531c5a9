//! Hexadecimal digits.

/// Bytes in hexadecimal digits, as a hash is usually given.
pub(crate) fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
