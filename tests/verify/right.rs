//! Atlases that are right, whole or in part, and what `verify` leaves behind.

use std::fs;
use std::path::Path;

use neuroscope::load::ModelFiles;
use neuroscope::shard::Lock;
use neuroscope::verify::verify;
use serde_json::json;

use super::{found, options};
use crate::support::{Project, change_json, data_command, fail, misused, model, succeed};

/// How many folders of a full check are in a data folder.
fn n_left(data: &Path) -> usize {
    let entries = fs::read_dir(data).unwrap().flatten();
    let names = entries.map(|entry| entry.file_name().into_string().unwrap());
    names.filter(|name| name.starts_with(".verify")).count()
}

/// Atlases of several models, types, options, splits and versions, of which nothing is wrong.
#[test]
fn good_atlases_are_not_accused() {
    let v1 = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/format/v1");
    for name in ["llama", "gpt2", "solu", "llama_weights", "gpt2_weights"] {
        assert_eq!(found(&v1.join(name), None), None, "{name}");
    }
    let all: [(&str, &[&str]); 7] = [
        ("llama", &["--keep-hooks"]),
        (
            "llama",
            &[
                "--dtype",
                "bf16",
                "--refactor-glu",
                "--rank-pre",
                "--keep-hooks",
            ],
        ),
        (
            "gpt2",
            &["--count-special", "--n-ctx", "16", "--dtype", "f16"],
        ),
        (
            "gpt2",
            &[
                "--window-before",
                "3",
                "--window-after",
                "0",
                "--context-tokens",
                "2",
            ],
        ),
        (
            "gpt2",
            &["--random", "200", "--per-band", "30", "--top-k", "60"],
        ),
        (
            "llama",
            &[
                "--random",
                "0",
                "--per-band",
                "0",
                "--case-k",
                "0",
                "--tau",
                "0",
            ],
        ),
        ("solu", &["--top-k", "1", "--seed", "7"]),
    ];
    for (at, (name, more)) in all.into_iter().enumerate() {
        let project = Project::new().scan(name, 30, more);
        let data = project.data(name);
        assert_eq!(found(&data, None), None, "{name} {more:?}");
        let files = ModelFiles::open(model(name).to_str().unwrap()).unwrap();
        let said = verify(&data, Some(&files), &options(false), &|_| true).unwrap();
        assert!(said.is_right(), "{name} {more:?}: {:?}", said.wrong);
        if at % 2 == 0 {
            let said = verify(&data, Some(&files), &options(true), &|_| true).unwrap();
            assert!(said.is_right(), "{name} {more:?}: {:?}", said.wrong);
            assert!(said.full.unwrap().exact);
        }
    }
}

/// In parts, without an analysis of the weights, without its parts; and scanned elsewhere, where bits are others.
#[test]
fn what_is_not_there_is_not_missed() {
    let project = Project::new();
    let data = project.data("llama");
    for part in ["0/3", "1/3", "2/3"] {
        project.scan_here("llama", 30, &["--part", part]);
    }
    succeed(&mut data_command(&project, "merge", &data));
    let files = ModelFiles::open(model("llama").to_str().unwrap()).unwrap();
    assert_eq!(found(&data, None), None);
    assert_eq!(found(&data, Some(&files)), None);
    for part in 0..3 {
        let folder = data.join(format!("parts/part-{part:05}-of-00003"));
        change_json(&folder.join("manifest.json"), |manifest| {
            manifest["device"] = json!("cuda:0");
        });
    }
    let said = verify(&data, Some(&files), &options(true), &|_| true).unwrap();
    assert!(said.is_right(), "{:?}", said.wrong);
    let full = said.full.unwrap();
    assert!(!full.exact && full.because.unwrap().contains("cuda:0"));
    fs::remove_dir_all(data.join("parts")).unwrap();
    assert_eq!(found(&data, None), None);
    let mut verify = data_command(&project, "verify", &data);
    let said = succeed(verify.arg("--full").arg("--model").arg(model("llama")));
    assert!(said.stdout.contains("bit for bit"), "{}", said.stdout);
    assert_eq!(n_left(&data), 0);
}

#[test]
fn an_atlas_is_verified_and_its_examples_are_computed_again() {
    for (name, more) in [
        (
            "llama",
            &["--dtype", "bf16", "--refactor-glu", "--keep-hooks"][..],
        ),
        ("gpt2", &["--count-special", "--n-ctx", "16"]),
        ("solu", &["--top-k", "4"]),
    ] {
        let project = Project::new().scan(name, 25, more);
        let data = project.data(name);
        let verify = || data_command(&project, "verify", &data);
        let other = if name == "llama" { "gpt2" } else { "llama" };
        let said = succeed(&mut verify());
        assert!(
            said.stdout.contains("nothing was recomputed"),
            "{}",
            said.stdout
        );
        let report = succeed(verify().arg("--json").arg("--model").arg(model(name))).json();
        let again = &report["recomputed"];
        assert_eq!(again["neurons"].as_array().unwrap().len(), 10);
        assert!(
            again["n_examples"].as_u64().unwrap() > 100,
            "{name}: {again}"
        );
        assert!(
            again["peak_error"].as_f64().unwrap() <= 1e-5,
            "{name}: {again}"
        );
        assert!(
            again["window_error"].as_f64().unwrap() <= 1e-5,
            "{name}: {again}"
        );

        fail(
            verify().arg("--model").arg(model(other)),
            &["different weights"],
        );
        // what claims to be of another type does not reproduce
        if name == "llama" {
            for folder in ["", "atlas/", "parts/part-00000-of-00001/"] {
                let path = data.join(format!("{folder}manifest.json"));
                let text = fs::read_to_string(&path).unwrap();
                fs::write(path, text.replace("\"bf16\"", "\"f32\"")).unwrap();
            }
            let strict = ["--tolerance", "1e-6", "--model"];
            fail(
                verify().args(strict).arg(model(name)),
                &["do not reproduce", "such as `"],
            );
        }
        let corpus = data.join("corpus/tokens-00000.bin");
        let mut bytes = fs::read(&corpus).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        fs::write(&corpus, bytes).unwrap();
        fail(&mut verify(), &["corpus/tokens-00000.bin`: it is damaged"]);
    }
}

/// What a killed process left goes; what one that is at work has written stays.
#[test]
fn what_a_killed_full_check_left_is_removed() {
    let project = Project::new().scan("llama", 12, &[]);
    let data = project.data("llama");
    let [left, used, mine] = [".verify-aB3dE6", ".verify-000000", ".verify-notes"];
    for name in [left, used, mine] {
        fs::create_dir_all(data.join(name).join("parts")).unwrap();
    }
    let lock = Lock::try_take(&data.join(used).join("verify")).unwrap();
    let model = ModelFiles::open(model("llama").to_str().unwrap()).unwrap();
    assert_eq!(found(&data, Some(&model)), None);
    assert!(!data.join(left).exists());
    assert!(data.join(used).exists() && data.join(mine).exists());
    drop(lock);
    assert_eq!(found(&data, Some(&model)), None);
    assert_eq!(n_left(&data), 1);
}

#[test]
fn a_tolerance_that_is_none_is_refused_before_anything_is_read() {
    let project = Project::new();
    for tolerance in ["1.5", "NaN", "inf"] {
        let mut verify = data_command(&project, "verify", Path::new("nothing-here"));
        misused(verify.args(["--tolerance", tolerance]), &["`tolerance` is"]);
    }
}
