//! What the weights say, against an independent reference (`conformance/weights.py`), of turned and degenerate weights, and
//! as the program's commands have it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use neuroscope::atlas::{
    AnalysisOptions, Class, NeuronWeights, Orientation, Reads, Region, Relation, Role,
    RoleThresholds, Side, TokenIndex, WeightsInfo, weights,
};
use neuroscope::ids::{DocId, NeuronId, Pos, TokenId};
use neuroscope::load::ModelFiles;
use neuroscope::model::Config;
use neuroscope::stats::hash;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

use crate::support::weights::{change_tensor, change_tensors};
use crate::support::{
    Project, analyze_command, change_json, copy, corpus, data_command, examples, fail, files,
    misused, model, scan_command, succeed,
};

struct Analysis {
    layers: Vec<Vec<NeuronWeights>>,
    info: WeightsInfo,
    tokens: TokenIndex,
}

fn analysis_of(folder: &Path, change: impl Fn(&mut Config)) -> Analysis {
    analysis_by(folder, change, &AnalysisOptions::default())
}

fn analysis_by(folder: &Path, change: impl Fn(&mut Config), options: &AnalysisOptions) -> Analysis {
    let files = ModelFiles::open(folder.to_str().unwrap()).unwrap();
    let mut config = files.config().unwrap();
    change(&mut config);
    let checkpoint = files.checkpoint().unwrap();
    let mut layers = Vec::new();
    let each = |layer: u32, neurons| {
        assert_eq!(layer as usize, layers.len());
        layers.push(neurons);
        Ok(())
    };
    let orientations: Vec<_> = (0..config.n_layers * config.d_mlp)
        .map(orientation)
        .collect();
    let all = Vec::from_iter(0..config.n_layers as u32);
    let found = weights(
        &config,
        &checkpoint,
        &all,
        options,
        &orientations,
        &|_| true,
        each,
    );
    let (info, tokens) = found.unwrap();
    Analysis {
        layers,
        info,
        tokens,
    }
}

/// The sides that `conformance/weights.py` gives to neurons.
fn orientation(flat: usize) -> Option<Orientation> {
    let (side, balance) = match flat % 5 {
        0 | 1 => (Side::Positive, 0.5),
        2 => (Side::Negative, 0.0),
        3 => (Side::Negative, 0.9),
        _ => return None,
    };
    Some(Orientation { side, balance })
}

