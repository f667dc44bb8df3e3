//! `neuroscope model`, and how commands open a model.

use std::sync::{Mutex, PoisonError};

use anyhow::Result;
use clap::Args;
use neuroscope::load::{LoadError, ModelFiles};
use neuroscope::model::{Affine, Config, Layout, NormConfig, NormKind, Position, RopeScaling};
use neuroscope::tokens::BosPolicy;
use serde_json::json;

use super::report::{Bar, Report};
use super::{Context, interrupt};

#[derive(Args)]
pub(super) struct ModelArgs {
    /// The model: a folder, a `.gguf` file, a name on the Hugging Face Hub (optionally with @REVISION), or `demo`
    #[arg(value_name = "MODEL")]
    model: String,
}

/// Shows how far the files are that are fetched; answers whether to go on.
pub(super) fn fetching(report: Report) -> impl Fn(&str, u64, u64) -> bool + Send + Sync {
    let bar = Mutex::new(None);
    move |file, done, total| {
        let mut bar = bar.lock().unwrap_or_else(PoisonError::into_inner);
        let current = bar.take();
        if file.is_empty() {
            *bar = current;
            return !interrupt::asked();
        }
        let (name, shown): (String, Bar) = match current {
            Some((name, shown)) if name == file => (name, shown),
            _ => (file.to_owned(), report.bar(file, total, "bytes")),
        };
        let goes_on = shown.set(done);
        match done < total {
            true => *bar = Some((name, shown)),
            false => shown.clear(),
        }
        goes_on
    }
}

/// Opens a model, showing what is fetched.
pub(super) fn open(context: &Context, model: &str) -> Result<ModelFiles> {
    let files = match ModelFiles::open_with(model, &fetching(context.report)) {
        Err(LoadError::Interrupted) => interrupt::leave(),
        files => files?,
    };
    if let Some(note) = files.note() {
        context.report.note(&format!("note: {note}"));
    }
    Ok(files)
}

pub(super) fn run(context: &Context, args: &ModelArgs) -> Result<()> {
    let files = open(context, &args.model)?;
    let config = files.config()?;
    let checkpoint = files.checkpoint()?;
    let stored = checkpoint.check(&config);
    let stored = stored.map_err(|source| files.model_error(source))?;
    let n_parameters: u64 = stored.values().sum();
    let bytes = files.weights_bytes()?;
    // a model without a tokenizer can be described as well
    let tokenizer = files.tokenizer();
    let bos = match &tokenizer {
        Ok(tokenizer) => {
            let bos = tokenizer.bos(BosPolicy::Auto, config.bos_token_id, config.expects_bos());
            bos.map_err(|error| error.to_string())
        }
        Err(error) => Err(error.to_string()),
    };
    let token = |id| {
        let vocabulary = tokenizer.as_ref().ok()?.vocabulary();
        vocabulary.bytes(id)?;
        Some(vocabulary.text(id).into_owned())
    };
    let n_neurons = config.n_layers * config.d_mlp;
    let value = json!({
        "name": files.name(),
        "source": files.source(),
        "revision": files.revision(),
        "n_parameters": n_parameters,
        "n_neurons": n_neurons,
        "bytes": bytes,
        "stored_as": stored,
        "ranking_hook": config.ranking_hook().name(),
        "bos": bos.as_ref().ok().copied().flatten().map(|id| json!({"id": id.0, "token": token(id)})),
        "bos_error": bos.as_ref().err(),
        "config": config,
    });

    let a = &config.attention;
    let heads = match a.n_key_value_heads == a.n_heads {
        true => format!("{} of {}", a.n_heads, a.d_head),
        false => format!(
            "{} of {}, {} for keys and values",
            a.n_heads, a.d_head, a.n_key_value_heads
        ),
    };
    let stored: Vec<String> = stored
        .iter()
        .map(|(kind, n)| format!("{} {kind}", count(*n)))
        .collect();
    let bos = match bos {
        Err(error) => format!("not known: {error}"),
        Ok(None) => "windows begin without a BOS".to_owned(),
        Ok(Some(id)) => {
            format!(
                "windows begin with `{}` ({})",
                token(id).unwrap_or_default(),
                id.0
            )
        }
    };
    let revision = files.revision().map(|revision| format!(" at {revision}"));
    let rows = [
        ("family", config.family.name().to_owned()),
        ("layers", config.n_layers.to_string()),
        ("d_model", count(config.d_model as u64)),
        (
            "d_mlp",
            format!(
                "{}; {} neurons in all",
                count(config.d_mlp as u64),
                count(n_neurons as u64)
            ),
        ),
        ("MLP", config.act_fn.mlp_name(config.gated).to_owned()),
        ("ranked by", config.ranking_hook().name().to_owned()),
        ("heads", heads),
        ("attention", attention(&config)),
        ("norm", norm(&config)),
        ("position", position(&config)),
        ("context", format!("{} tokens", count(config.n_ctx as u64))),
        (
            "vocabulary",
            format!("{} tokens", count(config.d_vocab as u64)),
        ),
        (
            "unembedding",
            if config.tied {
                "the embedding (tied)"
            } else {
                "its own"
            }
            .to_owned(),
        ),
        ("BOS", bos),
        ("parameters", count(n_parameters)),
        (
            "stored as",
            format!("{}; {:.1} MB", stored.join(", "), bytes as f64 / 1e6),
        ),
    ];
    let mut words = format!("{}{}\n", files.origin(), revision.unwrap_or_default());
    for (name, value) in rows {
        words.push_str(&format!("\n  {name:12} {value}"));
    }
    context.report.result(&value, &words)
}

