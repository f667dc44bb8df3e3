//! The kernels as C++, compiled when a test first asks for them.
#![allow(clippy::unwrap_used)]

use std::ffi::{CString, c_void};
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use candle_core::{DType, Device, Result, Tensor};
use half::{bf16, f16};

/// The library's handle.
fn library() -> *mut c_void {
    static LIBRARY: OnceLock<usize> = OnceLock::new();
    let handle = LIBRARY.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/gpu");
        let folder = tempfile::tempdir().unwrap();
        let library = folder.path().join("kernels.so");
        let status = Command::new("c++")
            .args([
                "-O1",
                "-shared",
                "-fPIC",
                "-Wno-unknown-pragmas",
                "-x",
                "c++",
                "-include",
            ])
            .arg(source.join("emulated.h"))
            .arg(source.join("kernels.cu"))
            .arg("-o")
            .arg(&library)
            .status();
        assert!(status.expect("these tests need a C++ compiler").success());
        let path = CString::new(library.to_str().unwrap()).unwrap();
        // SAFETY: the path ends in 0; the library runs nothing when it is loaded
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW) };
        assert!(!handle.is_null(), "the kernels cannot be loaded");
        handle as usize
    });
    *handle as *mut c_void
}

pub(super) fn launch<A>(kernel: &str, (width, height): (u32, u32), arguments: &A) -> Result<()> {
    let name = CString::new(kernel).unwrap();
    // SAFETY: the name ends in 0
    let found = unsafe { libc::dlsym(library(), name.as_ptr()) };
    assert!(!found.is_null(), "there is no kernel `{kernel}`");
    // SAFETY: `emulated.h` makes a function of this kind of every kernel
    let run: extern "C" fn(*const A, u32, u32) = unsafe { std::mem::transmute(found) };
    run(arguments, width, height);
    Ok(())
}

pub(super) fn output(
    shape: &[usize],
    dtype: DType,
    write: impl FnOnce(u64) -> Result<()>,
) -> Result<Tensor> {
    let n = shape.iter().product();
    match dtype {
        DType::BF16 => {
            let mut values = vec![bf16::ZERO; n];
            write(values.as_mut_ptr() as u64)?;
            Tensor::from_vec(values, shape, &Device::Cpu)
        }
        DType::F16 => {
            let mut values = vec![f16::ZERO; n];
            write(values.as_mut_ptr() as u64)?;
            Tensor::from_vec(values, shape, &Device::Cpu)
        }
        _ => {
            let mut values = vec![0f32; n];
            write(values.as_mut_ptr() as u64)?;
            Tensor::from_vec(values, shape, &Device::Cpu)
        }
    }
}
