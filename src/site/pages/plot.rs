//! Small plots as SVG: no script, no style attribute, colours from the theme's classes.

use std::fmt::Write;

use crate::site::text::format;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 150.0;
const BASE: f64 = 124.0; // y of the axis

/// Values in bins of equal width on a linear or, where they span much, logarithmic axis.
pub(crate) fn distribution(values: &[f64], label: &str) -> String {
    const BINS: usize = 48;
    let mut svg = begin(label);
    let (low, high) = values
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &v| {
            (low.min(v), high.max(v))
        });
    if values.is_empty() {
        return end(svg);
    }
    let logarithmic = low > 0.0 && high / low > 30.0;
    let forward = |v: f64| if logarithmic { v.ln() } else { v };
    let backward = |v: f64| if logarithmic { v.exp() } else { v };
    let (from, to) = (forward(low), forward(high));
    let span = if to > from { to - from } else { 1.0 };
    let mut counts = [0u32; BINS];
    for &value in values {
        let bin = (forward(value) - from) / span * BINS as f64;
        counts[(bin as usize).min(BINS - 1)] += 1;
    }
    let most = f64::from(counts.iter().max().copied().unwrap_or(1));
    let path = bars(&counts.map(|count| f64::from(count) / most), 1.0, |_| true);
    let _ = write!(svg, r#"<path class="positive" d="{path}"/>"#);
    for at in 0..=4 {
        let share = f64::from(at) / 4.0;
        tick(&mut svg, share * WIDTH, backward(from + share * span));
    }
    end(svg)
}

/// What is shown of every layer: a class of the theme that colours it, its name, and its share of the neurons.
pub(crate) struct Series {
    pub(crate) class: String,
    pub(crate) name: String,
    pub(crate) shares: Vec<f64>,
}

const TALL: f64 = 240.0;
const TALL_BASE: f64 = 212.0;
const AXIS: f64 = 56.0; // width of the numbers on the left

/// Shares, one on top of the other, layer by layer; the axis ends at `most`.
pub(crate) fn stacked(series: &[Series], most: f64, label: &str) -> String {
    let n = series
        .first()
        .map_or(0, |series| series.shares.len())
        .max(1);
    let width = (WIDTH - AXIS) / n as f64;
    let y = |share: f64| TALL_BASE - share / most * (TALL_BASE - 8.0);
    let mut svg = few_labels(label, TALL);
    side_axis(
        &mut svg,
        &[0.0, 0.25, 0.5, 0.75, 1.0].map(|at| at * most),
        &y,
        &|share| format!("{} %", short(share * 100.0)),
    );
    let mut below = vec![0.0; n];
    for one in series {
        let mut path = String::new();
        for (layer, (&share, below)) in one.shares.iter().zip(&mut below).enumerate() {
            if share > 0.0 {
                let left = AXIS + layer as f64 * width;
                let right = left + (width - 1.0).max(width * 0.8);
                let _ = write!(
                    path,
                    "M{left:.1} {:.2}V{:.2}H{right:.1}V{:.2}Z",
                    y(*below),
                    y(*below + share),
                    y(*below)
                );
            }
            *below += share;
        }
        let name = crate::site::text::display::escape(&one.name);
        let _ = write!(
            svg,
            r#"<path class="{}" d="{path}"><title>{name}</title></path>"#,
            one.class
        );
    }
    layer_axis(&mut svg, n);
    end(svg)
}

/// First quartile, median, third.
pub(crate) type Quartiles = [f64; 3];

