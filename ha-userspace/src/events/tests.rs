//! Files of events: what is kept, what a crash, a full disk or somebody else does to them.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use serde_json::{Map, Value};
use tracing::Level;

use super::file::{EventFile, before};
use super::recorder::line;
use super::*;
use crate::logging::record::Record;

fn record(text: &str) -> Record {
    let fields = Map::from_iter([
        ("kind".to_owned(), Value::from("transition")),
        ("instance".to_owned(), Value::from("VI_1")),
        ("silent_ms".to_owned(), Value::from(2.5)),
    ]);
    Record { at: SystemTime::now(), level: Level::WARN, text: text.to_owned(), fields }
}

fn texts(directory: &Path) -> Vec<String> {
    read(directory).expect("files").events.into_iter().map(|event| event.text).collect()
}

#[test]
fn what_is_written_is_read() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut file = EventFile::in_directory(directory.path().join("below"));
    file.append(&line(&record("one\ntwo \"three\""))).expect("written");
    let found = read(&directory.path().join("below")).expect("files");
    let [event] = found.events.as_slice() else { panic!("{found:?}") };
    assert_eq!((event.format, event.level.as_str(), event.kind.as_str()), (FORMAT, "warning", "transition"));
    assert_eq!(event.text, "one\ntwo \"three\"");
    assert_eq!((event.instance.as_deref(), event.silent_ms), (Some("VI_1"), Some(2.5)));
    assert_eq!(event.at.len(), "2026-11-30T03:12:44.123456+01:00".len());
}

#[test]
fn a_full_file_makes_way_and_the_one_before_it_goes() {
    let directory = tempfile::tempdir().expect("a directory");
    let size = line(&record("00")).len() as u64 + 1;
    let mut file = EventFile::with_limit(directory.path().to_owned(), 10 * size);
    for n in 10..45 {
        file.append(&line(&record(&n.to_string()))).expect("written");
    }
    let kept: Vec<_> = (30..45).map(|n| n.to_string()).collect();
    assert_eq!(texts(directory.path()), kept);
    // A new run goes on where this one was.
    EventFile::with_limit(directory.path().to_owned(), 10 * size)
        .append(&line(&record("45")))
        .expect("written");
    assert_eq!(texts(directory.path()).last().map(String::as_str), Some("45"));
    assert_eq!(texts(directory.path()).len(), 16);
}

#[test]
fn a_line_that_a_crash_cut_off_costs_nothing_but_itself() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join(FILE);
    let whole = line(&record("whole"));
    fs::write(&path, format!("{whole}\n{}", &whole[..20])).expect("written");
    EventFile::in_directory(directory.path().to_owned()).append(&line(&record("after"))).expect("written");
    assert_eq!(texts(directory.path()), ["whole", "after"]);
    assert_eq!(read(directory.path()).expect("files").broken, 1);
}

#[test]
fn foreign_lines_are_left_out_and_counted() {
    let directory = tempfile::tempdir().expect("a directory");
    let long = "x".repeat(200_000);
    let lines =
        ["{}", "[1]", "null", "\u{0}\u{1}", &long, &line(&record("mine")), "", "{\"format\":\"one\"}"];
    fs::write(before(&directory.path().join(FILE)), lines.join("\n")).expect("written");
    assert_eq!(texts(directory.path()), ["mine"]);
    assert!(read(directory.path()).expect("files").broken >= 6);
    assert!(read(Path::new("/nonexistent")).is_err());
}

#[test]
fn a_link_or_a_pipe_in_its_place_is_not_written_to() {
    let directory = tempfile::tempdir().expect("a directory");
    let (path, other) = (directory.path().join(FILE), directory.path().join("other"));
    std::os::unix::fs::symlink(&other, &path).expect("a link");
    let mut file = EventFile::in_directory(directory.path().to_owned());
    assert!(file.append("{}").is_err());
    assert!(!other.exists());
    fs::remove_file(&path).expect("removed");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    assert!(file.append("{}").is_err());
    fs::remove_file(&path).expect("removed");
    file.append(&line(&record("at last"))).expect("written");
    assert_eq!(texts(directory.path()), ["at last"]);
}

#[test]
fn a_disk_that_is_full_loses_events_and_says_how_many() {
    let directory = tempfile::tempdir().expect("a directory");
    let place = directory.path().join("state");
    fs::write(&place, "a file where the directory should be").expect("written");
    let (recording, recorder) = Recorder::start(place.clone()).expect("started");
    for n in 0..10 {
        recorder.record(record(&n.to_string()));
    }
    // The disk has room again.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    fs::remove_file(&place).expect("removed");
    std::thread::sleep(std::time::Duration::from_millis(1100));
    recorder.record(record("again"));
    drop(recording);
    let told = texts(&place);
    assert_eq!(told, ["10 events before this one were lost: they could not be written in time", "again"]);
}

#[test]
fn somebody_who_follows_sees_what_comes_also_in_the_next_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let size = line(&record("00")).len() as u64 + 1;
    let mut file = EventFile::with_limit(directory.path().to_owned(), 3 * size);
    file.append(&line(&record("10"))).expect("written");
    let mut tail = Tail::from_end(directory.path());
    assert!(tail.more().is_empty());
    let mut seen = Vec::new();
    for n in 11..18 {
        file.append(&line(&record(&n.to_string()))).expect("written");
        seen.extend(tail.more().into_iter().map(|event| event.text));
    }
    let all: Vec<_> = (11..18).map(|n| n.to_string()).collect();
    assert_eq!(seen, all);
}

#[test]
fn each_daemon_of_a_host_has_a_history_of_its_own() {
    assert_eq!(below(Path::new(DEFAULT_STATE_DIR), Path::new("/run/xvrrp")), Path::new("/var/lib/xvrrp"));
    assert_eq!(
        below(Path::new(DEFAULT_STATE_DIR), Path::new("/run/xvrrp/web")),
        Path::new("/var/lib/xvrrp/web")
    );
    assert_eq!(below(Path::new(DEFAULT_STATE_DIR), Path::new("/tmp/lab/r1")), Path::new("/tmp/lab/r1"));
}