/// A number with its thousands apart.
fn count(n: u64) -> String {
    let digits = n.to_string();
    let groups = digits.as_bytes().rchunks(3).rev();
    let groups = groups.map(|group| String::from_utf8_lossy(group).into_owned());
    groups.collect::<Vec<_>>().join(",")
}

fn norm(config: &Config) -> String {
    let one = |norm: NormConfig| {
        let kind = match norm.kind {
            NormKind::Layer => "LayerNorm",
            NormKind::Rms => "RMSNorm",
        };
        let affine = match norm.affine {
            Affine::None => " without weights",
            Affine::Weight | Affine::WeightBias => "",
            Affine::OnePlusWeight => " with 1 + weight",
        };
        format!("{kind}{affine}, ε = {:e}", norm.eps)
    };
    let place = match config.layout {
        Layout::PreNorm => "before attention and MLP",
        Layout::Parallel => "before attention and MLP, which run side by side",
        Layout::ParallelSharedNorm => "one before attention and MLP, which run side by side",
        Layout::PostNorm => "after attention and MLP",
        Layout::Sandwich => "before and after attention and MLP",
        Layout::ResidualNorm => "after each addition to the stream",
    };
    let last = match config.final_norm {
        None => "; none at the end".to_owned(),
        Some(last) if last == config.norm => String::new(),
        Some(last) => format!("; at the end {}", one(last)),
    };
    format!("{}, {place}{last}", one(config.norm))
}

fn position(config: &Config) -> String {
    match &config.position {
        Position::Learned { .. } => "learned".to_owned(),
        Position::Shortformer => "learned, added to queries and keys (shortformer)".to_owned(),
        Position::Rotary {
            n_dims,
            rope,
            local,
        } => {
            let part = match *n_dims == config.attention.d_head {
                true => String::new(),
                false => format!(" of {n_dims} dimensions"),
            };
            let scaling = match rope.scaling {
                RopeScaling::Default => "",
                RopeScaling::Linear { .. } => ", stretched linearly",
                RopeScaling::Llama3 { .. } => ", stretched as Llama 3.1's",
                RopeScaling::Yarn { .. } => ", stretched by YaRN",
                RopeScaling::Long { .. } => ", each frequency stretched by its own factor",
            };
            let local = local
                .as_ref()
                .map(|local| format!("; θ = {} in windows", local.theta));
            format!(
                "rotary{part}, θ = {}{scaling}{}",
                rope.theta,
                local.unwrap_or_default()
            )
        }
    }
}

fn attention(config: &Config) -> String {
    let a = &config.attention;
    let mut parts = Vec::new();
    let sliding: Vec<usize> = a.windows.iter().flatten().copied().collect();
    match sliding.first() {
        None => parts.push("all earlier positions".to_owned()),
        Some(window) if sliding.len() == a.windows.len() => {
            parts.push(format!("the last {window} positions"));
        }
        Some(window) => {
            parts.push(format!(
                "the last {window} positions in {} layers, all in the others",
                sliding.len()
            ));
        }
    }
    if a.qk_norm.is_some() {
        parts.push("queries and keys normed".to_owned());
    }
    if let Some(bound) = a.clip_qkv {
        parts.push(format!("clipped to ±{bound}"));
    }
    if let Some(cap) = a.softcap {
        parts.push(format!("scores soft-capped at {cap}"));
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_thousands_apart() {
        let counts = [0, 7, 999, 1000, 46_080, 134_515_008].map(count);
        assert_eq!(counts, ["0", "7", "999", "1,000", "46,080", "134,515,008"]);
    }
}
