//! Which files are a split of a config: what `datasets` finds in the same repository, without a request.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;

use crate::load::hub::TreeFile;

use super::card::{Card, CardConfig, TRAIN};
use super::error::DataSetError;
use super::glob::{Glob, is_pattern};

/// The splits whose names are looked for in the names of files and folders, with the words that stand for them.
const SPLITS: [(&str, &[&str]); 3] = [
    (TRAIN, &["train", "training"]),
    ("validation", &["validation", "valid", "dev", "val"]),
    ("test", &["test", "testing", "eval", "evaluation"]),
];

/// What separates such a word from the rest of a name.
const SEPARATORS: &str = "[-._ 0-9]";

/// Files that are never data, unless a pattern names them.
const NOT_DATA: [&str; 6] = [
    "README.md",
    "config.json",
    "dataset_info.json",
    "dataset_infos.json",
    "dummy_data.zip",
    "dataset_dict.json",
];

/// The shards that `datasets` itself writes: `data/<split>-00000-of-00001.parquet`.
const SHARD: &str = "-[0-9][0-9][0-9][0-9][0-9]-of-[0-9][0-9][0-9][0-9][0-9]*.*";

/// Formats of data, by the endings of their files. Of several in a split, one is read.
const FORMATS: [(&str, &[&str]); 9] = [
    ("parquet", &["parquet", "geoparquet", "gpq"]),
    ("arrow", &["arrow"]),
    ("json", &["json", "jsonl", "ndjson"]),
    ("csv", &["csv", "tsv"]),
    ("text", &["txt"]),
    ("markdown", &["md"]),
    ("xml", &["xml"]),
    ("archive", &["tar", "zip", "h5", "hdf5", "lance"]),
    (
        "media",
        &[
            "bmp", "flac", "gif", "jpeg", "jpg", "mp3", "mp4", "ogg", "opus", "pdf", "png", "tiff",
            "wav", "webp",
        ],
    ),
];

/// Endings that win where two are equally frequent, the first of them foremost.
const FAVOURITES: [&str; 5] = ["parquet", "arrow", "jsonl", "json", "csv"];

/// A split and its files.
#[derive(Clone, Debug)]
pub(super) struct Split<'f> {
    pub(super) name: String,
    pub(super) files: Vec<&'f TreeFile>,
    /// A path or pattern of the card that no file matches.
    pub(super) lacks: Option<String>,
    /// Whether only a part of it was converted to Parquet.
    pub(super) is_partial: bool,
}

/// The splits of a config.
#[derive(Debug)]
pub(super) struct Layout<'f> {
    /// Its name; none if the data set has no configs.
    pub(super) config: Option<String>,
    pub(super) splits: Vec<Split<'f>>,
}

impl<'f> Split<'f> {
    fn new(name: &str, files: Vec<&'f TreeFile>) -> Self {
        Self {
            name: name.to_owned(),
            files,
            lacks: None,
            is_partial: false,
        }
    }
}

/// The folder rules give a data set one config, which `datasets` calls so.
const DEFAULT: &str = "default";

/// The splits of a config, as the card says, else by the names of files.
pub(super) fn own<'f>(
    id: &str,
    card: &Card,
    files: &'f [TreeFile],
    config: Option<&str>,
) -> Result<Layout<'f>, DataSetError> {
    if card.configs.is_empty() {
        if let Some(config) = config.filter(|config| *config != DEFAULT) {
            return Err(DataSetError::NoConfig {
                id: id.to_owned(),
                config: config.to_owned(),
                known: vec![DEFAULT.to_owned()],
            });
        }
        return Ok(Layout {
            config: None,
            splits: by_names(files, ""),
        });
    }
    let is_default = |config: &CardConfig| config.is_default || config.name == DEFAULT;
    let names = card.configs.iter().map(|config| config.name.clone());
    let defaults = card.configs.iter().map(is_default).collect();
    let chosen = choose(id, names.collect(), defaults, config)?;
    let config = &card.configs[chosen];
    let folder = config.data_dir.as_deref().unwrap_or_default();
    let splits = match &config.data_files {
        None => by_names(files, folder),
        Some(splits) => splits
            .iter()
            .map(|(name, patterns)| {
                let mut split = Split::new(name, Vec::new());
                for pattern in patterns {
                    let found = matching(files, folder, pattern);
                    // a path must be there, and of all patterns one
                    if found.is_empty() && (split.lacks.is_none() || !is_pattern(pattern)) {
                        split.lacks = Some(pattern.clone());
                    }
                    add(&mut split.files, found);
                }
                let is_path = |pattern: &String| !is_pattern(pattern);
                if !split.files.is_empty() {
                    split.lacks = split.lacks.filter(is_path);
                }
                split
            })
            .collect(),
    };
    Ok(Layout {
        config: Some(config.name.clone()),
        splits,
    })
}

