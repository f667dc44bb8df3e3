//! Documents to a token store, many at a time, in their order.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::corpus::{
    Content, Corpus, CorpusError, CorpusOptions, Document, Message, STDIN, Selection, Source,
    StdinCopy,
};
use crate::files::{hash_file, hex};
use crate::ids::{RoleId, TokenId};
use crate::shard::{
    AtlasManifest, ChatInfo, CorpusInfo, CorpusManifest, DataSetInfo, FileEntry, Folder, Lock,
    MANIFEST, Manifest, PartManifest, ScanIdentity, ShardError, SourceInfo, TOKENIZER_FILE,
    read_manifest, verify_files,
};
use crate::tokens::chat::{ChatError, ChatTemplate, Conversation, Day};
use crate::tokens::store::{DocumentInfo, StoreWriter, hash_document};
use crate::tokens::{Encoded, Tokenizer};

use super::Progress;
use super::checkpoint;
use super::error::ScanError;

/// Text that is encoded at one go.
const CHUNK_BYTES: u64 = 4 << 20;

/// Bytes of a token, of most texts at least.
const LEAST_BYTES: u64 = 2;

/// How a corpus is tokenized.
pub struct CorpusSetup<'a> {
    /// Name that the corpus is to have.
    pub name: &'a str,
    /// The data sets of the Hub that it is of, besides other files.
    pub data_sets: &'a [DataSetInfo],
    /// How its files are read.
    pub options: &'a CorpusOptions,
    /// The tokenizer.
    pub tokenizer: &'a Tokenizer,
    /// Its file.
    pub tokenizer_json: &'a [u8],
    /// Rows of the model's embedding.
    pub d_vocab: usize,
    /// How its conversations become text, if it has any.
    pub chat: Option<Chat<'a>>,
}

/// How conversations become text.
#[derive(Clone, Copy)]
pub struct Chat<'a> {
    /// The template.
    pub template: &'a ChatTemplate,
    /// The token that windows begin with. Where a text begins with it as well, it is taken away there.
    pub bos: Option<TokenId>,
}

impl Chat<'_> {
    /// What there is to know of it, with the roles of a corpus.
    fn info(self, roles: &[String]) -> ChatInfo {
        let template = self.template;
        ChatInfo {
            template_sha256: template.sha256().to_owned(),
            special_tokens: template.special_tokens().clone(),
            day: template.day().map(|day| day.to_string()),
            bos: self.bos.map(|bos| bos.0),
            roles: roles.to_vec(),
        }
    }

    /// Whether a corpus was made in this way.
    fn made(self, known: &ChatInfo) -> bool {
        let day = known.day.as_ref().map(|day| day.parse::<Day>());
        let accepts_day = match day.transpose() {
            Ok(day) => self.template.accepts_day(day),
            Err(_) => false,
        };
        let same_but_day = ChatInfo {
            day: known.day.clone(),
            ..self.info(&known.roles)
        };
        accepts_day && same_but_day == *known
    }
}

/// The tokens of a document, and whose they are.
struct EncodedDocument {
    encoded: Encoded,
    /// The conversation that it was, with the part of the text at the place of each token.
    conversation: Option<Conversation>,
}

impl EncodedDocument {
    fn n_tokens(&self) -> usize {
        self.encoded.tokens.len()
    }
}

/// A token store that nobody replaces while this is kept.
pub struct Tokenized {
    /// What it is of.
    pub manifest: CorpusManifest,
    _lock: Lock,
}

/// How long to wait for others who look at a store before they are taken for scans that need it.
const PATIENCE: Duration = Duration::from_secs(2);

