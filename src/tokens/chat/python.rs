//! What templates expect of Python: its JSON, its numbers, its methods.

use std::fmt::Write;

use minijinja::value::{Kwargs, Rest, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, Value};
use minijinja_contrib::pycompat;
use serde_json::Value as Json;

use super::Fields;
use super::day::Day;
use super::error::Raised;

/// The names under which a message's reasoning is passed.
const REASONING: [&str; 3] = ["reasoning_content", "thinking", "reasoning"];

/// Adds the functions, filters and tests that transformers gives its templates.
pub(super) fn add_to(environment: &mut Environment<'static>, day: Day) {
    environment.set_unknown_method_callback(method);
    environment.add_function(
        "raise_exception",
        |message: String| -> Result<Value, Error> {
            let error = Error::new(ErrorKind::InvalidOperation, message.clone());
            Err(error.with_source(Raised(message)))
        },
    );
    environment.add_function("strftime_now", move |format: &str| {
        (day.strftime(format)).map_err(|reason| Error::new(ErrorKind::InvalidOperation, reason))
    });
    environment.add_filter("tojson", to_json);
    // in Python texts are sequences as well, and so are mappings
    environment.add_test("sequence", |value: &Value| {
        let kinds = [ValueKind::Seq, ValueKind::String, ValueKind::Map];
        kinds.contains(&value.kind())
    });
}

/// A message as transformers shows it to templates: without what is null, its reasoning under two names.
pub(super) fn message(fields: &Fields) -> Value {
    let is_there = |name: &&&str| fields.get(**name).is_some_and(|value| !value.is_null());
    let reasoning = REASONING.iter().find(is_there);
    let reasoning = reasoning.map(|name| &fields[*name]);
    let mut shown = Fields::new();
    if let Some(reasoning) = reasoning {
        shown.insert("thinking".into(), reasoning.clone());
    }
    let own = fields.iter().filter(|(_, value)| !value.is_null());
    shown.extend(own.map(|(name, value)| (name.clone(), value.clone())));
    if let Some(reasoning) = reasoning {
        shown.insert("reasoning_content".into(), reasoning.clone());
    }
    object(&shown)
}

fn object(fields: &Fields) -> Value {
    let pairs = fields.iter();
    Value::from_pairs(pairs.map(|(name, value)| (name.as_str(), value_of(value))))
}

