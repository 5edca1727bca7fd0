//! The names of the tests that there are, read from the sources: nothing is built for it.
//!
//! Suites are the packages, whose unit tests have the paths of their modules, and the programs in their `tests`
//! directories. Those that list their tests themselves do it in one of these ways:
//!
//! - a name in quotes as the first thing in parentheses: `Test::new("timers::s27_owner", owner)`, `("killed", killed)`;
//! - functions, in `tests![…]`;
//! - a template, in which a `{name}` stands for such a word of the same file, and `{}` for one that an arm of a `match`
//!   in the package gives: `format!("hostile::{what}_{word}")`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// All tests, by suite.
#[derive(Debug, Default)]
pub(crate) struct Names(BTreeMap<String, Suite>);

#[derive(Debug, Default)]
struct Suite {
    names: BTreeSet<String>,
    files: Vec<Listing>,
    /// What arms of `match` give.
    arms: BTreeSet<String>,
}

/// The names in one file of a program that lists its tests itself.
#[derive(Debug, Default)]
struct Listing {
    words: BTreeSet<String>,
    templates: Vec<String>,
    arms: BTreeSet<String>,
}

impl Names {
    /// Reads the packages below `root`.
    ///
    /// # Errors
    /// A file or directory cannot be read.
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let mut all = Self::default();
        for package in entries(root)?.iter().filter(|dir| dir.join("Cargo.toml").is_file()) {
            let manifest = read(&package.join("Cargo.toml"))?;
            let name = manifest.lines().find_map(|line| line.strip_prefix("name = "));
            let Some(name) = name.map(|name| name.trim_matches('"')) else { continue };
            let mut unit = Suite::default();
            for file in ["src/lib.rs", "src/main.rs"].map(|file| package.join(file)) {
                if file.is_file() {
                    unit.take(&file, "")?;
                }
            }
            let arms: BTreeSet<String> = unit.files.drain(..).flat_map(|file| file.arms).collect();
            for file in programs(&package.join("tests"))? {
                let stem = if file.ends_with("main.rs") { file.parent() } else { Some(file.as_path()) };
                let Some(stem) = stem.and_then(Path::file_stem) else { continue };
                let mut suite = Suite::default();
                suite.take(&file, "")?;
                suite.arms =
                    suite.files.iter().flat_map(|file| file.arms.clone()).chain(arms.clone()).collect();
                all.0.insert(stem.to_string_lossy().into_owned(), suite);
            }
            all.0.insert(name.to_owned(), unit);
        }
        all.0.retain(|_, suite| {
            !suite.names.is_empty() || suite.files.iter().any(|file| !file.words.is_empty())
        });
        Ok(all)
    }

    /// Names of suites.
    pub(crate) fn suites(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Whether `suite` has a test of this name.
    pub(crate) fn has(&self, suite: &str, test: &str) -> bool {
        self.0.get(suite).is_some_and(|suite| {
            // A program that gives its tests paths has other words in parentheses as well.
            let has_paths = suite.files.iter().flat_map(|file| &file.words).any(|word| word.contains("::"));
            let listed = |file: &Listing| file.lists(test, &suite.arms);
            suite.names.contains(test)
                || (test.contains("::") || !has_paths) && suite.files.iter().any(listed)
        })
    }

    /// A test of `suite` whose name ends as this one does.
    pub(crate) fn like(&self, suite: &str, test: &str) -> Option<&str> {
        let last = |name: &str| name.rsplit("::").next().unwrap_or_default().to_owned();
        let suite = self.0.get(suite)?;
        let listed = suite.files.iter().flat_map(|file| &file.words);
        suite.names.iter().chain(listed).find(|name| last(name) == last(test)).map(String::as_str)
    }

    /// One suite with these tests.
    #[cfg(test)]
    pub(crate) fn of(suite: &str, names: &[&str]) -> Self {
        let names = names.iter().map(|&name| name.to_owned()).collect();
        Self([(suite.to_owned(), Suite { names, ..Suite::default() })].into())
    }
}

impl Suite {
    /// Reads a file, whose module has this path, and those of its modules.
    fn take(&mut self, file: &Path, module: &str) -> Result<()> {
        let text = read(file)?;
        let found = functions(&text);
        self.names.extend(found.tests.into_iter().map(|name| join(module, &name)));
        self.files.push(Listing::of(&text));
        for (name, path) in found.modules {
            if let Some(file) = place(file, &name, path.as_deref()) {
                self.take(&file, &join(module, &name))?;
            }
        }
        Ok(())
    }
}

