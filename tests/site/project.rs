//! A project's folder: how it begins, what its content adds, and what is written again when it changes.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::support::{Project, files, neuroscope, run, succeed};

#[test]
fn init_writes_a_project_that_builds() {
    let (elsewhere, project) = (Project::new(), Project::new());
    project.write("content/index.md", "# Mine\n");
    let mut init = neuroscope(&elsewhere);
    let said = succeed(init.arg("--json").arg("init").arg(&project)).json();
    assert_eq!(said["kept"], serde_json::json!(["content/index.md"]));
    assert_eq!(
        fs::read_to_string(project.join("content/index.md")).unwrap(),
        "# Mine\n"
    );
    let workflow = fs::read_to_string(project.join(".github/workflows/pages.yml")).unwrap();
    let tag = format!("NEUROSCOPE_TAG: \"v{}\"\n", env!("CARGO_PKG_VERSION"));
    assert!(workflow.contains(&tag) && workflow.contains("path: site"));
    let url = format!("NEUROSCOPE_URL: \"{}\"\n", env!("CARGO_PKG_REPOSITORY"));
    assert!(workflow.contains(&url) && workflow.contains("--base-url"));
    let project = project.scan("gpt2", 12, &[]).built(&[]);
    let home = project.page("index.html");
    assert!(home.contains("Mine") && home.contains("Neuron atlas"));
}

/// A workflow that does not know where the program comes from says so, and what to do.
#[cfg(unix)]
#[test]
fn a_workflow_without_an_address_fails_with_a_message() {
    let project = Project::new();
    succeed(neuroscope(&project).arg("init").arg(&project));
    let workflow = fs::read_to_string(project.join(".github/workflows/pages.yml")).unwrap();
    let (_, step) = workflow.split_once("        run: |\n").unwrap();
    let (step, _) = step.split_once("      - uses").unwrap();
    let run = |url: &str| {
        let mut shell = std::process::Command::new("sh");
        run(shell.args(["-e", "-c", step]).env("NEUROSCOPE_URL", url))
    };
    let said = run("");
    assert_eq!(said.code, Some(1));
    assert!(said.stdout.starts_with("::error "), "{}", said.stdout);
    assert!(
        said.stdout.contains("`neuroscope publish`"),
        "{}",
        said.stdout
    );
    let said = run("https://example.org/neuroscope.git");
    assert_eq!((said.code, said.stdout.as_str()), (Some(0), ""));
}

