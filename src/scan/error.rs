//! What can go wrong during a scan.

use std::borrow::Cow;
use std::io;
use std::path::PathBuf;

use crate::corpus::{CorpusError, Share};
use crate::gpu::DeviceError;
use crate::hint::Hint;
use crate::load::LoadError;
use crate::model::ModelError;
use crate::shard::ShardError;
use crate::stats::OptionError;
use crate::tokens::TokenizerError;
use crate::tokens::chat::ChatError;
use crate::tokens::store::StoreError;

/// What can go wrong during a scan.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScanError {
    /// An option makes no sense.
    #[error(transparent)]
    Option(#[from] OptionError),
    /// The corpus cannot be read.
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    /// A text cannot be tokenized.
    #[error("document `{document}`: {source}")]
    Tokenizer {
        /// Name of the document.
        document: String,
        /// Why.
        source: TokenizerError,
    },
    /// A conversation cannot be made a text.
    #[error("document `{document}`: {source}")]
    Chat {
        /// Name of the document.
        document: String,
        /// Why.
        source: ChatError,
    },
    /// A chat template is wrong.
    #[error("chat template of `{origin}`: {source}")]
    ChatTemplate {
        /// Its file, or the model that it belongs to.
        origin: String,
        /// Why.
        source: ChatError,
    },
    /// The file of a chat template cannot be read.
    #[error("cannot read `{path}`: {source}")]
    ReadTemplate {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The corpus has conversations, but the model has no chat template.
    #[error("{0} has no chat template, which conversations need")]
    NoChatTemplate(String),
    /// The corpus has no conversations, so no token has a role.
    #[error("`--count-roles` needs conversations, but the corpus has only texts")]
    NoRoles,
    /// No message has a role that is to be counted.
    #[error("no message has the role `{role}`; the roles are {known}")]
    UnknownRole {
        /// The role.
        role: String,
        /// The roles that there are.
        known: String,
    },
    /// A text holds a token that the model has no embedding for.
    #[error(
        "document `{document}` holds the token `{token}` ({id}), but the model has embeddings for {d_vocab} tokens only"
    )]
    NoEmbedding {
        /// Name of the document.
        document: String,
        /// The token.
        token: String,
        /// Its id.
        id: u32,
        /// Rows of the model's embedding.
        d_vocab: usize,
    },
    /// No document of the corpus has a token.
    #[error("no text in corpus `{corpus}`{}", no_text(*sample, *n_skipped))]
    NoText {
        /// Name of the corpus.
        corpus: String,
        /// The share of the documents that was to be drawn.
        sample: Option<Share>,
        /// Texts that were skipped.
        n_skipped: u64,
    },
    /// A corpus of at most so many tokens has no document.
    #[error("the first document, `{document}`, has {n_tokens} tokens; `--max-tokens` is {most}")]
    FirstDocumentTooLong {
        /// Name of the document.
        document: String,
        /// Its tokens.
        n_tokens: usize,
        /// The most tokens.
        most: u64,
    },
    /// The model does not have a layer that is to be scanned.
    #[error("`--layers` names layer {layer}, but the model has layers 0 to {last}", last = n_layers - 1)]
    NoSuchLayer {
        /// The layer.
        layer: u32,
        /// Number of layers of the model.
        n_layers: usize,
    },
    /// The prefix holds a token that the model has no embedding for.
    #[error(
        "`--prefix` holds the token `{token}` ({id}), but the model has embeddings for {d_vocab} tokens only"
    )]
    PrefixNoEmbedding {
        /// The token.
        token: String,
        /// Its id.
        id: u32,
        /// Rows of the model's embedding.
        d_vocab: usize,
    },
    /// The token store cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The model cannot compute.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The results cannot be written.
    #[error(transparent)]
    Shard(#[from] ShardError),
    /// The model cannot be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The device cannot be had.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// Windows have no room for text.
    #[error("a window of {n_ctx} tokens has no room for text: {n_front} tokens stand before it")]
    ContextTooShort {
        /// Tokens of a window.
        n_ctx: usize,
        /// The BOS and the prefix.
        n_front: usize,
    },
    /// The corpus has nothing to count.
    #[error("the corpus has {n_documents} documents, but not one position is counted")]
    NothingCounted {
        /// Number of documents.
        n_documents: usize,
    },
    /// The corpus was cut into another number of parts before.
    #[error("`{path}` belongs to a scan with another number of parts; this one has {of}")]
    OtherSplit {
        /// A part that is there.
        path: PathBuf,
        /// Number of parts now.
        of: u32,
    },
    /// One part holds more positions than its counters.
    #[error("part {part} has {found} positions; one part can count {most}")]
    PartTooLarge {
        /// Index of the part.
        part: u32,
        /// Its positions.
        found: u64,
        /// What fits.
        most: u64,
    },
    /// `--part i/n` makes no sense.
    #[error("there is no part {index} of {of}; parts count from 0 to {of} - 1")]
    NoSuchPart {
        /// Index asked for.
        index: u32,
        /// Number of parts.
        of: u32,
    },
    /// A part beside the one to be scanned was scanned in another way.
    #[error(
        "`{path}` has another {what} (expected {expected}, found {found}), so this part could not be merged with it"
    )]
    OtherPart {
        /// The other part.
        path: PathBuf,
        /// What differs.
        what: &'static str,
        /// The value for the part to be scanned.
        expected: String,
        /// The value of the other part.
        found: String,
    },
    /// Another corpus would take the place of one that a scan in the same folder needs.
    #[error(
        "`{store}` holds the corpus that `{needed_by}` was scanned on; the one given here has different {what}"
    )]
    CorpusInUse {
        /// The token store.
        store: PathBuf,
        /// An atlas or a part.
        needed_by: PathBuf,
        /// What differs: files, texts or tokens.
        what: &'static str,
    },
    /// An atlas or a part in the data folder does not say which corpus it is of.
    #[error("whether `{0}` was scanned on this corpus is not known: it has no SHA-256 of its text")]
    UnknownCorpus(PathBuf),
    /// Another process reads the store that would be replaced.
    #[error("`{0}` holds another corpus, which a running scan is using")]
    CorpusInWork(PathBuf),
    /// An unfinished scan was begun by another version of the program, whose state this one does not read.
    #[error("`{path}` was begun by neuroscope {found}; this is {}", env!("CARGO_PKG_VERSION"))]
    OtherVersion {
        /// The checkpoint.
        path: PathBuf,
        /// The version.
        found: String,
    },
    /// An unfinished scan was begun with other options or another model.
    #[error("`{path}` was begun with another {what}: {found}; this scan has {expected}")]
    OtherCheckpoint {
        /// The checkpoint.
        path: PathBuf,
        /// What is different.
        what: &'static str,
        /// As it was begun.
        found: String,
        /// As it would be now.
        expected: String,
    },
    /// Another process scans the same part.
    #[error("`{path}` is being scanned by another process")]
    InWork {
        /// The part's folder.
        path: PathBuf,
    },
    /// The caller asked to stop.
    #[error("interrupted")]
    Interrupted,
}