/// The index of the config that is wanted, or else of the default.
fn choose(
    id: &str,
    known: Vec<String>,
    is_default: Vec<bool>,
    wanted: Option<&str>,
) -> Result<usize, DataSetError> {
    let id = id.to_owned();
    if let Some(wanted) = wanted {
        let found = known.iter().position(|name| name == wanted);
        return found.ok_or_else(|| DataSetError::NoConfig {
            id,
            config: wanted.to_owned(),
            known,
        });
    }
    let mut defaults = (0..known.len()).filter(|&at| known.len() == 1 || is_default[at]);
    match (defaults.next(), defaults.next()) {
        (Some(only), None) => Ok(only),
        _ => Err(DataSetError::ChooseConfig { id, known }),
    }
}

fn add<'f>(files: &mut Vec<&'f TreeFile>, found: Vec<&'f TreeFile>) {
    for file in found {
        if !files.iter().any(|other| other.path == file.path) {
            files.push(file);
        }
    }
}

/// The files in a folder that match a pattern, sorted by path.
fn matching<'f>(files: &'f [TreeFile], folder: &str, pattern: &str) -> Vec<&'f TreeFile> {
    let pattern = pattern.strip_prefix("./").unwrap_or(pattern);
    let whole = match folder {
        "" => pattern.to_owned(),
        folder => format!("{folder}/{pattern}"),
    };
    let Some(glob) = Glob::new(&whole) else {
        return Vec::new();
    };
    let is_data = |name: &str| !NOT_DATA.contains(&name) || name == last(pattern);
    let matching = files
        .iter()
        .filter(|file| glob.matches(&file.path) && is_data(last(&file.path)));
    matching.collect()
}

/// The last name of a path.
fn last(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The splits of a folder by the names of its files and folders: the first rule by which anything is found counts.
fn by_names<'f>(files: &'f [TreeFile], folder: &str) -> Vec<Split<'f>> {
    let mut shards: BTreeMap<String, Vec<&TreeFile>> = BTreeMap::new();
    for file in matching(files, folder, &format!("data/*{SHARD}")) {
        if let Some(split) = split_of_shard(last(&file.path)) {
            shards.entry(split.to_owned()).or_default().push(file);
        }
    }
    if !shards.is_empty() {
        let known = |name: &str| SPLITS.iter().position(|(known, _)| *known == name);
        let mut splits: Vec<_> = shards.into_iter().collect();
        splits.sort_by_key(|(name, _)| known(name).unwrap_or(SPLITS.len()));
        return splits
            .into_iter()
            .map(|(name, files)| Split::new(&name, files))
            .collect();
    }
    let s = SEPARATORS;
    let in_folder = |word: &str| {
        [
            format!("**/{word}/**"),
            format!("**/{word}{s}*/**"),
            format!("**/*{s}{word}/**"),
            format!("**/*{s}{word}{s}*/**"),
        ]
    };
    let in_name = |word: &str| [format!("**/{word}{s}*"), format!("**/*{s}{word}{s}*")];
    type Rule<'a> = &'a dyn Fn(&str) -> Vec<String>;
    let rules: [Rule<'_>; 2] = [&|word| in_folder(word).to_vec(), &|word| {
        in_name(word).to_vec()
    }];
    for rule in rules {
        let splits = SPLITS.iter().map(|(name, words)| {
            let mut found = Vec::new();
            for pattern in words.iter().flat_map(|word| rule(word)) {
                add(&mut found, matching(files, folder, &pattern));
            }
            Split::new(name, found)
        });
        let splits = splits.filter(|split| !split.files.is_empty());
        let splits: Vec<_> = splits.collect();
        if !splits.is_empty() {
            return splits;
        }
    }
    match matching(files, folder, "**") {
        all if all.is_empty() => Vec::new(),
        all => vec![Split::new(TRAIN, all)],
    }
}