/// Makes sure that `target`, the folder `corpus` of a data folder, is the token store of some sources: one that is there
/// and was made from the same files in the same way stays. One that an atlas or a part in the data folder was scanned on
/// is not replaced by another. `progress` is called with the bytes of text done.
///
/// Standard input is copied to a file beside the store first. If nothing comes from it, a store that was made from it in the
/// same way stays as well, so that a scan goes on without it.
pub fn tokenize(
    sources: &[Source],
    setup: &CorpusSetup<'_>,
    target: &Path,
    progress: Progress<'_>,
) -> Result<Tokenized, ScanError> {
    let (sources, without_input) = copy_stdin(sources, target, progress)?;
    let corpus = Corpus::open(&sources, setup.options.clone())?;
    let inputs = corpus.files().map(input).collect::<Result<Vec<_>, _>>()?;
    let tokenizer_sha256 = hex(&Sha256::digest(setup.tokenizer_json));
    let options = serde_json::to_value(setup.options).unwrap_or_default();
    let is_without_input = without_input.is_some();
    let same_inputs = |known: &CorpusManifest| {
        let (of_stdin, others): (Vec<_>, Vec<_>) =
            (known.inputs.iter()).partition(|input| is_without_input && input.name == STDIN);
        let mut pairs = others.iter().zip(&inputs);
        of_stdin.is_empty() != is_without_input
            && others.len() == inputs.len()
            && pairs.all(|(a, b)| is_same_file(a, b))
    };
    // an older version wrote fewer options, which have their defaults
    let same_options = |known: &CorpusManifest| {
        let known = serde_json::from_value::<CorpusOptions>(known.options.clone());
        known.is_ok_and(|known| known == *setup.options)
    };
    // documents are called by their data set where they do not say where they come from
    let same_data_sets = |known: &CorpusManifest| {
        let known = &known.corpus.data_sets;
        let mut pairs = known.iter().zip(setup.data_sets);
        known.len() == setup.data_sets.len() && pairs.all(|(a, b)| a.is_same_split(b))
    };
    let same_chat = |known: &CorpusManifest| match (&known.corpus.chat, setup.chat) {
        (Some(known), Some(chat)) => chat.made(known),
        (known, chat) => known.is_none() && chat.is_none(),
    };
    let same = |known: &CorpusManifest| {
        same_inputs(known)
            && same_data_sets(known)
            && same_options(known)
            && same_chat(known)
            && known.tokenizer_sha256 == tokenizer_sha256
    };
    let there = || match read_manifest::<CorpusManifest>(target) {
        Ok(known) if same(&known) && verify_files(target, &known.files).is_ok() => Some(known),
        _ => None,
    };
    // side by side, only the first one has to do it
    let started = Instant::now();
    let lock = loop {
        let shared = Lock::share(target)?;
        if let Some(manifest) = there() {
            return Ok(Tokenized {
                manifest,
                _lock: shared,
            });
        }
        drop(shared);
        if let Some(error) = without_input {
            return Err(error.into());
        }
        match Lock::try_take(target)? {
            Some(lock) => break lock,
            None if started.elapsed() > PATIENCE => {
                return Err(ScanError::CorpusInWork(target.to_owned()));
            }
            None => thread::sleep(PATIENCE / 20),
        }
    };
    let scans = scans_beside(target)?;
    let is_unknown = |(_, scan): &&(PathBuf, ScanIdentity)| scan.corpus.sha256.is_none();
    if let Some((path, _)) = scans.iter().find(is_unknown) {
        return Err(ScanError::UnknownCorpus(path.clone()));
    }
    let in_use = |needed_by: &Path, what| ScanError::CorpusInUse {
        store: target.to_owned(),
        needed_by: needed_by.to_owned(),
        what,
    };
    // other files are another corpus, which is known before they are read
    if let Ok(known) = read_manifest::<CorpusManifest>(target)
        && let Some((path, _)) = scans.iter().find(|(_, scan)| is_scan_of(scan, &known))
    {
        if known.tokenizer_sha256 != tokenizer_sha256 || !same_chat(&known) {
            return Err(in_use(path, "tokens"));
        }
        if !same_inputs(&known) {
            return Err(in_use(path, "files"));
        }
    }
    let manifest = CorpusManifest {
        schema: CorpusManifest::SCHEMA.into(),
        neuroscope: env!("CARGO_PKG_VERSION").into(),
        corpus: CorpusInfo {
            name: setup.name.into(),
            subset: setup.options.subset.clone(),
            data_sets: setup.data_sets.to_vec(),
            ..Default::default()
        },
        tokenizer_sha256: tokenizer_sha256.clone(),
        inputs: inputs.clone(),
        options: options.clone(),
        left_out: corpus.left_out().0.clone(),
        files: Vec::new(),
    };
    if lock.is_held() {
        Folder::remove_unfinished(target)?;
    }
    let (folder, manifest) = write_store(corpus, manifest, setup, target, progress)?;
    // without locks, another process may have done the same meanwhile, and others may be reading it
    if let (false, Some(manifest)) = (lock.is_held(), there()) {
        return Ok(Tokenized {
            manifest,
            _lock: lock,
        });
    }
    if let Some((path, _)) = scans.iter().find(|(_, scan)| !is_scan_of(scan, &manifest)) {
        return Err(in_use(path, "texts"));
    }
    folder.finish(&manifest)?;
    drop(lock);
    // another process may be faster than this one, but not with another corpus once this one has it
    let lock = Lock::share(target)?;
    match read_manifest::<CorpusManifest>(target) {
        Ok(found) if found == manifest => Ok(Tokenized {
            manifest,
            _lock: lock,
        }),
        _ => Err(ScanError::CorpusInWork(target.to_owned())),
    }
}

