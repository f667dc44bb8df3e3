//! Reads some fields of a line of JSON and skips the rest.
//!
//! What stands in the others need not be what serde_json takes: Python's `json` writes `NaN` and lone surrogates, and
//! fields may be nested deeply or hold numbers of any size. They are passed over, in memory of a byte for each level.

/// The values of some fields, as they are written. A field is named by its key or, if there is no such key, by the path to
/// it: `meta.text`, `choices.0.text`. Of a key that is there twice, the last one counts, as in Python.
pub(super) fn fields<'a, const N: usize>(
    line: &'a [u8],
    names: [&str; N],
) -> Result<[Option<&'a [u8]>; N], String> {
    let paths = names.map(|name| name.split_once('.'));
    let mut cursor = Cursor { line, at: 0 };
    let mut values = [None; N];
    let mut firsts = [None; N]; // where paths begin
    cursor.expect(b'{')?;
    if !cursor.takes(b'}') {
        loop {
            let key = cursor.value()?;
            if !key.starts_with(b"\"") {
                return Err(format!("expected a name in quotes at byte {}", cursor.at));
            }
            cursor.expect(b':')?;
            let value = cursor.value()?;
            let named = names.iter().position(|name| is_name(key, name));
            if let Some(at) = named {
                values[at] = Some(value);
            }
            for (first, path) in firsts.iter_mut().zip(paths) {
                if path.is_some_and(|(step, _)| is_name(key, step)) {
                    *first = Some(value);
                }
            }
            if cursor.takes(b'}') {
                break;
            }
            cursor.expect(b',')?;
        }
    }
    cursor.space();
    if cursor.at < line.len() {
        return Err(format!("something follows it at byte {}", cursor.at));
    }
    for (at, path) in paths.into_iter().enumerate() {
        if let (None, Some(first), Some((_, rest))) = (values[at], firsts[at], path) {
            values[at] = inside(first, rest)?;
        }
    }
    Ok(values)
}

/// What a path leads to inside a value.
fn inside<'a>(value: &'a [u8], path: &str) -> Result<Option<&'a [u8]>, String> {
    match value.first() {
        Some(b'{') => Ok(fields(value, [path])?[0]),
        Some(b'[') => {
            let (step, rest) = path.split_once('.').unwrap_or((path, ""));
            let Ok(index) = step.parse::<usize>() else {
                return Ok(None);
            };
            let mut elements = Elements::of(value)?;
            for _ in 0..index {
                elements.next()?;
            }
            match (elements.next()?, rest) {
                (Some(element), "") => Ok(Some(element)),
                (Some(element), rest) => inside(element, rest),
                (None, _) => Ok(None),
            }
        }
        _ => Ok(None),
    }
}

/// The elements of a list, one after another.
pub(super) struct Elements<'a> {
    cursor: Cursor<'a>,
    /// Whether an element was read, so that a comma comes before the next one.
    is_begun: bool,
}

impl<'a> Elements<'a> {
    /// Begins a list.
    pub(super) fn of(list: &'a [u8]) -> Result<Self, String> {
        let mut cursor = Cursor { line: list, at: 0 };
        cursor.expect(b'[')?;
        Ok(Self {
            cursor,
            is_begun: false,
        })
    }

    /// Goes on at a place between two elements, or after the first bracket.
    pub(super) fn go_on(list: &'a [u8], at: usize, is_begun: bool) -> Self {
        let cursor = Cursor { line: list, at };
        Self { cursor, is_begun }
    }

