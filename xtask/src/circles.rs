//! Circles of modules that import each other: each of them can only be understood, tested and changed with all others.
//!
//! What counts are the paths in a module's code, in `use` and elsewhere, as they lead to other files of the package
//! ([`imports`]). A module and those below it are one thing: what a module takes from one that it is part of does not
//! count. Three modules may be a family; a circle of more is found fault with. Called by `cargo xtask ci`.

mod imports;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use anyhow::{Result, bail};

use crate::sys;
use imports::{Import, Imports, Module};

/// The package that is looked at.
const PACKAGE: &str = "ha-userspace";
/// Modules of one circle that are in order.
const FAMILY: usize = 3;

/// Judges the package.
///
/// # Errors
/// A circle of too many modules, or a file that cannot be read.
pub(crate) fn check() -> Result<()> {
    sys::announce("Circles of modules", PACKAGE);
    let imports = Imports::read(sys::workspace_root(), PACKAGE)?;
    let findings = judge(&imports);
    if !findings.is_empty() {
        bail!("{}", findings.join("\n    "));
    }
    println!("    {} modules", imports.len());
    Ok(())
}

fn judge(imports: &Imports) -> Vec<String> {
    circles(imports).iter().map(|circle| tell(imports, circle)).collect()
}

/// Modules of which each imports each other, directly or by way of others: all sets that are too large.
fn circles(imports: &Imports) -> Vec<BTreeSet<&Module>> {
    let reached: BTreeMap<&Module, BTreeSet<&Module>> =
        imports.modules().map(|module| (module, reach(imports, module))).collect();
    let circle = |module: &Module| -> BTreeSet<&Module> {
        let others = reached.get(module).into_iter().flatten().copied();
        others.filter(|other| reached.get(*other).is_some_and(|reached| reached.contains(module))).collect()
    };
    let all: BTreeSet<_> = imports.modules().map(circle).filter(|circle| circle.len() > FAMILY).collect();
    all.into_iter().collect()
}

/// Everything that a module leads to.
fn reach<'a>(imports: &'a Imports, from: &Module) -> BTreeSet<&'a Module> {
    let mut reached = BTreeSet::new();
    let mut todo: Vec<&Module> = imports.of(from).map(|(module, _)| module).collect();
    while let Some(module) = todo.pop() {
        if reached.insert(module) {
            todo.extend(imports.of(module).map(|(module, _)| module));
        }
    }
    reached
}

/// The circle, and the imports that are the shortest way round.
fn tell(imports: &Imports, circle: &BTreeSet<&Module>) -> String {
    let ways = circle.iter().filter_map(|module| way_round(imports, module));
    let shortest = ways.min_by_key(Vec::len).unwrap_or_default();
    let shortest: Vec<String> = shortest
        .iter()
        .map(|(to, Import { file, line, path })| format!("\n      {file}:{line}: `{path}` leads to {to}"))
        .collect();
    let names: Vec<&str> = circle.iter().map(|module| module.as_str()).collect();
    format!(
        "{} modules of {PACKAGE} import each other: {}. The shortest way round:{}\n      Move what one of these lines \
         is after to a module below both, or hand it over as an argument",
        circle.len(),
        names.join(", "),
        shortest.concat()
    )
}

/// The shortest way from a module back to it: each step's end and import.
fn way_round<'a>(imports: &'a Imports, start: &Module) -> Option<Vec<(&'a Module, &'a Import)>> {
    let mut came: BTreeMap<&Module, (&Module, &Import)> = BTreeMap::new();
    let mut todo = VecDeque::from([start]);
    while let Some(from) = todo.pop_front() {
        for (to, import) in imports.of(from) {
            if to == start {
                let mut way = vec![(to, import)];
                let mut at = from;
                while let Some((before, import)) = came.get(at).filter(|_| at != start) {
                    let (to, _) = imports.of(before).find(|(to, _)| *to == at)?;
                    way.push((to, import));
                    at = before;
                }
                way.reverse();
                return Some(way);
            }
            came.entry(to).or_insert_with(|| {
                todo.push_back(to);
                (from, import)
            });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Modules with what they import.
    fn of(modules: &[(&str, &[&str])]) -> Imports {
        let text = |paths: &[&str]| paths.iter().map(|path| format!("use {path};\n")).collect::<String>();
        Imports::from_text(modules.iter().map(|(name, paths)| ((*name).to_owned(), text(paths))))
    }

    #[test]
    fn a_large_circle_is_told_with_the_shortest_way_round() {
        let imports = of(&[
            ("a", &["crate::b::B", "crate::e::E"]),
            ("b", &["crate::c::C"]),
            ("c", &["crate::d::D"]),
            ("d", &["crate::a::A"]),
            ("e", &["crate::b::B", "crate::f::F"]),
            ("f", &[]),
        ]);
        let [finding] = &judge(&imports)[..] else { panic!("one circle") };
        let start = "5 modules of ha-userspace import each other: a, b, c, d, e. The shortest way round:";
        assert!(finding.starts_with(start), "{finding}");
        for line in ["src/a.rs:1: `crate::b::B` leads to b", "src/d.rs:1: `crate::a::A` leads to a"] {
            assert!(finding.contains(line), "{finding}");
        }
        assert!(!finding.contains("crate::e"), "{finding}");
    }

    #[test]
    fn a_family_and_what_only_leads_down_are_in_order() {
        let family = of(&[("a", &["crate::b::B"]), ("b", &["crate::c::C"]), ("c", &["crate::a::A"])]);
        assert_eq!(judge(&family), Vec::<String>::new());
        let below = of(&[
            ("a", &["b::B", "c::C", "d::D"]),
            ("a::b", &["super::A"]),
            ("a::c", &["super::b::B", "crate::a::A"]),
            ("a::d", &["super::c::C"]),
        ]);
        assert_eq!(judge(&below), Vec::<String>::new());
    }

    #[test]
    fn the_sources_are_right() {
        check().unwrap_or_else(|error| panic!("{error:#}"));
    }
}
