//! `weight` and the `track_…` blocks of instances and sync groups.

use std::collections::HashMap;

use super::context::Context;
use super::script;
use super::value;
use crate::config::codes;
use crate::config::diag::Diagnostic;
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
pub(super) fn weight(stmt: &Statement, cx: &mut Context) -> Option<Weight> {
    weight_within(stmt, 253, cx)
}

/// The same with another limit.
pub(super) fn weight_within(stmt: &Statement, most: i64, cx: &mut Context) -> Option<Weight> {
    value::no_block(stmt, cx);
    if stmt.args().is_empty() {
        value::missing(stmt, cx);
        return None;
    }
    let mut words = stmt.args().iter().peekable();
    let written = parse(&mut words, most, "ignored", cx)?;
    value::extra(stmt, stmt.args().len() - words.len(), cx);
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
    cx: &mut Context,
) -> Option<Written> {
    let value = value::small(words.next()?, "weight", -most..=most, instead, cx)?;
    let reverse = words.next_if(|word| word.is("reverse")).map(|_| true);
    let forward = || words.next_if(|word| word.is("noreverse") || word.is("no_reverse")).map(|_| false);
    Some(Written { value, reverse: reverse.or_else(forward) })
}

/// `NAME [weight NUMBER [reverse]]`.
fn tracker(stmt: &Statement, most: i64, cx: &mut Context) -> Option<Written> {
    value::no_block(stmt, cx);
    let mut found = None;
    let mut words = stmt.args().iter().peekable();
    while let Some(word) = words.next() {
        if !word.is("weight") {
            let help = word.is("reverse").then(|| "write weight NUMBER reverse".to_owned());
            let message = format!("unknown tracking option `{}`", word.text());
            cx.push(
                Diagnostic::warning(codes::EXTRA_WORDS, word.span, message)
                    .label("ignored")
                    .maybe_help(help.or_else(|| Some("write one name on a line".to_owned()))),
            );
            continue;
        }
        if words.peek().is_none() {
            let message = "`weight` lacks its number";
            cx.push(Diagnostic::error(codes::MISSING_PARAMETER, word.span, message).label("ignored"));
            break;
        }
        found = parse(&mut words, most, "the default weight is used", cx);
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
    pub(super) fn setting(&mut self, keyword: Keyword, stmt: &Statement, known: &Known, cx: &mut Context) {
        let line: fn(&mut Self, &Statement, &Known, &mut Context) = match keyword {
            Keyword::Script => Self::script,
            Keyword::Check => Self::check,
            Keyword::Interface => Self::interface,
            Keyword::File => Self::file,
            Keyword::Process => Self::process,
            Keyword::Bfd => Self::bfd,
        };
        for stmt in value::bare_block(stmt, cx).unwrap_or_default() {
            line(self, stmt, known, cx);
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

    fn script(&mut self, stmt: &Statement, known: &Known, cx: &mut Context) {
        let word = stmt.keyword();
        let name = word.text().into_owned();
        if known.scripts.get(&name).is_none() && known.checks.get(&name).is_some() {
            return self.check(stmt, known, cx);
        }
        let weight = tracker(stmt, 253, cx);
        let Some(script) = known.scripts.get(&name) else {
            let names = known.scripts.names().chain(known.checks.names());
            let help = nearest(&name, names, cx).unwrap_or_else(|| format!("add a vrrp_script {name} block"));
            let message = format!("there is no script `{name}`");
            cx.push(
                Diagnostic::error(codes::SCRIPT_UNKNOWN, word.span, message).label("not tracked").help(help),
            );
            return;
        };
        let weight = {
            let default = script.script.weight;
            weight.map_or(default, |weight| weight.over(default.reverse))
        };
        let at = stmt.span();
        add(&mut self.scripts, |track| &track.script, TrackScript { script: name, weight }, word, at, cx);
    }

    fn check(&mut self, stmt: &Statement, known: &Known, cx: &mut Context) {
        let weight = tracker(stmt, 253, cx);
        let default = |name: &str| known.checks.get(name).map(|check| check.weight);
        named(&mut self.checks, stmt, "vrrp_check", weight, default, known.checks.names(), cx);
    }

    fn process(&mut self, stmt: &Statement, known: &Known, cx: &mut Context) {
        let weight = tracker(stmt, 254, cx);
        let default = |name: &str| known.processes.get(name).map(|process| process.weight);
        let names = known.processes.names();
        named(&mut self.processes, stmt, "vrrp_track_process", weight, default, names, cx);
    }

    fn bfd(&mut self, stmt: &Statement, known: &Known, cx: &mut Context) {
        let weight = tracker(stmt, 253, cx);
        let default = |name: &str| known.bfd.get(name).map(|bfd| bfd.weight);
        named(&mut self.bfd, stmt, "bfd_instance", weight, default, known.bfd.names(), cx);
    }

    fn file(&mut self, stmt: &Statement, known: &Known, cx: &mut Context) {
        let word = stmt.keyword();
        let name = word.text().into_owned();
        let weight = tracker(stmt, 254, cx);
        let Some(file) = known.files.get(&name) else {
            return unknown("track_file", &name, word.span, known.files.names(), cx);
        };
        let weight = weight.map_or(file.weight, |weight| {
            let Weight { value, reverse } = weight.over(file.weight.reverse);
            FileWeight { value: i32::from(value), reverse }
        });
        let track = TrackFileRef { name, weight, place: cx.place(word.span) };
        add(&mut self.files, |track| &track.name, track, word, stmt.span(), cx);
    }

    fn interface(&mut self, stmt: &Statement, _: &Known, cx: &mut Context) {
        let word = stmt.keyword();
        let weight = tracker(stmt, 253, cx).map_or_else(Weight::default, |weight| weight.over(false));
        let Some(interface) = value::interface(word, cx) else { return };
        let track = TrackInterface { interface, weight };
        add(&mut self.interfaces, |track| &track.interface, track, word, stmt.span(), cx);
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
    cx: &mut Context,
) {
    let word = stmt.keyword();
    let name = word.text().into_owned();
    let Some(default) = default(&name) else { return unknown(what, &name, word.span, names, cx) };
    let track = Track {
        name,
        weight: weight.map_or(default, |weight| weight.over(default.reverse)),
        place: cx.place(word.span),
    };
    add(out, |track| &track.name, track, word, stmt.span(), cx);
}

/// Add a tracker unless its name is tracked already or the list is full.
fn add<T>(
    out: &mut Vec<(T, Span)>,
    name: impl Fn(&T) -> &String,
    track: T,
    word: &Word,
    span: Span,
    cx: &mut Context,
) {
    if let Some((_, first)) = out.iter().find(|(other, _)| name(other) == name(&track)) {
        twice(word, *first, cx);
    } else if !too_many(word, out.len(), cx) {
        out.push((track, span));
    }
}

/// Say that a tracker names something that is not there.
pub(super) fn unknown<'a>(
    what: &str,
    name: &str,
    span: Span,
    names: impl Iterator<Item = &'a str>,
    cx: &mut Context,
) {
    let help = nearest(name, names, cx).unwrap_or_else(|| format!("add a {what} {name} block"));
    let message = format!("there is no {what} `{name}`");
    cx.push(Diagnostic::error(codes::TRACKER_UNKNOWN, span, message).label("not tracked").help(help));
}

fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>, cx: &Context) -> Option<String> {
    let guesses = if cx.is_full() { 0 } else { MAX_GUESSES };
    keywords::closest(name, names.take(guesses)).map(|near| format!("did you mean `{near}`?"))
}

fn twice(word: &Word, first: Span, cx: &mut Context) {
    let message = format!("`{}` is tracked twice", word.text());
    cx.push(
        Diagnostic::warning(codes::TRACKER_TWICE, word.span, message)
            .label("this one is ignored")
            .related(first, "the first one stands at"),
    );
}

fn too_many(word: &Word, count: usize, cx: &mut Context) -> bool {
    if count < MAX_TRACKERS {
        return false;
    }
    let message = format!("more than {MAX_TRACKERS} trackers of one kind");
    cx.push(Diagnostic::error(codes::TRACKER_TWICE, word.span, message).label("the rest is ignored"));
    true
}
