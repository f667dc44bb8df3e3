//! Readers of `.jsonl` and `.txt`, plain or compressed, alone or in folders.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{CorpusError, Document};

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
}

impl Corpus {
    /// Finds the files. What they hold is read by iterating.
    pub fn open(sources: &[Source], options: CorpusOptions) -> Result<Self, CorpusError> {
        let mut waiting = VecDeque::new();
        for source in sources {
            match source {
                Source::Path(path) if path.is_dir() => {
                    waiting.extend(files_in(path)?.into_iter().map(Source::Path))
                }
                Source::Path(path) => {
                    kind(path).ok_or_else(|| CorpusError::UnknownKind(path.clone()))?;
                    File::open(path).map_err(|source| CorpusError::Io {
                        path: path.clone(),
                        source,
                    })?;
                    waiting.push_back(source.clone());
                }
                Source::Embedded(..) => waiting.push_back(source.clone()),
            }
        }
        Ok(Self {
            options,
            waiting,
            open: None,
            skipped: 0,
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

    fn read_next(&mut self) -> Option<Result<Document, CorpusError>> {
        loop {
            if let Some(lines) = &mut self.open {
                match lines.next(&self.options.text_field) {
                    Some(next) => return Some(next),
                    None => self.open = None,
                }
            }
            let (path, reader): (PathBuf, Box<dyn Read + Send>) = match self.waiting.pop_front()? {
                Source::Path(path) => match File::open(&path) {
                    Ok(file) => (path, Box::new(file)),
                    Err(source) => return Some(Err(CorpusError::Io { path, source })),
                },
                Source::Embedded(name, bytes) => (PathBuf::from(name), Box::new(bytes)),
            };
            let reader = match decompressed(&path, reader) {
                Ok(reader) => reader,
                Err(source) => return Some(Err(CorpusError::Io { path, source })),
            };
            match kind(&path) {
                Some(Kind::Text) => return Some(whole(path, reader)),
                _ => {
                    self.open = Some(Lines {
                        path,
                        reader: BufReader::with_capacity(1 << 18, reader),
                        line: 0,
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

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Lines,
    Text,
}

/// What a file holds, by its name without `.gz` and `.zst`.
fn kind(path: &Path) -> Option<Kind> {
    let inner = match path.extension().and_then(OsStr::to_str) {
        Some("gz" | "zst") => path.file_stem().map(Path::new)?,
        _ => path,
    };
    match inner.extension().and_then(OsStr::to_str) {
        Some("jsonl" | "ndjson") => Some(Kind::Lines),
        Some("txt") => Some(Kind::Text),
        _ => None,
    }
}

fn decompressed(path: &Path, reader: Box<dyn Read + Send>) -> io::Result<Box<dyn Read + Send>> {
    Ok(match path.extension().and_then(OsStr::to_str) {
        Some("gz") => Box::new(flate2::read::MultiGzDecoder::new(reader)),
        Some("zst") => Box::new(zstd::stream::read::Decoder::new(reader)?),
        _ => reader,
    })
}

fn files_in(folder: &Path) -> Result<Vec<PathBuf>, CorpusError> {
    let mut files = Vec::new();
    for entry in walkdir::WalkDir::new(folder).sort_by_file_name() {
        let entry = entry.map_err(|error| CorpusError::Io {
            path: error.path().unwrap_or(folder).to_owned(),
            source: error.into(),
        })?;
        if entry.file_type().is_file() && kind(entry.path()).is_some() {
            files.push(entry.into_path());
        }
    }
    match files.is_empty() {
        true => Err(CorpusError::Empty(format!(
            "`{}`: it holds no .jsonl or .txt file",
            folder.display()
        ))),
        false => Ok(files),
    }
}

fn whole(path: PathBuf, mut reader: Box<dyn Read + Send>) -> Result<Document, CorpusError> {
    let mut bytes = Vec::new();
    reader
        .read_to_end(&mut bytes)
        .map_err(|source| CorpusError::Io {
            path: path.clone(),
            source,
        })?;
    let id = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Document {
            text,
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

struct Lines {
    path: PathBuf,
    reader: BufReader<Box<dyn Read + Send>>,
    line: u64,
}

impl Lines {
    fn next(&mut self, text_field: &str) -> Option<Result<Document, CorpusError>> {
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            match self.reader.read_until(b'\n', &mut bytes) {
                Ok(0) => return None,
                Ok(_) => self.line += 1,
                Err(source) => {
                    return Some(Err(CorpusError::Io {
                        path: self.path.clone(),
                        source,
                    }));
                }
            }
            if !bytes.trim_ascii().is_empty() {
                let error = |reason| CorpusError::Line {
                    path: self.path.clone(),
                    line: self.line,
                    reason,
                };
                return Some(self.parse(&bytes, text_field).map_err(error));
            }
        }
    }

    fn parse(&self, line: &[u8], text_field: &str) -> Result<Document, String> {
        let line = std::str::from_utf8(line)
            .map_err(|error| format!("not valid UTF-8: byte {}", error.valid_up_to()))?;
        let mut object: Map<String, Value> =
            serde_json::from_str(line).map_err(|error| format!("not a JSON object: {error}"))?;
        let text = match object.remove(text_field) {
            Some(Value::String(text)) => text,
            Some(_) => return Err(format!("field `{text_field}` is not a string")),
            None => return Err(format!("missing field `{text_field}`")),
        };
        let mut string = |key: &str| match object.remove(key) {
            Some(Value::String(value)) => Some(value),
            Some(Value::Number(value)) => Some(value.to_string()),
            _ => None,
        };
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        Ok(Document {
            text,
            source: string("source").unwrap_or_else(|| name.clone().into_owned()),
            license: string("license").unwrap_or_default(),
            id: string("id").unwrap_or_else(|| format!("{name}:{}", self.line)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
            let corpus = Corpus::open(&[Source::Path(path.clone())], options).unwrap();
            // after an error there is nothing more
            let found: Vec<_> = corpus.take(1000).collect();
            prop_assert!(found.iter().rev().skip(1).all(Result::is_ok));
            if let Some(Err(error)) = found.last() {
                prop_assert!(error.to_string().contains(&*path.to_string_lossy()));
            }
        }
    }
}