/// The tensors of a reference, numbers of all kinds as f64.
fn reference(name: &str) -> BTreeMap<String, Vec<f64>> {
    let bytes = fs::read(model(name).join("weights.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let values = |dtype, data: &[u8]| -> Vec<f64> {
        match dtype {
            Dtype::F32 => data
                .chunks_exact(4)
                .map(|b| f32::from_le_bytes(b.try_into().unwrap()).into())
                .collect(),
            Dtype::I64 => data
                .chunks_exact(8)
                .map(|b| i64::from_le_bytes(b.try_into().unwrap()) as f64)
                .collect(),
            other => panic!("{other:?}"),
        }
    };
    tensors
        .iter()
        .map(|(name, tensor)| (name.to_owned(), values(tensor.dtype(), tensor.data())))
        .collect()
}

#[track_caller]
fn near(what: &str, found: Option<f64>, expected: f64, tolerance: f64) {
    match found {
        None => assert!(expected.is_nan(), "{what}: none instead of {expected}"),
        Some(found) => assert!(
            (found - expected).abs() <= tolerance,
            "{what}: {found} instead of {expected}"
        ),
    }
}

/// Lists are the same but for values that are too close to tell which comes first.
#[track_caller]
fn same_list(what: &str, found: &[(u32, f32)], ids: &[f64], values: &[f64]) {
    let known = ids.iter().filter(|id| **id >= 0.0).count();
    assert_eq!(found.len(), known, "{what}");
    let scale = values
        .iter()
        .fold(1e-6f64, |scale, value| scale.max(value.abs()));
    for (at, &(id, value)) in found.iter().enumerate() {
        near(
            &format!("{what}[{at}]"),
            Some(value.into()),
            values[at],
            1e-5 * scale,
        );
        if f64::from(id) != ids[at] {
            let neighbours = [at.checked_sub(1), Some(at + 1)].into_iter().flatten();
            let mut tied = neighbours.filter_map(|other| values.get(other));
            let is_tied = tied.any(|other| (other - values[at]).abs() <= 2e-5 * scale);
            assert!(
                is_tied || at + 1 == found.len(),
                "{what}[{at}]: {id} instead of {}",
                ids[at]
            );
        }
    }
}

fn tokens_of(list: &[(TokenId, f32)]) -> Vec<(u32, f32)> {
    list.iter().map(|(id, value)| (id.0, *value)).collect()
}

const FIXTURES: [&str; 10] = [
    "gpt2",
    "llama",
    "gpt_neox",
    "solu",
    "olmo2",
    "gemma",
    "gemma2",
    "gemma3",
    "opt_350m",
    "gpt_neox_sequential",
];

#[test]
fn the_analysis_agrees_with_an_independent_reference() {
    for name in FIXTURES {
        let found = analysis_of(&model(name), |_| ());
        let expected = reference(name);
        for (layer, neurons) in found.layers.iter().enumerate() {
            for (neuron, of) in neurons.iter().enumerate() {
                let what = format!("{name} {layer}.{neuron}");
                compare_neuron(&what, of, &|tensor, width| {
                    let values = expected.get(&format!("{layer}.{tensor}"))?;
                    Some(&values[neuron * width..(neuron + 1) * width])
                });
            }
            let regions = &found.info.layers[layer];
            for (cosine, region) in [
                ("in_out", regions.in_out),
                ("gate_out", regions.gate_out),
                ("gate_in", regions.gate_in),
            ] {
                let ends = expected.get(&format!("{layer}.region_{cosine}"));
                assert_eq!(ends.is_some(), region.is_some());
                if let (Some(ends), Some(Region { low, high })) = (ends, region) {
                    near(cosine, Some(low.into()), ends[0], 1e-5);
                    near(cosine, Some(high.into()), ends[1], 1e-5);
                }
            }
        }
        let d_mlp = found.layers[0].len();
        let flat = |(id, value): &(NeuronId, f32)| (id.layer * d_mlp as u32 + id.neuron, *value);
        for (at, relation) in Relation::ALL.into_iter().enumerate() {
            let lists = found.layers.iter().flatten().map(|of| &of.neighbours[at]);
            let Some(ids) = expected.get(&format!("{}.ids", relation.name())) else {
                assert!(lists.flatten().next().is_none());
                continue;
            };
            let values = &expected[&format!("{}.values", relation.name())];
            for (row, list) in lists.enumerate() {
                let list: Vec<_> = list.iter().map(flat).collect();
                let what = format!("{name} {} of {row}", relation.name());
                same_list(
                    &what,
                    &list,
                    &ids[row * 10..][..10],
                    &values[row * 10..][..10],
                );
            }
        }
        for token in 0..expected["promoted_logit.ids"].len() / 10 {
            let of = found.tokens.of(TokenId(token as u32));
            let lists = [
                ("promoted_logit", &of.by_logit[0]),
                ("suppressed_logit", &of.by_logit[1]),
                ("promoted_v", &of.by_v[0]),
                ("suppressed_v", &of.by_v[1]),
                ("promoted_by", &of.firing[0]),
                ("suppressed_by", &of.firing[1]),
                ("promoted_by_v", &of.firing_by_v[0]),
                ("suppressed_by_v", &of.firing_by_v[1]),
            ];
            for (kind, list) in lists {
                let list: Vec<_> = list.iter().map(flat).collect();
                let [ids, values] = ["ids", "values"]
                    .map(|end| &expected[&format!("{kind}.{end}")][token * 10..][..10]);
                same_list(&format!("{name} {kind} of {token}"), &list, ids, values);
            }
        }
    }
}

/// With thresholds among what random weights have, every role occurs, and those of the reference.
#[test]
fn roles_agree_where_all_of_them_occur() {
    let options = AnalysisOptions {
        roles: RoleThresholds {
            kurtosis: 3.1,
            variance: 0.065,
            null_share: 0.1,
            late_layers: 0.5,
            norm_rank: 0.3,
            variance_rank: 0.7,
        },
        ..AnalysisOptions::default()
    };
    let mut counts = [0; 5];
    for name in FIXTURES {
        let found = analysis_by(&model(name), |_| (), &options);
        let expected = reference(name);
        for (layer, neurons) in found.layers.iter().enumerate() {
            let expected = &expected[&format!("{layer}.role_by_others")];
            for (neuron, (of, expected)) in neurons.iter().zip(expected).enumerate() {
                let role = role_number(of.role);
                assert_eq!(role as f64, *expected, "{name} {layer}.{neuron}");
                counts[role] += 1;
            }
        }
    }
    assert!(counts.iter().all(|n| *n > 0), "{counts:?}");
}

fn role_number(role: Option<Role>) -> usize {
    role.map_or(0, |role| role as usize + 1)
}

/// `get` gives a neuron's row of a tensor of the reference, if there is one.
fn compare_neuron<'a>(
    what: &str,
    of: &NeuronWeights,
    get: &dyn Fn(&str, usize) -> Option<&'a [f64]>,
) {
    let wide = |value: Option<f32>| value.map(f64::from);
    let numbers = [
        ("norm_in", Some(of.norms.input)),
        ("norm_gate", of.norms.gate),
        ("norm_out", Some(of.norms.out)),
        ("cos_in_out", of.cosines.in_out),
        ("cos_gate_out", of.cosines.gate_out),
        ("cos_gate_in", of.cosines.gate_in),
        ("cos_in_written", of.cosines.in_written),
        ("cos_gate_written", of.cosines.gate_written),
        ("null_share", of.null_share),
    ];
    for (name, value) in numbers {
        match get(name, 1) {
            Some(row) => near(&format!("{what} {name}"), wide(value), row[0], 1e-5),
            None => assert_eq!(value, None, "{what} {name}"),
        }
    }
    let v = get("v_moments", 4).unwrap();
    let logits = get("logit_moments", 3).unwrap();
    for (name, value, expected) in [
        ("mean of v", of.v.mean, v[0]),
        ("variance of v", of.v.variance, v[1]),
        ("skewness of v", of.v.skewness, v[2]),
        ("kurtosis of v", of.v.kurtosis, v[3]),
        ("variance of logit weights", of.logits.variance, logits[0]),
        ("skewness of logit weights", of.logits.skewness, logits[1]),
        ("kurtosis of logit weights", of.logits.kurtosis, logits[2]),
    ] {
        near(
            &format!("{what} {name}"),
            value,
            expected,
            1e-5 * expected.abs().max(1.0),
        );
    }
    let class = of.class.unwrap();
    assert_eq!(
        f64::from(class.class as u8),
        get("class", 1).unwrap()[0],
        "{what}"
    );
    assert_eq!(
        f64::from(u8::from(class.typical)),
        get("typical", 1).unwrap()[0],
        "{what}"
    );
    let role = role_number(of.role);
    assert_eq!(role as f64, get("role", 1).unwrap()[0], "{what}");
    let Reads { top, bottom } = &of.reads_in;
    let gate = &of.reads_gate;
    for (name, list) in [
        ("top", &of.top),
        ("bottom", &of.bottom),
        ("read_in_top", top),
        ("read_in_bottom", bottom),
        ("read_gate_top", &gate.top),
        ("read_gate_bottom", &gate.bottom),
    ] {
        match (
            get(&format!("{name}_ids"), 20),
            get(&format!("{name}_values"), 20),
        ) {
            (Some(ids), Some(values)) => {
                same_list(&format!("{what} {name}"), &tokens_of(list), ids, values)
            }
            _ => assert!(list.is_empty(), "{what} {name}"),
        }
    }
    let [low, step] = [of.histogram.low, of.histogram.step].map(f64::from);
    let total: u32 = of.histogram.counts.iter().sum();
    let mean = of.histogram.counts.iter().enumerate();
    let mean: f64 = mean
        .map(|(bin, n)| (low + (bin as f64 + 0.5) * step) * f64::from(*n))
        .sum();
    near(
        &format!("{what} mean of the histogram"),
        Some(mean / f64::from(total)),
        v[0],
        step / 2.0,
    );
}

