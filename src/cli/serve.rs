//! `neuroscope serve`

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use neuroscope::config::{FILE, Project};
use neuroscope::serve::{self, Server};
use neuroscope::site::SiteOptions;

use super::flags::Flags;
use super::report::say;
use super::{Context, build, interrupt};

#[derive(Args)]
pub(super) struct ServeArgs {
    /// Data folder with an atlas, may be given several times [default: all in data/]
    #[arg(long, value_name = "DIR")]
    data: Vec<PathBuf>,
    /// Folder of the website [default: site]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Port on this machine, 0 for any that is free
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
    let mut watch = Vec::new();
    let mut rebuild: Box<dyn FnMut() -> bool + Send> = Box::new(|| false);
    if !args.no_build {
        let plan = build::plan(&context, &args.data, args.out.as_deref(), &args.options)?;
        build::complete(&context, &plan)?;
        build::build(&context, &plan)?;
        let own = ["theme", "content", FILE].map(|name| context.folder.join(name));
        watch.extend(own);
        let (data, flags) = (plan.data, args.options.clone());
        let out = out.clone();
        rebuild = Box::new(move || {
            let built = Project::read(&context.folder)
                .map_err(anyhow::Error::from)
                .and_then(|project| {
                    context.project = project;
                    let options = flags.over(&context.project.site)?;
                    build::build(
                        &context,
                        &build::Plan {
                            data: data.clone(),
                            out: out.clone(),
                            options,
                        },
                    )
                });
            // a mistake in a template or a note is reported, and the last good site goes on being served
            match built {
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
