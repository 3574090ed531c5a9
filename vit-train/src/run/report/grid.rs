//! Draws `predictions.png` and `mistakes.png`: test images with their predicted classes.

use super::{
    colors::{Paint, CORRECT, FAINT, PAPER, TEXT, WRONG},
    confusion::shorten,
    Report,
};
use crate::{
    data::Splits,
    random::{stream, Purpose},
};
use image::{codecs::png::PngEncoder, ExtendedColorType, ImageEncoder, Rgb, RgbImage};
use noto_sans_mono_bitmap::{get_raster, get_raster_width, FontWeight, RasterHeight};
use rand::seq::SliceRandom;
use std::io;
use vit_nostd::top_k;

/// The number of images in a row, and of rows.
const GRID: u32 = 4;
/// The approximate length, in pixels, of the longer side of a drawn image.
const SIDE: u32 = 168;
/// The width of the coloured frame around an image.
const FRAME: u32 = 4;
/// The least width of a column, so that there is room for names above narrow images.
const COLUMN: u32 = SIDE + 2 * FRAME;
/// The space between columns, and around the grid.
const GAP: u32 = 28;
/// The height of the text above an image.
const CAPTION: u32 = 36;
/// The height of the text above the grid.
const HEADER: u32 = 84;

/// Draws 16 test images, chosen at random by the seed of the run, as a PNG file.
pub(super) fn predictions(report: &Report, data: &Splits, logits: &[f32]) -> io::Result<Vec<u8>> {
    let mut images: Vec<usize> = (0..data.test.len()).collect();
    images.shuffle(&mut stream(Purpose::Show, [report.seed, 0, 0]));
    images.truncate((GRID * GRID) as usize);
    let tiles: Vec<Tile> = images.into_iter().map(|index| Tile::new(data, logits, index)).collect();
    let title = format!("{} of {} test images, at random", tiles.len(), data.test.len());
    draw(report, data, &title, &tiles)
}

/// Draws, as a PNG file, the 16 wrongly classified test images in which the logit of the true class is furthest below
/// the highest one, worst first.
pub(super) fn mistakes(report: &Report, data: &Splits, logits: &[f32]) -> io::Result<Vec<u8>> {
    let tiles = (0..data.test.len()).map(|index| Tile::new(data, logits, index));
    let mut tiles: Vec<Tile> = tiles.filter(|tile| !tile.is_correct()).collect();
    let all = tiles.len();
    tiles.sort_by(|a, b| b.margin.total_cmp(&a.margin).then(a.index.cmp(&b.index)));
    tiles.truncate((GRID * GRID) as usize);
    let title = match all {
        0 => format!("no mistakes in {} test images", data.test.len()),
        1 => format!("the only mistake in {} test images", data.test.len()),
        _ => format!("the {} worst of {all} mistakes in {} test images", tiles.len(), data.test.len()),
    };
    draw(report, data, &title, &tiles)
}

/// A test image with its predicted class.
struct Tile {
    index: usize,
    class: usize,
    predicted: usize,
    /// The probability of the predicted class, from 0 to 1.
    probability: f32,
    /// The difference between the highest logit and that of the true class.
    margin: f32,
}

impl Tile {
    fn new(data: &Splits, logits: &[f32], index: usize) -> Self {
        let classes = data.class_names.len();
        let logits = &logits[index * classes..][..classes];
        let [best] = top_k(logits);
        let class = usize::from(data.test.label(index));
        let (predicted, probability) = (best.class, best.probability);
        Self { index, class, predicted, probability, margin: logits[predicted] - logits[class] }
    }

    fn is_correct(&self) -> bool {
        self.class == self.predicted
    }

    /// Returns "predicted/true".
    fn title(&self, names: &[String]) -> String {
        format!("{}/{}", names[self.predicted], names[self.class])
    }

    fn percent(&self) -> String {
        format!("{:.1} %", 100.0 * self.probability)
    }
}