/// Turning a neuron's signs changes no class, no role's evidence but the sign of v, and no size of a cosine.
#[test]
fn turned_signs_change_no_class() {
    let plain = analysis_of(&model("llama"), |_| ());
    let turned = analysis_of(&model("llama"), |config| config.refactor_glu = true);
    let pairs = plain
        .layers
        .iter()
        .flatten()
        .zip(turned.layers.iter().flatten());
    let mut n_turned = 0;
    for (a, b) in pairs {
        assert_eq!((a.class, a.norms), (b.class, b.norms));
        let sign = if a.cosines.gate_in.unwrap() < 0.0 {
            -1.0
        } else {
            1.0
        };
        n_turned += usize::from(sign < 0.0);
        assert!(b.cosines.gate_in.unwrap() >= 0.0);
        assert_eq!(b.cosines.in_out, a.cosines.in_out);
        assert_eq!(
            b.cosines.gate_out,
            a.cosines.gate_out.map(|cosine| sign * cosine)
        );
        let sizes = |list: &[(TokenId, f32)]| {
            list.iter()
                .map(|(id, value)| (*id, value.abs()))
                .collect::<Vec<_>>()
        };
        let (top, bottom) = if sign < 0.0 {
            (&b.bottom, &b.top)
        } else {
            (&b.top, &b.bottom)
        };
        assert_eq!(
            (sizes(&a.top), sizes(&a.bottom)),
            (sizes(top), sizes(bottom))
        );
        near("variance of v", a.v.variance, b.v.variance.unwrap(), 1e-9);
        for (a, b) in a.neighbours.iter().zip(&b.neighbours) {
            let sizes = |list: &[(NeuronId, f32)]| {
                list.iter()
                    .map(|(id, value)| (*id, value.abs()))
                    .collect::<Vec<_>>()
            };
            assert_eq!(sizes(a), sizes(b));
        }
    }
    assert!(n_turned > 20, "{n_turned}");
}

/// Scans a changed copy of the Llama fixture.
fn scan_copy(project: &Project, folder: &Path) {
    let text = project.join("corpus.jsonl");
    corpus(&text, 12);
    succeed(&mut scan_command(project, folder, &text));
}

fn floats(data: &mut [u8], change: impl FnOnce(&mut Vec<f32>)) {
    let mut values: Vec<f32> = data
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
        .collect();
    change(&mut values);
    let bytes: Vec<u8> = values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    data.copy_from_slice(&bytes);
}

const D: usize = 24; // d_model of the fixture
const N: usize = 37; // its d_mlp

