//! What templates are given of the site, of a model, and of any page. docs/theme.md describes it.

use serde::Serialize;

use crate::atlas::facts::{Fact, RANKED, RARE_ONE_IN, facts};
use crate::atlas::{Atlas, BANDS, DataSetInfo, ModelInfo, Policy};

use super::pack::{Packing, PackingInfo};
use super::source::Source;
use super::text::display::calm;
use super::text::format::{band, count, human, number};

/// What every page has, beside the site, its assets and the page's model.
#[derive(Clone, Default, Serialize)]
pub(super) struct Common {
    /// Relative path to the site's root: empty, or `../` some times.
    pub(super) root: String,
    /// Title of the page.
    pub(super) title: String,
    /// One sentence about the page.
    pub(super) description: String,
    /// Full address of the page, if the site's is known.
    pub(super) canonical: Option<String>,
}

/// The site.
#[derive(Serialize)]
pub(super) struct SiteView {
    pub(super) title: String,
    pub(super) language: String,
    pub(super) version: &'static str,
    pub(super) menu: Vec<Link>,
    /// Address of the logo.
    pub(super) logo: Option<&'static str>,
    /// The project's own words at the foot of every page, in HTML.
    pub(super) footer: Option<String>,
    pub(super) models: Vec<ModelView>,
}

/// A link of the menu.
#[derive(Clone, Serialize)]
pub(super) struct Link {
    /// Relative to the root, unless it is a full address.
    pub(super) href: String,
    pub(super) label: String,
    /// Whether it leads to another site.
    pub(super) external: bool,
}

/// A model, in words.
#[derive(Clone, Serialize)]
pub(super) struct ModelView {
    pub(super) name: String,
    pub(super) mlp: String,
    pub(super) family: String,
    pub(super) gated: bool,
    /// How its neurons are packed; without it, each has a page.
    pub(super) packing: Option<PackingInfo>,
    /// Whether its weights were analysed.
    pub(super) analysed: bool,
    pub(super) hook: String,
    pub(super) corpus: String,
    /// How much of the corpus was taken; empty for all of it.
    pub(super) subset: String,
    /// The beginning of the hash of the chat template, and the day that it shows; none if the corpus has no conversations.
    pub(super) chat: Option<ChatView>,
    /// The size of cosine that the closest of as many random directions as the model has neurons would have.
    pub(super) chance: String,
    pub(super) n_layers: u32,
    /// The layers that were scanned, in words and one by one, if these are not all.
    pub(super) layers: Option<String>,
    pub(super) scanned: Option<Vec<u32>>,
    pub(super) d_mlp: u32,
    pub(super) d_model: u32,
    pub(super) n_neurons: String,
    pub(super) n_parameters: String,
    /// Counted positions, if their number is known.
    pub(super) n_counted: Option<String>,
    /// Documents of the corpus, if their number is known.
    pub(super) n_documents: Option<String>,
    /// Whether the corpus is there, so that the site has whole documents, and the sources of examples.
    pub(super) has_documents: bool,
    pub(super) n_ctx: u32,
    pub(super) bos: Option<String>,
    /// The text that stands before every window.
    pub(super) prefix: Option<String>,
    pub(super) count_special: bool,
    /// Positions after the first of each window that are not counted.
    pub(super) skip_start: u32,
    /// Roles whose tokens are counted, and no others; empty if all tokens are.
    pub(super) count_roles: Vec<String>,
    /// Whether it is known which side of each neuron dominates, and which neurons fire where windows start.
    pub(super) sided: bool,
    /// Bands of the population of which the scan drew examples, the lowest first, and how many of each.
    pub(super) bands: Vec<String>,
    pub(super) per_band: usize,
    /// Bands of which it drew none, since its version had others.
    pub(super) missing_bands: Vec<String>,
    pub(super) tau: String,
    /// One token of so many: a neuron that fires at fewer is rare.
    pub(super) rare_one_in: String,
    pub(super) window_before: u32,
    pub(super) window_after: u32,
    pub(super) context_tokens: usize,
    pub(super) dtype: String,
    /// Where the weights come from: a commit of the Hub, types of a quantised file.
    pub(super) weights: Vec<String>,
    pub(super) refactor_glu: bool,
    pub(super) seed: u64,
    /// Empty if they are not known.
    pub(super) weights_sha256: String,
    /// Empty if it is not known: the atlas was imported.
    pub(super) corpus_sha256: String,
    /// The data sets of the Hub that the corpus is of.
    pub(super) data_sets: Vec<String>,
    pub(super) neuroscope: String,
    pub(super) sources: Vec<SourceView>,
    /// The facts by which neurons are ranked.
    pub(super) measures: Vec<FactView>,
    /// The facts without a rank.
    pub(super) statistics: Vec<FactView>,
}

#[derive(Clone, Serialize)]
pub(super) struct SourceView {
    pub(super) source: String,
    pub(super) license: String,
    pub(super) n_documents: String,
    pub(super) n_tokens: String,
}

/// A fact of the catalogue.
#[derive(Clone, Serialize)]
pub(super) struct FactView {
    pub(super) name: &'static str,
    pub(super) label: &'static str,
    pub(super) definition: &'static str,
}

