//! What people write into `content/`, as they write it: front matter, marks of bytes, links, pictures, odd characters.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Project, files, model, scan_command, succeed};

/// Content does not change with what the weights say.
const NO_WEIGHTS: &[&str] = &["--no-analyze"];

fn project() -> Project {
    Project::new().scan("llama", 12, &["--name", "tiny"])
}

#[test]
fn front_matter_in_yaml_is_refused_with_what_to_write() {
    let project = project();
    for text in [
        "---\ntitle: About us\nmenu: 1\n---\n\nWords.\n",
        "\u{feff}---\r\ntitle: About us\r\nmenu: 1\r\n---\r\n\r\nWords.\r\n",
        "---\n# a comment\ntitle: \"About us\"\nmenu: 1\n...\nWords.\n",
    ] {
        project.write("content/about.md", text);
        project.build_refused(
            NO_WEIGHTS,
            &[
                "about.md",
                "YAML",
                "+++\n    title = \"About us\"\n    menu = 1\n    +++",
            ],
        );
        assert!(
            !project.join("site/index.html").exists(),
            "said before the work"
        );
    }
    // a rule above a text is a rule
    project.write("content/about.md", "---\n\nSome *words*.\n\n---\n");
    project.build(NO_WEIGHTS);
    let page = project.page("about.html");
    assert!(page.contains("<hr") && page.contains("Some <em>words</em>."));
}

#[test]
fn dates_are_read_and_unknown_keys_are_named() {
    let project = project();
    project.write(
        "content/a.md",
        "+++\ntitle = \"A\"\ndate = 2024-05-01\nmneu = 2\n+++\nWords.",
    );
    project.write(
        "content/b.md",
        "\u{feff}+++\r\ndate = \"May 2024\"\r\n+++\r\n# B\r\n",
    );
    project.write(
        "neuroscope.toml",
        "\u{feff}[site]\ntitle = \"With a mark\"\n",
    );
    project.write(
        "theme/templates/page.html",
        "\u{feff}{% extends \"neuroscope/page.html\" %}",
    );
    let said = project.build(NO_WEIGHTS);
    assert!(
        said.stderr.contains("a.md")
            && said.stderr.contains("`mneu`")
            && said.stderr.contains("`menu`"),
        "{}",
        said.stderr
    );
    assert!(project.page("a.html").contains("2024-05-01"));
    let b = project.page("b.html");
    assert!(
        b.contains("May 2024") && b.contains("With a mark") && b.starts_with("<!"),
        "{b}"
    );
    assert!(!b.contains('\u{feff}') && b.contains("B</h1>"));
    project.write("content/a.md", "+++\ntitle = \"A\"\n");
    project.build_refused(NO_WEIGHTS, &["a.md", "+++"]);
}

#[test]
fn links_between_markdown_files_lead_to_pages() {
    let project = project();
    project.write(
        "content/guide/start.md",
        "# Start\n\n[home](../index.md) [next](next.md#two) [it](../notes/tiny/0/1.md)",
    );
    project.write("content/guide/next.md", "## Two {#two}\n");
    project.write(
        "content/index.md",
        "[start](guide/start.md) [out](https://example.org/x.md) [no](missing.md)",
    );
    project.write(
        "content/notes/tiny/0/1.md",
        "[start](../../../guide/start.md)",
    );
    project.write("content/footer.md", "[start](guide/start.md)");
    let said = project.build(NO_WEIGHTS);
    assert!(
        said.stderr.contains("missing.md") && said.stderr.matches("leads to no file").count() == 1,
        "{}",
        said.stderr
    );
    let start = project.page("guide/start.html");
    for link in [
        "\"../index.html\"",
        "\"next.html#text-two\"",
        "\"../tiny/0/1.html\"",
    ] {
        assert!(start.contains(&format!("href={link}")), "{link}: {start}");
    }
    let home = project.page("index.html");
    assert!(
        home.contains("href=\"guide/start.html\"")
            && home.contains("href=\"https://example.org/x.md\"")
    );
    // in the note and in the footer of its page
    assert_eq!(
        project
            .page("tiny/0/1.html")
            .matches("href=\"../../guide/start.html\"")
            .count(),
        2
    );
    assert!(project.page("guide/next.html").contains("id=\"text-two\""));
}

