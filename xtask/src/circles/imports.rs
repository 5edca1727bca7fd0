//! Which modules of a package lead to which, read from the sources: nothing is built for it.
//!
//! Tests do not count. A path leads to the longest beginning of it that is a module with a file of its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

/// Its path, without `crate`; empty for the root.
pub(crate) type Module = String;

/// Where a module names another one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Import {
    /// Relative to the repository.
    pub(crate) file: String,
    /// Counted from one.
    pub(crate) line: usize,
    /// As it is written there.
    pub(crate) path: String,
}

/// All modules, each with those that it leads to.
#[derive(Debug, Default)]
pub(crate) struct Imports(BTreeMap<Module, BTreeMap<Module, Import>>);

/// The file of a module.
struct Source {
    file: String,
    tokens: Vec<Token>,
}

impl Imports {
    /// Reads a package of the repository at `root`.
    ///
    /// # Errors
    /// A file or directory cannot be read.
    pub(crate) fn read(root: &Path, package: &str) -> Result<Self> {
        let mut sources = BTreeMap::new();
        let file = format!("{package}/src/lib.rs");
        take(root, &file, &format!("{package}/src"), String::new(), &mut sources)?;
        Ok(Self::find(&sources))
    }

    /// Of these modules and their text.
    #[cfg(test)]
    pub(crate) fn from_text(modules: impl Iterator<Item = (Module, String)>) -> Self {
        let source = |name: &str, text: &str| Source {
            file: format!("src/{}.rs", name.replace("::", "/")),
            tokens: without_tests(tokens(text)),
        };
        Self::find(&modules.map(|(name, text)| (name.clone(), source(&name, &text))).collect())
    }

    fn find(sources: &BTreeMap<Module, Source>) -> Self {
        let mut all = Self::default();
        for (module, Source { file, tokens }) in sources {
            let found = all.0.entry(module.clone()).or_default();
            for (line, path) in paths(tokens) {
                let Some(to) = resolve(module, &path, sources) else { continue };
                let path = path.join("::");
                found.entry(to).or_insert_with(|| Import { file: file.clone(), line, path });
            }
        }
        all
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn modules(&self) -> impl Iterator<Item = &Module> {
        self.0.keys()
    }

    /// What a module leads to.
    pub(crate) fn of(&self, module: &Module) -> impl Iterator<Item = (&Module, &Import)> {
        self.0.get(module).into_iter().flatten()
    }
}

/// Reads the file of a module, and those of its modules, which are in `below`.
fn take(
    root: &Path,
    file: &str,
    below: &str,
    module: Module,
    all: &mut BTreeMap<Module, Source>,
) -> Result<()> {
    let text = fs::read_to_string(root.join(file)).with_context(|| format!("cannot read {file}"))?;
    let tokens = without_tests(tokens(&text));
    let children: Vec<String> = tokens
        .windows(3)
        .filter(|three| three[0].text == "mod" && three[2].text == ";")
        .map(|three| three[1].text.clone())
        .collect();
    all.insert(module.clone(), Source { file: file.to_owned(), tokens });
    for name in children {
        let below = format!("{below}/{name}");
        let files = [format!("{below}.rs"), format!("{below}/mod.rs")];
        let file = files.iter().find(|file| root.join(file).is_file());
        let file = file.with_context(|| format!("{file:?} declares a module {name} that has no file"))?;
        take(root, file, &below, join(&module, &name), all)?;
    }
    Ok(())
}

fn join(module: &str, name: &str) -> Module {
    if module.is_empty() { name.to_owned() } else { format!("{module}::{name}") }
}

/// The module that a path in `module` leads to: another one, of which it is no part.
fn resolve(module: &Module, path: &[String], all: &BTreeMap<Module, Source>) -> Option<Module> {
    let mut at = module.as_str();
    let mut rest = path;
    match path.first()?.as_str() {
        "crate" => (at, rest) = ("", &path[1..]),
        "self" => rest = &path[1..],
        "super" => {
            while let Some(("super", below)) = rest.split_first().map(|(first, rest)| (first.as_str(), rest))
            {
                at = at.rsplit_once("::").map_or("", |(parent, _)| parent);
                rest = below;
            }
        }
        name => _ = all.get(&join(module, name))?,
    }
    let mut at = at.to_owned();
    for name in rest {
        let next = join(&at, name);
        if !all.contains_key(&next) {
            break;
        }
        at = next;
    }
    let is_part = at.is_empty() || *module == at || module.starts_with(&format!("{at}::"));
    (!is_part).then_some(at)
}

/// The paths in some code, with their lines: those that a `use` lists together one by one.
fn paths(tokens: &[Token]) -> Vec<(usize, Vec<String>)> {
    let mut found = Vec::new();
    let mut rest = tokens;
    while let Some(first) = rest.first() {
        // What an `impl Trait` captures is no import: `use<'_>`.
        let captures = rest.get(1).is_some_and(|next| next.text == "<");
        rest = if first.text == "use" && !captures {
            tree(&rest[1..], &[], &mut found)
        } else if first.is_name() {
            path(rest, &[], &mut found)
        } else {
            &rest[1..]
        };
    }
    found
}

/// One path behind a beginning; returns what follows it.
fn path<'a>(tokens: &'a [Token], begin: &[String], found: &mut Vec<(usize, Vec<String>)>) -> &'a [Token] {
    let mut names = begin.to_vec();
    let mut at = 0;
    while let Some(name) = tokens.get(at).filter(|token| token.is_name()) {
        names.push(name.text.clone());
        at += 1;
        match (tokens.get(at), tokens.get(at + 1)) {
            (Some(colons), Some(next)) if colons.text == "::" && next.is_name() => at += 1,
            _ => break,
        }
    }
    if let Some(first) = tokens.first().filter(|_| names.len() > 1) {
        found.push((first.line, names));
    }
    &tokens[at.max(1).min(tokens.len())..]
}

