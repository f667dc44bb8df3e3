//! One small file with what is said of every neuron of a model, which the explore page filters and sorts.
//!
//! `explore.bin.gz`, unpacked: the length of the header (u32, little-endian), the header (JSON), the columns. A column
//! of b bytes is b planes, one byte of every neuron each, the lowest first. Numbers are quantised: code 0 is no
//! value, and code c ≥ 1 is `scale · sinh(low + (c − 1) / 65534 · (high − low))`, which keeps their order.

use std::collections::HashMap;
use std::io::Write;

use flate2::{Compression, GzBuilder};
use serde_json::json;

use crate::atlas::{AtlasNeuron, Class, NeuronWeights, Role, SignCase, Summary};
use crate::ids::TokenId;
use crate::tokens::Vocabulary;

use super::columns::{Column, Group, columns};
use crate::site::error::SiteError;
use crate::site::text::texts::safe_in_html;

/// Name of the file, beside the model's page.
pub(in crate::site) const FILE: &str = "explore.bin.gz";

const SCHEMA: &str = "neuroscope/explore/v1";
/// Codes of numbers, without the one for no value.
const CODES: f64 = 65_535.0;
/// Relative distance of two codes, unless numbers reach further than all codes do.
const STEP: f64 = 5e-4;
const FLAGS: [&str; 5] = ["dead", "rare", "atypical", "note", "explanation"];
const NO_TOKEN: u32 = u32::MAX;

/// The columns of a model, as they are filled.
pub(in crate::site) struct Explore {
    columns: Vec<Column>,
    known: Known,
    peak: Vec<u32>,
    shares: Option<[Vec<f32>; SignCase::ALL.len()]>,
}

/// What is known of neurons before their examples are read, of some neurons in a row.
#[derive(Default)]
pub(in crate::site) struct Known {
    /// Of each column.
    numbers: Vec<Vec<f32>>,
    class: Vec<u8>,
    role: Vec<u8>,
    flags: Vec<u8>,
    promoted: Vec<u32>,
    suppressed: Vec<u32>,
}

impl Known {
    /// Of the neurons of a layer. `said` tells whether there are a note and an explanation.
    pub(in crate::site) fn of(
        summaries: &[Summary],
        weights: Option<&[NeuronWeights]>,
        said: impl Fn(&Summary) -> [bool; 2],
    ) -> Self {
        let weights = |at: usize| weights.map(|weights| &weights[at]);
        let numbers = columns().into_iter().map(|column| {
            let values = summaries.iter().enumerate();
            let values = values.map(|(at, summary)| column.of(summary, weights(at)));
            values
                .map(|value| value.map_or(f32::NAN, |value| value as f32))
                .collect()
        });
        let mut known = Self {
            numbers: numbers.collect(),
            ..Self::default()
        };
        let first = |tokens: &[(TokenId, f32)]| tokens.first().map_or(NO_TOKEN, |(id, _)| id.0);
        for (at, summary) in summaries.iter().enumerate() {
            let weights = weights(at);
            let class = weights.and_then(|of| of.class);
            let [note, explanation] = said(summary);
            let atypical = class.is_some_and(|class| !class.typical);
            let flags = [summary.dead, summary.rare, atypical, note, explanation];
            let flags = flags.iter().enumerate();
            known
                .flags
                .push(flags.map(|(bit, &set)| u8::from(set) << bit).sum());
            known.class.push(class.map_or(0, |of| of.class as u8 + 1));
            let role = weights.and_then(|of| of.role);
            known.role.push(role.map_or(0, |role| role as u8 + 1));
            known
                .promoted
                .push(weights.map_or(NO_TOKEN, |of| first(&of.top)));
            known
                .suppressed
                .push(weights.map_or(NO_TOKEN, |of| first(&of.bottom)));
        }
        known
    }

    fn extend(&mut self, next: Self) {
        self.numbers.resize(next.numbers.len(), Vec::new());
        for (values, next) in self.numbers.iter_mut().zip(next.numbers) {
            values.extend(next);
        }
        self.class.extend(next.class);
        self.role.extend(next.role);
        self.flags.extend(next.flags);
        self.promoted.extend(next.promoted);
        self.suppressed.extend(next.suppressed);
    }
}

impl Explore {
    /// For a model of so many neurons.
    pub(in crate::site) fn new(n_neurons: usize, gated: bool) -> Self {
        let numbers = || vec![f32::NAN; n_neurons];
        Self {
            columns: columns(),
            known: Known::default(),
            peak: vec![NO_TOKEN; n_neurons],
            shares: gated.then(|| std::array::from_fn(|_| numbers())),
        }
    }

    /// Adds what is known of the next layer.
    pub(in crate::site) fn add_layer(&mut self, known: Known) {
        self.known.extend(known);
    }