fn draw(report: &Report, data: &Splits, title: &str, tiles: &[Tile]) -> io::Result<Vec<u8>> {
    let format = data.test.format();
    let (columns, scale) = (format.width as u32, (SIDE / format.height.max(format.width) as u32).max(1));
    let (width, height) = (scale * columns + 2 * FRAME, scale * format.height as u32 + 2 * FRAME + CAPTION);
    let (rows, column) = ((tiles.len() as u32).div_ceil(GRID), width.max(COLUMN));
    let captions = Captions::new(tiles, &data.class_names, column);
    let mut picture = RgbImage::from_pixel(
        GAP + GRID * (column + GAP),
        HEADER + rows * (height + GAP / 2) + GAP / 2,
        Rgb(PAPER),
    );
    let center = picture.width() as i64 / 2;
    let heading =
        shorten(&format!("{} on {}", report.preset, report.dataset), (picture.width() / 14) as usize);
    text(&mut picture, &heading, center - text_width(&heading, LARGE) / 2, 12, LARGE, TEXT);
    let explanation = match captions {
        Captions::OneLine => format!("{title}; above each: predicted/true"),
        Captions::TwoLines => {
            format!("{title}; above each: the predicted class, and the true one if it is another")
        }
    };
    text(&mut picture, &explanation, center - text_width(&explanation, SMALL) / 2, 46, SMALL, FAINT);

    for (place, tile) in (0..).zip(tiles) {
        let x = GAP + place % GRID * (column + GAP);
        let y = HEADER + place / GRID * (height + GAP / 2);
        let color = if tile.is_correct() { CORRECT } else { WRONG };
        captions.draw(&mut picture, (x, y), column, tile, &data.class_names, color);
        fill(&mut picture, (x, y + CAPTION), (width, height - CAPTION), color);
        let pixels = data.test.image(tile.index).chunks_exact(format.channels);
        for (at, pixel) in (0..).zip(pixels) {
            let (x, y) = (x + FRAME + at % columns * scale, y + CAPTION + FRAME + at / columns * scale);
            let color = <[u8; 3]>::try_from(pixel).unwrap_or([pixel[0]; 3]);
            fill(&mut picture, (x, y), (scale, scale), color);
        }
    }

    let mut png = Vec::new();
    PngEncoder::new(&mut png)
        .write_image(&picture, picture.width(), picture.height(), ExtendedColorType::Rgb8)
        .map_err(io::Error::other)?;
    Ok(png)
}

/// The layout of the text above all images of a grid.
#[derive(Clone, Copy)]
enum Captions {
    /// "predicted/true" in large letters, and the probability.
    OneLine,
    /// The predicted class in small letters and, below it, the true class if it is another one, and the probability if
    /// there is room for it.
    TwoLines,
}

/// The room for the tick or the cross of a caption.
const MARK: u32 = 24;

impl Captions {
    /// Returns two lines if one is too short for a name of these tiles.
    fn new(tiles: &[Tile], names: &[String], width: u32) -> Self {
        let fits = |tile: &Tile| {
            let [title, probability] = [tile.title(names), tile.percent()];
            text_width(&title, LARGE) + 8 + text_width(&probability, SMALL) <= i64::from(width - MARK)
        };
        if tiles.iter().all(fits) {
            Self::OneLine
        } else {
            Self::TwoLines
        }
    }

