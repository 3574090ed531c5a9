//! Tests of resizing against NUMERICS.md, which is implemented here a second time, as directly as possible.

use proptest::prelude::*;
use vit_nostd::frame::{
    Fit, Frame, FrameError, Input,
    PixelFormat::{self, *},
    Resizer, Sums, MAX_SIDE,
};
use vit_nostd::{Element, Image, Nano, Network};

const FORMATS: [PixelFormat; 6] = [Grey8, Rgb888, Rgb565Le, Rgb565Be, Yuyv, Uyvy];
const FITS: [Fit; 3] = [Fit::Stretch, Fit::Crop, Fit::Pad];

// ---- The arithmetic of NUMERICS.md ----

/// Returns the view: its width and height, and the column and row of the frame's first pixel in it, which are negative
/// if the view is a part of the frame.
fn view(fit: Fit, frame: Frame, input: Input) -> [[i128; 2]; 2] {
    let [w, h, width, height] =
        [frame.width, frame.height, input.width, input.height].map(|length| length as i128);
    let by_width = [w, 1.max(w * height / width)];
    let by_height = [1.max(h * width / height), h];
    let [view_width, view_height] = match fit {
        Fit::Stretch => [w, h],
        Fit::Crop => {
            if by_width[1] <= h && w * height <= h * width {
                by_width
            } else {
                by_height
            }
        }
        Fit::Pad => {
            if w * height > h * width {
                by_width
            } else {
                by_height
            }
        }
    };
    // The odd pixel is at the right and at the bottom, whether it is cut off or added.
    let offset =
        |view: i128, frame: i128| if view < frame { -((frame - view) / 2) } else { (view - frame) / 2 };
    [[view_width, view_height], [offset(view_width, w), offset(view_height, h)]]
}

/// Returns the level of a pixel of a line in a channel.
fn level(format: PixelFormat, channels: usize, line: &[u8], x: usize, channel: usize) -> i128 {
    let byte = |index: usize| i128::from(line[index]);
    let clamp = |value: i128| (value + 128).div_euclid(256).clamp(0, 255);
    let yuv = |y: usize, u: usize, v: usize| {
        let (y, u, v) = (298 * (byte(y) - 16), byte(u) - 128, byte(v) - 128);
        if channels == 1 {
            [clamp(y); 3]
        } else {
            [clamp(y + 409 * v), clamp(y - 100 * u - 208 * v), clamp(y + 516 * u)]
        }
    };
    let replicated = |low: usize, high: usize| {
        let number = byte(low) + 256 * byte(high);
        let (r, g, b) = (number / 2048, number / 32 % 64, number % 32);
        [r * 8 + r / 4, g * 4 + g / 16, b * 8 + b / 4]
    };
    let pair = x / 2 * 4;
    let rgb = match format {
        Grey8 => return byte(x),
        Rgb888 => [byte(3 * x), byte(3 * x + 1), byte(3 * x + 2)],
        Rgb565Le => replicated(2 * x, 2 * x + 1),
        Rgb565Be => replicated(2 * x + 1, 2 * x),
        Yuyv => return yuv(2 * x, pair + 1, pair + 3)[channel],
        Uyvy => return yuv(2 * x + 1, pair, pair + 2)[channel],
    };
    if channels == 1 {
        (77 * rgb[0] + 150 * rgb[1] + 29 * rgb[2] + 128) / 256
    } else {
        rgb[channel]
    }
}

/// Returns the image, as a sum over all pixels of the view for each pixel of the input.
fn specified(frame: Frame, fit: Fit, input: Input, pixels: &[u8]) -> Vec<u8> {
    let [[w, h], [left, top]] = view(fit, frame, input);
    let (width, height) = (input.width as i128, input.height as i128);
    let lines: Vec<&[u8]> = pixels.chunks(frame.line_bytes()).collect();
    let overlap = |a: i128, b: i128, c: i128, d: i128| (b.min(d) - a.max(c)).max(0);
    let mut image = Vec::new();
    for row in 0..height {
        for column in 0..width {
            for channel in 0..input.channels {
                let mut sum = 0;
                for (y, line) in lines.iter().enumerate() {
                    let down = (y as i128 + top) * height;
                    let covered = overlap(row * h, (row + 1) * h, down, down + height);
                    for x in (0..frame.width).filter(|_| covered > 0) {
                        let across = (x as i128 + left) * width;
                        let covered = covered * overlap(column * w, (column + 1) * w, across, across + width);
                        if covered > 0 {
                            sum += covered * level(frame.format, input.channels, line, x, channel);
                        }
                    }
                }
                image.push(((sum + w * h / 2) / (w * h)).try_into().expect("a level"));
            }
        }
    }
    image
}

