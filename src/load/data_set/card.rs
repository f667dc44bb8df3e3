//! What a data set's card says: its licence, and which files its configs and splits have.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser};

use crate::mark;

/// Values of a card, those that are repeated by reference counted each time, and how deep they may be nested.
const MOST_VALUES: usize = 1 << 20;
const MOST_DEPTH: usize = 100;

/// What a data set's card says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Card {
    pub(super) license: Option<String>,
    pub(super) configs: Vec<CardConfig>,
}

/// A config of a card.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct CardConfig {
    pub(super) name: String,
    pub(super) is_default: bool,
    pub(super) data_dir: Option<String>,
    /// Patterns of the files by split; none if the names of the files tell.
    pub(super) data_files: Option<Vec<(String, Vec<String>)>>,
}

/// The split of files of which nothing is said.
pub(super) const TRAIN: &str = "train";

/// A value of YAML; what is not a list or a mapping is kept as it is written.
#[derive(Clone, Debug)]
enum Value {
    Text(String),
    List(Vec<Value>),
    Map(Vec<(String, Value)>),
}

impl Value {
    fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Map(entries) => {
                let found = entries.iter().find(|(other, _)| other == key);
                found.map(|(_, value)| value)
            }
            _ => None,
        }
    }

    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A text, or all texts of a list.
    fn texts(&self) -> Option<Vec<String>> {
        match self {
            Self::Text(text) => Some(vec![text.clone()]),
            Self::List(list) => {
                let texts = list.iter().map(|value| value.text().map(str::to_owned));
                texts.collect()
            }
            Self::Map(_) => None,
        }
    }

    fn n_values(&self) -> usize {
        1 + match self {
            Self::Text(_) => 0,
            Self::List(list) => list.iter().map(Self::n_values).sum(),
            Self::Map(entries) => entries.iter().map(|(_, value)| value.n_values()).sum(),
        }
    }
}

impl Card {
    /// Reads the YAML that a `README.md` begins with; an error says what is wrong with it.
    pub(super) fn parse(readme: &str) -> Result<Self, String> {
        let Some(front) = front_matter(mark::text_without(readme)) else {
            return Ok(Self::default());
        };
        let value = parse(front)?;
        let license = value.get("license").and_then(Value::texts);
        let license = license.map(|texts| texts.join(", "));
        let configs = match value.get("configs") {
            None => Vec::new(),
            Some(Value::List(configs)) => {
                let configs = configs.iter().map(config);
                configs.collect::<Result<_, _>>()?
            }
            Some(Value::Text(text)) if is_null(text) => Vec::new(),
            Some(_) => return Err("`configs` is not a list".into()),
        };
        Ok(Self {
            license: license.filter(|license| !is_null(license)),
            configs,
        })
    }
}

fn is_null(text: &str) -> bool {
    ["", "~", "null", "Null", "NULL"].contains(&text)
}

/// What stands between the first line and the next one that are `---`.
fn front_matter(readme: &str) -> Option<&str> {
    let readme = readme.trim_start();
    let first = readme.lines().next()?;
    if first.trim_end() != "---" {
        return None;
    }
    let rest = &readme[first.len()..];
    let mut at = 0;
    for line in rest.split_inclusive('\n') {
        if line.trim_end() == "---" {
            return Some(&rest[..at]);
        }
        at += line.len();
    }
    None
}

fn config(value: &Value) -> Result<CardConfig, String> {
    let name = value.get("config_name").and_then(Value::text);
    let name = name.ok_or("one of its `configs` has no `config_name`")?;
    let data_files = value.get("data_files");
    let data_files = data_files.filter(|value| !value.text().is_some_and(is_null));
    let data_files = data_files.map(splits).transpose();
    let data_files = data_files.map_err(|reason| format!("config `{name}`: {reason}"))?;
    let data_dir = value.get("data_dir").and_then(Value::text);
    let is_default = value.get("default").and_then(Value::text);
    Ok(CardConfig {
        name: name.to_owned(),
        is_default: is_default
            .is_some_and(|text| ["true", "yes", "on"].contains(&text.to_lowercase().as_str())),
        data_dir: data_dir.map(|dir| dir.trim_matches('/').to_owned()),
        data_files,
    })
}

/// The patterns of each split: a text or a list of texts, which are of the split `train`, or a list of splits.
fn splits(value: &Value) -> Result<Vec<(String, Vec<String>)>, String> {
    if let Some(patterns) = value.texts() {
        return Ok(vec![(TRAIN.to_owned(), patterns)]);
    }
    let Value::List(list) = value else {
        return Err("its `data_files` are neither patterns nor a list of splits".into());
    };
    let mut splits: Vec<(String, Vec<String>)> = Vec::new();
    for value in list {
        let split = value.get("split").and_then(Value::text);
        let paths = value.get("path").and_then(Value::texts);
        let (Some(split), Some(paths)) = (split, paths) else {
            return Err("an entry of its `data_files` lacks `split` or `path`".into());
        };
        if splits.iter().any(|(other, _)| other == split) {
            return Err(format!("its `data_files` have the split `{split}` twice"));
        }
        splits.push((split.to_owned(), paths));
    }
    Ok(splits)
}

/// A list or a mapping that is not closed yet.
struct Open {
    anchor: usize,
    value: Value,
    /// The key of a mapping whose value comes next.
    key: Option<String>,
}

