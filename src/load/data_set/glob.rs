//! Patterns of paths, as `datasets` reads them (fsspec's, with `{a,b}` added).
//!
//! | pattern | matches |
//! |---|---|
//! | `*` | any part of a name; as a whole name, one that is not empty |
//! | `**` | as a whole name, any number of folders, or all that is in a folder; elsewhere, also across `/` |
//! | `?` | one character but `/` |
//! | `[ab0-9]`, `[!ab]` | one character that is among them, or is not |
//! | `{a,b}` | one of the texts |

use regex::Regex;

/// Length of a pattern.
const MOST_BYTES: usize = 4096;

/// A pattern of paths.
pub(super) struct Glob {
    regex: Regex,
    /// How many names of the pattern begin with `__`, the last one left out: folders that are not data unless they are named.
    n_special: usize,
}

fn n_special(path: &str) -> usize {
    let folders = path.rsplit_once('/').map_or("", |(folders, _)| folders);
    let names = folders.split('/');
    names.filter(|name| name.starts_with("__")).count()
}

impl Glob {
    pub(super) fn new(pattern: &str) -> Option<Self> {
        let pattern = pattern.strip_prefix("./").unwrap_or(pattern);
        if pattern.len() > MOST_BYTES {
            return None;
        }
        let regex = Regex::new(&format!("^(?s:{})$", translated(pattern))).ok()?;
        Some(Self {
            regex,
            n_special: n_special(pattern),
        })
    }

    pub(super) fn matches(&self, path: &str) -> bool {
        self.regex.is_match(path) && n_special(path) == self.n_special
    }
}

/// Whether a text is a pattern, and not a path alone.
pub(super) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '[', '{'])
}

fn translated(pattern: &str) -> String {
    let mut out = String::new();
    let mut names = pattern.split('/').peekable();
    while let Some(name) = names.next() {
        let is_last = names.peek().is_none();
        match name {
            "**" if is_last => out.push_str(".*"),
            "**" => {
                out.push_str("(?:.+/)?");
                continue;
            }
            "*" => out.push_str("[^/]+"),
            name => name_into(&mut out, name),
        }
        if !is_last {
            out.push('/');
        }
    }
    out
}

/// Writes a name, or a part of one, as a regular expression.
fn name_into(out: &mut String, name: &str) {
    let mut rest = name;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        rest = match c {
            '*' => match after.strip_prefix('*') {
                Some(after) => {
                    out.push_str(".*");
                    after
                }
                None => {
                    out.push_str("[^/]*");
                    after
                }
            },
            '?' => {
                out.push_str("[^/]");
                after
            }
            '[' => match class(after) {
                Some((class, after)) => {
                    out.push_str(&class);
                    after
                }
                None => literal(out, c, after),
            },
            '{' => match after.split_once('}') {
                Some((choices, after)) if choices.contains(',') => {
                    out.push_str("(?:");
                    for (i, choice) in choices.split(',').enumerate() {
                        out.push_str(if i > 0 { "|" } else { "" });
                        name_into(out, choice);
                    }
                    out.push(')');
                    after
                }
                _ => literal(out, c, after),
            },
            c => literal(out, c, after),
        };
    }
}

fn literal<'p>(out: &mut String, c: char, after: &'p str) -> &'p str {
    out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
    after
}

/// The class of characters that follows a `[`, as a regular expression, and what stands after it.
fn class(text: &str) -> Option<(String, &str)> {
    let (is_not, text) = match text.strip_prefix('!') {
        Some(text) => (true, text),
        None => (false, text),
    };
    // a `]` that stands first is one of the characters
    let end = text.char_indices().skip(1).find(|(_, c)| *c == ']')?.0;
    let members: Vec<char> = text[..end].chars().collect();
    let mut class = String::from(if is_not { "[^/" } else { "[" });
    let mut some = is_not;
    let mut at = 0;
    while let Some(&first) = members.get(at) {
        let last = match members.get(at + 1..at + 3) {
            Some(&['-', last]) => {
                at += 2;
                last
            }
            _ => first,
        };
        // a range that is empty has no characters
        if first <= last {
            let (first, last) = (u32::from(first), u32::from(last));
            class.push_str(&format!("\\x{{{first:x}}}-\\x{{{last:x}}}"));
            some = true;
        }
        at += 1;
    }
    if !some {
        class.push_str("^\\x{0}-\\x{10ffff}");
    }
    class.push(']');
    Some((class, &text[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn patterns_match_as_those_of_fsspec() {
        let matching = |pattern: &str| {
            let glob = Glob::new(pattern).unwrap();
            let paths = [
                "a.jsonl",
                "data/a.jsonl",
                "data/b/a.jsonl",
                "data/train-00000-of-00002.parquet",
                "data/train.parquet",
                "__pycache__/a.jsonl",
                "data/{x}.txt",
                "data/[y].txt",
            ];
            let matching = paths.into_iter().filter(|path| glob.matches(path));
            matching.collect::<Vec<_>>()
        };
        assert_eq!(matching("*"), ["a.jsonl"]);
        assert_eq!(matching("*.jsonl"), ["a.jsonl"]);
        assert_eq!(matching("./a.jsonl"), ["a.jsonl"]);
        assert_eq!(matching("a?jsonl"), ["a.jsonl"]);
        assert_eq!(matching("data/*.jsonl"), ["data/a.jsonl"]);
        assert_eq!(matching("*/*.jsonl"), ["data/a.jsonl"]);
        assert_eq!(matching("__*/*.jsonl"), ["__pycache__/a.jsonl"]);
        assert_eq!(matching("**/b/**"), ["data/b/a.jsonl"]);
        let all = ["a.jsonl", "data/a.jsonl", "data/b/a.jsonl"];
        assert_eq!(matching("**/*.jsonl"), all);
        assert_eq!(matching("**.jsonl"), all);
        assert_eq!(matching("**/[!b].jsonl"), all);
        assert_eq!(matching("data/**").len(), 6);
        let parquet = ["data/train-00000-of-00002.parquet", "data/train.parquet"];
        assert_eq!(matching("data/train[-._ 0-9]*"), parquet);
        assert_eq!(matching("data/train{-*,}.parquet"), parquet);
        assert_eq!(matching("data/{x}.txt"), ["data/{x}.txt"]);
        assert_eq!(matching("data/[[]y].txt"), ["data/[y].txt"]);
        assert_eq!(matching("data/[y.txt"), [""; 0]);
        assert_eq!(matching("data/[z-a]*"), [""; 0]);
        assert_eq!(matching("data/t[^]*"), [""; 0]);
        assert!(!is_pattern("data/train-1.jsonl"));
    }

    proptest! {
        #[test]
        fn any_text_is_a_pattern(text in "[a/*?\\[\\]{},!^\\\\&~.-]{0,12}|\\PC{0,12}", path in "[a/.]{0,8}") {
            let glob = Glob::new(&text).unwrap();
            glob.matches(&path);
            if !is_pattern(&text) && !text.starts_with("./") {
                prop_assert!(glob.matches(&text) == (n_special(&text) == glob.n_special));
            }
        }
    }
}