// ---- The library ----

fn resized(frame: Frame, fit: Fit, input: Input, pixels: &[u8]) -> Result<Vec<u8>, FrameError> {
    // What is in the memory before does not matter.
    let (mut sums, mut image) = (vec![0xABCD_EF01; input.sums()], vec![0xAB; input.bytes()]);
    let mut resizer = Resizer::new(frame, fit, input, &mut sums, &mut image)?;
    for line in pixels.chunks(frame.line_bytes()) {
        resizer.row(line)?;
    }
    resizer.finish()?;
    Ok(image)
}

/// Returns as many bytes as a frame has.
fn random_pixels(frame: Frame, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let byte = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        // Both ends of the range are as likely as everything between them.
        match state >> 62 {
            0 => (state >> 8) as u8 & 1,
            1 => (state >> 8) as u8 | 0xFE,
            _ => (state >> 8) as u8,
        }
    };
    (0..frame.line_bytes() * frame.height).map(byte).collect()
}

/// Does the same as [`resized`], for the input of a network.
fn resized_for<N: Network>(frame: Frame, fit: Fit, pixels: &[u8]) -> Result<Image<N>, FrameError> {
    let (mut sums, mut image) = (Sums::<N>::ZERO, Image::<N>::ZERO);
    bytemuck::bytes_of_mut(&mut sums).fill(0xAB);
    bytemuck::bytes_of_mut(&mut image).fill(0xAB);
    let mut resizer = Resizer::for_network::<N>(frame, fit, &mut sums, &mut image)?;
    for line in pixels.chunks(frame.line_bytes()) {
        resizer.row(line)?;
    }
    resizer.finish()?;
    Ok(image)
}

vit_nostd::network! {
    Colour { image: [6, 20, 3], patch: [3, 5], embed: 4, heads: 1, hidden: 4, depth: 1, classes: 2 }
    Grey { image: [9, 4], patch: [3, 2], embed: 4, heads: 1, hidden: 4, depth: 1, classes: 2 }
    TooHigh { image: [4097, 1], patch: [17, 1], embed: 4, heads: 1, hidden: 4, depth: 1, classes: 2 }
    TooWide { image: [1, 4097], patch: [1, 17], embed: 4, heads: 1, hidden: 4, depth: 1, classes: 2 }
    Largest { image: [1, 4096, 3], patch: [1, 64], embed: 4, heads: 1, hidden: 4, depth: 1, classes: 2 }
}

fn assert_specified(frame: Frame, fit: Fit, input: Input, seed: u64) {
    let pixels = random_pixels(frame, seed);
    let [[width, height], _] = view(fit, frame, input);
    let found = resized(frame, fit, input, &pixels);
    if width > MAX_SIDE as i128 || height > MAX_SIDE as i128 {
        let [width, height] = [width, height].map(|side| side as usize);
        assert_eq!(found, Err(FrameError::TooLarge { width, height }), "{frame:?} {fit:?} {input:?}");
    } else {
        assert!(found == Ok(specified(frame, fit, input, &pixels)), "{frame:?} {fit:?} {input:?} {seed}");
    }
}

fn frames(sides: std::ops::Range<usize>) -> impl Strategy<Value = Frame> {
    (sides.clone(), sides, prop::sample::select(&FORMATS[..])).prop_map(|(width, height, format)| {
        let is_even = matches!(format, Yuyv | Uyvy);
        Frame { width: if is_even { width.next_multiple_of(2) } else { width }, height, format }
    })
}

fn inputs(sides: std::ops::Range<usize>) -> impl Strategy<Value = Input> {
    (sides.clone(), sides, prop::sample::select(&[1, 3][..])).prop_map(|(height, width, channels)| Input {
        height,
        width,
        channels,
    })
}

