use super::*;
use crate::tokens::Tokenizer;
use serde_json::json;

fn template(source: &str) -> ChatTemplate {
    let tokens = [("bos_token", "<s>"), ("eos_token", "</s>")];
    let tokens = tokens.map(|(name, token)| (name.to_owned(), token.to_owned()));
    ChatTemplate::new(source, tokens.into(), Some("2026-02-03".parse().unwrap())).unwrap()
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

#[derive(serde::Deserialize)]
struct Fixture {
    name: String,
    tokens: BTreeMap<String, String>,
    cases: Vec<Case>,
}

#[derive(serde::Deserialize)]
struct Case {
    messages: Vec<Fields>,
    text: Option<String>,
    ids: Option<Vec<u32>>,
    mask: Option<String>,
    prompted: Option<String>,
    error: Option<String>,
}

fn fixtures() -> Vec<(ChatTemplate, Fixture)> {
    let folder = format!("{}/tests/chat", env!("CARGO_MANIFEST_DIR"));
    let read = |name: &str| std::fs::read_to_string(format!("{folder}/{name}")).unwrap();
    let fixtures: Vec<Fixture> = serde_json::from_str(&read("cases.json")).unwrap();
    let with_template = |fixture: Fixture| {
        let source = read(&format!("templates/{}.jinja", fixture.name));
        let day = "2026-02-03".parse().unwrap();
        let template = ChatTemplate::new(&source, fixture.tokens.clone(), Some(day));
        (template.unwrap(), fixture)
    };
    fixtures.into_iter().map(with_template).collect()
}

/// What transformers makes of conversations: tests/chat/make.py.
#[test]
fn texts_are_those_of_transformers() {
    let mut wrong = Vec::new();
    for (template, fixture) in fixtures() {
        for (at, case) in fixture.cases.iter().enumerate() {
            let messages: Vec<&Fields> = case.messages.iter().collect();
            for (expected, prompt) in [(&case.text, false), (&case.prompted, true)] {
                let found = template.render(&messages, prompt);
                match (expected, &case.error, found) {
                    (_, Some(error), Err(ChatError::Raised(found))) if *error == found => (),
                    (Some(expected), None, Ok(found)) if *expected == found => (),
                    (expected, error, found) => wrong.push(format!(
                        "{} {at}: {found:?}\nexpected {expected:?} {error:?}",
                        fixture.name
                    )),
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn tokens_and_masks_are_those_of_transformers() {
    let path = format!("{}/tests/chat/tokenizer.json", env!("CARGO_MANIFEST_DIR"));
    let tokenizer = Tokenizer::from_json(&std::fs::read(path).unwrap(), None).unwrap();
    let (mut n_masks, mut unstable) = (0, Vec::new());
    for (template, fixture) in fixtures() {
        for (at, case) in fixture.cases.iter().enumerate() {
            let Some(expected) = &case.ids else { continue };
            let messages: Vec<&Fields> = case.messages.iter().collect();
            let name = format!("{} {at}", fixture.name);
            let text = case.text.as_ref().unwrap();
            let encoded = tokenizer.encode_with_places(text).unwrap();
            let ids: Vec<u32> = encoded.tokens.iter().map(|id| id.0).collect();
            assert_eq!(&ids, expected, "{name}");
            let found = match template.apply(&messages) {
                Ok(found) => found,
                Err(error) => {
                    unstable.push(format!("{name}: {error}"));
                    continue;
                }
            };
            assert_eq!(&found.text, text);
            if let Some(mask) = &case.mask {
                let is_own = |place| {
                    found
                        .part_at(place)
                        .is_some_and(|part| part.role == "assistant")
                };
                let own = encoded
                    .places
                    .iter()
                    .map(|place| if is_own(place) { '1' } else { '0' });
                assert_eq!(&own.collect::<String>(), mask, "{name}");
                n_masks += 1;
            }
        }
    }
    assert!(n_masks > 20, "{n_masks}");
    assert_eq!(unstable, [""; 0]);
}
