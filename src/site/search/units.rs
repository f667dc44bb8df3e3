//! The words of a text, as they are searched: runs of letters, marks and digits of the folded text.
//!
//! Some scripts put no spaces between words. There a letter with its marks is a word, and so are two of them that
//! follow one another, so that a word of several is found by its pairs. The same in fold.js.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use crate::site::text::fold::fold;

/// Characters of the longest word.
pub(crate) const LONGEST: usize = 32;

/// Scripts without spaces between words.
const SPACELESS: &str = r"\p{scx=Han}\p{scx=Hiragana}\p{scx=Katakana}\p{scx=Thai}\p{scx=Lao}\p{scx=Khmer}\p{scx=Myanmar}\p{scx=Tai_Le}\p{scx=New_Tai_Lue}\p{scx=Tai_Tham}\p{scx=Tai_Viet}\p{scx=Ahom}";

static UNITS: LazyLock<Regex> = LazyLock::new(|| {
    let letter = format!(r"[\p{{L}}\p{{N}}&&[{SPACELESS}]][\p{{M}}&&[{SPACELESS}]]*");
    let marks = format!(r"[\p{{M}}&&[{SPACELESS}]]+");
    let run = format!(r"[\p{{L}}\p{{M}}\p{{N}}&&[^{SPACELESS}]]+");
    let units = Regex::new(&format!("({letter})|({marks})|({run})"));
    units.unwrap_or_else(|error| unreachable!("{error}"))
});

/// What a word is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnitKind {
    /// A letter with its marks, of a script without spaces between words.
    Letter,
    /// Marks of such a script without a letter.
    Marks,
    /// A run of a script with spaces.
    Run,
}

impl UnitKind {
    /// Whether two units without anything between them make a pair.
    pub(crate) fn pairs_with(self, next: Self) -> bool {
        self != Self::Run && next != Self::Run
    }

    /// Whether a unit that follows another without anything between is a part of it.
    pub(crate) fn goes_on_with(self, next: Self) -> bool {
        match next {
            Self::Letter => false,
            Self::Marks => self != Self::Run,
            Self::Run => self == Self::Run,
        }
    }
}

/// The units of a folded text.
pub(crate) fn units(folded: &str) -> impl Iterator<Item = (UnitKind, Range<usize>)> {
    UNITS.captures_iter(folded).filter_map(|found| {
        let kinds = [UnitKind::Letter, UnitKind::Marks, UnitKind::Run];
        let of = |(group, kind)| Some((kind, found.get(group)?.range()));
        (1..).zip(kinds).find_map(of)
    })
}

/// Where the words of a folded text are, pairs after the second of their units.
pub(crate) fn ranges(folded: &str) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let mut before: Option<(UnitKind, Range<usize>)> = None;
    for (kind, range) in units(folded) {
        ranges.push(range.clone());
        if let Some((first, other)) = before
            && other.end == range.start
            && first.pairs_with(kind)
        {
            ranges.push(other.start..range.end);
        }
        before = Some((kind, range));
    }
    ranges
}

/// The words of a text, as often as they are in it.
pub(crate) fn words(text: &str) -> Vec<String> {
    let folded = fold(text);
    let words = ranges(&folded).into_iter();
    words.map(|range| folded[range].to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts with their words, and those that are looked up for them, which fold.js reads as well.
    #[test]
    fn words_are_the_same_as_in_the_browser() {
        let examples = include_str!("../../../tests/support/search.json");
        let examples: serde_json::Value = serde_json::from_str(examples).unwrap();
        for example in examples["words"].as_array().unwrap() {
            let text = example[0].as_str().unwrap();
            assert_eq!(serde_json::json!(words(text)), example[1], "{text}");
        }
    }

    #[test]
    fn a_word_without_spaces_around_it_is_found_by_its_pairs() {
        for (text, word) in [
            ("ฉันชอบกินข้าวผัด", "ข้าวผัด"),
            ("ຂ້ອຍມັກກິນເຂົ້າ", "ເຂົ້າ"),
            ("ខ្ញុំស្រឡាញ់កម្ពុជា", "កម្ពុជា"),
            ("မြန်မာနိုင်ငံ", "နိုင်ငံ"),
            ("我住在北京市里", "北京市"),
            ("東京タワーに行く", "タワー"),
            ("ខ្ញុំ\u{200b}ស្រឡាញ់", "ញុំស្រ"),
        ] {
            let (all, asked) = (words(text), words(word));
            assert!(
                asked.len() > 1 && asked.iter().all(|word| all.contains(word)),
                "{word}"
            );
        }
    }
}
