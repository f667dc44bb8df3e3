//! Positions where windows start: what is counted there, and what a scan says of neurons that fire there.

use neuroscope::ids::DocId;
use neuroscope::load::ModelFiles;
use neuroscope::tokens::store::TokenStore;

use crate::support::{Project, corpus, model, scan_command, succeed};

const N_CTX: u32 = 16;
const WINDOWS: [&str; 2] = ["--n-ctx", "16"];

#[test]
fn positions_where_windows_start_are_counted_apart_or_left_out() {
    let name = "gpt2"; // runs without a BOS
    let files = ModelFiles::open(model(name).to_str().unwrap()).unwrap();
    let tokenizer = files.tokenizer().unwrap();
    for skip in 0..=4u32 {
        let option = skip.to_string();
        let options = [&WINDOWS[..], &["--skip-start", &option]].concat();
        let project = Project::new().scan(name, 12, &options);
        let store = TokenStore::open(&project.data(name).join("corpus"), 1 << 16).unwrap();
        let (mut n_counted, mut n_start, mut n_special) = (0, 0, 0);
        for doc in (0..12).map(DocId) {
            let tokens = store.tokens(doc, 0..store.len(doc)).unwrap();
            for (pos, token) in tokens.into_iter().enumerate() {
                let row = pos as u32 % N_CTX;
                if row <= skip || tokenizer.vocabulary().is_special(token) {
                    n_special += 1;
                    continue;
                }
                n_counted += 1;
                n_start += u64::from(row <= 3);
            }
        }
        let manifest = project.atlas(name).manifest().clone();
        assert_eq!(manifest.scan.policy.skip_start, skip);
        for neuron in project.neurons(name) {
            let (stats, starts) = (&neuron.stats, neuron.stats.starts.unwrap());
            assert_eq!(stats.moments.count, n_counted);
            assert_eq!(starts.moments.count, n_start);
            assert_eq!(stats.special.unwrap().count, n_special);
            let mut ranked = neuron.examples.iter();
            assert!(ranked.all(|row| row.example.pos.0 % N_CTX > skip));
        }
    }
}

#[test]
fn a_scan_says_how_many_neurons_fire_at_starts_and_what_helps() {
    // the fixture's tokenizer adds a BOS
    for (options, remedy) in [
        (&[][..], "`--skip-start 3` leaves those positions out"),
        (
            &["--bos", "never"],
            "scanned without it: `--bos always` may help",
        ),
    ] {
        let project = Project::new();
        let file = project.join("corpus.jsonl");
        corpus(&file, 40);
        let mut scan = scan_command(&project, &model("llama"), &file);
        let said = succeed(scan.args(WINDOWS).args(options)).stderr;
        let atlas = project.atlas("llama");
        let summaries = (0..3).flat_map(|layer| atlas.summaries(layer).unwrap());
        let n = summaries
            .filter(|of| of.at_starts.unwrap().dominant)
            .count();
        assert!(n > 1);
        let note = format!("note: {n} of 111 neurons fire where windows start");
        assert!(said.contains(&note) && said.contains(remedy), "{said}");
    }
    // nothing is at starts that are left out
    let project = Project::new();
    let file = project.join("corpus.jsonl");
    corpus(&file, 40);
    let mut scan = scan_command(&project, &model("llama"), &file);
    let said = succeed(scan.args(WINDOWS).args(["--skip-start", "3"])).stderr;
    assert!(!said.contains("where windows start"), "{said}");
}