fn fits() -> impl Strategy<Value = Fit> {
    prop::sample::select(&FITS[..])
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4000) })]

    #[test]
    fn any_frame_is_resized_as_specified(
        frame in frames(1..24), fit in fits(), input in inputs(1..12), seed: u64,
    ) {
        assert_specified(frame, fit, input, seed);
    }

    #[test]
    fn the_input_of_a_network_is_resized_alike(frame in frames(1..40), fit in fits(), seed: u64) {
        fn bytes<N: Network>(image: Image<N>) -> Vec<u8> {
            bytemuck::bytes_of(&image).to_vec()
        }
        let pixels = random_pixels(frame, seed);
        let colour = Input { height: 6, width: 20, channels: 3 };
        prop_assert_eq!(
            resized_for::<Colour>(frame, fit, &pixels).map(bytes::<Colour>),
            resized(frame, fit, colour, &pixels)
        );
        let grey = Input { height: 9, width: 4, channels: 1 };
        prop_assert_eq!(
            resized_for::<Grey>(frame, fit, &pixels).map(bytes::<Grey>),
            resized(frame, fit, grey, &pixels)
        );
    }

    #[test]
    fn a_flat_picture_stays_flat(frame in frames(1..40), fit in prop::sample::select(&[Fit::Stretch, Fit::Crop][..]), input in inputs(1..20), pair: [u8; 4]) {
        // One pixel, or two that share their colour and have the same luma.
        let [a, b, c, _] = pair;
        let pixels: Vec<u8> = match frame.format {
            Yuyv => [a, b, a, c].repeat(frame.width * frame.height / 2),
            Uyvy => [a, b, c, b].repeat(frame.width * frame.height / 2),
            format => pair[..format.bytes()].repeat(frame.width * frame.height),
        };
        let image = resized(frame, fit, input, &pixels).unwrap();
        for (index, &found) in image.iter().enumerate() {
            let expected = level(frame.format, input.channels, &pixels, 0, index % input.channels);
            prop_assert_eq!(i128::from(found), expected);
        }
    }

    /// Rounding moves each level by at most a half, and so their mean.
    #[test]
    fn the_mean_is_kept(frame in frames(1..40), input in inputs(1..20), seed: u64) {
        let pixels = random_pixels(frame, seed);
        let image = resized(frame, Fit::Stretch, input, &pixels).unwrap();
        for channel in 0..input.channels {
            let after: f64 = image.iter().skip(channel).step_by(input.channels).map(|&level| f64::from(level)).sum();
            let levels = pixels.chunks(frame.line_bytes()).flat_map(|line| {
                (0..frame.width).map(move |x| level(frame.format, input.channels, line, x, channel) as f64)
            });
            let before = levels.sum::<f64>() / (frame.width * frame.height) as f64;
            let after = after / (input.width * input.height) as f64;
            prop_assert!((before - after).abs() <= 0.5 + 1e-9, "{} becomes {}", before, after);
        }
    }

    /// This needs an even number of pixels that are cut off or added: the odd one is at the right and at the bottom.
    #[test]
    fn a_mirrored_picture_is_resized_to_the_mirrored_image(
        frame in frames(1..40), fit in fits(), input in inputs(1..20), seed: u64,
    ) {
        let [[width, height], _] = view(fit, frame, input);
        let [odd_width, odd_height] =
            [frame.width as i128 - width, frame.height as i128 - height].map(|cut| cut % 2 != 0);
        let bytes = frame.format.bytes();
        let pixels = random_pixels(frame, seed);
        let image = resized(frame, fit, input, &pixels).unwrap();
        let flipped = |pixels: &[u8], line: usize| pixels.chunks(line).rev().collect::<Vec<_>>().concat();
        if !odd_height {
            let upside_down = resized(frame, fit, input, &flipped(&pixels, frame.line_bytes())).unwrap();
            prop_assert_eq!(upside_down, flipped(&image, input.sums()));
        }
        if !odd_width && !matches!(frame.format, Yuyv | Uyvy) {
            let mirrored = |pixels: &[u8], line: usize, pixel: usize| -> Vec<u8> {
                pixels.chunks(line).flat_map(|line| flipped(line, pixel)).collect()
            };
            let found = resized(frame, fit, input, &mirrored(&pixels, frame.line_bytes(), bytes)).unwrap();
            prop_assert_eq!(found, mirrored(&image, input.sums(), input.channels));
        }
    }
}

