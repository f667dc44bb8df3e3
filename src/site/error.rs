//! What can go wrong while a site is built.

use std::borrow::Cow;
use std::io;
use std::path::PathBuf;

use crate::atlas::AtlasError;
use crate::hint::Hint;
use crate::ids::{ModelName, ModelNameError};
use crate::tokens::store::StoreError;

/// What can go wrong while a site is built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SiteError {
    /// An atlas cannot be read.
    #[error(transparent)]
    Atlas(#[from] AtlasError),
    /// A corpus cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The content is wrong.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// A template is wrong.
    #[error("template `{template}`: {reason}")]
    Template {
        /// The template.
        template: String,
        /// Why.
        reason: String,
    },
    /// An asset refers to itself by way of others.
    #[error(
        "asset `{0}` imports itself through others, so its name cannot contain a hash of its content"
    )]
    AssetCircle(String),
    /// A file cannot be read or written.
    #[error("cannot {action} `{path}`: {source}")]
    Io {
        /// `read`, `write`...
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Records cannot be put into a packed file, or taken out of one.
    #[error("a packed file cannot be made or read: {0}")]
    Pack(String),
    /// A packed file cannot be compressed.
    #[error("a file cannot be compressed")]
    Compress,
    /// Packed sites have the text once, from the corpus.
    #[error("the corpus is not there, and the layout `packed` needs it")]
    NoCorpusToPack,
    /// A file of the site would take the place of somebody's own.
    #[error("`{0}` was not written by neuroscope, but a page should be there")]
    Foreign(PathBuf),
    /// A file or folder of the site cannot be written, because something else has its name.
    #[error(
        "`{0}` is in the way: it is a link, or a folder where a file should be, or the reverse"
    )]
    InTheWay(PathBuf),
    /// Another process writes the folder.
    #[error("`{0}` is being written by another build")]
    Busy(PathBuf),
    /// A folder has no site in it.
    #[error("`{0}` has no site in it: no build has written there")]
    NotBuilt(PathBuf),
    /// It is not known which files a site has.
    #[error(
        "the site in `{0}` is not whole: the last build did not end, or its list of files is damaged"
    )]
    Unfinished(PathBuf),
    /// A file of the site is gone.
    #[error("`{0}`, written by the last build, is missing")]
    Missing(PathBuf),
    /// A link or something else that no host can take is among the site's files.
    #[error("`{0}` is not a regular file, so no host can take it")]
    NotAFile(PathBuf),
    /// A folder that is not for sites.
    #[error("`{}` cannot be the site's folder: {reason}", out.display())]
    BadPlace {
        /// The folder.
        out: PathBuf,
        /// Why.
        reason: String,
    },
    /// An option is wrong.
    #[error("{option} `{}` {reason}", value.escape_debug())]
    BadOption {
        /// The option, as the project file has it.
        option: &'static str,
        /// Its value.
        value: String,
        /// What is wrong with it.
        reason: String,
        /// What to write instead.
        instead: Cow<'static, str>,
    },
    /// A file cannot have this address.
    #[error("`{}` cannot be the address of a file on the site", .0.escape_debug())]
    BadAddress(String),
    /// Two of the site's files would have one address where the case or the spelling of letters does not count.
    #[error("`{0}` and `{1}` are the same file on some systems")]
    Alike(String, String),
    /// Two of the site's files would have one address.
    #[error("two pages would have the address `{0}`")]
    Twice(String),
    /// Two models have one name, or names that are one folder on some systems.
    #[error("two atlases are named `{0}` and `{1}`")]
    SameName(ModelName, ModelName),
    /// A model's name cannot be part of an address.
    #[error(transparent)]
    BadName(#[from] ModelNameError),
    /// A file of the content would be among a model's files.
    #[error("`{0}` is in a folder that belongs to a model or to the site itself")]
    BadFolder(PathBuf),
    /// The caller asked to stop.
    #[error("interrupted")]
    Interrupted,
}

impl SiteError {
    /// An error of reading or writing a file.
    pub(super) fn io(action: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::Io {
            action,
            path: path.into(),
            source,
        }
    }
}

