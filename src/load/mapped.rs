//! Files mapped into memory, whose pages are given back once a tensor was copied out of them.

use std::fs::File;
use std::path::{Path, PathBuf};

use candle_core::Tensor;
use memmap2::Mmap;

use crate::model::ModelError;
use crate::model::weights::{TensorFile, TensorInfo};

use super::error::LoadError;

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
        Ok(Self {
            path: path.to_owned(),
            map,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// Tensors of this file, after each of which its pages are given back: they are on disk, and the copy is the one
    /// that is used.
    pub(super) fn releasing<T: TensorFile>(&self, tensors: T) -> Releasing<'_, T> {
        Releasing { map: self, tensors }
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

/// See [`Mapped::releasing`].
pub(super) struct Releasing<'m, T> {
    map: &'m Mapped,
    tensors: T,
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
        self.map.release();
        loaded
    }
}