/// What a `use` lists, behind a beginning; returns what follows it.
fn tree<'a>(tokens: &'a [Token], begin: &[String], found: &mut Vec<(usize, Vec<String>)>) -> &'a [Token] {
    let mut names = begin.to_vec();
    let mut rest = tokens;
    let mut line = tokens.first().map_or(0, |token| token.line);
    while let Some((token, behind)) = rest.split_first() {
        match token.text.as_str() {
            "{" => {
                rest = behind;
                while let Some(token) = rest.first() {
                    match token.text.as_str() {
                        "}" => return &rest[1..],
                        ";" => return rest,
                        "," => rest = &rest[1..],
                        _ => rest = tree(rest, &names, found),
                    }
                }
                return rest;
            }
            "::" => rest = behind,
            "as" => rest = behind.get(1..).unwrap_or_default(),
            "," | "}" | ";" => break,
            name => {
                line = token.line;
                names.push(name.to_owned());
                rest = behind;
            }
        }
    }
    found.push((line, names));
    rest
}

/// A word, `::`, or a character of the source.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Token {
    text: String,
    line: usize,
}

impl Token {
    fn is_name(&self) -> bool {
        self.text.starts_with(|c: char| c.is_alphabetic() || c == '_')
    }
}

/// The tokens of a source, without comments and without what stands in quotes.
fn tokens(source: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut line = 1;
    let mut rest = source;
    while let Some(c) = rest.chars().next() {
        let word = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if let Some(length) = literal(rest) {
            length
        } else {
            let length = if rest.starts_with("::") { 2 } else { word.max(c.len_utf8()) };
            if !c.is_whitespace() {
                found.push(Token { text: rest[..length].to_owned(), line });
            }
            length
        };
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    found
}

/// The length of the string or character that the source begins with.
fn literal(source: &str) -> Option<usize> {
    let raw = source.trim_start_matches(['b', 'c']);
    let hashes = raw.strip_prefix('r').map(|raw| raw.len() - raw.trim_start_matches('#').len());
    if let Some(hashes) = hashes
        && raw[1 + hashes..].starts_with('"')
    {
        let begin = source.len() - raw.len() + 2 + hashes;
        let end = format!("\"{}", "#".repeat(hashes));
        return source[begin..].find(&end).map(|at| begin + at + end.len());
    }
    let quote = raw.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let begin = source.len() - raw.len() + 1;
    // A lifetime: a word that no quotation mark ends.
    let mut inside = source[begin..].chars();
    if quote == '\'' && inside.next() != Some('\\') && inside.next() != Some('\'') {
        return None;
    }
    let mut escaped = false;
    let end = source[begin..].char_indices().find(|(_, c)| {
        let ends = *c == quote && !escaped;
        escaped = *c == '\\' && !escaped;
        ends
    });
    end.map(|(at, _)| begin + at + 1)
}

/// Leaves out what is only there in tests: the item behind `#[cfg(test)]`.
fn without_tests(tokens: Vec<Token>) -> Vec<Token> {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut found = Vec::new();
    let mut rest = &tokens[..];
    while let Some(first) = rest.first() {
        if rest.len() >= MARK.len() && rest.iter().zip(MARK).all(|(token, mark)| token.text == mark) {
            rest = behind_item(&rest[MARK.len()..]);
        } else {
            found.push(first.clone());
            rest = &rest[1..];
        }
    }
    found
}

/// What follows an item: the semicolon outside, or the end of the braces, in which it ends.
fn behind_item(tokens: &[Token]) -> &[Token] {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        match token.text.as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 && matches!(token.text.as_str(), ";" | "}") {
            return &tokens[at + 1..];
        }
    }
    &[]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        paths(&without_tests(tokens(text)))
            .into_iter()
            .map(|(line, path)| format!("{line} {}", path.join("::")))
            .collect()
    }

    #[test]
    fn what_a_use_lists_are_paths_and_so_is_what_stands_in_code() {
        let text = "use crate::a::{self, b::{C, D as E}, f};\npub(crate) use g::*;\nfn h(x: &'a super::i::J) -> impl K + use<'_> {\n\
                    crate::k::l(\"crate::no\", 'x', '\\'', b\"\\\"crate::no\", r#\"\"crate::no\"#); // crate::no\n}\n";
        assert_eq!(
            found(text),
            [
                "1 crate::a::self",
                "1 crate::a::b::C",
                "1 crate::a::b::D",
                "1 crate::a::f",
                "2 g::*",
                "3 super::i::J",
                "4 crate::k::l"
            ]
        );
    }

    #[test]
    fn tests_are_left_out() {
        let text = "#[cfg(test)]\nuse crate::a::B;\n#[cfg(test)]\nmod tests {\n use crate::c::D;\n fn e() {}\n}\n\
                    #[cfg(test)]\nfn f(x: [u8; 2]) -> crate::g::H { x; }\nuse crate::i::J;\n";
        assert_eq!(found(text), ["10 crate::i::J"]);
    }

    #[test]
    fn a_path_leads_to_the_module_that_has_what_it_names() {
        let module = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        let imports = Imports::from_text(
            [
                module("a", "use b::B; use std::fs;"),
                module(
                    "a::b",
                    "use super::c; use crate::a::A; fn f() { super::super::d::g(); self::x::y(); }",
                ),
                module("a::c", "use crate::{d::D, a::b as other};"),
                module("d", ""),
            ]
            .into_iter(),
        );
        let of =
            |name: &str| imports.of(&name.to_owned()).map(|(module, _)| module.as_str()).collect::<Vec<_>>();
        assert_eq!(
            [of("a"), of("a::b"), of("a::c"), of("d")],
            [vec!["a::b"], vec!["a::c", "d"], vec!["a::b", "d"], vec![]]
        );
    }

    #[test]
    fn all_modules_are_found() {
        let imports = Imports::read(crate::sys::workspace_root(), "ha-userspace").unwrap();
        let leads = |from: &str, to: &str| imports.of(&from.to_owned()).any(|(module, _)| module == to);
        assert!(imports.len() > 200, "{}", imports.len());
        assert!(leads("program", "realtime") && leads("notify::script", "program"));
        assert!(!leads("program", "track") && !leads("program::spawn", "program"));
    }
}