/// In layer 0 neuron 2 reads nothing. In layer 1 neuron 3 writes nothing, 4 reads nothing, 5 has no gate, 7 is 6 again, 8 and 9 are large and small.
fn degenerate(folder: &Path) {
    copy(&model("llama"), folder);
    let file = folder.join("model.safetensors");
    let rows = |values: &mut Vec<f32>| {
        let row = values[6 * D..7 * D].to_vec();
        values[7 * D..8 * D].copy_from_slice(&row);
        values[8 * D..9 * D].iter_mut().for_each(|x| *x *= 1e18);
        values[9 * D..10 * D].iter_mut().for_each(|x| *x *= 1e-18);
    };
    change_tensor(&file, "model.layers.1.mlp.up_proj.weight", |data| {
        floats(data, |values| {
            rows(values);
            values[4 * D..5 * D].fill(0.0);
        });
    });
    change_tensor(&file, "model.layers.1.mlp.gate_proj.weight", |data| {
        floats(data, |values| {
            rows(values);
            values[5 * D..6 * D].fill(0.0);
        });
    });
    change_tensor(&file, "model.layers.0.mlp.up_proj.weight", |data| {
        floats(data, |values| values[2 * D..3 * D].fill(0.0));
    });
    change_tensor(&file, "model.layers.1.mlp.down_proj.weight", |data| {
        floats(data, |values| {
            for row in values.chunks_exact_mut(N) {
                row[3] = 0.0;
                row[7] = row[6];
                row[8] *= 1e18;
                row[9] *= 1e-18;
            }
        });
    });
}

#[test]
fn degenerate_weights_have_defined_results() {
    let dir = tempfile::tempdir().unwrap();
    degenerate(&dir.path().join("odd"));
    let found = analysis_of(&dir.path().join("odd"), |_| ());
    let layer = &found.layers[1];
    let silent = &layer[3];
    assert_eq!(
        (
            silent.norms.out,
            silent.class,
            silent.role,
            silent.null_share
        ),
        (0.0, None, None, None)
    );
    assert_eq!(
        (silent.cosines.in_out, silent.cosines.gate_out),
        (None, None)
    );
    assert!(silent.cosines.gate_in.is_some());
    assert_eq!(
        (silent.v.variance, silent.v.kurtosis, silent.logits.kurtosis),
        (None, None, None)
    );
    assert!(
        silent.histogram.counts.is_empty() && silent.top.is_empty() && silent.bottom.is_empty()
    );
    let deaf = &layer[4];
    assert_eq!(
        (deaf.cosines.in_out, deaf.cosines.gate_in, deaf.class),
        (None, None, None)
    );
    assert!(deaf.cosines.gate_out.is_some() && !deaf.top.is_empty());
    assert!(deaf.neighbours[Relation::InInLayer as usize].is_empty());
    assert_eq!(layer[5].class, None);
    let twin = |list: &[(NeuronId, f32)], of: u32| {
        let (id, cosine) = list[0];
        assert_eq!((id.layer, id.neuron), (1, of));
        near("of twins", Some(cosine.into()), 1.0, 1e-6);
    };
    for relation in [Relation::InInLayer, Relation::OutOutLayer] {
        twin(&layer[6].neighbours[relation as usize], 7);
        twin(&layer[7].neighbours[relation as usize], 6);
    }
    // a length means nothing to a direction
    let plain = analysis_of(&model("llama"), |_| ());
    for neuron in [8, 9] {
        let (a, b) = (&plain.layers[1][neuron], &layer[neuron]);
        near(
            "in_out",
            b.cosines.in_out.map(f64::from),
            a.cosines.in_out.unwrap().into(),
            1e-6,
        );
        near("variance", b.v.variance, a.v.variance.unwrap(), 1e-6);
        for (a, b) in [
            (a.logits.kurtosis, b.logits.kurtosis),
            (a.logits.skewness, b.logits.skewness),
        ] {
            near("shape of logit weights", b, a.unwrap(), 1e-4);
        }
        assert_eq!(a.class, b.class);
    }
    // who does not read at all reads no token
    let [deaf, other] = [2, 3].map(|neuron| &found.layers[0][neuron]);
    assert!(deaf.reads_in.top.is_empty() && deaf.reads_in.bottom.is_empty());
    assert_eq!(
        (deaf.reads_gate.top.len(), other.reads_in.top.len()),
        (20, 20)
    );
    // nobody names a neuron without a direction, nor itself
    for (layer, neurons) in found.layers.iter().enumerate() {
        for (neuron, of) in neurons.iter().enumerate() {
            for (relation, list) in Relation::ALL.iter().zip(&of.neighbours) {
                for (id, cosine) in list {
                    assert!((id.layer as usize, id.neuron as usize) != (layer, neuron));
                    assert!(cosine.abs() <= 1.0 && *cosine != 0.0);
                    let writes = matches!(
                        relation,
                        Relation::OutOutLayer | Relation::OutOutOthers | Relation::UpstreamIn
                    );
                    assert!(!(writes && (id.layer, id.neuron) == (1, 3)), "{relation:?}");
                }
            }
        }
    }
}