fn value_of(json: &Json) -> Value {
    match json {
        Json::Null => Value::from(()),
        Json::Bool(value) => Value::from(*value),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Value::from(number),
            (None, Some(number)) => Value::from(number),
            (None, None) => Value::from(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(values) => values.iter().map(value_of).collect(),
        Json::Object(fields) => object(fields),
    }
}

/// Python's methods that minijinja's own list lacks.
fn method(state: &mut State, value: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    let texts: Option<Vec<&str>> = args.iter().map(Value::as_str).collect();
    let found = match (value.as_str(), name, texts.as_deref()) {
        (Some(text), "removeprefix", Some(&[prefix])) => {
            Value::from(text.strip_prefix(prefix).unwrap_or(text))
        }
        (Some(text), "removesuffix", Some(&[suffix])) => {
            Value::from(text.strip_suffix(suffix).unwrap_or(text))
        }
        (Some(text), "partition", Some(&[separator])) => {
            let (before, after) = text.split_once(separator).unwrap_or((text, ""));
            let separator = &separator[..separator.len() * usize::from(before.len() < text.len())];
            [before, separator, after].into_iter().collect()
        }
        (Some(text), "rpartition", Some(&[separator])) => {
            let (before, after) = text.rsplit_once(separator).unwrap_or(("", text));
            let separator = &separator[..separator.len() * usize::from(after.len() < text.len())];
            [before, separator, after].into_iter().collect()
        }
        _ => return pycompat::unknown_method_callback(state, value, name, args),
    };
    Ok(found)
}

/// `json.dumps` with the options that transformers' `tojson` takes.
fn to_json(value: &Value, options: Rest<Value>, kwargs: Kwargs) -> Result<String, Error> {
    let option = |at: usize, name: &str| -> Result<Value, Error> {
        Ok(match options.get(at) {
            Some(value) => value.clone(),
            None => kwargs.get::<Option<Value>>(name)?.unwrap_or_default(),
        })
    };
    let ascii = option(0, "ensure_ascii")?.is_true();
    let indent = option(1, "indent")?;
    let separators = option(2, "separators")?;
    let sort_keys = option(3, "sort_keys")?.is_true();
    kwargs.assert_all_used()?;
    let indent = match (indent.as_i64(), indent.as_str()) {
        (Some(n), _) if indent.is_integer() => Some(" ".repeat(n.clamp(0, 64) as usize)),
        (_, text) => text.map(str::to_owned),
    };
    let between = if indent.is_some() { "," } else { ", " };
    let (between, after_key) = match separators.kind() {
        ValueKind::Seq => {
            let both = [0, 1].map(|at| separators.get_item_by_index(at));
            let [between, after_key] = both;
            (between?.to_string(), after_key?.to_string())
        }
        _ => (between.to_owned(), ": ".to_owned()),
    };
    let mut writer = Writer {
        out: String::new(),
        ascii,
        indent,
        between,
        after_key,
        sort_keys,
        depth: 0,
    };
    writer.value(value)?;
    Ok(writer.out)
}

/// Writes JSON as Python does.
struct Writer {
    out: String,
    ascii: bool,
    indent: Option<String>,
    between: String,
    after_key: String,
    sort_keys: bool,
    depth: usize,
}

/// The deepest value that is written.
const MOST_DEPTH: usize = 200;

impl Writer {
    fn value(&mut self, value: &Value) -> Result<(), Error> {
        match value.kind() {
            ValueKind::None => self.out.push_str("null"),
            ValueKind::Bool => self.out.push_str(match value.is_true() {
                true => "true",
                false => "false",
            }),
            ValueKind::Number => self.out.push_str(&number(value)),
            ValueKind::String => self.text(value.as_str().unwrap_or_default()),
            ValueKind::Seq | ValueKind::Iterable => {
                let values: Vec<Value> = value.try_iter()?.collect();
                self.list('[', ']', &values, Self::value)?;
            }
            ValueKind::Map => {
                let mut keys: Vec<Value> = value.try_iter()?.collect();
                if self.sort_keys {
                    keys.sort();
                }
                self.list('{', '}', &keys, |writer, key| {
                    match key.as_str() {
                        Some(name) => writer.text(name),
                        None => {
                            let name = match key.kind() {
                                ValueKind::None => "null".to_owned(),
                                ValueKind::Bool => key.to_string().to_lowercase(),
                                _ => number(key),
                            };
                            writer.text(&name);
                        }
                    }
                    writer.out.push_str(&writer.after_key.clone());
                    writer.value(&value.get_item(key)?)
                })?;
            }
            kind => {
                return Err(Error::new(
                    ErrorKind::InvalidOperation,
                    format!("{kind} cannot be written as JSON"),
                ));
            }
        }
        Ok(())
    }

    fn list(
        &mut self,
        open: char,
        close: char,
        values: &[Value],
        mut write: impl FnMut(&mut Self, &Value) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.out.push(open);
        self.depth += 1;
        if self.depth > MOST_DEPTH {
            return Err(Error::new(
                ErrorKind::InvalidOperation,
                "the value is nested too deeply to be written as JSON",
            ));
        }
        for (at, value) in values.iter().enumerate() {
            if at > 0 {
                self.out.push_str(&self.between.clone());
            }
            self.line();
            write(self, value)?;
        }
        self.depth -= 1;
        if !values.is_empty() {
            self.line();
        }
        self.out.push(close);
        Ok(())
    }

    fn line(&mut self) {
        if let Some(indent) = &self.indent {
            self.out.push('\n');
            self.out.push_str(&indent.repeat(self.depth));
        }
    }

    fn text(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            match c {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\u{8}' => self.out.push_str("\\b"),
                '\u{c}' => self.out.push_str("\\f"),
                c if c < ' ' || (self.ascii && c > '\u{7f}') => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        let _ = write!(self.out, "\\u{unit:04x}"); // into a string, which takes all
                    }
                }
                c => self.out.push(c),
            }
        }
        self.out.push('"');
    }
}

/// A number as Python writes it.
fn number(value: &Value) -> String {
    match f64::try_from(value.clone()) {
        Ok(number) if !value.is_integer() => float(number),
        _ => value.to_string(),
    }
}

/// The shortest digits that are read as the same number, as Python arranges them.
fn float(number: f64) -> String {
    if !number.is_finite() {
        let word = if number.is_nan() { "NaN" } else { "Infinity" };
        return format!("{}{word}", if number < 0.0 { "-" } else { "" });
    }
    let scientific = format!("{number:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    match exponent {
        -4..16 => format!("{number:?}"),
        _ => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.abs())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_python_writes_them() {
        for (value, expected) in [
            (1.0, "1.0"),
            (-0.5, "-0.5"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.5e22, "1.5e+22"),
            (0.0001, "0.0001"),
            (1e-5, "1e-05"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(float(value), expected);
        }
    }
}
