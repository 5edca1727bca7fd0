//! mdbook(1): getting it, and what it made of the documents.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::sys;

/// What the pinned toolchain compiles.
const VERSION: &str = "0.5.4";

/// mdbook of that version: on the PATH, or from an earlier run.
fn found() -> Result<Option<PathBuf>> {
    let own = tools()?.join("bin/mdbook");
    let candidates = [Some(own), sys::find("mdbook")].into_iter().flatten();
    let right = |file: &PathBuf| {
        let says = sys::output(sys::tool(file).arg("--version"));
        says.is_ok_and(|says| says.trim().trim_start_matches("mdbook v") == VERSION)
    };
    Ok(candidates.filter(|file| file.exists()).find(right))
}

fn tools() -> Result<PathBuf> {
    Ok(sys::target_dir()?.join("tools"))
}

/// Gets mdbook where it is not there.
///
/// # Errors
/// When it cannot be had.
pub(crate) fn ensure() -> Result<PathBuf> {
    if let Some(file) = found()? {
        return Ok(file);
    }
    let mut install = sys::cargo();
    // Not optimised, and without what it serves and searches with: it compiles in half the time, and reads two dozen pages.
    install.args(["install", "mdbook", "--version", VERSION, "--locked", "--debug", "--no-default-features"]);
    install.arg("--root").arg(tools()?);
    sys::run("Installing mdbook (a minute or two)", &mut install)?;
    found()?.context("mdbook was installed, and is not found")
}

/// Makes the book and looks for links in it that lead nowhere.
///
/// # Errors
/// When mdbook cannot make it, or a link leads nowhere; all of them at once.
pub(super) fn build() -> Result<()> {
    let mdbook = ensure()?;
    sys::run(
        "Making a book of the documents",
        sys::tool(mdbook).args(["build", "--dest-dir", "target/book"]),
    )?;
    let book = sys::workspace_root().join("target/book");
    let mut broken = BTreeSet::new();
    let mut pages = 0;
    for entry in fs::read_dir(&book).with_context(|| format!("reading {}", book.display()))? {
        let page = entry?.path();
        // What is printed is all pages in one, with links of its own.
        if page.extension().is_some_and(|extension| extension == "html") && !page.ends_with("print.html") {
            pages += 1;
            broken.extend(dead(&book, &page)?);
        }
    }
    if !broken.is_empty() {
        bail!("{}", broken.into_iter().collect::<Vec<_>>().join("\n    "));
    }
    println!("    {pages} pages in {}", book.display());
    Ok(())
}

/// Links of a page of the book to files that are not there.
fn dead(book: &Path, page: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(page).with_context(|| format!("reading {}", page.display()))?;
    let targets = text.split(" href=\"").chain(text.split(" src=\"")).skip(1);
    let targets = targets.filter_map(|rest| rest.split_once('"').map(|(target, _)| target));
    let local = targets.filter(|target| !target.contains(':') && !target.starts_with(['#', '<', '/']));
    let there = |target: &str| {
        let file = target.split(['#', '?']).next().unwrap_or(target);
        file.is_empty() || book.join(file).exists()
    };
    let name = page.file_name().unwrap_or_default().to_string_lossy();
    Ok(local.filter(|target| !there(target)).map(|target| format!("{name}: there is no {target}")).collect())
}