/// What is to be said of the weights' origin.
fn weights_notes(model: &ModelInfo) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(revision) = &model.revision {
        let commit: String = revision.chars().take(12).collect();
        notes.push(format!(
            "from {} at commit {}",
            calm(&model.source),
            calm(&commit)
        ));
    }
    // GGUF's own types; what plain files hold is a float or a whole number
    let quantised = |kind: &&String| kind.starts_with('Q') || kind.starts_with("IQ");
    if model.stored_as.iter().any(|kind| quantised(&kind)) {
        notes.push(format!(
            "stored as {}, dequantised",
            model.stored_as.join(", ")
        ));
    }
    notes
}

/// About the largest cosine between a direction and as many random ones as a model has neurons, √(2 ln N / d).
fn chance(model: &ModelInfo) -> f64 {
    let n_neurons = f64::from(model.n_layers) * f64::from(model.d_mlp);
    (2.0 * n_neurons.max(1.0).ln() / f64::from(model.d_model.max(1))).sqrt()
}

/// How the conversations of a corpus became text.
#[derive(Clone, Serialize)]
pub(super) struct ChatView {
    template_sha256: String,
    day: Option<String>,
}

/// What is to be said of a data set: its name, what was read of it, and its commit.
fn data_set_words(info: &DataSetInfo) -> String {
    let config = info
        .config
        .iter()
        .map(|config| format!("config {config}, "));
    let config = config.collect::<String>();
    let converted = if info.converted {
        ", converted to Parquet"
    } else {
        ""
    };
    let commit: String = info.revision.chars().take(12).collect();
    let words = format!(
        "{} ({config}split {}{converted}, commit {commit})",
        info.id, info.split
    );
    calm(&words).into_owned()
}

/// Bands of which a scan drew no examples.
fn missing_bands(policy: &Policy) -> Vec<String> {
    let missing = BANDS
        .into_iter()
        .filter(|band| !policy.bands.contains(band));
    missing.map(band).collect()
}

impl ModelView {
    pub(super) fn new(source: &Source, bos: Option<String>, packing: Option<&Packing>) -> Self {
        let atlas: &Atlas = &source.atlas;
        let manifest = atlas.manifest();
        let (scan, neuroscope) = (&manifest.scan, &manifest.neuroscope);
        let (model, policy) = (&scan.model, &scan.policy);
        let short = |hash: &str| hash.chars().take(12).collect::<String>();
        Self {
            name: model.name.clone(),
            mlp: model.mlp.clone(),
            family: model.family.clone(),
            gated: model.gated,
            packing: packing.map(Packing::info),
            analysed: atlas.weights_info().is_some(),
            hook: policy.hook.clone(),
            corpus: calm(&scan.corpus.name).into_owned(),
            subset: scan.corpus.subset.to_string(),
            chat: scan.corpus.chat.as_ref().map(|chat| ChatView {
                template_sha256: short(&chat.template_sha256),
                day: chat.day.clone(),
            }),
            chance: format!("{:.4}", chance(model)),
            n_layers: model.n_layers,
            d_mlp: model.d_mlp,
            d_model: model.d_model,
            layers: policy.layers.as_ref().map(ToString::to_string),
            scanned: policy.layers.as_ref().map(|_| scan.layers()),
            n_neurons: count(scan.n_neurons()),
            n_parameters: human(model.n_parameters),
            n_counted: policy.n_counted.map(count),
            n_documents: scan.corpus.n_documents.map(count),
            has_documents: source.corpus().is_some(),
            n_ctx: policy.n_ctx,
            bos,
            prefix: policy
                .prefix
                .as_ref()
                .map(|prefix| calm(&prefix.text).into_owned()),
            count_special: policy.count_special,
            skip_start: policy.skip_start,
            count_roles: policy.count_roles.clone(),
            sided: source.has_sides,
            bands: policy.bands.iter().copied().map(band).collect(),
            per_band: policy.stats.per_band,
            missing_bands: missing_bands(policy),
            tau: number(Some(f64::from(policy.stats.tau))),
            rare_one_in: count(RARE_ONE_IN),
            window_before: policy.stats.window_before,
            window_after: policy.stats.window_after,
            context_tokens: policy.stats.context_tokens,
            dtype: policy.dtype.clone(),
            weights: weights_notes(model),
            refactor_glu: policy.refactor_glu,
            seed: policy.stats.seed,
            weights_sha256: model
                .weights_sha256
                .values()
                .map(|hash| short(hash))
                .collect::<Vec<_>>()
                .join(" "),
            corpus_sha256: scan.corpus.sha256.as_deref().map(short).unwrap_or_default(),
            data_sets: scan.corpus.data_sets.iter().map(data_set_words).collect(),
            neuroscope: neuroscope.clone(),
            sources: scan
                .corpus
                .sources
                .iter()
                .map(|source| SourceView {
                    source: calm(&source.source).into_owned(),
                    license: calm(&source.license).into_owned(),
                    n_documents: count(source.n_documents),
                    n_tokens: count(source.n_tokens),
                })
                .collect(),
            measures: RANKED.map(FactView::of).to_vec(),
            statistics: facts()
                .filter(|fact| !fact.is_ranked())
                .filter(|fact| fact.is_of(model.gated, atlas.weights_info().is_some()))
                .map(FactView::of)
                .collect(),
        }
    }
}

impl FactView {
    fn of(fact: &Fact) -> Self {
        Self {
            name: fact.key,
            label: fact.label,
            definition: fact.definition,
        }
    }
}
