//! `weight` and the `track_…` blocks of instances and sync groups.

use std::collections::HashMap;

use super::script;
use super::value;
use crate::config::codes;
use crate::config::diag::{Diagnostic, Diagnostics};
use crate::config::keywords::{self, Track as Keyword};
use crate::config::lexer::Word;
use crate::config::model::{
    Bfd, Check, FileWeight, Track, TrackFile, TrackFileRef, TrackInterface, TrackProcess, TrackScript,
    Trackers, Weight,
};
use crate::config::source::Span;
use crate::config::tree::Statement;

/// Names that are compared with a misspelt one.
const MAX_GUESSES: usize = 200;
/// Trackers of one kind in an instance.
const MAX_TRACKERS: usize = 256;

/// The keyword `weight NUMBER [reverse]` on a line of its own.
pub(super) fn weight(stmt: &Statement, diags: &mut Diagnostics) -> Option<Weight> {
    weight_within(stmt, 253, diags)
}

/// The same with another limit.
pub(super) fn weight_within(stmt: &Statement, most: i64, diags: &mut Diagnostics) -> Option<Weight> {
    value::no_block(stmt, diags);
    if stmt.args().is_empty() {
        value::missing(stmt, diags);
        return None;
    }
    let mut words = stmt.args().iter().peekable();
    let written = parse(&mut words, most, "ignored", diags)?;
    value::extra(stmt, stmt.args().len() - words.len(), diags);
    Some(written.over(false))
}

/// A weight as it is written: the direction may be left open.
#[derive(Clone, Copy)]
struct Written {
    value: i16,
    reverse: Option<bool>,
}

impl Written {
    /// A line that says nothing of the direction has the one of what it names (keepalived 2.2.7, tried).
    fn over(self, default: bool) -> Weight {
        Weight { value: self.value, reverse: self.reverse.unwrap_or(default) }
    }
}

fn parse<'a>(
    words: &mut std::iter::Peekable<impl Iterator<Item = &'a Word>>,
    most: i64,
    instead: &str,
    diags: &mut Diagnostics,
) -> Option<Written> {
    let value = value::small(words.next()?, "weight", -most..=most, instead, diags)?;
    let reverse = words.next_if(|word| word.is("reverse")).map(|_| true);
    let forward = || words.next_if(|word| word.is("noreverse") || word.is("no_reverse")).map(|_| false);
    Some(Written { value, reverse: reverse.or_else(forward) })
}

/// `NAME [weight NUMBER [reverse]]`.
fn tracker(stmt: &Statement, most: i64, diags: &mut Diagnostics) -> Option<Written> {
    value::no_block(stmt, diags);
    let mut found = None;
    let mut words = stmt.args().iter().peekable();
    while let Some(word) = words.next() {
        if !word.is("weight") {
            let help = word.is("reverse").then(|| "write weight NUMBER reverse".to_owned());
            let message = format!("unknown tracking option `{}`", word.text());
            diags.push(
                Diagnostic::warning(codes::EXTRA_WORDS, word.span, message)
                    .cause("ignored")
                    .maybe_help(help.or_else(|| Some("write one name on a line".to_owned()))),
            );
            continue;
        }
        if words.peek().is_none() {
            let message = "`weight` lacks its number";
            diags.push(Diagnostic::error(codes::MISSING_PARAMETER, word.span, message).cause("ignored"));
            break;
        }
        found = parse(&mut words, most, "the default weight is used", diags);
    }
    found
}

/// Things of one kind by name, in the order of the file.
#[derive(Debug)]
pub(super) struct Table<T> {
    by_name: HashMap<String, (T, Span)>,
    order: Vec<String>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { by_name: HashMap::new(), order: Vec::new() }
    }
}

impl<T> Table<T> {
    /// Take a thing in; where its name is taken, the place of the first.
    pub(super) fn insert(&mut self, name: &str, thing: T, span: Span) -> Result<(), Span> {
        if let Some((_, first)) = self.by_name.get(name) {
            return Err(*first);
        }
        self.by_name.insert(name.to_owned(), (thing, span));
        self.order.push(name.to_owned());
        Ok(())
    }

    pub(super) fn get(&self, name: &str) -> Option<&T> {
        self.by_name.get(name).map(|(thing, _)| thing)
    }