/// Nothing that is not a number gets as far as a page.
#[test]
fn pages_of_degenerate_weights_have_no_nan() {
    let project = Project::new();
    degenerate(&project.join("odd"));
    scan_copy(&project, &project.join("odd"));
    project.build(&["--neuron-json"]);
    // three letters are anywhere in base64, and a page says what it leaves out
    let base64 = regex::Regex::new(r#""[A-Za-z0-9+/]{8,}=*""#).unwrap();
    for (name, bytes) in files(&project.site()) {
        let text = String::from_utf8_lossy(&bytes);
        let text = base64.replace_all(&text, "").replace("NaN or infinite", "");
        let shows = !name.starts_with("api/v1/")
            && [".html", ".json", ".csv"]
                .iter()
                .any(|end| name.ends_with(end));
        let nan = ["NaN", ">inf", ">+inf", ">-inf", "Infinity"]
            .into_iter()
            .find(|word| text.contains(word));
        assert!(!shows || nan.is_none(), "{nan:?} in {name}");
    }
    let record = project.json("odd/1/3.json");
    assert_eq!(record["weights"]["class"], Value::Null);
    assert_eq!(record["weights"]["cosines"]["in_out"]["value"], Value::Null);
    assert_eq!(record["weights"]["v"]["histogram"], Value::Null);
}

#[test]
fn weights_that_are_no_numbers_are_named() {
    let dir = tempfile::tempdir().unwrap();
    copy(&model("llama"), dir.path());
    let tensor = "model.layers.2.mlp.up_proj.weight";
    change_tensor(&dir.path().join("model.safetensors"), tensor, |data| {
        floats(data, |values| values[5] = f32::NAN);
    });
    let files = ModelFiles::open(dir.path().to_str().unwrap()).unwrap();
    let (config, checkpoint) = (files.config().unwrap(), files.checkpoint().unwrap());
    let found = weights(
        &config,
        &checkpoint,
        &[0, 1, 2],
        &AnalysisOptions::default(),
        &[],
        &|_| true,
        |_, _| Ok(()),
    );
    let error = found.err().unwrap().to_string();
    assert!(error.contains(tensor), "{error}");
}

/// Layers of one neuron have no chance and no neighbours of their layer.
#[test]
fn layers_of_one_neuron() {
    let dir = tempfile::tempdir().unwrap();
    copy(&model("llama"), dir.path());
    change_json(&dir.path().join("config.json"), |config| {
        config["intermediate_size"] = 1.into();
    });
    change_tensors(
        &dir.path().join("model.safetensors"),
        |name, shape, data| {
            if name.contains("up_proj") || name.contains("gate_proj") {
                data.truncate(data.len() / N);
                shape[0] = 1;
            } else if name.contains("down_proj.weight") {
                *data = data
                    .chunks_exact(4 * N)
                    .flat_map(|row| row[..4].to_vec())
                    .collect();
                shape[1] = 1;
            }
        },
    );
    let found = analysis_of(dir.path(), |_| ());
    for (layer, neurons) in found.layers.iter().enumerate() {
        let [of] = neurons.as_slice() else {
            panic!("{}", neurons.len())
        };
        assert_eq!(found.info.layers[layer].in_out, None);
        assert!(of.class.is_some() && of.neighbours[Relation::InInLayer as usize].is_empty());
        assert_eq!(of.neighbours[Relation::InInOthers as usize].len(), 2);
        assert_eq!(of.neighbours[Relation::UpstreamIn as usize].len(), layer);
        assert_eq!(
            of.neighbours[Relation::DownstreamGate as usize].len(),
            2 - layer
        );
    }
}

/// A model that ties its embeddings writes and reads as one that has the same matrix twice.
#[test]
fn tied_embeddings() {
    let tied = analysis_of(&model("llama3"), |config| assert!(config.tied));
    let dir = tempfile::tempdir().unwrap();
    copy(&model("llama3"), dir.path());
    change_json(&dir.path().join("config.json"), |config| {
        config["tie_word_embeddings"] = false.into();
    });
    let file = dir.path().join("model.safetensors");
    let bytes = fs::read(&file).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let twice = tensors.tensor("model.embed_tokens.weight").unwrap();
    let all = tensors.iter().filter(|(name, _)| *name != "lm_head.weight");
    let all: Vec<_> = all.chain([("lm_head.weight", twice)]).collect();
    let bytes = safetensors::serialize(all, None).unwrap();
    fs::write(&file, bytes).unwrap();
    let untied = analysis_of(dir.path(), |config| assert!(!config.tied));
    assert_eq!(tied.layers, untied.layers);
    assert_eq!(tied.layers[0][0].reads_in.top.len(), 20);
}

#[test]
fn classes_occur_in_the_columns_and_on_the_pages() {
    let project = Project::tiny("llama");
    let read = |name: &str| project.page(&format!("tiny/{name}"));
    let atlas = project.atlas("tiny");
    let classes = read("figures/classes.csv");
    let mut rows = classes.lines();
    assert_eq!(rows.next(), Some("layer,class,typical,n,share"));
    let rows: Vec<Vec<&str>> = rows.map(|row| row.split(',').collect()).collect();
    for layer in 0..3 {
        let neurons = atlas.weights(layer).unwrap().unwrap();
        for class in Class::ALL {
            let n = neurons
                .iter()
                .filter(|of| of.class.is_some_and(|of| of.class == class));
            let of_class = rows
                .iter()
                .filter(|row| row[0] == layer.to_string() && row[1] == class.name());
            let counted: usize = of_class.map(|row| row[3].parse::<usize>().unwrap()).sum();
            assert_eq!(n.count(), counted);
        }
        let page = read(&format!("{layer}/0.html"));
        let class = neurons[0].class.unwrap().class;
        let id = format!("class-{}", class.name().replace(' ', "-"));
        assert!(page.contains(&format!("href=\"../index.html#{id}\"")));
        assert!(read("index.html").contains(&format!("id=\"{id}\"")));
        let record = project.record(&format!("tiny/{layer}/0.html"));
        let found = record["weights"]["neighbours"]["out_out_others"]
            .as_array()
            .unwrap();
        let found = found
            .iter()
            .map(|of| [of[0].as_u64().unwrap(), of[1].as_u64().unwrap()]);
        let expected = neurons[0].neighbours[Relation::OutOutOthers as usize].iter();
        let expected = expected.map(|(id, _)| [id.layer, id.neuron].map(u64::from));
        assert!(found.eq(expected));
        let index = project.json(&format!("tiny/{layer}/index.json"));
        for (neuron, of) in neurons.iter().enumerate() {
            let cosine = index["columns"]["cos_in_out"][neuron].as_f64().unwrap();
            assert!((cosine - f64::from(of.cosines.in_out.unwrap())).abs() < 1e-5);
            assert_eq!(
                index["weights"]["class"][neuron],
                of.class.unwrap().class as u8
            );
        }
    }
}

/// A token's neurons are those whose examples peak on it.
#[test]
fn the_token_index_knows_where_examples_peak() {
    let read = |name: &str| Project::tiny("llama").json(&format!("tiny/{name}"));
    let mut ids: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for start in read("docs/index.json")["starts"].as_array().unwrap() {
        let file = read(&format!("docs/{:06}.json", start.as_u64().unwrap()));
        for document in file["documents"].as_array().unwrap() {
            let of = document["ids"].as_array().unwrap().iter();
            let of = of.map(|id| id.as_u64().unwrap()).collect();
            ids.insert(document["doc"].as_u64().unwrap(), of);
        }
    }
    let mut counts: BTreeMap<(usize, u64), BTreeMap<u64, usize>> = BTreeMap::new();
    for layer in 0..3 {
        for neuron in 0..37u64 {
            let record = read(&format!("{layer}/{neuron}.json"));
            for (end, list) in ["top", "bottom"].iter().enumerate() {
                for example in examples(&record, list) {
                    let at = example.start as usize + example.peak;
                    let token = ids[&example.doc][at];
                    *counts
                        .entry((end, token))
                        .or_default()
                        .entry(layer * 37 + neuron)
                        .or_default() += 1;
                }
            }
        }
    }
    let index = read("tokens/index.json");
    assert_eq!(index["n_tokens"], 290);
    let mut seen = 0;
    for first in (0..290).step_by(128) {
        let file = read(&format!("tokens/{first:06}.json"));
        for (at, token) in file["tokens"].as_array().unwrap().iter().enumerate() {
            for (end, name) in ["top", "bottom"].iter().enumerate() {
                let expected = counts
                    .get(&(end, first + at as u64))
                    .cloned()
                    .unwrap_or_default();
                assert_eq!(token[format!("n_peaks_{name}")], expected.len());
                let mut expected: Vec<_> = expected.into_iter().collect();
                expected.sort_by_key(|(neuron, n)| (std::cmp::Reverse(*n), *neuron));
                expected.truncate(20);
                let found = token[format!("peaks_{name}")].as_array().unwrap().iter();
                let found: Vec<_> = found
                    .map(|pair| {
                        (
                            pair[0].as_u64().unwrap(),
                            pair[1].as_f64().unwrap() as usize,
                        )
                    })
                    .collect();
                assert_eq!(found, expected);
                seen += found.len();
            }
        }
    }
    assert!(seen > 200, "{seen}");
}

/// A token's neurons are listed for what they do on the side that dominates, or on either where both are nearly as large.
#[test]
fn the_token_index_follows_the_sides_of_neurons() {
    let project = Project::tiny("llama");
    let atlas = project.atlas("tiny");
    let sides: Vec<_> = (0..3)
        .flat_map(|layer| atlas.summaries(layer).unwrap())
        .map(|summary| summary.orientation)
        .collect();
    let mut counts = [[0; 2]; 2];
    let mut shown = Vec::new();
    for first in (0..290).step_by(128) {
        let file = project.json(&format!("tiny/tokens/{first:06}.json"));
        shown.extend(file["tokens"].as_array().unwrap().clone());
    }
    let rows = atlas.tokens(100).unwrap().unwrap();
    for (row, shown) in rows.flat_map(Result::unwrap).zip(&shown) {
        for (end, lists) in [
            ["promoted_by", "promoted_by_v"],
            ["suppressed_by", "suppressed_by_v"],
        ]
        .into_iter()
        .enumerate()
        {
            let all = [&row.neurons.firing[end], &row.neurons.firing_by_v[end]];
            for (name, list) in lists.into_iter().zip(all) {
                let shown = shown[name].as_array().unwrap();
                assert_eq!((shown.len(), list.len()), (10, 10));
                for ((id, value), shown) in list.iter().zip(shown) {
                    let flat = id.layer * 37 + id.neuron;
                    let side = match (*value > 0.0) == (end == 0) {
                        true => Side::Positive,
                        false => Side::Negative,
                    };
                    let own = sides[flat as usize].unwrap();
                    assert!(own.side == side || own.balance > 0.8, "{id} {value}");
                    counts[end][usize::from(own.side == side)] += 1;
                    assert_eq!(shown[0], flat);
                    assert!((shown[1].as_f64().unwrap() - f64::from(*value)).abs() < 1e-4);
                }
            }
        }
    }
    assert!(counts.as_flattened().iter().all(|n| *n > 100), "{counts:?}");
}

fn atlas_files(data: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(data.join("atlas")).unwrap().flatten();
    entries
        .map(|entry| {
            (
                entry.file_name().into_string().unwrap(),
                fs::read(entry.path()).unwrap(),
            )
        })
        .collect()
}

/// Merging alone leaves the weights out, analysing adds them, and doing it again changes nothing.
#[test]
fn analyze_completes_an_atlas() {
    let project = Project::new().scan("llama", 12, &[]);
    let data = project.data("llama");
    let whole = atlas_files(&data);
    assert!(whole.contains_key("weights.json") && whole.contains_key("tokens.parquet"));

    succeed(&mut data_command(&project, "merge", &data));
    assert!(!atlas_files(&data).contains_key("weights.json"));
    let said = project.build(&["--neuron-json"]);
    assert!(
        said.stderr.contains("neuroscope analyze"),
        "{}",
        said.stderr
    );
    assert_eq!(project.json("llama/0/0.json")["weights"], Value::Null);
    assert!(!project.join("site/llama/tokens.html").exists());

    let before = atlas_files(&data);
    fail(&mut data_command(&project, "analyze", &data), &["--model"]);
    let other = project.join("other");
    copy(&model("llama"), &other);
    let file = other.join("model.safetensors");
    change_tensor(&file, "model.norm.weight", <[u8]>::reverse);
    let analyze = |model: &Path| analyze_command(&project, &data, model);
    fail(&mut analyze(&other), &["different weights"]);
    // the same weights in another config are another model
    let other = project.join("other-config");
    copy(&model("llama"), &other);
    let config = fs::read_to_string(other.join("config.json")).unwrap();
    fs::write(other.join("config.json"), config + "\n").unwrap();
    fail(&mut analyze(&other), &["different config"]);
    assert_eq!(atlas_files(&data), before);

    // nor does a merge with another model touch what is there
    let mut merge = data_command(&project, "merge", &data);
    fail(merge.arg("--model").arg(&other), &["different config"]);
    assert_eq!(atlas_files(&data), before);

    for _ in 0..2 {
        succeed(&mut analyze(&model("llama")));
        assert_eq!(atlas_files(&data), whole);
    }
    let hidden = fs::read_dir(&data)
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name().into_string().unwrap());
    let left: Vec<_> = hidden.filter(|name| name.starts_with(".atlas-")).collect();
    assert!(left.is_empty(), "{left:?}");
    succeed(&mut data_command(&project, "verify", &data));
}

