//! `neuroscope scan`

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use neuroscope::atlas::Atlas;
use neuroscope::corpus::CorpusOptions;
use neuroscope::ids::ModelName;
use neuroscope::load::ModelFiles;
use neuroscope::scan::{self, ChatOptions, Checked, ScanError, ScanOptions, Setup, Watch};
use neuroscope::shard::{PartInfo, PartManifest, part_folder, read_manifest, verify_files};
use serde_json::json;

use super::flags::Flags;
use super::report::{Advice, human, human_time};
use super::sources::{self, DataSetArgs, Sources};
use super::tokenize::{self, ReadOptions};
use super::{Context, folders, merge, model, shown};

/// Time between two checkpoints, if not said otherwise.
pub(super) const CHECKPOINT_EVERY: Duration = Duration::from_secs(600);

#[derive(Args)]
pub(super) struct ScanArgs {
    /// The model: a folder, a `.gguf` file, a name on the Hugging Face Hub (optionally with @REVISION), or `demo`
    #[arg(long, value_name = "MODEL")]
    model: String,
    #[arg(long, value_name = "PATH", required = true, num_args = 1.., help = sources::HELP)]
    corpus: Vec<PathBuf>,
    /// Name of the model in the atlas [default: the folder's]
    #[arg(long)]
    name: Option<String>,
    /// Data folder [default: data/NAME]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Scan one part only, such as 0/8 for the first of eight; `neuroscope merge` joins them
    #[arg(long, value_name = "I/N")]
    part: Option<Part>,
    /// Only predict what the scan will take: tokens, memory, disk, time
    #[arg(long)]
    plan: bool,
    /// Start over, and discard what an earlier run left
    #[arg(long)]
    restart: bool,
    /// Time between checkpoints, such as 30s, 10m or 2h; 0 writes one after every batch
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = duration)]
    checkpoint_every: Duration,
    #[command(flatten, next_help_heading = "Corpus")]
    data_set: DataSetArgs,
    #[command(flatten, next_help_heading = "Corpus")]
    corpus_options: Flags<CorpusOptions>,
    #[command(flatten, next_help_heading = "Conversations")]
    chat: Flags<ChatOptions>,
    #[command(flatten, next_help_heading = "Scan")]
    options: Flags<ScanOptions>,
}

/// `i/n`, counted from 0.
#[derive(Clone, Copy)]
struct Part(PartInfo);

impl FromStr for Part {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (index, of) = text.split_once('/').ok_or("expected I/N, such as 0/8")?;
        let number = |text: &str| text.parse::<u32>().map_err(|error| error.to_string());
        let part = PartInfo {
            index: number(index)?,
            of: number(of)?,
        };
        match part.of.checked_sub(1) {
            Some(last) if part.index <= last => Ok(Self(part)),
            Some(last) => Err(format!("parts count from 0 to {last}")),
            None => Err("there is at least one part".into()),
        }
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.');
    let (number, unit) = text.split_at(split.unwrap_or(text.len()));
    let number: f64 = number.parse().map_err(|_| "expected a time, such as 10m")?;
    let seconds = match unit {
        "s" => number,
        "m" => number * 60.0,
        "h" => number * 3600.0,
        "" if number == 0.0 => 0.0,
        _ => return Err("expected a unit: s, m or h".into()),
    };
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// What is to be scanned.
pub(super) struct Scan<'a> {
    pub(super) model: &'a ModelFiles,
    pub(super) name: &'a str,
    pub(super) corpus: &'a Sources,
    pub(super) read: &'a ReadOptions,
    pub(super) options: &'a ScanOptions,
    pub(super) data: &'a Path,
    pub(super) checkpoint_every: Duration,
    pub(super) restart: bool,
}

pub(super) fn run(context: &Context, args: &ScanArgs) -> Result<()> {
    let options = args.options.over(&context.project.scan)?;
    let read = tokenize::read_options(context, &args.corpus_options, &args.chat, options.bos)?;
    if read.corpus.messages_field.is_none() && !options.count_roles.is_empty() {
        return Err(ScanError::NoRoles.into());
    }
    // what is wrong with a data set is said before a model is fetched
    let corpus = sources::open(context, &args.corpus, &args.data_set)?;
    let model = model::open(context, &args.model)?;
    let name = ModelName::new(args.name.as_deref().unwrap_or(model.name()))?;
    let data = (args.data.clone()).unwrap_or_else(|| context.data(name.as_str()));
    check_free(context, &name, &data)?;
    let scan = Scan {
        model: &model,
        name: name.as_str(),
        corpus: &corpus,
        read: &read,
        options: &options,
        data: &data,
        checkpoint_every: args.checkpoint_every,
        restart: args.restart,
    };
    let part = args.part.map(|Part(part)| part);
    if args.plan {
        return plan(context, &scan, part.unwrap_or(PartInfo { index: 0, of: 1 }));
    }
    let manifest = scan_part(context, &scan, part.unwrap_or(PartInfo { index: 0, of: 1 }))?;
    if part.is_some() {
        let words = format!(
            "part {} of {} is in {}",
            manifest.part.index,
            manifest.part.of,
            shown(&data.join("parts"))
        );
        return context.report.result(
            &json!({"part": manifest.part, "documents": manifest.documents}),
            &words,
        );
    }
    merge::merge(context, &data, Some(&model))?;
    let words = format!(
        "the atlas is in {}; `neuroscope build` makes its website",
        shown(&data)
    );
    context
        .report
        .result(&json!({"data": data, "model": name}), &words)
}

