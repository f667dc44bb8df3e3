//! Documents, file by file.

use std::collections::{HashSet, VecDeque};
use std::fs::{self, File};
use std::io::Read;
use std::iter;
use std::path::PathBuf;
use std::sync::Arc;

use super::folder::{FILE_AGAIN, LeftOut, files_in};
use super::input::Input;
use super::kind::{Kind, kind, kind_in_folder};
use super::lines::{self, Lines};
use super::open::{check_parquet, open, sniff};
use super::packing::Reader;
use super::parquet::Rows;
use super::separated::Separated;
use super::stdin::StdinCopy;
use super::{Content, CorpusError, CorpusOptions, Document, Documents, Source};

/// The longest document, and the longest line of JSON, in bytes.
pub const MOST_DOCUMENT: u64 = 256 << 20;

/// The documents of some sources: in the order given, folders sorted by path.
pub struct Corpus {
    options: Arc<CorpusOptions>,
    waiting: VecDeque<(Source, Kind)>,
    open: Option<Documents>,
    skipped: u64,
    left_out: LeftOut,
}

impl Corpus {
    /// Finds the files, and checks their headers. What they hold is read by iterating.
    pub fn open(sources: &[Source], options: CorpusOptions) -> Result<Self, CorpusError> {
        let mut waiting = VecDeque::new();
        let mut left_out = LeftOut::default();
        let mut places = HashSet::new();
        let mut has_stdin = false;
        for source in sources {
            match source {
                Source::Path(path) if path.is_dir() => {
                    let (files, others) = files_in(path, &mut places)?;
                    let kinds = files.into_iter().filter_map(|path| {
                        let kind = kind_in_folder(&path)?;
                        Some((Source::Path(path), kind))
                    });
                    waiting.extend(kinds);
                    left_out.extend(others);
                }
                Source::Path(path) => {
                    let io = |source| CorpusError::Io {
                        path: path.clone(),
                        source,
                    };
                    let place = fs::canonicalize(path).map_err(io)?;
                    let kind = options.format.kind().or_else(|| kind(path));
                    let kind = kind.ok_or_else(|| CorpusError::UnknownKind(path.clone()))?;
                    File::open(path).map_err(io)?;
                    // a pipe has no place of its own
                    match !place.is_file() || places.insert(place) {
                        true => waiting.push_back((source.clone(), kind)),
                        false => left_out.add(FILE_AGAIN),
                    }
                }
                Source::Embedded(name, _) => {
                    let kind = kind(name.as_ref()).unwrap_or(Kind::Text);
                    waiting.push_back((source.clone(), kind));
                }
                Source::Remote(file) => {
                    let name = PathBuf::from(file.name());
                    let kind = options.format.kind().or_else(|| kind(&name));
                    let kind = kind.ok_or_else(|| CorpusError::UnknownKind(name.clone()))?;
                    match places.insert(name) {
                        true => waiting.push_back((source.clone(), kind)),
                        false => left_out.add(FILE_AGAIN),
                    }
                }
                Source::Stdin | Source::Copied(_) if has_stdin => left_out.add(FILE_AGAIN),
                Source::Stdin | Source::Copied(_) => {
                    has_stdin = true;
                    let source = match source {
                        Source::Stdin => {
                            let copy = StdinCopy::read(&std::env::temp_dir(), &|| true)?;
                            Source::Copied(Arc::new(copy))
                        }
                        copied => copied.clone(),
                    };
                    let kind = options.format.kind().unwrap_or_else(|| sniff(&source));
                    waiting.push_back((source, kind));
                }
            }
        }
        let options = Arc::new(options);
        // a file that is not as it should be is found before those in front of it are read, unless it must be fetched
        let is_here = |source: &Source| !matches!(source, Source::Remote(_));
        for (source, kind) in waiting.iter().filter(|(source, _)| is_here(source)) {
            match documents(source, *kind, &options) {
                Err(error) if !(options.skip_invalid && error.is_skippable()) => return Err(error),
                _ => (),
            }
        }
        Ok(Self {
            options,
            waiting,
            open: None,
            skipped: 0,
            left_out,
        })
    }

    /// The sources that are still to be read: files only, folders are opened already.
    pub fn files(&self) -> impl Iterator<Item = &Source> {
        self.waiting.iter().map(|(source, _)| source)
    }

    /// How it is read.
    pub(super) fn options(&self) -> &CorpusOptions {
        &self.options
    }

    /// Texts and files that were skipped so far.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// What lies in the folders and is not read.
    pub fn left_out(&self) -> &LeftOut {
        &self.left_out
    }

