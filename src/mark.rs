//! The byte-order mark that programs of Windows write before a text. It is not part of the text.

/// The mark.
pub const MARK: char = '\u{feff}';

/// Bytes of UTF-8 without a mark before them.
pub fn without(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes)
}

/// A text without a mark before it.
pub fn text_without(text: &str) -> &str {
    text.strip_prefix(MARK).unwrap_or(text)
}
