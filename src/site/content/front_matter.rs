//! What stands before a page's text: TOML between two lines of `+++`.

use serde::Deserialize;

/// Bytes of the longest front matter.
const LONGEST: usize = 20_000;

/// Front matter, without the keys that mean nothing here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct FrontMatter {
    pub(super) title: Option<String>,
    pub(super) description: Option<String>,
    pub(super) author: Option<String>,
    pub(super) date: Option<Date>,
    /// Place in the menu; without one, a page is not in it.
    pub(super) menu: Option<i32>,
}

const KEYS: [&str; 5] = ["title", "description", "author", "date", "menu"];

/// A date of TOML, or one in words.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Date {
    Toml(toml::value::Datetime),
    Words(String),
}

impl From<Date> for String {
    fn from(date: Date) -> Self {
        match date {
            Date::Toml(date) => date.to_string(),
            Date::Words(words) => words,
        }
    }
}

/// What is wrong with front matter.
#[derive(Debug)]
pub(super) enum Wrong {
    Toml(String),
    /// It is YAML, and would be this in TOML, if that is simple enough.
    Yaml(Option<String>),
}

/// A text's front matter, what it has unknown keys, and the Markdown after it.
pub(super) fn split(text: &str) -> Result<(FrontMatter, Vec<String>, &str), Wrong> {
    let begin = text.trim_start();
    let (mark, rest) = begin.split_once('\n').unwrap_or((begin, ""));
    match mark.trim_end() {
        "---" => match yaml(rest) {
            Some(toml) => Err(Wrong::Yaml(toml)),
            None => Ok((FrontMatter::default(), Vec::new(), text)),
        },
        "+++" => {
            let wrong = |reason: &str| Wrong::Toml(reason.to_owned());
            let end = end_of(rest, |line| line == "+++");
            let (front, markdown) =
                end.ok_or_else(|| wrong("it does not end: a second line of `+++` is missing"))?;
            if front.len() > LONGEST {
                return Err(wrong("it is longer than 20,000 bytes"));
            }
            let parsed = toml::from_str::<toml::Table>(front).and_then(|table| {
                let unknown = table.keys().filter(|key| !KEYS.contains(&key.as_str()));
                Ok((toml::from_str(front)?, unknown.cloned().collect()))
            });
            match parsed {
                Ok((front, unknown)) => Ok((front, unknown, markdown)),
                Err(error) => Err(wrong(error.to_string().trim_end())),
            }
        }
        _ => Ok((FrontMatter::default(), Vec::new(), text)),
    }
}

/// The key that an unknown one was probably meant to be.
pub(super) fn near(unknown: &str) -> Option<&'static str> {
    let lower = unknown.to_lowercase();
    let near = |key: &&str| strsim::osa_distance(&lower, key) <= 2;
    KEYS.into_iter().find(near)
}

/// A text's part before the line that ends it, and the part after that line.
fn end_of(text: &str, is_end: impl Fn(&str) -> bool) -> Option<(&str, &str)> {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if is_end(line.trim_end()) {
            return Some((&text[..at], &text[at + line.len()..]));
        }
        at += line.len();
    }
    None
}

/// If what follows a line of `---` is YAML, and not text below a rule: what it is in TOML, if it is simple.
fn yaml(rest: &str) -> Option<Option<String>> {
    let (front, _) = end_of(rest, |line| matches!(line, "---" | "..."))?;
    let mut lines = front
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    let mut toml = Some(String::new());
    if let Some(first) = lines.clone().next() {
        yaml_pair(first)?;
    }
    for line in &mut lines {
        let pair = yaml_pair(line).and_then(|(key, value)| Some((key, toml_value(value)?)));
        toml = toml
            .zip(pair)
            .map(|(lines, (key, value))| format!("{lines}    {key} = {value}\n"));
    }
    Some(toml)
}

fn yaml_pair(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once(':')?;
    let is_key = |key: &str| {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
        !key.is_empty() && key.chars().all(is_plain)
    };
    let fits = is_key(key.trim_end()) && (value.is_empty() || value.starts_with([' ', '\t', '\r']));
    fits.then(|| (key.trim_end(), value.trim()))
}

