//! What the environment says of the Hub, read as `huggingface_hub` reads it, with one difference: a variable that is set
//! to nothing counts as not set.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::files::read_at_most;
use crate::load::error::LoadError;

/// Length of the file with the token.
const MOST_TOKEN_BYTES: u64 = 1 << 16;

const ENDPOINT: &str = "https://huggingface.co";

/// How long to wait for an answer, or for more of one, where the environment does not say.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The variables; those of the process, or of a test.
type Variables<'v> = &'v dyn Fn(&str) -> Option<OsString>;

pub(in crate::load) struct Environment {
    /// Address of the Hub, without a slash at its end.
    pub(super) endpoint: String,
    pub(super) token: Option<String>,
    /// Folder of the cache.
    pub(super) cache: PathBuf,
    /// The variable that forbids the network.
    pub(super) offline: Option<&'static str>,
    /// How long to wait for an answer.
    pub(super) answer_timeout: Duration,
    /// How long to wait for more of a file.
    pub(super) idle_timeout: Duration,
}

fn bad(setting: &str, reason: &str) -> LoadError {
    LoadError::HubSetting {
        setting: format!("`{setting}`"),
        reason: reason.to_owned(),
    }
}

impl Environment {
    /// That of this process.
    pub(in crate::load) fn of_process() -> Result<Self, LoadError> {
        Self::read(&|name| std::env::var_os(name))
    }

    fn read(variables: Variables<'_>) -> Result<Self, LoadError> {
        let reader = Reader { variables };
        let home = reader.home()?;
        let cache = match reader.path("HF_HUB_CACHE")? {
            Some(cache) => cache,
            None => match reader.path("HUGGINGFACE_HUB_CACHE")? {
                Some(cache) => cache,
                None => home.join("hub"),
            },
        };
        let offline = ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"];
        let offline = offline.into_iter().find(|name| reader.set(name).is_some());
        Ok(Self {
            endpoint: reader.endpoint()?,
            token: reader.token(&home)?,
            cache,
            offline: offline.filter(|name| reader.is_true(name)),
            answer_timeout: reader.seconds("HF_HUB_ETAG_TIMEOUT")?,
            idle_timeout: reader.seconds("HF_HUB_DOWNLOAD_TIMEOUT")?,
        })
    }
}

struct Reader<'v> {
    variables: Variables<'v>,
}

