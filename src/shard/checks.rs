//! What no row can hold, whatever was scanned: found where rows are read, so that nothing that reads them need expect it.

use crate::stats::StatsOptions;
use crate::stats::examples::{Example, ListKind, TopList};
use crate::stats::moments::Moments;
use crate::stats::neuron::NeuronStats;
use crate::stats::samples::{BANDS, FIRST_BANDS, RANDOM, band_name};
use crate::stats::signs::{CaseStats, QUANTITIES, SignCase};
use crate::stats::sums::SUMS;

use super::examples::{ExampleRow, SAMPLE_LIST};

/// Most values around a peak, and so in any list of a row: those of the longest window that a scan can be asked for.
const WINDOW: u64 = StatsOptions::MOST_WINDOW;

/// Most counted positions: whole numbers up to here are exact in an f64, and sums of them do not overflow.
const POSITIONS: u64 = 1 << 53;

fn count(name: &str, found: u64) -> Result<(), String> {
    match found <= POSITIONS {
        true => Ok(()),
        false => Err(format!("`{name}` is {found}")),
    }
}

fn finite(name: &str, found: f64) -> Result<(), String> {
    match found.is_finite() {
        true => Ok(()),
        false => Err(format!("`{name}` is {found}")),
    }
}

/// What is wrong with a neuron's statistics by themselves.
pub(super) fn stats(of: &NeuronStats) -> Result<(), String> {
    moments("", &of.moments)?;
    for (sum, found) in SUMS.iter().zip(of.sums) {
        finite(sum.column, found.unwrap_or_default())?;
    }
    for (prefix, found) in [("special_", &of.special), ("post_", &of.post)] {
        found.iter().try_for_each(|found| moments(prefix, found))?;
    }
    if let Some(of) = &of.starts {
        moments("start_", &of.moments)?;
        let (min, max) = (of.elsewhere_min, of.elsewhere_max);
        let is_empty = min == f32::INFINITY && max == f32::NEG_INFINITY;
        let is_range = min.is_finite() && max.is_finite() && min <= max;
        if !(is_empty || is_range) {
            return Err(format!("`elsewhere_min` is {min}, `elsewhere_max` {max}"));
        }
    }
    for (name, found) in [
        ("not_finite", of.not_finite),
        ("firing", of.n_firing),
        ("above_tau", of.n_above_tau),
    ] {
        count(name, found.unwrap_or_default())?;
    }
    for (case, found) in SignCase::ALL.into_iter().zip(of.cases.iter().flatten()) {
        sign_case(case, found)?;
    }
    Ok(())
}

fn moments(prefix: &str, of: &Moments) -> Result<(), String> {
    count(&format!("{prefix}count"), of.count)?;
    for (order, sum) in (1..).zip(of.sums.into_iter().flatten()) {
        finite(&format!("{prefix}sum{order}"), sum)?;
    }
    let empty = Moments {
        sums: of.sums.map(|_| [0.0; 4]),
        ..Moments::default()
    };
    if of.count == 0 {
        return match *of == empty {
            true => Ok(()),
            false => Err(format!("`{prefix}count` is 0, but there are other values")),
        };
    }
    finite(&format!("{prefix}min"), of.min.into())?;
    finite(&format!("{prefix}max"), of.max.into())?;
    match of.min <= of.max {
        true => Ok(()),
        false => Err(format!(
            "`{prefix}min` is {}, above `{prefix}max`, {}",
            of.min, of.max
        )),
    }
}

fn sign_case(case: SignCase, of: &CaseStats) -> Result<(), String> {
    let name = case.name();
    count(&format!("{name}_count"), of.count)?;
    for (at, quantity) in QUANTITIES.into_iter().enumerate() {
        finite(&format!("{name}_{quantity}_sum"), of.sums[at])?;
        finite(
            &format!("{name}_{quantity}_extreme"),
            of.extremes[at].into(),
        )?;
    }
    Ok(())
}

