//! `neuroscope build`

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use neuroscope::shard::{AtlasManifest, MANIFEST, PartInfo, read_manifest};
use neuroscope::site::hosts::{Contents, HOSTS, Host, SiteSize, size_words};
use neuroscope::site::{self, BuildReport, Inputs, LayoutReport, SiteOptions};
use serde::Serialize;

use super::flags::Flags;
use super::report::Advice;
use super::{Context, analyze, folders, scan, shown};

#[derive(Args)]
pub(super) struct BuildArgs {
    /// Data folder with an atlas; can be repeated [default: all in data/]
    #[arg(long, value_name = "DIR")]
    data: Vec<PathBuf>,
    /// Folder to write the website to [default: site]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Do not analyse weights that were not analysed yet; build without what they say
    #[arg(long)]
    no_analyze: bool,
    #[command(flatten)]
    options: Flags<SiteOptions>,
}

/// What a site is built from and where to.
pub(super) struct Plan {
    pub(super) data: Vec<PathBuf>,
    pub(super) out: PathBuf,
    pub(super) options: SiteOptions,
}

/// Calls `f` with what a site is built from.
fn with_inputs<T>(context: &Context, plan: &Plan, f: impl FnOnce(&Inputs<'_>) -> T) -> T {
    let (theme, content) = (context.own("theme"), context.own("content"));
    f(&Inputs {
        project: &context.folder,
        data: &plan.data,
        theme: theme.as_deref(),
        content: content.as_deref(),
        options: &plan.options,
    })
}

pub(super) fn run(context: &Context, args: &BuildArgs) -> Result<()> {
    let plan = plan(context, &args.data, args.out.as_deref(), &args.options)?;
    if !args.no_analyze {
        complete(context, &plan)?;
    }
    let report = build(context, &plan)?;
    let out = shown(&plan.out);
    let program = std::env::args()
        .next()
        .unwrap_or_else(|| "neuroscope".into());
    let output = &report.output;
    let contents = Contents {
        n_models: plan.data.len(),
        n_neurons: report.n_neurons,
        can_be_packed: report.layouts.iter().any(|of| of.can_be_packed),
        cards: report.layouts.iter().any(|of| of.has_cards),
        neuron_json: plan.options.neuron_json,
    };
    let hosts = verdicts(&output.size(), &contents);
    let mut words = format!(
        "\n{} neurons, {} files, {} ({} written, {} removed)\n\n  files     {}\n  pages     {}\n  hosting   {}\n\n  look at   {out}/index.html\n  preview   {program} serve\n  publish   {program} publish, or copy {out}/ to any file host (docs/hosting.md)",
        report.n_neurons,
        output.n_files,
        size_words(output.bytes),
        output.n_written,
        output.n_removed,
        sizes(&output.largest),
        sizes(&output.largest_pages),
        hosting(&hosts),
    );
    for layout in &report.layouts {
        words.push_str(&layout_words(layout));
    }
    if plan.options.base_url.is_none() {
        words.push_str("\n\nno sitemap was written, since the site's address is not known; set it with `--base-url URL` or in neuroscope.toml");
    }
    let report = Printed {
        report: &report,
        hosts,
    };
    context.report.result(&report, &words)
}

/// How a model's neurons are stored, if that is not a page for each with all that the atlas has.
fn layout_words(of: &LayoutReport) -> String {
    if of.lacks_corpus {
        return format!(
            "\n\n{}: pages, though they take about {} and do not fit the budget, since it cannot be packed without its corpus",
            of.model,
            size_words(of.pages_bytes)
        );
    }
    let Some(bits) = of.bits else {
        return String::new();
    };
    let examples = match of.n_examples {
        None => "all examples".to_owned(),
        Some(n) => format!("{n} examples of each neuron"),
    };
    let hooks = if of.without_hooks {
        "; hooks are left out"
    } else {
        ""
    };
    let lists = match (of.n_tokens, of.n_neighbours) {
        (Some(tokens), Some(neighbours)) => {
            format!(", {tokens} tokens and {neighbours} neighbours a list")
        }
        _ => String::new(),
    };
    let counts = match of.exact_counts {
        Some(false) => ", the counts of histograms to within 5 %",
        _ => "",
    };
    format!(
        "\n\n{}: packed, {examples}, {bits} bits a value{lists}{counts}{hooks}; pages would take about {}",
        of.model,
        size_words(of.pages_bytes)
    )
}

/// What is said of a build with `--json`.
#[derive(Serialize)]
struct Printed<'a> {
    #[serde(flatten)]
    report: &'a BuildReport,
    /// What hosts do with the site.
    hosts: Vec<Verdict>,
}

