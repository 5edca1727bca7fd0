//! Sync groups, track groups, GARP groups, delays of interfaces.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use super::context::Context;
use super::keyword;
use super::notify::{NotifyDefaults, NotifyDraft};
use super::track::{Known, TrackDraft};
use super::value;
use crate::config::codes;
use crate::config::diag::Diagnostic;
use crate::config::keywords;
use crate::config::lexer::Word;
use crate::config::model::{GarpGroup, InterfaceDelay, NotifyScript, SyncGroup, TrackGroup};
use crate::config::source::Span;
use crate::config::tree::Statement;

/// Names that are compared with a misspelt one.
const MAX_GUESSES: usize = 200;
/// Longest delay of an interface, in microseconds.
const MAX_DELAY: u64 = 255_000_000;
/// keepalived keeps GARP intervals in 32 bits of microseconds.
const MAX_MICROS: u64 = 4_294_967_295;

/// A sync group, and where its parts stand.
#[derive(Debug)]
pub(super) struct Lowered {
    pub(super) group: SyncGroup,
    /// The block's name.
    pub(super) name: Span,
    /// The notify scripts with their lines.
    pub(super) notify: Vec<(NotifyScript, Span)>,
}

/// Members of groups: who is in which.
pub(super) struct Members<'a> {
    /// Instances that run, by name.
    pub(super) running: &'a BTreeSet<String>,
    /// Instances of the file that do not run; this has been reported.
    pub(super) broken: &'a HashSet<String>,
    /// Instances that are in a sync group already, and where.
    pub(super) taken: HashMap<String, Span>,
}

/// Read one `vrrp_sync_group`; `None` where no member runs.
pub(super) fn sync(
    stmt: &Statement,
    known: &Known,
    defaults: &NotifyDefaults,
    members: &mut Members<'_>,
    cx: &mut Context,
) -> Option<Lowered> {
    let name = value::name(stmt, cx)?;
    let statements = value::block(stmt, cx)?;
    let mut group = SyncGroup {
        name: name.text().into_owned(),
        members: Vec::new(),
        notify: Default::default(),
        trackers: Default::default(),
        tracking_weight: false,
        global_tracking: false,
        place: cx.place(name.span),
    };
    let (mut notify, mut trackers) = (NotifyDraft::default(), TrackDraft::default());
    let mut listed = None;
    for stmt in statements {
        let Some(keyword) = keyword::known(stmt, cx) else { continue };
        match keyword {
            keywords::SyncGroup::Group => {
                listed = Some(stmt.keyword().span);
                group.members.extend(newcomers(stmt, members, cx));
            }
            keywords::SyncGroup::SyncGroupTrackingWeight => {
                value::flag(stmt, cx);
                group.tracking_weight = true;
            }
            keywords::SyncGroup::GlobalTracking => {
                value::flag(stmt, cx);
                group.global_tracking = true;
                let message = "global_tracking is out of date";
                cx.push(
                    Diagnostic::warning(codes::NOT_NEEDED, stmt.keyword().span, message)
                        .label("what one member tracks counts for all")
                        .help("write track_interface, track_script and so on into the group"),
                );
            }
            keywords::SyncGroup::Notify(keyword) => notify.setting(keyword, stmt, cx),
            keywords::SyncGroup::Track(keyword) => trackers.setting(keyword, stmt, known, cx),
        }
    }
    if !enough(&group, listed.unwrap_or(name.span), name.span, cx) {
        return None;
    }
    let scripts = std::mem::take(&mut notify.scripts);
    group.notify = notify.finish(defaults);
    group.trackers = trackers.model();
    Some(Lowered { group, name: name.span, notify: scripts })
}

/// The members that a `group` block names and that are in no group yet.
fn newcomers(stmt: &Statement, members: &mut Members<'_>, cx: &mut Context) -> Vec<String> {
    let mut found = Vec::new();
    for word in names(stmt, cx) {
        if !member(word, "sync group", members, cx) {
            continue;
        }
        let text = word.text().into_owned();
        if let Some(first) = members.taken.get(&text) {
            let message = format!("`{text}` is in a sync group already");
            cx.push(
                Diagnostic::error(codes::GROUP_MEMBER, word.span, message)
                    .label("ignored here")
                    .related(*first, "it was put into one at"),
            );
            continue;
        }
        members.taken.insert(text.clone(), word.span);
        found.push(text);
    }
    found
}