    /// Draws the text above an image, whose upper left corner is at (`x`, `y`), with a tick or a cross before it.
    fn draw(
        self,
        picture: &mut RgbImage,
        (x, y): (u32, u32),
        width: u32,
        tile: &Tile,
        names: &[String],
        color: Paint,
    ) {
        let (left, top) = (f64::from(x), f64::from(y));
        let lines: &[[(f64, f64); 2]] = if tile.is_correct() {
            &[[(2.0, 17.0), (7.0, 23.0)], [(7.0, 23.0), (17.0, 9.0)]]
        } else {
            &[[(3.0, 9.0), (17.0, 23.0)], [(17.0, 9.0), (3.0, 23.0)]]
        };
        for line in lines {
            stroke(picture, line.map(|(x, y)| (left + x, top + y)), 1.6, color);
        }

        let probability = tile.percent();
        let (start, right) = (i64::from(x + MARK), i64::from(x + width) - text_width(&probability, SMALL));
        match self {
            Self::OneLine => {
                text(picture, &tile.title(names), start, y + 2, LARGE, color);
                text(picture, &probability, right, y + 8, SMALL, FAINT);
            }
            Self::TwoLines => {
                let letters = (i64::from(width - MARK) / text_width("x", SMALL)) as usize;
                text(picture, &shorten(&names[tile.predicted], letters), start, y, SMALL, color);
                let class = if tile.is_correct() { "" } else { &names[tile.class] };
                let class = shorten(class, letters);
                text(picture, &class, start, y + 17, SMALL, TEXT);
                if start + text_width(&class, SMALL) + 8 <= right {
                    text(picture, &probability, right, y + 17, SMALL, FAINT);
                }
            }
        }
    }
}

type Font = (FontWeight, RasterHeight);
const LARGE: Font = (FontWeight::Bold, RasterHeight::Size24);
const SMALL: Font = (FontWeight::Regular, RasterHeight::Size16);

fn text_width(text: &str, (weight, height): Font) -> i64 {
    (text.chars().count() * get_raster_width(weight, height)) as i64
}

/// Writes one line whose upper left corner is at (`x`, `y`). Characters that the font does not have become `?`.
fn text(picture: &mut RgbImage, text: &str, x: i64, y: u32, (weight, height): Font, color: Paint) {
    let rasters =
        text.chars().filter_map(|c| get_raster(c, weight, height).or(get_raster('?', weight, height)));
    for (index, raster) in rasters.enumerate() {
        let left = x + (index * raster.width()) as i64;
        for (row, pixels) in (i64::from(y)..).zip(raster.rows()) {
            for (column, &ink) in (left..).zip(pixels) {
                blend(picture, column, row, color, f64::from(ink) / 255.0);
            }
        }
    }
}

/// Draws a line with round ends and a width of `2 * half` pixels.
fn stroke(picture: &mut RgbImage, [(x0, y0), (x1, y1)]: [(f64, f64); 2], half: f64, color: Paint) {
    let range = |a: f64, b: f64| (a.min(b) - 3.0) as i64..=(a.max(b) + 3.0) as i64;
    let square = (x1 - x0) * (x1 - x0) + (y1 - y0) * (y1 - y0);
    for y in range(y0, y1) {
        for x in range(x0, x1) {
            let (dx, dy) = (x as f64 + 0.5 - x0, y as f64 + 0.5 - y0);
            let along = ((dx * (x1 - x0) + dy * (y1 - y0)) / square).clamp(0.0, 1.0);
            let (dx, dy) = (dx - along * (x1 - x0), dy - along * (y1 - y0));
            blend(picture, x, y, color, half + 0.5 - (dx * dx + dy * dy).sqrt());
        }
    }
}

fn fill(picture: &mut RgbImage, (x, y): (u32, u32), (width, height): (u32, u32), color: Paint) {
    for row in y..y + height {
        for column in x..x + width {
            picture.put_pixel(column, row, Rgb(color));
        }
    }
}

