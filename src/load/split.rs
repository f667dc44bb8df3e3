//! The names of a GGUF model in several files.

/// The name of one of several files, as llama.cpp's `gguf-split` gives it: `model-00001-of-00003.gguf`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SplitName {
    /// What stands before the numbers.
    pub(super) stem: String,
    pub(super) number: usize,
    pub(super) count: usize,
}

impl SplitName {
    pub(super) fn parse(name: &str) -> Option<Self> {
        let (rest, count) = name.strip_suffix(".gguf")?.rsplit_once("-of-")?;
        let (stem, number) = rest.rsplit_once('-')?;
        let five = |digits: &str| {
            let right = digits.len() == 5 && digits.bytes().all(|byte| byte.is_ascii_digit());
            right.then(|| digits.parse::<usize>().ok()).flatten()
        };
        let (number, count) = (five(number)?, five(count)?);
        (1..=count).contains(&number).then(|| Self {
            stem: stem.to_owned(),
            number,
            count,
        })
    }

    /// The name of a part.
    pub(super) fn name(&self, number: usize) -> String {
        format!("{}-{number:05}-of-{:05}.gguf", self.stem, self.count)
    }

    /// The names of all parts, in their order, or the name of a file that is a whole model.
    pub(super) fn all(name: &str) -> Vec<String> {
        match Self::parse(name) {
            Some(split) => (1..=split.count).map(|n| split.name(n)).collect(),
            None => vec![name.to_owned()],
        }
    }

    /// The name of the first part, or the name of a file that is a whole model.
    pub(super) fn first(name: &str) -> String {
        match Self::parse(name) {
            Some(split) => split.name(1),
            None => name.to_owned(),
        }
    }
}
