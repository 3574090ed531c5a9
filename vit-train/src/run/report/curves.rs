//! Draws `curves.svg`: loss, accuracy and learning rate of a run, epoch by epoch.

use super::{
    colors::{Paint, FAINT, FIRST, LINES, PAPER, SECOND, TEXT},
    Report,
};
use plotters::{
    coord::{
        ranged1d::{KeyPointHint, NoDefaultFormatting, ValueFormatter},
        Shift,
    },
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};
use std::{io, ops::Range};

/// The width and height of the picture in pixels.
const SIZE: (u32, u32) = (1200, 400);
/// The height of the line above the panels in pixels.
const TITLE: i32 = 44;
/// The most numbers at an axis.
const MAX_TICKS: usize = 8;
/// The most points of a curve for which each point is marked.
const MAX_MARKS: usize = 40;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// A diagram over the epochs.
struct Panel {
    title: &'static str,
    unit: &'static str,
    curves: Vec<Curve>,
    axis: Axis,
}

struct Curve {
    color: Paint,
    values: Vec<f64>,
}

/// An axis from `low` to `high`, with a number at each of the `ticks`, written by `label`.
#[derive(Clone, Debug)]
struct Axis {
    low: f64,
    high: f64,
    ticks: Vec<f64>,
    label: fn(f64) -> String,
}

impl Axis {
    /// Returns an axis that has all `values` on it, goes from one round number to another, and has at most
    /// [`MAX_TICKS`] steps.
    fn around(values: &[f64], label: fn(f64) -> String) -> Self {
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        // A single value, or none at all, gives an axis that begins at 0.
        let (low, high) = if low < high { (low, high) } else { (0.0, if high > 0.0 { high } else { 1.0 }) };
        let step = round_step((high - low) / (MAX_TICKS - 2) as f64);
        // A value that is beyond a tick only because it is rounded, such as 3e-3 in 32 bits, needs no further tick.
        let (first, last) = ((low / step + 1e-3).floor() as i64, (high / step - 1e-3).ceil() as i64);
        let ticks: Vec<f64> = (first..=last).map(|tick| tick as f64 * step).collect();
        Self { low: first as f64 * step, high: last as f64 * step, ticks, label }
    }