/// Sources with a copy of standard input in its place. If nothing comes from it: those without it, and why.
fn copy_stdin(
    sources: &[Source],
    target: &Path,
    progress: Progress<'_>,
) -> Result<(Vec<Source>, Option<CorpusError>), ScanError> {
    let is_stdin = |source: &Source| matches!(source, Source::Stdin);
    if !sources.iter().any(is_stdin) {
        return Ok((sources.to_vec(), None));
    }
    let folder = target.parent().unwrap_or(target);
    fs::create_dir_all(folder).map_err(|source| ShardError::io("create", folder, source))?;
    let others = || sources.iter().filter(|source| !is_stdin(source)).cloned();
    match StdinCopy::read(folder, &|| progress(0)) {
        Ok(copy) => {
            let copy = Source::Copied(Arc::new(copy));
            let copied = |source: &Source| match source {
                Source::Stdin => copy.clone(),
                other => other.clone(),
            };
            Ok((sources.iter().map(copied).collect(), None))
        }
        Err(error @ (CorpusError::Terminal | CorpusError::NoInput)) => {
            Ok((others().collect(), Some(error)))
        }
        Err(CorpusError::Io { source, .. }) if source.kind() == io::ErrorKind::Interrupted => {
            Err(ScanError::Interrupted)
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether a scan was of the corpus that a manifest describes, with the same tokens.
fn is_scan_of(scan: &ScanIdentity, corpus: &CorpusManifest) -> bool {
    scan.corpus.sha256 == corpus.corpus.sha256
        && scan.corpus.chat == corpus.corpus.chat
        && scan.model.tokenizer_sha256.as_ref() == Some(&corpus.tokenizer_sha256)
}

/// The atlas, the parts and the checkpoints of parts that need the token store `target`, with what they are of.
fn scans_beside(target: &Path) -> Result<Vec<(PathBuf, ScanIdentity)>, ScanError> {
    let is_there = |folder: &Path| folder.join(MANIFEST).is_file();
    let atlas = target.with_file_name("atlas");
    let mut scans = Vec::new();
    if is_there(&atlas) {
        let scan = read_manifest::<AtlasManifest>(&atlas)?.scan;
        scans.push((atlas, scan));
    }
    let parts = target.with_file_name("parts");
    let entries = match fs::read_dir(&parts) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        // a part that cannot be seen may need its corpus all the same
        entries => entries.and_then(|entries| {
            let paths = entries.map(|entry| Ok(entry?.path()));
            paths.collect::<io::Result<Vec<PathBuf>>>()
        }),
    };
    let mut paths = entries.map_err(|source| ShardError::io("read", &parts, source))?;
    paths.sort();
    for path in paths {
        if is_there(&path) {
            let scan = read_manifest::<PartManifest>(&path)?.scan;
            scans.push((path, scan));
        } else if let Some(scan) = checkpoint::scan_of(&path) {
            scans.push((path, scan));
        }
    }
    Ok(scans)
}

/// Whether two files have the same name and content, in whatever folders they are.
fn is_same_file(a: &FileEntry, b: &FileEntry) -> bool {
    let name = |file: &FileEntry| Path::new(&file.name).file_name().map(OsStr::to_owned);
    name(a) == name(b) && (a.bytes, &a.sha256) == (b.bytes, &b.sha256)
}

/// Name, length and hash of a file of a corpus.
fn input(source: &Source) -> Result<FileEntry, ScanError> {
    let (name, (bytes, sha256)) = match source {
        Source::Path(path) => {
            let hashed = hash_file(path).map_err(|source| CorpusError::Io {
                path: path.clone(),
                source,
            })?;
            (path.display().to_string(), hashed)
        }
        Source::Embedded(name, bytes) => {
            let sha256 = hex(&Sha256::digest(bytes));
            ((*name).to_owned(), (bytes.len() as u64, sha256))
        }
        Source::Copied(copy) => (STDIN.to_owned(), (copy.bytes, copy.sha256.clone())),
        Source::Remote(file) => (
            file.name().to_owned(),
            (file.bytes(), file.sha256().to_owned()),
        ),
        Source::Stdin => return Err(CorpusError::NoInput.into()),
    };
    Ok(FileEntry {
        name,
        bytes,
        sha256,
    })
}

/// Fails if the model has no embedding for a token of a document.
fn check_embeddings(
    document: &Document,
    tokens: &[TokenId],
    setup: &CorpusSetup<'_>,
) -> Result<(), ScanError> {
    let without = tokens.iter().find(|id| id.0 as usize >= setup.d_vocab);
    match without {
        Some(&id) => Err(ScanError::NoEmbedding {
            document: document.id.clone(),
            token: setup.tokenizer.vocabulary().text(id).into_owned(),
            id: id.0,
            d_vocab: setup.d_vocab,
        }),
        None => Ok(()),
    }
}

/// The tokens of a document, each of which has an embedding.
fn encode(
    document: &Document,
    setup: &CorpusSetup<'_>,
    go_on: &dyn Fn() -> bool,
) -> Result<EncodedDocument, ScanError> {
    let id = || document.id.clone();
    let tokenizer = setup.tokenizer;
    let (encoded, conversation) = match (&document.content, setup.chat) {
        (Content::Text(text), _) => (tokenizer.encode_document(text), None),
        (Content::Messages(_), None) => {
            return Err(ScanError::NoChatTemplate(format!(
                "corpus `{}`",
                setup.name
            )));
        }
        (Content::Messages(messages), Some(Chat { template, bos })) => {
            let messages: Vec<_> = messages.iter().map(Message::fields).collect();
            let conversation = template.apply(&messages, go_on);
            let conversation = conversation.map_err(|source| match source {
                ChatError::Interrupted => ScanError::Interrupted,
                source => ScanError::Chat {
                    document: id(),
                    source,
                },
            })?;
            let mut encoded = tokenizer.encode_with_places(&conversation.text);
            if let Ok(encoded) = &mut encoded
                && bos.is_some()
                && encoded.tokens.first().copied() == bos
            {
                encoded.tokens.remove(0);
                encoded.places.remove(0);
            }
            (encoded, Some(conversation))
        }
    };
    let encoded = encoded.map_err(|source| ScanError::Tokenizer {
        document: id(),
        source,
    })?;
    check_embeddings(document, &encoded.tokens, setup)?;
    Ok(EncodedDocument {
        encoded,
        conversation,
    })
}

fn write_store(
    corpus: Corpus,
    mut manifest: CorpusManifest,
    setup: &CorpusSetup<'_>,
    target: &Path,
    progress: Progress<'_>,
) -> Result<(Folder, CorpusManifest), ScanError> {
    let folder = Folder::create(target)?;
    let Some(mut documents) = Selection::new(corpus, folder.path(), &|| progress(0))? else {
        return Err(ScanError::Interrupted);
    };
    let most = setup.options.subset.max_tokens.map(|most| most.0);
    let mut writer = match setup.chat {
        Some(_) => StoreWriter::create_for_chat(folder.path(), setup.d_vocab)?,
        None => StoreWriter::create(folder.path(), setup.d_vocab)?,
    };
    let mut hash = Sha256::new();
    let mut sources: BTreeMap<(String, String), (u64, u64)> = BTreeMap::new();
    let (mut n_documents, mut n_tokens, mut n_cuts) = (0u64, 0u64, 0u64);
    let (mut n_unreadable, mut n_skipped, mut done) = (0u64, 0u64, 0u64);
    'chunks: loop {
        // each with the number of texts that were skipped before it
        let mut chunk: Vec<(Document, u64)> = Vec::new();
        let mut bytes = 0;
        // towards the end of what is wanted, so few that files after it need not be fetched
        let left = most.map_or(u64::MAX, |most| most - n_tokens);
        let enough = left.saturating_mul(LEAST_BYTES).clamp(1, CHUNK_BYTES);
        while bytes < enough {
            let Some(document) = documents.next().transpose()? else {
                break;
            };
            bytes += document.content.bytes().len() as u64;
            chunk.push((document, documents.skipped()));
        }
        if chunk.is_empty() {
            n_unreadable = documents.skipped();
            break;
        }
        let encoded: Vec<_> = (chunk.par_iter())
            .map(|(document, _)| encode(document, setup, &|| progress(done)))
            .collect();
        for ((document, n_before), encoded) in chunk.iter().zip(encoded) {
            let n = encoded.as_ref().map_or(0, EncodedDocument::n_tokens);
            if let Some(most) = most
                && n_tokens + n as u64 > most
            {
                if n_documents == 0 {
                    return Err(ScanError::FirstDocumentTooLong {
                        document: document.id.clone(),
                        n_tokens: n,
                        most,
                    });
                }
                break 'chunks;
            }
            n_unreadable = *n_before;
            let encoded = match encoded {
                Err(ScanError::Chat { .. } | ScanError::NoEmbedding { .. })
                    if setup.options.skip_invalid =>
                {
                    n_skipped += 1;
                    continue;
                }
                encoded => encoded?,
            };
            let tokens = encoded.encoded.tokens;
            let mut roles = Vec::new();
            if let Some(conversation) = &encoded.conversation {
                for place in &encoded.encoded.places {
                    roles.push(match conversation.part_at(place) {
                        Some(part) => writer.role(&part.role)?,
                        None => RoleId::NONE,
                    });
                }
            }
            let info = DocumentInfo {
                id: &document.id,
                source: &document.source,
                license: &document.license,
            };
            hash_document(&mut hash, &document.content.bytes(), &info);
            writer.push_with_roles(info, &tokens, &roles)?;
            let source = sources
                .entry((document.source.clone(), document.license.clone()))
                .or_default();
            *source = (source.0 + 1, source.1 + tokens.len() as u64);
            n_documents += 1;
            n_tokens += tokens.len() as u64;
            n_cuts += encoded.encoded.n_cuts;
        }
        done += bytes;
        if !progress(done) {
            return Err(ScanError::Interrupted);
        }
    }
    if n_tokens == 0 {
        return Err(ScanError::NoText {
            corpus: setup.name.to_owned(),
            sample: setup.options.subset.sample,
            n_skipped: n_unreadable + n_skipped,
        });
    }
    let chat = setup.chat.map(|chat| chat.info(writer.role_names()));
    let mut names = writer.finish()?;
    let path = folder.path().join(TOKENIZER_FILE);
    File::create_new(&path)
        .and_then(|mut file| file.write_all(setup.tokenizer_json))
        .map_err(|source| ShardError::io("write", &path, source))?;
    names.push(TOKENIZER_FILE.into());
    let sources = sources
        .into_iter()
        .map(|((source, license), (n_documents, n_tokens))| SourceInfo {
            source,
            license,
            n_documents,
            n_tokens,
        });
    manifest.corpus = CorpusInfo {
        sha256: Some(hex(&hash.finalize())),
        n_documents: Some(n_documents),
        n_tokens: Some(n_tokens),
        n_skipped: Some(n_unreadable + n_skipped),
        n_cuts,
        sources: sources.collect(),
        chat,
        ..manifest.corpus
    };
    manifest.files = folder.entries(names)?;
    Ok((folder, manifest))
}
