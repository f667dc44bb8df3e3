//! Small plots as SVG: no script, no style attribute, colours from the theme's classes.

use std::fmt::Write;

use super::format;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 150.0;
const BASE: f64 = 124.0; // y of the axis

/// Counts between edges, bins of equal width, heights logarithmic: for bins that are themselves logarithmic.
pub(super) fn log_histogram(edges: &[f64], counts: &[u64], label: &str) -> String {
    let n = counts.len().max(1) as f64;
    let most = (counts.iter().max().copied().unwrap_or(0) as f64 + 1.0).ln();
    let x = |bin: f64| bin / n * WIDTH;
    let heights = counts.iter().map(|&count| (count as f64 + 1.0).ln() / most);
    let heights: Vec<f64> = heights.collect();
    let bars = |keep: &dyn Fn(usize) -> bool| bars(&heights, 0.0, keep);
    let mut svg = begin(label);
    let _ = write!(
        svg,
        r#"<path class="negative" d="{}"/>"#,
        bars(&|bin| edges[bin + 1] <= 0.0)
    );
    let _ = write!(
        svg,
        r#"<path class="positive" d="{}"/>"#,
        bars(&|bin| edges[bin + 1] > 0.0)
    );
    // about eight labels, zero among them
    let zero = edges.iter().position(|&edge| edge == 0.0);
    let step = (edges.len() / 8).max(1);
    let offset = zero.unwrap_or(0) % step;
    for at in (offset..edges.len()).step_by(step) {
        tick(&mut svg, x(at as f64), edges[at]);
    }
    end(svg)
}

/// Values in bins of equal width on a linear or, where they span much, logarithmic axis.
pub(super) fn distribution(values: &[f64], label: &str) -> String {
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

/// Counts in bins of equal width, on a linear axis.
pub(super) fn histogram(low: f64, step: f64, counts: &[u32], label: &str) -> String {
    let used = |at: &usize| counts[*at] > 0;
    let first = (0..counts.len()).find(used).unwrap_or(0);
    let last = (0..counts.len()).rev().find(used).unwrap_or(first);
    let n = (last + 1 - first) as f64;
    let most = f64::from(counts.iter().max().copied().unwrap_or(0).max(1));
    let edge = |bin: usize| low + bin as f64 * step;
    let heights = counts[first..=last]
        .iter()
        .map(|&count| f64::from(count) / most);
    let heights: Vec<f64> = heights.collect();
    let bars = |positive: bool| bars(&heights, 0.0, |bin| (edge(first + bin) >= 0.0) == positive);
    let mut svg = begin(label);
    let _ = write!(svg, r#"<path class="negative" d="{}"/>"#, bars(false));
    let _ = write!(svg, r#"<path class="positive" d="{}"/>"#, bars(true));
    for at in 0..=4 {
        let share = f64::from(at) / 4.0;
        tick(&mut svg, share * WIDTH, edge(first) + share * n * step);
    }
    end(svg)
}

/// A cosine with what chance explains.
pub(super) struct CosineRow {
    pub(super) label: &'static str,
    pub(super) value: Option<f64>,
    pub(super) null: Option<[f64; 2]>,
}

/// Cosines from -1 to 1, one below the other, each on its null band.
pub(super) fn cosines(rows: &[CosineRow], label: &str) -> String {
    const ROW: f64 = 34.0;
    const LEFT: f64 = 110.0;
    const RIGHT: f64 = 70.0;
    let base = rows.len() as f64 * ROW + 6.0;
    let x = |cosine: f64| LEFT + (cosine + 1.0) / 2.0 * (WIDTH - LEFT - RIGHT);
    let mut svg = few_labels(label, base + 26.0);
    let _ = write!(
        svg,
        r#"<path class="axis" d="M{:.1} {base}H{:.1}"/>"#,
        x(-1.0),
        x(1.0)
    );
    for at in [-1.0, -0.5, 0.0, 0.5, 1.0] {
        let dashed = if at == 0.0 { "axis" } else { "axis dashed" };
        let _ = write!(
            svg,
            r#"<path class="{dashed}" d="M{:.1} 2V{base}"/>"#,
            x(at)
        );
        let _ = write!(
            svg,
            r#"<text x="{:.1}" y="{:.0}" text-anchor="middle">{at}</text>"#,
            x(at),
            base + 19.0
        );
    }
    for (at, row) in rows.iter().enumerate() {
        let y = at as f64 * ROW + ROW / 2.0 + 2.0;
        let _ = write!(
            svg,
            r#"<text x="0" y="{:.1}">{}</text>"#,
            y + 4.0,
            row.label
        );
        if let Some([low, high]) = row.null {
            let _ = write!(
                svg,
                r#"<path class="null" d="M{:.1} {:.1}H{:.1}v16H{:.1}Z"/>"#,
                x(low),
                y - 8.0,
                x(high),
                x(low)
            );
        }
        let Some(value) = row.value else { continue };
        let sign = if value < 0.0 { "negative" } else { "positive" };
        let _ = write!(
            svg,
            r#"<path class="{sign}" d="M{:.1} {:.1}H{:.1}v4H{:.1}Z"/>"#,
            x(0.0),
            y - 2.0,
            x(value),
            x(0.0)
        );
        let _ = write!(
            svg,
            r#"<circle class="{sign}" cx="{:.1}" cy="{y:.1}" r="5"/>"#,
            x(value)
        );
        let text = format::number(Some(value));
        let _ = write!(
            svg,
            r#"<text x="{WIDTH}" y="{:.1}" text-anchor="end">{text}</text>"#,
            y + 4.0
        );
    }
    end(svg)
}

/// What is shown of every layer: a class of the theme that colours it, its name, and its share of the neurons.
pub(super) struct Series {
    pub(super) class: String,
    pub(super) name: String,
    pub(super) shares: Vec<f64>,
}

const TALL: f64 = 240.0;
const TALL_BASE: f64 = 212.0;
const AXIS: f64 = 56.0; // width of the numbers on the left

/// Shares, one on top of the other, layer by layer; the axis ends at `most`.
pub(super) fn stacked(series: &[Series], most: f64, label: &str) -> String {
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
        let name = super::display::escape(&one.name);
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
pub(super) type Quartiles = [f64; 3];

/// Medians and quartiles layer by layer, and what chance explains.
pub(super) fn quartiles(
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
    let label = super::display::escape(label);
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