/// Whether the group has a member that runs; one alone is worth a word.
fn enough(group: &SyncGroup, listed: Span, name: Span, cx: &mut Context) -> bool {
    match group.members.as_slice() {
        [] => {
            let message = format!("sync group `{}` has no member that runs", group.name);
            cx.push(
                Diagnostic::error(codes::GROUP_MEMBER, listed, message)
                    .label("the group is ignored")
                    .help("name its instances: group { VI_1 VI_2 }, each on a line of its own"),
            );
            false
        }
        [only] => {
            let message = format!("sync group `{}` has only one member, `{only}`", group.name);
            cx.push(
                Diagnostic::warning(codes::GROUP_MEMBER, name, message)
                    .label("there is nothing to synchronise"),
            );
            true
        }
        _ => true,
    }
}

/// All words of a block of names.
fn names<'a>(stmt: &'a Statement, cx: &mut Context) -> Vec<&'a Word> {
    let statements = value::bare_block(stmt, cx).unwrap_or_default();
    let mut words = Vec::new();
    for stmt in statements {
        value::no_block(stmt, cx);
        words.extend(&stmt.words);
    }
    words
}

/// Whether an instance of this name runs.
fn member(word: &Word, what: &str, members: &Members<'_>, cx: &mut Context) -> bool {
    let text = word.text();
    if members.running.contains(&*text) {
        return true;
    }
    let (message, help) = if members.broken.contains(&*text) {
        (format!("`{text}` does not run, so this {what} goes without it"), None)
    } else {
        let guesses = if cx.is_full() { 0 } else { MAX_GUESSES };
        let near = keywords::closest(&text, members.running.iter().take(guesses).map(String::as_str));
        (format!("there is no instance `{text}`"), near.map(|near| format!("did you mean `{near}`?")))
    };
    cx.push(
        Diagnostic::error(codes::GROUP_MEMBER, word.span, message)
            .label("ignored")
            .maybe_help(help.or_else(|| Some("name a vrrp_instance of this configuration".to_owned()))),
    );
    false
}

/// Read one `track_group`.
pub(super) fn track(stmt: &Statement, members: &Members<'_>, cx: &mut Context) -> Option<(TrackGroup, Span)> {
    let name = value::name(stmt, cx)?;
    let statements = value::block(stmt, cx)?;
    let mut list: Vec<String> = Vec::new();
    for stmt in statements {
        let Some(keywords::TrackGroup::Group) = keyword::known(stmt, cx) else { continue };
        for word in names(stmt, cx) {
            let text = word.text().into_owned();
            if member(word, "track group", members, cx) && !list.contains(&text) {
                list.push(text);
            }
        }
    }
    let place = cx.place(name.span);
    Some((TrackGroup { name: name.text().into_owned(), members: list, place }, name.span))
}