fn join(module: &str, name: &str) -> String {
    if module.is_empty() { name.to_owned() } else { format!("{module}::{name}") }
}

/// What a source file says of modules and unit tests.
#[derive(Debug, Default, PartialEq, Eq)]
struct Functions {
    /// Paths below the file's own module.
    tests: Vec<String>,
    /// Modules in other files, and the `#[path]` of those that have one.
    modules: Vec<(String, Option<String>)>,
}

/// Line by line: the sources are formatted, so that what is open ends with a brace below its first letter.
fn functions(text: &str) -> Functions {
    let mut found = Functions::default();
    let mut open: Vec<(usize, &str)> = Vec::new();
    let (mut is_test, mut path) = (false, None);
    for line in text.lines() {
        let code = line.trim_start();
        let indent = line.len() - code.len();
        if code.starts_with('}') && open.last().is_some_and(|(at, _)| *at == indent) {
            open.pop();
        }
        if code == "#[test]" {
            is_test = true;
        } else if let Some(quoted) = code.strip_prefix("#[path = \"") {
            path = quoted.split('"').next().map(str::to_owned);
        } else if let Some(name) = word_behind(code, "mod ") {
            if code.ends_with(';') {
                found.modules.push((name.to_owned(), path.take()));
            } else if code.ends_with('{') {
                open.push((indent, name));
            }
        } else if let Some(name) = word_behind(code, "fn ")
            && std::mem::take(&mut is_test)
        {
            let modules = open.iter().map(|(_, name)| *name);
            found.tests.push(modules.chain([name]).collect::<Vec<_>>().join("::"));
        }
    }
    found
}

/// The word behind a keyword that begins an item, whatever its visibility.
fn word_behind<'a>(code: &'a str, keyword: &str) -> Option<&'a str> {
    let item = match code.strip_prefix("pub") {
        Some(rest) => rest.split_once(' ')?.1,
        None => code,
    };
    item.strip_prefix(keyword)?.split(|c: char| !(c.is_alphanumeric() || c == '_')).next()
}

/// The file of a module that `file` declares.
fn place(file: &Path, name: &str, path: Option<&str>) -> Option<PathBuf> {
    let dir = file.parent()?;
    if let Some(path) = path {
        return Some(dir.join(path)).filter(|file| file.is_file());
    }
    let below = dir.join(file.file_stem()?);
    let places = [below, dir.to_owned()].into_iter();
    let mut files = places.flat_map(|dir| [dir.join(format!("{name}.rs")), dir.join(name).join("mod.rs")]);
    files.find(|file| file.is_file())
}

impl Listing {
    fn of(text: &str) -> Self {
        let mut listing = Self::default();
        for Literal { before, text } in literals(text) {
            let is_word = !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || "_:".contains(c));
            if before == '(' && is_word {
                listing.words.insert(text);
            } else if before == '(' && text.contains('{') && text.contains("::") {
                listing.templates.push(text);
            } else if before == '>' && is_word {
                listing.arms.insert(text);
            }
        }
        for list in text.split("tests![").skip(1) {
            let list = list.split(']').next().unwrap_or_default();
            listing.words.extend(list.split(',').map(|name| name.trim().to_owned()));
        }
        listing
    }

    fn lists(&self, test: &str, arms: &BTreeSet<String>) -> bool {
        self.words.contains(test) || self.templates.iter().any(|template| self.fills(template, test, arms))
    }

    /// Whether `test` is `template` with words in place of what is in braces.
    fn fills(&self, template: &str, test: &str, arms: &BTreeSet<String>) -> bool {
        let Some((fixed, rest)) = template.split_once('{') else { return template == test };
        let (Some(test), Some((hole, rest))) = (test.strip_prefix(fixed), rest.split_once('}')) else {
            return false;
        };
        let words = if hole.is_empty() { arms } else { &self.words };
        words
            .iter()
            .any(|word| test.strip_prefix(word.as_str()).is_some_and(|test| self.fills(rest, test, arms)))
    }
}

/// A string of the source, and what stands before it.
#[derive(Debug, PartialEq, Eq)]
struct Literal {
    before: char,
    text: String,
}

