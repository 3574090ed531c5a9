//! Reads picture files, in grey or in colour, and fits them to the input of a network.
//!
//! The formats are PNG, JPEG, WebP, BMP and GIF (its first picture). The levels are those that Pillow reads: CMYK is
//! expected to be inverted, as Adobe's programs write it.

use super::{
    format::Format,
    jpeg,
    picture_error::PictureError,
    whole::{check_bmp, check_webp, webp_chunks},
};
use crate::paths::no_file;
use image::{
    metadata::Orientation, DynamicImage, GrayImage, ImageDecoder, ImageFormat, ImageReader, Limits, Luma,
    LumaA, Rgb, RgbImage, Rgba,
};
use std::{
    fs,
    io::{self, Cursor, Read},
    iter,
    path::Path,
    sync::{Mutex, PoisonError},
};
use vit_nostd::frame::{Fit, Frame, FrameError, Input, PixelFormat, Resizer, MAX_SIDE};

/// The largest size of a file, in bytes.
const MAX_FILE: u64 = 512 << 20;
/// The size in bytes above which decoded pictures are large. Only one large picture is decoded at a time, so that
/// threads do not fill the memory together.
const LARGE: u64 = 128 << 20;
/// The largest number of bytes of memory that decoding takes for each byte of a picture. They are for the picture,
/// its copy in 8 bits, and the coefficients of a progressive JPEG.
const BYTES_EACH: u64 = 4;
/// The number of bytes at the beginning of a file from which its format is recognised.
const HEAD: usize = 1024;

/// The numbers of bytes at the beginning of a file in which [`upright_size`] looks for the size. If it is not in the
/// first part, because a thumbnail or a colour profile comes before it, the next one is read, and in the end all.
const PREFIXES: [u64; 3] = [16 << 10, 256 << 10, MAX_FILE + 1];

/// The side of the image in which [`is_colourful`] looks for colours.
const COLOUR_SIDE: usize = 32;
/// The least difference between the largest and the smallest of red, green and blue at which a pixel has a colour.
const COLOUR: u8 = 24;
/// A picture is in colour if at least one of this number of pixels has a colour.
const COLOURED: usize = 100;

/// Reads a picture file as a grey image. [`read`] says how.
///
/// # Errors
/// Returns a [`PictureError`] if the file cannot be used. In particular, a truncated picture is refused.
pub(crate) fn read_grey(path: &Path) -> Result<GrayImage, PictureError> {
    Ok(read(path)?.into_luma8())
}

/// Reads a picture file as an image of `format`, to whose size the picture is [`fitted`].
///
/// # Errors
/// Those of [`read_grey`], and [`PictureError::LargeInput`].
pub(crate) fn read_fitted(path: &Path, format: Format, fit: Fit) -> Result<Vec<u8>, PictureError> {
    fitted(read(path)?, format, fit)
}

/// Fits an image of 8 bits, grey or RGB, to the size of `format`. A [`Resizer`] does this, as on a chip, so that the
/// same pixels give the same image there.
///
/// # Errors
/// [`PictureError::LargeInput`].
pub(super) fn fitted(mut image: DynamicImage, format: Format, fit: Fit) -> Result<Vec<u8>, PictureError> {
    if format.height.max(format.width) > MAX_SIDE {
        return Err(PictureError::LargeInput(format));
    }
    loop {
        match resized(&image, format, fit) {
            Ok(levels) => return Ok(levels),
            // The resizer takes frames that have, with their padding, at most `MAX_SIDE` pixels a side.
            Err(FrameError::TooLarge { width, height }) => {
                let share = MAX_SIDE as f64 / width.max(height) as f64;
                let side = |side: u32| ((f64::from(side) * share) as u32).max(1);
                image = image.thumbnail_exact(side(image.width()), side(image.height()));
            }
            Err(error) => return Err(PictureError::Damaged(error.to_string())),
        }
    }
}

/// Does what [`fitted`] does, for an image that is not larger than a frame.
fn resized(image: &DynamicImage, format: Format, fit: Fit) -> Result<Vec<u8>, FrameError> {
    let pixels = if image.color().has_color() { PixelFormat::Rgb888 } else { PixelFormat::Grey8 };
    let frame = Frame { width: image.width() as usize, height: image.height() as usize, format: pixels };
    let input = Input { height: format.height, width: format.width, channels: format.channels };
    let (mut levels, mut sums) = (vec![0; input.bytes()], vec![0; input.sums()]);
    let mut resizer = Resizer::new(frame, fit, input, &mut sums, &mut levels)?;
    image.as_bytes().chunks_exact(frame.line_bytes()).try_for_each(|line| resizer.row(line))?;
    resizer.finish()?;
    Ok(levels)
}