/// Thresholds are options, and are written down.
#[test]
fn thresholds_can_be_chosen() {
    let project = Project::new();
    project.write("neuroscope.toml", "[weights.roles]\nkurtosis = 50.0\n");
    project.scan_here("llama", 12, &[]);
    let roles = || {
        let atlas = project.atlas("llama");
        let layers = (0..3).map(|layer| atlas.weights(layer).unwrap().unwrap());
        let mut n = [0; 2];
        for role in layers.flatten().filter_map(|of| of.role) {
            n[usize::from(role == Role::Partition)] += 1;
        }
        (n, atlas.weights_info().unwrap().options.roles)
    };
    let (n, thresholds) = roles();
    assert_eq!((n, thresholds.kurtosis), ([0, 0], 50.0));
    let analyze = || analyze_command(&project, &project.data("llama"), &model("llama"));
    // with so few dimensions as many pass this threshold by chance, and none is called a partition neuron
    succeed(analyze().args(["--role-kurtosis", "3", "--role-variance", "0.04"]));
    let (n, thresholds) = roles();
    assert!(n[0] > 0 && n[1] == 0, "{n:?}");
    assert_eq!((thresholds.kurtosis, thresholds.variance), (3.0, 0.04));
    misused(
        analyze().args(["--role-kurtosis", "nan"]),
        &["`roles.kurtosis` is NaN"],
    );
    assert_eq!(roles(), (n, thresholds));
}

