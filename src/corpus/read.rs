//! Documents, file by file.

use std::collections::{HashSet, VecDeque};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::mark;

use super::folder::{FILE_AGAIN, LeftOut, files_in};
use super::open::{Kind, Reader, kind, open};
use super::{Content, CorpusError, Document, line};

/// The longest document, and the longest line of JSON, in bytes.
pub const MOST_DOCUMENT: u64 = 256 << 20;

/// How documents are read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
#[serde(default, deny_unknown_fields)]
pub struct CorpusOptions {
    /// Field of a JSON line that holds the text.
    #[cfg_attr(feature = "cli", arg(long, value_name = "NAME"))]
    pub text_field: String,
    /// Whether lines and files that cannot be read are counted and skipped.
    #[cfg_attr(feature = "cli", arg(long, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL"))]
    pub skip_invalid: bool,
}

impl Default for CorpusOptions {
    fn default() -> Self {
        Self {
            text_field: "text".into(),
            skip_invalid: false,
        }
    }
}

/// Where a corpus is.
#[derive(Clone, Debug)]
pub enum Source {
    /// A file or a folder.
    Path(PathBuf),
    /// A file that is part of the program: its name, with endings, and its bytes.
    Embedded(&'static str, &'static [u8]),
}

/// The documents of some sources: in the order given, folders sorted by path.
pub struct Corpus {
    options: CorpusOptions,
    waiting: VecDeque<Source>,
    open: Option<Lines>,
    skipped: u64,
    left_out: LeftOut,
    /// The longest document and line.
    most: u64,
}

impl Corpus {
    /// Finds the files. What they hold is read by iterating.
    pub fn open(sources: &[Source], options: CorpusOptions) -> Result<Self, CorpusError> {
        let mut waiting = VecDeque::new();
        let mut left_out = LeftOut::default();
        let mut places = HashSet::new();
        for source in sources {
            match source {
                Source::Path(path) if path.is_dir() => {
                    let (files, others) = files_in(path, &mut places)?;
                    waiting.extend(files.into_iter().map(Source::Path));
                    left_out.extend(others);
                }
                Source::Path(path) => {
                    let io = |source| CorpusError::Io {
                        path: path.clone(),
                        source,
                    };
                    let place = fs::canonicalize(path).map_err(io)?;
                    kind(path).ok_or_else(|| CorpusError::UnknownKind(path.clone()))?;
                    File::open(path).map_err(io)?;
                    // a pipe has no place of its own
                    match !place.is_file() || places.insert(place) {
                        true => waiting.push_back(source.clone()),
                        false => left_out.add(FILE_AGAIN),
                    }
                }
                Source::Embedded(..) => waiting.push_back(source.clone()),
            }
        }
        // a file that is not text is found before those in front of it are read
        for source in &waiting {
            match open(source.clone()) {
                Err(error @ CorpusError::LfsPointer(_)) => return Err(error),
                Err(error @ (CorpusError::Encoding { .. } | CorpusError::NotText { .. }))
                    if !options.skip_invalid =>
                {
                    return Err(error);
                }
                _ => (),
            }
        }
        Ok(Self {
            options,
            waiting,
            open: None,
            skipped: 0,
            left_out,
            most: MOST_DOCUMENT,
        })
    }

    /// The sources that are still to be read: files only, folders are opened already.
    pub fn files(&self) -> impl Iterator<Item = &Source> {
        self.waiting.iter()
    }

    /// Lines and files that were skipped so far.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// What lies in the folders and is not read.
    pub fn left_out(&self) -> &LeftOut {
        &self.left_out
    }

    fn read_next(&mut self) -> Option<Result<Document, CorpusError>> {
        loop {
            if let Some(lines) = &mut self.open {
                match lines.next(&self.options.text_field, self.most) {
                    Some(next) => return Some(next),
                    None => self.open = None,
                }
            }
            let (path, reader) = match open(self.waiting.pop_front()?) {
                Ok(opened) => opened,
                Err(error) => return Some(Err(error)),
            };
            match kind(&path) {
                Some(Kind::Text) => return Some(whole(path, reader, self.most)),
                _ => {
                    self.open = Some(Lines {
                        path,
                        reader: BufReader::with_capacity(1 << 18, reader),
                        line: 0,
                        is_first: true,
                    })
                }
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
                document => return Some(document),
            }
        }
    }
}

fn whole(path: PathBuf, reader: Reader, most: u64) -> Result<Document, CorpusError> {
    let mut bytes = Vec::new();
    if let Err(source) = reader.take(most + 1).read_to_end(&mut bytes) {
        return Err(CorpusError::Io { path, source });
    }
    if bytes.len() as u64 > most {
        return Err(CorpusError::FileTooLong { path, most });
    }
    let id = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Document {
            content: Content::Text(text),
            source: id.clone(),
            license: String::new(),
            id,
        }),
        Err(error) => Err(CorpusError::NotUtf8 {
            path,
            at: error.utf8_error().valid_up_to(),
        }),
    }
}

