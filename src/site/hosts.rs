//! What file hosts take: how large a site and its files may be there, and what helps if a site is larger.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::fmt;

use serde::Serialize;

/// The share of a site that cards are at least.
const CARDS: f64 = 0.05;

/// A host of files, with the limits that its documentation names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Host {
    /// Its name.
    pub name: &'static str,
    /// The page that names its limits.
    pub source: &'static str,
    /// Bytes of a whole site.
    pub most_bytes: Option<u64>,
    /// Files of a site.
    pub most_files: Option<u64>,
    /// Files and folders in one folder.
    pub most_entries: Option<u64>,
    /// Bytes of one file.
    pub most_file_bytes: Option<u64>,
    /// The command that publishes the folder `site` there.
    pub command: &'static str,
    /// What to do with a site that is too large even so.
    pub beyond: &'static str,
}

/// GitHub Pages, from a branch or from a workflow.
pub const GITHUB_PAGES: Host = Host {
    name: "GitHub Pages",
    source: "https://docs.github.com/en/pages/getting-started-with-github-pages/github-pages-limits",
    most_bytes: Some(1_000_000_000),
    most_files: None,
    most_entries: None,
    most_file_bytes: Some(100_000_000),
    command: "neuroscope publish",
    beyond: "choose a host without that limit (docs/hosting.md)",
};

/// The hosts whose limits are known.
pub const HOSTS: [Host; 5] = [
    GITHUB_PAGES,
    Host {
        name: "Cloudflare Pages",
        source: "https://developers.cloudflare.com/pages/platform/limits/",
        most_bytes: None,
        most_files: Some(20_000),
        most_entries: None,
        most_file_bytes: Some(25 << 20),
        command: "npx wrangler pages deploy site",
        beyond: "take a paid plan, whose sites may have 100,000 files",
    },
    Host {
        name: "Netlify",
        source: "https://docs.netlify.com/site-deploys/overview/",
        most_bytes: None,
        most_files: None,
        most_entries: Some(54_000),
        most_file_bytes: None,
        command: "netlify deploy --prod --dir site",
        beyond: "choose a host without that limit (docs/hosting.md)",
    },
    Host {
        name: "Hugging Face Spaces",
        source: "https://huggingface.co/docs/hub/storage-limits",
        most_bytes: None,
        most_files: Some(100_000),
        most_entries: Some(10_000),
        most_file_bytes: None,
        command: "hf upload USER/SPACE site . --repo-type space",
        beyond: "choose a host without that limit (docs/hosting.md)",
    },
    Host {
        name: "buckets (S3, R2)",
        source: "https://docs.aws.amazon.com/AmazonS3/latest/userguide/WebsiteHosting.html",
        most_bytes: None,
        most_files: None,
        most_entries: None,
        most_file_bytes: None,
        command: "aws s3 sync site s3://BUCKET --delete",
        beyond: "choose a host without that limit (docs/hosting.md)",
    },
];

/// How large a site is, as far as hosts care.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SiteSize {
    /// Bytes of all files.
    pub bytes: u64,
    /// Files.
    pub n_files: u64,
    /// The largest file, with its bytes.
    pub largest_file: (String, u64),
    /// The fullest folder, with the number of files and folders in it; the site's own folder has no name.
    pub fullest_folder: (String, u64),
}

impl SiteSize {
    /// The size of a site of these files, each with its bytes.
    pub fn of<'a>(files: impl IntoIterator<Item = (&'a str, u64)> + Clone) -> Self {
        let mut size = Self {
            fullest_folder: fullest_folder(files.clone().into_iter().map(|(name, _)| name)),
            ..Self::default()
        };
        for (name, bytes) in files {
            size.bytes += bytes;
            size.n_files += 1;
            if bytes > size.largest_file.1 {
                size.largest_file = (name.to_owned(), bytes);
            }
        }
        size
    }
}

/// The folder with the most files and folders in it, by the names of all files.
pub(super) fn fullest_folder<'a>(names: impl Iterator<Item = &'a str>) -> (String, u64) {
    let (mut n_entries, mut folders) = (HashMap::<&str, u64>::new(), HashSet::new());
    for mut name in names {
        // a folder is an entry of the one around it, once
        loop {
            let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
            *n_entries.entry(folder).or_default() += 1;
            if folder.is_empty() || !folders.insert(folder) {
                break;
            }
            name = folder;
        }
    }
    let fullest = n_entries
        .into_iter()
        .max_by_key(|(name, n)| (*n, Reverse(*name)));
    fullest.map_or_else(Default::default, |(name, n)| (name.to_owned(), n))
}

