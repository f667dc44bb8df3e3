//! A site as a stream for `git fast-import`: <https://git-scm.com/docs/git-fast-import>.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};

use super::error::PublishError;
use crate::site::output::BuiltSite;

/// Bytes that are handed to git at once.
const CHUNK: usize = 1 << 20;

/// A commit without parents.
pub(super) struct Commit<'a> {
    pub(super) branch: &'a str,
    /// Name, address and time, as git writes them.
    pub(super) identity: &'a str,
    pub(super) message: &'a str,
    pub(super) site: &'a BuiltSite,
}

impl Commit<'_> {
    /// Writes the commit with all files of the site. `packed` is called with the number of files done, and says whether
    /// to go on.
    pub(super) fn write(
        &self,
        out: impl Write,
        packed: &dyn Fn(u64) -> bool,
    ) -> Result<(), PublishError> {
        let to_git = |error: io::Error| failed(error.to_string());
        let mut out = BufWriter::with_capacity(CHUNK, out);
        let Self {
            branch,
            identity,
            message,
            site,
        } = self;
        let n = message.len();
        write!(
            out,
            "commit {branch}\ncommitter {identity}\ndata {n}\n{message}\n"
        )
        .map_err(to_git)?;
        for (at, (name, bytes)) in site.files().iter().enumerate() {
            if !packed(at as u64) {
                return Err(PublishError::Interrupted);
            }
            let path = site.root().join(name);
            let io = |source| PublishError::Io {
                action: "read",
                path: path.clone(),
                source,
            };
            let quoted = name.replace('"', "\\\"");
            write!(out, "M 100644 inline \"{quoted}\"\ndata {bytes}\n").map_err(to_git)?;
            let mut file = File::open(&path).map_err(io)?;
            let mut left = *bytes;
            let mut chunk = vec![0; CHUNK.min(left as usize + 1)];
            // one byte more is asked for, to see that there is none
            loop {
                let n = file.read(&mut chunk).map_err(io)?;
                match n as u64 {
                    0 if left == 0 => break,
                    n if n == 0 || n > left => return Err(PublishError::Changed(path)),
                    n => left -= n,
                }
                out.write_all(&chunk[..n]).map_err(to_git)?;
            }
            out.write_all(b"\n").map_err(to_git)?;
        }
        out.write_all(b"done\n")
            .and_then(|()| out.flush())
            .map_err(to_git)
    }
}

/// Git could not make the commit.
pub(super) fn failed(reason: String) -> PublishError {
    PublishError::Git {
        action: "make a commit of the site",
        reason,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::site::output;

    fn written(site: &BuiltSite, packed: &dyn Fn(u64) -> bool) -> Result<Vec<u8>, PublishError> {
        let commit = Commit {
            branch: "refs/heads/site",
            identity: "me <me@example.org> 1 +0000",
            message: "ä\n",
            site,
        };
        let mut out = Vec::new();
        commit.write(&mut out, packed).map(|()| out)
    }

    #[test]
    fn files_are_written_byte_by_byte() {
        let dir = tempfile::tempdir().unwrap();
        let output = output::open(dir.path()).unwrap();
        output.write("a \"b\"/c", b"1\r\n\0\xff").unwrap();
        output.write("empty", b"").unwrap();
        output.finish(None).unwrap();
        let site = BuiltSite::open(dir.path()).unwrap();
        let expected = "commit refs/heads/site\ncommitter me <me@example.org> 1 +0000\ndata 3\nä\n\nM 100644 inline \"a \\\"b\\\"/c\"\ndata 5\n";
        let rest = b"1\r\n\0\xff\nM 100644 inline \"empty\"\ndata 0\n\ndone\n";
        let expected = [expected.as_bytes(), rest].concat();
        assert_eq!(written(&site, &|_| true).unwrap(), expected);
        let stopped = written(&site, &|done| done == 0).unwrap_err();
        assert!(matches!(stopped, PublishError::Interrupted));
        for changed in ["1\r\n", "1\r\n longer"] {
            fs::write(dir.path().join("a \"b\"/c"), changed).unwrap();
            let error = written(&site, &|_| true).unwrap_err();
            assert!(matches!(error, PublishError::Changed(_)), "{error}");
        }
        fs::remove_file(dir.path().join("empty")).unwrap();
        fs::write(dir.path().join("a \"b\"/c"), "12345").unwrap();
        let error = written(&site, &|_| true).unwrap_err();
        assert!(matches!(error, PublishError::Io { .. }), "{error}");
    }
}