/// Read one `garp_group`; `taken` are the interfaces of earlier ones.
pub(super) fn garp(
    stmt: &Statement,
    taken: &mut HashMap<String, Span>,
    cx: &mut Context,
) -> Option<GarpGroup> {
    // keepalived takes a name and does nothing with it.
    value::extra(stmt, 1, cx);
    let statements = value::block(stmt, cx)?;
    let place = cx.place(stmt.keyword().span);
    let mut group = GarpGroup { interfaces: Vec::new(), arp_interval: None, na_interval: None, place };
    for stmt in statements {
        let Some(keyword) = keyword::known(stmt, cx) else { continue };
        let words = match keyword {
            keywords::GarpGroup::GarpPause(keyword) => {
                let Some(word) = value::one(stmt, cx) else { continue };
                let time = value::seconds(word, &stmt.keyword().text(), 1..=MAX_MICROS, "ignored", cx);
                let slot = match keyword {
                    keywords::GarpPause::Arp => &mut group.arp_interval,
                    keywords::GarpPause::Na => &mut group.na_interval,
                };
                *slot = time.or(*slot);
                continue;
            }
            keywords::GarpGroup::Interface => value::one(stmt, cx).into_iter().collect(),
            keywords::GarpGroup::Interfaces => names(stmt, cx),
        };
        for word in words {
            let Some(interface) = value::interface(word, cx) else { continue };
            if let Some(first) = taken.get(&interface) {
                let message = format!("`{interface}` is in a garp_group already");
                cx.push(
                    Diagnostic::error(codes::GROUP_MEMBER, word.span, message)
                        .label("ignored here")
                        .related(*first, "it was put into one at"),
                );
                continue;
            }
            taken.insert(interface.clone(), word.span);
            group.interfaces.push(interface);
        }
    }
    if group.interfaces.is_empty() || (group.arp_interval.is_none() && group.na_interval.is_none()) {
        let message = "a garp_group needs an interface and an interval";
        cx.push(
            Diagnostic::warning(codes::TRACKER_INCOMPLETE, stmt.keyword().span, message)
                .label("the group is ignored")
                .help("add interface NAME and garp_interval SECONDS"),
        );
        return None;
    }
    Some(group)
}

/// Read `interface_up_down_delays`.
pub(super) fn delays(stmt: &Statement, out: &mut Vec<InterfaceDelay>, cx: &mut Context) {
    for stmt in value::bare_block(stmt, cx).unwrap_or_default() {
        value::no_block(stmt, cx);
        let word = stmt.keyword();
        let Some(interface) = value::interface(word, cx) else { continue };
        let Some(first) = stmt.args().first() else {
            let message = format!("`{interface}` lacks its delay");
            cx.push(Diagnostic::error(codes::MISSING_PARAMETER, word.span, message).label("ignored"));
            continue;
        };
        value::extra(stmt, 2, cx);
        let read = |word: &Word, cx: &mut Context| -> Option<Duration> {
            value::seconds(word, "delay", 0..=MAX_DELAY, "ignored", cx)
        };
        let Some(down) = read(first, cx) else { continue };
        let up = match stmt.args().get(1) {
            Some(word) => read(word, cx).unwrap_or(down),
            None => down,
        };
        let place = cx.place(word.span);
        out.retain(|other| other.interface != interface);
        out.push(InterfaceDelay { interface, down, up, place });
    }
}

/// What keepalived does to the trackers of a group's members, unless `sync_group_tracking_weight` is set: priorities
/// inside a group must not drift apart. Scripts, checks and BFD sessions with a weight are not tracked at all; files
/// and interfaces lose their weight (2.2.7, tried).
pub(super) fn weights(group: &SyncGroup, instance: &str, trackers: &mut TrackDraft, cx: &mut Context) {
    if group.tracking_weight {
        return;
    }
    let mut say = |span: Span, what: &str, name: &str, label: &str| {
        let message =
            format!("{what} `{name}` of `{instance}` has a weight, and `{}` allows none", group.name);
        cx.push(
            Diagnostic::warning(codes::GROUP_WEIGHT, span, message)
                .label(label.to_owned())
                .help("track it in the vrrp_sync_group, or with weight 0"),
        );
    };
    let dropped = "not tracked at all, as in keepalived";
    let zero = "weight 0 is used, as in keepalived: a failure is a FAULT";
    trackers.scripts.retain(|(track, span)| {
        let fits = track.weight.value == 0;
        if !fits {
            say(*span, "script", &track.script, dropped);
        }
        fits
    });
    for (list, what) in [(&mut trackers.bfd, "BFD session"), (&mut trackers.checks, "check")] {
        list.retain(|(track, span)| {
            let fits = track.weight.value == 0;
            if !fits {
                say(*span, what, &track.name, dropped);
            }
            fits
        });
    }
    for (track, span) in trackers.files.iter_mut().filter(|(track, _)| track.weight.value != 0) {
        say(*span, "file", &track.name, zero);
        track.weight.value = 0;
    }
    for (track, span) in trackers.interfaces.iter_mut().filter(|(track, _)| track.weight.value != 0) {
        say(*span, "interface", &track.interface, zero);
        track.weight.value = 0;
    }
}
