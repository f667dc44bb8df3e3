//! Texts without the differences that those who search do not mean: case, accents, composed and decomposed letters,
//! ligatures and other compatible forms. The same in fold.js.
//!
//! Each character is folded by itself, so that what is made of pieces folds to what its pieces fold to.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::decompose_compatible;

/// Whether a character is left out: accents, the points of Hebrew and Arabic, the long stroke between Arabic letters,
/// and characters without a form, such as soft hyphens.
#[rustfmt::skip]
fn is_left_out(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{300}'..='\u{36f}' | '\u{591}'..='\u{5bd}' | '\u{5bf}' | '\u{5c1}' | '\u{5c2}' | '\u{5c4}' | '\u{5c5}'
        | '\u{5c7}' | '\u{610}'..='\u{61a}' | '\u{640}' | '\u{64b}'..='\u{65f}' | '\u{670}' | '\u{6d6}'..='\u{6dc}'
        | '\u{6df}'..='\u{6e4}' | '\u{6e7}' | '\u{6e8}' | '\u{6ea}'..='\u{6ed}' | '\u{180b}'..='\u{180d}'
        | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{200b}' | '\u{200d}' | '\u{2060}' | '\u{20d0}'..='\u{20ff}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{fe20}'..='\u{fe2f}' | '\u{feff}' | '\u{e0100}'..='\u{e01ef}')
}

/// Letters whose stroke Unicode does not treat as an accent, and ligatures that became letters.
fn without_stroke(c: char) -> Option<&'static str> {
    Some(match c {
        'ø' => "o",
        'ł' => "l",
        'đ' => "d",
        'ħ' => "h",
        'ŧ' => "t",
        'æ' => "ae",
        'œ' => "oe",
        _ => return None,
    })
}

/// Adds a folded character to a text.
pub(crate) fn fold_char(c: char, out: &mut String) {
    if c.is_ascii() {
        out.push(c.to_ascii_lowercase());
        return;
    }
    let (start, mut n_parts) = (out.len(), 0);
    let mut stands_alone = false;
    decompose_compatible(c, |part| {
        n_parts += 1;
        stands_alone |= n_parts == 1 && part == ' ';
        if !is_left_out(part) {
            push_small(part, out);
        }
    });
    if stands_alone && n_parts > 1 {
        out.truncate(start); // a standalone accent is not a space
        out.push(c);
    }
}

/// Adds a character in small letters, by way of capitals, so that ß is ss, and ς and σ are one.
fn push_small(part: char, out: &mut String) {
    let capitals = part.to_lowercase().flat_map(char::to_uppercase);
    for c in capitals.flat_map(char::to_lowercase) {
        match without_stroke(c) {
            Some(plain) => out.push_str(plain),
            None => out.push(c),
        }
    }
}

/// A text, folded.
pub(crate) fn fold(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    text.chars().for_each(|c| fold_char(c, &mut out));
    out
}

/// What two addresses have in common that are one file on some systems: neither the case of letters nor whether they
/// are composed counts.
pub(crate) fn address_key(address: &str) -> String {
    if address.is_ascii() {
        return address.to_ascii_lowercase();
    }
    let capitals = address.nfd().flat_map(char::to_uppercase);
    capitals.flat_map(char::to_lowercase).nfc().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_searched_alike_folds_alike() {
        for alike in [
            &[
                "café",
                "cafe\u{301}",
                "CAFÉ",
                "cafe",
                "ｃａｆｅ",
                "ca\u{ad}fé",
            ][..],
            &["ﬁsh", "fish", "ＦＩＳＨ"],
            &["İstanbul", "ISTANBUL", "istanbul", "ıstanbul"],
            &["Straße", "STRASSE", "STRAẞE", "strasse"],
            &["ΟΔΟΣ", "οδος", "οδοσ", "ὁδός"],
            &["ガギ", "ｶﾞｷﾞ", "カ\u{3099}キ\u{3099}"],
            &["한국", "\u{1112}\u{1161}\u{11ab}\u{1100}\u{116e}\u{11a8}"],
            &["km²", "㎞2", "km2"],
            &["Łódź", "lodz"],
            &["Æsir", "aesir"],
            &["ёлка", "елка", "ЁЛКА"],
            &["שָׁלוֹם", "שלום"],
            &["مُحَمَّد", "محمد", "محـــمد"],
            &["ﷺ", "صلى الله عليه وسلم"],
            &["Đặng", "dang"],
        ] {
            let folded: Vec<String> = alike.iter().map(|text| fold(text)).collect();
            assert!(folded.iter().all(|other| *other == folded[0]), "{folded:?}");
        }
        // not accents: vowels of Hindi and Thai, voicing in Japanese
        for apart in [["हिन्दी", "हनद"], ["ที่", "ท"], ["が", "か"], ["´", " "]]
        {
            assert_ne!(fold(apart[0]), fold(apart[1]));
        }
    }

    /// Texts with what they fold to, which fold.js reads as well.
    #[test]
    fn texts_are_folded_as_in_the_browser() {
        let examples = include_str!("../../../tests/support/search.json");
        let examples: serde_json::Value = serde_json::from_str(examples).unwrap();
        for example in examples["folded"].as_array().unwrap() {
            let (text, folded) = (example[0].as_str().unwrap(), example[1].as_str().unwrap());
            assert_eq!(fold(text), folded, "{text}");
        }
    }

    #[test]
    fn folding_again_changes_nothing() {
        for c in ('\0'..=char::MAX).filter(|c| !c.is_ascii()) {
            let folded = fold(c.encode_utf8(&mut [0; 4]));
            assert_eq!(fold(&folded), folded, "{c} U+{:04X}", c as u32);
        }
    }

    #[test]
    fn addresses_that_are_one_file_somewhere() {
        assert_eq!(address_key("About.html"), "about.html");
        assert_eq!(address_key("Ä/x"), address_key("a\u{308}/X"));
        assert_ne!(address_key("ä"), address_key("a"));
    }

    proptest! {
        #[test]
        fn pieces_fold_like_the_whole(a in any::<String>(), b in any::<String>()) {
            prop_assert_eq!(fold(&a) + &fold(&b), fold(&(a + &b)));
        }

        #[test]
        fn normal_forms_fold_alike(text in "[[\\p{Latin}\\p{Greek}\\p{Cyrillic}\\p{Hangul}\\p{Hiragana}\\p{Katakana}\\p{Hebrew}\\p{Arabic}\\p{Thai}\\p{Devanagari}]&&[\\p{L}\\p{M}]]{0,8}") {
            // of texts in canonical order, as all that are in a normal form
            let [nfc, nfd]: [String; 2] = [text.nfc().collect(), text.nfd().collect()];
            prop_assert_eq!(fold(&nfc), fold(&nfd));
        }
    }
}
