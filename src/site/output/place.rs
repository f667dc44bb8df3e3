//! Where a site may be written.

use std::path::{Component, Path, PathBuf};

use crate::site::error::SiteError;

/// Refuses a folder in which the site would mix with what it is made from, or with a home or a whole disk. A folder
/// of the site may lie in `project`; `sources` are folders that it may neither hold nor lie in.
pub(crate) fn check(out: &Path, project: &Path, sources: &[&Path]) -> Result<(), SiteError> {
    let real = real(out);
    let refuse = |reason: String| {
        let out = out.to_owned();
        Err(SiteError::BadPlace { out, reason })
    };
    if real.parent().is_none() {
        return refuse("it is the root of the file system".into());
    }
    if std::env::home_dir().is_some_and(|home| self::real(&home) == real) {
        return refuse("it is your home folder".into());
    }
    if self::real(project).starts_with(&real) {
        return refuse(format!("the project `{}` lies in it", project.display()));
    }
    for source in sources {
        let inner = self::real(source);
        if inner.starts_with(&real) || real.starts_with(&inner) {
            let source = source.display();
            return refuse(format!(
                "the site is made from `{source}`, which must lie apart from it"
            ));
        }
    }
    Ok(())
}

/// A path without links and dots. Its last parts need not exist yet.
fn real(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut real = PathBuf::new();
    for part in absolute.components() {
        match part {
            Component::ParentDir => {
                real.pop();
            }
            Component::CurDir => {}
            part => {
                real.push(part);
                if let Ok(found) = real.canonicalize() {
                    real = found;
                }
            }
        }
    }
    real
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_site_lies_apart_from_what_it_is_made_from() {
        let dir = tempfile::tempdir().unwrap();
        let project = dir.path().join("project");
        for folder in ["content", "data/m", "site"] {
            fs::create_dir_all(project.join(folder)).unwrap();
        }
        let sources = [project.join("content"), project.join("data")];
        let sources = [sources[0].as_path(), sources[1].as_path()];
        let check = |out: &Path| check(out, &project, &sources).map_err(|error| error.to_string());
        for fine in [
            "site",
            "site/deep/er",
            "other",
            "content-site",
            "content/../site",
        ] {
            assert_eq!(check(&project.join(fine)), Ok(()), "{fine}");
        }
        assert_eq!(check(&dir.path().join("elsewhere")), Ok(()));
        for bad in [
            ".",
            "..",
            "content",
            "content/new/folder",
            "data/m/atlas",
            "site/..",
            "x/../content",
        ] {
            let said = check(&project.join(bad)).unwrap_err();
            assert!(said.contains(bad), "{said}");
        }
        assert!(check(Path::new("/")).is_err());
        assert!(check(&std::env::home_dir().unwrap()).is_err());
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(&project, dir.path().join("link")).unwrap();
            assert!(check(&dir.path().join("link")).is_err());
            assert!(check(&dir.path().join("link/content")).is_err());
            assert_eq!(check(&dir.path().join("link/site")), Ok(()));
        }
    }
}
