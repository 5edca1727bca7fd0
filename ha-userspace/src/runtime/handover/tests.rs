use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

fn vrid(number: u8) -> Vrid {
    Vrid::new(number).expect("a VRID")
}

fn handover() -> Handover {
    let roles =
        vec![Role::new("ens160", Family::V4, vrid(25), 101), Role::new("ens160", Family::V6, vrid(7), 200)];
    Handover::new(Place::here(), roles)
}

#[test]
fn what_is_left_is_taken_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let left = handover();
    // What an interrupted write left does not stand in the way.
    std::fs::write(dir.path().join("restart.new"), "half").expect("a file");
    left.write(dir.path()).expect("written");
    let mode = std::fs::metadata(dir.path().join(FILE)).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let taken = Handover::take(dir.path(), &Place::here()).expect("believed");
    assert_eq!(taken, left);
    assert!(clock::now().span_since(taken.left_at()) < Span::SECOND);
    let priority = |family, number| taken.role("ens160", family, vrid(number)).map(|role| role.priority);
    assert_eq!(
        [priority(Family::V4, 25), priority(Family::V6, 25), priority(Family::V6, 7)],
        [Some(101), None, Some(200)]
    );
    assert!(taken.role("ens161", Family::V4, vrid(25)).is_none());
    assert_eq!(Handover::take(dir.path(), &Place::here()), None);
    assert_eq!(std::fs::read_dir(dir.path()).expect("a list").count(), 0);
}

#[test]
fn it_speaks_for_one_boot_and_one_namespace_and_not_for_long() {
    let left = handover();
    let text = serde_json::to_string(&left).expect("JSON");
    let at = |ns: u64| Handover::believe(&text, &Place::here(), Time(ns));
    assert!(at(left.left_ns).is_ok());
    assert!(at(left.left_ns + LONGEST_WINDOW.0).is_ok());
    assert!(matches!(at(left.left_ns + LONGEST_WINDOW.0 + 1), Err(Refusal::Age(_))));
    assert!(matches!(at(left.left_ns - 1), Err(Refusal::Future)));
    let elsewhere = Place { boot: "another".to_owned(), ..Place::here() };
    let believed = Handover::believe(&text, &elsewhere, Time(left.left_ns));
    assert!(matches!(believed, Err(Refusal::Place)));
    let elsewhere = Place { namespace: 1, ..Place::here() };
    let believed = Handover::believe(&text, &elsewhere, Time(left.left_ns));
    assert!(matches!(believed, Err(Refusal::Place)));
}

#[test]
fn nonsense_is_refused() {
    let left = handover();
    let good = serde_json::to_string(&left).expect("JSON");
    let other = good.replace("\"version\":1", "\"version\":2");
    let more = good.replace("\"version\":1", "\"version\":1,\"more\":0");
    let huge = good.replace("101", "1000");
    for text in ["", "{}", "[]", "null", "\u{0}", &good[..good.len() / 2], &other, &more, &huge] {
        assert!(Handover::believe(text, &Place::here(), Time(left.left_ns)).is_err(), "{text}");
    }
}

#[test]
fn what_others_could_have_put_there_is_not_read() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join(FILE);
    let take = || Handover::take(dir.path(), &Place::here());

    let victim = dir.path().join("victim");
    std::fs::write(&victim, serde_json::to_vec(&handover()).expect("JSON")).expect("a file");
    symlink(&victim, &path).expect("a link");
    assert_eq!(take(), None, "a link");
    assert!(victim.exists() && std::fs::symlink_metadata(&path).is_err(), "the link goes, not its target");

    std::fs::hard_link(&victim, &path).expect("a link");
    assert_eq!(take(), None, "another name of a file");

    handover().write(dir.path()).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o620)).expect("a mode");
    assert_eq!(take(), None, "others can write it");

    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
    assert_eq!(take(), None, "a FIFO, on which nobody waits");

    std::fs::create_dir(&path).expect("a directory");
    assert_eq!(take(), None, "a directory");
}
