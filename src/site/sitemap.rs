//! The sitemap, in as many files as it needs.

use super::text::display::escape;

/// The sitemap that is announced.
pub(super) const FILE: &str = "sitemap.xml";
/// Addresses that one sitemap may hold.
const MOST: usize = 50_000;

/// The files of a sitemap of pages below `base`, by name, with the one to be announced.
pub(super) fn files(base: &str, names: &[String]) -> Vec<(String, String)> {
    let mut files = Vec::new();
    for (at, names) in names.chunks(MOST).enumerate() {
        let mut xml = String::from(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<urlset xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\">\n",
        );
        for name in names {
            xml.push_str(&format!(
                "<url><loc>{}</loc></url>\n",
                escape(&format!("{base}{name}"))
            ));
        }
        xml.push_str("</urlset>\n");
        files.push((format!("sitemap-{at}.xml"), xml));
    }
    let root = match files.as_mut_slice() {
        [(name, _)] => {
            *name = FILE.into();
            None
        }
        files => {
            let mut xml = String::from(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<sitemapindex xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\">\n",
            );
            for (name, _) in files {
                xml.push_str(&format!(
                    "<sitemap><loc>{}</loc></sitemap>\n",
                    escape(&format!("{base}{name}"))
                ));
            }
            xml.push_str("</sitemapindex>\n");
            Some((FILE.to_owned(), xml))
        }
    };
    files.into_iter().chain(root).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_sitemap_is_split_and_listed() {
        let names: Vec<String> = (0..MOST + 1).map(|i| format!("m/{i}&.html")).collect();
        let found = files("https://example.org/", &names);
        let of: Vec<_> = found
            .iter()
            .map(|(name, xml)| (name.as_str(), xml.matches("<loc>").count()))
            .collect();
        assert_eq!(
            of,
            [
                ("sitemap-0.xml", MOST),
                ("sitemap-1.xml", 1),
                ("sitemap.xml", 2)
            ]
        );
        assert!(
            found[1]
                .1
                .contains("<loc>https://example.org/m/50000&amp;.html</loc>")
        );
        assert!(
            found[2]
                .1
                .contains("<loc>https://example.org/sitemap-1.xml</loc>")
        );
        assert_eq!(files("https://example.org/", &names[..2]).len(), 1);
    }
}