    pub(super) fn span(&self, name: &str) -> Option<Span> {
        self.by_name.get(name).map(|(_, span)| *span)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.order.iter().map(String::as_str)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.order.iter().filter_map(|name| self.get(name))
    }

    /// All things, in order.
    pub(super) fn into_vec(mut self) -> Vec<T> {
        self.order.iter().filter_map(|name| self.by_name.remove(name)).map(|(thing, _)| thing).collect()
    }
}

/// Everything that can be tracked by name.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) scripts: Table<script::Lowered>,
    pub(super) checks: Table<Check>,
    pub(super) files: Table<TrackFile>,
    pub(super) processes: Table<TrackProcess>,
    pub(super) bfd: Table<Bfd>,
}

/// What an instance or a group tracks, each with its place.
#[derive(Debug, Default)]
pub(super) struct TrackDraft {
    pub(super) scripts: Vec<(TrackScript, Span)>,
    pub(super) interfaces: Vec<(TrackInterface, Span)>,
    pub(super) files: Vec<(TrackFileRef, Span)>,
    pub(super) processes: Vec<(Track, Span)>,
    pub(super) bfd: Vec<(Track, Span)>,
    pub(super) checks: Vec<(Track, Span)>,
}

impl TrackDraft {
    /// Read one block.
    pub(super) fn setting(
        &mut self,
        keyword: Keyword,
        stmt: &Statement,
        known: &Known,
        diags: &mut Diagnostics,
    ) {
        let line: fn(&mut Self, &Statement, &Known, &mut Diagnostics) = match keyword {
            Keyword::Script => Self::script,
            Keyword::Check => Self::check,
            Keyword::Interface => Self::interface,
            Keyword::File => Self::file,
            Keyword::Process => Self::process,
            Keyword::Bfd => Self::bfd,
        };
        for stmt in value::bare_block(stmt, diags).unwrap_or_default() {
            line(self, stmt, known, diags);
        }
    }

    /// The trackers without their places.
    pub(super) fn model(&self) -> Trackers {
        fn plain<T: Clone>(list: &[(T, Span)]) -> Vec<T> {
            list.iter().map(|(track, _)| track.clone()).collect()
        }
        Trackers {
            scripts: plain(&self.scripts),
            interfaces: plain(&self.interfaces),
            files: plain(&self.files),
            processes: plain(&self.processes),
            bfd: plain(&self.bfd),
            checks: plain(&self.checks),
        }
    }

    fn script(&mut self, stmt: &Statement, known: &Known, diags: &mut Diagnostics) {
        let word = stmt.keyword();
        let name = word.text().into_owned();
        if known.scripts.get(&name).is_none() && known.checks.get(&name).is_some() {
            return self.check(stmt, known, diags);
        }
        let weight = tracker(stmt, 253, diags);
        let Some(script) = known.scripts.get(&name) else {
            let names = known.scripts.names().chain(known.checks.names());
            let help =
                nearest(&name, names, diags).unwrap_or_else(|| format!("add a vrrp_script {name} block"));
            let message = format!("there is no script `{name}`");
            diags.push(
                Diagnostic::error(codes::SCRIPT_UNKNOWN, word.span, message).cause("not tracked").help(help),
            );
            return;
        };
        let weight = {
            let default = script.script.weight;
            weight.map_or(default, |weight| weight.over(default.reverse))
        };
        let at = stmt.span();
        add(&mut self.scripts, |track| &track.script, TrackScript { script: name, weight }, word, at, diags);
    }

    fn check(&mut self, stmt: &Statement, known: &Known, diags: &mut Diagnostics) {
        let weight = tracker(stmt, 253, diags);
        let default = |name: &str| known.checks.get(name).map(|check| check.weight);
        named(&mut self.checks, stmt, "vrrp_check", weight, default, known.checks.names(), diags);
    }

    fn process(&mut self, stmt: &Statement, known: &Known, diags: &mut Diagnostics) {
        let weight = tracker(stmt, 254, diags);
        let default = |name: &str| known.processes.get(name).map(|process| process.weight);
        let names = known.processes.names();
        named(&mut self.processes, stmt, "vrrp_track_process", weight, default, names, diags);
    }