/// Refuses a name that another scan of the project has: one site could not have both.
fn check_free(context: &Context, name: &ModelName, data: &Path) -> Result<()> {
    let folder = context.folder.join("data");
    if data.parent() != Some(&folder) {
        return Ok(());
    }
    for other in folders(&folder)? {
        if other == data {
            continue;
        }
        let scanned = Atlas::read_manifest(&other.join("atlas"));
        let scanned = scanned.map(|manifest| manifest.scan.model.name);
        let own = other.file_name().unwrap_or_default().to_string_lossy();
        let names = [scanned.unwrap_or_default(), own.into_owned()];
        let known = names.iter().filter_map(|name| ModelName::new(name).ok());
        if known.into_iter().any(|other| other.is_same_folder(name)) {
            let other = shown(&other);
            return Err(Advice::error(
                format!(
                    "`{other}` holds a scan named `{name}`, or so except for upper and lower case"
                ),
                "choose another name with `--name`, or remove that scan",
            ));
        }
    }
    Ok(())
}

/// Says what a scan will take.
fn plan(context: &Context, scan: &Scan<'_>, part: PartInfo) -> Result<()> {
    let checked = Checked::new(scan.model, scan.options)?;
    let data = scan.data;
    let corpus = tokenize::tokenize(context, scan.model, scan.corpus, scan.read, data)?;
    let store = data.join("corpus");
    let plan = scan::plan(scan.name, checked, &corpus.manifest, &store, part)?;
    let mb = |bytes: u64| format!("{:.0} MB", bytes as f64 / 1e6);
    let (memory, disk) = (&plan.memory, &plan.disk);
    let rest = mb(memory.program + memory.tables);
    let in_memory = match memory.on_gpu {
        0 => format!(
            "{}: weights {}, neurons {}, a batch {}, the rest {rest}",
            mb(memory.total),
            mb(memory.weights),
            mb(memory.state),
            mb(memory.batch),
        ),
        on_gpu => format!(
            "{}: neurons {}, the rest {rest}; on the GPU {}: weights {}, statistics and a batch {}",
            mb(memory.total),
            mb(memory.state),
            mb(on_gpu),
            mb(memory.weights),
            mb(on_gpu - memory.weights),
        ),
    };
    let rows = [
        ("tokens", human(plan.n_tokens as f64)),
        ("parameters", human(plan.n_parameters as f64)),
        ("neurons", human(plan.n_neurons as f64)),
        ("runs on", plan.runs_on.clone()),
        ("memory", in_memory),
        (
            "disk",
            format!(
                "part {}, atlas {}, checkpoints {} while it runs; the corpus has {}",
                mb(disk.part),
                mb(disk.atlas),
                mb(disk.checkpoints),
                mb(disk.corpus)
            ),
        ),
        (
            "time",
            format!(
                "{} ({:.0} tokens/s)",
                human_time(plan.seconds),
                plan.tokens_per_s
            ),
        ),
    ];
    let rows = rows.map(|(name, value)| format!("{name:12}{value}"));
    context.report.result(&plan, &rows.join("\n"))
}

/// Makes sure that a part is scanned.
pub(super) fn scan_part(
    context: &Context,
    scan: &Scan<'_>,
    part: PartInfo,
) -> Result<PartManifest> {
    // what can be known to be wrong is said before the corpus is read, also of what comes after the scan
    context.project.weights.check()?;
    let checked = Checked::new(scan.model, scan.options)?;
    let target = scan.data.join("parts").join(part_folder(part));
    scan::check_split(&target, part)?;
    let corpus = tokenize::tokenize(context, scan.model, scan.corpus, scan.read, scan.data)?;
    let store = scan.data.join("corpus");
    let setup = Setup::new(scan.name, checked, &corpus.manifest, &store)?;
    if !scan.restart
        && let Ok(known) = read_manifest::<PartManifest>(&target)
        && known.scan.difference(setup.identity()).is_none()
        && verify_files(&target, &known.files).is_ok()
    {
        context
            .report
            .note(&format!("scan: {} is there already", shown(&target)));
        return Ok(known);
    }
    let job = setup.job();
    let n_rows = job.n_rows(part);
    let bar = context.report.bar("scan", n_rows, "tokens");
    let watch = Watch {
        begin: &|done| bar.begin_at(done),
        progress: &|done| bar.set(done),
        note: &|text| context.report.note(text),
        checkpoint_every: scan.checkpoint_every,
        restart: scan.restart,
    };
    let manifest = scan::scan_part(&job, setup.identity(), part, &target, &watch)?;
    bar.finish(n_rows);
    Ok(manifest)
}