#[test]
fn content_adds_a_menu_a_logo_a_footer_and_files() {
    let project = Project::new().scan("gpt2", 12, &[]);
    project.write(
        "content/logo.svg",
        "<svg xmlns=\"http://www.w3.org/2000/svg\"/>",
    );
    project.write("content/footer.md",
        "Questions: *ask us*, [the guide](guide.html#one), [others](https://example.org/) or [by letter](mailto:us@example.org).",
    );
    project.write("content/figures/one.txt", "one");
    project.write("content/.notebook/state.json", "{}");
    project.write("theme/assets/.DS_Store", "x");
    project.write("content/c# & more.md", "+++\nmenu = 3\n+++\n# C#");
    project.write(
        "content/guide.md",
        "+++\ntitle = \"Guide\"\nmenu = 2\n+++\nSee [one](figures/one.txt).",
    );
    project.write("content/explanations/gpt2.jsonl",
        concat!(
            "{\"layer\": 1, \"neuron\": 5, \"text\": \"fires on <zebras>\", \"author\": \"a model\", \"method\": \"from examples\", \"score\": 0.25, \"score_kind\": \"Pearson\"}\n",
            "\n",
            "{\"layer\": 1, \"neuron\": 5, \"text\": \"and on quaggas\", \"author\": null, \"method\": null, \"score\": null, \"score_kind\": null, \"url\": \"https://example.org/why\"}\n",
        ),
    );
    project.write("neuroscope.toml",
        "[[site.menu]]\nlabel = \"Explore\"\nhref = \"gpt2/explore.html\"\n[[site.menu]]\nlabel = \"Code\"\nhref = \"https://example.org/code\"\n",
    );
    project.build(&[]);
    let read = |name: &str| project.page(name);
    let page = read("gpt2/1/5.html");
    for text in [
        "<img src=\"../../logo.svg\" alt=\"\"",
        "Questions: <em>ask us</em>, <a href=\"../../guide.html#one\" rel=\"noopener\">the guide</a>, <a href=\"https://example.org/\" rel=\"noopener\">others</a> or <a href=\"mailto:us@example.org\"",
        "<a href=\"../../guide.html\">Guide</a><a href=\"../../c%23%20%26%20more.html\">C#</a><a href=\"../../gpt2/explore.html\">Explore</a><a href=\"https://example.org/code\"",
        "fires on &lt;zebras&gt;",
        "a model, from examples; score 0.25 (Pearson)",
        "href=\"https://example.org/why\"",
    ] {
        assert!(page.contains(text), "{text}");
    }
    assert_eq!(read("figures/one.txt"), "one");
    assert!(read("index.html").contains("<a href=\"guide.html#one\""));
    let hidden = |(name, _): &(String, Vec<u8>)| name.contains("notebook") || name.contains("DS_");
    assert!(!files(&project.join("site")).iter().any(hidden));
    assert!(!project.join("site/footer.html").exists());
    // what explanations say can be searched, and stands with the neuron in lists
    let words = project.json("gpt2/words/said-0.json");
    let mut words = words["words"].as_array().unwrap().iter();
    let zebras = words.find(|word| word[0] == "zebras").unwrap();
    assert_eq!(zebras[1], serde_json::json!([38]));
    let lines = project.json("gpt2/lines/0000032.json");
    assert_eq!(lines["lines"][6][4], "fires on <zebras>");

    // explanations of neurons that are not there are said once, and a project may have its own robots.txt
    project.write("content/explanations/other.jsonl",
        "{\"layer\": 1, \"neuron\": 5, \"text\": \"x\"}\n{\"layer\": 2, \"neuron\": 5, \"text\": \"x\"}\n".repeat(2),
    );
    project.write("content/robots.txt", "User-agent: *\nDisallow: /\n");
    let address = ["--base-url", "https://example.org/atlas", "--json"];
    let report = project.build(&address).json();
    assert_eq!(
        report["stray_explanations"],
        serde_json::json!({"explanations/other.jsonl": 2})
    );
    assert_eq!(report["stray_notes"], serde_json::json!([]));
    let hosts = report["hosts"].as_array().unwrap();
    assert!(hosts.len() > 3 && hosts.iter().all(|host| host["fits"] == true));
    assert_eq!(hosts[0]["host"], "GitHub Pages");
    assert!(report["fullest_folder"][1].as_u64() > Some(64));
    let pages = report["largest_pages"].as_array().unwrap();
    assert!(
        !pages.is_empty()
            && pages
                .iter()
                .all(|page| page[0].as_str().unwrap().ends_with(".html"))
    );
    assert!(read("robots.txt").contains("Disallow: /\n"));
    assert!(
        read("sitemap.xml").contains("<loc>https://example.org/atlas/c%23%20%26%20more.html</loc>")
    );

    project.write("content/gpt2/one.txt", "one");
    project.build_refused(&[], &["gpt2/one.txt", "belongs to a model"]);
    fs::remove_dir_all(project.join("content/gpt2")).unwrap();
    project.write(
        "content/explanations/gpt2.jsonl",
        "{\"layer\": 1, \"neuron\": 5, \"text\": \"x\", \"url\": \"javascript:x\"}\n",
    );
    project.build_refused(&[], &["gpt2.jsonl` line 1", "`url`"]);
    project.write("content/explanations/gpt2.jsonl", "{\"layer\": 1}\n");
    project.build_refused(&[], &["gpt2.jsonl` line 1", "missing field"]);
    project.write("content/explanations/gpt2.jsonl", "");
    project.write("content/compare.md", "# Ours");
    project.build_refused(&[], &["two pages would have the address `compare.html`"]);
}

