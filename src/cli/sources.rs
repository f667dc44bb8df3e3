//! What `--corpus` names: the demo's texts, files and folders, data sets on the Hub.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use neuroscope::corpus::{STDIN, Source};
use neuroscope::load::{Choice, DataSet, DataSetError, LoadError, PREFIX};
use neuroscope::shard::DataSetInfo;

use super::flags::usage;
use super::report::Advice;
use super::{Context, interrupt, model};

/// What `--corpus` takes.
pub(super) const HELP: &str = "Files (.jsonl, .json, .parquet, .csv, .tsv, .txt, .md, also as .gz or .zst) and folders of them, data sets on the \
Hugging Face Hub (hf:OWNER/NAME, optionally with @REVISION), `-` for standard input, or `demo`";

#[derive(Args, Default)]
pub(super) struct DataSetArgs {
    /// Config of a data set on the Hub [default: the data set's]
    #[arg(long, value_name = "NAME")]
    config: Option<String>,
    /// Split of a data set on the Hub [default: train, or the only one]
    #[arg(long, value_name = "NAME")]
    split: Option<String>,
}

/// Where the texts of a corpus are.
pub(super) struct Sources {
    /// What the corpus is called.
    pub(super) name: String,
    pub(super) sources: Vec<Source>,
    pub(super) data_sets: Vec<DataSetInfo>,
}

/// The name of a data set on the Hub.
fn data_set_name(path: &Path) -> Option<&str> {
    path.to_str().filter(|name| name.starts_with(PREFIX))
}

/// Finds the texts that a command is given. Of data sets, only small files are fetched.
pub(super) fn open(context: &Context, corpus: &[PathBuf], args: &DataSetArgs) -> Result<Sources> {
    let n_data_sets = corpus.iter().filter_map(|path| data_set_name(path)).count();
    for (flag, value) in [("--config", &args.config), ("--split", &args.split)] {
        if n_data_sets == 0 && value.is_some() {
            let reason = format!(
                "`{flag}` chooses a part of a data set on the Hub, but `--corpus` names none: write `--corpus {PREFIX}OWNER/NAME`"
            );
            return Err(usage(reason).into());
        }
    }
    let (mut sources, mut data_sets) = (Vec::new(), Vec::new());
    for path in corpus {
        match data_set_name(path) {
            Some(name) => {
                let data_set = data_set(context, name, args)?;
                sources.extend(data_set.files);
                data_sets.push(DataSetInfo {
                    id: data_set.id,
                    revision: data_set.revision,
                    config: data_set.config,
                    split: data_set.split,
                    converted: data_set.is_converted,
                });
            }
            None => sources.push(source(path)?),
        }
    }
    let name = match (corpus, data_sets.as_slice()) {
        ([_], [data_set]) => {
            let chosen = [&args.config, &args.split].into_iter().flatten();
            let chosen: Vec<&str> = chosen.map(String::as_str).collect();
            match chosen.is_empty() {
                true => data_set.id.clone(),
                false => format!("{} ({})", data_set.id, chosen.join(", ")),
            }
        }
        ([one], _) if one == Path::new("demo") => "demo texts".into(),
        ([one], _) if one == Path::new(STDIN) => "standard input".into(),
        ([one], _) => one
            .file_name()
            .unwrap_or(one.as_os_str())
            .to_string_lossy()
            .into_owned(),
        (more, []) => format!("{} paths", more.len()),
        (more, _) => format!("{} sources", more.len()),
    };
    Ok(Sources {
        name,
        sources,
        data_sets,
    })
}

fn data_set(context: &Context, name: &str, args: &DataSetArgs) -> Result<DataSet> {
    let choice = Choice {
        config: args.config.clone(),
        split: args.split.clone(),
    };
    let progress = std::sync::Arc::new(model::fetching(context.report));
    let data_set = match DataSet::open(name, &choice, progress) {
        Err(DataSetError::Load(LoadError::Interrupted)) => interrupt::leave(),
        data_set => data_set?,
    };
    for note in &data_set.notes {
        context.report.note(&format!("note: {note}"));
    }
    Ok(data_set)
}

fn source(path: &Path) -> Result<Source> {
    #[cfg(feature = "demo")]
    if path == Path::new("demo") {
        return Ok(neuroscope::demo::CORPUS);
    }
    if path == Path::new(STDIN) {
        return Ok(Source::Stdin);
    }
    // `owner/name`, where nobody has such a file
    let parts: Vec<_> = path.iter().collect();
    if parts.len() == 2 && path.is_relative() && path.extension().is_none() && !path.exists() {
        let path = path.display();
        return Err(Advice::error(
            format!("there is no file or folder `{path}`"),
            format!("for a data set on the Hugging Face Hub write `--corpus {PREFIX}{path}`"),
        ));
    }
    Ok(Source::Path(path.to_owned()))
}