impl Reader<'_> {
    fn set(&self, name: &str) -> Option<OsString> {
        (self.variables)(name).filter(|value| !value.is_empty())
    }

    fn text(&self, name: &str) -> Result<Option<String>, LoadError> {
        let text = self.set(name).map(OsString::into_string).transpose();
        text.map_err(|_| bad(name, "is not UTF-8"))
    }

    fn is_true(&self, name: &str) -> bool {
        let value = self.set(name).unwrap_or_default();
        let value = value.to_string_lossy().to_uppercase();
        ["1", "ON", "YES", "TRUE"].contains(&value.as_str())
    }

    fn seconds(&self, name: &str) -> Result<Duration, LoadError> {
        let Some(text) = self.text(name)? else {
            return Ok(TIMEOUT);
        };
        match text.trim().parse::<u32>() {
            Ok(0) => Ok(TIMEOUT),
            Ok(seconds) => Ok(Duration::from_secs(seconds.into())),
            Err(_) => Err(bad(name, "is not a whole number of seconds")),
        }
    }

    fn endpoint(&self) -> Result<String, LoadError> {
        let name = "HF_ENDPOINT";
        let text = self.text(name)?.unwrap_or_else(|| ENDPOINT.to_owned());
        let endpoint = text.trim().trim_end_matches('/');
        let after_scheme = ["https://", "http://"]
            .iter()
            .find_map(|scheme| endpoint.strip_prefix(scheme));
        let plain = |rest: &&str| {
            let odd = |c: char| c.is_whitespace() || c.is_control() || "?#\\".contains(c);
            !rest.is_empty() && !rest.starts_with('/') && !rest.contains(odd)
        };
        match after_scheme.filter(plain) {
            Some(_) => Ok(endpoint.to_owned()),
            None => Err(bad(
                name,
                "is not an address that begins with `https://` or `http://`",
            )),
        }
    }

    /// The folder of all that Hugging Face's libraries keep.
    fn home(&self) -> Result<PathBuf, LoadError> {
        if let Some(home) = self.path("HF_HOME")? {
            return Ok(home);
        }
        let caches = match self.path("XDG_CACHE_HOME")? {
            Some(caches) => caches,
            None => self.user_home("XDG_CACHE_HOME")?.join(".cache"),
        };
        Ok(caches.join("huggingface"))
    }

    /// The user's own folder, which is needed because a variable is not set or begins with `~`.
    fn user_home(&self, wanted_by: &str) -> Result<PathBuf, LoadError> {
        let home = self.set("HOME").map(PathBuf::from);
        let home = home.or_else(std::env::home_dir);
        home.ok_or_else(|| {
            bad(
                wanted_by,
                "needs the user's home folder, which is not known",
            )
        })
    }

    /// A path, with `~` and `$NAME` or `${NAME}` replaced.
    fn path(&self, name: &str) -> Result<Option<PathBuf>, LoadError> {
        let Some(value) = self.set(name) else {
            return Ok(None);
        };
        let Some(text) = value.to_str() else {
            // without text there is nothing to replace
            return Ok(Some(value.into()));
        };
        let text = match text.strip_prefix('~') {
            None => text.to_owned(),
            Some(rest) if rest.is_empty() || rest.starts_with('/') => {
                let home = self.user_home(name)?;
                format!("{}{rest}", home.to_string_lossy().trim_end_matches('/'))
            }
            Some(_) => {
                return Err(bad(
                    name,
                    "names another user's home folder with `~`: write the whole path",
                ));
            }
        };
        Ok(Some(self.expanded(&text).into()))
    }

    /// A text with `$NAME` and `${NAME}` replaced where there is such a variable.
    fn expanded(&self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some(dollar) = rest.find('$') {
            out.push_str(&rest[..dollar]);
            rest = &rest[dollar + 1..];
            let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let (name, whole) = match rest.strip_prefix('{') {
                Some(braced) => match braced.find('}') {
                    Some(end) => (&braced[..end], end + 2),
                    None => ("", 0),
                },
                None => {
                    let end = rest.find(|c| !word(c)).unwrap_or(rest.len());
                    (&rest[..end], end)
                }
            };
            match (self.variables)(name).filter(|_| !name.is_empty()) {
                Some(value) => {
                    out.push_str(&value.to_string_lossy());
                    rest = &rest[whole..];
                }
                None => out.push('$'),
            }
        }
        out + rest
    }

    /// The token of a variable, else of the file that `hf auth login` writes.
    fn token(&self, home: &Path) -> Result<Option<String>, LoadError> {
        if self.is_true("HF_HUB_DISABLE_IMPLICIT_TOKEN") {
            return Ok(None);
        }
        let variables = ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"];
        if let Some(name) = variables.into_iter().find(|name| self.set(name).is_some()) {
            let text = self.set(name).unwrap_or_default();
            if let Some(token) = clean(name, &text.to_string_lossy())? {
                return Ok(Some(token));
            }
        }
        let path = self.path("HF_TOKEN_PATH")?;
        let path = path.unwrap_or_else(|| home.join("token"));
        match read_at_most(&path, MOST_TOKEN_BYTES) {
            Ok(bytes) => clean(
                &path.display().to_string(),
                &String::from_utf8_lossy(&bytes),
            ),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => {
                let reason = format!("cannot be read: {error}");
                Err(bad(&path.display().to_string(), &reason))
            }
        }
    }
}