/// Why there may be no text.
fn no_text(sample: Option<Share>, n_skipped: u64) -> String {
    let drawn = sample.map(|share| format!("`--sample {share}` drew no document with text"));
    let skipped = (n_skipped > 0).then(|| format!("{n_skipped} skipped"));
    let reasons: Vec<String> = drawn.into_iter().chain(skipped).collect();
    match reasons.is_empty() {
        true => String::new(),
        false => format!(": {}", reasons.join(", ")),
    }
}

impl Hint for ScanError {
    fn own_hint(&self) -> Option<Cow<'static, str>> {
        let hint: Option<&'static str> = match self {
            Self::NoEmbedding { .. } => Some(
                "take the token out of the text, or count and skip such texts with `--skip-invalid`",
            ),
            Self::NoText {
                sample: Some(_), ..
            } => Some("take a larger share of the documents, or another seed"),
            Self::FirstDocumentTooLong { .. } => {
                Some("documents are taken whole: allow more tokens, or cut the documents")
            }
            Self::ContextTooShort { .. } => {
                Some("choose longer windows with `--n-ctx`, or a shorter `--prefix`")
            }
            Self::NoChatTemplate(_) => Some(
                "give a template with `--chat-template FILE`, such as `chat_template.jinja` of the model's instruction-tuned version",
            ),
            Self::NoRoles => Some(
                "name the field of the messages with `--messages-field`, or leave out `--count-roles`",
            ),
            Self::UnknownRole { .. } => Some("choose among them with `--count-roles`"),
            Self::NothingCounted { .. } => Some(
                "check that the texts are not empty, or count all positions with `--count-special`",
            ),
            Self::PartTooLarge { .. } => {
                Some("split the scan with `--part i/n` and join the parts with `neuroscope merge`")
            }
            Self::OtherSplit { .. } | Self::OtherPart { .. } => {
                Some("remove it if you do not need it, or scan into another folder with `--data`")
            }
            Self::CorpusInWork(_) => Some(
                "wait until that scan has ended, or scan under another name with `--name` or into another folder with `--data`",
            ),
            Self::CorpusInUse { .. } | Self::UnknownCorpus(_) => Some(
                "scan under another name with `--name` or into another folder with `--data`, or remove the old data first",
            ),
            Self::OtherVersion { .. } => Some(
                "finish the scan with that version, or start over with `--restart`, which discards what was done",
            ),
            Self::OtherCheckpoint { .. } => Some(
                "go on with the options that it was begun with, or start over with `--restart`, which discards what was done",
            ),
            Self::Interrupted => Some("nothing is lost; run the same command again to continue"),
            _ => None,
        };
        hint.map(Cow::from)
    }

    fn inner(&self) -> Option<&dyn Hint> {
        match self {
            Self::Chat { source, .. } | Self::ChatTemplate { source, .. } => Some(source),
            Self::Corpus(error) => Some(error),
            Self::Device(error) => Some(error),
            Self::Load(error) => Some(error),
            Self::Model(error) => Some(error),
            Self::Shard(error) => Some(error),
            _ => None,
        }
    }
}