    /// The next element, or `None` after the last one.
    pub(super) fn next(&mut self) -> Result<Option<&'a [u8]>, String> {
        if self.cursor.takes(b']') {
            self.cursor.at -= 1; // the end stays the end
            return Ok(None);
        }
        if std::mem::replace(&mut self.is_begun, true) {
            self.cursor.expect(b',')?;
        }
        self.cursor.value().map(Some)
    }

    /// Where the list goes on.
    pub(super) fn at(&self) -> usize {
        self.cursor.at
    }

    /// Fails unless nothing but space follows the end.
    pub(super) fn end(&mut self) -> Result<(), String> {
        self.cursor.expect(b']')?;
        self.cursor.space();
        match self.cursor.at == self.cursor.line.len() {
            true => Ok(()),
            false => Err(format!("something follows it at byte {}", self.cursor.at)),
        }
    }
}

/// Where a part of a line begins in it.
pub(super) fn offset(line: &[u8], part: &[u8]) -> usize {
    part.as_ptr() as usize - line.as_ptr() as usize
}

/// Whether a key with its quotes is a name.
fn is_name(key: &[u8], name: &str) -> bool {
    match key.contains(&b'\\') {
        true => serde_json::from_slice::<String>(key).is_ok_and(|key| key == name),
        false => key[1..key.len() - 1] == *name.as_bytes(),
    }
}

struct Cursor<'a> {
    line: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn space(&mut self) {
        let rest = &self.line[self.at..];
        let space = rest.iter().take_while(|byte| b" \t\r\n".contains(byte));
        self.at += space.count();
    }

    /// Whether a byte comes next; then it is passed.
    fn takes(&mut self, byte: u8) -> bool {
        self.space();
        let comes = self.line.get(self.at) == Some(&byte);
        self.at += usize::from(comes);
        comes
    }

    fn expect(&mut self, byte: u8) -> Result<(), String> {
        match self.takes(byte) {
            true => Ok(()),
            false => Err(format!(
                "expected `{}` at byte {}",
                char::from(byte),
                self.at
            )),
        }
    }

    /// Passes a value of any kind.
    fn value(&mut self) -> Result<&'a [u8], String> {
        self.space();
        let start = self.at;
        let mut open = Vec::new(); // what closes the objects and lists that are open
        loop {
            self.space();
            match self.line.get(self.at) {
                None => return Err("it ends too early".into()),
                Some(b'"') => self.string()?,
                Some(b'{') => self.open(&mut open, b'}'),
                Some(b'[') => self.open(&mut open, b']'),
                Some(byte @ (b'}' | b']')) => {
                    if open.pop() != Some(*byte) {
                        return Err(format!(
                            "unexpected `{}` at byte {}",
                            char::from(*byte),
                            self.at
                        ));
                    }
                    self.at += 1;
                }
                Some(b',' | b':') if !open.is_empty() => self.at += 1,
                Some(_) => self.literal()?,
            }
            if open.is_empty() {
                return Ok(&self.line[start..self.at]);
            }
        }
    }

    fn open(&mut self, open: &mut Vec<u8>, closing: u8) {
        open.push(closing);
        self.at += 1;
    }

    fn string(&mut self) -> Result<(), String> {
        let start = self.at;
        self.at += 1;
        loop {
            let rest = self.line.get(self.at..).unwrap_or_default();
            let next = rest.iter().position(|byte| matches!(byte, b'"' | b'\\'));
            let Some(next) = next else {
                return Err(format!("the quote at byte {start} is not closed"));
            };
            self.at += next + 1;
            match rest[next] {
                b'"' => return Ok(()),
                _ => self.at += 1, // what is escaped
            }
        }
    }

    fn literal(&mut self) -> Result<(), String> {
        let rest = &self.line[self.at..];
        let length = rest
            .iter()
            .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
        let literal = &rest[..length.count()];
        let known: [&[u8]; 6] = [
            b"true",
            b"false",
            b"null",
            b"NaN",
            b"Infinity",
            b"-Infinity",
        ];
        if !known.contains(&literal) && !is_number(literal) {
            return Err(format!("expected a value at byte {}", self.at));
        }
        self.at += literal.len();
        Ok(())
    }
}