/// The first document of YAML.
fn parse(text: &str) -> Result<Value, String> {
    let mut open: Vec<Open> = Vec::new();
    let mut anchors: HashMap<usize, Value> = HashMap::new();
    let mut n_values = 0;
    for event in Parser::new_from_str(text) {
        let (event, _) = event.map_err(|error| error.to_string())?;
        let (anchor, value) = match event {
            Event::Scalar(text, _, anchor, _) => (anchor, Value::Text(text.into_owned())),
            Event::Alias(anchor) => {
                let value = anchors.get(&anchor).cloned();
                (
                    0,
                    value.ok_or("it refers to an anchor that is not defined")?,
                )
            }
            Event::SequenceStart(anchor, _) => {
                let value = Value::List(Vec::new());
                begin(&mut open, anchor, value)?;
                continue;
            }
            Event::MappingStart(anchor, _) => {
                let value = Value::Map(Vec::new());
                begin(&mut open, anchor, value)?;
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(closed) => (closed.anchor, closed.value),
                None => continue,
            },
            Event::DocumentEnd => break,
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) => {
                continue;
            }
        };
        n_values += value.n_values();
        if n_values > MOST_VALUES {
            return Err(format!("it has more than {MOST_VALUES} values"));
        }
        if anchor > 0 {
            anchors.insert(anchor, value.clone());
        }
        let Some(Open {
            value: parent, key, ..
        }) = open.last_mut()
        else {
            return Ok(value);
        };
        match (parent, key.take()) {
            (Value::List(list), _) => list.push(value),
            (Value::Map(entries), Some(key)) => entries.push((key, value)),
            // a key that is a list or a mapping is not one that is asked for
            (_, None) => *key = Some(value.text().unwrap_or_default().to_owned()),
            (Value::Text(_), Some(_)) => (),
        }
    }
    Ok(Value::Map(Vec::new()))
}

fn begin(open: &mut Vec<Open>, anchor: usize, value: Value) -> Result<(), String> {
    if open.len() == MOST_DEPTH {
        return Err(format!("it is nested more than {MOST_DEPTH} deep"));
    }
    open.push(Open {
        anchor,
        value,
        key: None,
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn card(yaml: &str) -> Result<Card, String> {
        Card::parse(&format!("---\n{yaml}\n---\n# Title\n---\n"))
    }

    fn files(splits: &[(&str, &[&str])]) -> Option<Vec<(String, Vec<String>)>> {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let splits = splits.iter();
        Some(
            splits
                .map(|(split, patterns)| ((*split).to_owned(), texts(patterns)))
                .collect(),
        )
    }

    #[test]
    fn configs_have_their_files_in_each_form() {
        let yaml = "\
license: [mit, cc-by-4.0]
size_categories: &size
- 10K<n<100K
configs:
- config_name: one
  data_files: data.jsonl
- config_name: 1.0
  data_files: [\"a/*\", b/*]
  default: true
- config_name: no # a text, as it is written
  data_dir: no/
- config_name: splits
  data_files:
  - split: train
    path: train/*
  - {split: test, path: [x, *size]}
";
        let Err(reason) = card(yaml) else {
            panic!("a list in a list of paths is not a path")
        };
        assert!(reason.contains("config `splits`"), "{reason}");
        let found = card(&yaml.replace("*size", "y")).unwrap();
        assert_eq!(found.license.as_deref(), Some("mit, cc-by-4.0"));
        let names: Vec<_> = found.configs.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names, ["one", "1.0", "no", "splits"]);
        let is_default: Vec<_> = found.configs.iter().map(|c| c.is_default).collect();
        assert_eq!(is_default, [false, true, false, false]);
        let [one, two, no, splits] = &found.configs[..] else {
            panic!()
        };
        assert_eq!(one.data_files, files(&[("train", &["data.jsonl"])]));
        assert_eq!(two.data_files, files(&[("train", &["a/*", "b/*"])]));
        assert_eq!(
            (no.data_dir.as_deref(), &no.data_files),
            (Some("no"), &None)
        );
        let expected = files(&[("train", &["train/*"]), ("test", &["x", "y"])]);
        assert_eq!(splits.data_files, expected);
    }

    #[test]
    fn what_is_not_a_card() {
        for text in [
            "",
            "# Title",
            "---\nlicense: mit\n",
            "text\n---\na: b\n---\n",
        ] {
            assert_eq!(Card::parse(text), Ok(Card::default()), "{text}");
        }
        let with_mark = "\u{feff}---\r\nlicense: mit\r\n---\r\n";
        assert_eq!(
            Card::parse(with_mark).unwrap().license.as_deref(),
            Some("mit")
        );
        assert_eq!(card("license:").unwrap(), Card::default());
        for (yaml, what) in [
            ("configs: {}", "not a list"),
            ("configs: [a]", "no `config_name`"),
            (
                "configs: [{config_name: a, data_files: {train: b}}]",
                "neither",
            ),
            (
                "configs: [{config_name: a, data_files: [{split: b}]}]",
                "lacks",
            ),
            (
                "configs: [{config_name: a, data_files: [{split: b, path: c}, {split: b, path: d}]}]",
                "twice",
            ),
            ("a: [b", ""),
            ("a: *b", ""),
            (&"[".repeat(200), "deep"),
        ] {
            let error = card(yaml).unwrap_err();
            assert!(error.contains(what), "{yaml}: {error}");
        }
        // each line has the one before it ten times
        let mut bomb = String::from("a0: &a0 x\n");
        for i in 0..10 {
            let ten = format!("*a{i},").repeat(10);
            bomb.push_str(&format!("a{}: &a{} [{ten}]\n", i + 1, i + 1));
        }
        assert!(card(&bomb).unwrap_err().contains("values"));
    }

    proptest! {
        #[test]
        fn any_text_is_a_card_or_an_error(yaml in "[-a: \\[\\]{}&*!|>\"'\n#,]{0,40}|\\PC{0,20}") {
            let _ = card(&yaml);
        }
    }
}