/// Reads a picture file as an image of 8 bits, grey or RGB.
///
/// The format is recognised by the content, whatever the name. The picture is turned upright if its Exif data say
/// that the camera was turned. Transparent pixels become white, as on paper. The path `-` means the standard input,
/// and pipes are read, too.
fn read(path: &Path) -> Result<DynamicImage, PictureError> {
    if path.as_os_str() == "-" {
        return decode(read_bytes(io::stdin().lock())?);
    }
    if fs::metadata(path).map_err(PictureError::Io)?.is_dir() {
        return Err(PictureError::NotAFile("a folder"));
    }
    decode(read_bytes(fs::File::open(path).map_err(PictureError::Io)?)?)
}

/// Returns the height and the width that a picture has when it is [read](read), from the beginning of the file.
///
/// A picture that the camera took on its side counts as upright, unless it is a large PNG whose Exif data come after
/// the pixels.
///
/// # Errors
/// A [`PictureError`] if the file is not a picture. What is wrong with the pixels is not noticed.
pub(super) fn upright_size(path: &Path) -> Result<[usize; 2], PictureError> {
    require_file(path)?;
    let mut file = fs::File::open(path).map_err(PictureError::Io)?;
    let mut bytes = Vec::new();
    for prefix in PREFIXES {
        let more = prefix - bytes.len() as u64;
        bytes = read_bytes(Cursor::new(bytes).chain(file.by_ref().take(more)))?;
        match size_in(&bytes) {
            Err(_) if bytes.len() as u64 == prefix => (),
            size => return size,
        }
    }
    Err(PictureError::TooLarge)
}

/// Does what [`upright_size`] does, with the beginning of a file.
fn size_in(bytes: &[u8]) -> Result<[usize; 2], PictureError> {
    let format = format(bytes)?;
    let orientation = match format {
        ImageFormat::Bmp => None, // its check needs the whole file
        _ => inspect(bytes, format)?,
    };
    let mut decoder = decoder(bytes, format)?;
    let (width, height) = decoder.dimensions();
    let orientation = orientation.map_or_else(|| decoder.orientation(), Ok)?;
    let size = match orientation {
        Orientation::Rotate90
        | Orientation::Rotate270
        | Orientation::Rotate90FlipH
        | Orientation::Rotate270FlipH => [width, height],
        _ => [height, width],
    };
    Ok(size.map(|side| side as usize))
}

/// Reads a picture file like [`read`], and returns whether it [is colourful](is_colourful).
///
/// # Errors
/// A [`PictureError`] if the file cannot be used.
pub(super) fn has_colours(path: &Path) -> Result<bool, PictureError> {
    require_file(path)?;
    is_colourful(read(path)?)
}

/// Returns true if a picture really has colours, whatever its file says.
///
/// Grey pictures are often stored in colour, and then their pixels are not exactly grey: a JPEG rounds, a sensor has
/// noise, and the light is a little yellow. The picture is therefore made as small as the image of a network, which
/// averages noise away. A pixel of that image has a colour if red, green and blue differ by [`COLOUR`] levels, and the
/// picture is in colour if one of [`COLOURED`] pixels has one. Skin, leaves in the shade and a pale sky are above this
/// limit.
fn is_colourful(image: DynamicImage) -> Result<bool, PictureError> {
    if !image.color().has_color() {
        return Ok(false);
    }
    let format = Format { height: COLOUR_SIDE, width: COLOUR_SIDE, channels: 3, classes: 0 };
    let levels = fitted(image, format, Fit::Stretch)?;
    let (pixels, _) = levels.as_chunks::<3>();
    let range =
        |pixel: &[u8; 3]| pixel.iter().max().zip(pixel.iter().min()).map_or(0, |(max, min)| max - min);
    let coloured = pixels.iter().filter(|pixel| range(pixel) >= COLOUR).count();
    Ok(coloured * COLOURED >= pixels.len())
}

/// Checks that `path` is that of a file. This is for the contents of folders, where reading a pipe could block forever.
pub(super) fn require_file(path: &Path) -> Result<(), PictureError> {
    let metadata = fs::metadata(path).map_err(|error| match path.is_symlink() {
        true if error.kind() == io::ErrorKind::NotFound => PictureError::NotAFile("a link to nothing"),
        _ => PictureError::Io(error),
    })?;
    no_file(&metadata).map_or(Ok(()), |kind| Err(PictureError::NotAFile(kind)))
}

/// Returns true if the content of a file is a picture, in a format that can be read or in another common one.
pub(super) fn looks_like_a_picture(path: &Path) -> bool {
    let mut head = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(HEAD as u64).read_to_end(&mut head));
    read.is_ok() && (format(&head).is_ok() || foreign(&head).is_some_and(|format| format.is_picture))
}

