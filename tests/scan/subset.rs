//! A part of a corpus: by number of tokens, drawn at random, in a random order.

use std::fs;
use std::path::Path;

use neuroscope::corpus::{Corpus, CorpusOptions, Document, Selection, Source, Subset};
use neuroscope::ids::DocId;
use neuroscope::load::ModelFiles;
use neuroscope::tokens::store::TokenStore;
use serde_json::json;

use super::parts::assert_same;
use crate::support::{
    Project, corpus, data_command, fail, files, misused, model, scan_command, succeed,
};

const N: usize = 60;

/// The documents that options draw, in their order; `max_tokens` does not count here.
fn drawn(file: &Path, options: &serde_json::Value) -> Vec<Document> {
    let options = CorpusOptions {
        subset: serde_json::from_value::<Subset>(options.clone()).unwrap(),
        ..Default::default()
    };
    let corpus = Corpus::open(&[Source::Path(file.to_owned())], options).unwrap();
    let documents = Selection::new(corpus, file.parent().unwrap(), &|| true);
    documents.unwrap().unwrap().map(Result::unwrap).collect()
}

/// A document as a line of JSON.
fn line(of: &Document) -> String {
    let text = of.content.text().unwrap();
    json!({"text": text, "source": of.source, "license": of.license, "id": of.id}).to_string()
}

/// The tables in which two atlases differ.
fn different(a: &Project, b: &Project) -> Vec<String> {
    let [a, b] = [a, b].map(|project| {
        let mut tables = files(&project.data("llama").join("atlas"));
        tables.retain(|(name, _)| name != "manifest.json");
        tables
    });
    assert!(a.len() > 4 && a.len() == b.len());
    let both = a.iter().zip(&b).filter(|(a, b)| a != b);
    both.map(|((name, _), _)| name.clone()).collect()
}

/// Names of the documents of a store.
fn ids(project: &Project) -> Vec<String> {
    let store = TokenStore::open(&project.data("llama").join("corpus"), 1 << 16).unwrap();
    let docs = (0..store.n_documents() as u32).map(DocId);
    docs.map(|doc| store.info(doc).id.to_owned()).collect()
}

/// A subset is what the same documents are that are written to a file and scanned, in one piece and in parts.
#[test]
fn a_subset_equals_its_documents_written_out() {
    let files = ModelFiles::open(model("llama").to_str().unwrap()).unwrap();
    let tokenizer = files.tokenizer().unwrap();
    for options in [
        json!({"max_tokens": 2500}),
        json!({"sample": 0.4, "sample_seed": 3}),
        json!({"shuffle": 5}),
        json!({"sample": 0.7, "shuffle": 9, "max_tokens": 1800}),
    ] {
        let project = Project::new();
        let file = project.join("corpus.jsonl");
        corpus(&file, N);
        let flags: Vec<String> = (options.as_object().unwrap().iter())
            .map(|(key, value)| format!("--{}={value}", key.replace('_', "-")))
            .collect();
        let scan = |project: &Project, file: &Path| {
            let mut command = scan_command(project, &model("llama"), file);
            command.args(["--n-ctx", "32"]);
            command
        };
        succeed(scan(&project, &file).args(&flags));
        let taken = ids(&project);
        let all = drawn(&file, &options);
        let expected: Vec<_> = all.iter().map(|document| document.id.clone()).collect();
        assert!(expected.starts_with(&taken), "{options}");
        let info = project.atlas("llama").manifest().scan.corpus.clone();
        match options.get("max_tokens").and_then(|most| most.as_u64()) {
            Some(most) => {
                // the next document would not fit
                let n = info.n_tokens.unwrap();
                let next = all[taken.len()].content.text().unwrap();
                let more = tokenizer.encode(next).unwrap().len() as u64;
                assert!(n <= most && n + more > most, "{n} {more}");
            }
            None => assert_eq!(taken, expected),
        }
        assert!(taken.len() > 5, "{options}: {}", taken.len());
        assert_eq!(serde_json::to_value(&info.subset).unwrap(), options);

        let written = Project::new();
        let lines = all[..taken.len()].iter();
        let lines: Vec<_> = lines.map(line).collect();
        let copy = written.join("corpus.jsonl");
        fs::write(&copy, lines.join("\n")).unwrap();
        succeed(&mut scan(&written, &copy));
        let differ = different(&written, &project);
        assert!(differ.is_empty(), "{options}: {differ:?}");
        let other = written.atlas("llama").manifest().scan.corpus.clone();
        assert_eq!(other.sha256, info.sha256);
        assert!(other.subset.is_whole());

        let parts = Project::new();
        for part in ["1/3", "0/3", "2/3"] {
            succeed(scan(&parts, &file).args(&flags).args(["--part", part]));
        }
        let mut merge = data_command(&parts, "merge", &parts.data("llama"));
        succeed(merge.arg("--model").arg(model("llama")));
        assert_same(&project.neurons("llama"), &parts.neurons("llama"));

        let words = info.subset.to_string();
        let page = project.built(&[]).page("llama/index.html");
        assert!(page.contains(&words), "{words}");
    }
}

