//! From the path of a request to a file inside the root, or nothing.

use std::path::{Component, Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// What a request's path leads to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// A page, to be sent with the reload script.
    Page(PathBuf),
    /// Any other file.
    File(PathBuf),
    /// A folder that was asked for without its slash: its address, which begins with one slash.
    Folder(String),
}

/// The page that shows any neuron of a layer of a packed model.
const SHOWN: &str = "neuron.html";

/// What an address does not have as it is.
const NOT_IN_ADDRESSES: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// Finds what a path leads to. Nothing outside the root is ever found: not by `..`, however it is encoded, not by a
/// symbolic link, not by an absolute path. Files whose names begin with a dot are not the site's.
pub(super) fn find(root: &Path, path: &str) -> Option<Target> {
    let decoded = percent_decode_str(path).decode_utf8().ok()?;
    if decoded.contains(['\0', '\\']) {
        return None;
    }
    let (mut inner, mut address) = (PathBuf::new(), String::from("/"));
    for part in decoded.split('/').filter(|part| !part.is_empty()) {
        let plain = Path::new(part)
            .components()
            .all(|component| matches!(component, Component::Normal(_)));
        if part.starts_with('.') || !plain {
            return None;
        }
        inner.push(part);
        address.push_str(part);
        address.push('/');
    }
    let root = root.canonicalize().ok()?;
    let mut file = root.join(inner);
    if file.is_dir() {
        if !decoded.ends_with('/') {
            let address = utf8_percent_encode(&address, NOT_IN_ADDRESSES).to_string();
            return Some(Target::Folder(address));
        }
        file.push("index.html");
    }
    let real = file.canonicalize().or_else(|error| match shown(&file) {
        Some(page) => page.canonicalize(),
        None => Err(error),
    });
    let real = real.ok()?;
    if !real.starts_with(&root) || !real.is_file() {
        return None;
    }
    Some(
        if real
            .extension()
            .is_some_and(|extension| extension == "html")
        {
            Target::Page(real)
        } else {
            Target::File(real)
        },
    )
}

/// A path inside the site, if the path of a request begins with that of the site's own address. The page for what is missing knows that.
pub(super) fn without_base(root: &Path, path: &str) -> Option<String> {
    let page = std::fs::read_to_string(root.join("404.html")).ok()?;
    let (_, rest) = page.split_once(" data-root=\"")?;
    let (base, _) = rest.split_once('"')?;
    let inner = path.strip_prefix(base)?;
    Some(format!("/{inner}"))
}

/// The page that shows the neuron of an address, if neurons are packed: `m/0/5.html` is shown by `m/0/neuron.html`.
fn shown(file: &Path) -> Option<PathBuf> {
    let name = file.file_name()?.to_str()?;
    let number = name.strip_suffix(".html")?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| file.with_file_name(SHOWN))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn nothing_outside_the_root_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().canonicalize().unwrap();
        let root = base.join("site");
        fs::create_dir_all(root.join("m/0")).unwrap();
        fs::write(base.join("secret.html"), "secret").unwrap();
        fs::write(root.join("m/0/1.html"), "page").unwrap();
        fs::write(root.join("m/a b.json"), "{}").unwrap();
        fs::write(root.join(".hidden"), "x").unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(base.join("secret.html"), root.join("link.html")).unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(&base, root.join("out")).unwrap();

        assert_eq!(
            find(&root, "/m/0/1.html"),
            Some(Target::Page(root.join("m/0/1.html")))
        );
        assert_eq!(
            find(&root, "/m//0/1.html"),
            Some(Target::Page(root.join("m/0/1.html")))
        );
        assert_eq!(
            find(&root, "/m/a%20b.json"),
            Some(Target::File(root.join("m/a b.json")))
        );
        // a folder's address never leads to another host
        for path in [
            "/m/0",
            "//m/0",
            "///m//0",
            "/m%2F0",
            "/%2Fm%2f%2f0",
            "/%2F%2Fm/0",
        ] {
            assert_eq!(
                find(&root, path),
                Some(Target::Folder("/m/0/".into())),
                "{path}"
            );
        }
        fs::create_dir(root.join("a b?")).unwrap();
        assert_eq!(
            find(&root, "/a%20b%3F"),
            Some(Target::Folder("/a%20b%3F/".into()))
        );
        for path in [
            "/../secret.html",
            "/%2e%2e/secret.html",
            "/m/..%2f..%2fsecret.html",
            "/m/%2e%2e/%2e%2e/secret.html",
            "/..%5csecret.html",
            "/link.html",
            "/out/secret.html",
            "/.hidden",
            "/%2ehidden",
            "//etc/passwd",
            "/%00",
            "/m/0/1.html%00.json",
            "/m/0/1.html/",
            "/%ff",
            "/m/0/",
            "/nothing",
            "/\\m",
            "/%5Cm",
            "/%5C%5Cm/0",
        ] {
            let found = find(&root, path);
            assert!(
                found.is_none() || path == "/m/0/1.html/",
                "{path} gave {found:?}"
            );
        }
    }
}