#[test]
#[cfg(unix)]
fn links_of_the_file_system_are_followed_in_content() {
    use std::os::unix::fs::symlink;
    let project = project();
    project.write("about.md", "# About");
    project.write("more/deep.md", "# Deep");
    fs::create_dir(project.join("content")).unwrap();
    symlink(project.join("about.md"), project.join("content/about.md")).unwrap();
    symlink(project.join("more"), project.join("content/more")).unwrap();
    project.build(NO_WEIGHTS);
    assert!(
        project.page("about.html").contains("About")
            && project.page("more/deep.html").contains("Deep")
    );
    // one that leads nowhere, and a circle, are named
    symlink(project.join("nowhere.md"), project.join("content/lost.md")).unwrap();
    project.build_refused(NO_WEIGHTS, &["lost.md"]);
    fs::remove_file(project.join("content/lost.md")).unwrap();
    symlink(project.join("content"), project.join("content/circle")).unwrap();
    project.build_refused(NO_WEIGHTS, &["circle"]);
}

#[test]
fn nothing_of_other_hosts_is_loaded_and_no_text_turns_others() {
    let project = project();
    let text = "![x](https://a.invalid/x.png) <img src=\"//a.invalid/y.png\"> <b style=\"background:url(https://a.invalid/z)\">b</b> \
        [j](javascript:alert(1)) <a href=\"JaVaScRiPt:x\">j</a> <script src=\"https://a.invalid/s.js\"></script> \u{202e}turned &#x202e;too";
    project.write(
        "content/notes/tiny/0/1.md",
        format!("+++\ntitle = \"a\u{202e}b\"\n+++\n{text}"),
    );
    project.write("content/about.md", text);
    project.write(
        "content/explanations/tiny.jsonl",
        "\u{feff}{\"layer\": 0, \"neuron\": 2, \"text\": \"fires\u{202e} on \\u2066x\", \"author\": \"a\u{202d}b\"}\n",
    );
    let said = project.build(NO_WEIGHTS);
    assert!(said.stderr.contains("a.invalid/x.png"), "{}", said.stderr);
    for page in ["tiny/0/1.html", "about.html"] {
        let html = project.page(page).to_lowercase();
        assert!(
            !html.contains("javascript:") && !html.contains("a.invalid/s.js"),
            "{page}"
        );
        for loads in [
            "src=\"https://a.invalid",
            "src=\"//a.invalid",
            "url(https://a.invalid",
            "srcset=\"h",
        ] {
            assert!(!html.contains(loads), "{page}: {loads}");
        }
    }
    let turns = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    for (name, bytes) in files(&project.join("site")) {
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains(turns) && !text.contains("&#x202e"), "{name}");
    }
    let lines: Value = serde_json::from_str(&project.page("tiny/lines/0000000.json")).unwrap();
    assert_eq!(lines["lines"][2][4], "fires on x");
}

#[test]
fn a_text_that_would_take_too_long_is_refused() {
    let project = project();
    for (text, said) in [
        (">".repeat(100_000), "100 quotes"),
        (format!("words\n\n{}", "> - ".repeat(30_000)), "100 quotes"),
        ("1. ".repeat(50_000), "100 quotes"),
        ("*a _b ".repeat(20_000), ""),
        ("a".repeat(1_000_001), "1,000,000 bytes"),
        ("<b>".repeat(20_000), "10,000 tags"),
    ] {
        project.write("content/notes/tiny/0/1.md", text);
        let started = Instant::now();
        match said {
            "" => drop(project.build(NO_WEIGHTS)),
            said => drop(project.build_refused(NO_WEIGHTS, &["notes/tiny/0/1.md", said])),
        }
        assert!(started.elapsed() < Duration::from_secs(20), "{said}");
    }
    project.write("content/notes/tiny/0/1.md", "x");
    let long = format!(
        "{{\"layer\": 0, \"neuron\": 1, \"text\": \"{}\"}}\n",
        "a".repeat(1_000_000)
    );
    project.write("content/explanations/tiny.jsonl", long);
    project.build_refused(NO_WEIGHTS, &["tiny.jsonl` line 1", "1,000,000 bytes"]);
    project.write("content/explanations/tiny.jsonl", "[".repeat(100_000));
    project.build_refused(NO_WEIGHTS, &["tiny.jsonl` line 1"]);
}

