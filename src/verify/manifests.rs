//! Whether manifests agree in what they share, and name the files that are there, all of them and no others.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::Findings;
use crate::atlas::{Part, atlas_files};
use crate::lanes::Isa;
use crate::shard::{
    AtlasManifest, CorpusManifest, DataManifest, FileEntry, MANIFEST, Manifest, PartManifest,
    ScanIdentity, ShardError, TOKENIZER_FILE, WEIGHTS_FILE, differences, part_folder,
    read_manifest, wrong_files,
};
use crate::tokens::store::TokenStore;

/// What of a scan may be called otherwise where another machine scanned a part of it.
const NAMES: [&str; 7] = [
    "model.name",
    "model.source",
    "model.revision",
    "model.stored_as",
    "corpus.name",
    "corpus.data_sets",
    "corpus.subset",
];

/// The manifests of a data folder.
pub(super) struct Manifests {
    pub(super) atlas: AtlasManifest,
    pub(super) data: DataManifest,
    /// That of the corpus, if it is there.
    pub(super) corpus: Option<CorpusManifest>,
    pub(super) parts: Vec<Part>,
}

/// Compares all files with their manifests, as far as these can be read: how many are right, and which are not.
pub(super) fn damage(data: &Path) -> (usize, Findings) {
    fn listed<M: Manifest>(folder: &Path) -> Vec<FileEntry> {
        let manifest = read_manifest::<M>(folder);
        manifest.map_or_else(|_| Vec::new(), |manifest| manifest.files().to_vec())
    }
    let mut folders = vec![
        (
            "atlas".to_owned(),
            listed::<AtlasManifest>(&data.join("atlas")),
        ),
        (
            "corpus".to_owned(),
            listed::<CorpusManifest>(&data.join("corpus")),
        ),
    ];
    let parts = fs::read_dir(data.join("parts")).into_iter().flatten();
    let parts = parts.flatten().map(|entry| entry.file_name());
    let mut parts: Vec<String> = parts
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    parts.retain(|name| name.starts_with("part-"));
    parts.sort_unstable();
    folders.extend(parts.into_iter().map(|name| {
        let place = format!("parts/{name}");
        let files = listed::<PartManifest>(&data.join(&place));
        (place, files)
    }));
    let (mut n_right, mut findings) = (0, Findings::default());
    for (place, files) in folders {
        let wrong = wrong_files(&data.join(&place), &files);
        n_right += files.len() - wrong.len();
        for (file, error) in wrong {
            let what = match error {
                ShardError::Missing { .. } => "it is missing".into(),
                ShardError::Checksum {
                    what,
                    found,
                    expected,
                    ..
                } => format!("it is damaged: {what} is {found}; its manifest says {expected}"),
                error => error.to_string(),
            };
            findings.add(format!("{place}/{}", file.name), what);
        }
    }
    (n_right, findings)
}

/// Compares the manifests with each other, and with the folders.
pub(super) fn check(
    folder: &Path,
    manifests: &Manifests,
    store: Option<&TokenStore>,
    findings: &mut Findings,
) -> Result<(), ShardError> {
    let Manifests {
        atlas, data, parts, ..
    } = manifests;
    let scan = &atlas.scan;
    findings.all(MANIFEST, differences(scan, &data.scan, &[]));
    if data.n_parts != atlas.n_parts {
        let what = format!(
            "`n_parts` is {}; the atlas has {}",
            data.n_parts, atlas.n_parts
        );
        findings.add(MANIFEST, what);
    }
    if !parts.is_empty() && parts.len() != atlas.n_parts as usize {
        let what = format!("`n_parts` is {}; there are {}", atlas.n_parts, parts.len());
        findings.add("atlas/manifest.json", what);
    }
    for (path, part) in parts {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let file = format!("parts/{name}/{MANIFEST}");
        // the atlas has the names of the first
        let free: &[&str] = if part.part.index == 0 { &[] } else { &NAMES };
        findings.all(&file, differences(scan, &part.scan, free));
        if !is_device(&part.device) {
            findings.add(
                &file,
                format!("`device` is `{}`, which is not known", part.device),
            );
        }
        if *name != *part_folder(part.part).to_string_lossy() {
            findings.add(&file, "the folder is named after another part");
        }
        files(
            path,
            &format!("parts/{name}"),
            &part.files,
            scan.tables(),
            findings,
        )?;
    }
    let named = atlas_files(atlas);
    files(
        &folder.join("atlas"),
        "atlas",
        &atlas.files,
        named,
        findings,
    )?;
    match manifests.corpus.as_ref().zip(store) {
        Some(corpus) => check_corpus(&folder.join("corpus"), scan, corpus, findings),
        None => Ok(()),
    }
}

