//! Files that are not here yet.

use std::fmt;
use std::path::PathBuf;

use crate::hint::Hint;

/// Why a remote file cannot be had.
pub type RemoteError = Box<dyn Hint + Send + Sync>;

/// A file that is elsewhere, and is fetched when the corpus comes to it. What it holds is known before.
pub trait RemoteFile: fmt::Debug + Send + Sync {
    /// Its name, ending as that of a file, by which its kind is known and its documents are called.
    fn name(&self) -> &str;

    /// Its length.
    fn bytes(&self) -> u64;

    /// SHA-256 of its bytes.
    fn sha256(&self) -> &str;

    /// Where documents come from that do not say it themselves.
    fn source(&self) -> &str;

    /// The licence of documents that do not say it themselves; may be empty.
    fn license(&self) -> &str;

    /// Makes sure that it is here, and says where.
    fn fetch(&self) -> Result<PathBuf, RemoteError>;
}

impl<E: Hint + Send + Sync + 'static> From<E> for RemoteError {
    fn from(error: E) -> Self {
        Box::new(error)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::corpus::{Corpus, CorpusError, CorpusOptions, Source};

    #[derive(Debug)]
    struct File {
        name: &'static str,
        path: PathBuf,
        fetched: Arc<AtomicUsize>,
    }

    impl RemoteFile for File {
        fn name(&self) -> &str {
            self.name
        }

        fn bytes(&self) -> u64 {
            0
        }

        fn sha256(&self) -> &str {
            ""
        }

        fn source(&self) -> &str {
            "owner/name"
        }

        fn license(&self) -> &str {
            "mit"
        }

        fn fetch(&self) -> Result<PathBuf, RemoteError> {
            self.fetched.fetch_add(1, Ordering::Relaxed);
            match self.path.exists() {
                true => Ok(self.path.clone()),
                false => Err(CorpusError::UnknownKind(self.path.clone()).into()),
            }
        }
    }

    #[test]
    fn files_are_fetched_when_the_corpus_comes_to_them() {
        let dir = tempfile::tempdir().unwrap();
        let here = dir.path().join("here");
        let lines =
            "{\"text\": \"a\"}\n{\"text\": \"b\", \"source\": \"own\", \"license\": \"gpl\"}\n";
        std::fs::write(&here, lines).unwrap();
        let [fetched, later] = [(); 2].map(|()| Arc::new(AtomicUsize::new(0)));
        let file = |name, path: &PathBuf, fetched: &Arc<AtomicUsize>| {
            Source::Remote(Arc::new(File {
                name,
                path: path.clone(),
                fetched: fetched.clone(),
            }))
        };
        let n_fetched = || [&fetched, &later].map(|of| of.load(Ordering::Relaxed).min(1));
        let sources = [
            file("hf:owner/name@c/data/0.jsonl", &here, &fetched),
            file("hf:owner/name@c/data/0.jsonl", &here, &fetched),
            file(
                "hf:owner/name@c/data/1.jsonl",
                &dir.path().join("missing"),
                &later,
            ),
        ];
        let options = CorpusOptions {
            skip_invalid: true,
            ..Default::default()
        };
        let mut corpus = Corpus::open(&sources, options).unwrap();
        assert_eq!((corpus.files().count(), n_fetched()), (2, [0, 0]));
        let first = corpus.next().unwrap().unwrap();
        let said = |[source, license, id]: [&str; 3]| [source, license, id].map(str::to_owned);
        assert_eq!(
            [first.source, first.license, first.id],
            said(["owner/name", "mit", "0.jsonl:1"])
        );
        let second = corpus.next().unwrap().unwrap();
        assert_eq!(
            [second.source, second.license, second.id],
            said(["own", "gpl", "0.jsonl:2"])
        );
        assert_eq!(n_fetched(), [1, 0]);
        // what cannot be had is not skipped, and its hint is shown
        let error = corpus.next().unwrap().unwrap_err();
        assert!(matches!(error, CorpusError::Remote(_)), "{error}");
        assert!(error.hint().is_some());
        assert_eq!((corpus.skipped(), n_fetched()), (0, [1, 1]));
        assert!(corpus.next().is_none());

        let unknown = [file("hf:owner/name@c/a.bin", &here, &fetched)];
        let error = Corpus::open(&unknown, CorpusOptions::default()).err();
        assert!(matches!(error, Some(CorpusError::UnknownKind(_))));
    }
}
