//! `--prefix`: a text in view of the model before every window, none of whose positions count.

use candle_core::DType;
use neuroscope::ids::DocId;
use neuroscope::load::ModelFiles;
use neuroscope::tokens::store::TokenStore;

use crate::conformance::compute;
use crate::support::{Project, corpus, data_command, fail, model, scan_command, succeed};

const PREFIX: &str = "In the beginning, ";
const N_CTX: usize = 24;

/// What is stored of every neuron is what the model computes of a BOS, the prefix and a piece of a document.
#[test]
fn statistics_are_those_of_windows_that_begin_with_the_prefix() {
    // with a BOS, without, and where special positions count
    for (name, options) in [
        ("llama", &[][..]),
        ("gpt2", &[][..]),
        ("llama", &["--count-special"][..]),
    ] {
        let flags = [&["--n-ctx", "24", "--prefix", PREFIX], options].concat();
        let project = Project::new().scan(name, 8, &flags);
        let files = ModelFiles::open(model(name).to_str().unwrap()).unwrap();
        let tokenizer = files.tokenizer().unwrap();
        let atlas = project.atlas(name);
        let policy = &atlas.manifest().scan.policy;
        let prefix = tokenizer.encode(PREFIX).unwrap();
        assert_eq!(policy.prefix.as_ref().unwrap().text, PREFIX);
        assert_eq!(policy.prefix_ids(), prefix);

        let front: Vec<u32> = (policy.bos.into_iter())
            .chain(prefix.iter().map(|id| id.0))
            .collect();
        let store = TokenStore::open(&project.data(name).join("corpus"), 1 << 16).unwrap();
        let neurons = project.neurons(name);
        let d_mlp = files.config().unwrap().d_mlp;
        let mut values: Vec<Vec<f32>> = vec![Vec::new(); neurons.len()];
        let mut n_rows = 0;
        for doc in (0..8).map(DocId) {
            let tokens = store.tokens(doc, 0..store.len(doc)).unwrap();
            for own in tokens.chunks(N_CTX - front.len()) {
                let ids: Vec<u32> = (front.iter().copied())
                    .chain(own.iter().map(|id| id.0))
                    .collect();
                n_rows += ids.len() as u64;
                let hooks = compute(&files, &ids, DType::F32);
                for (at, neuron) in neurons.iter().enumerate() {
                    let hook = &hooks[&format!("{}.hook_post", neuron.id.layer)];
                    for (row, token) in own.iter().enumerate() {
                        let is_special = tokenizer.vocabulary().is_special(*token);
                        if !is_special || policy.count_special {
                            let row = row + front.len();
                            values[at].push(hook[row * d_mlp + neuron.id.neuron as usize]);
                        }
                    }
                }
            }
        }
        for (neuron, values) in neurons.iter().zip(&values) {
            let moments = &neuron.stats.moments;
            assert_eq!(moments.count, values.len() as u64);
            let n_special = neuron.stats.special.unwrap().count;
            assert_eq!(moments.count + n_special, n_rows);
            let max = values.iter().copied().fold(f32::MIN, f32::max);
            let min = values.iter().copied().fold(f32::MAX, f32::min);
            let near = |a: f32, b: f32| (a - b).abs() <= 1e-4 * b.abs().max(1.0);
            assert!(near(moments.max, max) && near(moments.min, min), "{name}");
            let first = &neuron.examples[0].example;
            assert!(values.iter().any(|value| near(first.value, *value)));
        }
        let mut verify = data_command(&project, "verify", &project.data(name));
        succeed(verify.arg("--model").arg(model(name)));
        let page = project.built(&[]).page(&format!("{name}/index.html"));
        assert!(page.contains("the prefix <code>In the beginning, </code>, which is not counted"));
    }
}

#[test]
fn a_prefix_belongs_to_the_identity_of_a_scan() {
    let project = Project::new();
    let file = project.join("corpus.jsonl");
    corpus(&file, 12);
    let scan = |part: &str, prefix: &[&str]| {
        let mut command = scan_command(&project, &model("llama"), &file);
        command.args(["--part", part]).args(prefix);
        command
    };
    succeed(&mut scan("0/2", &["--prefix", "One"]));
    fail(&mut scan("1/2", &["--prefix", "Two"]), &["prefix"]);
    fail(&mut scan("1/2", &[]), &["prefix"]);
    fail(
        &mut scan("1/2", &["--prefix", "One", "--n-ctx", "2"]),
        &["no room for text"],
    );
    succeed(&mut scan("1/2", &["--prefix", "One"]));
}