/// Reads a file to its end, and refuses files of other formats (after their first bytes) and files that are too large.
fn read_bytes(mut reader: impl Read) -> Result<Vec<u8>, PictureError> {
    let mut bytes = Vec::new();
    let mut read = |bytes: &mut Vec<u8>, limit| match reader.by_ref().take(limit).read_to_end(bytes) {
        Err(error) if error.kind() == io::ErrorKind::OutOfMemory => Err(PictureError::TooLarge),
        Err(error) => Err(PictureError::Io(error)),
        Ok(_) => Ok(()),
    };
    read(&mut bytes, HEAD as u64)?;
    format(&bytes)?;
    read(&mut bytes, MAX_FILE)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(PictureError::TooLarge);
    }
    Ok(bytes)
}

/// Returns the format of a file that begins with `head`, if it is one that can be read.
fn format(head: &[u8]) -> Result<ImageFormat, PictureError> {
    match image::guess_format(head) {
        Ok(format @ (ImageFormat::Png | ImageFormat::Jpeg | ImageFormat::WebP | ImageFormat::Gif)) => {
            Ok(format)
        }
        // Any text may begin with the letters BM. They are followed by the size of a header.
        Ok(ImageFormat::Bmp) if head.get(14..18).is_some_and(|size| matches!(size, [12..=124, 0, 0, 0])) => {
            Ok(ImageFormat::Bmp)
        }
        _ if head.is_empty() => Err(PictureError::Empty),
        _ => {
            Err(foreign(head)
                .map_or(PictureError::NoPicture, |format| PictureError::OtherFormat(format.name)))
        }
    }
}

/// A common format that cannot be read.
struct Foreign {
    /// The name of the format, with an article.
    name: &'static str,
    is_picture: bool,
}

/// Recognises other common formats by the first bytes of a file.
fn foreign(head: &[u8]) -> Option<Foreign> {
    let contains = |text: &[u8]| head.windows(text.len()).any(|window| window.eq_ignore_ascii_case(text));
    let name = match head {
        [_, _, _, _, b'f', b't', b'y', b'p', brand @ ..] => match brand.get(..4)? {
            b"avif" | b"avis" => "an AVIF picture",
            b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" | b"mif1" | b"msf1" => "a HEIC picture",
            _ => return None,
        },
        [b'I', b'I', 42, 0, ..] | [b'M', b'M', 0, 42, ..] => "a TIFF picture",
        [0xff, 0x0a, ..] | [0, 0, 0, 12, b'J', b'X', b'L', b' ', ..] => "a JPEG XL picture",
        [0, 0, 0, 12, b'j', b'P', b' ', b' ', ..] => "a JPEG 2000 picture",
        _ if head.starts_with(b"%PDF") => return Some(Foreign { name: "a PDF document", is_picture: false }),
        _ if contains(b"<svg") => "an SVG picture",
        _ if contains(b"<html") => return Some(Foreign { name: "a web page", is_picture: false }),
        _ => return None,
    };
    Some(Foreign { name, is_picture: true })
}

/// The largest decompressed size of a PNG's metadata, in bytes. A larger colour profile is ignored.
const PNG_METADATA: u64 = 16 << 20;

fn decoder(bytes: &[u8], format: ImageFormat) -> Result<impl ImageDecoder + '_, PictureError> {
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    if format == ImageFormat::Png {
        let mut limits = Limits::default();
        limits.max_alloc = Some(PNG_METADATA);
        reader.limits(limits);
    }
    let mut decoder = reader.into_decoder()?;
    let (mut limits, size) = (Limits::default(), decoder.total_bytes());
    limits.reserve(size)?; // `from_decoder` does not check this
    if format == ImageFormat::WebP {
        check_webp(bytes, decoder.dimensions())?;
    }
    if format == ImageFormat::Gif {
        // The first picture of a GIF may be larger than the GIF itself.
        limits.max_alloc = Some(size.max(LARGE));
        decoder.set_limits(limits)?;
    }
    Ok(decoder)
}

/// Returns the chunks of a PNG before its end, each with its name and its data, as far as they are complete.
fn png_chunks(bytes: &[u8]) -> impl Iterator<Item = (&[u8; 4], &[u8])> {
    const SIGNATURE: usize = 8;
    const CHECKSUM: usize = 4;
    let mut rest = bytes.get(SIGNATURE..).unwrap_or_default();
    iter::from_fn(move || {
        let (len, after) = rest.split_first_chunk()?;
        let (name, after) = after.split_first_chunk()?;
        let (data, after) = after.split_at_checked(u32::from_be_bytes(*len) as usize)?;
        rest = after.get(CHECKSUM..)?;
        (name != b"IEND").then_some((name, data))
    })
}