#[test]
fn an_order_and_a_sample_depend_on_their_seeds_alone() {
    let project = Project::new();
    let file = project.join("corpus.jsonl");
    corpus(&file, N);
    let plain = drawn(&file, &json!({}));
    let shuffled = drawn(&file, &json!({"shuffle": 1}));
    let other = drawn(&file, &json!({"shuffle": 2}));
    assert!(plain != shuffled && shuffled != other);
    let sorted = |documents: &[Document]| {
        let mut texts: Vec<_> = documents.iter().map(|of| of.id.clone()).collect();
        texts.sort();
        texts
    };
    assert_eq!(sorted(&plain), sorted(&shuffled));
    // a sample is in the order of the corpus, and the same documents are drawn in whatever order
    let sample = drawn(&file, &json!({"sample": 0.5}));
    let mut rest = plain.iter();
    assert!(sample.iter().all(|of| rest.any(|other| other == of)));
    let both = drawn(&file, &json!({"sample": 0.5, "shuffle": 1}));
    assert_eq!(sorted(&sample), sorted(&both));
    assert!(!both.is_empty() && both.len() < N);
}

#[test]
fn a_subset_is_part_of_the_corpus_and_a_wrong_one_is_refused() {
    let project = Project::new();
    let file = project.join("corpus.jsonl");
    corpus(&file, N);
    let scan = |flags: &[&str]| {
        let mut command = scan_command(&project, &model("llama"), &file);
        command.args(flags);
        command
    };
    succeed(&mut scan(&["--part", "0/2", "--max-tokens", "2k"]));
    let used = "has different texts";
    fail(&mut scan(&["--part", "1/2", "--max-tokens", "1k"]), &[used]);
    fail(&mut scan(&["--part", "1/2"]), &[used]);
    // the same number in other words
    succeed(&mut scan(&["--part", "1/2", "--max-tokens", "2000"]));
    for (flags, what) in [
        (["--max-tokens", "0"], "is not a number"),
        (["--max-tokens", "many"], "is not a number"),
        (["--sample", "0%"], "is not a share"),
        (["--sample", "200%"], "is not a share"),
        (["--shuffle", "x"], "--shuffle"),
        (["--sample-seed", "3"], "`--sample-seed` needs `--sample`"),
        (
            ["--chat-template", "x"],
            "`--chat-template` is for conversations",
        ),
    ] {
        misused(&mut scan(&flags), &[what]);
    }
    let empty = Project::new();
    let mut command = scan_command(&empty, &model("llama"), &file);
    fail(
        command.args(["--max-tokens", "1"]),
        &["the first document", "`--max-tokens` is 1"],
    );
    let mut command = scan_command(&empty, &model("llama"), &file);
    fail(command.args(["--sample", "0.0000001"]), &["no text"]);
    // who takes all texts may say so in several ways
    let same = Project::new();
    succeed(&mut scan_command(&same, &model("llama"), &file));
    succeed(scan_command(&same, &model("llama"), &file).args(["--max-tokens", "20M"]));
    succeed(&mut data_command(&same, "verify", &same.data("llama")));
    // a plan counts what will be read
    let plan = |flags: &[&str]| {
        let project = Project::new();
        let mut command = scan_command(&project, &model("llama"), &file);
        let said = succeed(command.args(["--plan", "--json"]).args(flags));
        said.json()["n_tokens"].as_u64().unwrap()
    };
    let (whole, part) = (plan(&[]), plan(&["--max-tokens", "500"]));
    assert!(part < 600 && whole > 2 * part);
    assert!(plan(&["--prefix", "A few words"]) > whole);
}
