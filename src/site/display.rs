//! Tokens as people can read them, in HTML.

use std::fmt::Write;

/// Escapes text for HTML, in content and in quoted attributes.
pub(super) fn escape(text: &str) -> String {
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

/// Text of a document with nothing invisible: a newline is `↵`, a tab `→`, and other control and direction
/// characters are shown by name or code.
pub(super) fn visible(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '\n' => out.push('↵'),
            '\t' => out.push('→'),
            '\r' => out.push('␍'),
            '\u{0}'..='\u{1f}' => out.extend(char::from_u32(0x2400 + c as u32)),
            '\u{7f}' => out.push('␡'),
            // characters that are drawn as nothing, or that turn the direction of what follows
            '\u{80}'..='\u{9f}'
            | '\u{ad}'
            | '\u{61c}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' => {
                let _ = write!(out, "⟨{:04X}⟩", c as u32);
            }
            c => escape_char(c, out),
        }
    }
}

/// A token on its own, such as in a list of logit weights: spaces at its ends are visible as well.
pub(super) fn lone_token(text: &str) -> String {
    let mut out = String::new();
    let inner = text.trim_matches(' ');
    let lead = text.len() - text.trim_start_matches(' ').len();
    let trail = if inner.is_empty() {
        0
    } else {
        text.len() - text.trim_end_matches(' ').len()
    };
    out.extend(std::iter::repeat_n('␣', lead));
    visible(inner, &mut out);
    out.extend(std::iter::repeat_n('␣', trail));
    if out.is_empty() {
        out.push('∅');
    }
    out
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
            (lone_token(" "), lone_token(""), lone_token("</script>")),
            ("␣".into(), "∅".into(), "&lt;/script&gt;".into())
        );
    }

    proptest! {
        #[test]
        fn any_text_is_escaped(text in any::<String>()) {
            for html in [escape(&text), shown(&text), lone_token(&text)] {
                prop_assert!(!html.contains(['<', '>', '"', '\'']));
                for (at, _) in html.match_indices('&') {
                    prop_assert!(["&amp;", "&lt;", "&gt;", "&quot;", "&#39;"].iter().any(|e| html[at..].starts_with(e)));
                }
            }
        }
    }
}
