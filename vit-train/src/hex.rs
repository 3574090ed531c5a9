//! Formats bytes as hexadecimal digits.

/// Formats bytes as hexadecimal digits, two for each byte, in lower case.
pub(crate) fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
