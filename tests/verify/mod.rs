//! What `verify` finds, and what it does not accuse.

mod found;
mod right;

use std::fs;
use std::path::Path;

use neuroscope::gpu::DeviceName;
use neuroscope::load::ModelFiles;
use neuroscope::verify::{VerifyOptions, VerifyReport, verify};

use crate::support::{Project, data_command, model, succeed};

pub fn options(full: bool) -> VerifyOptions {
    VerifyOptions {
        neurons: 2,
        examples: 1,
        tolerance: 1e-3,
        seed: 0,
        full,
        device: DeviceName::Cpu,
    }
}

/// What `verify` says of a data folder: nothing, or the first thing that is wrong.
fn found(data: &Path, model: Option<&ModelFiles>) -> Option<String> {
    match verify(data, model, &options(model.is_some()), &|_| true) {
        Ok(VerifyReport {
            n_wrong,
            wrong,
            recomputed,
            ..
        }) => match wrong.first() {
            Some(first) => Some(format!("{n_wrong}: {}: {}", first.file, first.what)),
            None => {
                let off = recomputed.map(|again| again.off).unwrap_or_default();
                off.first().map(|off| format!("{off} does not reproduce"))
            }
        },
        Err(error) => Some(error.to_string()),
    }
}

/// A project with an atlas of two parts, which are not there if they are not wanted.
fn project(name: &str, with_parts: bool, options: &[&str]) -> Project {
    let project = Project::copy_of(&format!("{name} {options:?} merged"), |project| {
        for part in ["0/2", "1/2"] {
            project.scan_here(name, 40, &[options, &["--part", part]].concat());
        }
        let mut merge = data_command(project, "merge", &project.data(name));
        succeed(merge.arg("--model").arg(model(name)));
    });
    if !with_parts {
        fs::remove_dir_all(project.data(name).join("parts")).unwrap();
    }
    project
}
