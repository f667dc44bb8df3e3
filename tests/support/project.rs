//! Projects: the folders that tests work in. What is scanned or built with the same arguments is made once in a process.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

use neuroscope::atlas::{Atlas, AtlasNeuron};
use serde_json::Value;
use tempfile::TempDir;

use super::{Said, copy, corpus, embedded_record, fail, model, neuroscope, scan_command, succeed};

/// The folder of a project, a test's own unless it is [`Project::shared`].
pub struct Project {
    path: PathBuf,
    /// Removes the folder of a test in the end.
    _own: Option<TempDir>,
}

impl Deref for Project {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.path
    }
}

impl AsRef<Path> for Project {
    fn as_ref(&self) -> &Path {
        &self.path
    }
}

impl AsRef<OsStr> for Project {
    fn as_ref(&self) -> &OsStr {
        self.path.as_ref()
    }
}

/// Where projects that several tests share are; it goes with the process.
fn shared_folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    extern "C" fn remove() {
        if let Some(folder) = FOLDER.get() {
            let _ = fs::remove_dir_all(folder);
        }
    }
    FOLDER.get_or_init(|| {
        // SAFETY: the function has no arguments, and is there until the process has ended
        unsafe { libc::atexit(remove) };
        tempfile::tempdir().unwrap().keep()
    })
}

impl Project {
    /// An empty folder.
    pub fn new() -> Self {
        let own = tempfile::tempdir().unwrap();
        Self {
            path: own.path().to_owned(),
            _own: Some(own),
        }
    }

    /// The project that `make` fills, once for each key. It is there for all tests, which only read it.
    pub fn shared(key: &str, make: impl FnOnce(&Self)) -> &'static Self {
        type Made = BTreeMap<String, &'static OnceLock<Project>>;
        static MADE: Mutex<Made> = Mutex::new(BTreeMap::new());
        let made = *MADE
            .lock()
            .unwrap()
            .entry(key.to_owned())
            .or_insert_with(|| Box::leak(Box::default()));
        made.get_or_init(|| {
            let folder = tempfile::tempdir_in(shared_folder()).unwrap();
            let project = Self {
                path: folder.keep(),
                _own: None,
            };
            make(&project);
            project
        })
    }

    /// A copy of a shared project, to be changed.
    pub fn copy_of(key: &str, make: impl FnOnce(&Self)) -> Self {
        let project = Self::new();
        copy(Self::shared(key, make), &project);
        project
    }

    /// The atlas `tiny` of a fixture model over 60 documents, with its site at `https://example.org/atlas`, all its JSON
    /// included. It is only read.
    pub fn tiny(name: &str) -> &'static Self {
        Self::shared(&format!("the site of {name}"), |project| {
            project.scan_here(name, 60, &["--name", "tiny"]);
            let options = ["--neuron-json", "--base-url", "https://example.org/atlas"];
            project.build(&options);
        })
    }

    /// Adds an atlas of a fixture model over so many documents of [`corpus`], in `data/<model>`.
    pub fn scan(self, name: &str, n_documents: usize, options: &[&str]) -> Self {
        let scan = |project: &Self| project.scan_here(name, n_documents, options);
        match fs::read_dir(&self).unwrap().next() {
            None => Self::copy_of(&format!("{name} {n_documents} {options:?}"), scan),
            Some(_) => {
                scan(&self);
                self
            }
        }
    }

    /// Scans a fixture model over so many documents of [`corpus`], in this folder and whatever was scanned before.
    pub fn scan_here(&self, name: &str, n_documents: usize, options: &[&str]) {
        let file = self.join("corpus.jsonl");
        corpus(&file, n_documents);
        succeed(scan_command(self, &model(name), &file).args(options));
    }

    /// Builds the site.
    pub fn build(&self, options: &[&str]) -> Said {
        succeed(neuroscope(self).arg("build").args(options))
    }

    /// Builds the site, to go on with.
    pub fn built(self, options: &[&str]) -> Self {
        self.build(options);
        self
    }

    /// Fails to build the site, with an error that names `what`.
    pub fn build_refused(&self, options: &[&str], what: &[&str]) -> Said {
        fail(neuroscope(self).arg("build").args(options), what)
    }

    /// Writes a file, and the folders that lead to it.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// The data folder of an atlas.
    pub fn data(&self, name: &str) -> PathBuf {
        self.join("data").join(name)
    }

    /// An atlas of the project.
    pub fn atlas(&self, name: &str) -> Atlas {
        Atlas::open(&self.data(name).join("atlas")).unwrap()
    }

    /// All neurons of an atlas, layer by layer.
    pub fn neurons(&self, name: &str) -> Vec<AtlasNeuron> {
        let atlas = self.atlas(name);
        let layers = atlas.manifest().scan.layers().into_iter();
        let neurons = layers.flat_map(|layer| atlas.layer(layer).unwrap().map(Result::unwrap));
        neurons.collect()
    }

    /// The folder of the site.
    pub fn site(&self) -> PathBuf {
        self.join("site")
    }

    /// A file of the site.
    pub fn page(&self, name: &str) -> String {
        let path = self.site().join(name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// A JSON file of the site.
    pub fn json(&self, name: &str) -> Value {
        serde_json::from_str(&self.page(name)).unwrap()
    }

    /// The record that a neuron's page embeds.
    pub fn record(&self, page: &str) -> Value {
        embedded_record(&self.page(page))
    }
}
