//! `neuroscope tokenize`

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use clap::Args;
use neuroscope::corpus::{CorpusOptions, LeftOut};
use neuroscope::load::{LoadError, ModelFiles};
use neuroscope::scan::{self, Chat, ChatOptions, CorpusSetup, Tokenized};
use neuroscope::tokens::{BosPolicy, TokenizerError};
use serde_json::json;

use super::flags::{Flags, usage};
use super::sources::{self, DataSetArgs, Sources};
use super::{Context, model, shown};

/// Special and added tokens that are listed one by one; `--json` has all.
const MOST_LISTED: usize = 12;

#[derive(Args)]
pub(super) struct TokenizeArgs {
    /// The model whose tokenizer to use: a folder, a `.gguf` file, a name on the Hugging Face Hub, or `demo`
    #[arg(long, value_name = "MODEL")]
    model: String,
    #[arg(long, value_name = "PATH", required_unless_present = "show", num_args = 1.., help = sources::HELP)]
    corpus: Vec<PathBuf>,
    /// Only describe the tokenizer: its special and added tokens, its BOS, and the tokens of TEXT
    #[arg(long, value_name = "TEXT", num_args = 0..=1, default_missing_value = "", conflicts_with = "corpus")]
    show: Option<String>,
    /// Data folder [default: data/NAME]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    #[command(flatten)]
    data_set: DataSetArgs,
    #[command(flatten)]
    options: Flags<CorpusOptions>,
    #[command(flatten)]
    chat: Flags<ChatOptions>,
}

pub(super) fn run(context: &Context, args: &TokenizeArgs) -> Result<()> {
    if let Some(text) = &args.show {
        return show(context, &model::open(context, &args.model)?, text);
    }
    let read = read_options(context, &args.options, &args.chat, context.project.scan.bos)?;
    let corpus = sources::open(context, &args.corpus, &args.data_set)?;
    let model = model::open(context, &args.model)?;
    let data = args
        .data
        .clone()
        .unwrap_or_else(|| context.data(model.name()));
    let tokenized = tokenize(context, &model, &corpus, &read, &data)?;
    let corpus = &tokenized.manifest.corpus;
    let words = format!(
        "{} documents, {} tokens in {}",
        corpus.n_documents.unwrap_or_default(),
        corpus.n_tokens.unwrap_or_default(),
        shown(&data.join("corpus"))
    );
    context.report.result(corpus, &words)
}

/// Describes a tokenizer, and shows the tokens of a text.
fn show(context: &Context, model: &ModelFiles, text: &str) -> Result<()> {
    let (tokenizer, config) = (model.tokenizer()?, model.config()?);
    let vocabulary = tokenizer.vocabulary();
    let [normalizer, pre_tokenizer, kind] = tokenizer.kinds();
    let added = tokenizer.added_tokens();
    let bos = |policy| {
        let bos = tokenizer.bos(policy, config.bos_token_id, config.expects_bos());
        bos.map(|bos| bos.map(|bos| (bos.0, vocabulary.text(bos).into_owned())))
    };
    let (auto, always) = (bos(BosPolicy::Auto), bos(BosPolicy::Always));
    let tokens = tokenizer.encode(text);
    let tokens = tokens.map_err(|source| LoadError::Tokenizer {
        origin: model.origin().to_owned(),
        source,
    })?;
    let tokens = tokens
        .iter()
        .map(|&id| (id.0, vocabulary.text(id).into_owned()));
    let tokens: Vec<(u32, String)> = tokens.collect();
    let value = json!({
        "model": model.origin(),
        "kind": kind,
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "n_tokens": vocabulary.len(),
        "bos": {"auto": auto.as_ref().ok(), "always": always.as_ref().ok()},
        "added_tokens": added.iter().map(|(id, token, special)| json!({"id": id.0, "token": token, "special": special})).collect::<Vec<_>>(),
        "tokens": tokens,
    });

    let none = || "none".to_owned();
    let with = |bos: Result<Option<(u32, String)>, TokenizerError>| match bos {
        Ok(Some((id, token))) => format!("{token:?} ({id})"),
        Ok(None) => none(),
        Err(error) => format!("not known: {error}"),
    };
    let mut words = String::new();
    for (name, value) in [
        ("kind", kind.unwrap_or_else(none)),
        ("normalizer", normalizer.unwrap_or_else(none)),
        ("split by", pre_tokenizer.unwrap_or_else(none)),
        ("tokens", vocabulary.len().to_string()),
        (
            "BOS",
            format!("{}; with `--bos always` {}", with(auto), with(always)),
        ),
    ] {
        words.push_str(&format!("  {name:12} {value}\n"));
    }
    for (name, wanted) in [("special", true), ("added", false)] {
        let listed = added.iter().filter(|(_, _, special)| *special == wanted);
        let mut listed: Vec<_> = listed
            .map(|(id, token, _)| format!("{token:?} ({})", id.0))
            .collect();
        if listed.len() > MOST_LISTED {
            let more = listed.len() - MOST_LISTED;
            listed.truncate(MOST_LISTED);
            listed.push(format!("... and {more} more"));
        }
        if !listed.is_empty() {
            words.push_str(&format!("  {name:12} {}\n", listed.join(" ")));
        }
    }
    for (id, token) in &tokens {
        words.push_str(&format!("\n{id:8}  {token:?}"));
    }
    context.report.result(&value, words.trim_end())
}

