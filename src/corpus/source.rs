//! Where a corpus is.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::PathBuf;
use std::sync::Arc;

use super::stdin::{STDIN, StdinCopy};

/// Where a corpus is.
#[derive(Clone, Debug)]
pub enum Source {
    /// A file or a folder.
    Path(PathBuf),
    /// A file that is part of the program: its name, with endings, and its bytes.
    Embedded(&'static str, &'static [u8]),
    /// Standard input, which is copied to the folder of temporary files when it is opened.
    Stdin,
    /// Standard input that was copied already.
    Copied(Arc<StdinCopy>),
}

impl Source {
    /// The file, or what errors call it.
    pub(super) fn path(&self) -> PathBuf {
        match self {
            Self::Path(path) => path.clone(),
            Self::Embedded(name, _) => PathBuf::from(name),
            Self::Stdin | Self::Copied(_) => PathBuf::from(STDIN),
        }
    }

    /// The bytes, one after another.
    pub(super) fn stream(&self) -> io::Result<Box<dyn Read + Send>> {
        Ok(match self {
            Self::Path(path) => Box::new(File::open(path)?),
            Self::Embedded(_, bytes) => Box::new(*bytes),
            Self::Stdin => Box::new(io::stdin()),
            Self::Copied(copy) => Box::new(copy.open()?),
        })
    }

    /// The bytes, to be read here and there.
    pub(super) fn file(&self) -> io::Result<File> {
        match self {
            Self::Path(path) => File::open(path),
            Self::Copied(copy) => copy.open(),
            Self::Embedded(..) | Self::Stdin => {
                let mut file = tempfile::tempfile()?;
                io::copy(&mut self.stream()?, &mut file)?;
                file.flush()?;
                file.rewind()?;
                Ok(file)
            }
        }
    }
}