/// Whether a host takes the site.
#[derive(Serialize)]
struct Verdict {
    host: &'static str,
    fits: bool,
    /// The limits that the site exceeds.
    exceeded: Vec<String>,
    /// What helps.
    remedies: Vec<String>,
}

/// Whether each host takes a site of this size.
fn verdicts(size: &SiteSize, contents: &Contents) -> Vec<Verdict> {
    let verdict = |host: Host| {
        let exceeded = host.excesses(size);
        let remedies = match exceeded.is_empty() {
            true => Vec::new(),
            false => host.remedies(&exceeded, contents),
        };
        Verdict {
            host: host.name,
            fits: exceeded.is_empty(),
            exceeded: exceeded.iter().map(ToString::to_string).collect(),
            remedies,
        }
    };
    HOSTS.into_iter().map(verdict).collect()
}

/// The hosts that take the site, and a line for each that does not.
fn hosting(verdicts: &[Verdict]) -> String {
    let fits = verdicts.iter().filter(|verdict| verdict.fits);
    let fits: Vec<&str> = fits.map(|verdict| verdict.host).collect();
    let mut words = format!("fits {}", fits.join(", "));
    for verdict in verdicts.iter().filter(|verdict| !verdict.fits) {
        let (exceeded, remedies) = (verdict.exceeded.join("; "), verdict.remedies.join(", or "));
        words += &format!("\n            not {}: {exceeded}; {remedies}", verdict.host);
    }
    words
}

/// Files with their bytes.
fn sizes(files: &[(String, u64)]) -> String {
    let files = files
        .iter()
        .map(|(name, bytes)| format!("{name} {}", size_words(*bytes)));
    files.collect::<Vec<_>>().join(", ")
}

/// Finds what to build; scans the demo if there is nothing.
pub(super) fn plan(
    context: &Context,
    data: &[PathBuf],
    out: Option<&Path>,
    options: &Flags<SiteOptions>,
) -> Result<Plan> {
    let options = options.over(&context.project.site)?;
    let out = out.map_or_else(|| context.folder.join("site"), Path::to_owned);
    let mut plan = Plan {
        data: data.to_vec(),
        out,
        options,
    };
    if plan.data.is_empty() {
        plan.data = atlases(&context.folder.join("data"))?;
    }
    with_inputs(context, &plan, |inputs| site::check(inputs, &plan.out))?;
    if plan.data.is_empty() {
        if let Some(unmerged) = unmerged(&context.folder.join("data"))? {
            let unmerged = shown(&unmerged);
            return Err(Advice::error(
                format!("`{unmerged}` has parts of a scan, but no atlas"),
                format!("join them with `neuroscope merge {unmerged}`"),
            ));
        }
        plan.data.push(scan_demo(context)?);
    }
    Ok(plan)
}

/// Analyses the weights of the models of which that is missing.
pub(super) fn complete(context: &Context, plan: &Plan) -> Result<()> {
    let mut data = plan.data.iter();
    data.try_for_each(|data| analyze::complete(context, data))
}