#[test]
fn addresses_that_are_one_file_somewhere_are_refused() {
    let project = project();
    for (one, other) in [
        ("About.md", "about.md"),
        ("a/x.txt", "A/x.txt"),
        ("\u{e4}.md", "a\u{308}.md"),
    ] {
        let both = [format!("content/{one}"), format!("content/{other}")];
        both.iter().for_each(|name| project.write(name, "x"));
        // where these are one file already, there is nothing to refuse
        if files(&project.join("content")).len() == 2 {
            project.build_refused(NO_WEIGHTS, &["the same file on some systems"]);
        }
        fs::remove_dir_all(project.join("content")).unwrap();
    }
    for (name, said) in [
        ("TINY/x.txt", "belongs to a model"),
        ("Api/x.txt", "to the site itself"),
        ("assets/x.css", "to the site itself"),
    ] {
        project.write(&format!("content/{name}"), "x");
        project.build_refused(NO_WEIGHTS, &[name, said]);
        fs::remove_dir_all(project.join("content")).unwrap();
    }
}

#[test]
fn two_files_for_one_place_are_refused() {
    let project = project();
    for [one, other] in [
        ["notes/tiny/0/1.md", "notes/tiny/0/01.md"],
        ["index.md", "index.markdown"],
        ["footer.MD", "footer.md"],
        ["guide/start.md", "guide/start.markdown"],
    ] {
        for name in [one, other] {
            project.write(&format!("content/{name}"), "x");
        }
        // where the case of letters does not count, the two may be one file
        if files(&project.join("content")).len() == 2 {
            project.build_refused(NO_WEIGHTS, &[one, other, "would be the same page"]);
        }
        fs::remove_dir_all(project.join("content")).unwrap();
    }
    project.write(
        "content/explanations/tiny.JSONL",
        "{\"layer\": 0, \"neuron\": 1, \"text\": \"zebras\"}\n",
    );
    project.build(NO_WEIGHTS);
    assert!(project.page("tiny/0/1.html").contains("zebras"));
    assert!(!project.join("site/explanations").exists());
}

/// Every word of a site's files of words.
fn words(project: &Project, name: &str) -> Vec<String> {
    let found = files(&project.site().join(name).join("words")).into_iter();
    let found = found.flat_map(|(_, bytes)| {
        let file: Value = serde_json::from_slice(&bytes).unwrap();
        file["words"].as_array().cloned().unwrap_or_default()
    });
    found
        .map(|word| word[0].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn words_are_found_however_they_are_written() {
    let project = Project::new();
    let texts = [
        "a re\u{301}sume\u{301} of the net",
        "the CAF\u{c9} at the corner",
        "one \u{fb01}sh and two",
        "\u{130}stanbul is old",
        "ฉันกินข้าวผัด",
        "ខ្ញុំស្រឡាញ់កម្ពុជា",
        "我住在北京市里",
    ];
    let lines = texts
        .iter()
        .map(|text| serde_json::json!({ "text": text }).to_string() + "\n");
    let corpus = project.join("corpus.jsonl");
    fs::write(&corpus, lines.collect::<String>().repeat(3)).unwrap();
    let mut scan = scan_command(&project, &model("llama"), &corpus);
    succeed(scan.args(["--name", "tiny"]));
    project.build(NO_WEIGHTS);
    let words = words(&project, "tiny");
    for word in [
        "resume",
        "cafe",
        "fish",
        "istanbul",
        "北京",
        "京市",
        "กิน",
        "ผัด",
        "ពុជា",
    ] {
        assert!(
            words.iter().any(|found| found == word),
            "{word} is not in {words:?}"
        );
    }
}
