//! Where a page is in the book, and where its links lead there. mdbook(1) would write a page from outside of `docs`
//! outside of the book; so it asks this program, which it calls with what it has read (the preprocessor of book.toml).

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use pulldown_cmark::{Event, Options, Parser, Tag};
use serde_json::Value;

use super::{PAGES, plain};
use crate::sys;

/// Where files are that are no pages.
const REPOSITORY: &str = "https://github.com/xvrrp/xvrrp";

/// Reads what mdbook has read, and prints the book with pages and links in their places.
///
/// # Errors
/// When it is not what mdbook says.
pub(super) fn preprocess() -> Result<()> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).context("reading the book")?;
    let [_context, mut book]: [Value; 2] =
        serde_json::from_str(&text).context("this is not mdbook's book")?;
    chapters(&mut book);
    println!("{book}");
    Ok(())
}

/// Every chapter, however deep.
fn chapters(value: &mut Value) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(chapters),
        Value::Object(fields) => {
            if let Some(chapter) = fields.get_mut("Chapter") {
                place(chapter);
            }
            fields.values_mut().for_each(chapters);
        }
        _ => {}
    }
}

fn place(chapter: &mut Value) {
    let Some(source) = chapter["source_path"].as_str() else { return };
    let page = plain(&Path::new("docs").join(source));
    chapter["path"] = in_book(&page).unwrap_or_else(|| source.to_owned()).into();
    if let Some(content) = chapter["content"].as_str() {
        chapter["content"] = with_links(content, &page).into();
    }
}

/// What a page or a picture of the repository is called in the book.
fn in_book(file: &Path) -> Option<String> {
    let text = file.to_str()?;
    match text.strip_prefix("docs/") {
        Some(name) => Some(name.to_owned()),
        None if text == "README.md" => Some("index.md".to_owned()),
        // docs has a page of the name that it would have.
        None if text == "SECURITY.md" => Some("reporting.md".to_owned()),
        None => PAGES.contains(&text).then(|| text.to_lowercase()),
    }
}

/// The text of a page with its links changed.
fn with_links(text: &str, page: &Path) -> String {
    let directory = page.parent().unwrap_or(Path::new(""));
    let mut changed = text.to_owned();
    let links = Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter();
    let links: Vec<_> = links
        .filter_map(|(event, span)| match event {
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => Some((dest_url, span)),
            _ => None,
        })
        .collect();
    // From the end, so that what stands before stays where it was.
    for (url, span) in links.into_iter().rev() {
        let Some(new) = leads(&url, directory) else { continue };
        let old = format!("]({url}");
        let Some(at) = changed.get(span.clone()).and_then(|link| link.rfind(&old)) else { continue };
        let start = span.start + at;
        changed.replace_range(start..start + old.len(), &format!("]({new}"));
    }
    changed
}

/// Where a link to a file leads from within the book.
fn leads(url: &str, directory: &Path) -> Option<String> {
    if url.contains("://") || url.starts_with('#') || url.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) =
        url.split_once('#').map_or((url, String::new()), |(path, anchor)| (path, format!("#{anchor}")));
    let file: PathBuf = plain(&directory.join(path));
    Some(match in_book(&file) {
        Some(name) => format!("{name}{anchor}"),
        None => {
            let kind = if sys::workspace_root().join(&file).is_dir() { "tree" } else { "blob" };
            format!("{REPOSITORY}/{kind}/main/{}{anchor}", file.display())
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pages_from_outside_and_links_to_them_are_in_the_book() {
        let chapter = |source: &str, content: &str, sub: Value| json!({ "Chapter": { "name": "x", "content": content, "path": source, "source_path": source, "sub_items": sub } });
        let readme = "[a](docs/status.md#one), [b](LICENSE-MIT), ![c](docs/a.svg), [d](https://e.org/), [docs](packaging)";
        let status = "| t |\n|---|\n| [a](../README.md) [b](json.md) `[c](d.md)` |\n\n[f](#one)";
        let mut book = json!({ "items": [
            chapter("../README.md", readme, json!([chapter("status.md", status, json!([]))])),
            "Separator"
        ] });
        chapters(&mut book);
        let readme = &book["items"][0]["Chapter"];
        assert_eq!(readme["path"], "index.md");
        let wanted = format!(
            "[a](status.md#one), [b]({REPOSITORY}/blob/main/LICENSE-MIT), ![c](a.svg), [d](https://e.org/), \
             [docs]({REPOSITORY}/tree/main/packaging)"
        );
        assert_eq!(readme["content"], wanted);
        let status = &readme["sub_items"][0]["Chapter"];
        assert_eq!(status["path"], "status.md");
        assert_eq!(
            status["content"],
            "| t |\n|---|\n| [a](index.md) [b](json.md) `[c](d.md)` |\n\n[f](#one)"
        );
    }

    #[test]
    fn every_page_has_a_place_of_its_own() {
        let pages = super::super::pages(sys::workspace_root()).expect("pages");
        let names: std::collections::BTreeSet<_> = pages.iter().filter_map(|page| in_book(page)).collect();
        assert_eq!(names.len(), pages.len(), "{names:?}");
    }
}
