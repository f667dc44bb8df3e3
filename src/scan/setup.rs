//! A model, a corpus and options, put together for a scan.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::Device;

use crate::ids::TokenId;
use crate::load::{LoadError, ModelFiles};
use crate::model::{Compute, Config, Model};
use crate::shard::{CorpusManifest, ModelInfo, Policy, Prefix, ScanIdentity};
use crate::stats::samples::BANDS;
use crate::tokens::store::{RoleSet, TokenStore};
use crate::tokens::{Tokenizer, TokenizerError, Windowing};

use super::chat::counted_roles;
use super::engine;
use super::error::ScanError;
use super::job::Job;
use super::{MOST_CTX, ScanDtype, ScanOptions};

/// Unpacked tokens kept in memory while scanning.
const CACHE_TOKENS: usize = 1 << 20;

/// A model and options that go together, as far as that shows before any text is read or any weight is loaded.
pub struct Checked<'a> {
    files: &'a ModelFiles,
    options: &'a ScanOptions,
    config: Config,
    tokenizer: Tokenizer,
    windowing: Windowing,
    /// Parameters by the type that they are stored in.
    stored: BTreeMap<String, u64>,
    device: Device,
}

impl<'a> Checked<'a> {
    /// Checks the options, by themselves and for a model, whose files must be complete.
    pub fn new(files: &'a ModelFiles, options: &'a ScanOptions) -> Result<Self, ScanError> {
        options.check()?;
        let mut config = files.config()?;
        config.refactor_glu = options.refactor_glu && config.gated;
        let tokenizer = files.tokenizer()?;
        let bos = tokenizer.bos(options.bos, config.bos_token_id, config.expects_bos());
        let d_vocab = config.d_vocab;
        let bos = bos.and_then(|bos| match bos {
            Some(TokenId(bos)) if bos as usize >= d_vocab => {
                Err(TokenizerError::BosTooLarge { bos, d_vocab })
            }
            bos => Ok(bos),
        });
        let bos = bos.map_err(|source| LoadError::Tokenizer {
            origin: files.origin().to_owned(),
            source,
        })?;
        let n_ctx = match options.n_ctx {
            Some(n_ctx) => n_ctx as usize,
            // trained on 512 tokens, whatever their config says; what comes later was never learnt
            None if files.source().contains("TinyStories") => config.n_ctx.min(512),
            None => config.n_ctx.min(MOST_CTX),
        };
        let prefix = encode_prefix(files, &tokenizer, options.prefix(), d_vocab)?;
        let n_front = usize::from(bos.is_some()) + prefix.len();
        if n_ctx <= n_front {
            return Err(ScanError::ContextTooShort { n_ctx, n_front });
        }
        if let Some(layers) = &options.layers
            && layers.last() as usize >= config.n_layers
        {
            return Err(ScanError::NoSuchLayer {
                layer: layers.last(),
                n_layers: config.n_layers,
            });
        }
        config
            .check_length(n_ctx)
            .map_err(|source| files.model_error(source))?;
        let stored = files.checkpoint()?.check(&config);
        Ok(Self {
            stored: stored.map_err(|source| files.model_error(source))?,
            device: options.device.open()?,
            windowing: Windowing {
                n_ctx,
                bos,
                prefix,
                bos_in_document: options.count_special,
                skip_start: options.skip_start as usize,
            },
            files,
            options,
            config,
            tokenizer,
        })
    }

    /// Number of blocks up to the last one that is scanned.
    pub(super) fn n_blocks(&self) -> usize {
        match &self.options.layers {
            Some(layers) => layers.last() as usize + 1,
            None => self.config.n_layers,
        }
    }

    /// Type of weights and activations.
    pub(super) fn dtype(&self) -> ScanDtype {
        self.options.dtype
    }
}

/// All that the parts of a scan have in common.
pub struct Setup {
    model: Model,
    store: TokenStore,
    counted_roles: Option<RoleSet>,
    tokenizer: Tokenizer,
    windowing: Windowing,
    batch_tokens: usize,
    identity: ScanIdentity,
}

impl Setup {
    /// Loads the model and opens the tokenized corpus in `corpus_folder`. `name` is the model's in the atlas.
    pub fn new(
        name: &str,
        checked: Checked<'_>,
        corpus: &CorpusManifest,
        corpus_folder: &Path,
    ) -> Result<Self, ScanError> {
        let n_blocks = checked.n_blocks();
        Self::with_blocks(n_blocks, name, checked, corpus, corpus_folder)
    }

