//! Draws `confusion.svg`: which classes the test images of each class were taken for.

use super::{
    colors::{mix, Paint, FAINT, FIRST, LINES, PAPER, SECOND, TEXT},
    curves::{rgb, write},
    Report,
};
use plotters::{prelude::*, style::text_anchor::HPos};
use std::io;

/// The sizes of what is drawn, in pixels.
struct Sizes {
    /// The height and width of a cell.
    cell: i32,
    /// The size of names and accuracies.
    font: i32,
    /// The size of the numbers in the cells.
    number: i32,
}

impl Sizes {
    /// Returns the sizes for a number of classes. With many classes, a reader has to enlarge the picture to read the
    /// numbers.
    fn of(classes: usize) -> Self {
        match classes {
            ..=MAX_LARGE => Self { cell: 48, font: 15, number: 15 },
            _ if classes <= MAX_NAMED => Self { cell: 16, font: 12, number: 7 },
            _ => Self { cell: (16 * MAX_NAMED / classes).max(2) as i32, font: 12, number: 7 },
        }
    }
}

/// The most classes that are drawn large.
const MAX_LARGE: usize = 30;
/// The height of the title and the name of the horizontal axis in pixels.
const TOP: i32 = 78;
/// The width of the accuracies and the space before them in pixels.
const RIGHT: i32 = 96;
/// The most classes for which names, accuracies and numbers in the cells are drawn.
const MAX_NAMED: usize = 200;
/// The length in characters of the longest name of a class that is not shortened.
const MAX_NAME: usize = 24;

/// Draws the confusion matrix of the float engine. Returns None if the report has none.
pub(super) fn svg(report: &Report) -> io::Result<Option<String>> {
    let mut svg = String::new();
    let drawn = draw(report, &mut svg).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(drawn.then_some(svg))
}

fn draw(report: &Report, svg: &mut String) -> Result<bool, DrawingAreaErrorKind<io::Error>> {
    let classes = match &report.test {
        Some(test) if !test.classes.is_empty() => &test.classes,
        _ => return Ok(false),
    };
    let names: Vec<String> = classes.iter().map(|class| shorten(&class.label, MAX_NAME)).collect();
    let longest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0) as i32;
    let Sizes { cell, font, number } = Sizes::of(classes.len());
    let is_named = classes.len() <= MAX_NAMED;
    let matrix = cell * classes.len() as i32;
    // The names of the columns are written horizontally if they fit into the width of a cell, and vertically if not.
    let (letter, standing) = (font * 6 / 10, longest * font * 6 / 10 + 8 > cell);
    let left = 52 + longest * letter;
    let top = TOP + if standing { longest * letter + 6 } else { font + 8 };
    let width = (left + matrix + RIGHT).max(480);
    let size = (width as u32, (top + matrix + 44) as u32);

    let area = SVGBackend::with_string(svg, size).into_drawing_area();
    area.fill(&rgb(PAPER))?;
    let title = match &report.test {
        Some(test) => format!(
            "{} on {}: {:.2} % of {} test images correct",
            report.preset,
            report.dataset,
            test.f32.acc,
            test.images()
        ),
        None => String::new(),
    };
    write(&area, &title, (width / 2, 14), 18, TEXT, HPos::Center)?;
    write(&area, "predicted class", (left + matrix / 2, 48), 16, TEXT, HPos::Center)?;
    write(&area, "accuracy", (left + matrix + 14, top - font - 8), font, TEXT, HPos::Left)?;
    stand(&area, "true class", (14, top + matrix / 2), 16, HPos::Center)?;

    for (row, class) in classes.iter().enumerate() {
        let y = top + row as i32 * cell;
        let middle = y + (cell - font) / 2 + 1;
        if is_named {
            let x = left + row as i32 * cell + cell / 2;
            write(&area, &names[row], (left - 10, middle), font, TEXT, HPos::Right)?;
            if standing {
                stand(&area, &names[row], (x - font / 2, top - 8), font, HPos::Left)?;
            } else {
                write(&area, &names[row], (x, top - font - 8), font, TEXT, HPos::Center)?;
            }
            let accuracy = if class.images == 0 { "-".to_owned() } else { format!("{:.2} %", class.f32.acc) };
            write(&area, &accuracy, (left + matrix + 14, middle), font, TEXT, HPos::Left)?;
        }
        for (column, &images) in class.f32.predicted.iter().enumerate() {
            let x = left + column as i32 * cell;
            let share = images as f64 / class.images.max(1) as f64;
            let correct = row == column;
            area.draw(&Rectangle::new([(x, y), (x + cell, y + cell)], rgb(color(correct, share)).filled()))?;
            area.draw(&Rectangle::new([(x, y), (x + cell, y + cell)], rgb(LINES)))?;
            if images > 0 && is_named {
                let color = if correct && share > 0.4 { PAPER } else { TEXT };
                let at = (x + cell / 2, y + (cell - number) / 2 + 1);
                write(&area, &images.to_string(), at, number, color, HPos::Center)?;
            }
        }
    }
    area.draw(&Rectangle::new([(left, top), (left + matrix, top + matrix)], rgb(FAINT)))?;
    let note = "numbers of images; the float engine";
    write(&area, note, (left + matrix / 2, top + matrix + 16), font, FAINT, HPos::Center)?;
    area.present()?;
    Ok(true)
}