/// How a corpus is read and made tokens.
pub(super) struct ReadOptions {
    pub(super) corpus: CorpusOptions,
    pub(super) chat: ChatOptions,
    /// Whether windows begin with a BOS, which is not to be there twice.
    pub(super) bos: BosPolicy,
}

/// The options by which a command reads its corpus, checked as far as they can be without it.
pub(super) fn read_options(
    context: &Context,
    corpus: &Flags<CorpusOptions>,
    chat: &Flags<ChatOptions>,
    bos: BosPolicy,
) -> Result<ReadOptions> {
    let options = corpus.over(&context.project.corpus)?;
    let given = chat.over(&ChatOptions::default())?;
    if options.messages_field.is_none() {
        for (flag, is_given) in [
            ("--chat-template", given.chat_template.is_some()),
            ("--chat-day", given.chat_day.is_some()),
        ] {
            if is_given {
                let reason = format!(
                    "`{flag}` is for conversations: name the field of the messages with `--messages-field`"
                );
                return Err(usage(reason).into());
            }
        }
    }
    if options.subset.sample.is_none() && options.subset.sample_seed != 0 {
        return Err(usage("`--sample-seed` needs `--sample`".into()).into());
    }
    Ok(ReadOptions {
        corpus: options,
        chat: chat.over(&context.project.chat)?,
        bos,
    })
}

/// Makes sure that the corpus of a data folder is tokenized.
pub(super) fn tokenize(
    context: &Context,
    model: &ModelFiles,
    corpus: &Sources,
    options: &ReadOptions,
    data: &Path,
) -> Result<Tokenized> {
    let tokenizer = model.tokenizer()?;
    let config = model.config()?;
    let template = match options.corpus.messages_field {
        Some(_) => Some(options.chat.template(model)?),
        None => None,
    };
    let chat = template.as_ref().map(|template| {
        let bos = tokenizer.bos(options.bos, config.bos_token_id, config.expects_bos());
        let bos = bos.map_err(|source| LoadError::Tokenizer {
            origin: model.origin().to_owned(),
            source,
        })?;
        Ok::<_, LoadError>(Chat { template, bos })
    });
    let setup = CorpusSetup {
        name: &corpus.name,
        data_sets: &corpus.data_sets,
        options: &options.corpus,
        tokenizer: &tokenizer,
        tokenizer_json: model.tokenizer_json()?,
        d_vocab: config.d_vocab,
        chat: chat.transpose()?,
    };
    let bar = context.report.bar("tokenize", 0, "bytes");
    let n_bytes = AtomicU64::new(0);
    let progress = |done| {
        n_bytes.store(done, Ordering::Relaxed);
        bar.set(done)
    };
    let tokenized = scan::tokenize(&corpus.sources, &setup, &data.join("corpus"), &progress)?;
    let manifest = &tokenized.manifest;
    let n_skipped = manifest.corpus.n_skipped.unwrap_or_default();
    if n_skipped > 0 {
        let texts = if n_skipped == 1 { "text" } else { "texts" };
        context.report.note(&format!(
            "skipped {n_skipped} {texts}: unreadable, with a token that has no embedding, or refused by the chat template"
        ));
    }
    if let Some(words) = LeftOut(manifest.left_out.clone()).words() {
        context
            .report
            .note(&format!("left out of the corpus: {words}"));
    }
    if manifest.corpus.n_cuts > 0 {
        context.report.note(&format!(
            "words of over 64 kB were cut at {} places, so their tokens may differ from those of the uncut words",
            manifest.corpus.n_cuts
        ));
    }
    match n_bytes.load(Ordering::Relaxed) {
        0 => bar.clear(), // it was there already
        n => bar.finish(n),
    }
    Ok(tokenized)
}
