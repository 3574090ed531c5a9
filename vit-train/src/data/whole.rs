//! Checks that WebP and BMP files contain their whole picture, as far as their decoders do not check it.

use super::picture_error::PictureError;

/// Returns the little-endian number in the four bytes at offset `at`.
fn number(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?)).ok()
}

/// A part of a WebP file: its name and its data.
pub(super) type Chunk<'a> = (&'a [u8], &'a [u8]);

/// Returns the chunks of a WebP file.
///
/// # Errors
/// Returns [`PictureError::Truncated`] if a chunk is not complete, or if the file is shorter than it says.
pub(super) fn webp_chunks(bytes: &[u8]) -> Result<Vec<Chunk<'_>>, PictureError> {
    const START: usize = 12;
    let size = number(bytes, 4).ok_or(PictureError::Truncated)?;
    let end = size.checked_add(8).ok_or(PictureError::Truncated)?;
    // Some programs forget the byte that makes the size of the last chunk even.
    if end > bytes.len() + 1 {
        return Err(PictureError::Truncated);
    }
    chunks(bytes.get(START..end.min(bytes.len())).unwrap_or_default())
}

fn chunks(mut bytes: &[u8]) -> Result<Vec<Chunk<'_>>, PictureError> {
    let mut chunks = Vec::new();
    while !bytes.is_empty() {
        let (name, len) = (bytes.get(..4), number(bytes, 4));
        let (Some(name), Some(len)) = (name, len) else { return Err(PictureError::Truncated) };
        chunks.push((name, bytes[8..].get(..len).ok_or(PictureError::Truncated)?));
        bytes = bytes.get(8 + len.next_multiple_of(2)..).unwrap_or_default();
    }
    Ok(chunks)
}

/// Checks that the lossy pictures in a WebP file are not larger than the file says, because the decoder reserves memory
/// for each before it compares the sizes.
///
/// # Errors
/// Returns [`PictureError::Damaged`] if one is; the errors of [`webp_chunks`].
pub(super) fn check_webp(bytes: &[u8], (width, height): (u32, u32)) -> Result<(), PictureError> {
    const FRAME_HEADER: usize = 16;
    let mut all = webp_chunks(bytes)?;
    for (_, frame) in all.clone().into_iter().filter(|(name, _)| name == b"ANMF") {
        all.extend(chunks(frame.get(FRAME_HEADER..).unwrap_or_default())?);
    }
    for (_, picture) in all.into_iter().filter(|(name, _)| name == b"VP8 ") {
        let side = |at: usize| {
            picture.get(at..at + 2).map(|side| u32::from(side[0]) | u32::from(side[1] & 0x3f) << 8)
        };
        if side(6) > Some(width) || side(8) > Some(height) {
            return Err(PictureError::Damaged(
                "it has a picture that is larger than the file says".to_owned(),
            ));
        }
    }
    Ok(())
}

/// Checks that a BMP file with runs of pixels has a colour for each pixel. In other files, each pixel has its place.
///
/// # Errors
/// Returns [`PictureError::Truncated`] if there are pixels without a colour.
pub(super) fn check_bmp(bytes: &[u8]) -> Result<(), PictureError> {
    const ONE_BYTE_EACH: usize = 1;
    const HALF_A_BYTE_EACH: usize = 2;
    let compression = match (number(bytes, 14), number(bytes, 30)) {
        (Some(40..), Some(compression @ (ONE_BYTE_EACH | HALF_A_BYTE_EACH))) => compression,
        _ => return Ok(()),
    };
    let has_all = || {
        let (width, height) = (number(bytes, 18)?, number(bytes, 22)?);
        let mut codes = bytes.get(number(bytes, 10)?..)?;
        for lines_above in (0..height).rev() {
            let mut x = 0;
            while x < width {
                let (&[first, second], rest) = codes.split_first_chunk()?;
                codes = rest;
                match (first, usize::from(second)) {
                    // The end of a line or of the picture, or a jump: pixels are left out.
                    (0, 0..=2) => return None,
                    (0, pixels) => {
                        x += pixels;
                        codes = codes.get(pixels.div_ceil(compression).next_multiple_of(2)..)?;
                    }
                    (pixels, _) => x += usize::from(pixels),
                }
            }
            if lines_above > 0 {
                codes = codes.strip_prefix(&[0, 0])?; // the end of the line
            }
        }
        Some(())
    };
    has_all().ok_or(PictureError::Truncated)
}