    fn bfd(&mut self, stmt: &Statement, known: &Known, diags: &mut Diagnostics) {
        let weight = tracker(stmt, 253, diags);
        let default = |name: &str| known.bfd.get(name).map(|bfd| bfd.weight);
        named(&mut self.bfd, stmt, "bfd_instance", weight, default, known.bfd.names(), diags);
    }

    fn file(&mut self, stmt: &Statement, known: &Known, diags: &mut Diagnostics) {
        let word = stmt.keyword();
        let name = word.text().into_owned();
        let weight = tracker(stmt, 254, diags);
        let Some(file) = known.files.get(&name) else {
            return unknown("track_file", &name, word.span, known.files.names(), diags);
        };
        let weight = weight.map_or(file.weight, |weight| {
            let Weight { value, reverse } = weight.over(file.weight.reverse);
            FileWeight { value: i32::from(value), reverse }
        });
        let track = TrackFileRef { name, weight, place: diags.sources.place(word.span) };
        add(&mut self.files, |track| &track.name, track, word, stmt.span(), diags);
    }

    fn interface(&mut self, stmt: &Statement, _: &Known, diags: &mut Diagnostics) {
        let word = stmt.keyword();
        let weight = tracker(stmt, 253, diags).map_or_else(Weight::default, |weight| weight.over(false));
        let Some(interface) = value::interface(word, diags) else { return };
        let track = TrackInterface { interface, weight };
        add(&mut self.interfaces, |track| &track.interface, track, word, stmt.span(), diags);
    }
}

/// A tracker of something that has a name and a default weight.
fn named<'a>(
    out: &mut Vec<(Track, Span)>,
    stmt: &Statement,
    what: &str,
    weight: Option<Written>,
    default: impl Fn(&str) -> Option<Weight>,
    names: impl Iterator<Item = &'a str>,
    diags: &mut Diagnostics,
) {
    let word = stmt.keyword();
    let name = word.text().into_owned();
    let Some(default) = default(&name) else { return unknown(what, &name, word.span, names, diags) };
    let track = Track {
        name,
        weight: weight.map_or(default, |weight| weight.over(default.reverse)),
        place: diags.sources.place(word.span),
    };
    add(out, |track| &track.name, track, word, stmt.span(), diags);
}

/// Add a tracker unless its name is tracked already or the list is full.
fn add<T>(
    out: &mut Vec<(T, Span)>,
    name: impl Fn(&T) -> &String,
    track: T,
    word: &Word,
    span: Span,
    diags: &mut Diagnostics,
) {
    if let Some((_, first)) = out.iter().find(|(other, _)| name(other) == name(&track)) {
        twice(word, *first, diags);
    } else if !too_many(word, out.len(), diags) {
        out.push((track, span));
    }
}

/// Say that a tracker names something that is not there.
pub(super) fn unknown<'a>(
    what: &str,
    name: &str,
    span: Span,
    names: impl Iterator<Item = &'a str>,
    diags: &mut Diagnostics,
) {
    let help = nearest(name, names, diags).unwrap_or_else(|| format!("add a {what} {name} block"));
    let message = format!("there is no {what} `{name}`");
    diags.push(Diagnostic::error(codes::TRACKER_UNKNOWN, span, message).cause("not tracked").help(help));
}

fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>, diags: &Diagnostics) -> Option<String> {
    let guesses = if diags.is_full() { 0 } else { MAX_GUESSES };
    keywords::closest(name, names.take(guesses)).map(|near| format!("did you mean `{near}`?"))
}

fn twice(word: &Word, first: Span, diags: &mut Diagnostics) {
    let message = format!("`{}` is tracked twice", word.text());
    diags.push(
        Diagnostic::warning(codes::TRACKER_TWICE, word.span, message)
            .cause("this one is ignored")
            .related(first, "the first one stands at"),
    );
}

fn too_many(word: &Word, count: usize, diags: &mut Diagnostics) -> bool {
    if count < MAX_TRACKERS {
        return false;
    }
    let message = format!("more than {MAX_TRACKERS} trackers of one kind");
    diags.push(Diagnostic::error(codes::TRACKER_TWICE, word.span, message).cause("the rest is ignored"));
    true
}