    fn read_next(&mut self) -> Option<Result<Document, CorpusError>> {
        loop {
            if let Some(documents) = &mut self.open {
                match documents.next() {
                    Some(next) => return Some(next),
                    None => self.open = None,
                }
            }
            let (source, kind) = self.waiting.pop_front()?;
            match documents(&source, kind, &self.options) {
                Ok(documents) => self.open = Some(documents),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl Iterator for Corpus {
    type Item = Result<Document, CorpusError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.read_next()? {
                Err(error) if self.options.skip_invalid && error.is_skippable() => {
                    self.skipped += 1
                }
                Err(error) => {
                    (self.open, self.waiting) = (None, VecDeque::new());
                    return Some(Err(error));
                }
                Ok(document) if !self.options.subset.draws(&document) => {}
                document => return Some(document),
            }
        }
    }
}

/// Opens a file, whose header is checked if it has one.
fn documents(
    source: &Source,
    kind: Kind,
    options: &Arc<CorpusOptions>,
) -> Result<Documents, CorpusError> {
    let remote = match source {
        Source::Remote(file) => Some(file.clone()),
        _ => None,
    };
    if let Some(file) = &remote {
        file.fetch().map_err(CorpusError::Remote)?;
    }
    let input = Input {
        path: source.path(),
        remote,
        options: options.clone(),
        most: MOST_DOCUMENT,
    };
    Ok(match kind {
        Kind::Lines => Box::new(Lines::new(input, open(source)?)),
        Kind::Json => lines::json(input, open(source)?)?,
        Kind::Text if options.messages_field.is_some() => {
            return Err(CorpusError::NoMessages(input.path));
        }
        Kind::Text => {
            let reader = open(source)?;
            Box::new(iter::once_with(move || whole(input, reader)))
        }
        Kind::Csv => Box::new(Separated::open(input, open(source)?, b',')?),
        Kind::Tsv => Box::new(Separated::open(input, open(source)?, b'\t')?),
        Kind::Parquet => {
            check_parquet(source)?;
            let file = source.file().map_err(|error| input.io(error))?;
            Box::new(Rows::open(input, file)?)
        }
    })
}

fn whole(input: Input, reader: Reader) -> Result<Document, CorpusError> {
    let mut bytes = Vec::new();
    let read = reader.take(input.most + 1).read_to_end(&mut bytes);
    read.map_err(|source| input.io(source))?;
    let path: PathBuf = input.path.clone();
    if bytes.len() as u64 > input.most {
        let most = input.most;
        return Err(CorpusError::FileTooLong { path, most });
    }
    let text = String::from_utf8(bytes).map_err(|error| CorpusError::NotUtf8 {
        path,
        at: error.utf8_error().valid_up_to(),
    })?;
    Ok(Document {
        content: Content::Text(text),
        source: input.source(),
        license: input.license(),
        id: input.name(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hint::Hint;
    use proptest::prelude::*;

    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        out.write_all(bytes).unwrap();
        out.finish().unwrap()
    }

    /// The texts of a file, or the error with its hint.
    fn texts(name: &str, bytes: &[u8]) -> Result<Vec<String>, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let read = || -> Result<Vec<String>, CorpusError> {
            let corpus = Corpus::open(&[Source::Path(path.clone())], CorpusOptions::default())?;
            corpus
                .map(|document| Ok(document?.content.text().unwrap().to_owned()))
                .collect()
        };
        read().map_err(|error| format!("{error}; {}", error.hint().unwrap_or_default()))
    }

    #[test]
    fn files_are_unpacked_by_what_they_hold() {
        let line = b"{\"text\": \"one\"}\n";
        let packed = [gzip(line), gzip(line)].concat();
        let padded = [packed.clone(), vec![0; 1000]].concat();
        let zstd = zstd::encode_all(&line[..], 1).unwrap();
        for name in ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst"] {
            assert_eq!(texts(name, line).unwrap().len(), 1, "{name}");
            assert_eq!(texts(name, &packed).unwrap().len(), 2, "{name}");
            assert_eq!(texts(name, &padded).unwrap().len(), 2, "{name}");
            assert_eq!(texts(name, &zstd).unwrap().len(), 1, "{name}");
        }
        let garbage = [packed.clone(), b"\0\0x".to_vec()].concat();
        for damaged in [
            &garbage,
            &packed[..packed.len() - 9],
            &zstd[..zstd.len() - 3],
        ] {
            let error = texts("a.jsonl.gz", damaged).unwrap_err();
            assert!(error.contains("cannot be decompressed") && error.contains("--skip-invalid"));
        }
        for (table, row) in [("text\n\"a\nb\n", 1), ("text,id\na,1\n\"b\"\"\n", 2)] {
            let error = texts("a.csv", table.as_bytes()).unwrap_err();
            assert!(
                error.contains(&format!("row {row}: a quote that begins")),
                "{error}"
            );
        }
        let closed = texts("a.csv", b"text\n\"a \"\" b\"\n5\" c\n\"d\"");
        assert_eq!(closed.unwrap(), ["a \" b", "5\" c", "d"]);
        let pointer = gzip(b"version https://git-lfs.github.com/spec/v1\noid sha256:4d\nsize 1\n");
        assert!(texts("a.txt.gz", &pointer).unwrap_err().contains("Git LFS"));
    }

    #[test]
    fn what_is_not_text_is_named() {
        let wide = |text: &str, big: bool| -> Vec<u8> {
            let chars = text.chars().map(u32::from);
            chars
                .flat_map(|c| {
                    if big {
                        c.to_be_bytes()
                    } else {
                        c.to_le_bytes()
                    }
                })
                .collect()
        };
        for (bytes, what) in [
            (b"PK\x03\x04\x14".to_vec(), "zip archive"),
            (b"the\0text".to_vec(), "NUL bytes"),
            (vec![0; 100], "NUL bytes"),
            (gzip(&gzip(b"the text")), "compressed twice"),
            (
                wide("the text sees 神", false),
                "UTF-32 (little-endian, without a mark)",
            ),
            (
                wide("the text sees 神", true),
                "UTF-32 (big-endian, without a mark)",
            ),
            (wide("\u{feff}the text", false), "iconv -f UTF-32"),
        ] {
            for name in ["a.txt", "a.jsonl"] {
                let error = texts(name, &bytes).unwrap_err();
                assert!(error.contains(what), "{error}");
            }
        }
        for document in ["[{\"text\": \"one\"}]", "{\n  \"text\": \"one\"\n}", "[\n"] {
            let error = texts("a.jsonl", document.as_bytes()).unwrap_err();
            assert!(error.contains("jq -c"), "{error}");
        }
    }

    #[test]
    fn files_are_read_once_and_hidden_ones_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for folder in ["__MACOSX", ".ipynb_checkpoints"] {
            std::fs::create_dir(path(folder)).unwrap();
            std::fs::write(path(folder).join("b.txt"), "hidden").unwrap();
        }
        std::fs::write(path("a.txt"), "the text").unwrap();
        std::fs::write(path("._a.txt"), "hidden").unwrap();
        let (file, folder) = (Source::Path(path("a.txt")), Source::Path(path("")));
        let sources = [file.clone(), file, folder.clone(), folder];
        let corpus = Corpus::open(&sources, CorpusOptions::default()).unwrap();
        let words = corpus.left_out().words().unwrap();
        let expected = "2 file that was read already, 2 hidden folder, 1 folder that was read already, 1 hidden file";
        assert_eq!(words, expected);
        assert_eq!(corpus.count(), 1);
        let missing = [Source::Path(path("missing"))];
        let error = Corpus::open(&missing, CorpusOptions::default())
            .err()
            .unwrap();
        assert!(matches!(error, CorpusError::Io { .. }), "{error}");
    }

    proptest! {
        #[test]
        fn damaged_files_give_an_error_or_documents(
            ending in prop::sample::select(vec!["jsonl", "txt", "csv", "json", "jsonl.gz", "jsonl.zst"]),
            at in any::<prop::sample::Index>(),
            flip in 1u8..=255,
            cut in any::<bool>(),
            skip_invalid in any::<bool>(),
        ) {
            let lines = "{\"text\":\"one text\",\"id\":7}\n{\"text\":\"another, “quoted”\"}\n".repeat(20);
            let mut bytes = match ending {
                "csv" => b"id,text\n1,\"a text\nof two lines\"\n2,another\n".repeat(20),
                "json" => format!("[{}]", lines.trim_end().replace('\n', ",\n")).into_bytes(),
                "jsonl.zst" => zstd::encode_all(lines.as_bytes(), 3).unwrap(),
                "jsonl.gz" => {
                    let mut out = Vec::new();
                    let level = flate2::Compression::fast();
                    flate2::read::GzEncoder::new(lines.as_bytes(), level).read_to_end(&mut out).unwrap();
                    out
                }
                _ => lines.into_bytes(),
            };
            let at = at.index(bytes.len());
            if cut { bytes.truncate(at) } else { bytes[at] ^= flip }
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join(format!("corpus.{ending}"));
            std::fs::write(&path, bytes).unwrap();
            let options = CorpusOptions { skip_invalid, ..Default::default() };
            let corpus = match Corpus::open(&[Source::Path(path.clone())], options) {
                Ok(corpus) => corpus,
                Err(error) => {
                    prop_assert!(error.is_skippable() || matches!(error, CorpusError::Io { .. } | CorpusError::NoColumn { .. }), "{error}");
                    return Ok(());
                }
            };
            // after an error there is nothing more
            let found: Vec<_> = corpus.take(1000).collect();
            prop_assert!(found.iter().rev().skip(1).all(Result::is_ok));
            if let Some(Err(error)) = found.last() {
                prop_assert!(error.to_string().contains(&*path.to_string_lossy()));
            }
        }
    }
}
