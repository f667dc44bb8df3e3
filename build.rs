//! Compiles the kernels of a GPU, if they are asked for.

use std::env;
use std::path::PathBuf;
use std::process::Command;

/// What the kernels need; a driver makes code of it for newer GPUs.
const ARCHITECTURE: &str = "compute_75";

fn main() {
    println!("cargo:rerun-if-changed=src/gpu/kernels.cu");
    println!("cargo:rerun-if-env-changed=CUDA_HOME");
    if env::var_os("CARGO_FEATURE_CUDA").is_none() {
        return;
    }
    let nvcc = match env::var_os("CUDA_HOME") {
        Some(home) => PathBuf::from(home).join("bin/nvcc"),
        None => "nvcc".into(),
    };
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it")).join("kernels.ptx");
    let mut command = Command::new(&nvcc);
    command.arg("--ptx").arg(format!("-arch={ARCHITECTURE}"));
    command.arg("-o").arg(&out).arg("src/gpu/kernels.cu");
    match command.status() {
        Ok(status) if status.success() => {}
        Ok(status) => panic!(
            "`{}` could not compile the kernels: {status}",
            nvcc.display()
        ),
        Err(error) => panic!(
            "`{}` cannot be run: {error}; docs/gpu.md says where to get it",
            nvcc.display()
        ),
    }
}