/// A value of YAML in TOML, unless it is a list, a mapping or a text of several lines.
fn toml_value(yaml: &str) -> Option<String> {
    let quotes = ['"', '\''];
    let quoted = quotes
        .iter()
        .find_map(|quote| yaml.strip_prefix(*quote)?.strip_suffix(*quote));
    let plain = || {
        format!("x = {yaml}")
            .parse::<toml::Table>()
            .ok()?
            .remove("x")
    };
    match (quoted, plain()) {
        (Some(text), _) => Some(toml::Value::from(text).to_string()),
        (None, Some(value)) if !value.is_array() && !value.is_table() => Some(value.to_string()),
        _ if yaml.is_empty()
            || yaml.starts_with(['[', '{', '|', '>', '&', '*', '!', '"', '\'']) =>
        {
            None
        }
        _ => Some(toml::Value::from(yaml).to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(text: &str) -> String {
        match split(text).unwrap_err() {
            Wrong::Toml(reason) => reason,
            Wrong::Yaml(toml) => format!("YAML {toml:?}"),
        }
    }

    #[test]
    fn dates_are_words_or_toml() {
        for (written, date) in [
            ("2024-05-01", "2024-05-01"),
            ("\"May 2024\"", "May 2024"),
            ("2024-05-01T10:00:00Z", "2024-05-01T10:00:00Z"),
        ] {
            for end in ["\n", "\r\n"] {
                let text = format!("+++{end}date = {written}{end}menu = 2{end}+++{end}words");
                let (front, unknown, rest) = split(&text).unwrap();
                assert_eq!((front.menu, rest), (Some(2), "words"));
                assert_eq!(front.date.map(String::from).as_deref(), Some(date));
                assert!(unknown.is_empty());
            }
        }
    }

    #[test]
    fn unknown_keys_are_named() {
        let (front, unknown, _) =
            split("\n+++ \ntitel = \"x\"\ntags = [\"a\"]\nmenu = 1\n+++\n").unwrap();
        assert_eq!((front.menu, front.title), (Some(1), None));
        assert_eq!(unknown, ["tags", "titel"]);
        assert_eq!(
            ["titel", "Title", "mneu", "tags", "athor"].map(near),
            [
                Some("title"),
                Some("title"),
                Some("menu"),
                None,
                Some("author")
            ]
        );
    }

    #[test]
    fn errors_say_why() {
        assert!(wrong("+++\ntitle = 1\n+++\n").contains("string"));
        assert!(wrong("+++\ntitle = \"x\"\n").contains("does not end"));
        assert!(
            wrong(&format!("+++\ntitle = \"{}\"\n+++\n", "x".repeat(LONGEST))).contains("20,000")
        );
        assert!(!wrong(&format!("+++\nx = {}\n+++\n", "[".repeat(9_000))).is_empty());
    }

    #[test]
    fn yaml_is_told_from_a_rule() {
        assert_eq!(
            wrong(
                "---\ntitle: About us\nmenu: 1\ndate: 2024-05-01\nauthor: 'A \"B\"'\n---\n\nWords."
            ),
            "YAML Some(\"    title = \\\"About us\\\"\\n    menu = 1\\n    date = 2024-05-01\\n    author = 'A \\\"B\\\"'\\n\")"
        );
        for text in [
            "---\r\ntitle: x\r\n---\r\n",
            "\n---\n# a comment\ntitle: x\n...\n",
            "--- \ntitle: x\n---",
            "---\n---\n",
        ] {
            assert!(wrong(text).starts_with("YAML Some"), "{text:?}");
        }
        assert_eq!(wrong("---\ntitle: x\ntags:\n  - a\n---\n"), "YAML None");
        for text in [
            "---\n\nWords: some\n",
            "---\nSome words here\n---\n",
            "words\n---\ntitle: x\n---\n",
            "----\na: b\n---\n",
            "",
            "---",
        ] {
            let (_, _, rest) = split(text).unwrap();
            assert_eq!(rest, text);
        }
    }
}
