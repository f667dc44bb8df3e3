//! `neuroscope verify`

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use neuroscope::verify::{VerifyOptions, verify};

use super::{Context, model, shown};

#[derive(Args)]
pub(super) struct VerifyArgs {
    /// Data folder with an atlas
    #[arg(value_name = "DIR")]
    data: PathBuf,
    /// The model, to compute examples again
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// Neurons that are drawn for it
    #[arg(long, value_name = "N", default_value_t = 10)]
    neurons: usize,
    /// Examples of each of their lists
    #[arg(long, value_name = "N", default_value_t = 3)]
    examples: usize,
    /// By how much a value may differ, relative to the neuron's largest
    #[arg(long, value_name = "SHARE", default_value_t = 1e-3)]
    tolerance: f64,
    /// Seed of the draw
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

pub(super) fn run(context: &Context, args: &VerifyArgs) -> Result<()> {
    let model = args.model.as_deref();
    let model = model.map(|name| model::open(context, name)).transpose()?;
    let options = VerifyOptions {
        neurons: args.neurons,
        examples: args.examples,
        tolerance: args.tolerance,
        seed: args.seed,
    };
    let report = verify(&args.data, model.as_ref(), &options)?;
    let parts = match report.n_parts {
        0 => "no parts".into(),
        1 => "1 part".into(),
        n => format!("{n} parts"),
    };
    let mut words = format!(
        "{} files are what their manifests say: {parts}, {} neurons, the corpus",
        report.n_files, report.n_neurons
    );
    match &report.recomputed {
        None => words.push_str("\nnothing was computed again: `--model MODEL` does it"),
        Some(again) => words.push_str(&format!(
            "\n{} examples of {} neurons computed again: {} values, at peaks within {:.1e} of the neuron's largest, around them within {:.1e}",
            again.n_examples,
            again.neurons.len(),
            again.n_values,
            again.peak_error,
            again.window_error
        )),
    }
    context.report.result(&report, &words)?;
    if let Some(again) = &report.recomputed
        && let Some(first) = again.off.first()
    {
        bail!(
            "{} of {} examples in {} do not reproduce to {:e}, such as `{first}`\n\nhint: was it scanned with this version, in this type, on this kind of machine?",
            again.off.len(),
            again.n_examples,
            shown(&args.data),
            args.tolerance
        );
    }
    Ok(())
}
