//! Which files hold the neurons, the examples and their text.

mod estimate;
mod examples;
mod packed;
mod pages;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::content::Content;
use super::error::SiteError;
use super::options::{LayoutOption, SiteOptions};
use super::pack::{Packing, Quality, per_file};
use super::part::ModelPart;
use super::section::Section;
use super::source::Source;
use super::text::texts::TokenTexts;
use estimate::{Estimate, QUALITIES};

pub(super) use packed::write_said;

/// Neurons that are read at a time, if each has a file of its own.
const PAGES: usize = 32;
/// The share of a budget that estimates may reach: they are within a few per cent.
const SAFE: f64 = 0.98;

/// How a model's neurons are stored, and why.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LayoutReport {
    /// Name of the model.
    pub model: String,
    /// `pages` or `packed`
    pub layout: Cow<'static, str>,
    /// Whether it has pages and could be packed: its corpus is there.
    pub can_be_packed: bool,
    /// Whether it has pages since its corpus is not there: else it would be packed to fit the budget.
    #[serde(default)]
    pub lacks_corpus: bool,
    /// Whether each of its neurons has a card.
    pub has_cards: bool,
    /// What its pages would take, in bytes, as far as some of them tell.
    pub pages_bytes: u64,
    /// Examples of a packed neuron, if not all.
    pub n_examples: Option<usize>,
    /// Bits of each of their values.
    pub bits: Option<u8>,
    /// Tokens of each list of a packed neuron, if not all.
    pub n_tokens: Option<usize>,
    /// Neighbours of each list, if not all.
    pub n_neighbours: Option<usize>,
    /// Whether the counts of a packed neuron's histograms are exact.
    pub exact_counts: Option<bool>,
    /// Whether the hooks beside the values were left out.
    pub without_hooks: bool,
}

/// Decides how the neurons of each model are packed; not at all if each has a page.
pub(super) fn choose(
    sources: &[Source],
    texts: &[TokenTexts<'_>],
    content: &Content,
    options: &SiteOptions,
) -> Result<(Vec<Option<Packing>>, Vec<LayoutReport>), SiteError> {
    let estimates = sources.iter().zip(texts);
    let estimates = estimates.map(|(source, texts)| Estimate::new(source, texts, content, options));
    let estimates = estimates.collect::<Result<Vec<_>, _>>()?;
    let budget = match options.budget.0 {
        0 => f64::INFINITY,
        bytes => bytes as f64 * SAFE,
    };
    let is_packed = which_are_packed(sources, &estimates, options.layout, budget)?;
    let kept = best_that_fits(&estimates, &is_packed, budget)?;
    let all_pages: f64 = estimates.iter().map(|of| of.pages).sum();
    let should_pack = options.layout == LayoutOption::Auto && all_pages > budget;
    let (mut packings, mut reports) = (Vec::new(), Vec::new());
    for ((source, estimate), is_packed) in sources.iter().zip(&estimates).zip(is_packed) {
        let quality = is_packed.then_some(kept);
        let packing = quality.map(|quality| {
            let bytes = estimate.of_neuron(quality)?;
            let per_file = per_file(&source.atlas.manifest().scan, bytes);
            Packing::new(source, content, options, quality, per_file)
        });
        packings.push(packing.transpose()?);
        reports.push(LayoutReport {
            model: source.name().to_owned(),
            layout: if is_packed { "packed" } else { "pages" }.into(),
            can_be_packed: !is_packed && source.corpus().is_some(),
            lacks_corpus: should_pack && source.corpus().is_none(),
            has_cards: options.has_cards(is_packed),
            pages_bytes: estimate.pages as u64,
            n_examples: quality.and_then(|of| of.n_examples),
            bits: quality.map(|of| of.bits),
            n_tokens: quality.and_then(|of| of.n_tokens),
            n_neighbours: quality.and_then(|of| of.n_neighbours),
            exact_counts: quality.map(|of| of.exact_counts),
            without_hooks: quality.is_some_and(|of| estimate.has_hooks && !of.hooks),
        });
    }
    Ok((packings, reports))
}

/// Which models are packed: where that is not said, as few as the budget allows, the largest first.
fn which_are_packed(
    sources: &[Source],
    estimates: &[Estimate<'_>],
    layout: LayoutOption,
    budget: f64,
) -> Result<Vec<bool>, SiteError> {
    if layout != LayoutOption::Auto {
        return Ok(vec![layout == LayoutOption::Packed; sources.len()]);
    }
    let mut is_packed = vec![false; sources.len()];
    let mut order: Vec<usize> = (0..sources.len()).collect();
    order.sort_by(|a, b| estimates[*b].pages.total_cmp(&estimates[*a].pages));
    let mut total: f64 = estimates.iter().map(|of| of.pages).sum();
    for at in order {
        // without its corpus a model cannot be packed
        if total > budget && sources[at].corpus().is_some() {
            is_packed[at] = true;
            total += estimates[at].packed(QUALITIES[0])? - estimates[at].pages;
        }
    }
    Ok(is_packed)
}

/// The first of [`QUALITIES`] with which the site fits the budget; if none does, the last.
fn best_that_fits(
    estimates: &[Estimate<'_>],
    is_packed: &[bool],
    budget: f64,
) -> Result<Quality, SiteError> {
    let fits = |quality: Quality| -> Result<bool, SiteError> {
        let mut total = 0.0;
        for (of, is_packed) in estimates.iter().zip(is_packed) {
            total += match is_packed {
                true => of.packed(quality)?,
                false => of.pages,
            };
        }
        Ok(total <= budget)
    };
    let is_asked = budget < f64::INFINITY && is_packed.contains(&true);
    if !is_asked || fits(QUALITIES[0])? {
        return Ok(QUALITIES[0]);
    }
    let (mut from, mut until) = (1, QUALITIES.len() - 1);
    while from < until {
        let middle = (from + until) / 2;
        match fits(QUALITIES[middle])? {
            true => until = middle,
            false => from = middle + 1,
        }
    }
    Ok(QUALITIES[from])
}

/// Neurons that are shown to sections at a time.
pub(super) fn n_at_once(part: &ModelPart<'_>) -> usize {
    part.packing.map_or(PAGES, |packing| packing.per_file)
}

/// The section that holds the neurons.
pub(super) fn section(part: ModelPart<'_>) -> Box<dyn Section + '_> {
    match part.packing {
        None => Box::new(pages::Pages::new(part)),
        Some(packing) => Box::new(packed::Packed::new(part, packing)),
    }
}
