//! Scans of conversations: the text that a template makes of them, and the roles that count.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use candle_core::DType;
use neuroscope::ids::DocId;
use neuroscope::load::ModelFiles;
use neuroscope::tokens::store::TokenStore;
use serde_json::{Value, json};

use super::parts::assert_same;
use crate::conformance::compute;
use crate::support::{
    Project, change_json, copy, data_command, fail, model, scan_command, succeed,
};

const TEMPLATE: &str = "{{ bos_token }}{% for m in messages %}
{% if m.role == 'critic' %}{{ raise_exception('a critic speaks') }}{% endif %}
{{ '[' + m.role + '] ' + m.content + ';\n' }}
{%- endfor %}
{% if add_generation_prompt %}{{ '[assistant] ' }}{% endif %}";

/// Turns of a conversation: role and content.
type Turns = Vec<(&'static str, String)>;

fn conversations() -> Vec<Turns> {
    let user = |i: usize| {
        (
            "user",
            format!("the {}? <b>", "net sees naïve 漢 ".repeat(i % 4)),
        )
    };
    let assistant = |i: usize| ("assistant", format!("  see {i}, the netting <|bos|>"));
    let conversation = |i: usize| {
        let mut turns = vec![user(i), assistant(i)];
        if i.is_multiple_of(3) {
            turns.insert(0, ("system", "be seen".to_owned()));
        }
        if i.is_multiple_of(2) {
            turns.extend([user(i + 1), assistant(i + 7), user(i + 2)]);
        }
        turns
    };
    (0..12).map(conversation).collect()
}

/// The text of a conversation, and the bytes of it that the assistant says.
fn text(turns: &Turns) -> (String, Vec<bool>) {
    let (mut text, mut is_own) = (String::new(), Vec::new());
    for (role, content) in turns {
        text += &format!("[{role}] ");
        is_own.resize(text.len(), false);
        text += &format!("{content};\n");
        is_own.resize(text.len(), *role == "assistant");
    }
    (text, is_own)
}

/// A copy of the small model with a chat template.
fn chat_model(dir: &Path) -> PathBuf {
    let to = dir.join("chatty");
    copy(&model("llama"), &to);
    fs::write(to.join("chat_template.jinja"), TEMPLATE).unwrap();
    fs::write(
        to.join("tokenizer_config.json"),
        r#"{"bos_token": "<|bos|>"}"#,
    )
    .unwrap();
    to
}

fn chat_corpus(dir: &Path, conversations: &[Turns]) -> PathBuf {
    let path = dir.join("chats.jsonl");
    let line = |turns: &Turns| {
        let message = |(role, content): &(&str, String)| json!({"role": role, "content": content});
        let messages: Vec<Value> = turns.iter().map(message).collect();
        json!({ "messages": messages }).to_string() + "\n"
    };
    fs::write(&path, conversations.iter().map(line).collect::<String>()).unwrap();
    path
}

const MESSAGES: [&str; 2] = ["--messages-field", "messages"];
const ASSISTANT: [&str; 2] = ["--count-roles", "assistant"];

#[test]
fn only_what_the_assistant_says_is_counted() {
    let project = Project::new();
    let (model, all) = (chat_model(&project), conversations());
    let corpus = chat_corpus(&project, &all);
    let scan = || {
        let mut scan = scan_command(&project, &model, &corpus);
        scan.args(MESSAGES).args(ASSISTANT);
        scan
    };
    succeed(&mut scan());
    let atlas = project.atlas("chatty");
    let identity = &atlas.manifest().scan;
    assert_eq!(identity.policy.count_roles, ["assistant"]);
    let chat = identity.corpus.chat.as_ref().unwrap();
    assert_eq!(chat.bos, Some(0));
    assert_eq!(chat.roles, ["system", "user", "assistant"]);

    let files = ModelFiles::open(model.to_str().unwrap()).unwrap();
    let tokenizer = files.tokenizer().unwrap();
    let store = TokenStore::open(&project.data("chatty").join("corpus"), 1 << 16).unwrap();
    assert_eq!(store.role_names(), ["system", "user", "assistant"]);
    // the statistics of some neurons, over what is counted
    let (n_ctx, d_mlp) = (32, 37);
    let mut n_counted = 0;
    let mut values: Vec<Vec<f32>> = vec![Vec::new(); d_mlp];
    for (doc, turns) in (0..).map(DocId).zip(&all) {
        let (text, is_own) = text(turns);
        let tokens = tokenizer.encode(&text).unwrap();
        assert_eq!(store.tokens(doc, 0..store.len(doc)).unwrap(), tokens);
        let mut at = 0;
        let counted: Vec<bool> = (tokens.iter())
            .map(|&id| {
                let bytes = tokenizer.vocabulary().bytes(id).unwrap().len();
                at += bytes;
                // no token lies across a border: the template's marks stand between the texts
                is_own[at - 1] && !tokenizer.vocabulary().is_special(id)
            })
            .collect();
        assert_eq!(at, text.len());
        n_counted += counted.iter().filter(|is| **is).count() as u64;
        for (ids, counted) in tokens.chunks(n_ctx - 1).zip(counted.chunks(n_ctx - 1)) {
            let ids: Vec<u32> = [0].into_iter().chain(ids.iter().map(|id| id.0)).collect();
            let found = compute(&files, &ids, DType::F32);
            let rows = found["1.hook_post"].chunks(d_mlp).skip(1);
            for (row, _) in rows.zip(counted).filter(|(_, counted)| **counted) {
                (values.iter_mut().zip(row)).for_each(|(values, &value)| values.push(value));
            }
        }
    }
    assert!(n_counted > 100);
    assert_eq!(identity.policy.n_counted, Some(n_counted));
    let near = |a: f64, b: f64| (a - b).abs() <= 1e-4 * b.abs().max(1e-2);
    for neuron in atlas.layer(1).unwrap() {
        let neuron = neuron.unwrap();
        let values = &values[neuron.id.neuron as usize];
        let moments = &neuron.stats.moments;
        assert_eq!(moments.count, n_counted);
        let max = values.iter().copied().fold(f32::MIN, f32::max);
        let min = values.iter().copied().fold(f32::MAX, f32::min);
        assert!(near(moments.max.into(), max.into()) && near(moments.min.into(), min.into()));
        let sum: f64 = values.iter().map(|value| f64::from(*value)).sum();
        assert!(
            near(moments.sums.unwrap()[0], sum),
            "{}: {:?} {sum}",
            neuron.id,
            moments.sums
        );
    }

    let whole = project.neurons("chatty");
    let data = project.data("chatty");
    succeed(
        data_command(&project, "verify", &data)
            .arg("--model")
            .arg(&model)
            .arg("--full"),
    );
    let again = succeed(&mut scan());
    assert!(
        again.stderr.contains("is there already"),
        "{}",
        again.stderr
    );

    let split = Project::new();
    for (part, roles) in [
        ("1/2", ASSISTANT),
        ("0/2", ["--count-roles", "user"]),
        ("0/2", ASSISTANT),
    ] {
        let mut scan = scan_command(&split, &model, &corpus);
        scan.args(MESSAGES).args(roles);
        scan.args(["--part", part, "--batch-tokens", "40"]);
        match roles == ASSISTANT {
            true => succeed(&mut scan),
            false => fail(&mut scan, &["policy"]),
        };
    }
    let data = split.data("chatty");
    succeed(
        data_command(&split, "merge", &data)
            .arg("--model")
            .arg(&model),
    );
    assert_same(&whole, &split.neurons("chatty"));
    split.build(&[]);
}

/// Records say where the role of tokens changes, as the store has it.
#[test]
fn pages_show_turns() {
    let project = Project::new();
    let model = chat_model(&project);
    let corpus = chat_corpus(&project, &conversations());
    succeed(scan_command(&project, &model, &corpus).args(MESSAGES));
    project.build(&[]);
    let store = TokenStore::open(&project.data("chatty").join("corpus"), 1 << 16).unwrap();
    let mut seen: Vec<String> = Vec::new();
    for neuron in 0..37 {
        let record = project.record(&format!("chatty/1/{neuron}.html"));
        let columns = &record["examples"];
        for row in 0..columns["doc"].as_array().unwrap().len() {
            let doc = DocId(columns["doc"][row].as_u64().unwrap() as u32);
            let start = columns["start"][row].as_u64().unwrap() as usize;
            let n = STANDARD
                .decode(columns["values"][row].as_str().unwrap())
                .unwrap()
                .len();
            let row = row.to_string();
            let turns = columns["turns"][&row].as_array().unwrap().iter();
            let turns: Vec<_> = turns.map(|at| at.as_u64().unwrap() as usize).collect();
            let roles: Vec<String> =
                serde_json::from_value(columns["roles"][&row].clone()).unwrap();
            assert!(turns[0] == 0 && turns.len() == roles.len() && turns.is_sorted());
            let names = store.role_names();
            let end = (start + n).min(store.len(doc));
            for (at, role) in store
                .roles(doc, start..end)
                .unwrap()
                .unwrap()
                .iter()
                .enumerate()
            {
                let name = role
                    .0
                    .checked_sub(1)
                    .map_or("", |role| names[usize::from(role)]);
                let turn = turns.iter().rposition(|turn| *turn <= at).unwrap();
                assert_eq!(roles[turn], name);
            }
            seen.extend(roles);
        }
    }
    for role in ["system", "user", "assistant", ""] {
        assert!(seen.iter().any(|of| of == role), "{role}");
    }
}

#[test]
fn what_is_wrong_with_conversations_is_said_before_the_scan() {
    let project = Project::new();
    let model = chat_model(&project);
    let corpus = chat_corpus(&project, &conversations());
    let scan = |options: &[&str]| {
        let mut scan = scan_command(&project, &model, &corpus);
        scan.args(MESSAGES).args(options);
        scan
    };
    let roles = [
        "no message has the role `critic`",
        "`system`, `user`, `assistant`",
        "hint: ",
    ];
    fail(&mut scan(&["--count-roles", "assistant,critic"]), &roles);

    let mut with_critic = conversations();
    with_critic[1][1].0 = "critic";
    let corpus = chat_corpus(&project, &with_critic);
    let said = [
        "document `chats.jsonl:2`",
        "a critic speaks",
        "--skip-invalid",
    ];
    fail(&mut scan(&[]), &said);
    let skipped = succeed(&mut scan(&["--skip-invalid"]));
    assert!(
        skipped.stderr.contains("skipped 1 text:"),
        "{}",
        skipped.stderr
    );

    let other = Project::new();
    let template = other.join("other.jinja");
    fs::write(&template, "{% for m in messages %}").unwrap();
    let scan = |options: &[&str]| {
        let mut scan = scan_command(&other, &model, &corpus);
        scan.args(MESSAGES).args(options);
        scan
    };
    let path = template.to_str().unwrap();
    fail(
        &mut scan(&["--chat-template", path]),
        &["other.jinja", "syntax error"],
    );
    fail(
        &mut scan(&["--chat-template", "nowhere.jinja"]),
        &["cannot read `nowhere.jinja`"],
    );
    let unstable = "{% for m in messages %}{{ m.content }}{% endfor %}{% for m in messages %}{{ m.content }}{% endfor %}";
    fs::write(&template, unstable).unwrap();
    let said = ["document `chats.jsonl:1`", "not prefix-stable", "message 2"];
    fail(&mut scan(&["--chat-template", path]), &said);

    fs::remove_file(model.join("chat_template.jinja")).unwrap();
    fail(&mut scan(&[]), &["has no chat template", "--chat-template"]);
    change_json(&model.join("tokenizer_config.json"), |config| {
        config["chat_template"] = json!([{"name": "tools", "template": "x"}, {"name": "default", "template": "{% for m in messages %}{{ m.content }}{% endfor %}"}]);
    });
    succeed(&mut scan(&[]));

    let texts = Project::new().scan("llama", 3, &[]);
    let mut scan = scan_command(
        &texts,
        &crate::support::model("llama"),
        &texts.join("corpus.jsonl"),
    );
    fail(
        scan.args(ASSISTANT),
        &["`--count-roles` needs conversations", "--messages-field"],
    );
}