/// Names of the files that a change of the project makes a build write.
fn rewritten(project: &Project) -> BTreeSet<String> {
    let site = project.site();
    let before = files(&site);
    let said = project.build(&["--json"]).json();
    let after = files(&site).into_iter();
    let changed = after.filter(|file| !before.contains(file) && !file.0.starts_with('.'));
    let changed: BTreeSet<String> = changed.map(|(name, _)| name).collect();
    assert_eq!(said["n_written"], changed.len(), "{changed:?}");
    changed
}

#[test]
fn a_changed_note_rewrites_only_what_shows_it() {
    let project = &Project::new().scan("llama", 12, &[]);
    let note = |text: &str| project.write("content/notes/llama/1/5.md", text);
    note("+++\ntitle = \"Title\"\n+++\nIt fires on xyzzy.");
    project.build(&["--base-url", "https://example.org"]);
    project.write(
        "neuroscope.toml",
        "[site]\nbase_url = \"https://example.org\"\n",
    );
    assert!(rewritten(project).is_empty());
    // another text: the page, and the words that are searched
    note("+++\ntitle = \"Title\"\n+++\nIt fires on plugh.");
    let found = rewritten(project);
    let of_words = |name: &String| name.starts_with("llama/words/");
    let others: Vec<_> = found.iter().filter(|name| !of_words(name)).collect();
    assert_eq!(others, ["llama/1/5.html"]);
    assert_eq!(
        found
            .iter()
            .filter(|name| of_words(name))
            .collect::<Vec<_>>(),
        ["llama/words/said-0.json"]
    );
    // another title: also where notes are listed
    note("+++\ntitle = \"Another\"\n+++\nIt fires on plugh.");
    let found = rewritten(project);
    let others: Vec<_> = found.iter().filter(|name| !of_words(name)).collect();
    assert_eq!(
        others,
        [
            "llama/1/5.html",
            "llama/index.html",
            "llama/index.json",
            "llama/lines/0000032.json",
            "llama/lines/short-0.json"
        ]
    );
}

/// Where only notes and explanations change, a build makes what shows them and nothing else: the site is that of a build from nothing.
#[test]
fn a_site_that_is_built_again_is_as_one_that_is_built_anew() {
    let project = Project::new().scan("llama", 12, &[]);
    let note = |neuron: &str, text: &str| {
        let text = format!("+++\ntitle = \"{text}\"\n+++\nIt fires on {text}.");
        project.write(format!("content/notes/llama/{neuron}.md").as_str(), text);
    };
    let explain = |lines: &[(u32, u32, &str)]| {
        let lines = lines.iter().map(|(layer, neuron, text)| {
            format!("{{\"layer\": {layer}, \"neuron\": {neuron}, \"text\": \"{text}\"}}\n")
        });
        let lines: String = lines.collect();
        project.write("content/explanations/llama.jsonl", lines);
    };
    let layouts: [&[&str]; 2] = [
        &["--layout", "pages", "--cards=true", "--neuron-json"],
        &["--layout", "packed", "--pages-for", "notes,top:3"],
    ];
    for layout in layouts {
        let build = |out: &str| {
            let out = project.join(out);
            let base = ["--base-url", "https://example.org", "--json", "--out"];
            project
                .build(&[&base[..], &[out.to_str().unwrap()], layout].concat())
                .json()
        };
        let check = |most: u64| {
            let said = build("again");
            let n = said["n_written"].as_u64().unwrap();
            assert!(n <= most, "{n}");
            let _ = fs::remove_dir_all(project.join("anew"));
            build("anew");
            let [again, anew] = ["again", "anew"].map(|out| files(&project.join(out)));
            for ((name, found), (other, expected)) in again.iter().zip(&anew) {
                assert_eq!(name, other);
                assert!(
                    found == expected || name.starts_with(".neuroscope"),
                    "{name}"
                );
            }
            assert_eq!(again.len(), anew.len());
            n
        };
        note("1/5", "xyzzy");
        explain(&[(0, 0, "words that come first")]);
        build("again");
        assert_eq!(check(0), 0);
        note("1/5", "plugh");
        check(10);
        explain(&[(0, 0, "words"), (2, 31, "others"), (1, 5, "a third")]);
        check(16);
        explain(&[]);
        check(16);
        // pages come and go, to which others link
        note("2/7", "frotz");
        check(u64::MAX);
        fs::remove_file(project.join("content/notes/llama/2/7.md")).unwrap();
        check(u64::MAX);
        // the site is whole whatever happened to it
        let lines = files(&project.join("again/llama/lines"));
        let path = project.join("again/llama/lines").join(&lines[0].0);
        fs::write(&path, "mine").unwrap();
        assert_eq!(check(1), 1);
        fs::remove_file(&path).unwrap();
        assert_eq!(check(1), 1);
        // something else changes too
        project.write("content/footer.md", format!("Made for {layout:?}."));
        note("1/5", "wield");
        assert!(check(u64::MAX) > 20);
    }
}