/// Builds the site.
pub(super) fn build(context: &Context, plan: &Plan) -> Result<BuildReport> {
    let total = plan.data.iter().filter_map(|data| {
        let manifest = read_manifest::<AtlasManifest>(&data.join("atlas"));
        Some(manifest.ok()?.scan.n_neurons())
    });
    let bar = context.report.bar("build", total.sum(), "neurons");
    let build = |inputs: &Inputs<'_>| site::build(inputs, &plan.out, &|done| bar.set(done));
    let report = with_inputs(context, plan, build)?;
    bar.finish(report.n_neurons);
    for warning in &report.warnings {
        context.report.note(&format!("warning: {warning}"));
    }
    if let Some(list) = &report.output.unreadable {
        let list = shown(list);
        context.report.note(&format!(
            "warning: `{list}` cannot be read, so it is not known what the last build wrote; files that are no longer part of the site were kept"
        ));
    }
    if let Some(kept) = &report.output.kept {
        let kept = shown(kept);
        context.report.note(&format!(
            "warning: files that were where pages should be were moved to `{kept}`; remove it if none of them is yours"
        ));
    }
    for name in &report.output.left {
        let path = shown(&plan.out.join(name));
        context.report.note(&format!(
            "warning: `{path}` is no longer part of the site, but was kept because it has been changed"
        ));
    }
    for note in &report.stray_notes {
        context.report.note(&format!(
            "warning: `{note}` is about a neuron that no atlas has"
        ));
    }
    for (file, n) in &report.stray_explanations {
        context.report.note(&format!(
            "warning: `{file}` explains {n} neurons that no atlas has"
        ));
    }
    Ok(report)
}

/// The data folders that have an atlas, sorted by name.
pub(super) fn atlases(folder: &Path) -> Result<Vec<PathBuf>> {
    Ok(folders(folder)?
        .into_iter()
        .filter(|data| data.join("atlas").join(MANIFEST).is_file())
        .collect())
}

/// A data folder whose parts were not merged; that of the demo is finished by the program itself.
fn unmerged(folder: &Path) -> Result<Option<PathBuf>> {
    let demo = folder.join("demo");
    Ok(folders(folder)?
        .into_iter()
        .find(|data| data.join("parts").is_dir() && *data != demo))
}

/// Scans the embedded demo, as far as that is not done yet.
#[cfg(feature = "demo")]
fn scan_demo(context: &Context) -> Result<PathBuf> {
    use super::sources::{self, DataSetArgs};
    use neuroscope::demo;
    let data = context.data(demo::NAME);
    context.report.note(&format!(
        "no scan in {}: scanning the embedded demo model",
        shown(&context.folder.join("data"))
    ));
    let model = neuroscope::load::ModelFiles::open(demo::NAME)?;
    // the demo shows all that a page can
    let mut options = context.project.scan.clone();
    options.stats.keep_hooks = true;
    let corpus = sources::open(context, &[demo::NAME.into()], &DataSetArgs::default())?;
    let demo_scan = scan::Scan {
        model: &model,
        name: demo::NAME,
        corpus: &corpus,
        read: &super::tokenize::ReadOptions {
            corpus: context.project.corpus.clone(),
            chat: context.project.chat.clone(),
            bos: options.bos,
        },
        options: &options,
        data: &data,
        checkpoint_every: scan::CHECKPOINT_EVERY,
        restart: false,
    };
    scan::scan_part(context, &demo_scan, PartInfo { index: 0, of: 1 })?;
    super::merge::merge(context, &data, Some(&model))?;
    Ok(data)
}

#[cfg(not(feature = "demo"))]
fn scan_demo(context: &Context) -> Result<PathBuf> {
    anyhow::bail!(
        "no scan in {}, and this program was built without the demo",
        shown(&context.folder.join("data"))
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_listed_with_what_helps() {
        let contents = Contents {
            can_be_packed: false,
            n_models: 1,
            n_neurons: 15_000,
            cards: true,
            neuron_json: false,
        };
        let mut size = SiteSize::of([("index.html", 7)]);
        assert_eq!(
            hosting(&verdicts(&size, &contents)),
            "fits GitHub Pages, Cloudflare Pages, Netlify, Hugging Face Spaces, buckets (S3, R2)"
        );
        size.n_files = 31_000;
        assert_eq!(
            hosting(&verdicts(&size, &contents)),
            "fits GitHub Pages, Netlify, Hugging Face Spaces, buckets (S3, R2)\n            not Cloudflare Pages: the site has 31,000 files, of at most 20,000; build with `--cards=false`, or take a paid plan, whose sites may have 100,000 files"
        );
    }
}