/// The split in a name such as `train-00000-of-00001.parquet`.
fn split_of_shard(name: &str) -> Option<&str> {
    let is_shard = |at: &usize| {
        let digits = |text: &str| text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
        let rest = &name[*at..];
        let number = rest.get(1..6).is_some_and(digits);
        number && rest.get(6..10) == Some("-of-") && rest.get(10..15).is_some_and(digits)
    };
    let mut dashes = name.match_indices('-').map(|(at, _)| at);
    let at = dashes.rfind(is_shard)?;
    Some(&name[..at]).filter(|split| !split.is_empty())
}

/// The splits of a config in the Hub's conversion to Parquet: `<config>/<split>/0000.parquet`, or
/// `<config>/partial-<split>/0000.parquet` if it holds only the first part of a large split.
pub(super) fn converted<'f>(
    id: &str,
    card: &Card,
    files: &'f [TreeFile],
    config: Option<&str>,
) -> Result<Layout<'f>, DataSetError> {
    let mut configs: BTreeMap<&str, Vec<(&str, &TreeFile)>> = BTreeMap::new();
    for file in files {
        let names: Vec<&str> = file.path.split('/').collect();
        if let [config, split, name] = names[..]
            && name.ends_with(".parquet")
        {
            configs.entry(config).or_default().push((split, file));
        }
    }
    let by_card = |name: &str| {
        let of_card = card.configs.iter().find(|config| config.name == name);
        name == DEFAULT || of_card.is_some_and(|config| config.is_default)
    };
    let names: Vec<&str> = configs.keys().copied().collect();
    let defaults = names.iter().map(|name| by_card(name)).collect();
    let known = names.iter().map(|name| (*name).to_owned());
    let chosen = choose(id, known.collect(), defaults, config)?;
    let mut splits: Vec<Split<'f>> = Vec::new();
    for (split, file) in configs.remove(names[chosen]).unwrap_or_default() {
        let name = split.strip_prefix("partial-").unwrap_or(split);
        let is_partial = name != split;
        match splits.iter_mut().find(|split| split.name == name) {
            Some(split) => split.files.push(file),
            None => splits.push(Split {
                is_partial,
                ..Split::new(name, vec![file])
            }),
        }
    }
    Ok(Layout {
        config: Some(names[chosen].to_owned()),
        splits,
    })
}

/// The split that is wanted, or else `train`, or else the only one.
pub(super) fn choose_split<'f>(
    id: &str,
    splits: Vec<Split<'f>>,
    wanted: Option<&str>,
) -> Result<Split<'f>, DataSetError> {
    let id = id.to_owned();
    if splits.is_empty() {
        let found = String::new();
        return Err(DataSetError::NotRead { id, found });
    }
    let known = splits.iter().map(|split| split.name.clone()).collect();
    let mut splits = splits.into_iter();
    let found = match (wanted, splits.len()) {
        (None, 1) => splits.next(),
        (wanted, _) => splits.find(|split| split.name == wanted.unwrap_or(TRAIN)),
    };
    let split = found.ok_or_else(|| match wanted {
        Some(split) => DataSetError::NoSplit {
            id: id.clone(),
            split: split.to_owned(),
            known,
        },
        None => DataSetError::ChooseSplit {
            id: id.clone(),
            known,
        },
    })?;
    match split.lacks {
        Some(pattern) => Err(DataSetError::Empty {
            id,
            split: split.name,
            pattern,
        }),
        None => Ok(split),
    }
}

/// The endings of a file's name, the last one last: `a.jsonl.gz` has two.
fn endings(path: &str) -> impl Iterator<Item = String> {
    last(path).split('.').skip(1).map(str::to_lowercase)
}

fn format_of(ending: &str) -> Option<&'static str> {
    let found = FORMATS.iter().find(|(_, all)| all.contains(&ending));
    found.map(|(format, _)| *format)
}

