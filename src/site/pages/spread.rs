//! How activations spread over the neurons of each layer, as figures with their data.

use serde_json::json;

use crate::atlas::facts::{FREQUENCY, Fact, KURTOSIS, Unit};
use crate::atlas::{Summary, quantile};

use super::figures::{FigureView, Tables};
use super::plot::{self, Spread};
use crate::site::error::SiteError;
use crate::site::text::format::round;

/// What is shown, with its name for readers and what one should know of it.
static SHOWN: [(&Fact, &str, &str); 2] = [
    (
        &FREQUENCY,
        "Frequency by layer",
        "Share of counted tokens with hook_pre > 0, in per cent.",
    ),
    (
        &KURTOSIS,
        "Kurtosis by layer",
        "3 for a normal distribution, large where few tokens stand far out.",
    ),
];
const QUANTILES: [f64; 5] = [0.05, 0.25, 0.5, 0.75, 0.95];

/// Quantiles of a layer's neurons; nothing of a layer that was not scanned.
#[derive(Default)]
pub(crate) struct LayerSpread([Option<Spread>; SHOWN.len()]);

impl LayerSpread {
    pub(crate) fn new(summaries: &[Summary]) -> Self {
        Self(SHOWN.map(|(fact, ..)| {
            let values = summaries.iter().filter_map(|s| s.value(fact));
            let mut values: Vec<f64> = values.collect();
            values.sort_unstable_by(f64::total_cmp);
            let mut spread = Spread::default();
            for (of, q) in spread.iter_mut().zip(QUANTILES) {
                *of = quantile(&values, q)?;
            }
            Some(spread)
        }))
    }
}

/// Draws the spread of every layer.
pub(crate) fn figures(
    layers: &[LayerSpread],
    tables: &mut Tables,
) -> Result<Vec<FigureView>, SiteError> {
    let mut views = Vec::new();
    for (at, (fact, title, caption)) in SHOWN.into_iter().enumerate() {
        let values: Vec<Option<Spread>> = layers.iter().map(|LayerSpread(of)| of[at]).collect();
        let rows = values.iter().enumerate().filter_map(|(layer, spread)| {
            let numbers = (*spread)?.map(|value| json!(round(value)));
            Some([vec![json!(layer)], numbers.to_vec()].concat())
        });
        let columns = ["layer", "q05", "q25", "median", "q75", "q95"];
        let [csv, json] = tables.add(fact.key, &columns, rows.collect())?;
        let unit = match fact.unit {
            Unit::Number => 1.0,
            Unit::Share => 100.0,
        };
        let drawn: Vec<Option<Spread>> = values
            .iter()
            .map(|spread| spread.map(|spread| spread.map(|value| unit * value)))
            .collect();
        views.push(FigureView {
            title,
            caption,
            svg: plot::spreads(&drawn, title),
            legend: Vec::new(),
            csv,
            json,
        });
    }
    Ok(views)
}