/// Returns the colour of a cell that has a `share` of the images of its row. Small shares of mistakes are emphasised,
/// because a good network makes few.
fn color(correct: bool, share: f64) -> Paint {
    match share {
        0.0 => PAPER,
        _ if correct => mix(FIRST, 0.15 + 0.85 * share),
        _ => mix(SECOND, 0.12 + 0.88 * (4.0 * share).min(1.0).sqrt()),
    }
}

/// Writes text that runs upwards, and whose lower end or middle is at a point.
fn stand(
    area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    text: &str,
    at: (i32, i32),
    size: i32,
    side: HPos,
) -> Result<(), DrawingAreaErrorKind<io::Error>> {
    use plotters::style::text_anchor::{Pos, VPos};
    let font = super::curves::font(size).transform(FontTransform::Rotate270);
    area.draw_text(text, &font.color(&rgb(TEXT)).pos(Pos::new(side, VPos::Top)), at)
}

/// Shortens a name to at most `len` characters. A dot at the end shows that it was longer.
pub(super) fn shorten(name: &str, len: usize) -> String {
    if name.chars().count() <= len {
        return name.to_owned();
    }
    name.chars().take(len.saturating_sub(1)).chain(['.']).collect()
}

#[cfg(test)]
mod tests {
    use super::{
        super::{tests, TestScores},
        *,
    };

    #[test]
    fn cells_hold_the_counts() {
        let (data, [f32_logits, int8_logits]) = tests::two_classes();
        let mut report = tests::report(2);
        assert_eq!(svg(&report).unwrap(), None);
        report.test = Some(TestScores::new(&data, &f32_logits, Ok(&int8_logits)));
        let svg = svg(&report).unwrap().unwrap();
        for text in
            ["\n2\n", "\n1\n", "50.00 %", "100.00 %", "75.00 % of 4 test images", "&lt;dog &amp; co&gt;"]
        {
            assert!(svg.contains(text), "no {text:?} in {svg}");
        }
    }

    #[test]
    fn rows_are_what_images_show_and_columns_what_they_are_taken_for() {
        let (data, [f32_logits, int8_logits]) = tests::two_classes();
        let mut report = tests::report(1);
        report.test = Some(TestScores::new(&data, &f32_logits, Ok(&int8_logits)));
        let svg = svg(&report).unwrap().unwrap();
        let texts: Vec<(i32, i32, &str)> = svg
            .split("<text ")
            .skip(1)
            .map(|element| {
                let attribute = |name: &str| {
                    let value = element.split(name).nth(1).and_then(|rest| rest.split('"').next());
                    value.and_then(|value| value.parse().ok()).unwrap()
                };
                (attribute("x=\""), attribute(" y=\""), element.lines().nth(1).unwrap())
            })
            .collect();
        let places = |text| {
            texts.iter().filter(|(.., other)| *other == text).map(|&(x, y, _)| (x, y)).collect::<Vec<_>>()
        };
        // Both cats are taken for cats, one dog for a cat and one for a dog.
        let ([(x, y)], [(other_x, below), (right, also_below)]) = (&places("2")[..], &places("1")[..]) else {
            panic!("{texts:?}")
        };
        assert!(other_x == x && below > y && right > x && also_below == below, "{texts:?}");
        assert!(places("cat").iter().any(|(_, row)| row == y), "{texts:?}");
        assert!(places("50.00 %")[0].1 == *below && places("100.00 %")[0].1 == *y, "{texts:?}");
    }

    /// Draws the matrix of `count` classes with long names, of which each is taken for the next one three times.
    fn matrix(count: usize) -> String {
        let mut report = tests::report(1);
        let (data, [f32_logits, int8_logits]) = tests::two_classes();
        let mut test = TestScores::new(&data, &f32_logits, Ok(&int8_logits));
        let class = |class: usize| {
            let mut score = test.classes[0].clone();
            score.label = format!("a class of things, number {class}");
            score.f32.predicted = vec![0; count];
            score.f32.predicted[(class + 1) % count] = 3;
            score
        };
        test.classes = (0..count).map(class).collect();
        report.test = Some(test);
        svg(&report).unwrap().unwrap()
    }

    #[test]
    fn a_hundred_classes_can_be_read() {
        let svg = matrix(100);
        // Each class has its name at a row and at a column, its accuracy, and the number of its mistakes.
        assert_eq!(svg.matches("<text").count(), 5 + 4 * 100);
        assert_eq!(svg.matches("\n3\n").count(), 100);
        assert_eq!(svg.matches("a class of things, numb.").count(), 200);
    }

    #[test]
    fn very_many_classes_are_small() {
        assert_eq!(matrix(201).matches("<text").count(), 5);
    }

    #[test]
    fn long_names_are_cut() {
        assert_eq!(shorten("Ankle boot", 10), "Ankle boot");
        assert_eq!(shorten("Ankle boots", 10), "Ankle boo.");
        assert_eq!(shorten("größer", 4), "grö.");
    }
}