    /// Returns an axis for a number of epochs. The first epoch is among its ticks.
    fn of_epochs(epochs: usize) -> Self {
        let step = (round_step(epochs as f64 / MAX_TICKS as f64) as usize).max(1);
        let multiples = (step..=epochs).step_by(step).filter(|&epoch| epoch > 1);
        let ticks = [1].into_iter().chain(multiples).map(|epoch| epoch as f64).collect();
        Self { low: 0.5, high: epochs.max(1) as f64 + 0.5, ticks, label: |epoch| format!("{epoch:.0}") }
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        from + (f64::from(to - from) * (value - self.low) / (self.high - self.low)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.ticks.clone()
    }

    fn range(&self) -> Range<f64> {
        self.low..self.high
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, value: &f64) -> String {
        (self.label)(*value)
    }
}

/// Returns the smallest of 1, 2, 5, 10, 20, 50 ... and of their tenths, hundredths ... that is at least `least`.
fn round_step(least: f64) -> f64 {
    let mut step = 1e-9;
    loop {
        for factor in [1.0, 2.0, 5.0] {
            if step * factor >= least * 0.999 {
                return step * factor;
            }
        }
        step *= 10.0;
    }
}

/// Draws loss, accuracy and learning rate of the epochs that are done.
pub(super) fn svg(report: &Report) -> io::Result<String> {
    let mut svg = String::new();
    draw(report, &mut svg).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(svg)
}

fn draw(report: &Report, svg: &mut String) -> Result<(), DrawingAreaErrorKind<io::Error>> {
    let epochs = &report.epochs;
    let values = |value: fn(&super::Epoch) -> f64| epochs.iter().map(value).collect::<Vec<f64>>();
    let curve = |color, value| Curve { color, values: values(value) };
    let [loss, accuracy] = [
        [curve(FIRST, |e| e.train_loss), curve(SECOND, |e| e.val_loss)],
        [curve(FIRST, |e| e.train_acc), curve(SECOND, |e| e.val_acc)],
    ];
    let both = |[a, b]: &[Curve; 2]| [&a.values[..], &b.values[..]].concat();
    let rates = curve(FIRST, |e| e.lr);
    let panels = [
        Panel {
            title: "Loss",
            unit: "cross entropy",
            axis: Axis::around(&both(&loss), |x| format!("{x:.2}")),
            curves: loss.into(),
        },
        Panel {
            title: "Accuracy",
            unit: "%",
            axis: Axis::around(&both(&accuracy), |x| format!("{x:.1}")),
            curves: accuracy.into(),
        },
        Panel {
            title: "Learning rate",
            unit: "rate",
            axis: Axis::around(&[&rates.values[..], &[0.0]].concat(), |x| {
                if x == 0.0 {
                    "0".to_owned()
                } else {
                    format!("{x:.1e}")
                }
            }),
            curves: vec![rates],
        },
    ];

    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    root.fill(&rgb(PAPER))?;
    let (title, rest) = root.split_vertically(TITLE);
    let kept = epochs.iter().find(|e| e.epoch == report.kept_epoch);
    let kept = kept.map_or(String::new(), |e| {
        format!("; epoch {} is kept: {:.2} % of the validation images correct", e.epoch, e.val_acc)
    });
    let text = format!("{} on {}, seed {}{kept}", report.preset, report.dataset, report.seed);
    write(&title, &text, (20, 14), 18, TEXT, HPos::Left)?;
    legend(&title)?;
    for (area, panel) in rest.split_evenly((1, panels.len())).iter().zip(&panels) {
        panel.draw(area, report)?;
    }
    root.present()
}

impl Panel {
    fn draw(&self, area: &Area<'_>, report: &Report) -> Result<(), DrawingAreaErrorKind<io::Error>> {
        let mut chart = ChartBuilder::on(area)
            .margin_left(8)
            .margin_right(24)
            .margin_bottom(8)
            .caption(self.title, font(18).color(&rgb(TEXT)))
            .x_label_area_size(46)
            .y_label_area_size(84)
            .build_cartesian_2d(Axis::of_epochs(report.epochs.len()), self.axis.clone())?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .bold_line_style(rgb(LINES))
            .axis_style(rgb(FAINT))
            .x_desc("epoch")
            .y_desc(self.unit)
            .label_style(font(15).color(&rgb(TEXT)))
            .axis_desc_style(font(16).color(&rgb(TEXT)))
            .draw()?;

        let kept = report.kept_epoch as f64;
        chart.draw_series(DashedLineSeries::new(
            [(kept, self.axis.low), (kept, self.axis.high)],
            4,
            4,
            rgb(FAINT).into(),
        ))?;
        for (index, curve) in self.curves.iter().enumerate() {
            let color = rgb(curve.color);
            let points: Vec<(f64, f64)> = (1..).map(f64::from).zip(curve.values.iter().copied()).collect();
            chart.draw_series(LineSeries::new(points.clone(), color.stroke_width(2)))?;
            let marked = points.into_iter().filter(|_| curve.values.len() <= MAX_MARKS);
            if index == 0 {
                chart.draw_series(marked.map(|at| EmptyElement::at(at) + disc(color)))?;
            } else {
                chart.draw_series(marked.map(|at| EmptyElement::at(at) + square(color)))?;
            }
        }
        Ok(())
    }
}

/// Returns the mark of the first of two curves. The marks differ in shape, not only in colour.
fn disc(color: RGBColor) -> Circle<(i32, i32), i32> {
    Circle::new((0, 0), 3, color.filled())
}

/// Returns the mark of the second of two curves.
fn square(color: RGBColor) -> Rectangle<(i32, i32)> {
    Rectangle::new([(-3, -3), (3, 3)], color.filled())
}

/// Draws the legend on the right of the title.
fn legend(area: &Area<'_>) -> Result<(), DrawingAreaErrorKind<io::Error>> {
    let right = SIZE.0 as i32;
    let y = 23;
    for (x, name, color) in [
        (right - 370, "training", FIRST),
        (right - 260, "validation", SECOND),
        (right - 140, "kept epoch", FAINT),
    ] {
        write(area, name, (x + 8, y - 7), 15, TEXT, HPos::Left)?;
        let line = |from, to| PathElement::new(vec![(x - from, y), (x - to, y)], rgb(color).stroke_width(2));
        if color == FAINT {
            for dash in 0..3 {
                area.draw(&PathElement::new(
                    vec![(x - 4, y - 9 + 8 * dash), (x - 4, y - 5 + 8 * dash)],
                    rgb(color),
                ))?;
            }
            continue;
        }
        area.draw(&line(24, 0))?;
        let middle = EmptyElement::at((x - 12, y));
        if color == FIRST {
            area.draw(&(middle + disc(rgb(color))))?;
        } else {
            area.draw(&(middle + square(rgb(color))))?;
        }
    }
    Ok(())
}

/// Returns a font of the program that shows the picture, `size` pixels high.
pub(super) fn font(size: i32) -> FontDesc<'static> {
    // The library expects the height with accents, which is 1.24 times the size.
    ("Helvetica, Arial, sans-serif", f64::from(size) * 1.24).into_font()
}