/// Looks for what decoders do not notice, except in JPEG files, and returns the orientation that Exif data state.
///
/// Decoders of PNG and WebP find these data in some files only, for example if they come before the picture.
fn inspect(bytes: &[u8], format: ImageFormat) -> Result<Option<Orientation>, PictureError> {
    let mut exif = None;
    match format {
        ImageFormat::Png => {
            for (name, data) in png_chunks(bytes) {
                match name {
                    // The decoder would panic.
                    b"PLTE" if !data.len().is_multiple_of(3) => {
                        return Err(PictureError::Damaged("its palette has a part of a colour".to_owned()));
                    }
                    b"eXIf" => exif = Some(data),
                    _ => (),
                }
            }
        }
        ImageFormat::WebP => {
            let chunks = webp_chunks(bytes)?;
            let found = chunks.iter().find(|(name, _)| name == b"EXIF");
            // Some programs write the prefix that Exif data have in JPEG files.
            exif = found.map(|(_, data)| data.strip_prefix(b"Exif\0\0").unwrap_or(data));
        }
        ImageFormat::Bmp => check_bmp(bytes)?,
        _ => (),
    }
    Ok(exif.and_then(Orientation::from_exif_chunk))
}

fn decode(mut bytes: Vec<u8>) -> Result<DynamicImage, PictureError> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

    let format = format(&bytes)?;
    let orientation = inspect(&bytes, format)?;
    let header = decoder(&bytes, format)?;
    let ((width, height), size) = (header.dimensions(), header.total_bytes());
    drop(header);
    let _others_wait = (size > LARGE).then(|| ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner));
    // The decoder would abort the process if there were too little memory. Reserving it first shows that there is
    // enough.
    let needed = usize::try_from(BYTES_EACH * size).map_err(|_| PictureError::TooLarge)?;
    Vec::<u8>::new().try_reserve_exact(needed).map_err(|_| PictureError::OutOfMemory { width, height })?;

    if format == ImageFormat::Jpeg {
        jpeg::complete(&mut bytes)?;
    }
    let mut decoder = decoder(&bytes, format)?;
    let orientation = orientation.map_or_else(|| decoder.orientation(), Ok)?;
    let mut image = DynamicImage::from_decoder(decoder)?;
    image.apply_orientation(orientation);
    Ok(match (image.color().has_color(), image.color().has_alpha()) {
        (false, false) => image.into_luma8().into(),
        (true, false) => image.into_rgb8().into(),
        (false, true) => {
            let image = image.into_luma_alpha8();
            let over_white = |LumaA([grey, alpha])| Luma([over_white(grey, alpha)]);
            GrayImage::from_fn(image.width(), image.height(), |x, y| over_white(*image.get_pixel(x, y)))
                .into()
        }
        (true, true) => {
            let image = image.into_rgba8();
            let over_white = |Rgba([r, g, b, alpha])| Rgb([r, g, b].map(|level| over_white(level, alpha)));
            RgbImage::from_fn(image.width(), image.height(), |x, y| over_white(*image.get_pixel(x, y))).into()
        }
    })
}