/// The bins of a histogram as they are stored: ascending, none empty.
pub(super) fn bins(bins: &[u8], counts: &[u64]) -> Result<(), String> {
    if bins.len() != counts.len() {
        return Err(format!(
            "`histogram_bins` has {} values and `histogram_counts` {}",
            bins.len(),
            counts.len()
        ));
    }
    if !bins.is_sorted_by(|a, b| a < b) {
        return Err("`histogram_bins` is not ascending".into());
    }
    match counts.iter().find(|n| **n == 0 || **n > POSITIONS) {
        Some(found) => Err(format!("`histogram_counts` has {found}")),
        None => Ok(()),
    }
}

/// Whether a list of this name can be in a table.
fn is_known(list: &str) -> bool {
    let band = |band| band_name(band) == list;
    list == SAMPLE_LIST
        || list == RANDOM
        || ListKind::from_name(list).is_some()
        || BANDS.into_iter().chain(FIRST_BANDS).any(band)
}

/// What is wrong with a neuron's examples by themselves, `n_documents` being those of the corpus.
pub(super) fn examples(rows: &[ExampleRow], n_documents: u64) -> Result<(), String> {
    let mut seen: Vec<&str> = Vec::new();
    for of_list in rows.chunk_by(|a, b| a.list == b.list) {
        let list = of_list[0].list.as_str();
        if !is_known(list) {
            return Err(format!("there is no list `{list}`"));
        }
        if seen.contains(&list) {
            return Err(format!("the rows of list `{list}` are not together"));
        }
        seen.push(list);
        let ranks = of_list.iter().map(|row| row.rank);
        let ordered = match list {
            SAMPLE_LIST => ranks.is_sorted_by(|a, b| a < b),
            _ => ranks.eq(0..of_list.len() as u32),
        };
        if !ordered {
            return Err(format!("the ranks of list `{list}` are not in order"));
        }
        for row in of_list {
            let place = |reason: String| format!("list `{list}`, rank {}: {reason}", row.rank);
            example(&row.example, n_documents).map_err(place)?;
            tokens(row).map_err(place)?;
        }
    }
    Ok(())
}

/// Texts of tokens belong to the values one by one.
fn tokens(row: &ExampleRow) -> Result<(), String> {
    let n_values = row.example.window.steps.len();
    match &row.tokens {
        Some(tokens) if tokens.len() != n_values => Err(format!(
            "`tokens` has {} texts and `steps` {n_values} values",
            tokens.len()
        )),
        _ => Ok(()),
    }
}

fn example(of: &Example, n_documents: u64) -> Result<(), String> {
    finite("value", of.value.into())?;
    finite("post", of.post.unwrap_or_default().into())?;
    if u64::from(of.doc.0) >= n_documents {
        return Err(format!(
            "`doc` is {}; the corpus has {n_documents} documents",
            of.doc.0
        ));
    }
    let (start, n) = (u64::from(of.window.start), of.window.steps.len() as u64);
    if n == 0 || n > WINDOW {
        return Err(format!("`steps` has {n} values"));
    }
    if !(start..start + n).contains(&of.pos.0.into()) || start + n > u64::from(u32::MAX) {
        return Err(format!(
            "`pos` is {}; the values begin at {start} and are {n}",
            of.pos.0
        ));
    }
    finite("scale", of.window.scale.into())?;
    if of.window.scale < 0.0 {
        return Err(format!("`scale` is {}", of.window.scale));
    }
    let hooks = of.hooks.iter().flat_map(|hooks| hooks.iter());
    for (name, hook) in QUANTITIES.into_iter().zip(hooks) {
        let n_steps = hook.steps.len() as u64;
        if n_steps != n {
            return Err(format!(
                "`{name}_steps` has {n_steps} values and `steps` {n}"
            ));
        }
        finite(&format!("{name}_scale"), hook.scale.into())?;
        if hook.scale < 0.0 {
            return Err(format!("`{name}_scale` is {}", hook.scale));
        }
    }
    let n = of.duplicates.len();
    if n > TopList::MAX_DUPLICATES {
        return Err(format!("`duplicates` has {n} values"));
    }
    let duplicates = of.duplicates.iter();
    duplicates
        .into_iter()
        .try_for_each(|value| finite("duplicates", f64::from(*value)))
}