/// Why a first line is not an object, where a list or an object over several lines begins with it.
pub(super) const ONE_DOCUMENT: &str =
    "not a JSON object: the file is one JSON document, not an object a line";

struct Lines {
    path: PathBuf,
    reader: BufReader<Reader>,
    line: u64,
    /// Whether no line with something in it was read yet.
    is_first: bool,
}

impl Lines {
    fn next(&mut self, text_field: &str, most: u64) -> Option<Result<Document, CorpusError>> {
        loop {
            let bytes = match self.read(most)? {
                Ok(bytes) => bytes,
                Err(error) => return Some(Err(error)),
            };
            // where files were joined, a mark stands in the middle
            let bytes = mark::without(&bytes);
            if !bytes.trim_ascii().is_empty() {
                let is_first = std::mem::take(&mut self.is_first);
                let begins = bytes.trim_ascii();
                let is_document = is_first && (begins.starts_with(b"[") || begins == b"{");
                let document = self.parse(bytes, text_field);
                let document = document.map_err(|reason| match is_document {
                    true => ONE_DOCUMENT.to_owned(),
                    false => reason,
                });
                return Some(document.map_err(|reason| CorpusError::Line {
                    path: self.path.clone(),
                    line: self.line,
                    reason,
                }));
            }
        }
    }

    /// The next line; of one that is too long, nothing is kept.
    fn read(&mut self, most: u64) -> Option<Result<Vec<u8>, CorpusError>> {
        let io = |source| CorpusError::Io {
            path: self.path.clone(),
            source,
        };
        let mut bytes = Vec::new();
        let mut part = self.reader.by_ref().take(most + 1);
        match part.read_until(b'\n', &mut bytes) {
            Ok(0) => return None,
            Ok(_) => self.line += 1,
            Err(source) => return Some(Err(io(source))),
        }
        if bytes.len() as u64 <= most {
            return Some(Ok(bytes));
        }
        if bytes.last() != Some(&b'\n') {
            drop(bytes);
            if let Err(source) = self.reader.skip_until(b'\n') {
                return Some(Err(io(source)));
            }
        }
        Some(Err(CorpusError::LineTooLong {
            path: self.path.clone(),
            line: self.line,
            most,
        }))
    }

    fn parse(&self, line: &[u8], text_field: &str) -> Result<Document, String> {
        let fields = line::fields(line, [text_field, "source", "license", "id"]);
        let [text, source, license, id] =
            fields.map_err(|error| format!("not a JSON object: {error}"))?;
        let text = text.ok_or_else(|| format!("missing field `{text_field}`"))?;
        let text = self.text(line, text, text_field)?;
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        Ok(Document {
            content: Content::Text(text),
            source: source
                .and_then(name_in)
                .unwrap_or_else(|| name.clone().into_owned()),
            license: license.and_then(name_in).unwrap_or_default(),
            id: id
                .and_then(name_in)
                .unwrap_or_else(|| format!("{name}:{}", self.line)),
        })
    }

    fn text(&self, line: &[u8], value: &[u8], field: &str) -> Result<String, String> {
        if !value.starts_with(b"\"") {
            return Err(format!("field `{field}` is not a string"));
        }
        let value = std::str::from_utf8(value).map_err(|error| {
            let at = line::offset(line, value) + error.valid_up_to();
            format!("not valid UTF-8: byte {at}")
        })?;
        serde_json::from_str(value).map_err(|error| {
            let error = error.to_string();
            let what = error.split(" at line").next().unwrap_or_default();
            format!("field `{field}` is not valid: {what}")
        })
    }
}

/// What names a document: a string, or a number. Of a value that is neither, nothing is taken.
fn name_in(value: &[u8]) -> Option<String> {
    match value.starts_with(b"\"") {
        true => serde_json::from_slice(value).ok(),
        false if line::is_number(value) => {
            let number: Result<serde_json::Number, _> = serde_json::from_slice(value);
            let as_written = || String::from_utf8_lossy(value).into_owned();
            Some(number.map_or_else(|_| as_written(), |number| number.to_string()))
        }
        false => None,
    }
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
        let garbage = [packed, b"\0\0x".to_vec()].concat();
        assert!(texts("a.jsonl.gz", &garbage).is_err());
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
            (gzip(&gzip(b"the text")), "packed twice"),
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
            ending in prop::sample::select(vec!["jsonl", "txt", "jsonl.gz", "jsonl.zst"]),
            at in any::<prop::sample::Index>(),
            flip in 1u8..=255,
            cut in any::<bool>(),
            skip_invalid in any::<bool>(),
        ) {
            let lines = "{\"text\":\"one text\",\"id\":7}\n{\"text\":\"another, “quoted”\"}\n".repeat(20);
            let mut bytes = match ending {
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
                    prop_assert!(matches!(error, CorpusError::NotText { .. } | CorpusError::Encoding { .. }), "{error}");
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
