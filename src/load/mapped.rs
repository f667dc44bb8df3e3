//! Files mapped into memory, whose pages are released once a tensor has been copied out of them.

use std::fs::File;
use std::path::{Path, PathBuf};

use candle_core::Tensor;
use memmap2::Mmap;

use crate::model::ModelError;
use crate::model::weights::{TensorFile, TensorInfo};

use super::error::LoadError;
use super::kind;

/// A file in memory, read only.
pub(super) struct Mapped {
    path: PathBuf,
    map: Mmap,
}

impl Mapped {
    pub(super) fn open(path: &Path) -> Result<Self, LoadError> {
        let io = |source| LoadError::Io {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(io)?;
        // SAFETY: the map is read only; that no one changes the file meanwhile is the documented condition of `open`
        let map = unsafe { Mmap::map(&file) }.map_err(io)?;
        let path = path.to_owned();
        match kind::stand_in(&map[..map.len().min(512)]) {
            Some(kind) => Err(LoadError::Kind { path, kind }),
            None => Ok(Self { path, map }),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.map
    }

    fn release(&self) {
        #[cfg(unix)]
        {
            // SAFETY: the map is read only and of a file, so the pages come back unchanged when they are read again
            let _ = unsafe {
                self.map
                    .unchecked_advise(memmap2::UncheckedAdvice::DontNeed)
            };
        }
    }
}

/// Tensors of some files. After each is read, the pages of the files are released: only the copy is used.
pub(super) struct Releasing<'m, T> {
    pub(super) maps: Vec<&'m Mapped>,
    pub(super) tensors: T,
}

impl<T: TensorFile> TensorFile for Releasing<'_, T> {
    fn name(&self) -> &str {
        self.tensors.name()
    }

    fn tensors(&self) -> Vec<TensorInfo> {
        self.tensors.tensors()
    }

    fn load(&self, tensor: &str) -> Result<Tensor, ModelError> {
        let loaded = self.tensors.load(tensor);
        for map in &self.maps {
            map.release();
        }
        loaded
    }
}