/// Sizes that cameras and networks have, and the smallest ones.
#[test]
fn frames_of_usual_and_of_the_smallest_sizes_are_resized_as_specified() {
    let mut seed = 0;
    for (width, height) in [(1, 1), (2, 2), (1, 97), (98, 1), (2, 96), (96, 96), (160, 120), (120, 161)] {
        for (input_height, input_width) in [(1, 1), (1, 13), (13, 1), (28, 28), (24, 32)] {
            for (format, fit, channels) in FORMATS.into_iter().flat_map(|format| {
                FITS.into_iter().flat_map(move |fit| [1, 3].map(move |channels| (format, fit, channels)))
            }) {
                if width % 2 == 0 || !matches!(format, Yuyv | Uyvy) {
                    seed += 1;
                    let input = Input { height: input_height, width: input_width, channels };
                    assert_specified(Frame { width, height, format }, fit, input, seed);
                }
            }
        }
    }
}

/// The largest frames, with the largest levels: no sum may overflow.
#[test]
fn the_largest_frames_are_resized_as_specified() {
    let white = |frame: Frame| vec![255; frame.line_bytes() * frame.height];
    let side = |height, width| Input { height, width, channels: 1 };
    let largest = Frame { width: MAX_SIDE, height: MAX_SIDE, format: Grey8 };
    for input in [side(1, 1), side(3, 5), side(32, 32), side(1, MAX_SIDE), side(MAX_SIDE, 1)] {
        assert_eq!(resized(largest, Fit::Stretch, input, &white(largest)), Ok(vec![255; input.bytes()]));
    }
    let line = Frame { width: MAX_SIDE, height: 1, format: Rgb565Be };
    let padded = Input { height: 16, width: 16, channels: 3 };
    let mut expected = vec![0; padded.bytes()];
    // The line is the pixel 2047 of 4096: the last of the 256 that the eighth row of the input covers.
    expected[7 * padded.sums()..8 * padded.sums()].fill(1); // 255 / 256
    assert_eq!(resized(line, Fit::Pad, padded, &white(line)), Ok(expected));
    for (frame, input) in [
        (Frame { width: MAX_SIDE, height: 2, format: Yuyv }, Input { height: 1, width: 9, channels: 3 }),
        (Frame { width: MAX_SIDE, height: 3, format: Grey8 }, Input { height: 7, width: 11, channels: 1 }),
        (Frame { width: 1, height: MAX_SIDE, format: Rgb888 }, Input { height: 5, width: 3, channels: 3 }),
        (Frame { width: 3, height: 2, format: Rgb565Le }, Input { height: 1, width: MAX_SIDE, channels: 3 }),
    ] {
        for fit in FITS {
            assert_specified(frame, fit, input, 1);
        }
    }
}

