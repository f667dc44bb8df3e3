//! `neuroscope serve`

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::Args;
use neuroscope::config::{FILE, Project};
use neuroscope::serve::{self, Server};
use neuroscope::shard::MANIFEST;
use neuroscope::site::{BuildReport, SiteOptions};

use super::flags::Flags;
use super::report::say;
use super::{Context, build, interrupt, shown};

#[derive(Args)]
pub(super) struct ServeArgs {
    /// Data folder with an atlas; can be repeated [default: all in data/]
    #[arg(long, value_name = "DIR")]
    data: Vec<PathBuf>,
    /// Folder of the website [default: site]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Port on this machine; 0 for any free one
    #[arg(long, default_value_t = 8000)]
    port: u16,
    /// Serve the folder as it is, without building
    #[arg(long)]
    no_build: bool,
    #[command(flatten)]
    options: Flags<SiteOptions>,
}

pub(super) fn run(mut context: Context, args: &ServeArgs) -> Result<()> {
    let out = args
        .out
        .clone()
        .unwrap_or_else(|| context.folder.join("site"));
    let mut watch: Box<dyn Fn() -> Vec<PathBuf> + Send> = Box::new(Vec::new);
    let mut rebuild: Box<dyn FnMut() -> bool + Send> = Box::new(|| false);
    if !args.no_build {
        let plan = build::plan(&context, &args.data, args.out.as_deref(), &args.options)?;
        build::complete(&context, &plan)?;
        build::build(&context, &plan)?;
        let (folder, given) = (context.folder.clone(), args.data.clone());
        watch = Box::new(move || {
            let mut paths = ["theme", "content", FILE]
                .map(|name| folder.join(name))
                .to_vec();
            let data = data(&given, &folder).unwrap_or_default();
            // an atlas is replaced with its manifest
            paths.extend(data.iter().map(|data| data.join("atlas").join(MANIFEST)));
            paths
        });
        let (given, flags, out) = (args.data.clone(), args.options.clone(), out.clone());
        rebuild = Box::new(move || {
            // a mistake in a template or a note is reported, and the last good site goes on being served
            match build_again(&mut context, &given, &flags, &out) {
                Ok(built) => built.output.n_written + built.output.n_removed > 0,
                Err(error) => {
                    context.report.error(&error);
                    false
                }
            }
        });
    }
    let server = Server {
        root: &out,
        port: args.port,
        watch,
        rebuild,
    };
    serve::serve(
        server,
        |address| say(&format!("serving http://{address}/ until Ctrl-C")),
        interrupt::asked,
    )?;
    Ok(())
}

/// Builds the site of a project as it is now.
fn build_again(
    context: &mut Context,
    given: &[PathBuf],
    flags: &Flags<SiteOptions>,
    out: &Path,
) -> Result<BuildReport> {
    context.project = Project::read(&context.folder)?;
    let data = data(given, &context.folder)?;
    if data.is_empty() {
        bail!(
            "there is no longer a scan in {}",
            shown(&context.folder.join("data"))
        );
    }
    let plan = build::Plan {
        data,
        out: out.to_owned(),
        options: flags.over(&context.project.site)?,
    };
    build::complete(context, &plan)?;
    build::build(context, &plan)
}

/// The data folders that are given, else those of the project.
fn data(given: &[PathBuf], project: &Path) -> Result<Vec<PathBuf>> {
    match given {
        [] => build::atlases(&project.join("data")),
        given => Ok(given.to_vec()),
    }
}