/// Whether a literal is a number of JSON, of any size.
pub(super) fn is_number(literal: &[u8]) -> bool {
    let digits = |bytes: &[u8]| {
        bytes
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count()
    };
    let mut rest = literal.strip_prefix(b"-").unwrap_or(literal);
    let whole = digits(rest);
    if whole == 0 || (whole > 1 && rest[0] == b'0') {
        return false;
    }
    rest = &rest[whole..];
    if let Some(fraction) = rest.strip_prefix(b".") {
        match digits(fraction) {
            0 => return false,
            n => rest = &fraction[n..],
        }
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        let exponent = match exponent {
            [b'+' | b'-', digits @ ..] => digits,
            digits => digits,
        };
        match digits(exponent) {
            0 => return false,
            n => rest = &exponent[n..],
        }
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn text(line: &str) -> Result<Option<&[u8]>, String> {
        fields(line.as_bytes(), ["text"]).map(|[text]| text)
    }

    #[test]
    fn what_is_not_read_may_be_anything_that_python_writes() {
        for odd in [
            "NaN",
            "-Infinity",
            "[Infinity, NaN]",
            r#""\ud800""#,
            "1e999",
            r#"{"\udfff": "\ud83d"}"#,
            &"1".repeat(5000),
            &format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)),
        ] {
            for line in [
                format!(r#"{{"odd": {odd}, "text": "a"}}"#),
                format!(r#"{{"text": "a", "odd": {odd}}}"#),
            ] {
                assert_eq!(text(&line), Ok(Some(br#""a""#.as_slice())), "{odd:.40}");
            }
        }
        let twice = r#"{"text": "a", "\u0074ext": "b"}"#;
        assert_eq!(text(twice), Ok(Some(br#""b""#.as_slice())));
        assert_eq!(text(r#"{"other": 1}"#), Ok(None));
    }

    #[test]
    fn what_is_not_json_is_an_error() {
        for line in [
            "",
            "[]",
            "{",
            r#"{"text"}"#,
            r#"{"text": "a""#,
            r#"{"text": "a}"#,
            r#"{"text": "a"} x"#,
            r#"{"text": "a", "b": [1}}"#,
            r#"{"text": "a", "b": nan}"#,
            r#"{"text": "a", "b": 01}"#,
            r#"{"text": "a" "b": 1}"#,
            r#"{text: "a"}"#,
            r#"{"text": ]}"#,
        ] {
            assert!(text(line).is_err(), "{line}");
        }
    }

    #[test]
    fn paths_lead_into_objects_and_lists() {
        let line = br#"{"data": {"text": 1, "a.b": 2, "list": [[3, 4], {"text": "5"}]}, "data.text": 6, "odd": [NaN]}"#;
        for (path, expected) in [
            ("data.text", Some("6")),
            ("data.a.b", Some("2")),
            ("data.list.0.1", Some("4")),
            ("data.list.1.text", Some("\"5\"")),
            ("data.list.2", None),
            ("data.list.x", None),
            ("data.list.0.1.2", None),
            ("data.b", None),
            ("odd.0", Some("NaN")),
            ("other.text", None),
        ] {
            let [found] = fields(line, [path]).unwrap();
            assert_eq!(found, expected.map(str::as_bytes), "{path}");
        }
    }

    proptest! {
        #[test]
        fn whatever_serde_json_reads_is_read_the_same(line in "[{}\\[\\]\",:\\\\ a1e.-]{0,20}|\\{\"text\": ?(\"[a\\\\\"n]{0,4}\"|-?[0-9.e]{1,5}|\\[1, ?2\\])(, ?\"b\": ?(1|\"x\"))?\\}") {
            let found = text(&line);
            if let Ok(Value::Object(object)) = serde_json::from_str(&line) {
                let value = found.unwrap().map(|value| serde_json::from_slice::<Value>(value).unwrap());
                prop_assert_eq!(value.as_ref(), object.get("text"));
            }
        }
    }
}
