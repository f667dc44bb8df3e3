//! The files of a commit, kept in the cache as `huggingface_hub` keeps them: `trees/<commit>.json`.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};
use walkdir::WalkDir;

use super::{Hub, Snapshot};
use crate::files::read_at_most;
use crate::load::error::LoadError;
use crate::load::folder;

/// Pages of a list of files; the Hub puts 1,000 files on each.
const MOST_PAGES: usize = 2000;

/// Length of a list that the cache keeps.
const MOST_BYTES: u64 = 256 << 20;

/// The version of its format.
const FORMAT: u32 = 1;

/// A file of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::load) struct TreeFile {
    /// Its path in the repository, each part a plain name.
    pub(in crate::load) path: String,
    pub(in crate::load) bytes: u64,
    /// What Git LFS calls it, in which large files are.
    pub(in crate::load) sha256: Option<String>,
}

/// An entry of a list of the Hub.
#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "type")]
    kind: String,
    path: String,
    #[serde(default)]
    oid: String,
    #[serde(default)]
    size: u64,
    lfs: Option<Lfs>,
    #[serde(rename = "xetHash")]
    xet_hash: Option<String>,
}

#[derive(Deserialize)]
struct Lfs {
    oid: String,
    size: u64,
}

/// The list in the cache.
#[derive(Serialize, Deserialize)]
struct Cached {
    format_version: u32,
    files: BTreeMap<String, CachedFile>,
}

#[derive(Serialize, Deserialize)]
struct CachedFile {
    size: u64,
    blob_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lfs_sha256: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lfs_size: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    xet_hash: Option<String>,
}

impl Cached {
    fn new(entries: Vec<Entry>) -> Self {
        let files = entries.into_iter().filter(|entry| entry.kind == "file");
        let files = files.map(|entry| {
            let file = CachedFile {
                size: entry.size,
                blob_id: entry.oid,
                lfs_size: entry.lfs.as_ref().map(|lfs| lfs.size),
                lfs_sha256: entry.lfs.map(|lfs| lfs.oid),
                xet_hash: entry.xet_hash,
            };
            (entry.path, file)
        });
        Self {
            format_version: FORMAT,
            files: files.collect(),
        }
    }

    fn read(path: &Path) -> Option<Self> {
        let bytes = read_at_most(path, MOST_BYTES).ok()?;
        let cached: Self = serde_json::from_slice(&bytes).ok()?;
        Some(cached).filter(|cached| cached.format_version == FORMAT)
    }

    /// A cache that cannot be written needs no list.
    fn write(&self, path: &Path) {
        let write = || {
            let parent = path.parent()?;
            fs::create_dir_all(parent).ok()?;
            let mut file = tempfile::NamedTempFile::new_in(parent).ok()?;
            file.write_all(&serde_json::to_vec(self).ok()?).ok()?;
            file.persist(path).ok()
        };
        let _ = write();
    }

    /// The files, those left out whose names are not plain or hidden.
    fn files(self) -> Vec<TreeFile> {
        let is_plain = |path: &str| path.split('/').all(folder::is_plain);
        let files = self.files.into_iter().filter(|(path, _)| is_plain(path));
        let files = files.map(|(path, file)| TreeFile {
            path,
            bytes: file.lfs_size.unwrap_or(file.size),
            sha256: file.lfs_sha256.filter(|hash| is_sha256(hash)),
        });
        files.collect()
    }
}

fn is_sha256(text: &str) -> bool {
    let hexadecimal = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.len() == 64 && text.bytes().all(hexadecimal)
}

impl Hub<'_> {
    /// The files of a commit, sorted by path; without a network and a list in the cache, those that the cache has.
    pub(in crate::load) fn tree(&self, snapshot: &Snapshot) -> Result<Vec<TreeFile>, LoadError> {
        let (id, commit) = (&snapshot.id, &snapshot.commit);
        let cached = self.folder(id).join("trees").join(format!("{commit}.json"));
        if let Some(cached) = Cached::read(&cached) {
            return Ok(cached.files());
        }
        if snapshot.offline.is_some() {
            return Ok(files_in(&snapshot.folder));
        }
        let (api, repo) = (id.kind.api(), &id.repo);
        let path = format!("{api}{repo}/tree/{commit}?recursive=true");
        let pages = self.client.pages::<Vec<Entry>>(&path, MOST_PAGES);
        let pages = pages.map_err(|failure| self.error(id, repo, failure))?;
        let list = Cached::new(pages.into_iter().flatten().collect());
        list.write(&cached);
        Ok(list.files())
    }
}

/// The files of a commit that the cache has.
fn files_in(snapshot: &Path) -> Vec<TreeFile> {
    let walk = WalkDir::new(snapshot)
        .follow_links(true)
        .sort_by_file_name();
    let files = walk.into_iter().flatten().filter_map(|entry| {
        let path = entry.path().strip_prefix(snapshot).ok()?;
        let names: Option<Vec<&str>> = path.iter().map(|name| name.to_str()).collect();
        let names = names.filter(|names| names.iter().all(|name| folder::is_plain(name)))?;
        // what the cache calls the contents: of large files the SHA-256
        let blob = fs::read_link(entry.path()).unwrap_or_default();
        let blob = blob.file_name().and_then(|name| name.to_str());
        entry.file_type().is_file().then(|| TreeFile {
            path: names.join("/"),
            bytes: entry.metadata().map_or(0, |metadata| metadata.len()),
            sha256: blob.filter(|blob| is_sha256(blob)).map(str::to_owned),
        })
    });
    let mut files: Vec<TreeFile> = files.collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}
