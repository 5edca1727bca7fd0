//! What an instance tracks, put together with what is known of it. No I/O: whoever calls says what is known.

use crate::config::model::{Instance, Track, Trackers};
use crate::track::Seen;
use crate::track::board::TrackerKind;
use crate::track::priority::{Scale, Subject, Tracker};

/// What an instance tracks by its own block.
pub(super) fn of(config: &Instance) -> Trackers {
    Trackers {
        scripts: config.track_scripts.clone(),
        interfaces: config.track_interfaces.clone(),
        files: config.track_files.clone(),
        processes: config.track_processes.clone(),
        bfd: config.track_bfd.clone(),
        checks: config.track_checks.clone(),
    }
}

/// Trackers with what is known of each thing, in the order in which `status` shows them.
pub(super) fn all<'a>(
    trackers: &'a Trackers,
    interface: impl Fn(&str) -> Seen + 'a,
    watched: impl Fn(TrackerKind, &str) -> Seen + Copy + 'a,
) -> impl Iterator<Item = Tracker<'a>> {
    let scripts = trackers.scripts.iter().map(move |track| Tracker {
        subject: Subject::Watched(TrackerKind::Script),
        name: &track.script,
        scale: Scale::Weight(track.weight),
        seen: watched(TrackerKind::Script, &track.script),
    });
    let interfaces = trackers.interfaces.iter().map(move |track| Tracker {
        subject: Subject::Interface,
        name: &track.interface,
        scale: Scale::Weight(track.weight),
        seen: interface(&track.interface),
    });
    let of_kind = move |kind: TrackerKind, list: &'a [Track]| {
        list.iter().map(move |track| Tracker {
            subject: Subject::Watched(kind),
            name: &track.name,
            scale: Scale::Weight(track.weight),
            seen: watched(kind, &track.name),
        })
    };
    let files = trackers.files.iter().map(move |track| Tracker {
        subject: Subject::Watched(TrackerKind::File),
        name: &track.name,
        scale: Scale::Factor(track.weight),
        seen: watched(TrackerKind::File, &track.name),
    });
    scripts
        .chain(interfaces)
        .chain(of_kind(TrackerKind::Check, &trackers.checks))
        .chain(of_kind(TrackerKind::Process, &trackers.processes))
        .chain(files)
        .chain(of_kind(TrackerKind::Bfd, &trackers.bfd))
}
