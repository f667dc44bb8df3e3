//! Files of words, in the order in which a script compares texts.

use crate::site::error::SiteError;
use crate::site::part::ModelPart;

/// Bytes of a file, unless one word alone has more.
const FILE_BYTES: usize = 32_000;

/// Writes files with words and what is known of each, as JSON; `name` is that of a file by its number. The first word of each.
pub(super) fn write_files(
    part: ModelPart<'_>,
    schema: &str,
    name: impl Fn(usize) -> String,
    words: impl Iterator<Item = (String, String)>,
) -> Result<Vec<String>, SiteError> {
    let mut firsts: Vec<String> = Vec::new();
    let mut file = String::new();
    let close = |file: &mut String, n: usize| {
        let json = format!("{{\"schema\":\"{schema}\",\"words\":[{file}]}}\n");
        file.clear();
        part.write_json(&name(n), json.as_bytes())
    };
    for (word, entry) in words {
        if !file.is_empty() && file.len() + entry.len() > FILE_BYTES {
            close(&mut file, firsts.len() - 1)?;
        }
        match file.is_empty() {
            true => firsts.push(word),
            false => file.push(','),
        }
        file.push_str(&entry);
    }
    if !file.is_empty() {
        close(&mut file, firsts.len() - 1)?;
    }
    Ok(firsts)
}