/// Compares the manifest of the corpus with its scan and its folder.
fn check_corpus(
    folder: &Path,
    scan: &ScanIdentity,
    (corpus, store): (&CorpusManifest, &TokenStore),
    findings: &mut Findings,
) -> Result<(), ShardError> {
    let own = "corpus/manifest.json";
    // the same texts may have been taken in another way since
    findings.all(own, differences(&scan.corpus, &corpus.corpus, &["subset"]));
    let sources = sources(store);
    let told = corpus.corpus.sources.iter();
    let told = told.map(|of| {
        (
            of.source.as_str(),
            of.license.as_str(),
            of.n_documents,
            of.n_tokens,
        )
    });
    if !told.eq(sources) {
        findings.add(own, "`sources` are not those of the documents");
    }
    let mut named = store.files();
    named.push(TOKENIZER_FILE.into());
    // what a tokenizer needs besides
    named.extend(
        corpus
            .files
            .iter()
            .filter(|file| file.name.starts_with("tokenizer"))
            .map(|file| file.name.clone()),
    );
    files(folder, "corpus", &corpus.files, named, findings)
}

/// Whether a device is called so, as [`crate::model::Compute::name`] does.
fn is_device(name: &str) -> bool {
    let cpu = name
        .strip_prefix("cpu (")
        .and_then(|name| name.strip_suffix(')'));
    let is_isa = |name: &str| Isa::ALL.into_iter().any(|isa| isa.name() == name);
    let cuda = name.strip_prefix("cuda:").map(str::parse::<u32>);
    let is_cpu = name == "cpu" || cpu.is_some_and(|name| name == "tensors" || is_isa(name));
    is_cpu || matches!(cuda, Some(Ok(_)))
}

/// Documents and tokens of each source, as the store has them.
fn sources(store: &TokenStore) -> impl Iterator<Item = (&str, &str, u64, u64)> {
    let mut found: BTreeMap<(&str, &str), (u64, u64)> = BTreeMap::new();
    for doc in (0..store.n_documents() as u32).map(crate::ids::DocId) {
        let info = store.info(doc);
        let own = found.entry((info.source, info.license)).or_default();
        *own = (own.0 + 1, own.1 + store.len(doc) as u64);
    }
    found
        .into_iter()
        .map(|((source, license), (n_documents, n_tokens))| {
            (source, license, n_documents, n_tokens)
        })
}

/// Compares the files that a manifest names with those that it must name and those that are there.
fn files(
    folder: &Path,
    place: &str,
    listed: &[FileEntry],
    named: impl IntoIterator<Item = String>,
    findings: &mut Findings,
) -> Result<(), ShardError> {
    let named: BTreeSet<String> = named.into_iter().collect();
    let listed: BTreeSet<String> = listed.iter().map(|file| file.name.clone()).collect();
    // weights of the time before `weights.json`
    let early = |name: &str| name.ends_with(".weights.parquet") && !listed.contains(WEIGHTS_FILE);
    for name in listed.difference(&named).filter(|name| !early(name)) {
        findings.add(
            place,
            format!("the manifest names `{name}`, which does not belong here"),
        );
    }
    let io = |source| ShardError::io("read", folder, source);
    for entry in fs::read_dir(folder).map_err(io)? {
        let name = entry
            .map_err(io)?
            .file_name()
            .to_string_lossy()
            .into_owned();
        if name != MANIFEST && !name.starts_with('.') && !listed.contains(&name) {
            findings.add(
                place,
                format!("`{name}` is there, but the manifest does not name it"),
            );
        }
    }
    Ok(())
}

/// What manifests say of the program that wrote them.
pub(super) fn versions(manifests: &Manifests, findings: &mut Findings) {
    let parts = manifests.parts.iter().map(|(_, part)| &part.neuroscope);
    let corpus = manifests.corpus.iter().map(|corpus| &corpus.neuroscope);
    let known = [&manifests.atlas.neuroscope, &manifests.data.neuroscope];
    for version in known.into_iter().chain(corpus).chain(parts) {
        let is_number = |part: &str| part.parse::<u32>().is_ok();
        let numbers = version.split(['-', '+']).next().unwrap_or_default();
        if numbers.split('.').count() != 3 || !numbers.split('.').all(is_number) {
            findings.add(
                MANIFEST,
                format!("`neuroscope` is `{version}`, which is not a version"),
            );
        }
    }
    if manifests.atlas.neuroscope != manifests.data.neuroscope {
        findings.add(MANIFEST, "`neuroscope` is not that of the atlas");
    }
}
