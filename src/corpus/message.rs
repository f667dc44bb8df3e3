//! What a document says: a text, or the messages of a conversation.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What a document says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// A text.
    Text(String),
    /// The messages of a conversation, at least one.
    Messages(Vec<Message>),
}

impl Content {
    /// What the hash of a corpus covers: the text itself, or the messages as compact JSON.
    pub fn bytes(&self) -> Cow<'_, [u8]> {
        match self {
            Self::Text(text) => Cow::Borrowed(text.as_bytes()),
            Self::Messages(messages) => {
                Cow::Owned(serde_json::to_vec(messages).unwrap_or_default())
            }
        }
    }

    /// The text, unless it is a conversation.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Messages(_) => None,
        }
    }
}

/// A message of a conversation: an object with at least a string `role`, its fields in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Message(Map<String, Value>);

impl Message {
    /// Takes the fields of a message. ShareGPT's `from` and `value` become `role` and `content`.
    pub fn new(mut fields: Map<String, Value>) -> Result<Self, String> {
        if !fields.contains_key("role") && fields.contains_key("from") {
            fields = fields.into_iter().map(from_share_gpt).collect();
        }
        match fields.get("role") {
            Some(Value::String(_)) => Ok(Self(fields)),
            Some(_) => Err("its `role` is not a string".into()),
            None => Err("it has no `role`".into()),
        }
    }

    /// The messages of a value: a list of objects, or a string that holds such a list as JSON.
    pub(super) fn list(value: Value) -> Result<Vec<Self>, String> {
        let value = match value {
            Value::String(text) => serde_json::from_str(&text)
                .map_err(|error| format!("is a string that is not JSON: {error}"))?,
            value => value,
        };
        let Value::Array(values) = value else {
            return Err("is not a list of messages".into());
        };
        if values.is_empty() {
            return Err("holds no messages".into());
        }
        let message = |(at, value)| match value {
            Value::Object(fields) => {
                Self::new(fields).map_err(|reason| format!("holds message {}: {reason}", at + 1))
            }
            _ => Err(format!("holds message {}: it is not an object", at + 1)),
        };
        values.into_iter().enumerate().map(message).collect()
    }

    /// Who says it, such as `user` or `assistant`.
    pub fn role(&self) -> &str {
        self.0
            .get("role")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// All fields, `role` among them.
    pub fn fields(&self) -> &Map<String, Value> {
        &self.0
    }
}

/// A field of ShareGPT's messages under the name, and with the role, that templates know.
fn from_share_gpt((name, value): (String, Value)) -> (String, Value) {
    match (name.as_str(), value) {
        ("from", Value::String(role)) => {
            let role = match role.as_str() {
                "human" => "user",
                "gpt" => "assistant",
                other => other,
            };
            ("role".into(), role.into())
        }
        ("from", value) => ("role".into(), value),
        ("value", value) => ("content".into(), value),
        (_, value) => (name, value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn list(value: Value) -> Result<String, String> {
        let content = Content::Messages(Message::list(value)?);
        Ok(String::from_utf8(content.bytes().into_owned()).unwrap())
    }

    #[test]
    fn messages_keep_their_fields_in_order() {
        let messages =
            json!([{"content": "a", "role": "user", "tools": [1, null]}, {"role": "tool"}]);
        let expected =
            r#"[{"content":"a","role":"user","tools":[1,null]},{"role":"tool"}]"#.to_owned();
        assert_eq!(list(messages.clone()), Ok(expected.clone()));
        assert_eq!(list(Value::String(messages.to_string())), Ok(expected));
    }

    #[test]
    fn share_gpt_has_other_names() {
        let messages = json!([
            {"from": "system", "value": "a"},
            {"from": "human", "value": "b", "weight": 0},
            {"from": "gpt", "value": "c"},
        ]);
        let expected = r#"[{"role":"system","content":"a"},{"role":"user","content":"b","weight":0},{"role":"assistant","content":"c"}]"#;
        assert_eq!(list(messages), Ok(expected.into()));
    }

    #[test]
    fn what_is_not_a_list_of_messages_is_an_error() {
        for (value, reason) in [
            (json!("a"), "not JSON"),
            (json!("{}"), "is not a list of messages"),
            (json!([]), "holds no messages"),
            (json!(["a"]), "message 1: it is not an object"),
            (
                json!([{"role": "user"}, {"content": "a"}]),
                "message 2: it has no `role`",
            ),
            (json!([{"role": 1}]), "`role` is not a string"),
            (json!([{"from": null}]), "`role` is not a string"),
        ] {
            let error = list(value).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}
