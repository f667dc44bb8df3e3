//! `{% generation %}` blocks, which say what the model itself would write.
//!
//! minijinja does not know them, so they become calls of a function: `{% call generation_span() %}`. It returns what stands
//! in the block, between marks where they are wanted.

use std::ops::Range;

use minijinja::value::Kwargs;
use minijinja::{Environment, Error, ErrorKind, State, Value};
use serde_json::Value as Json;

use super::Fields;

/// Stands before what was generated: not a character, for the use of programs.
pub(super) const OPEN: char = '\u{fdd0}';
/// Stands after what was generated.
pub(super) const CLOSE: char = '\u{fdd1}';
/// Stands for these two where messages have them; it is as long.
pub(super) const INSTEAD: &str = "\u{fdd2}";

/// The function that a block becomes a call of.
const FUNCTION: &str = "generation_span";

/// Replaces the tags of `{% generation %}` blocks by those of calls; also returns whether there are any.
pub(super) fn as_calls(source: &str) -> (String, bool) {
    let mut out = String::with_capacity(source.len());
    let mut found = false;
    let mut rest = source;
    while let Some(at) = rest.find('{') {
        let (before, tag) = rest.split_at(at);
        out.push_str(before);
        let end = match tag.as_bytes().get(1) {
            Some(b'#') => tag.find("#}").map(|end| end + 2),
            Some(b'{') => end_of(tag, "}}"),
            Some(b'%') => end_of(tag, "%}"),
            _ => Some(1),
        };
        // what is not closed is for the parser to say
        let (tag, after) = tag.split_at(end.unwrap_or(tag.len()));
        rest = after;
        match name(tag) {
            Some(name @ ("generation" | "endgeneration")) => {
                let call = match name {
                    "generation" => format!("call {FUNCTION}()"),
                    _ => "endcall".to_owned(),
                };
                out.push_str(&tag.replacen(name, &call, 1));
                found = true;
            }
            Some("raw") => {
                let end = after.find("endraw").unwrap_or(after.len());
                out.push_str(tag);
                out.push_str(&after[..end]);
                rest = &after[end..];
            }
            _ => out.push_str(tag),
        }
    }
    out.push_str(rest);
    (out, found)
}

/// The end of a tag, after `closing`, which does not count in a string.
fn end_of(tag: &str, closing: &str) -> Option<usize> {
    let mut quote = None;
    let mut is_escaped = false;
    for (at, c) in tag.char_indices().skip(2) {
        match quote {
            _ if is_escaped => is_escaped = false,
            Some(_) if c == '\\' => is_escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => (),
            None if matches!(c, '"' | '\'') => quote = Some(c),
            None if tag[at..].starts_with(closing) => return Some(at + closing.len()),
            None => (),
        }
    }
    None
}

/// The only word of a block's tag.
fn name(tag: &str) -> Option<&str> {
    let inner = tag.strip_prefix("{%")?.strip_suffix("%}")?;
    let inner = inner.strip_prefix(['-', '+']).unwrap_or(inner);
    let inner = inner.strip_suffix(['-', '+']).unwrap_or(inner);
    Some(inner.trim())
}

/// Adds the function that a block becomes a call of.
pub(super) fn add_to(environment: &mut Environment<'static>, is_marked: bool) {
    let span = move |state: &mut State, kwargs: Kwargs| -> Result<Value, Error> {
        let caller: Value = kwargs.get("caller")?;
        let body = caller.call(state, &[])?;
        let Some(body) = body.as_str() else {
            return Err(Error::new(
                ErrorKind::InvalidOperation,
                "a generation block is not text",
            ));
        };
        Ok(Value::from(match is_marked {
            true => format!("{OPEN}{body}{CLOSE}"),
            false => body.to_owned(),
        }))
    };
    environment.add_function(FUNCTION, span);
}

/// A message without the characters that are used as marks.
pub(super) fn without_marks(fields: &Fields) -> Fields {
    let pairs = fields.iter();
    pairs
        .map(|(name, value)| (name.clone(), replaced(value)))
        .collect()
}

fn replaced(value: &Json) -> Json {
    match value {
        Json::String(text) => Json::String(text.replace([OPEN, CLOSE], INSTEAD)),
        Json::Array(values) => Json::Array(values.iter().map(replaced).collect()),
        Json::Object(fields) => Json::Object(without_marks(fields)),
        other => other.clone(),
    }
}

/// A text without its marks, and what stood between them.
pub(super) fn spans(marked: &str) -> (String, Vec<Range<usize>>) {
    let mut text = String::with_capacity(marked.len());
    let mut spans = Vec::new();
    let mut starts = Vec::new();
    for c in marked.chars() {
        match c {
            OPEN => starts.push(text.len()),
            CLOSE => {
                // of blocks in one another the outer one counts
                if let (Some(start), true) = (starts.pop(), starts.is_empty()) {
                    spans.push(start..text.len());
                }
            }
            c => text.push(c),
        }
    }
    (text, spans)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tags_of_blocks_are_replaced() {
        let source = "{# {% generation %} #}{{ '{% generation %}' }}{% raw %}{% generation %}{% endraw %}{{ add_generation_prompt }}{%- if x == '%}' %}{ {%-generation -%}a{% endgeneration-%}";
        let expected = "{# {% generation %} #}{{ '{% generation %}' }}{% raw %}{% generation %}{% endraw %}{{ add_generation_prompt }}{%- if x == '%}' %}{ {%-call generation_span() -%}a{% endcall-%}";
        assert_eq!(as_calls(source), (expected.to_owned(), true));
        for unclosed in ["{", "{%", "{{ 'a", "{# ", "{% raw %}", "{% generation"] {
            assert_eq!(as_calls(unclosed), (unclosed.to_owned(), false));
        }
    }
}