/// The strings outside comments.
fn literals(source: &str) -> Vec<Literal> {
    let mut found = Vec::new();
    let mut chars = source.chars().peekable();
    let mut before = ' ';
    while let Some(c) = chars.next() {
        match c {
            '/' if chars.peek() == Some(&'/') => {
                chars.by_ref().find(|c| *c == '\n');
                continue;
            }
            // A character, not a lifetime: a quotation mark in it begins no string.
            '\'' if chars.peek() == Some(&'"') => drop(chars.nth(1)),
            '\'' if chars.peek() == Some(&'\\') => drop(chars.nth(2)),
            // A raw one, which has quotation marks in it.
            '"' if before == '#' => drop(chars.by_ref().skip_while(|c| *c != '"').find(|c| *c == '#')),
            '"' => {
                let mut text = String::new();
                while let Some(c) = chars.next().filter(|c| *c != '"') {
                    text.push(c);
                    if c == '\\' {
                        text.extend(chars.next());
                    }
                }
                found.push(Literal { before, text });
            }
            _ => {}
        }
        if !c.is_whitespace() {
            before = c;
        }
    }
    found
}

/// The test programs of a package.
fn programs(tests: &Path) -> Result<Vec<PathBuf>> {
    if !tests.is_dir() {
        return Ok(Vec::new());
    }
    let entries = entries(tests)?.into_iter();
    let files = entries.map(|entry| if entry.is_dir() { entry.join("main.rs") } else { entry });
    Ok(files.filter(|file| file.is_file() && file.extension().is_some_and(|word| word == "rs")).collect())
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    let list = fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    let mut paths = list.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_tests_have_the_paths_of_their_modules() {
        let text = "mod a;\n#[path = \"x/b.rs\"]\npub(crate) mod b;\n\n#[test]\nfn first() {}\n\nfn none() {}\n\n\
                    #[cfg(test)]\nmod tests {\n    mod inner {\n        #[test]\n        #[ignore]\n        \
                    fn second() {\n        }\n    }\n    proptest! {\n        #[test]\n        fn third(x in 0..9) {}\n    \
                    }\n}\n#[test]\nfn last() {}\n";
        let found = functions(text);
        assert_eq!(found.tests, ["first", "tests::inner::second", "tests::third", "last"]);
        assert_eq!(found.modules, [("a".to_owned(), None), ("b".to_owned(), Some("x/b.rs".to_owned()))]);
    }

    #[test]
    fn listed_tests_are_found_in_each_way_and_nothing_else_is() {
        let listing = Listing::of(
            "// Test::new(\"old::name\", body)\n\
             Test::new(\"timers::owner\", owner).needs(\"tool\"); let other = \"no::test\"; f('\"', \"x::y\");\n\
             for (word, mode) in [(\"generic\", \"auto\"), (\n\"sockets\",\n\"off\")] {\n\
             name(\"flood\"); format!(\"hostile::{what}_{word}\"); format!(\"pair::{}_{word}\");\n\
             match self { Self::A => \"xvrrp\", _ => \"vrrpd\" }\n\
             tests![\n  plain_function,\n  another,\n];\n",
        );
        let has = |name| listing.lists(name, &listing.arms);
        for name in
            ["timers::owner", "hostile::flood_sockets", "pair::xvrrp_generic", "plain_function", "another"]
        {
            assert!(has(name), "{name}");
        }
        for name in
            ["old::name", "no::test", "x::y", "hostile::flood", "hostile::flood_off", "pair::auto_generic"]
        {
            assert!(!has(name), "{name}");
        }
    }

    #[test]
    fn this_repository_has_its_suites_and_tests() {
        let names = Names::read(crate::sys::workspace_root()).unwrap();
        for (suite, test) in [
            ("ha-common", "validate::tests::s09_multicast_needs_ttl_255"),
            ("ha-common", "packet::tests::what_is_written_reads_back"),
            ("ha-userspace", "doctor::expect::tests::an_interface_that_is_not_there_fails"),
            ("xtask", "conformance::names::tests::this_repository_has_its_suites_and_tests"),
            ("sim", "a_seed_tells_one_story"),
            ("net_sockets", "unicast_adverts_arrive"),
            ("xdp_fence", "strangers_close_no_fence"),
            ("e2e", "timers::s27_owner"),
            ("e2e", "fast::s39_killed_daemon"),
            ("e2e", "hostile::every_reason_has_its_counter_generic"),
            ("e2e", "interop::keepalived_v3_ipv6_lower"),
        ] {
            assert!(names.has(suite, test), "{suite} {test}");
        }
        assert!(!names.has("e2e", "timers::s27") && !names.has("e2e", "generic"));
        assert!(
            !names.has("e2e", "hostile::flood_at_master_and_backup_tcx")
                && !names.has("ha-common", "s09_multicast_needs_ttl_255")
        );
        assert_eq!(
            names.like("ha-common", "tests::s09_multicast_needs_ttl_255"),
            Some("validate::tests::s09_multicast_needs_ttl_255")
        );
    }
}