/// What a site was built from, as far as it can be left out.
#[derive(Clone, Copy, Debug)]
pub struct Contents {
    /// Models.
    pub n_models: usize,
    /// Neurons of all models.
    pub n_neurons: u64,
    /// Whether there are neurons with pages that could be packed.
    pub can_be_packed: bool,
    /// Whether each neuron has a card.
    pub cards: bool,
    /// Whether each neuron has its record as a file.
    pub neuron_json: bool,
}

/// A limit of a host that a site exceeds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Excess {
    /// The whole site is too large.
    Bytes {
        /// Its bytes.
        found: u64,
        /// The limit.
        most: u64,
    },
    /// It has too many files.
    Files {
        /// Their number.
        found: u64,
        /// The limit.
        most: u64,
    },
    /// A folder is too full.
    Entries {
        /// The folder.
        folder: String,
        /// Its files and folders.
        found: u64,
        /// The limit.
        most: u64,
    },
    /// A file is too large.
    FileBytes {
        /// The file.
        name: String,
        /// Its bytes.
        found: u64,
        /// The limit.
        most: u64,
    },
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes { found, most } => {
                let (found, most) = (size_words(*found), size_words(*most));
                write!(f, "the site is {found}, of at most {most}")
            }
            Self::Files { found, most } => {
                let (found, most) = (count_words(*found), count_words(*most));
                write!(f, "the site has {found} files, of at most {most}")
            }
            Self::Entries {
                folder,
                found,
                most,
            } => {
                let (found, most) = (count_words(*found), count_words(*most));
                write!(f, "`{folder}/` has {found} entries, of at most {most}")
            }
            Self::FileBytes { name, found, most } => {
                let (found, most) = (size_words(*found), size_words(*most));
                write!(f, "`{name}` is {found}, of at most {most}")
            }
        }
    }
}

impl Host {
    /// The limits that a site exceeds.
    pub fn excesses(&self, size: &SiteSize) -> Vec<Excess> {
        let over = |found: u64, most: Option<u64>| most.filter(|most| found > *most);
        let (file, file_bytes) = &size.largest_file;
        let (folder, n_entries) = &size.fullest_folder;
        let bytes = over(size.bytes, self.most_bytes).map(|most| Excess::Bytes {
            found: size.bytes,
            most,
        });
        let files = over(size.n_files, self.most_files).map(|most| Excess::Files {
            found: size.n_files,
            most,
        });
        let entries = over(*n_entries, self.most_entries).map(|most| Excess::Entries {
            folder: folder.clone(),
            found: *n_entries,
            most,
        });
        let file = over(*file_bytes, self.most_file_bytes).map(|most| Excess::FileBytes {
            name: file.clone(),
            found: *file_bytes,
            most,
        });
        [bytes, files, entries, file]
            .into_iter()
            .flatten()
            .collect()
    }

    /// What helps a site that exceeds some limits.
    pub fn remedies(&self, excesses: &[Excess], contents: &Contents) -> Vec<String> {
        let mut remedies = Vec::new();
        if contents.can_be_packed {
            remedies.push("build with `--layout packed`".into());
        }
        let is_file = |excess: &Excess| matches!(excess, Excess::FileBytes { .. });
        let is_folder = |excess: &Excess| matches!(excess, Excess::Entries { .. });
        if contents.n_models > 1 && !excesses.iter().any(|of| is_file(of) || is_folder(of)) {
            remedies.push("give each model a site of its own with `--data`".into());
        }
        let fits_without_cards = |excess: &Excess| match excess {
            Excess::Bytes { found, most } => *found as f64 * (1.0 - CARDS) <= *most as f64,
            Excess::Files { found, most } => found.saturating_sub(contents.n_neurons) <= *most,
            // a card lies in a folder beside its neuron's page and record
            Excess::Entries { found, most, .. } => {
                let (now, then) = (
                    2 + u64::from(contents.neuron_json),
                    1 + u64::from(contents.neuron_json),
                );
                (found * then).div_ceil(now) <= *most
            }
            Excess::FileBytes { .. } => false,
        };
        if contents.cards && excesses.iter().all(fits_without_cards) {
            remedies.push("build with `--cards=false`".into());
        }
        remedies.push(self.beyond.into());
        remedies
    }
}

/// A number of bytes in words, such as `92.1 MB`.
pub fn size_words(bytes: u64) -> String {
    let in_units = |unit: f64, name: &str, digits: usize| {
        let text = format!("{:.digits$}", bytes as f64 / unit);
        let text = match text.contains('.') {
            true => text.trim_end_matches('0').trim_end_matches('.'),
            false => &text,
        };
        format!("{text} {name}")
    };
    match bytes {
        1_000_000_000.. => in_units(1e9, "GB", 2),
        1_000_000.. => in_units(1e6, "MB", 1),
        _ => in_units(1e3, "kB", 0),
    }
}

