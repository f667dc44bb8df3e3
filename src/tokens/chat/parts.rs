//! Assigns each part of a conversation's text to a role.
//!
//! A message's part is what the text gains by it: the text of the messages up to it without that of those before it. Where
//! a template prints the end of a text in another way than its middle, three things are tried: the same difference behind
//! other messages, whether neighbours have one role anyway, and what changes in the text when only the message's content
//! does. If none of these works, the conversation is an error.

use std::ops::Range;

use serde_json::{Value as Json, json};

use super::error::ChatError;
use super::{ChatTemplate, Fields};

/// The role whose messages the model writes.
const ASSISTANT: &str = "assistant";

/// A conversation as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversation {
    /// The text.
    pub text: String,
    /// Its parts, in order, none of which overlap. What no message says lies between them.
    pub parts: Vec<Part>,
}

/// A part of a conversation's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its bytes in the text.
    pub range: Range<usize>,
    /// Whose it is.
    pub role: String,
}

impl Conversation {
    /// The part that a token belongs to, by its bytes in the text: what the assistant says if the token reaches into that,
    /// as in transformers' mask; else what is said first.
    pub fn part_at(&self, token: &Range<usize>) -> Option<&Part> {
        let first = self
            .parts
            .partition_point(|part| part.range.end <= token.start);
        let parts = self.parts[first..].iter();
        let mut reached = parts.take_while(|part| token.end > part.range.start);
        let first = reached.clone().next();
        reached.find(|part| part.role == ASSISTANT).or(first)
    }
}

/// The text of a conversation, and its parts.
pub(super) fn conversation(
    template: &ChatTemplate,
    messages: &[&Fields],
    go_on: &dyn Fn() -> bool,
) -> Result<Conversation, ChatError> {
    let text = template.render(messages, false)?;
    let generated = template.generated(messages, &text)?;
    let finder = Finder {
        template,
        messages,
        text: &text,
        go_on,
    };
    let mut parts = finder.parts(generated.is_some())?;
    if let Some(generated) = generated {
        parts = parts
            .into_iter()
            .flat_map(|part| without(part, &generated))
            .collect();
        parts.extend(generated.into_iter().map(|range| Part {
            range,
            role: ASSISTANT.into(),
        }));
        parts.sort_by_key(|part| part.range.start);
    }
    parts.retain(|part| !part.range.is_empty());
    Ok(Conversation { text, parts })
}

/// What is left of a part beside some ranges, which are in order.
fn without(part: Part, ranges: &[Range<usize>]) -> Vec<Part> {
    let Part { range, role } = part;
    let mut left = Vec::new();
    let mut start = range.start;
    let inside = ranges
        .iter()
        .filter(|other| other.start < range.end && other.end > range.start);
    for other in inside {
        left.push(start..other.start.max(start));
        start = other.end.max(start);
    }
    left.push(start..range.end.max(start));
    let part = |range| Part {
        range,
        role: role.clone(),
    };
    left.into_iter().map(part).collect()
}

fn role(message: &Fields) -> &str {
    message
        .get("role")
        .and_then(Json::as_str)
        .unwrap_or_default()
}

/// A message of a role that says nothing in particular.
fn plain(role: &str, content: &str) -> Fields {
    match json!({ "role": role, "content": content }) {
        Json::Object(fields) => fields,
        _ => Fields::new(),
    }
}

/// What a message says, if that is one text and nothing else.
fn content(message: &Fields) -> Option<&str> {
    let calls = message.get("tool_calls").and_then(Json::as_array);
    if calls.is_some_and(|calls| !calls.is_empty()) {
        return None;
    }
    match message.get("content")? {
        Json::String(text) => Some(text),
        Json::Array(parts) => match &parts[..] {
            [part] => part.get("text")?.as_str(),
            _ => None,
        },
        _ => None,
    }
}

