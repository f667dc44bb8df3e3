//! Which files hold the neurons, the examples and their text.

mod estimate;
mod examples;
mod packed;
mod pages;

use serde::Serialize;

use super::content::Content;
use super::error::SiteError;
use super::options::{LayoutOption, SiteOptions};
use super::pack::Packing;
use super::part::ModelPart;
use super::section::Section;
use super::source::Source;
use super::text::texts::TokenTexts;
use estimate::{Estimate, QUALITIES};

/// Neurons that are read at a time, if each has a file of its own.
const PAGES: usize = 32;
/// The share of a budget that estimates may reach: they are within a few per cent.
const SAFE: f64 = 0.98;

/// How a model's neurons are held, and why.
#[derive(Clone, Debug, Serialize)]
pub struct LayoutReport {
    /// Name of the model.
    pub model: String,
    /// `pages` or `packed`
    pub layout: &'static str,
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
    let models = sources.iter().zip(texts);
    let estimates = models.map(|(source, texts)| Estimate::new(source, texts, options));
    let estimates = estimates.collect::<Result<Vec<_>, _>>()?;
    let budget = match options.budget.0 {
        0 => f64::INFINITY,
        bytes => bytes as f64 * SAFE,
    };
    let packed = which_are_packed(sources, &estimates, options.layout, budget)?;
    let total = |quality: usize| -> f64 {
        let each = estimates.iter().zip(&packed);
        let each = each.map(|(of, packed)| {
            if *packed {
                of.packed(quality)
            } else {
                of.pages
            }
        });
        each.sum()
    };
    let fits = (0..QUALITIES.len()).find(|quality| total(*quality) <= budget);
    let quality = fits.unwrap_or(QUALITIES.len() - 1);
    let (mut packings, mut reports) = (Vec::new(), Vec::new());
    for ((source, estimate), packed) in sources.iter().zip(&estimates).zip(&packed) {
        let kept = QUALITIES[quality];
        let bytes = estimate.of_neuron(quality);
        let packing = packed.then(|| Packing::new(source, content, options, kept, bytes));
        let packing = packing.transpose()?;
        reports.push(LayoutReport {
            model: source.name().to_owned(),
            layout: if *packed { "packed" } else { "pages" },
            pages_bytes: estimate.pages as u64,
            n_examples: kept.n_examples.filter(|_| *packed),
            bits: packed.then_some(kept.bits),
            n_tokens: kept.n_tokens.filter(|_| *packed),
            n_neighbours: kept.n_neighbours.filter(|_| *packed),
            without_hooks: *packed && estimate.has_hooks && !kept.hooks,
        });
        packings.push(packing);
    }
    Ok((packings, reports))
}

/// Which models are packed: where that is not said, as few as the budget allows, the largest first.
fn which_are_packed(
    sources: &[Source],
    estimates: &[Estimate],
    layout: LayoutOption,
    budget: f64,
) -> Result<Vec<bool>, SiteError> {
    if layout != LayoutOption::Auto {
        return Ok(vec![layout == LayoutOption::Packed; sources.len()]);
    }
    let mut packed = vec![false; sources.len()];
    let mut order: Vec<usize> = (0..sources.len()).collect();
    order.sort_by(|a, b| estimates[*b].pages.total_cmp(&estimates[*a].pages));
    let mut total: f64 = estimates.iter().map(|of| of.pages).sum();
    for at in order {
        // without its corpus a model cannot be packed
        if total > budget && sources[at].corpus().is_some() {
            packed[at] = true;
            total += estimates[at].packed(0) - estimates[at].pages;
        }
    }
    Ok(packed)
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