/// The files of a split that hold its data: those of the format that most of them have. Fails if one of them is not read.
pub(super) fn data<'f>(
    id: &str,
    split: Split<'f>,
    is_read: &dyn Fn(&Path) -> bool,
) -> Result<Vec<&'f TreeFile>, DataSetError> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for ending in split.files.iter().flat_map(|file| endings(&file.path)) {
        if format_of(&ending).is_some() {
            *counts.entry(ending).or_default() += 1;
        }
    }
    let favour = |ending: &str| {
        let place = FAVOURITES.iter().position(|favourite| *favourite == ending);
        FAVOURITES.len() - place.unwrap_or(FAVOURITES.len())
    };
    let most = counts
        .iter()
        .max_by_key(|(ending, n)| (**n, favour(ending), (*ending).clone()));
    let format = most.and_then(|(ending, _)| format_of(ending));
    let has_format = |file: &&TreeFile| {
        let mut formats = endings(&file.path).map(|ending| format_of(&ending));
        formats.any(|of| of.is_some() && of == format)
    };
    let files: Vec<&TreeFile> = split.files.iter().copied().filter(has_format).collect();
    if !files.is_empty() && files.iter().all(|file| is_read(Path::new(&file.path))) {
        return Ok(files);
    }
    Err(DataSetError::NotRead {
        id: id.to_owned(),
        found: found_words(&split.files),
    })
}

