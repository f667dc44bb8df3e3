//! `neuroscope verify`

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use neuroscope::gpu::DeviceName;
use neuroscope::shard::{AtlasManifest, read_manifest};
use neuroscope::verify::{VerifyOptions, VerifyReport, verify};

use super::report::Advice;
use super::{Context, model, shown};

/// Findings that are shown.
const MOST_SHOWN: usize = 20;

#[derive(Args)]
pub(super) struct VerifyArgs {
    /// Data folder with an atlas
    #[arg(value_name = "DIR")]
    data: PathBuf,
    /// The model that was scanned, to recompute examples
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// Scan and analyse everything again, and compare it field by field
    #[arg(long, requires = "model")]
    full: bool,
    /// Device to recompute on: `cpu`, `cuda` or `cuda:N`
    #[arg(long, value_name = "DEVICE", default_value_t = DeviceName::default())]
    device: DeviceName,
    /// Number of random neurons whose examples are recomputed
    #[arg(long, value_name = "N", default_value_t = 10)]
    neurons: usize,
    /// Examples recomputed from each of their lists
    #[arg(long, value_name = "N", default_value_t = 3)]
    examples: usize,
    /// How much a value may differ, relative to the neuron's largest value
    #[arg(long, value_name = "SHARE", default_value_t = 1e-3)]
    tolerance: f64,
    /// Seed for choosing the neurons
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

pub(super) fn run(context: &Context, args: &VerifyArgs) -> Result<()> {
    let options = VerifyOptions {
        neurons: args.neurons,
        examples: args.examples,
        tolerance: args.tolerance,
        seed: args.seed,
        full: args.full,
        device: args.device,
    };
    options.check()?;
    let model = args.model.as_deref();
    let model = model.map(|name| model::open(context, name)).transpose()?;
    let report = match args.full {
        true => {
            let manifest: AtlasManifest = read_manifest(&args.data.join("atlas"))?;
            let n_tokens = manifest.scan.corpus.n_tokens.unwrap_or_default();
            let bar = context.report.bar("scan again", n_tokens, "tokens");
            let report = verify(&args.data, model.as_ref(), &options, &|done| bar.set(done))?;
            bar.finish(n_tokens);
            report
        }
        false => verify(&args.data, model.as_ref(), &options, &|_| true)?,
    };
    context.report.result(&report, &words(&report))?;
    if let Some(first) = report.wrong.first() {
        let data = shown(&args.data);
        let first = format!("`{}`: {}", first.file, first.what);
        let what = match report.n_wrong {
            1 => format!("{data} has 1 problem: {first}"),
            n => format!("{data} has {n} problems, the first of them {first}"),
        };
        return Err(Advice::error(
            what,
            "merge the parts or analyse the weights again, or scan again; if a site was built from it, withdraw that site",
        ));
    }
    if let Some(again) = &report.recomputed
        && let Some(first) = again.off.first()
    {
        let what = format!(
            "{} of {} examples in {} do not reproduce to {:e}, such as `{first}`",
            again.off.len(),
            again.n_examples,
            shown(&args.data),
            args.tolerance
        );
        return Err(Advice::error(
            what,
            "check that it was scanned with this version and dtype, and on this kind of machine",
        ));
    }
    Ok(())
}

fn words(report: &VerifyReport) -> String {
    let parts = match report.n_parts {
        0 => "no parts".into(),
        1 => "1 part".into(),
        n => format!("{n} parts"),
    };
    let mut lines = vec![match report.n_neurons {
        0 => format!(
            "{} files are what their manifests say; others are not, so nothing else was checked",
            report.n_files
        ),
        n => format!(
            "{} files are what their manifests say: {parts}, {n} neurons{}",
            report.n_files,
            if report.has_corpus {
                ", the corpus"
            } else {
                ""
            }
        ),
    }];
    let is_alone = report.n_neurons > 0 && !report.has_corpus;
    if report.n_wrong == 0 {
        lines.push(match is_alone {
            true => "the tables and the manifests agree with each other".into(),
            false => "the tables, the manifests and the corpus agree with each other".into(),
        });
    }
    if is_alone {
        lines.push("the corpus is not there, so nothing was compared with it: the texts, places and contexts of examples, which positions count and were drawn, lines, and what tokens are called".into());
    }
    match &report.recomputed {
        None if is_alone => {}
        None => lines.push("nothing was recomputed; to do so, give the model with `--model MODEL`".into()),
        Some(again) => lines.push(format!(
            "{} examples of {} neurons recomputed: {} values, at peaks within {:.1e} of the neuron's largest, around them within {:.1e}",
            again.n_examples,
            again.neurons.len(),
            again.n_values,
            again.peak_error,
            again.window_error
        )),
    }
    match &report.full {
        Some(full) => lines.push(match &full.because {
            None => "everything was scanned again and compared bit for bit".into(),
            Some(because) => format!(
                "everything was scanned again and compared within a tolerance of {}, since {because}",
                neuroscope::verify::TOLERANCE
            ),
        }),
        None if report.recomputed.is_some() => {
            lines.push("only a sample was recomputed; `--full` recomputes everything".into());
        }
        None => {}
    }
    for finding in report.wrong.iter().take(MOST_SHOWN) {
        lines.push(format!("wrong: `{}`: {}", finding.file, finding.what));
    }
    if report.n_wrong > MOST_SHOWN {
        let more = report.n_wrong - MOST_SHOWN;
        lines.push(format!("and {more} more; `--json` lists the first hundred"));
    }
    lines.join("\n")
}
