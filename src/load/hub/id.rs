//! Names of repositories.

use hf_hub::Repo;

use crate::load::split::SplitName;

/// What a repository of the Hub holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::load) enum RepoKind {
    Model,
    DataSet,
}

impl RepoKind {
    /// Where the Hub describes its repositories.
    pub(in crate::load) fn api(self) -> &'static str {
        match self {
            Self::Model => "/api/models/",
            Self::DataSet => "/api/datasets/",
        }
    }

    /// Where the Hub has their pages and files.
    pub(in crate::load) fn pages(self) -> &'static str {
        match self {
            Self::Model => "/",
            Self::DataSet => "/datasets/",
        }
    }
}

/// A revision of a repository of the Hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::load) struct Id {
    pub(super) kind: RepoKind,
    /// `organisation/name`, or the name alone.
    pub(in crate::load) repo: String,
    pub(in crate::load) revision: String,
    /// A `.gguf` file in it, the first where a model has several.
    pub(in crate::load) file: Option<String>,
}

impl Id {
    /// A model's `name`, `organisation/name` or `organisation/name/file.gguf`, each with `@revision` or without.
    pub(in crate::load) fn parse(text: &str) -> Option<Self> {
        let (path, revision) = text.split_once('@').unwrap_or((text, "main"));
        let plain = |part: &str| {
            let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            !part.is_empty() && part.chars().all(allowed) && !part.starts_with('.')
        };
        // as git allows it, so that it is a plain path in the cache
        let part_of_revision = |part: &str| {
            let foreign =
                |c: char| c.is_control() || c.is_whitespace() || "\\:?*[]~^\"<>|".contains(c);
            !part.is_empty() && !part.starts_with('.') && !part.contains(foreign)
        };
        let parts: Vec<&str> = path.split('/').collect();
        let right = revision.split('/').all(part_of_revision)
            && !revision.contains("..")
            && !path.contains("--")
            && parts.iter().copied().all(plain);
        let (repo, file) = match parts.as_slice() {
            _ if !right => return None,
            [_] | [_, _] if !path.ends_with(".gguf") => (path.to_owned(), None),
            [owner, name, file] if file.ends_with(".gguf") => {
                (format!("{owner}/{name}"), Some(SplitName::first(file)))
            }
            _ => return None,
        };
        Some(Self {
            kind: RepoKind::Model,
            repo,
            revision: revision.to_owned(),
            file,
        })
    }

    /// A data set's `name` or `organisation/name`, with `@revision` or without.
    pub(in crate::load) fn parse_data_set(text: &str) -> Option<Self> {
        let id = Self::parse(text).filter(|id| id.file.is_none())?;
        Some(Self {
            kind: RepoKind::DataSet,
            ..id
        })
    }

    /// Another revision of the same repository.
    pub(in crate::load) fn at(&self, revision: &str) -> Self {
        Self {
            revision: revision.to_owned(),
            ..self.clone()
        }
    }

    /// The name without its organisation.
    pub(in crate::load) fn name(&self) -> &str {
        self.repo.rsplit('/').next().unwrap_or(&self.repo)
    }

    /// What it is called, without the revision.
    pub(in crate::load) fn path(&self) -> String {
        match &self.file {
            Some(file) => format!("{}/{file}", self.repo),
            None => self.repo.clone(),
        }
    }

    /// What the cache calls its folder.
    pub(super) fn folder_name(&self) -> String {
        let repo = match self.kind {
            RepoKind::Model => Repo::model(self.repo.clone()),
            RepoKind::DataSet => Repo::dataset(self.repo.clone()),
        };
        repo.folder_name()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_models_are_told_from_paths() {
        let id = |text: &str| Id::parse(text).map(|id| (id.repo, id.revision, id.file));
        let plain = |repo: &str, revision: &str| Some((repo.to_owned(), revision.to_owned(), None));
        assert_eq!(id("gpt2"), plain("gpt2", "main"));
        assert_eq!(
            id("EleutherAI/pythia-70m@step3000"),
            plain("EleutherAI/pythia-70m", "step3000")
        );
        assert_eq!(id("a/b@refs/pr/1"), plain("a/b", "refs/pr/1"));
        let file = |name: &str| Some(("a/b".into(), "main".into(), Some(name.into())));
        assert_eq!(id("a/b/c.gguf"), file("c.gguf"));
        let first = "c-00001-of-00003.gguf";
        assert_eq!(id("a/b/c-00002-of-00003.gguf"), file(first));
        for path in [
            "./a",
            "../a/b",
            "/a/b",
            "a/b/c",
            "a//b",
            "a b",
            "a.gguf",
            "~/a",
            "a@",
            "",
            "a/..",
            "a--b",
            "a@..",
            "a@../x",
            "a@x/../../y",
            "a@/x",
            "a@x//y",
            "a@x/",
            "a@.x",
            "a@x\\y",
            "a@x\0",
            "a@C:x",
        ] {
            assert_eq!(id(path), None, "{path}");
        }
    }

    #[test]
    fn data_sets_have_folders_of_their_own() {
        let id = Id::parse_data_set("a/b@main").unwrap();
        assert_eq!(id.folder_name(), "datasets--a--b");
        assert_eq!(id.at("refs/convert/parquet").repo, "a/b");
        assert_eq!(Id::parse_data_set("a/b/c.gguf"), None);
        assert_eq!(Id::parse_data_set("a/b/c"), None);
    }
}