/// Medians and quartiles layer by layer, and what chance explains.
pub(crate) fn quartiles(
    values: &[Option<Quartiles>],
    null: &[Option<[f64; 2]>],
    label: &str,
) -> String {
    let n = values.len().max(1);
    let width = (WIDTH - AXIS) / n as f64;
    let x = |layer: usize| AXIS + (layer as f64 + 0.5) * width;
    let all = values
        .iter()
        .flatten()
        .flatten()
        .chain(null.iter().flatten().flatten());
    let most = all.fold(0.05f64, |most, value| most.max(value.abs()));
    let most = ((most * 11.0).ceil() / 10.0).min(1.0);
    let y = |value: f64| (TALL_BASE + 8.0) / 2.0 - value / most * (TALL_BASE - 8.0) / 2.0;
    let mut svg = few_labels(label, TALL);
    side_axis(
        &mut svg,
        &[-1.0, -0.5, 0.0, 0.5, 1.0].map(|at| at * most),
        &y,
        &|value| short(value),
    );
    let mut chance = String::new();
    let mut boxes = String::new();
    let mut medians = String::new();
    for (layer, of_layer) in values.iter().enumerate() {
        let (left, right) = (x(layer) - width * 0.5, x(layer) + width * 0.5);
        if let Some([low, high]) = null.get(layer).copied().flatten() {
            let _ = write!(
                chance,
                "M{left:.1} {:.1}H{right:.1}V{:.1}H{left:.1}Z",
                y(high),
                y(low)
            );
        }
        if let Some([first, median, third]) = *of_layer {
            let (left, right) = (x(layer) - width * 0.36, x(layer) + width * 0.36);
            let _ = write!(
                boxes,
                "M{left:.1} {:.1}H{right:.1}V{:.1}H{left:.1}Z",
                y(third),
                y(first)
            );
            let _ = write!(medians, "M{left:.1} {:.1}H{right:.1}", y(median));
        }
    }
    let _ = write!(
        svg,
        r#"<path class="null" d="{chance}"/><path class="box" d="{boxes}"/><path class="median" d="{medians}"/>"#
    );
    layer_axis(&mut svg, n);
    end(svg)
}

/// The 5th, 25th, 50th, 75th and 95th percentile.
pub(crate) type Spread = [f64; 5];

/// Boxes with medians and whiskers layer by layer, on a logarithmic axis where all is positive and spans much.
pub(crate) fn spreads(values: &[Option<Spread>], label: &str) -> String {
    let n = values.len().max(1);
    let width = (WIDTH - AXIS) / n as f64;
    let all = || values.iter().flatten().flatten().copied();
    let (low, high) = (
        all().fold(f64::INFINITY, f64::min),
        all().fold(f64::NEG_INFINITY, f64::max),
    );
    let mut svg = few_labels(label, TALL);
    if low > high {
        return end(svg);
    }
    let axis = Axis::new(low, high);
    let y = |value: f64| TALL_BASE - axis.place(value) * (TALL_BASE - 8.0);
    side_axis(&mut svg, &axis.ticks(), &y, &|value| {
        format::number(Some(value))
    });
    let [mut whiskers, mut boxes, mut medians] = [const { String::new() }; 3];
    for (layer, spread) in values.iter().enumerate() {
        let Some([lowest, first, median, third, highest]) = spread.map(|of| of.map(y)) else {
            continue;
        };
        let x = AXIS + (layer as f64 + 0.5) * width;
        let (left, right) = (x - width * 0.36, x + width * 0.36);
        let _ = write!(
            whiskers,
            "M{x:.1} {lowest:.1}V{first:.1}M{x:.1} {third:.1}V{highest:.1}"
        );
        let _ = write!(
            boxes,
            "M{left:.1} {third:.1}H{right:.1}V{first:.1}H{left:.1}Z"
        );
        let _ = write!(medians, "M{left:.1} {median:.1}H{right:.1}");
    }
    let _ = write!(
        svg,
        r#"<path class="whisker" d="{whiskers}"/><path class="box" d="{boxes}"/><path class="median" d="{medians}"/>"#
    );
    layer_axis(&mut svg, n);
    end(svg)
}

/// An axis that holds some values.
struct Axis {
    low: f64,
    high: f64,
    logarithmic: bool,
}