/// A count with commas, such as `20,000`.
pub fn count_words(n: u64) -> String {
    let digits = n.to_string();
    let mut words = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            words.push(',');
        }
        words.push(digit);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str) -> Host {
        HOSTS.into_iter().find(|host| host.name == name).unwrap()
    }

    #[test]
    fn the_fullest_folder_counts_files_and_folders() {
        let fullest = |names: &[&str]| fullest_folder(names.iter().copied());
        assert_eq!(fullest(&[]), (String::new(), 0));
        assert_eq!(fullest(&["a", "b/c", "b/d"]), (String::new(), 2));
        let names = ["m/0/1.html", "m/0/1/card.html", "m/0/2.html", "m/1/1.html"];
        assert_eq!(fullest(&names), ("m/0".into(), 3));
    }

    #[test]
    fn a_site_at_a_limit_fits() {
        let github = SiteSize {
            bytes: 1_000_000_000,
            n_files: 1_000_000,
            largest_file: ("a.json".into(), 100_000_000),
            fullest_folder: ("m/0".into(), 1_000_000),
        };
        assert_eq!(GITHUB_PAGES.excesses(&github), []);
        let over = SiteSize {
            bytes: github.bytes + 1,
            largest_file: ("a.json".into(), 123_000_000),
            ..github
        };
        let said = |host: &Host, size: &SiteSize| {
            let excesses = host.excesses(size).into_iter();
            excesses
                .map(|excess| excess.to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            said(&GITHUB_PAGES, &over),
            [
                "the site is 1 GB, of at most 1 GB",
                "`a.json` is 123 MB, of at most 100 MB"
            ]
        );
        assert_eq!(
            said(&host("Cloudflare Pages"), &over),
            [
                "the site has 1,000,000 files, of at most 20,000",
                "`a.json` is 123 MB, of at most 26.2 MB"
            ]
        );
        assert_eq!(
            said(&host("Netlify"), &over),
            ["`m/0/` has 1,000,000 entries, of at most 54,000"]
        );
        assert_eq!(host("buckets (S3, R2)").excesses(&over), []);
    }

    #[test]
    fn what_helps_is_said_of_sites_too_large() {
        let other = "choose a host without that limit (docs/hosting.md)";
        let (data, cards) = (
            "give each model a site of its own with `--data`",
            "build with `--cards=false`",
        );
        let contents = |n_models, n_neurons, cards| Contents {
            n_models,
            n_neurons,
            can_be_packed: false,
            cards,
            neuron_json: false,
        };
        let bytes = |found| Excess::Bytes {
            found,
            most: 1_000_000_000,
        };
        let help = |excess: Excess, contents: Contents| GITHUB_PAGES.remedies(&[excess], &contents);
        assert_eq!(
            help(bytes(1_000_000_001), contents(1, 9, true)),
            [cards, other]
        );
        assert_eq!(help(bytes(1_000_000_001), contents(1, 9, false)), [other]);
        let in_pages = Contents {
            can_be_packed: true,
            ..contents(1, 9, false)
        };
        let packed = "build with `--layout packed`";
        assert_eq!(help(bytes(1_000_000_001), in_pages), [packed, other]);
        assert_eq!(
            help(bytes(3_000_000_000), contents(2, 9, true)),
            [data, other]
        );
        let file = Excess::FileBytes {
            name: "a".into(),
            found: 2,
            most: 1,
        };
        assert_eq!(help(file, contents(2, 9, true)), [other]);
        let files = |found| Excess::Files {
            found,
            most: 20_000,
        };
        assert_eq!(
            help(files(30_000), contents(1, 14_000, true)),
            [cards, other]
        );
        assert_eq!(help(files(30_000), contents(1, 9_000, true)), [other]);
        let entries = |found| Excess::Entries {
            folder: "m/0".into(),
            found,
            most: 10_000,
        };
        assert_eq!(help(entries(16_385), contents(2, 9, true)), [cards, other]);
        assert_eq!(help(entries(20_001), contents(2, 9, true)), [other]);
        let with_json = Contents {
            neuron_json: true,
            ..contents(2, 9, true)
        };
        assert_eq!(help(entries(15_000), with_json), [cards, other]);
        assert_eq!(help(entries(16_385), with_json), [other]);
    }

    #[test]
    fn numbers_are_words() {
        let sizes = [999, 92_130_000, 100_000_000, 1_000_000_000, 1_234_000_000];
        let words = ["1 kB", "92.1 MB", "100 MB", "1 GB", "1.23 GB"];
        assert_eq!(sizes.map(size_words), words);
        let counts = [7, 999, 1_000, 20_000, 1_234_567];
        assert_eq!(
            counts.map(count_words),
            ["7", "999", "1,000", "20,000", "1,234,567"]
        );
    }
}