/// Mixes a `share` of a colour into a pixel. Does nothing outside of the picture.
fn blend(picture: &mut RgbImage, x: i64, y: i64, color: Paint, share: f64) {
    let share = share.clamp(0.0, 1.0);
    let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y)) else { return };
    if let Some(Rgb(pixel)) = picture.get_pixel_mut_checked(x, y) {
        for (below, above) in pixel.iter_mut().zip(color) {
            *below = (f64::from(*below) + (f64::from(above) - f64::from(*below)) * share).round() as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests, *};

    fn decode(png: &[u8]) -> RgbImage {
        image::load_from_memory(png).unwrap().into_rgb8()
    }

    /// Counts the frames of this colour in the first row, by their vertical edges.
    fn frames(picture: &RgbImage, color: Paint) -> usize {
        let row = HEADER + CAPTION + FRAME + 10;
        let pixels: Vec<bool> = (0..picture.width()).map(|x| picture.get_pixel(x, row).0 == color).collect();
        pixels.windows(2).filter(|pair| !pair[0] && pair[1]).count() / 2
    }

    #[test]
    fn frames_tell_correct_from_wrong() {
        let (data, [logits, _]) = tests::two_classes();
        let report = tests::report(1);
        let picture = decode(&predictions(&report, &data, &logits).unwrap());
        assert_eq!((frames(&picture, CORRECT), frames(&picture, WRONG)), (3, 1));
        let picture = decode(&mistakes(&report, &data, &logits).unwrap());
        assert_eq!((frames(&picture, CORRECT), frames(&picture, WRONG)), (0, 1));
        // The pixels of the only wrong image.
        let at = |x, y| picture.get_pixel(GAP + FRAME + x, HEADER + CAPTION + FRAME + y).0;
        let half = SIDE / 2;
        assert_eq!(
            [at(1, 1), at(half + 1, 1), at(1, half + 1), at(half + 1, half + 1)],
            [[12; 3], [13; 3], [14; 3], [15; 3]]
        );
    }

    #[test]
    fn long_names_stay_above_their_image() {
        let (mut data, [logits, _]) = tests::two_classes();
        data.class_names = vec!["w".repeat(60), "m".repeat(60)];
        let picture = decode(&predictions(&tests::report(1), &data, &logits).unwrap());
        let rows = HEADER..HEADER + CAPTION;
        for place in 0..4 {
            let left = GAP + place * (COLUMN + GAP);
            let mut behind = left + COLUMN..left + COLUMN + GAP;
            assert!(behind.all(|x| rows.clone().all(|y| picture.get_pixel(x, y).0 == PAPER)), "{place}");
        }
        // The wrong tile has the true class in the second line.
        let has_text = |place: u32| {
            let left = GAP + place * (COLUMN + GAP) + MARK;
            (left..left + 100)
                .any(|x| (HEADER + 17..HEADER + CAPTION).any(|y| picture.get_pixel(x, y).0 == TEXT))
        };
        assert_eq!((0..4).filter(|&place| has_text(place)).count(), 1);
    }

    #[test]
    fn no_mistake_is_a_picture_too() {
        let (data, _) = tests::two_classes();
        let right = [1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0];
        let picture = decode(&mistakes(&tests::report(1), &data, &right).unwrap());
        assert!(picture.height() >= HEADER && picture.pixels().any(|pixel| pixel.0 == FAINT));
    }

    #[test]
    fn worst_come_first() {
        let (data, _) = tests::two_classes();
        let logits = [0.0, 1.0, 0.0, 9.0, 5.0, 0.0, 0.0, 1.0];
        let mut tiles: Vec<Tile> = (0..4).map(|index| Tile::new(&data, &logits, index)).collect();
        tiles.retain(|tile| !tile.is_correct());
        assert_eq!(tiles.iter().map(|tile| tile.margin).collect::<Vec<_>>(), [1.0, 9.0, 5.0]);
        let picture = decode(&mistakes(&tests::report(1), &data, &logits).unwrap());
        let first = |place: u32| {
            let x = GAP + FRAME + place * (SIDE + 2 * FRAME + GAP);
            picture.get_pixel(x, HEADER + CAPTION + FRAME).0[0]
        };
        assert_eq!([first(0), first(1), first(2)], [4, 8, 0]);
    }
}