/// A token without the line ends and spaces that come from copying it; none if nothing is left.
fn clean(setting: &str, text: &str) -> Result<Option<String>, LoadError> {
    let text = text.replace(['\r', '\n'], "");
    let token = text.trim();
    match token.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(Some(token.to_owned()).filter(|token| !token.is_empty())),
        false => Err(bad(setting, "holds characters that no token has")),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Environment, String> {
        let find = |name: &str| {
            let found = variables.iter().find(|(other, _)| *other == name);
            found.map(|(_, value)| OsString::from(value))
        };
        Environment::read(&find).map_err(|error| error.to_string())
    }

    fn cache(variables: &[(&str, &str)]) -> String {
        let all = [&[("HOME", "/home/me")], variables].concat();
        read(&all).unwrap().cache.display().to_string()
    }

    #[test]
    fn the_cache_is_where_huggingface_hub_has_it() {
        // computed with huggingface_hub's constants.py
        assert_eq!(cache(&[]), "/home/me/.cache/huggingface/hub");
        assert_eq!(cache(&[("XDG_CACHE_HOME", "/c")]), "/c/huggingface/hub");
        assert_eq!(
            cache(&[("XDG_CACHE_HOME", "~/c")]),
            "/home/me/c/huggingface/hub"
        );
        assert_eq!(
            cache(&[("HF_HOME", "~/hh"), ("XDG_CACHE_HOME", "/c")]),
            "/home/me/hh/hub"
        );
        assert_eq!(cache(&[("HF_HOME", "~")]), "/home/me/hub");
        assert_eq!(
            cache(&[("HF_HOME", "$HOME/a"), ("HUGGINGFACE_HUB_CACHE", "")]),
            "/home/me/a/hub"
        );
        assert_eq!(
            cache(&[("HF_HOME", "/x"), ("HUGGINGFACE_HUB_CACHE", "/y")]),
            "/y"
        );
        assert_eq!(
            cache(&[("HF_HUB_CACHE", "/z"), ("HUGGINGFACE_HUB_CACHE", "/y")]),
            "/z"
        );
        assert_eq!(
            cache(&[("HF_HUB_CACHE", "${D}/b$D"), ("D", "/d")]),
            "/d/b/d"
        );
        assert_eq!(
            cache(&[("HF_HUB_CACHE", "/a/$nothing/${}/$")]),
            "/a/$nothing/${}/$"
        );
        assert_eq!(cache(&[("HF_HUB_CACHE", "/a/~")]), "/a/~");
        assert_eq!(
            cache(&[("HF_HOME", ""), ("HF_HUB_CACHE", "")]),
            "/home/me/.cache/huggingface/hub"
        );
        let other = read(&[("HOME", "/home/me"), ("HF_HOME", "~you/x")]);
        assert!(
            other
                .err()
                .unwrap()
                .contains("`HF_HOME` names another user's")
        );
    }

    #[test]
    fn tokens_are_cleaned_and_never_shown() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().display().to_string();
        let token = |more: &[(&str, &str)]| {
            let all = [&[("HF_HOME", home.as_str())], more].concat();
            read(&all).map(|environment| environment.token)
        };
        let some = |token: &str| Ok(Some(token.to_owned()));
        assert_eq!(token(&[]), Ok(None));
        assert_eq!(token(&[("HF_TOKEN", " hf_abc\r\n")]), some("hf_abc"));
        assert_eq!(token(&[("HUGGING_FACE_HUB_TOKEN", "old")]), some("old"));
        assert_eq!(
            token(&[("HF_TOKEN", "new"), ("HUGGING_FACE_HUB_TOKEN", "old")]),
            some("new")
        );
        fs::write(dir.path().join("token"), "of_file\n").unwrap();
        assert_eq!(token(&[("HF_TOKEN", "")]), some("of_file"));
        assert_eq!(
            token(&[("HF_TOKEN", "\n"), ("HUGGING_FACE_HUB_TOKEN", "old")]),
            some("of_file")
        );
        fs::write(dir.path().join("other"), "elsewhere").unwrap();
        assert_eq!(
            token(&[("HF_TOKEN_PATH", "$HF_HOME/other")]),
            some("elsewhere")
        );
        assert_eq!(token(&[("HF_TOKEN_PATH", "$HF_HOME/none")]), Ok(None));
        // a folder, and a file that is too long to be one of a token
        let long = fs::File::create(dir.path().join("long")).unwrap();
        long.set_len(1 << 40).unwrap();
        for path in ["$HF_HOME", "$HF_HOME/long"] {
            let error = token(&[("HF_TOKEN_PATH", path)]).unwrap_err();
            assert!(error.contains("` cannot be read: "), "{error}");
        }
        for yes in ["1", "on", "Yes", "TRUE"] {
            assert_eq!(
                token(&[("HF_TOKEN", "x"), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", yes)]),
                Ok(None)
            );
        }
        for bad in ["se cret", "secrét", "se\u{7}cret"] {
            let error = token(&[("HF_TOKEN", bad)]).unwrap_err();
            assert!(
                error.contains("`HF_TOKEN`") && !error.contains("cr"),
                "{error}"
            );
        }
    }

    #[test]
    fn switches_addresses_and_times() {
        let offline = |more: &[(&str, &str)]| {
            let all = [&[("HOME", "/")], more].concat();
            read(&all).unwrap().offline
        };
        assert_eq!(
            offline(&[("HF_HUB_OFFLINE", "yes")]),
            Some("HF_HUB_OFFLINE")
        );
        assert_eq!(
            offline(&[("TRANSFORMERS_OFFLINE", "1")]),
            Some("TRANSFORMERS_OFFLINE")
        );
        // the first that is set decides
        assert_eq!(
            offline(&[("HF_HUB_OFFLINE", "0"), ("TRANSFORMERS_OFFLINE", "1")]),
            None
        );
        for no in ["", "0", "false", "2", "y"] {
            assert_eq!(offline(&[("HF_HUB_OFFLINE", no)]), None);
        }
        let endpoint = |value: &str| {
            let found = read(&[("HOME", "/"), ("HF_ENDPOINT", value)]);
            found.map(|environment| environment.endpoint)
        };
        assert_eq!(endpoint(""), Ok(ENDPOINT.to_owned()));
        assert_eq!(endpoint("http://h:1/a//"), Ok("http://h:1/a".to_owned()));
        for bad in [
            "hf-mirror.com",
            "ftp://h",
            "https://",
            "file:///etc",
            "http:///x",
            "http://a b",
        ] {
            assert!(
                endpoint(bad).unwrap_err().contains("`HF_ENDPOINT`"),
                "{bad}"
            );
        }
        let times = |value: &str| {
            let found = read(&[("HOME", "/"), ("HF_HUB_DOWNLOAD_TIMEOUT", value)]);
            found.map(|environment| environment.idle_timeout.as_secs())
        };
        assert_eq!((times("3"), times("0")), (Ok(3), Ok(10)));
        assert!(
            times("soon")
                .unwrap_err()
                .contains("`HF_HUB_DOWNLOAD_TIMEOUT`")
        );
    }
}