/// Returns a level of a transparent pixel that lies over white.
fn over_white(level: u8, alpha: u8) -> u8 {
    let (level, alpha) = (u32::from(level), u32::from(alpha));
    ((level * alpha + 255 * (255 - alpha) + 127) / 255) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
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
        assert_eq!(read_fitted(&path, Format::grey(28, 10), Fit::Stretch).unwrap(), pixels);
    }

    #[test]
    fn others_are_stretched() {
        // The left half is black and the right half white, also after a picture 7 times as wide as high is made square.
        let image = GrayImage::from_fn(140, 20, |x, _| [if x < 70 { 0 } else { 255 }].into());
        for name in ["a.png", "a.jpg"] {
            let (_folder, path) = save(image.clone(), name);
            let pixels = read_fitted(&path, Format::grey(28, 10), Fit::Stretch).unwrap();
            for row in pixels.chunks(28) {
                assert!(row[..13].iter().all(|&grey| grey < 8), "{name}: {row:?}");
                assert!(row[15..].iter().all(|&grey| grey > 247), "{name}: {row:?}");
            }
        }
        // Every pixel of a picture that shrinks counts, so that a fine chequerboard becomes grey.
        let image = GrayImage::from_fn(280, 280, |x, y| [if (x + y) % 2 == 0 { 0 } else { 255 }].into());
        let (_folder, path) = save(image, "a.png");
        assert!(read_fitted(&path, Format::grey(28, 10), Fit::Stretch)
            .unwrap()
            .iter()
            .all(|&grey| grey.abs_diff(127) <= 3));
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
        // The left half is black and the right half white. Exif data, written by hand, say that the first column is the
        // upper edge.
        let image = GrayImage::from_fn(64, 32, |x, _| [if x < 32 { 0 } else { 255 }].into());
        let (_folder, path) = save(image, "a.jpg");
        let jpeg = fs::read(&path).unwrap();
        let tiff = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
        let note = [b"Exif\0\0", &tiff[..]].concat();
        let len = (note.len() as u16 + 2).to_be_bytes();
        fs::write(&path, [&jpeg[..2], &[0xff, 0xe1], &len, &note, &jpeg[2..]].concat()).unwrap();
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
        fs::rename(path, &renamed).unwrap();
        assert_eq!(read_grey(&renamed).unwrap().into_raw(), [9; 4]);
    }

    /// Returns JPEG files of many kinds. Those in the folder `jpeg_files` were written by Pillow 13 (with its options
    /// `progressive`, `subsampling`, `restart_marker_blocks` and `restart_marker_rows`, and as CMYK), which supports
    /// more kinds than our encoder.
    fn jpeg_files() -> Vec<(&'static str, Vec<u8>)> {
        let image = RgbImage::from_fn(61, 47, |x, y| Rgb([x * 4, y * 5, x * y].map(|c| c as u8)));
        let encode = |image: DynamicImage| {
            let mut bytes = Cursor::new(Vec::new());
            image.write_to(&mut bytes, ImageFormat::Jpeg).unwrap();
            bytes.into_inner()
        };
        let colour = encode(image.clone().into());
        let thumbnail = [b"Exif\0\0", &colour[..]].concat();
        let len = (thumbnail.len() as u16 + 2).to_be_bytes();
        let with_thumbnail = [&colour[..2], &[0xff, 0xe1], &len, &thumbnail, &colour[2..]].concat();
        vec![
            ("grey", encode(DynamicImage::from(image).to_luma8().into())),
            ("thumbnail", with_thumbnail),
            ("colour", colour),
            ("progressive", include_bytes!("jpeg_files/progressive-420.jpg").to_vec()),
            ("restarts", include_bytes!("jpeg_files/baseline-420-restarts.jpg").to_vec()),
            ("progressive with restarts", include_bytes!("jpeg_files/progressive-restarts.jpg").to_vec()),
            ("cmyk", include_bytes!("jpeg_files/cmyk.jpg").to_vec()),
        ]
    }

    /// Returns the name, the content and the levels (of red, green and blue) of the pictures in the folder
    /// `picture_files`. `make.py` there has written them with Pillow 13.
    fn picture_files() -> Vec<(String, Vec<u8>, Vec<u8>)> {
        let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/data/picture_files"));
        let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let mut expected: Vec<_> =
            paths.filter(|path| path.extension().is_some_and(|it| it == "rgb")).collect();
        expected.sort();
        let read = |path: PathBuf| {
            let picture = path.with_extension("");
            let name = picture.file_name().unwrap().to_str().unwrap().to_owned();
            (name, fs::read(picture).unwrap(), fs::read(path).unwrap())
        };
        expected.into_iter().map(read).collect()
    }

    #[test]
    fn every_kind_of_picture_is_read_like_pillow_reads_it() {
        let files = picture_files();
        assert!(files.len() > 80, "{}", files.len());
        let mut wrong = Vec::new();
        for (name, bytes, expected) in files {
            let lossy = name.ends_with(".jpg") || name.starts_with("lossy");
            match decode(bytes) {
                Err(error) => wrong.push(format!("{name}: {error}")),
                Ok(image) => {
                    let levels = image.into_rgb8().into_raw();
                    assert_eq!(levels.len(), expected.len(), "{name}");
                    let worst = levels.iter().zip(&expected).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
                    if worst > if lossy { 3 } else { 0 } {
                        wrong.push(format!("{name}: {worst}"));
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn the_beginning_of_a_file_has_the_size_of_the_picture() {
        for (name, bytes, _) in picture_files() {
            let image = decode(bytes.clone()).unwrap();
            let size = [image.height() as usize, image.width() as usize];
            assert_eq!(size_in(&bytes).unwrap(), size, "{name}");
            for end in 0..bytes.len() {
                let found = size_in(&bytes[..end]);
                assert!(found.is_err() || found.is_ok_and(|found| found == size), "{name}: {end}");
            }
        }
    }

    #[test]
    fn a_size_after_long_metadata_is_found() {
        let (_folder, path) = save(RgbImage::new(61, 47), "a.jpg");
        let jpeg = fs::read(&path).unwrap();
        for segments in [0, 1, 9] {
            let comment = [&[0xff, 0xfe, 0xea, 0x62][..], &[7; 60_000]].concat().repeat(segments);
            fs::write(&path, [&jpeg[..2], &comment, &jpeg[2..]].concat()).unwrap();
            assert_eq!(upright_size(&path).unwrap(), [47, 61], "{segments}");
        }
    }

    #[test]
    fn pictures_with_colours_have_colours() {
        for (name, bytes, _) in picture_files() {
            let is_grey = ["grey", "black-and-white"].iter().any(|grey| name.starts_with(grey));
            assert_eq!(is_colourful(decode(bytes).unwrap()).unwrap(), !is_grey, "{name}");
        }
        for (name, bytes) in jpeg_files() {
            assert_eq!(is_colourful(decode(bytes).unwrap()).unwrap(), name != "grey", "{name}");
        }
    }

    /// Returns whether a picture of these pixels is in colour, as it is and as a JPEG of poor quality.
    fn colourful(pixel: impl FnMut(u32, u32) -> [u8; 3]) -> [bool; 2] {
        let mut pixel = pixel;
        let image = RgbImage::from_fn(160, 120, |x, y| Rgb(pixel(x, y)));
        let mut jpeg = Vec::new();
        image::codecs::jpeg::JpegEncoder::new_with_quality(&mut jpeg, 20).encode_image(&image).unwrap();
        [image.into(), decode(jpeg).unwrap()].map(|image: DynamicImage| is_colourful(image).unwrap())
    }

    #[test]
    fn grey_pictures_in_colour_files_have_none() {
        let grey = |x: u32, y: u32| ((x * x + 3 * x * y) % 256) as u8;
        assert_eq!(colourful(|x, y| [grey(x, y); 3]), [false; 2]);
        // The noise of a sensor: up to 20 levels in each of red, green and blue.
        let mut random = crate::random::stream(crate::random::Purpose::Sign, [1, 2, 3]);
        let mut noise = || rand::RngExt::random_range(&mut random, 0..=40_u8);
        assert_eq!(colourful(|x, _| [(x + 10) as u8; 3].map(|level| level + noise())), [false; 2]);
        // Warm light on white paper with writing.
        let paper = |x: u32, y: u32| if (x / 7 + y / 5).is_multiple_of(3) { 40 } else { 225 };
        assert_eq!(colourful(|x, y| [paper(x, y), paper(x, y) - 6, paper(x, y) - 16]), [false; 2]);
    }

    #[test]
    fn pale_and_small_colours_count() {
        // Skin, a pale sky, and leaves in the shade.
        for colour in [[205, 170, 150], [196, 212, 232], [52, 66, 38]] {
            assert_eq!(colourful(|x, _| if x < 80 { [128; 3] } else { colour }), [true; 2], "{colour:?}");
        }
        // A red lamp that takes a fiftieth of a grey picture, and one that takes a thousandth.
        let lamp = |side| move |x, y| if x < side && y < side { [230, 30, 30] } else { [90; 3] };
        assert_eq!(colourful(lamp(20)), [true; 2]);
        assert_eq!(colourful(lamp(4)), [false; 2]);
    }

    #[test]
    fn truncated_files_of_every_kind_are_refused_or_whole() {
        for (name, bytes, _) in picture_files() {
            let whole = decode(bytes.clone()).unwrap();
            let mut refused = 0;
            for end in 0..bytes.len() {
                match decode(bytes[..end].to_vec()) {
                    Err(_) => refused += 1,
                    Ok(image) => assert!(image == whole, "{name}: cut at {end} of {}", bytes.len()),
                }
            }
            // The picture is whole without the end of an animation, the end marker of a JPEG or checksums after it.
            let unused = if name.starts_with("animated") { 2 * bytes.len() / 3 } else { 20 };
            assert!(refused + unused > bytes.len(), "{name}: {refused} of {} are refused", bytes.len());
        }
    }

    #[test]
    fn damage_to_files_of_every_kind_never_panics() {
        for (name, bytes, _) in picture_files() {
            for at in 0..bytes.len() {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << (at % 8);
                let read = std::panic::catch_unwind(|| decode(damaged).is_ok());
                assert!(read.is_ok(), "{name}: panics because of byte {at}");
            }
        }
    }

    #[test]
    fn pictures_with_too_few_pixels_are_refused() {
        let bytes_of =
            |wanted: &str| picture_files().into_iter().find(|(name, ..)| name == wanted).unwrap().1;
        let gif = bytes_of("colour.gif");
        // The pixels are in blocks that begin with their length, after a descriptor and the size of a code. The last
        // block is empty.
        let start = gif.windows(5).position(|bytes| bytes == b"\x2c\0\0\0\0").unwrap() + 11;
        let len = gif[start];
        assert!(len > 100);
        for len in [1, 10, len / 2, len - 1] {
            let short = [&gif[..start], &[len], &gif[start + 1..][..usize::from(len)], b"\0;"].concat();
            assert!(decode(short).is_err(), "{len}");
        }
        for name in ["runs-8.bmp", "runs-4.bmp"] {
            let bmp = bytes_of(name);
            decode(bmp.clone()).unwrap();
            let start = usize::from(bmp[10]) + 256 * usize::from(bmp[11]);
            for at in (start..bmp.len() - 4).step_by(2) {
                // Here, the picture ends, the line ends, or pixels are jumped over.
                for instruction in [[0, 1], [0, 0], [0, 2]] {
                    let mut short = bmp.clone();
                    let is_same = short[at..][..2] == instruction;
                    short[at..][..2].copy_from_slice(&instruction);
                    assert!(is_same || decode(short).is_err(), "{name}: {instruction:?} at {at}");
                }
            }
        }
    }

    #[test]
    fn a_truncated_picture_is_refused_or_whole() {
        let mut files = jpeg_files();
        let mut png = Cursor::new(Vec::new());
        GrayImage::from_fn(61, 47, |x, y| [(x * y) as u8].into())
            .write_to(&mut png, ImageFormat::Png)
            .unwrap();
        files.push(("png", png.into_inner()));
        for (name, bytes) in files {
            let whole = decode(bytes.clone()).unwrap();
            let mut refused = 0;
            for end in 0..bytes.len() {
                // Some programs append an end marker to a truncated picture.
                for marker in [&[][..], &[0xff, 0xd9]] {
                    match decode([&bytes[..end], marker].concat()) {
                        Err(_) => refused += 1,
                        Ok(image) => assert!(image == whole, "{name}: cut at {end} of {}", bytes.len()),
                    }
                }
            }
            assert!(refused > 2 * bytes.len() - 60, "{name}: {refused} of {} are refused", 2 * bytes.len());
        }
    }

    #[test]
    fn jpeg_may_lack_its_end_marker_or_be_followed_by_anything() {
        for (name, bytes) in jpeg_files() {
            let whole = decode(bytes.clone()).unwrap();
            let without = &bytes[..bytes.len() - 2];
            for variant in
                [without.to_vec(), [without, &[0; 9]].concat(), [&bytes[..], &[0xff; 9], &bytes].concat()]
            {
                assert!(decode(variant).unwrap() == whole, "{name}");
            }
        }
        // The last rows of this picture take less than a byte each, so that a decoder that looks ahead may treat them
        // as missing.
        let white = GrayImage::from_pixel(8, 64, [255].into());
        let mut bytes = Cursor::new(Vec::new());
        white.write_to(&mut bytes, ImageFormat::Jpeg).unwrap();
        let bytes = bytes.into_inner();
        assert_eq!(decode(bytes[..bytes.len() - 2].to_vec()).unwrap().into_luma8(), white);
    }

    #[test]
    fn damage_never_panics_and_much_of_it_is_noticed() {
        for (name, bytes) in jpeg_files() {
            let mut refused = 0;
            for at in 0..bytes.len() {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << (at % 8);
                refused += usize::from(decode(damaged).is_err());
            }
            // Damage in the thumbnail goes unnoticed, because the thumbnail is not read.
            assert!(refused > 100, "{name}: {refused} of {}", bytes.len());
        }
    }

    #[test]
    fn other_formats_are_recognised() {
        let refuse = |bytes: &[u8], words: &str| {
            let error = decode_bytes(bytes).unwrap_err();
            let message = format!("{error}: {}", error.advice());
            assert!(message.contains(words), "{message}");
        };
        fn decode_bytes(bytes: &[u8]) -> Result<DynamicImage, PictureError> {
            decode(read_bytes(bytes)?)
        }
        let convert = ", but only PNG, JPEG, WebP, BMP and GIF are read: convert it to PNG or JPEG";
        refuse(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", &format!("a HEIC picture{convert}"));
        refuse(b"\0\0\0\x20ftypavif\0\0\0\0", &format!("an AVIF picture{convert}"));
        refuse(b"RIFF\x24\0\0\0WEBPVP8 ", "it is truncated");
        refuse(b"GIF89a\x01\0\x01\0", "cannot be read as a picture");
        refuse(b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x02\0\0\0\x02\0\0\0\x01\0", "it is truncated");
        refuse(b"BMW: notes on a car that is blue", "its content is none of");
        refuse(b"II*\0\x08\0\0\0", "a TIFF picture");
        refuse(b"%PDF-1.7", "a PDF document");
        refuse(b"<?xml version=\"1.0\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\"/>", "an SVG picture");
        refuse(b"<!DOCTYPE html>\n<HTML>not found", "a web page");
        refuse(b"", "an empty file: replace or remove it");
        refuse(
            b"text",
            "cannot be read as a picture (its content is none of PNG, JPEG, WebP, BMP and GIF): replace or remove it",
        );
        let missing = read_grey(Path::new("no/such.png")).unwrap_err();
        assert_eq!(missing.advice(), "check the path");
    }

    #[test]
    fn hostile_sizes_are_refused() {
        // The header of this PNG says that it is 60,000 pixels wide and high.
        let (_folder, path) = save(GrayImage::from_pixel(2, 2, [9].into()), "a.png");
        let mut bytes = fs::read(&path).unwrap();
        for side in [16..20, 20..24] {
            bytes[side].copy_from_slice(&60_000u32.to_be_bytes());
        }
        let mut crc = flate2::Crc::new();
        crc.update(&bytes[12..29]);
        bytes[29..33].copy_from_slice(&crc.sum().to_be_bytes());
        fs::write(&path, bytes).unwrap();
        let error = read_grey(&path).unwrap_err();
        assert!(matches!(error, PictureError::TooLarge), "{error}");
    }

    #[test]
    fn pictures_in_a_file_are_not_larger_than_the_file_says() {
        for name in ["lossy-transparent.webp", "lossy.webp"] {
            let (_, mut bytes, _) = picture_files().into_iter().find(|(found, ..)| found == name).unwrap();
            let at = bytes.windows(4).position(|bytes| bytes == b"VP8 ").unwrap() + 14;
            bytes[at..at + 4].copy_from_slice(&[0xff, 0x3f, 0xff, 0x3f]);
            let error = decode(bytes).unwrap_err().to_string();
            let expected =
                ["larger than the file says", "takes more than 512 MiB"][usize::from(name == "lossy.webp")];
            assert!(error.contains(expected), "{name}: {error}");
        }
        // A GIF of one pixel whose picture has 60,000 pixels a side.
        let (_, mut bytes, _) =
            picture_files().into_iter().find(|(found, ..)| found == "colour.gif").unwrap();
        let at = bytes.windows(5).position(|bytes| bytes == b"\x2c\0\0\0\0").unwrap();
        bytes[6..10].copy_from_slice(&[1, 0, 1, 0]);
        bytes[at + 5..at + 9].copy_from_slice(&[0x60, 0xea, 0x60, 0xea]);
        assert!(matches!(decode(bytes), Err(PictureError::TooLarge)));
    }

    /// A chunk of a PNG.
    fn chunk(name: &[u8], data: &[u8]) -> Vec<u8> {
        let mut crc = flate2::Crc::new();
        [name, data].iter().for_each(|part| crc.update(part));
        [&(data.len() as u32).to_be_bytes(), name, data, &crc.sum().to_be_bytes()].concat()
    }

    #[test]
    fn palettes_with_a_part_of_a_colour_are_refused() {
        let header = [&1_u32.to_be_bytes()[..], &1_u32.to_be_bytes(), &[8, 3, 0, 0, 0]].concat();
        let pixels = b"\x78\x01\x01\x02\0\xfd\xff\0\0\0\x02\0\x01"; // zlib: the filter 0 and the index 0
        let picture = |palette: &[u8]| {
            let chunks = [(&b"IHDR"[..], &header[..]), (b"PLTE", palette), (b"IDAT", pixels), (b"IEND", b"")];
            let chunks = chunks.map(|(name, data)| chunk(name, data)).concat();
            let (folder, path) = save(GrayImage::new(1, 1), "a.png");
            fs::write(&path, [&b"\x89PNG\r\n\x1a\n"[..], &chunks].concat()).unwrap();
            let result = read_grey(&path);
            drop(folder);
            result
        };
        assert_eq!(picture(&[7; 3]).unwrap().into_raw(), [7]);
        for len in [1, 2, 4, 5, 7, 8, 11] {
            let error = picture(&vec![7; len]).unwrap_err();
            assert!(matches!(error, PictureError::Damaged(_)), "{len}: {error}");
        }
    }

    #[test]
    fn exif_data_may_come_after_the_picture() {
        let image = GrayImage::from_fn(64, 32, |x, _| [if x < 32 { 0 } else { 255 }].into());
        let (_folder, path) = save(image, "a.png");
        let png = fs::read(&path).unwrap();
        let tiff = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
        let end = png.len() - 12; // the chunk IEND
        fs::write(&path, [&png[..end], &chunk(b"eXIf", tiff), &png[end..]].concat()).unwrap();
        assert_eq!(read_grey(&path).unwrap().dimensions(), (32, 64));
        // What follows the end of the picture is not a part of it.
        fs::write(&path, [&png[..], &chunk(b"eXIf", tiff), &chunk(b"PLTE", &[7; 4])].concat()).unwrap();
        assert_eq!(read_grey(&path).unwrap().dimensions(), (64, 32));
    }
}
