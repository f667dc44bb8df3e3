//! Chat templates: conversations to text, as transformers renders them, and which part of the text is whose.
//!
//! A template sees what transformers shows it: `messages`, `add_generation_prompt`, `tools` and `documents` (none), the
//! special tokens, `raise_exception`, `strftime_now`, `tojson` and Python's methods of strings and dicts. What stands in
//! `{% generation %}` is what the model itself would write.

mod day;
mod error;
mod generation;
mod parts;
mod python;

use std::collections::BTreeMap;
use std::ops::Range;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, ErrorKind, Value};
use serde_json::{Map, Value as Json};
use sha2::{Digest, Sha256};

use crate::files::hex;

pub use day::Day;
pub use error::ChatError;
pub use parts::{Conversation, Part};

use error::Raised;
use generation::{CLOSE, OPEN};

/// A message of a conversation: its fields.
pub type Fields = Map<String, Json>;

/// The name that errors of templates show.
const NAME: &str = "chat template";

/// What a template may use up for one text: about one for each instruction and for each 64 bytes.
const FUEL: u64 = 1 << 24;

/// A chat template, ready to be rendered.
pub struct ChatTemplate {
    /// Renders the text.
    plain: Environment<'static>,
    /// Renders the text with marks around what stands in `{% generation %}`, if the template has such blocks.
    marked: Option<Environment<'static>>,
    special_tokens: BTreeMap<String, String>,
    sha256: String,
    day: Day,
    /// Whether the day was chosen.
    is_day_fixed: bool,
    /// Whether its texts depend on the day.
    uses_day: bool,
}

impl ChatTemplate {
    /// Compiles a template. `special_tokens` are `bos_token`, `eos_token` and so on; `day` is what `strftime_now` shows,
    /// today if not given.
    pub fn new(
        source: &str,
        special_tokens: BTreeMap<String, String>,
        day: Option<Day>,
    ) -> Result<Self, ChatError> {
        let is_day_fixed = day.is_some();
        let day = day.unwrap_or_else(Day::today);
        let lines = source.replace("\r\n", "\n").replace('\r', "\n");
        let (called, has_generation) = generation::as_calls(&lines);
        let environment = |is_marked| {
            environment(called.clone(), is_marked, day).map_err(|error| ChatError::Syntax {
                line: error.line(),
                reason: reason(&error),
            })
        };
        Ok(Self {
            plain: environment(false)?,
            marked: has_generation.then(|| environment(true)).transpose()?,
            special_tokens,
            sha256: hex(&Sha256::digest(source.as_bytes())),
            day,
            is_day_fixed,
            uses_day: source.contains("strftime_now"),
        })
    }

    /// SHA-256 of its source.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// The special tokens that it sees.
    pub fn special_tokens(&self) -> &BTreeMap<String, String> {
        &self.special_tokens
    }

    /// The day in its texts, if they depend on it.
    pub fn day(&self) -> Option<Day> {
        self.uses_day.then_some(self.day)
    }

    /// Whether texts that were rendered on a day are what it makes of their messages.
    pub fn accepts_day(&self, day: Option<Day>) -> bool {
        day.is_some() == self.uses_day && (!self.is_day_fixed || day == self.day())
    }

    /// The text of a conversation; `prompt` asks for the beginning of the model's next message after it.
    pub fn render(&self, messages: &[&Fields], prompt: bool) -> Result<String, ChatError> {
        let messages: Vec<Value> = messages
            .iter()
            .map(|fields| python::message(fields))
            .collect();
        self.render_values(&self.plain, &messages, prompt)
    }

    /// The text of a conversation, with the parts of its messages. `go_on` is asked between one message and the next, since the
    /// time that a conversation takes grows with the square of their number.
    pub fn apply(
        &self,
        messages: &[&Fields],
        go_on: &dyn Fn() -> bool,
    ) -> Result<Conversation, ChatError> {
        parts::conversation(self, messages, go_on)
    }

    fn render_values(
        &self,
        environment: &Environment<'static>,
        messages: &[Value],
        prompt: bool,
    ) -> Result<String, ChatError> {
        let mut context: BTreeMap<String, Value> = (self.special_tokens.iter())
            .map(|(name, token)| (name.clone(), Value::from(token)))
            .collect();
        context.insert("messages".into(), Value::from(messages));
        context.insert("tools".into(), Value::from(()));
        context.insert("documents".into(), Value::from(()));
        context.insert("add_generation_prompt".into(), Value::from(prompt));
        let rendered = environment
            .get_template(NAME)
            .and_then(|template| template.render(context));
        rendered.map_err(|error| match Raised::of(&error) {
            Some(message) => ChatError::Raised(message.to_owned()),
            None => ChatError::Render {
                line: error.line(),
                reason: reason(&error),
            },
        })
    }

    /// What stands in `{% generation %}` in the text of a conversation; `None` without such blocks.
    fn generated(
        &self,
        messages: &[&Fields],
        text: &str,
    ) -> Result<Option<Vec<Range<usize>>>, ChatError> {
        let Some(environment) = &self.marked else {
            return Ok(None);
        };
        let messages: Vec<Value> = (messages.iter())
            .map(|fields| python::message(&generation::without_marks(fields)))
            .collect();
        let marked = self.render_values(environment, &messages, false)?;
        let (found, spans) = generation::spans(&marked);
        match found == text.replace([OPEN, CLOSE], generation::INSTEAD) {
            true => Ok(Some(spans)),
            false => Err(ChatError::Generation),
        }
    }
}

fn environment(source: String, is_marked: bool, day: Day) -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build()?;
    environment.set_syntax(syntax);
    environment.set_fuel(Some(FUEL));
    python::add_to(&mut environment, day);
    generation::add_to(&mut environment, is_marked);
    environment.add_template_owned(NAME, source)?;
    Ok(environment)
}

/// What an error of minijinja says, without the place.
fn reason(error: &Error) -> String {
    if error.kind() == ErrorKind::OutOfFuel {
        return "it was stopped because it does too much".into();
    }
    match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    }
}

#[cfg(test)]
mod tests;