impl Hint for SiteError {
    fn own_hint(&self) -> Option<Cow<'static, str>> {
        let hint = match self {
            Self::BadOption { instead, .. } => return Some(instead.clone()),
            Self::NoCorpusToPack => {
                "build with `--layout pages`, or bring the corpus of the scan back with `neuroscope tokenize --data`"
            }
            Self::Foreign(_) => {
                "choose another folder with `--out`; files that neuroscope did not write are never overwritten or deleted"
            }
            Self::InTheWay(_) => {
                "move it away, or choose another folder with `--out`; the site's folder itself may be a link, but links inside it are not followed"
            }
            Self::NotBuilt(_) => {
                "build the site first with `neuroscope build`, or say with `--out` where it is"
            }
            Self::Unfinished(_) | Self::Missing(_) => "run `neuroscope build` again",
            Self::NotAFile(_) => "replace it by the file that it stands for, or move it away",
            Self::Busy(_) => "wait until it is done, or choose another folder with `--out`",
            Self::BadPlace { .. } => "choose a folder only for the site, such as `--out site`",
            Self::Interrupted => {
                "the pages that were written are complete; run the same command again to continue"
            }
            Self::Twice(_) | Self::Alike(..) | Self::BadAddress(_) => {
                "give the file in `content/` another name"
            }
            Self::BadFolder(_) => "choose another folder in `content/`",
            Self::SameName(..) | Self::BadName(_) => "scan with another `--name`",
            _ => return None,
        };
        Some(hint.into())
    }

    fn inner(&self) -> Option<&dyn Hint> {
        match self {
            Self::Atlas(error) => Some(error),
            Self::Content(error) => Some(error),
            _ => None,
        }
    }
}

/// What can be wrong with the content.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContentError {
    /// A file cannot be read.
    #[error("cannot read `{path}`: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Front matter is not TOML between two lines of `+++`.
    #[error("`{path}`: front matter: {reason}")]
    FrontMatter {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Front matter is YAML.
    #[error("`{path}` begins with front matter in YAML")]
    Yaml {
        /// The file.
        path: PathBuf,
        /// Lines of TOML that say the same, if they are simple.
        toml: Option<String>,
    },
    /// A text would take too long.
    #[error("`{path}` {reason}")]
    Unbounded {
        /// The file.
        path: PathBuf,
        /// What it has too much of.
        reason: &'static str,
    },
    /// The folder holds more files than a site can have.
    #[error("`{0}` holds more than 1,000,000 files")]
    TooMany(PathBuf),
    /// A file's name is not text.
    #[error("`{}` has a name that is not UTF-8", .0.display())]
    Name(PathBuf),
    /// Two files are for the same place.
    #[error("`{0}` and `{1}` would be the same page")]
    Twice(PathBuf, PathBuf),
    /// A line is not an explanation of a neuron.
    #[error("`{path}` line {line}: {reason}")]
    Explanation {
        /// The file.
        path: PathBuf,
        /// Its line.
        line: usize,
        /// Why.
        reason: String,
    },
    /// A note is not named after a neuron.
    #[error("`{0}` is not a note on a neuron: expected `notes/<model>/<layer>/<neuron>.md`")]
    NoteName(PathBuf),
}

impl Hint for ContentError {
    fn own_hint(&self) -> Option<Cow<'static, str>> {
        Some(match self {
            Self::Yaml { toml, .. } => {
                let example = "    title = \"About us\"\n    menu = 1\n";
                let toml = toml.as_deref().filter(|toml| !toml.is_empty());
                let toml = toml.unwrap_or(example);
                format!("write it in TOML between two lines of `+++`:\n\n    +++\n{toml}    +++")
                    .into()
            }
            Self::Unbounded { .. } => "split it into several files".into(),
            Self::TooMany(_) => {
                "look for links that lead in circles, and for files that do not belong to the site"
                    .into()
            }
            Self::Name(_) => "rename the file".into(),
            Self::Twice(..) => "keep one of the two".into(),
            Self::Io { source, .. } if source.kind() == io::ErrorKind::InvalidData => {
                "save the file as UTF-8".into()
            }
            _ => return None,
        })
    }
}
