//! Standard input, which can be read only once, as a file that can be read again.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Seek, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::files::hex;

use super::CorpusError;
use super::packing::is_packed;

/// Name of standard input, as on the command line.
pub const STDIN: &str = "-";

/// Bytes that are read at one go.
const BUFFER: usize = 1 << 17;

/// A copy of standard input. It has no name in its folder, and goes with the process.
#[derive(Debug)]
pub struct StdinCopy {
    file: File,
    /// Length in bytes, of what came.
    pub bytes: u64,
    /// SHA-256 of what came, in hexadecimal.
    pub sha256: String,
}

impl StdinCopy {
    /// Copies standard input into a folder. `go_on` is asked now and then; if it says no, the error is
    /// [`io::ErrorKind::Interrupted`].
    pub fn read(folder: &Path, go_on: &dyn Fn() -> bool) -> Result<Self, CorpusError> {
        let stdin = io::stdin();
        match stdin.is_terminal() {
            true => Err(CorpusError::Terminal),
            false => Self::of(stdin.lock(), folder, go_on),
        }
    }

    fn of(
        mut input: impl Read,
        folder: &Path,
        go_on: &dyn Fn() -> bool,
    ) -> Result<Self, CorpusError> {
        let io = |source| CorpusError::Io {
            path: PathBuf::from(STDIN),
            source,
        };
        let file = tempfile::tempfile_in(folder).map_err(|source| CorpusError::Copy {
            folder: folder.to_owned(),
            source,
        })?;
        let copied = copy(&mut input, file, go_on).map_err(io)?;
        match copied.bytes {
            0 => Err(CorpusError::NoInput),
            _ => Ok(copied),
        }
    }

    /// The copy, from its beginning; there is one reader at a time.
    pub(super) fn open(&self) -> io::Result<File> {
        let mut file = self.file.try_clone()?;
        file.rewind()?;
        Ok(file)
    }
}

fn copy(input: &mut dyn Read, file: File, go_on: &dyn Fn() -> bool) -> io::Result<StdinCopy> {
    let mut head = Vec::new();
    Read::take(&mut *input, 4).read_to_end(&mut head)?;
    // a Parquet file is read here and there, and what is packed gets no smaller
    let mut out: Box<dyn Write> = match head == *b"PAR1" || is_packed(&head) {
        true => Box::new(file.try_clone()?),
        false => Box::new(zstd::Encoder::new(file.try_clone()?, 1)?.auto_finish()),
    };
    let (mut hash, mut bytes) = (Sha256::new(), 0);
    let mut input = head.chain(input);
    let mut buffer = vec![0; BUFFER];
    loop {
        let n = match input.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        // an interruption ends the program before a pipe as well, so that what came may not be all
        if !go_on() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if n == 0 {
            break;
        }
        hash.update(&buffer[..n]);
        bytes += n as u64;
        out.write_all(&buffer[..n])?;
    }
    out.flush()?;
    drop(out);
    Ok(StdinCopy {
        file,
        bytes,
        sha256: hex(&hash.finalize()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_is_hashed_and_can_be_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let text = "a line of text\n".repeat(100_000);
        for packed in [false, true] {
            let input = match packed {
                true => zstd::encode_all(text.as_bytes(), 1).unwrap(),
                false => text.clone().into_bytes(),
            };
            let copy = StdinCopy::of(&input[..], dir.path(), &|| true).unwrap();
            assert_eq!(copy.bytes, input.len() as u64);
            assert_eq!(copy.sha256, hex(&Sha256::digest(&input)));
            for _ in 0..2 {
                let found = zstd::decode_all(copy.open().unwrap()).unwrap();
                assert!(found == text.as_bytes());
            }
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn nothing_and_an_interruption_are_errors() {
        let dir = tempfile::tempdir().unwrap();
        let copy = |input: &[u8], go_on: bool| StdinCopy::of(input, dir.path(), &|| go_on);
        assert!(matches!(copy(b"", true).unwrap_err(), CorpusError::NoInput));
        let CorpusError::Io { source, .. } = copy(b"text", false).unwrap_err() else {
            panic!("another error");
        };
        assert_eq!(source.kind(), io::ErrorKind::Interrupted);
    }
}
