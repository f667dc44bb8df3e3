//! A site that was built, as it lies in its folder.

use std::collections::HashSet;
use std::fs::File;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use super::{is_inner, list, lock};
use crate::site::error::SiteError;
use crate::site::hosts::SiteSize;
use crate::site::sitemap;

/// A site that was built. No build changes it as long as this is there.
#[derive(Debug)]
pub struct BuiltSite {
    root: PathBuf,
    files: Vec<(String, u64)>,
    _lock: Option<File>,
}

impl BuiltSite {
    /// Finds the files of a folder that a build has written: those of the build, which must all be there, and those
    /// that somebody has put beside them, but not what the builder keeps for itself.
    pub fn open(root: &Path) -> Result<Self, SiteError> {
        if !root.is_dir() {
            return Err(SiteError::NotBuilt(root.to_owned()));
        }
        let lock = lock(root)?;
        let built = list::read(root)?;
        if built.is_unfinished || built.unreadable.is_some() {
            return Err(SiteError::Unfinished(root.to_owned()));
        }
        if built.files.is_empty() {
            return Err(SiteError::NotBuilt(root.to_owned()));
        }
        let files = files(root)?;
        let found: HashSet<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
        let names = built.files.keys();
        let is_missing = |name: &&String| !found.contains(name.as_str());
        if let Some(name) = names.filter(is_missing).min() {
            return Err(SiteError::Missing(root.join(name)));
        }
        Ok(Self {
            root: root.to_owned(),
            files,
            _lock: lock,
        })
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Its files with their bytes, sorted by name.
    pub fn files(&self) -> &[(String, u64)] {
        &self.files
    }

    /// Whether it has a file of this name.
    pub fn has(&self, name: &str) -> bool {
        let found = self
            .files
            .binary_search_by(|(other, _)| other.as_str().cmp(name));
        found.is_ok()
    }

    /// Whether it was built with its full address.
    pub fn knows_its_address(&self) -> bool {
        self.has(sitemap::FILE)
    }

    /// How large it is, for hosts.
    pub fn size(&self) -> SiteSize {
        SiteSize::of(
            self.files
                .iter()
                .map(|(name, bytes)| (name.as_str(), *bytes)),
        )
    }
}

/// The files below a folder, sorted by name, without the builder's own and without those of git.
fn files(root: &Path) -> Result<Vec<(String, u64)>, SiteError> {
    let is_published = |entry: &walkdir::DirEntry| {
        let name = entry.file_name().to_string_lossy();
        entry.depth() == 0 || !(list::is_own(&name) || name.eq_ignore_ascii_case(".git"))
    };
    let mut files = Vec::new();
    for entry in WalkDir::new(root).into_iter().filter_entry(is_published) {
        let entry = entry.map_err(|error| {
            let path = error.path().unwrap_or(root).to_owned();
            SiteError::io("read", path, error.into())
        })?;
        if entry.file_type().is_dir() {
            continue;
        }
        if !entry.file_type().is_file() {
            return Err(SiteError::NotAFile(entry.into_path()));
        }
        let inner = entry.path().strip_prefix(root).unwrap_or(entry.path());
        let parts: Option<Vec<&str>> = inner.iter().map(|part| part.to_str()).collect();
        let name = parts
            .map(|parts| parts.join("/"))
            .filter(|name| is_inner(name));
        let Some(name) = name else {
            return Err(SiteError::BadAddress(inner.display().to_string()));
        };
        let metadata = entry.metadata().map_err(|error| {
            let path = entry.path().to_owned();
            SiteError::io("read", path, error.into())
        })?;
        files.push((name, metadata.len()));
    }
    files.sort_unstable();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::open as open_output;
    use super::*;

    fn build(root: &Path) {
        let output = open_output(root).unwrap();
        for name in ["index.html", "m/0/1.html", ".nojekyll"] {
            output.write(name, name.as_bytes()).unwrap();
        }
        output.finish(None).unwrap();
    }

    #[test]
    fn what_a_build_wrote_and_what_lies_beside_it_is_the_site() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        build(root);
        fs::write(root.join("_headers"), "/*").unwrap();
        for own in [".neuroscope-kept/old.html", ".git/HEAD", "m/.git/HEAD"] {
            fs::create_dir_all(root.join(own).parent().unwrap()).unwrap();
            fs::write(root.join(own), "x").unwrap();
        }
        let site = BuiltSite::open(root).unwrap();
        let names = [".nojekyll", "_headers", "index.html", "m/0/1.html"];
        let found: Vec<&str> = site.files().iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(found, names);
        assert!(site.has("_headers") && !site.has("headers") && !site.knows_its_address());
        let size = site.size();
        assert_eq!((size.n_files, size.bytes), (4, 31));
        // it is not built while it is read
        assert!(matches!(open_output(root), Err(SiteError::Busy(_))));
    }

    #[test]
    fn only_whole_sites_are_opened() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let open = || BuiltSite::open(root).unwrap_err();
        assert!(matches!(
            BuiltSite::open(&root.join("none")),
            Err(SiteError::NotBuilt(_))
        ));
        fs::write(root.join("index.html"), "mine").unwrap();
        assert!(matches!(open(), SiteError::NotBuilt(_)));
        fs::remove_file(root.join("index.html")).unwrap();
        build(root);
        fs::remove_file(root.join("m/0/1.html")).unwrap();
        assert!(matches!(open(), SiteError::Missing(path) if path.ends_with("m/0/1.html")));
        drop(open_output(root).unwrap()); // killed
        assert!(matches!(open(), SiteError::Unfinished(_)));
        build(root);
        fs::write(root.join(".neuroscope-build.json"), "{").unwrap();
        assert!(matches!(open(), SiteError::Unfinished(_)));
        fs::remove_file(root.join(".neuroscope-build.json")).unwrap();
        fs::remove_file(root.join("index.html")).unwrap();
        assert!(matches!(open(), SiteError::NotBuilt(_)));
        #[cfg(unix)]
        {
            let dir = tempfile::tempdir().unwrap();
            let root = dir.path();
            build(root);
            std::os::unix::fs::symlink("/etc/passwd", root.join("m/link")).unwrap();
            let error = BuiltSite::open(root).unwrap_err();
            assert!(matches!(error, SiteError::NotAFile(path) if path.ends_with("m/link")));
        }
    }
}
