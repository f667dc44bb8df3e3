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
        .apply(&messages, &|| true)
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
    // where nothing is asked of the model as it is written, its content is what it writes
    let other = source.replace("[assistant]{% endif %}", "<s>{% endif %}");
    assert_eq!(parts(&other, conversation(&TWO)).unwrap(), expected);
}

#[test]
fn what_a_template_says_by_itself_is_nobodys() {
    let source = "{% for m in messages %}{% if loop.first and m.role != 'system' %}[system]be brief;{% endif %}[{{ m.role }}]{{ m.content }};{% endfor %}{{ '[assistant]' if add_generation_prompt }}";
    let found = parts(source, conversation(&TWO[1..3])).unwrap();
    assert_eq!(found, ["user: [user]q;", "assistant: a;"]);
    let found = parts(source, conversation(&TWO[..2])).unwrap();
    assert_eq!(found, ["system: [system]s;", "user: [user]q;"]);
}

#[test]
fn what_goes_into_a_later_message_keeps_its_role() {
    let source = "{% for m in messages %}{% if m.role == 'user' %}[{% if loop.index0 == 1 and messages[0].role == 'system' %}<{{ messages[0].content }}>{% endif %}{{ m.content }}]{% elif m.role == 'assistant' %}{{ m.content }}.{% endif %}{% endfor %}";
    let found = parts(source, conversation(&TWO)).unwrap();
    assert_eq!(
        found,
        [
            "system: s",
            "user: q",
            "assistant: a.",
            "user: [r]",
            "assistant: b."
        ]
    );
}

#[test]
fn the_end_of_a_text_may_be_printed_in_another_way() {
    let source = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{{ ';' if not loop.last }}{% endfor %}{{ ';[assistant]' if add_generation_prompt }}";
    let found = parts(source, conversation(&TWO[1..])).unwrap();
    let expected = ["user: q", "assistant: a", "user: ;[user]r", "assistant: b"];
    assert_eq!(found, expected);
    // what was thought is printed in the last message only
    let source = "{% for m in messages %}[{{ m.role }}]{{ m.content if loop.last else m.content.split('>')[-1] }};{% endfor %}{{ '[assistant]' if add_generation_prompt }}";
    let thinking = [
        ("user", "q"),
        ("assistant", "<t>a"),
        ("user", "r"),
        ("assistant", "<t>b"),
    ];
    let found = parts(source, conversation(&thinking)).unwrap();
    assert_eq!(
        found,
        [
            "user: [user]q;",
            "assistant: a;",
            "user: [user]r;",
            "assistant: <t>b;"
        ]
    );
}

#[test]
fn what_nobody_can_tell_apart_is_an_error() {
    let source = "{% for m in messages %}{{ m.content }}{% endfor %}{% for m in messages %}{{ m.content }}{% endfor %}";
    let error = parts(source, conversation(&TWO[1..])).unwrap_err();
    assert!(
        error.contains("not prefix-stable") && error.contains("message 2 (`assistant`)"),
        "{error}"
    );
}

#[test]
fn what_is_generated_is_the_assistants() {
    let source = "{% for m in messages %}[{{ m.role }}]{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{% endgeneration %};{% else %}{{ m.content }};{% endif %}{% endfor %}";
    let mut turns = TWO;
    turns[1].1 = "\u{fdd0}q\u{fdd1}";
    let found = parts(source, conversation(&turns)).unwrap();
    let user = "user: [user]\u{fdd0}q\u{fdd1};";
    assert_eq!(
        found,
        [
            "system: [system]s;",
            user,
            "assistant: a",
            "user: [user]r;",
            "assistant: b"
        ]
    );
    let source = source.replace(
        "{{ m.content }}{% end",
        "{{ (m.content ~ 'x') | length }}{% end",
    );
    assert_eq!(
        parts(&source, conversation(&TWO)).unwrap()[2],
        "assistant: 2"
    );
    let source =
        "{% macro f() %}{% generation %}a{% endgeneration %}{% endmacro %}{{ f() | length }}";
    let error = parts(source, conversation(&TWO)).unwrap_err();
    assert!(error.contains("cannot be told"), "{error}");
}

#[test]
fn errors_say_what_the_template_says() {
    let error = |source: &str| match ChatTemplate::new(source, BTreeMap::new(), None) {
        Err(error) => error.to_string(),
        Ok(template) => {
            let messages: Vec<Fields> = serde_json::from_value(conversation(&TWO)).unwrap();
            let messages: Vec<&Fields> = messages.iter().collect();
            template.render(&messages, false).unwrap_err().to_string()
        }
    };
    for (source, expected) in [
        (
            "\n{% if %}",
            "syntax error: unexpected end of block (line 2)",
        ),
        ("{% generation %}", "syntax error"),
        (
            "{{ raise_exception('no ' ~ messages[0].role) }}",
            "the chat template refuses this conversation: no system",
        ),
        ("\n\n{{ messages.a.b }}", "fails (line 3)"),
        ("{{ nothing() }}", "fails (line 1)"),
        ("{{ strftime_now('%V') }}", "does not know `%V`"),
        (
            "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
            "it was stopped because it does too much",
        ),
    ] {
        let error = error(source);
        assert!(error.contains(expected), "{source}: {error}");
    }
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
            let found = match template.apply(&messages, &|| true) {
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
    // what the odd ones print depends on the number of messages
    unstable.retain(|name| !name.starts_with("odds "));
    assert_eq!(unstable, [""; 0]);
}