/// A message that says something else.
fn with_content(message: &Fields, content: &str) -> Fields {
    let mut message = message.clone();
    match message.get_mut("content") {
        Some(Json::Array(parts)) => {
            if let Some(Json::Object(part)) = parts.first_mut() {
                part.insert("text".into(), content.into());
            }
        }
        _ => {
            message.insert("content".into(), content.into());
        }
    }
    message
}

/// Finds the parts of a text.
struct Finder<'a> {
    template: &'a ChatTemplate,
    messages: &'a [&'a Fields],
    text: &'a str,
    go_on: &'a dyn Fn() -> bool,
}

impl Finder<'_> {
    /// The parts; those of the assistant are not needed if it is known what was generated.
    fn parts(&self, is_generated: bool) -> Result<Vec<Part>, ChatError> {
        let n = self.messages.len();
        // where each message begins, as far as that can be told by itself
        let mut borders: Vec<Option<usize>> = Vec::with_capacity(n + 1);
        borders.push(Some(self.first()));
        for at in 1..n {
            self.check()?;
            let least = borders.iter().rev().copied().flatten().next().unwrap_or(0);
            let border = self.border(at).filter(|&border| border >= least);
            borders.push(border.filter(|&border| !self.is_moved(at - 1, least..border)));
        }
        borders.push(Some(self.text.len()));
        let mut parts = Vec::new();
        let mut start = 0;
        while start < n {
            self.check()?;
            let known = |at: &usize| borders[*at].is_some();
            let end = (start + 1..=n).find(known).unwrap_or(n);
            let range = borders[start].unwrap_or(0)..borders[end].unwrap_or(self.text.len());
            self.group(start..end, range, is_generated, &mut parts)?;
            start = end;
        }
        Ok(parts)
    }

    /// Fails if it is not to go on.
    fn check(&self) -> Result<(), ChatError> {
        match (self.go_on)() {
            true => Ok(()),
            false => Err(ChatError::Interrupted),
        }
    }

    /// Adds the parts of messages that are told from those around them, but not from each other.
    fn group(
        &self,
        messages: Range<usize>,
        range: Range<usize>,
        is_generated: bool,
        parts: &mut Vec<Part>,
    ) -> Result<(), ChatError> {
        let first = role(self.messages[messages.start]);
        if messages.clone().all(|at| role(self.messages[at]) == first) {
            let start = match first {
                ASSISTANT if is_generated => range.end,
                ASSISTANT => self.written(messages.start, &range),
                _ => range.start,
            };
            parts.push(Part {
                range: start..range.end,
                role: first.to_owned(),
            });
            return Ok(());
        }
        // text of the first message may stand anywhere before the others
        let least = if messages.start == 0 { 0 } else { range.start };
        let mut own = Vec::new();
        for at in messages.clone() {
            self.check()?;
            let role = role(self.messages[at]);
            if is_generated && role == ASSISTANT {
                continue;
            }
            let said = self.said(at);
            let said = said.filter(|said| least <= said.start && said.end <= range.end);
            let range = said.ok_or_else(|| self.unknown(messages.start))?;
            own.push(Part {
                range,
                role: role.to_owned(),
            });
        }
        own.sort_by_key(|part| (part.range.start, part.range.end));
        match own
            .windows(2)
            .all(|pair| pair[0].range.end <= pair[1].range.start)
        {
            true => parts.extend(own),
            false => return Err(self.unknown(messages.start)),
        }
        Ok(())
    }

    /// The error of messages from one on that cannot be told from each other.
    fn unknown(&self, first: usize) -> ChatError {
        ChatError::NotPrefixStable {
            message: first + 2,
            role: role(self.messages[first + 1]).to_owned(),
        }
    }

    /// The text of some messages, if the template takes them.
    fn render(&self, messages: &[&Fields]) -> Option<String> {
        self.template.render(messages, false).ok()
    }

    /// The text of the first messages, if the whole text begins with it.
    fn prefix(&self, n: usize) -> Option<String> {
        let prefix = self.render(&self.messages[..n])?;
        self.text.starts_with(&prefix).then_some(prefix)
    }

    /// What a message adds to the text of some others.
    fn added(&self, before: &[&Fields], message: &Fields) -> Option<String> {
        let start = self.render(before)?;
        let whole = self.render(&[before, &[message]].concat())?;
        let added = whole.strip_prefix(start.as_str())?;
        (!added.is_empty()).then(|| added.to_owned())
    }

    /// Where a message after the first begins.
    fn border(&self, at: usize) -> Option<usize> {
        if let Some(prefix) = self.prefix(at) {
            return Some(prefix.len());
        }
        // what the message before it says may change how it is printed, so it is replaced
        let prefix = self.prefix(at + 1)?;
        let roles = [role(self.messages[at - 1]), "user", ASSISTANT];
        roles.iter().find_map(|role| {
            let other = plain(role, "x");
            let before = [&self.messages[..at - 1], &[&other]].concat();
            let added = self.added(&before, self.messages[at])?;
            Some(prefix.strip_suffix(added.as_str())?.len())
        })
    }

    /// Where the first message begins: after what a template prints before all messages.
    fn first(&self) -> usize {
        let first = self.messages[0];
        let Some(prefix) = self.prefix(1) else {
            return self.said(0).map_or(0, |said| said.start);
        };
        let [system, user, assistant] = ["system", "user", ASSISTANT].map(|role| plain(role, "x"));
        let contexts: [&[&Fields]; 5] = [
            &[first],
            &[first, &assistant],
            &[&user],
            &[&user, &assistant],
            &[&system],
        ];
        let found = contexts.iter().find_map(|context| {
            let added = self.added(context, first)?;
            Some(prefix.strip_suffix(added.as_str())?.len())
        });
        let found = found.or_else(|| Some(self.said(0)?.start));
        found.unwrap_or(0)
    }

    /// Whether a message that has no part of its own shows in what comes after.
    fn is_moved(&self, at: usize, part: Range<usize>) -> bool {
        if !part.is_empty() || content(self.messages[at]).is_none_or(str::is_empty) {
            return false;
        }
        self.said(at)
            .is_some_and(|said| !said.is_empty() && said.end > part.end)
    }

    /// Where what the model writes begins in an assistant's message.
    fn written(&self, at: usize, range: &Range<usize>) -> usize {
        let is_inside = |place: &usize| range.contains(place) || *place == range.end;
        let prompted = self.template.render(&self.messages[..at], true).ok();
        let prompted = prompted.filter(|prompted| self.text.starts_with(prompted.as_str()));
        let place = prompted.map(|prompted| prompted.len()).filter(is_inside);
        let place = place.or_else(|| self.said(at).map(|said| said.start).filter(is_inside));
        place.unwrap_or(range.start)
    }

    /// Where the content of a message stands: what changes in the text with it.
    fn said(&self, at: usize) -> Option<Range<usize>> {
        let content = content(self.messages[at])?.trim();
        let ends = [content.chars().next(), content.chars().next_back()];
        let other = ['x', 'y', 'z']
            .into_iter()
            .find(|c| !ends.contains(&Some(*c)))?;
        let other = with_content(self.messages[at], &other.to_string());
        let mut messages = self.messages.to_vec();
        messages[at] = &other;
        let changed = self.render(&messages)?;
        let (a, b) = (self.text.as_bytes(), changed.as_bytes());
        let start = a.iter().zip(b).take_while(|(a, b)| a == b).count();
        let start = self.text.floor_char_boundary(start);
        let (a, b) = (&a[start..], &b[start..]);
        let same = a.iter().rev().zip(b.iter().rev());
        let same = same.take_while(|(a, b)| a == b).count();
        let end = self.text.ceil_char_boundary(self.text.len() - same);
        // nothing of it may be in the text at all
        (changed != self.text).then_some(start..end)
    }
}