    /// Adds what only a neuron's statistics and examples tell; `peak` is the token of its main example's peak.
    pub(in crate::site) fn add_neuron(
        &mut self,
        flat: usize,
        neuron: &AtlasNeuron,
        peak: Option<TokenId>,
    ) {
        self.peak[flat] = peak.map_or(NO_TOKEN, |token| token.0);
        if let (Some(shares), Some(cases)) = (&mut self.shares, &neuron.stats.cases) {
            let n = neuron.stats.moments.count;
            for (share, case) in shares.iter_mut().zip(cases.iter()) {
                share[flat] = match n {
                    0 => f32::NAN,
                    n => (case.count as f64 / n as f64) as f32,
                };
            }
        }
    }

    /// The file.
    pub(in crate::site) fn file(
        &self,
        model: &str,
        [n_layers, d_mlp]: [u32; 2],
        vocabulary: &Vocabulary,
    ) -> Result<Vec<u8>, SiteError> {
        let n = self.peak.len();
        let mut planes: Vec<u8> = Vec::new();
        let mut described = Vec::new();
        for (column, values) in self.columns.iter().zip(&self.known.numbers) {
            let group = match column.group {
                Group::Activations => "activations",
                Group::Weights => "weights",
            };
            let head = json!({"name": column.name, "label": column.label, "definition": column.definition, "group": group});
            described.extend(number(head, column.is_share, values, &mut planes));
        }
        for (case, values) in SignCase::ALL.iter().zip(self.shares.iter().flatten()) {
            let name = case.name();
            let definition = format!(
                "Share of counted tokens with these signs of gate and in: {}.",
                name.replace('_', ", ")
            );
            let head = json!({"name": format!("share_{name}"), "label": format!("Share of {}", name.replace('_', " ")), "definition": definition, "group": "signs"});
            described.extend(number(head, true, values, &mut planes));
        }
        let mut codes = |name: &str,
                         label: &str,
                         kind: &str,
                         key: &str,
                         names: Vec<&str>,
                         codes: &[u8]| {
            if codes.iter().any(|&code| code > 0) {
                described.push(json!({"name": name, "label": label, "kind": kind, "bytes": 1, "offset": planes.len(), key: names}));
                planes.extend_from_slice(codes);
            }
        };
        let classes = Class::ALL.map(Class::name).to_vec();
        codes(
            "class",
            "Class",
            "category",
            "categories",
            classes,
            &self.known.class,
        );
        let roles = Role::ALL.map(Role::name).to_vec();
        codes(
            "role",
            "Role",
            "category",
            "categories",
            roles,
            &self.known.role,
        );
        codes(
            "flags",
            "Flags",
            "flags",
            "flags",
            FLAGS.to_vec(),
            &self.known.flags,
        );
        let mut table = TokenTable::default();
        let lists = [
            ("peak", "Token at the peak", &self.peak),
            ("promoted", "Promoted token", &self.known.promoted),
            ("suppressed", "Suppressed token", &self.known.suppressed),
        ];
        let lists: Vec<_> = lists
            .into_iter()
            .filter(|(.., tokens)| tokens.iter().any(|&token| token != NO_TOKEN))
            .map(|(name, label, tokens)| (name, label, table.codes(tokens)))
            .collect();
        let bytes = if table.ids.len() < 0xffff { 2 } else { 3 };
        for (name, label, codes) in lists {
            described.push(json!({"name": name, "label": label, "kind": "token", "bytes": bytes, "offset": planes.len()}));
            for plane in 0..bytes {
                planes.extend(codes.iter().map(|code| (code >> (8 * plane)) as u8));
            }
        }
        let tokens = table.ids.iter().map(|&id| vocabulary.text(TokenId(id)));
        let header = json!({
            "schema": SCHEMA,
            "model": model,
            "n_layers": n_layers,
            "d_mlp": d_mlp,
            "n_neurons": n,
            "columns": described,
            "tokens": tokens.collect::<Vec<_>>(),
        });
        let header = safe_in_html(header.to_string());
        let packed = || -> std::io::Result<Vec<u8>> {
            let mut gz = GzBuilder::new().write(Vec::new(), Compression::best());
            gz.write_all(&(header.len() as u32).to_le_bytes())?;
            gz.write_all(header.as_bytes())?;
            gz.write_all(&planes)?;
            gz.finish()
        };
        packed().map_err(|source| SiteError::io("write", FILE, source))
    }
}

