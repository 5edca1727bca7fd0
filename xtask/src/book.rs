//! The documents as a book: each page is in it, and each link from one to another leads somewhere.

mod build;
mod places;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use crate::sys;

/// Arguments of `cargo xtask book`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// What mdbook calls it with; nothing makes the book
    #[command(subcommand)]
    step: Option<Step>,
}

/// What mdbook asks for.
#[derive(Debug, clap::Subcommand)]
enum Step {
    /// For mdbook: puts pages and links in their places
    Preprocess {
        /// `supports RENDERER`: whether it is any good for that
        question: Vec<String>,
    },
}

/// Checks the documents and makes the book.
///
/// # Errors
/// As [`check`], or when mdbook cannot make it.
pub(crate) fn main(args: &Args) -> Result<()> {
    match &args.step {
        // It is good for every renderer.
        Some(Step::Preprocess { question }) if !question.is_empty() => Ok(()),
        Some(Step::Preprocess { .. }) => places::preprocess(),
        None => {
            check()?;
            build::build()
        }
    }
}

/// The list of pages, as mdbook has it.
const SUMMARY: &str = "docs/SUMMARY.md";
/// Pages outside of `docs`.
const PAGES: [&str; 5] = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"];

/// Judges the book.
///
/// # Errors
/// A page that is not in it, or a link that leads nowhere; all of them at once.
pub(crate) fn check() -> Result<()> {
    sys::announce("The book", SUMMARY);
    let root = sys::workspace_root();
    let pages = pages(root)?;
    let mut findings = Vec::new();
    let listed: BTreeSet<PathBuf> =
        links(root, Path::new(SUMMARY))?.into_iter().map(|(target, _)| target).collect();
    for page in pages.iter().filter(|page| page.as_path() != Path::new(SUMMARY)) {
        if !listed.contains(page) {
            findings.push(format!("{} is not in {SUMMARY}", page.display()));
        }
    }
    let mut count = 0;
    for page in &pages {
        for (target, anchor) in links(root, page)? {
            count += 1;
            let there = root.join(&target);
            if !there.exists() {
                findings.push(format!("{}: there is no {}", page.display(), target.display()));
            } else if let Some(anchor) = anchor
                && target.extension().is_some_and(|extension| extension == "md")
                && !headings(&read(&there)?).contains(&anchor)
            {
                findings.push(format!("{}: {} has no heading #{anchor}", page.display(), target.display()));
            }
        }
    }
    if !findings.is_empty() {
        bail!("{}", findings.join("\n    "));
    }
    println!("    {} pages, {count} links", pages.len());
    Ok(())
}

fn pages(root: &Path) -> Result<Vec<PathBuf>> {
    let mut pages: Vec<PathBuf> = PAGES.iter().map(PathBuf::from).collect();
    for entry in std::fs::read_dir(root.join("docs")).context("reading docs")? {
        let name = entry?.file_name();
        if Path::new(&name).extension().is_some_and(|extension| extension == "md") {
            pages.push(Path::new("docs").join(name));
        }
    }
    pages.sort();
    Ok(pages)
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}

/// Files of the repository that a page links to, with the heading where one is named.
fn links(root: &Path, page: &Path) -> Result<Vec<(PathBuf, Option<String>)>> {
    let text = read(&root.join(page))?;
    let directory = page.parent().unwrap_or(Path::new(""));
    let target = |event| match event {
        Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => Some(dest_url.to_string()),
        _ => None,
    };
    let local = |url: &String| !url.contains("://") && !url.starts_with("mailto:");
    let resolve = |url: String| {
        let (path, anchor) =
            url.split_once('#').map_or((url.as_str(), None), |(path, anchor)| (path, Some(anchor)));
        let path = if path.is_empty() { page.to_owned() } else { plain(&directory.join(path)) };
        (path, anchor.map(str::to_owned))
    };
    Ok(Parser::new_ext(&text, Options::ENABLE_TABLES).filter_map(target).filter(local).map(resolve).collect())
}

/// Without `..`.
fn plain(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => drop(out.pop()),
            part => out.push(part),
        }
    }
    out
}

/// The names of a page's headings, as links have them.
fn headings(text: &str) -> BTreeSet<String> {
    let (mut names, mut current) = (BTreeSet::new(), None::<String>);
    for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::Heading { .. }) => current = Some(String::new()),
            Event::End(TagEnd::Heading(_)) => names.extend(current.take().map(|title| slug(&title))),
            Event::Text(part) | Event::Code(part) => {
                if let Some(title) = &mut current {
                    title.push_str(&part);
                }
            }
            _ => {}
        }
    }
    names
}

fn slug(title: &str) -> String {
    let lower = title.to_lowercase();
    lower
        .chars()
        .filter_map(|c| match c {
            ' ' => Some('-'),
            '-' | '_' => Some(c),
            c => c.is_alphanumeric().then_some(c),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_are_named_as_links_name_them() {
        let names = headings("# One\n\n## What is `promised`, and what is not\n");
        let wanted = ["one", "what-is-promised-and-what-is-not"].map(str::to_owned);
        assert_eq!(names, BTreeSet::from(wanted));
    }

    #[test]
    fn the_book_is_whole() {
        check().expect("a whole book");
    }

    #[test]
    fn paths_have_no_detours() {
        assert_eq!(plain(Path::new("docs/../README.md")), Path::new("README.md"));
    }
}
