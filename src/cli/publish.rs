//! `neuroscope publish`

use std::cell::{Cell, OnceCell, RefCell};
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use neuroscope::site::BuiltSite;
use neuroscope::site::hosts::{GITHUB_PAGES, count_words, size_words};
use neuroscope::site::publish::{
    CNAME, Progress, PublishOptions, PublishReport, Target, check_size, github_address,
};
use serde::Serialize;

use super::flags::Flags;
use super::{Context, interrupt, shown};

#[derive(Args)]
pub(super) struct PublishArgs {
    /// Folder of the website [default: site]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Do everything except the push itself, and say what would be published
    #[arg(long)]
    dry_run: bool,
    /// Publish even what is too large for GitHub Pages, for a host with other limits
    #[arg(long)]
    any_size: bool,
    #[command(flatten)]
    options: Flags<PublishOptions>,
}

/// What is said with `--json`.
#[derive(Serialize)]
struct Printed<'a> {
    #[serde(flatten)]
    report: &'a PublishReport,
    dry_run: bool,
}

pub(super) fn run(context: &Context, args: &PublishArgs) -> Result<()> {
    let options = args.options.over(&context.project.publish)?;
    options.check()?;
    let default = || context.folder.join("site");
    let site = BuiltSite::open(&args.out.clone().unwrap_or_else(default))?;
    if !args.any_size {
        check_size(&site, &GITHUB_PAGES)?;
    }
    let target = Target::find(&context.folder, &options)?;
    let n_files = site.files().len() as u64;
    let packing = RefCell::new(Some(context.report.bar("pack", n_files, "files")));
    let end_packing = || {
        if let Some(bar) = packing.take() {
            bar.finish(n_files);
        }
    };
    let (sending, n_sent) = (OnceCell::new(), Cell::new(0));
    let progress = Progress {
        packed: &|done| packing.borrow().as_ref().is_none_or(|bar| bar.set(done)),
        sent: &|done, total| {
            end_packing();
            if total == 0 {
                return !interrupt::asked(); // git counts and compares first
            }
            n_sent.set(done);
            let bar = sending.get_or_init(|| context.report.bar("upload", total, "objects"));
            bar.set(done)
        },
    };
    let report = target.publish(&site, args.dry_run, &progress)?;
    end_packing();
    if let Some(bar) = sending.into_inner() {
        bar.finish(n_sent.get());
    }
    if !site.knows_its_address() {
        let address = github_address(&report.address);
        let address = address.as_deref().unwrap_or("URL");
        context.report.note(&format!(
            "warning: {} was built without its address, so it has no sitemap, and the styles of its not-found page are missing below a path: `neuroscope build --base-url {address}`",
            shown(site.root())
        ));
    }
    if report.loses_domain {
        context.report.note(&format!(
            "warning: the branch had a file `{CNAME}`, which names the domain on GitHub Pages, and the site has none; put it into `content/{CNAME}` and build again"
        ));
    }
    let words = words(&report, args.dry_run);
    let report = Printed {
        report: &report,
        dry_run: args.dry_run,
    };
    context.report.result(&report, &words)
}

fn words(report: &PublishReport, dry_run: bool) -> String {
    let PublishReport {
        remote,
        address,
        branch,
        ..
    } = report;
    let (n_files, bytes) = (count_words(report.n_files), size_words(report.bytes));
    let commit = report.commit.get(..10).unwrap_or(&report.commit);
    if report.is_same {
        return format!(
            "`{branch}` of `{remote}` ({address}) holds this site already, in commit {commit}: nothing to push"
        );
    }
    let verb = match dry_run {
        true => "would publish",
        false => "published",
    };
    let to = format!(
        "{verb} {n_files} files, {bytes}, as commit {commit} on `{branch}` of `{remote}` ({address})"
    );
    match (&report.before, dry_run) {
        (Some(before), _) => format!("{to}, in place of {}", before.get(..10).unwrap_or(before)),
        (None, true) => format!("{to}, a new branch"),
        (None, false) => format!(
            "{to}, a new branch\n\non GitHub, choose it once: Settings → Pages → Source: Deploy from a branch → {branch}, / (root)"
        ),
    }
}
