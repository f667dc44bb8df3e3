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
    let bars = |keep: &dyn Fn(usize) -> bool| {
        let mut path = String::new();
        for (bin, &count) in counts
            .iter()
            .enumerate()
            .filter(|(bin, count)| **count > 0 && keep(*bin))
        {
            let height = ((count as f64 + 1.0).ln() / most * (BASE - 6.0)).max(1.0);
            let (left, right) = (x(bin as f64), x(bin as f64 + 1.0));
            let _ = write!(
                path,
                "M{left:.1} {BASE}V{:.1}H{right:.1}V{BASE}Z",
                BASE - height
            );
        }
        path
    };
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
    let mut path = String::new();
    for (bin, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let (left, right) = (
            bin as f64 / BINS as f64 * WIDTH,
            (bin + 1) as f64 / BINS as f64 * WIDTH,
        );
        let top = BASE - (f64::from(count) / most * (BASE - 6.0)).max(1.0);
        let _ = write!(
            path,
            "M{left:.1} {BASE}V{top:.1}H{:.1}V{BASE}Z",
            right - 1.0
        );
    }
    let _ = write!(svg, r#"<path class="positive" d="{path}"/>"#);
    for at in 0..=4 {
        let share = f64::from(at) / 4.0;
        tick(&mut svg, share * WIDTH, backward(from + share * span));
    }
    end(svg)
}

fn begin(label: &str) -> String {
    let label = super::display::escape(label);
    let mut svg = format!(
        r#"<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">"#
    );
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