/// A theme of three files: its own colours, one block and one frame for all pages.
#[test]
fn a_small_theme_takes_the_place_of_what_it_names() {
    let project = Project::new().scan("llama", 12, &[]);
    let theme = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/theme"));
    for (name, bytes) in files(theme) {
        project.write(
            &format!("theme/{name}"),
            std::str::from_utf8(&bytes).unwrap(),
        );
    }
    let said = project.build(&[]);
    assert!(!said.stderr.contains("theme"), "{}", said.stderr);
    let read = |name: &str| project.page(name);
    for (page, own) in [
        ("index.html", "class=\"plain\""),
        ("llama/index.html", "class=\"plain\""),
        ("llama/1/index.html", "class=\"plain\""),
        ("llama/1/explore.html", "class=\"plain\""),
        ("llama/1/5.html", "<p class=\"short\">llama 1.5: largest"),
    ] {
        let html = read(page);
        assert!(
            html.contains(own) && html.contains("A plain theme"),
            "{page}"
        );
        // what it does not name stays as it was
        assert!(
            html.contains("assets/base/site.") && html.contains("<nav aria-label=\"Site\">"),
            "{page}"
        );
    }
    let neuron = read("llama/1/5.html");
    assert!(!neuron.contains("class=\"cards\"") && neuron.contains("data-part=\"histogram\""));
    let (_, style) = neuron.split_once("assets/plain.").unwrap();
    let (hash, _) = style.split_once('"').unwrap();
    assert!(read(&format!("assets/plain.{hash}")).contains("--positive"));

    // what overrides nothing is there, and said; what overrides a script imports others from where they are
    project.write("theme/assets/neuron.js", "import \"./dom.js\";");
    project.write(
        "theme/assets/random/page.js",
        "import { here } from \"../base/address.js\"; import \"../own/deep.js\";",
    );
    project.write("theme/assets/own/deep.js", "import \"../base/dom.js\"");
    let said = project.build(&[]);
    for warning in [
        "`assets/neuron.js` of the theme takes the place of no built-in file",
        "`assets/neuron.js` of the theme imports `./dom.js`",
    ] {
        assert!(said.stderr.contains(warning), "{}", said.stderr);
    }
    assert_eq!(said.stderr.matches("of the theme").count(), 2);
    let assets: Vec<String> = files(&project.join("site/assets"))
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert!(assets.iter().any(|name| name.starts_with("neuron.")));
    let address = |name: &str| {
        let stem = name.strip_suffix("js").unwrap();
        assets.iter().find(|own| own.starts_with(stem)).unwrap()
    };
    let page = read("llama/random.html");
    let module = |name: &str| {
        let address = address(name);
        page.contains(&format!(
            "rel=\"modulepreload\" href=\"../assets/{address}\""
        ))
    };
    for name in ["base/address.js", "own/deep.js", "base/dom.js"] {
        assert!(module(name), "{name}: {page}");
    }
    assert!(!module("draw/plots.js"));
}
