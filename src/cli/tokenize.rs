//! `neuroscope tokenize`

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use neuroscope::corpus::{CorpusOptions, Source};
use neuroscope::load::ModelFiles;
use neuroscope::scan::{self, With};
use neuroscope::shard::CorpusManifest;

use super::flags::Flags;
use super::{Context, shown};

#[derive(Args)]
pub(super) struct TokenizeArgs {
    /// The model whose tokenizer is used: a folder in the Hugging Face layout, or `demo`
    #[arg(long, value_name = "MODEL")]
    model: String,
    /// Files (.jsonl, .txt, each also .gz or .zst) and folders of them, or `demo`
    #[arg(long, value_name = "PATH", required = true, num_args = 1..)]
    corpus: Vec<PathBuf>,
    /// Data folder [default: data/NAME]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    #[command(flatten)]
    options: Flags<CorpusOptions>,
}

pub(super) fn run(context: &Context, args: &TokenizeArgs) -> Result<()> {
    let model = ModelFiles::open(&args.model)?;
    let data = args
        .data
        .clone()
        .unwrap_or_else(|| context.data(model.name()));
    let options = args.options.over(&context.project.corpus)?;
    let manifest = tokenize(context, &model, &args.corpus, &options, &data)?;
    let corpus = &manifest.corpus;
    let words = format!(
        "{} documents, {} tokens in {}",
        corpus.n_documents,
        corpus.n_tokens,
        shown(&data.join("corpus"))
    );
    context.report.result(corpus, &words)
}

/// Makes sure that the corpus of a data folder is tokenized.
pub(super) fn tokenize(
    context: &Context,
    model: &ModelFiles,
    corpus: &[PathBuf],
    options: &CorpusOptions,
    data: &Path,
) -> Result<CorpusManifest> {
    let sources = corpus
        .iter()
        .map(|path| source(path))
        .collect::<Result<Vec<_>>>()?;
    let name = match corpus {
        [one] if one == Path::new("demo") => "demo texts".into(),
        [one] => one
            .file_name()
            .unwrap_or(one.as_os_str())
            .to_string_lossy()
            .into_owned(),
        more => format!("{} paths", more.len()),
    };
    let tokenizer = model.tokenizer()?;
    let with = With {
        name: &name,
        options,
        tokenizer: &tokenizer,
        tokenizer_json: model.tokenizer_json()?,
        d_vocab: model.config()?.d_vocab,
    };
    let bar = context.report.bar("tokenize", 0, "bytes");
    let manifest = scan::tokenize(&sources, &with, &data.join("corpus"), &|done| bar.set(done))?;
    if manifest.corpus.n_skipped > 0 {
        context.report.note(&format!(
            "skipped {} texts that could not be read",
            manifest.corpus.n_skipped
        ));
    }
    bar.finish(manifest.corpus.n_tokens);
    Ok(manifest)
}

fn source(path: &Path) -> Result<Source> {
    #[cfg(feature = "demo")]
    if path == Path::new("demo") {
        return Ok(neuroscope::demo::CORPUS);
    }
    Ok(Source::Path(path.to_owned()))
}