/// A model of random weights with more neurons than one thread takes at a time.
fn wide(folder: &Path) {
    const WIDE: usize = 300;
    copy(&model("llama"), folder);
    change_json(&folder.join("config.json"), |config| {
        config["intermediate_size"] = WIDE.into();
        config["mlp_bias"] = false.into();
    });
    change_tensors(&folder.join("model.safetensors"), |name, shape, data| {
        if !name.contains("mlp.") {
            return;
        }
        let seed = name.bytes().map(u64::from).sum::<u64>();
        let value = |at: usize| {
            let drawn = hash::position(seed, DocId(at as u32), Pos(0));
            (drawn % 2001) as f32 / 1000.0 - 1.0
        };
        match shape.as_mut_slice() {
            [_, columns] if name.contains("down_proj") => *columns = WIDE,
            [rows, _] => *rows = WIDE,
            _ => return,
        }
        let n: usize = shape.iter().product();
        *data = (0..n).flat_map(|at| value(at).to_le_bytes()).collect();
    });
}

/// Nor does it depend on which thread is first.
#[test]
fn the_analysis_does_not_depend_on_the_threads() {
    let dir = tempfile::tempdir().unwrap();
    wide(dir.path());
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| analysis_of(dir.path(), |_| ()))
    };
    let one = with(1);
    assert_eq!(one.layers[0].len(), 300);
    for threads in [2, 5, 5] {
        let other = with(threads);
        assert!(one.layers == other.layers && one.info == other.info);
        let tokens = (0..290).map(TokenId);
        tokens.for_each(|token| assert_eq!(one.tokens.of(token), other.tokens.of(token)));
    }
}