    /// Sets up with the first `n_blocks` blocks of the model, which may be fewer than a scan needs.
    pub(super) fn with_blocks(
        n_blocks: usize,
        name: &str,
        checked: Checked<'_>,
        corpus: &CorpusManifest,
        corpus_folder: &Path,
    ) -> Result<Self, ScanError> {
        let needed = checked.n_blocks();
        let Checked {
            files,
            options,
            config,
            tokenizer,
            windowing,
            stored,
            device,
        } = checked;
        let store = TokenStore::open(corpus_folder, CACHE_TOKENS)?;
        let roles = options
            .count_roles
            .iter()
            .map(|role| role.trim().to_owned());
        let mut count_roles: Vec<String> = roles.collect();
        count_roles.sort();
        count_roles.dedup();
        let counted_roles = counted_roles(&store, &count_roles)?;
        let model = Model::load_first(
            n_blocks,
            config,
            &files.checkpoint()?,
            windowing.n_ctx,
            options.dtype.candle(),
            Compute::on(&device),
        );
        let model = model.map_err(|source| files.model_error(source))?;

        let config = model.config();
        let identity = ScanIdentity {
            model: ModelInfo {
                name: name.into(),
                source: files.source().into(),
                revision: files.revision().map(str::to_owned),
                family: config.family.name().into(),
                mlp: config.act_fn.mlp_name(config.gated).into(),
                gated: config.gated,
                n_layers: config.n_layers as u32,
                d_model: config.d_model as u32,
                d_mlp: config.d_mlp as u32,
                d_vocab: config.d_vocab as u32,
                n_parameters: stored.values().sum(),
                stored_as: by_share(stored),
                weights_sha256: files.weights_sha256()?,
                config_sha256: Some(files.config_sha256()),
                tokenizer_sha256: Some(files.tokenizer_sha256()?),
            },
            corpus: corpus.corpus.clone(),
            policy: Policy {
                hook: config.ranking_hook().name().into(),
                dtype: options.dtype.name().into(),
                layers: options
                    .layers
                    .clone()
                    .filter(|layers| layers.n() < config.n_layers),
                refactor_glu: config.refactor_glu,
                n_ctx: windowing.n_ctx as u32,
                bos: windowing.bos.map(|bos| bos.0),
                prefix: (!windowing.prefix.is_empty()).then(|| Prefix {
                    text: options.prefix().to_owned(),
                    ids: windowing.prefix.iter().map(|id| id.0).collect(),
                }),
                count_special: options.count_special,
                skip_start: options.skip_start,
                count_roles,
                bands: BANDS.to_vec(),
                n_counted: None,
                stats: options.stats.clone(),
            },
        };
        let mut setup = Self {
            model,
            store,
            counted_roles,
            tokenizer,
            windowing,
            batch_tokens: 0,
            identity,
        };
        setup.identity.policy.n_counted = Some(setup.job().n_counted()?);
        setup.batch_tokens = match options.batch_tokens {
            Some(n) => n,
            None => {
                let of_blocks = setup.identity.model.n_parameters as usize
                    * options.dtype.candle().size_in_bytes();
                let n_layers = setup.model.config().n_layers;
                let missing = of_blocks / n_layers * needed.saturating_sub(n_blocks);
                engine::batch_tokens(&setup.model, setup.identity.kind(), &options.stats, missing)?
            }
        };
        Ok(setup)
    }

    /// What is scanned, and how.
    pub fn identity(&self) -> &ScanIdentity {
        &self.identity
    }

    /// The device, and of a CPU the instruction set of its kernels.
    pub fn runs_on(&self) -> String {
        self.model.compute().name()
    }

    /// The scan, ready to run.
    pub fn job(&self) -> Job<'_> {
        Job {
            model: &self.model,
            store: &self.store,
            vocabulary: self.tokenizer.vocabulary(),
            windowing: &self.windowing,
            counted_roles: self.counted_roles,
            batch_tokens: self.batch_tokens,
        }
    }
}

/// The tokens of a text that stands before every window.
fn encode_prefix(
    files: &ModelFiles,
    tokenizer: &Tokenizer,
    text: &str,
    d_vocab: usize,
) -> Result<Vec<TokenId>, ScanError> {
    let ids = tokenizer
        .encode(text)
        .map_err(|source| LoadError::Tokenizer {
            origin: files.origin().to_owned(),
            source,
        })?;
    match ids.iter().find(|id| id.0 as usize >= d_vocab) {
        Some(&id) => Err(ScanError::PrefixNoEmbedding {
            token: tokenizer.vocabulary().text(id).into_owned(),
            id: id.0,
            d_vocab,
        }),
        None => Ok(ids),
    }
}

/// Names by how much of something they are, most first.
fn by_share(amounts: BTreeMap<String, u64>) -> Vec<String> {
    let mut names: Vec<_> = amounts.into_iter().collect();
    names.sort_by_key(|(_, amount)| std::cmp::Reverse(*amount));
    names.into_iter().map(|(name, _)| name).collect()
}