pub(super) fn rgb([r, g, b]: Paint) -> RGBColor {
    RGBColor(r, g, b)
}

/// Writes text whose upper edge, and whose left edge, middle or right edge is at a point.
pub(super) fn write(
    area: &Area<'_>,
    text: &str,
    at: (i32, i32),
    size: i32,
    color: Paint,
    side: HPos,
) -> Result<(), DrawingAreaErrorKind<io::Error>> {
    let style = font(size).color(&rgb(color)).pos(Pos::new(side, VPos::Top));
    area.draw_text(text, &style, at)
}

#[cfg(test)]
mod tests {
    use super::{super::tests, *};

    #[test]
    fn axes_begin_and_end_at_round_numbers() {
        let axis = |values: &[f64]| Axis::around(values, |x| x.to_string());
        for (values, low, high, step) in [
            (&[83.2, 99.5][..], 80.0, 100.0, 5.0),
            (&[0.21, 1.59], 0.0, 2.0, 0.5),
            (&[2.0, 2.0], 0.0, 2.0, 0.5),
            (&[0.0], 0.0, 1.0, 0.2),
            (&[], 0.0, 1.0, 0.2),
        ] {
            let Axis { low: l, high: h, ticks, .. } = axis(values);
            let first_step = ticks[1] - ticks[0];
            let close = [(l, low), (h, high), (first_step, step), (ticks[ticks.len() - 1], high)];
            assert!(close.iter().all(|(a, b)| (a - b).abs() < 1e-6), "{values:?}: {l}..{h}, {ticks:?}");
        }
        assert_eq!(Axis::of_epochs(3).ticks, [1.0, 2.0, 3.0]);
        assert_eq!(Axis::of_epochs(20).ticks, [1.0, 5.0, 10.0, 15.0, 20.0]);
    }

    #[test]
    fn every_number_of_epochs_is_drawn() {
        for epochs in [0, 1, 2, 9, 100] {
            let mut report = tests::report(epochs);
            report.dataset = "a<b & c".to_owned();
            let svg = svg(&report).unwrap();
            assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{svg}");
            assert!(svg.contains("a&lt;b &amp; c"), "{svg}");
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
            // Two curves in each of two panels, a dot for every epoch.
            let marks = svg.matches("<circle").count();
            assert_eq!(marks, if epochs <= MAX_MARKS { 3 * epochs + 1 } else { 1 }, "{epochs}");
        }
    }
}