/// Neurons of layer 1 whose weights make them what their names say.
#[test]
fn atypical_neurons_are_said_to_be() {
    let project = Project::new();
    let folder = project.join("made");
    copy(&model("llama"), &folder);
    let file = folder.join("model.safetensors");
    // neuron by neuron: the directions of in, gate and out in a plane
    let h = 0.5f32.sqrt();
    let made: [Made; 8] = [
        (
            [1.0, 0.0],
            [1.0, 0.0],
            [1.0, 0.0],
            Class::Strengthening,
            true,
        ),
        ([1.0, 0.0], [0.0, 1.0], [h, h], Class::Strengthening, false),
        (
            [1.0, 0.0],
            [0.0, 1.0],
            [1.0, 0.0],
            Class::ConditionalStrengthening,
            true,
        ),
        (
            [1.0, 0.0],
            [0.0, 1.0],
            [0.0, -1.0],
            Class::ProportionalChange,
            true,
        ),
        (
            [1.0, 0.0],
            [1.0, 0.0],
            [0.0, 1.0],
            Class::OrthogonalOutput,
            true,
        ),
        ([1.0, 0.0], [-1.0, 0.0], [-1.0, 0.0], Class::Weakening, true),
        ([1.0, 0.0], [0.0, 1.0], [-h, h], Class::Weakening, false),
        (
            [1.0, 0.0],
            [0.0, 1.0],
            [-1.0, 0.0],
            Class::ConditionalWeakening,
            true,
        ),
    ];
    change_tensor(
        &file,
        "model.layers.1.post_attention_layernorm.weight",
        |data| {
            floats(data, |values| values.fill(1.0));
        },
    );
    let rows = |tensor: &str, of: fn(&Made) -> [f32; 2]| {
        change_tensor(&file, tensor, |data| {
            floats(data, |values| {
                for (row, made) in values.chunks_exact_mut(D).zip(&made) {
                    row.fill(0.0);
                    row[4..6].copy_from_slice(&of(made));
                }
            });
        });
    };
    rows("model.layers.1.mlp.up_proj.weight", |made| made.0);
    rows("model.layers.1.mlp.gate_proj.weight", |made| made.1);
    change_tensor(&file, "model.layers.1.mlp.down_proj.weight", |data| {
        floats(data, |values| {
            for (neuron, made) in made.iter().enumerate() {
                for d in 0..D {
                    values[d * N + neuron] = if (4..6).contains(&d) {
                        made.2[d - 4]
                    } else {
                        0.0
                    };
                }
            }
        });
    });
    scan_copy(&project, &folder);
    project.build(&[]);
    let atlas = project.atlas("made");
    let neurons = atlas.weights(1).unwrap().unwrap();
    for (neuron, (_, _, _, class, typical)) in made.iter().enumerate() {
        let found = neurons[neuron].class.unwrap();
        assert_eq!((found.class, found.typical), (*class, *typical), "{neuron}");
        let page = project.page(&format!("made/1/{neuron}.html"));
        assert_eq!(page.contains(">atypical</a>"), !typical);
        assert!(page.contains(&format!(">{}</a>", class.name())));
    }
    let figures = project.page("made/figures/classes.csv");
    assert!(figures.contains("\n1,strengthening,false,1,"), "{figures}");
    let index = project.page("made/index.html");
    assert!(index.contains("typical and atypical") && index.contains("id=\"typical\""));
}

/// Directions of in, gate and out, and what they make of a neuron.
type Made = ([f32; 2], [f32; 2], [f32; 2], Class, bool);