/// Adds a column of numbers, unless no neuron has one: its description, with how to read its codes.
fn number(
    mut head: serde_json::Value,
    is_share: bool,
    values: &[f32],
    planes: &mut Vec<u8>,
) -> Option<serde_json::Value> {
    let scale = Scale::of(values)?;
    head["kind"] = "number".into();
    if is_share {
        head["unit"] = "share".into();
    }
    head["bytes"] = 2.into();
    head["offset"] = planes.len().into();
    head["scale"] = scale.scale.into();
    head["low"] = scale.low.into();
    head["high"] = scale.high.into();
    let codes: Vec<u16> = values.iter().map(|&value| scale.code(value)).collect();
    planes.extend(codes.iter().map(|&code| code as u8));
    planes.extend(codes.iter().map(|&code| (code >> 8) as u8));
    Some(head)
}

/// How numbers are quantised.
#[derive(Debug)]
struct Scale {
    scale: f64,
    low: f64,
    high: f64,
}

impl Scale {
    /// A scale for all of these, NaN left out; `None` if there is nothing else.
    fn of(values: &[f32]) -> Option<Self> {
        let finite = || values.iter().copied().filter(|value| value.is_finite());
        let (low, high) = finite().fold(None, |range: Option<(f32, f32)>, value| {
            let (low, high) = range.unwrap_or((value, value));
            Some((low.min(value), high.max(value)))
        })?;
        // relative precision from here on; nearly all numbers are as large
        let mut sizes: Vec<f32> = finite().map(f32::abs).filter(|size| *size > 0.0).collect();
        let scale = match sizes.len() {
            0 => 1.0,
            n => f64::from(*sizes.select_nth_unstable_by(n / 50, f32::total_cmp).1),
        };
        let [low, high] = [low, high].map(|end| (f64::from(end) / scale).asinh());
        // codes that nothing needs are not used, and so cost nothing when the file is packed; zero has one to itself
        let step = STEP.max((high - low) / (CODES - 3.0));
        let low = match low < 0.0 && high > 0.0 {
            true => (low / step).floor() * step,
            false => low,
        };
        let high = low + (CODES - 1.0) * step;
        Some(Self { scale, low, high })
    }

    fn code(&self, value: f32) -> u16 {
        if !value.is_finite() {
            return 0;
        }
        let at = ((f64::from(value) / self.scale).asinh() - self.low) / (self.high - self.low);
        1 + (at * (CODES - 1.0)).round().clamp(0.0, CODES - 1.0) as u16
    }
}

/// The tokens that columns name, each once.
#[derive(Default)]
struct TokenTable {
    ids: Vec<u32>,
    known: HashMap<u32, u32>,
}

impl TokenTable {
    /// Places in the table from 1; 0 for no token.
    fn codes(&mut self, tokens: &[u32]) -> Vec<u32> {
        let code = |&token: &u32| {
            if token == NO_TOKEN {
                return 0;
            }
            *self.known.entry(token).or_insert_with(|| {
                self.ids.push(token);
                self.ids.len() as u32
            })
        };
        tokens.iter().map(code).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decoded(scale: &Scale, code: u16) -> f64 {
        let at = f64::from(code - 1) / (CODES - 1.0);
        scale.scale * (scale.low + at * (scale.high - scale.low)).sinh()
    }

    proptest! {
        #[test]
        fn codes_keep_order_and_three_digits(
            values in prop::collection::vec((0.5f32..1.0, -12i32..12, any::<bool>()), 1..300),
        ) {
            let value = |(m, e, negative): &(f32, i32, bool)| {
                let value = m * 2f32.powi(*e);
                if *negative { -value } else { value }
            };
            let values: Vec<f32> = values.iter().map(value).collect();
            let scale = Scale::of(&values).unwrap();
            let mut codes: Vec<(f32, u16)> = values.iter().map(|&v| (v, scale.code(v))).collect();
            for &(value, code) in &codes {
                prop_assert!(code > 0);
                let off = (decoded(&scale, code) - f64::from(value)).abs();
                // numbers below the scale are as good as the scale is
                prop_assert!(off <= 1e-3 * f64::from(value.abs()).max(scale.scale), "{value}: {off}");
            }
            codes.sort_by(|a, b| a.0.total_cmp(&b.0));
            prop_assert!(codes.windows(2).all(|pair| pair[0].1 <= pair[1].1));
        }
    }

    #[test]
    fn zero_is_exact() {
        let scale = Scale::of(&[-0.37, 0.0, 4.1, 1e-3]).unwrap();
        assert!(decoded(&scale, scale.code(0.0)).abs() < 1e-12);
    }

    #[test]
    fn no_number_and_one_number_have_codes() {
        assert!(Scale::of(&[f32::NAN, f32::INFINITY]).is_none());
        let scale = Scale::of(&[2.5, f32::NAN, 2.5]).unwrap();
        assert_eq!([2.5, f32::NAN].map(|value| scale.code(value)), [1, 0]);
        assert!((decoded(&scale, 1) - 2.5).abs() < 1e-12);
    }
}