/// What a data set has in place of files that are read: `, but 3 .json, 1 .bin`.
pub(super) fn found_words(files: &[&TreeFile]) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for file in files {
        let ending = Path::new(last(&file.path)).extension();
        let ending = ending
            .and_then(OsStr::to_str)
            .map(|ending| format!(".{ending}"));
        *counts
            .entry(ending.unwrap_or_else(|| "without ending".into()))
            .or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by(|(a, n), (b, m)| m.cmp(n).then(a.cmp(b)));
    let words = counts
        .iter()
        .take(8)
        .map(|(ending, n)| format!("{n} {ending}"));
    match words.collect::<Vec<_>>().join(", ") {
        words if words.is_empty() => String::new(),
        words => format!(", but {}", words.escape_debug()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn tree<'p>(paths: impl IntoIterator<Item = &'p str>) -> Vec<TreeFile> {
        // hidden files are not in the list
        let is_hidden = |path: &&str| path.split('/').any(|name| name.starts_with('.'));
        let paths = paths.into_iter().filter(|path| !is_hidden(path));
        let files = paths.map(|path| TreeFile {
            path: path.to_owned(),
            bytes: 1,
            sha256: None,
        });
        files.collect()
    }

    fn is_read(path: &Path) -> bool {
        let name = path.to_string_lossy();
        let name = name.trim_end_matches(".gz").trim_end_matches(".zst");
        let read = [".jsonl", ".txt", ".csv", ".parquet"];
        read.iter().any(|ending| name.ends_with(ending))
    }

    /// The files of a split, or an error.
    fn found(layout: Layout<'_>, split: Option<&str>) -> Result<(String, Vec<String>), String> {
        let split = choose_split("a/b", layout.splits, split);
        let split = split.map_err(|error| error.to_string())?;
        let name = split.name.clone();
        let files = data("a/b", split, &is_read).map_err(|error| error.to_string())?;
        Ok((name, files.iter().map(|file| file.path.clone()).collect()))
    }

    /// `tests/hub/layouts.py` writes what `datasets` finds.
    #[test]
    fn files_are_those_that_datasets_finds() {
        let layouts = include_str!("../../../tests/hub/layouts.json");
        let layouts: Vec<Value> = serde_json::from_str(layouts).unwrap();
        for layout in &layouts {
            let name = layout["name"].as_str().unwrap();
            let paths = layout["files"].as_array().unwrap();
            let mut paths: Vec<&str> = paths.iter().map(|path| path.as_str().unwrap()).collect();
            let card = layout["card"].as_str();
            paths.extend(card.map(|_| "README.md"));
            let files = tree(paths);
            let card = Card::parse(card.unwrap_or_default()).unwrap();
            let Some(configs) = layout["configs"].as_object() else {
                let all = own("a/b", &card, &files, None);
                let all = all.map_err(|error| error.to_string());
                let error = all.and_then(|layout| found(layout, None));
                assert!(error.is_err(), "{name}");
                continue;
            };
            for (config, splits) in configs {
                for (split, expected) in splits.as_object().unwrap() {
                    let layout = own("a/b", &card, &files, Some(config)).unwrap();
                    let (_, found) = found(layout, Some(split)).unwrap();
                    let expected = expected.as_array().unwrap();
                    let expected: Vec<&str> =
                        expected.iter().map(|path| path.as_str().unwrap()).collect();
                    assert_eq!(found, expected, "{name}: {config}, {split}");
                }
                let layout = own("a/b", &card, &files, Some(config)).unwrap();
                let names = layout.splits.iter().map(|split| split.name.as_str());
                let names: Vec<&str> = names.collect();
                let expected: Vec<&String> = splits.as_object().unwrap().keys().collect();
                assert_eq!(names, expected, "{name}: {config}");
            }
            let default = own("a/b", &card, &files, None);
            match layout["default"].as_str() {
                Some(expected) => assert_eq!(default.unwrap().config.unwrap(), expected, "{name}"),
                None => assert_eq!(default.is_err(), configs.len() > 1, "{name}"),
            }
        }
    }

    #[test]
    fn what_is_not_there_is_said_with_what_is() {
        let card = "---\nconfigs:\n- {config_name: a, data_files: x.jsonl}\n- {config_name: b, data_files: [{split: s, path: '*.csv'}, {split: t, path: y.jsonl}]}\n---\n";
        let card = Card::parse(card).unwrap();
        let files = tree(["x.jsonl", "y.jsonl", "z.json"]);
        let error = |config: Option<&str>, split: Option<&str>| {
            let layout = own("a/b", &card, &files, config);
            let layout = layout.map_err(|error| error.to_string());
            layout.and_then(|layout| found(layout, split)).unwrap_err()
        };
        assert!(error(None, None).ends_with("has several configs: `a`, `b`"));
        assert!(error(Some("c"), None).ends_with("has no config `c`; its configs are `a`, `b`"));
        assert!(error(Some("b"), None).ends_with("has no split `train`; its splits are `s`, `t`"));
        assert!(error(Some("a"), Some("s")).ends_with("has no split `s`; its splits are `train`"));
        assert!(error(Some("b"), Some("s")).ends_with("is empty: no file matches `*.csv`"));
        let none = Card::default();
        let error = |paths: &[&str]| {
            let files = tree(paths.iter().copied());
            let layout = own("a/b", &none, &files, None).unwrap();
            found(layout, None).unwrap_err()
        };
        let unread = error(&["a.json", "b.json", "c.jsonl", "d.pdf"]);
        assert!(
            unread.ends_with("can be read, but 2 .json, 1 .jsonl, 1 .pdf"),
            "{unread}"
        );
        assert!(error(&["README.md"]).ends_with("can be read"));
    }

    #[test]
    fn conversions_have_configs_and_splits() {
        let files = tree([
            ".gitattributes",
            "de/partial-train/0000.parquet",
            "de/partial-train/0001.parquet",
            "de/test/0000.parquet",
            "default/validation/0000.parquet",
        ]);
        let card = Card::default();
        let of = |config| converted("a/b", &card, &files, config).unwrap();
        let train = [
            "de/partial-train/0000.parquet",
            "de/partial-train/0001.parquet",
        ];
        let is_partial = |split: &Split<'_>| (split.name.clone(), split.is_partial);
        let is_partial: Vec<_> = of(Some("de")).splits.iter().map(is_partial).collect();
        assert_eq!(is_partial, [("train".into(), true), ("test".into(), false)]);
        let (split, paths) = found(of(Some("de")), None).unwrap();
        assert_eq!(
            (split.as_str(), paths),
            ("train", train.map(str::to_owned).to_vec())
        );
        let (split, _) = found(of(None), None).unwrap();
        assert_eq!(split, "validation");
        assert!(converted("a/b", &card, &files, Some("x")).is_err());
    }
}
