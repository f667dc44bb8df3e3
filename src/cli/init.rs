//! `neuroscope init`

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;
use serde::Serialize;

use super::{Context, shown};

#[derive(Args)]
pub(super) struct InitArgs {
    /// Folder of the new project
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// What a project begins with. `VERSION` is this program's, and `REPOSITORY` where it comes from, if that is known.
const FILES: [(&str, &str); 4] = [
    ("neuroscope.toml", include_str!("init/neuroscope.toml")),
    ("content/index.md", include_str!("init/index.md")),
    (".gitignore", include_str!("init/gitignore")),
    (
        ".github/workflows/pages.yml",
        include_str!("init/pages.yml"),
    ),
];

#[derive(Serialize)]
struct InitReport {
    folder: PathBuf,
    written: Vec<&'static str>,
    kept: Vec<&'static str>,
}

/// Writes the files of a new project; those that are there already stay as they are.
pub(super) fn run(context: &Context, args: &InitArgs) -> Result<()> {
    let mut report = InitReport {
        folder: args.folder.clone(),
        written: Vec::new(),
        kept: Vec::new(),
    };
    for (name, text) in FILES {
        let path = args.folder.join(name);
        let folder = path.parent().unwrap_or(&args.folder);
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot create `{}`", folder.display()))?;
        let text = text.replace("VERSION", env!("CARGO_PKG_VERSION"));
        let text = text.replace("REPOSITORY", env!("CARGO_PKG_REPOSITORY"));
        match File::create_new(&path).and_then(|mut file| file.write_all(text.as_bytes())) {
            Ok(()) => report.written.push(name),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => report.kept.push(name),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot write `{}`", path.display()));
            }
        }
    }
    let program = std::env::args()
        .next()
        .unwrap_or_else(|| "neuroscope".into());
    let project = format!("--project {}", shown(&args.folder));
    let mut words = format!(
        "a project in {}: {}",
        shown(&args.folder),
        report.written.join(", ")
    );
    if !report.kept.is_empty() {
        words += &format!(
            "\nalready there, kept unchanged: {}",
            report.kept.join(", ")
        );
    }
    words += &format!(
        "\n\n  scan      {program} scan --model MODEL --corpus TEXTS {project}\n  build     {program} build {project}\n  preview   {program} serve {project}\n  publish   {program} publish {project}, or fill in NEUROSCOPE_URL in .github/workflows/pages.yml and push, to build it on GitHub"
    );
    context.report.result(&report, &words)
}