/// A frame is black where there is padding, which counts, and no pixel outside the crop counts.
#[test]
fn the_odd_pixel_is_at_the_right_and_at_the_bottom() {
    let one = |height, width| Input { height, width, channels: 1 };
    let wide = Frame { width: 5, height: 2, format: Grey8 };
    let image = |fit, frame, input, pixels: &[u8]| resized(frame, fit, input, pixels).unwrap();
    // The view is two pixels wide: the second and the third.
    assert_eq!(image(Fit::Crop, wide, one(2, 2), &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]), [2, 3, 7, 8]);
    let high = Frame { width: 2, height: 5, ..wide };
    assert_eq!(image(Fit::Crop, high, one(2, 2), &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]), [3, 4, 5, 6]);
    // The view is five pixels high, of which the second and the third are lines of the frame.
    let padded = image(Fit::Pad, wide, one(5, 5), &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    assert_eq!(
        padded.chunks(5).collect::<Vec<_>>(),
        [[0; 5], [1, 2, 3, 4, 5], [6, 7, 8, 9, 10], [0; 5], [0; 5]]
    );
    let padded = image(Fit::Pad, high, one(5, 5), &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    assert_eq!(
        padded.chunks(5).collect::<Vec<_>>(),
        [[0, 1, 2, 0, 0], [0, 3, 4, 0, 0], [0, 5, 6, 0, 0], [0, 7, 8, 0, 0], [0, 9, 10, 0, 0]]
    );
}

#[test]
fn errors() {
    let frame = Frame { width: 4, height: 2, format: Rgb888 };
    let input = Input { height: 2, width: 3, channels: 3 };
    let error = |frame, input: Input| {
        let (mut sums, mut image) = (vec![0; input.sums()], vec![0; input.bytes()]);
        Resizer::new(frame, Fit::Pad, input, &mut sums, &mut image).unwrap_err()
    };
    let check = |error: FrameError, expected, message: &str| {
        assert_eq!(error, expected);
        assert_eq!(error.to_string(), message);
    };
    for (frame, input) in [
        (Frame { width: 0, ..frame }, input),
        (Frame { height: 0, ..frame }, input),
        (frame, Input { width: 0, ..input }),
        (frame, Input { height: 0, ..input }),
    ] {
        check(
            error(frame, input),
            FrameError::NoPixels,
            "the frame or the input has a width or a height of zero",
        );
    }
    for (frame, input, [width, height]) in [
        (Frame { width: 4097, ..frame }, input, [4097, 2]),
        (Frame { height: 4097, ..frame }, input, [4, 4097]),
        (frame, Input { width: 4097, ..input }, [4097, 2]),
        (frame, Input { height: 4097, ..input }, [3, 4097]),
        // The frame is small enough, but not with its padding.
        (Frame { width: 3000, ..frame }, Input { width: 2, height: 3, ..input }, [3000, 4500]),
        (Frame { height: 3000, ..frame }, Input { width: 3, height: 2, ..input }, [4500, 3000]),
    ] {
        let message = format!(
            "{width} x {height} pixels are too large: a frame with its padding, and an input, have at most \
             4096 x 4096 pixels"
        );
        check(error(frame, input), FrameError::TooLarge { width, height }, &message);
    }
    for channels in [0, 2, 4] {
        let message = format!("an input has 1 channel (grey) or 3 (red, green, blue), not {channels}");
        check(error(frame, Input { channels, ..input }), FrameError::Channels { found: channels }, &message);
    }
    for format in [Yuyv, Uyvy] {
        check(
            error(Frame { width: 5, format, ..frame }, input),
            FrameError::OddWidth { found: 5 },
            "a line of 5 pixels cannot be in YUV 4:2:2, which needs an even number of pixels",
        );
    }

    for (sums, bytes) in [(8, 18), (10, 18), (9, 17), (9, 19)] {
        let (mut sums, mut image) = (vec![0; sums], vec![0; bytes]);
        let lengths = (sums.len(), image.len());
        let error = Resizer::new(frame, Fit::Pad, input, &mut sums, &mut image).unwrap_err();
        match lengths {
            (9, actual) => check(
                error,
                FrameError::ImageLength { expected: 18, actual },
                &format!("the image has {actual} bytes, but the input has 18"),
            ),
            (actual, _) => check(
                error,
                FrameError::SumsLength { expected: 9, actual },
                &format!("the memory for sums has room for {actual}, but 9 are needed"),
            ),
        }
    }
}

#[test]
fn the_input_of_a_network_has_its_sizes() {
    let input = Input { height: 6, width: 20, channels: 3 };
    assert_eq!(Input::of::<Colour>(), input);
    assert_eq!(Input::of::<Grey>(), Input { height: 9, width: 4, channels: 1 });
    assert_eq!(Input::of::<Nano>(), Input { height: 28, width: 28, channels: 1 });
    assert_eq!((size_of::<Sums<Colour>>(), size_of::<Image<Colour>>()), (4 * input.sums(), input.bytes()));

    // The indices of an image are those of the row, the column and the channel.
    let frame = Frame { width: 20, height: 6, format: Rgb888 };
    let pixels = random_pixels(frame, 1);
    let image = resized_for::<Colour>(frame, Fit::Crop, &pixels).unwrap();
    for (row, pixels) in pixels.chunks(60).enumerate() {
        for (column, pixel) in pixels.chunks(3).enumerate() {
            assert_eq!(image[row][column], pixel, "row {row}, column {column}");
        }
    }
}

#[test]
fn errors_for_the_input_of_a_network() {
    let frame = Frame { width: 4, height: 2, format: Rgb888 };
    fn error<N: Network>(frame: Frame, fit: Fit) -> Option<FrameError> {
        let (mut sums, mut image) = (Sums::<N>::ZERO, Image::<N>::ZERO);
        Resizer::for_network::<N>(frame, fit, &mut sums, &mut image).err()
    }
    for fit in FITS {
        assert_eq!(error::<Colour>(frame, fit), None);
        assert_eq!(error::<Largest>(frame, Fit::Stretch), None);
        assert_eq!(error::<Colour>(Frame { width: 0, ..frame }, fit), Some(FrameError::NoPixels));
        assert_eq!(error::<Colour>(Frame { height: 0, ..frame }, fit), Some(FrameError::NoPixels));
        let too_large = |width, height| Some(FrameError::TooLarge { width, height });
        assert_eq!(error::<Colour>(Frame { width: 4097, ..frame }, fit), too_large(4097, 2));
        assert_eq!(error::<TooHigh>(frame, fit), too_large(1, 4097));
        assert_eq!(error::<TooWide>(frame, fit), too_large(4097, 1));
        let odd = Frame { width: 5, format: Yuyv, ..frame };
        assert_eq!(error::<Colour>(odd, fit), Some(FrameError::OddWidth { found: 5 }));
    }
    // 20 / 6 times the height is wider than possible.
    let high = Frame { height: 1300, ..frame };
    assert_eq!(error::<Colour>(high, Fit::Crop), None);
    assert_eq!(error::<Colour>(high, Fit::Pad), Some(FrameError::TooLarge { width: 4333, height: 1300 }));
}

#[test]
fn lines_are_counted() {
    let frame = Frame { width: 2, height: 3, format: Grey8 };
    let input = Input { height: 1, width: 1, channels: 1 };
    let (mut sums, mut image) = ([0], [0]);
    let mut resizer = Resizer::new(frame, Fit::Stretch, input, &mut sums, &mut image).unwrap();
    resizer.row(&[6, 6]).unwrap();
    for line in [&[1][..], &[1, 2, 3], &[]] {
        let error = resizer.row(line).unwrap_err();
        assert_eq!(error, FrameError::LineLength { expected: 2, actual: line.len() });
        let message = format!("the line has {} bytes, but a line of the frame has 2", line.len());
        assert_eq!(error.to_string(), message);
    }
    // The same line twice is two lines.
    resizer.row(&[6, 6]).unwrap();
    resizer.row(&[0, 0]).unwrap();
    let error = resizer.row(&[255, 255]).unwrap_err();
    assert_eq!(error, FrameError::TooManyLines { expected: 3 });
    assert_eq!(error.to_string(), "the frame has 3 lines, and all of them were already given");
    // The lines that were refused did not count.
    resizer.finish().unwrap();
    assert_eq!(image, [4]);

    for lines in 0..3 {
        let mut resizer = Resizer::new(frame, Fit::Crop, input, &mut sums, &mut image).unwrap();
        (0..lines).for_each(|_| resizer.row(&[1, 2]).unwrap());
        let error = resizer.finish().unwrap_err();
        assert_eq!(error, FrameError::MissingLines { expected: 3, actual: lines });
        assert_eq!(error.to_string(), format!("the frame has 3 lines, but only {lines} were given"));
    }
}

/// The limited range of YUV becomes the full one, and without colour it is grey.
#[test]
fn yuv_without_colour_is_grey() {
    let frame = Frame { width: 2, height: 1, format: Yuyv };
    let input = |channels| Input { height: 1, width: 2, channels };
    for luma in 0..=255 {
        let pixels = [luma, 128, 255 - luma, 128];
        let grey = resized(frame, Fit::Stretch, input(1), &pixels).unwrap();
        let rgb = resized(frame, Fit::Stretch, input(3), &pixels).unwrap();
        assert_eq!(rgb, [[grey[0]; 3], [grey[1]; 3]].concat());
    }
    let ends = |luma| resized(frame, Fit::Stretch, input(1), &[luma, 128, luma, 128]).unwrap()[0];
    assert_eq!([0, 16, 17, 126, 234, 235, 255].map(ends), [0, 0, 1, 128, 254, 255, 255]);
}

/// The numbers are those of the byte `fit` in a model file.
#[test]
fn fits_have_the_numbers_of_the_file_format() {
    assert_eq!(FITS.map(|fit| fit as u8), [0, 1, 2]);
    assert_eq!(Fit::default(), Fit::Crop);
    let format = include_str!("../FORMAT.md");
    assert!(format.contains("how a picture is fitted to the input: 0 stretched, 1 cropped, 2 padded"));
}
