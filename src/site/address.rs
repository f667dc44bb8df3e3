//! Where everything of a site is: the only place that spells addresses. They are relative to the site's root, with `/`
//! between folders, and are neuroscope.io's where it had such a page. `theme/assets/base/address.js` is the scripts' twin.

use std::cmp::Ordering;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::ids::NeuronId;

/// The front page.
pub(super) const HOME: &str = "index.html";
/// The page of two neurons.
pub(super) const COMPARE: &str = "compare.html";
/// The page in place of one that is not there.
pub(super) const NOT_FOUND: &str = "404.html";

/// The page of a layer that shows any of its neurons.
const SHOWN: &str = "neuron.html";

/// What names of files begin with that hold what was said of neurons.
const SAID: &str = "said";

/// A folder's own page, which needs no name in an address.
const INDEX: &str = "index.html";

/// A page of the project's content.
pub(super) fn content_page(slug: &str) -> String {
    format!("{slug}.html")
}

/// A file of a model.
pub(super) fn of_model(model: &str, file: &str) -> String {
    format!("{model}/{file}")
}

/// A model's page.
pub(super) fn model(model: &str) -> String {
    of_model(model, INDEX)
}

/// A file of a layer.
pub(super) fn of_layer(model: &str, layer: u32, file: &str) -> String {
    format!("{model}/{layer}/{file}")
}

/// A layer's page.
pub(super) fn layer(model: &str, layer: u32) -> String {
    of_layer(model, layer, INDEX)
}

/// A neuron's page.
pub(super) fn neuron(model: &str, NeuronId { layer, neuron }: NeuronId) -> String {
    of_layer(model, layer, &neuron_file(neuron))
}

/// A neuron's record, where it has a file of its own.
pub(super) fn record(model: &str, NeuronId { layer, neuron }: NeuronId) -> String {
    of_layer(model, layer, &format!("{neuron}.json"))
}

/// The packed file that begins with a neuron.
pub(super) fn neurons(model: &str, NeuronId { layer, neuron }: NeuronId) -> String {
    of_layer(model, layer, &format!("neurons-{neuron:06}.gz"))
}

/// The packed file with the hooks beside the values of the same neurons.
pub(super) fn hooks(model: &str, NeuronId { layer, neuron }: NeuronId) -> String {
    of_layer(model, layer, &format!("hooks-{neuron:06}.gz"))
}

/// A packed file of the text.
pub(super) fn text(model: &str, at: u64) -> String {
    of_model(model, &format!("text/{at:06}.gz"))
}

/// What was said of the neurons of a layer, in its model's folder.
pub(super) fn said(layer: u32) -> String {
    format!("{layer}/{SAID}.json")
}

/// A file of short lines, in their model's folder.
pub(super) fn short_lines(n: usize) -> String {
    format!("lines/short-{n}.json")
}

/// The index of the words of what was said, in their model's folder.
pub(super) fn said_words() -> String {
    format!("words/{SAID}.json")
}

/// A file of these words.
pub(super) fn said_words_file(n: usize) -> String {
    format!("words/{SAID}-{n}.json")
}

/// Whether a file is about a model and none else.
pub(super) fn is_of_model(model: &str, file: &str) -> bool {
    let file = file.strip_prefix("api/").unwrap_or(file);
    let rest = file.strip_prefix(model);
    rest.is_some_and(|rest| rest.starts_with('/'))
}

/// Whether a file of a model holds nothing but what was said of its neurons.
pub(super) fn is_of_said(file: &str) -> bool {
    let name = file.rsplit('/').next().unwrap_or(file);
    let name = name.strip_suffix(".gz").unwrap_or(name);
    let name = name.strip_suffix(".json").unwrap_or_default();
    let rest = name.strip_prefix(SAID);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// A file in gzip.
pub(super) fn in_gzip(file: &str) -> String {
    format!("{file}.gz")
}

/// A neuron's card.
pub(super) fn card(model: &str, NeuronId { layer, neuron }: NeuronId) -> String {
    of_layer(model, layer, &format!("{neuron}/card.html"))
}

/// A neuron's page in its layer's folder.
pub(super) fn neuron_file(neuron: u32) -> String {
    format!("{neuron}.html")
}

/// The page with the lines of some packed neurons, in their layer's folder.
pub(super) fn list_file(first: u32) -> String {
    format!("list-{first:06}.html")
}

/// The page of a layer that shows any of its neurons.
pub(super) fn shown(model: &str, layer: u32) -> String {
    of_layer(model, layer, SHOWN)
}

/// What shows a packed neuron, from its layer's folder.
pub(super) fn shown_link(neuron: u32) -> String {
    format!("{SHOWN}?n={neuron}")
}

/// A page in the folder of another layer, from a page in a layer's folder.
pub(super) fn in_other_layer(layer: u32, page: &str) -> String {
    format!("../{layer}/{page}")
}

/// A page in a layer's folder, from a neuron's card.
pub(super) fn from_card(page: &str) -> String {
    format!("../{page}")
}

/// The way from a page to the site's root: `../` for each folder.
pub(super) fn root_from(page: &str) -> String {
    "../".repeat(page.matches('/').count())
}

/// What addresses do not have as it is; a slash stands between folders.
const NOT_IN_PATHS: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// A file's name as a part of an address.
pub(super) fn encoded(name: &str) -> String {
    utf8_percent_encode(name, NOT_IN_PATHS).to_string()
}

/// A page's address as it is announced: a folder's own page is the folder.
pub(super) fn announced(page: &str) -> String {
    encoded(page.strip_suffix(INDEX).unwrap_or(page))
}

/// The order in which pages are listed: folder by folder, a folder's own page first, numbers by size.
pub(super) fn order(a: &str, b: &str) -> Ordering {
    let parts = |page: &str| -> Vec<(Option<u64>, String)> {
        let parts = page.split('/').map(|part| {
            let name = part.strip_suffix(".html").unwrap_or(part);
            let name = if part == INDEX { "" } else { name };
            (name.parse().ok(), name.to_owned())
        });
        parts.collect()
    };
    parts(a).cmp(&parts(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_what_was_said() {
        let words = in_gzip(&said_words());
        for file in [&said(3), &words, &said_words_file(12)] {
            assert!(is_of_said(&of_model("m", file)), "{file}");
        }
        for file in [
            "m/explore/said.gz",
            "m/3/index.json",
            "m/words/0.json",
            "m/said/3/0.html",
        ] {
            assert!(!is_of_said(file), "{file}");
        }
        assert!(is_of_model("m", "m/0/1.html") && is_of_model("m", "api/m/all/0/1"));
        assert!(!is_of_model("m", "m2/0/1.html") && !is_of_model("m", "m.html"));
    }

    #[test]
    fn pages_are_listed_folder_by_folder() {
        let mut pages = [
            "m/10/2.html",
            "m/index.html",
            "m/2/10.html",
            "m/2/9.html",
            "m/2/index.html",
            "about.html",
            "m/explore.html",
            "index.html",
        ];
        pages.sort_by(|a, b| order(a, b));
        assert_eq!(
            pages,
            [
                "index.html",
                "about.html",
                "m/index.html",
                "m/explore.html",
                "m/2/index.html",
                "m/2/9.html",
                "m/2/10.html",
                "m/10/2.html"
            ]
        );
        assert_eq!(announced("m/2/index.html"), "m/2/");
        assert_eq!(announced("ä b.html"), "%C3%A4%20b.html");
    }
}
