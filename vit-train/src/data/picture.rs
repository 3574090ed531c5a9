//! Picture files: PNG and JPEG, as grey images.

use image::{imageops, DynamicImage, GrayImage, ImageDecoder, ImageReader, ImageResult, Limits};
use std::path::Path;

/// Reads a PNG or JPEG file, whatever its name, upright (a camera may have written that it is not) and in grey. What is
/// transparent is white, as on paper.
///
/// # Errors
/// [`image::ImageError`]: the file cannot be read, is neither PNG nor JPEG, is damaged, or needs more than 512 MiB.
pub fn read_grey(path: &Path) -> ImageResult<GrayImage> {
    let mut decoder = ImageReader::open(path)?.with_guessed_format()?.into_decoder()?;
    Limits::default().reserve(decoder.total_bytes())?; // which `from_decoder` leaves to us
    let orientation = decoder.orientation()?;
    let mut image = DynamicImage::from_decoder(decoder)?;
    image.apply_orientation(orientation);
    if !image.color().has_alpha() {
        return Ok(image.into_luma8());
    }
    let image = image.into_luma_alpha8();
    let over_white = |[grey, alpha]: [u8; 2]| {
        let (grey, alpha) = (u32::from(grey), u32::from(alpha));
        ((grey * alpha + 255 * (255 - alpha) + 127) / 255) as u8
    };
    Ok(GrayImage::from_fn(image.width(), image.height(), |x, y| [over_white(image.get_pixel(x, y).0)].into()))
}

/// [`read_grey`], stretched to `side` rows and columns.
pub(super) fn read_square(path: &Path, side: usize) -> ImageResult<Vec<u8>> {
    let side = side as u32;
    // Cubic, widened to the size of a target pixel where the picture shrinks. Unlike Lanczos, it needs no sine, which
    // platforms compute differently.
    let filter = imageops::FilterType::CatmullRom;
    Ok(imageops::resize(&read_grey(path)?, side, side, filter).into_raw())
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{ImageFormat, LumaA, Rgb, RgbImage, Rgba};
    use std::path::PathBuf;

    fn save(image: impl Into<DynamicImage>, name: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        let format = ImageFormat::from_path(name).unwrap();
        image.into().save_with_format(&path, format).unwrap();
        (folder, path)
    }

    #[test]
    fn a_picture_of_the_right_size_is_not_touched() {
        let pixels: Vec<u8> = (0..784).map(|at| (at * 31 % 256) as u8).collect();
        let (_folder, path) = save(GrayImage::from_raw(28, 28, pixels.clone()).unwrap(), "a.png");
        assert_eq!(read_square(&path, 28).unwrap(), pixels);
    }

    #[test]
    fn others_are_stretched() {
        // Left half black, right half white, 7 times as wide as high: still half and half.
        let image = GrayImage::from_fn(140, 20, |x, _| [if x < 70 { 0 } else { 255 }].into());
        for name in ["a.png", "a.jpg"] {
            let (_folder, path) = save(image.clone(), name);
            let pixels = read_square(&path, 28).unwrap();
            for row in pixels.chunks(28) {
                assert!(row[..13].iter().all(|&grey| grey < 8), "{name}: {row:?}");
                assert!(row[15..].iter().all(|&grey| grey > 247), "{name}: {row:?}");
            }
        }
        // Every pixel of a picture that shrinks counts: a fine chequerboard is grey, and not black or white.
        let image = GrayImage::from_fn(280, 280, |x, y| [if (x + y) % 2 == 0 { 0 } else { 255 }].into());
        let (_folder, path) = save(image, "a.png");
        assert!(read_square(&path, 28).unwrap().iter().all(|&grey| grey.abs_diff(127) <= 3));
    }

    #[test]
    fn colours_are_as_bright_as_they_look_and_nothing_is_white() {
        let image = RgbImage::from_fn(3, 1, |x, _| Rgb([[255, 0, 0], [0, 255, 0], [0, 0, 255]][x as usize]));
        let (_folder, path) = save(image, "a.png");
        let grey = read_grey(&path).unwrap().into_raw();
        for (grey, expected) in grey.into_iter().zip([0.2126, 0.7152, 0.0722]) {
            assert!((f64::from(grey) - 255.0 * expected).abs() <= 1.0, "{grey}");
        }
        let image = image::RgbaImage::from_fn(3, 1, |x, _| Rgba([0, 0, 0, [0, 51, 255][x as usize]]));
        let (_folder, path) = save(image, "a.png");
        assert_eq!(read_grey(&path).unwrap().into_raw(), [255, 204, 0]);
        let image = image::GrayAlphaImage::from_pixel(1, 1, LumaA([77, 255]));
        let (_folder, path) = save(image, "a.png");
        assert_eq!(read_grey(&path).unwrap().into_raw(), [77]);
    }

    #[test]
    fn what_a_camera_wrote_on_its_side_is_turned_upright() {
        // Left half black, right half white, and a note (Exif, by hand) that the first column is the upper edge.
        let image = GrayImage::from_fn(64, 32, |x, _| [if x < 32 { 0 } else { 255 }].into());
        let (_folder, path) = save(image, "a.jpg");
        let jpeg = std::fs::read(&path).unwrap();
        let tiff = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
        let note = [b"Exif\0\0", &tiff[..]].concat();
        let len = (note.len() as u16 + 2).to_be_bytes();
        std::fs::write(&path, [&jpeg[..2], &[0xff, 0xe1], &len, &note, &jpeg[2..]].concat()).unwrap();
        let upright = read_grey(&path).unwrap();
        assert_eq!(upright.dimensions(), (32, 64));
        for (_, y, pixel) in upright.enumerate_pixels() {
            assert_eq!(pixel.0[0] > 127, y >= 32, "{y}");
        }
    }

    #[test]
    fn the_content_counts_and_not_the_name() {
        let (folder, path) = save(GrayImage::from_pixel(2, 2, [9].into()), "a.png");
        let renamed = folder.path().join("a.jpg");
        std::fs::rename(path, &renamed).unwrap();
        assert_eq!(read_grey(&renamed).unwrap().into_raw(), [9; 4]);
    }

    #[test]
    fn hostile_sizes_are_refused() {
        // A PNG that says to be 60,000 pixels wide and high.
        let (_folder, path) = save(GrayImage::from_pixel(2, 2, [9].into()), "a.png");
        let mut bytes = std::fs::read(&path).unwrap();
        for side in [16..20, 20..24] {
            bytes[side].copy_from_slice(&60_000u32.to_be_bytes());
        }
        let mut crc = flate2::Crc::new();
        crc.update(&bytes[12..29]);
        bytes[29..33].copy_from_slice(&crc.sum().to_be_bytes());
        std::fs::write(&path, bytes).unwrap();
        let error = read_grey(&path).unwrap_err();
        assert!(matches!(error, image::ImageError::Limits(_)), "{error}");
    }
}
