use super::*;
use serde_json::json;

fn template(source: &str) -> ChatTemplate {
    let tokens = [("bos_token", "<s>"), ("eos_token", "</s>")];
    let tokens = tokens.map(|(name, token)| (name.to_owned(), token.to_owned()));
    ChatTemplate::new(source, tokens.into(), "2026-02-03".parse().unwrap()).unwrap()
}

/// The parts of a conversation, as `role: text`.
fn parts(source: &str, messages: Json) -> Result<Vec<String>, String> {
    let messages: Vec<Fields> = serde_json::from_value(messages).unwrap();
    let messages: Vec<&Fields> = messages.iter().collect();
    let found = template(source)
        .apply(&messages)
        .map_err(|error| error.to_string())?;
    let part = |part: &Part| format!("{}: {}", part.role, &found.text[part.range.clone()]);
    Ok(found.parts.iter().map(part).collect())
}

fn conversation(turns: &[(&str, &str)]) -> Json {
    turns
        .iter()
        .map(|(role, content)| json!({"role": role, "content": content}))
        .collect()
}

const TWO: [(&str, &str); 5] = [
    ("system", "s"),
    ("user", "q"),
    ("assistant", "a"),
    ("user", "r"),
    ("assistant", "b"),
];

#[test]
fn a_part_is_what_the_text_gains_by_a_message() {
    let source = "{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content }};{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}";
    let expected = [
        "system: [system]s;",
        "user: [user]q;",
        "assistant: a;",
        "user: [user]r;",
        "assistant: b;",
    ];
    assert_eq!(parts(source, conversation(&TWO)).unwrap(), expected);
    // nothing is known of a prompt that is not there
    let source = source.replace("[assistant]{% endif %}", "<s>{% endif %}");
    assert_eq!(parts(&source, conversation(&TWO)).unwrap(), expected);
}
