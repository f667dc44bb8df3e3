//! Excerpts of examples, for people: the text around a peak, as plain text, as HTML, and as a heat map.

use std::fmt::Write;

use crate::atlas::Window;

use super::data::ExampleTokens;
use super::text::display::{calm, escape, visible};
use super::text::format::number;
use super::text::texts::TokenTexts;

/// The text before the peak of an example, at it, and after it. A character that is cut by the peak goes with it
/// whole.
pub(super) fn around_peak(texts: &TokenTexts<'_>, row: &ExampleTokens<'_>) -> [String; 3] {
    let tokens = &row.tokens;
    let partial = |at: usize| {
        let token = tokens.get(at);
        token.is_some_and(|token| texts.is_partial(*token))
    };
    let peak = row.peak();
    let mut from = peak;
    while from > 0 && partial(from) && partial(from - 1) {
        from -= 1;
    }
    // from there on character by character, to the one that the peak is in
    let (mut until, mut character) = (from, Vec::new());
    loop {
        character.extend(texts.bytes(&tokens[until..=until]));
        until += 1;
        let goes_on =
            until < tokens.len() && partial(until - 1) && partial(until) && ends_inside(&character);
        match (goes_on, until > peak) {
            (true, _) => {}
            (false, true) => break,
            (false, false) => {
                from = until;
                character.clear();
            }
        }
    }
    [&tokens[..from], &tokens[from..until], &tokens[until..]]
        .map(|tokens| String::from_utf8_lossy(&texts.bytes(tokens)).into_owned())
}

/// The tokens around an example's peak as a heat map, whose colours reach `max`. Tokens that share a character
/// stand together.
pub(super) fn push_heat_map(
    out: &mut String,
    texts: &TokenTexts<'_>,
    row: &ExampleTokens<'_>,
    [before, after]: [usize; 2],
    max: f32,
) {
    let (peak, window) = (row.peak(), &row.example.window);
    let tokens = peak.saturating_sub(before)..(peak + after + 1).min(row.tokens.len());
    let (mut run, mut strongest) = (Vec::new(), 0i8);
    for at in tokens.clone() {
        let step = window.steps[at];
        if step != Window::NOT_FINITE && step.unsigned_abs() > strongest.unsigned_abs() {
            strongest = step;
        }
        run.extend(texts.bytes(&[row.tokens[at]]));
        let goes_on = at + 1 < tokens.end
            && texts.is_partial(row.tokens[at])
            && texts.is_partial(row.tokens[at + 1])
            && ends_inside(&run);
        if goes_on {
            continue;
        }
        let value = f32::from(strongest) * window.scale;
        let shade = shade(value, max);
        let _ = match shade.is_empty() {
            true => write!(out, "<span>"),
            false => write!(out, "<span class=\"{shade}\">"),
        };
        visible(&String::from_utf8_lossy(&run), out);
        out.push_str("</span>");
        run.clear();
        strongest = 0;
    }
}

/// An example as plain HTML under an id, for readers without JavaScript.
pub(super) fn push_example(
    out: &mut String,
    texts: &TokenTexts<'_>,
    source: Option<&str>,
    row: &ExampleTokens<'_>,
    id: &str,
) {
    let [before, at, after] = around_peak(texts, row);
    let value = number(Some(f64::from(row.example.value)));
    let _ = write!(out, "<li id=\"{id}\"><span class=\"value\">{value}</span> ");
    if let Some(source) = source {
        let source = escape(&calm(source));
        let _ = write!(out, "<span class=\"source\">{source}</span> ");
    }
    out.push_str("<bdi class=\"text\">");
    visible(&before, out);
    out.push_str(match row.example.value < 0.0 {
        true => "<mark class=\"n4\">",
        false => "<mark>",
    });
    visible(&at, out);
    out.push_str("</mark>");
    visible(&after, out);
    out.push_str("</bdi></li>\n");
}

/// Class of a value's colour on a scale that is symmetric around 0: `p8` is +max, `n8` is −max. The same as in
/// tokens.js.
fn shade(value: f32, max: f32) -> String {
    let level = match max > 0.0 {
        true => ((8.0 * value.abs() / max).round() as u8).min(8),
        false => 0,
    };
    match level {
        0 => String::new(),
        level => format!("{}{level}", if value < 0.0 { 'n' } else { 'p' }),
    }
}

/// Whether a text ends inside a character, of which the rest may follow.
fn ends_inside(text: &[u8]) -> bool {
    let rest = text.utf8_chunks().last().map(|chunk| chunk.invalid());
    rest.is_some_and(|rest| {
        std::str::from_utf8(rest).is_err_and(|error| error.error_len().is_none())
    })
}
