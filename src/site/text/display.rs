//! Tokens as people can read them, in HTML.

use std::borrow::Cow;

/// Escapes text for HTML, in content and in quoted attributes.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        escape_char(c, &mut out);
    }
    out
}

fn escape_char(c: char, out: &mut String) {
    match c {
        '&' => out.push_str("&amp;"),
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        '"' => out.push_str("&quot;"),
        '\'' => out.push_str("&#39;"),
        c => out.push(c),
    }
}

/// What stands for a character that is drawn as nothing or as a space, or that turns the direction of what follows: a
/// newline is `↵`, a tab `→`, others are shown by name or code.
fn stand_in(c: char) -> Option<String> {
    let sign = match c {
        '\n' => '↵',
        '\t' => '→',
        '\r' => '␍',
        '\u{0}'..='\u{1f}' => char::from_u32(0x2400 + c as u32)?,
        '\u{7f}' => '␡',
        '\u{80}'..='\u{a0}'
        | '\u{ad}'
        | '\u{61c}'
        | '\u{1680}'
        | '\u{2000}'..='\u{200f}'
        | '\u{2028}'..='\u{202f}'
        | '\u{205f}'..='\u{206f}'
        | '\u{3000}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}' => return Some(format!("⟨{:04X}⟩", c as u32)),
        _ => return None,
    };
    Some(sign.into())
}

/// Text of a document with nothing invisible, in HTML. The same as in tokens.js.
pub(crate) fn visible(text: &str, out: &mut String) {
    // nearly all characters are themselves
    let is_plain = |byte: &u8| matches!(byte, b' '..=b'~') && !b"&<>\"'".contains(byte);
    let mut rest = text;
    loop {
        let n = rest.bytes().position(|byte| !is_plain(&byte));
        let (plain, other) = rest.split_at(n.unwrap_or(rest.len()));
        out.push_str(plain);
        let mut chars = other.chars();
        let Some(c) = chars.next() else { return };
        match stand_in(c) {
            Some(sign) => out.push_str(&sign),
            None => escape_char(c, out),
        }
        rest = chars.as_str();
    }
}

/// A token on its own, such as in a list of logit weights, not escaped: every space is visible as well.
pub(crate) fn lone_token(text: &str) -> String {
    match plain(text).replace(' ', "␣") {
        empty if empty.is_empty() => "∅".into(),
        shown => shown,
    }
}

/// Text with nothing invisible, not escaped.
pub(crate) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match stand_in(c) {
            Some(sign) => out.push_str(&sign),
            None => out.push(c),
        }
    }
    out
}

/// Whether a character has no form of its own and sets the direction of those around it.
pub(crate) fn is_bidi(c: char) -> bool {
    is_turn(c) || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}')
}

/// Whether a character turns what follows, up to the one that ends it: of texts in which it is never ended, that is the
/// page around them.
fn is_turn(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A text of several lines without what turns the direction of what follows it.
pub(crate) fn without_turns(text: &str) -> Cow<'_, str> {
    match text.contains(is_turn) {
        true => text.replace(is_turn, "").into(),
        false => text.into(),
    }
}

/// A name or a sentence from a file, without anything that sets the direction of what stands beside it.
pub(crate) fn calm(text: &str) -> Cow<'_, str> {
    match text.contains(is_bidi) {
        true => text.replace(is_bidi, "").into(),
        false => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(text: &str) -> String {
        let mut out = String::new();
        visible(text, &mut out);
        out
    }

    #[test]
    fn nothing_is_invisible_and_nothing_is_markup() {
        assert_eq!(shown("a<br>\n\t&\"'"), "a&lt;br&gt;↵→&amp;&quot;&#39;");
        assert_eq!(
            shown("\u{0}\u{1b}\u{7f}\u{200f}\u{202e}"),
            "␀␛␡⟨200F⟩⟨202E⟩"
        );
        assert_eq!(lone_token("  May "), "␣␣May␣");
        assert_eq!(
            (lone_token(" "), lone_token(""), lone_token("a\u{a0}<b>")),
            ("␣".into(), "∅".into(), "a⟨00A0⟩<b>".into())
        );
    }

    proptest! {
        #[test]
        fn any_text_is_escaped(text in any::<String>()) {
            for html in [escape(&text), shown(&text)] {
                prop_assert!(!html.contains(['<', '>', '"', '\'']));
                for (at, _) in html.match_indices('&') {
                    prop_assert!(["&amp;", "&lt;", "&gt;", "&quot;", "&#39;"].iter().any(|e| html[at..].starts_with(e)));
                }
            }
        }
    }
}