impl Axis {
    fn new(low: f64, high: f64) -> Self {
        let logarithmic = low > 0.0 && high / low > 20.0;
        let low = if logarithmic { low } else { low.min(0.0) };
        Self {
            low,
            high: if high > low { high } else { low + 1.0 },
            logarithmic,
        }
    }

    /// Where a value lies, from 0 to 1.
    fn place(&self, value: f64) -> f64 {
        match self.logarithmic {
            true => (value / self.low).ln() / (self.high / self.low).ln(),
            false => (value - self.low) / (self.high - self.low),
        }
    }

    fn ticks(&self) -> [f64; 5] {
        std::array::from_fn(|at| {
            let share = at as f64 / 4.0;
            match self.logarithmic {
                true => self.low * (self.high / self.low).powf(share),
                false => self.low + share * (self.high - self.low),
            }
        })
    }
}

fn side_axis(
    svg: &mut String,
    values: &[f64],
    y: &dyn Fn(f64) -> f64,
    text: &dyn Fn(f64) -> String,
) {
    for &value in values {
        let at = y(value);
        let _ = write!(svg, r#"<path class="axis" d="M{AXIS} {at:.1}H{WIDTH}"/>"#);
        let _ = write!(
            svg,
            r#"<text x="{:.0}" y="{:.1}" text-anchor="end">{}</text>"#,
            AXIS - 5.0,
            at + 4.0,
            text(value)
        );
    }
}

/// A number of an axis, without zeros at its end.
fn short(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Numbers of layers, as many as there is room for.
fn layer_axis(svg: &mut String, n: usize) {
    let width = (WIDTH - AXIS) / n as f64;
    let step = (28.0 / width).ceil().max(1.0) as usize;
    for layer in (0..n).step_by(step) {
        let x = AXIS + (layer as f64 + 0.5) * width;
        let _ = write!(
            svg,
            r#"<text x="{x:.1}" y="{:.0}" text-anchor="middle">{layer}</text>"#,
            TALL_BASE + 18.0
        );
    }
}

/// Bars side by side over the whole width as one path; of height 0 to 1, and those of 0 are left out.
fn bars(heights: &[f64], gap: f64, keep: impl Fn(usize) -> bool) -> String {
    let mut path = String::new();
    let width = WIDTH / heights.len().max(1) as f64;
    for (bin, &height) in heights.iter().enumerate() {
        if height > 0.0 && keep(bin) {
            let (left, right) = (bin as f64 * width, (bin + 1) as f64 * width - gap);
            let top = BASE - (height * (BASE - 6.0)).max(1.0);
            let _ = write!(path, "M{left:.1} {BASE}V{top:.1}H{right:.1}V{BASE}Z");
        }
    }
    path
}

fn open(label: &str, height: f64) -> String {
    let label = crate::site::text::display::escape(label);
    format!(r#"<svg class="plot" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{label}">"#)
}

/// With so few labels that they can be larger on a small screen.
fn few_labels(label: &str, height: f64) -> String {
    open(label, height).replacen("\"plot\"", "\"plot few\"", 1)
}

fn begin(label: &str) -> String {
    let mut svg = open(label, HEIGHT);
    let _ = write!(svg, r#"<path class="axis" d="M0 {BASE}H{WIDTH}"/>"#);
    svg
}

fn tick(svg: &mut String, x: f64, value: f64) {
    let anchor = match x {
        x if x < 30.0 => "start",
        x if x > WIDTH - 30.0 => "end",
        _ => "middle",
    };
    let _ = write!(svg, r#"<path class="axis" d="M{x:.1} {BASE}v4"/>"#);
    let text = format::number(Some(value));
    let _ = write!(
        svg,
        r#"<text x="{x:.1}" y="{:.0}" text-anchor="{anchor}">{text}</text>"#,
        BASE + 19.0
    );
}

fn end(mut svg: String) -> String {
    svg.push_str("</svg>");
    svg
}
