//! `auth_hmac`: what keepalived 2.4.3 takes and refuses, tried with its `-t`.

use std::os::unix::fs::PermissionsExt;

use ha_common::packet::hmac::{AntiReplay, Key, Mode};

use super::{complaints, findings, instance_with, loaded, only};
use crate::config::Loaded;
use crate::config::model::{Hmac, HmacSetting};

/// 32 bytes.
const TEXT: &str = "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk";

fn hmac(lines: &str) -> Loaded {
    instance_with(&format!("auth_hmac {{\n{lines}\n}}"))
}

fn on(loaded: &Loaded) -> Hmac {
    let HmacSetting::On(hmac) = only(&loaded.config).hmac.clone() else {
        panic!("not usable: {:?}", findings(loaded))
    };
    hmac
}

fn key(bytes: &[u8]) -> Key {
    Key::new(bytes).expect("32 to 64 bytes")
}

#[test]
fn the_manual_page_s_example() {
    let digits: String = (0..32).map(|byte| format!("{byte:02x}")).collect();
    let loaded = hmac(&format!(
        "key 1 hex:{digits}\nkey 2 {TEXT}\nactive_key 2\nanti_replay time\ntime_window 7\nmode enforce"
    ));
    assert!(complaints(&loaded).is_empty(), "{:?}", findings(&loaded));
    let bytes: Vec<u8> = (0..32).collect();
    let keys = vec![(1, key(&bytes)), (2, key(TEXT.as_bytes()))];
    let expected = Hmac { active: keys[1], keys, anti_replay: AntiReplay::Time(7), mode: Mode::Enforce };
    assert_eq!(on(&loaded), expected);
    assert_eq!(only(&instance_with("").config).hmac, HmacSetting::Off);
}

#[test]
fn the_window_follows_the_interval_where_none_is_written() {
    for (lines, version, window) in [
        ("", "", 5),
        ("advert_int 1.5", "version 3", 5),
        ("advert_int 3", "", 9),
        ("advert_int 2.51", "version 3", 8),
    ] {
        let block = format!("auth_hmac {{\nkey 1 {TEXT}\nactive_key 1\n}}");
        let loaded = instance_with(&format!("{version}\n{lines}\n{block}"));
        assert_eq!(on(&loaded).anti_replay, AntiReplay::Time(window), "{lines}");
    }
}

#[test]
fn modes_and_strict_mode() {
    for (word, mode) in
        [("enforce", Mode::Enforce), ("permissive", Mode::Permissive), ("receive-only", Mode::ReceiveOnly)]
    {
        let block =
            format!("auth_hmac {{\nkey 1 {TEXT}\nactive_key 1\nmode {word}\nanti_replay monotonic\n}}");
        let found = on(&instance_with(&block));
        assert_eq!((found.mode, found.anti_replay), (mode, AntiReplay::Monotonic));
        let strict = instance_with(&format!("strict_mode on\naccept\n{block}"));
        assert_eq!(on(&strict).mode, Mode::Enforce);
        let expected: &[_] = if mode == Mode::Enforce { &[] } else { &["XV0517"] };
        assert_eq!(complaints(&strict), expected, "{word}");
    }
}

#[test]
fn without_a_key_to_sign_with_there_is_no_extension() {
    for lines in [
        String::new(),
        format!("key 1 {TEXT}"),
        "active_key 1".to_owned(),
        format!("key 1 {TEXT}\nactive_key 2"),
        format!("key 1 short\nkey 2 {TEXT}\nactive_key 1"),
        format!("key 1 {TEXT}{TEXT}k\nactive_key 1"),
        "key 1 hex:00zz\nactive_key 1".to_owned(),
        "key 1 hex:001\nactive_key 1".to_owned(),
        "key 1 file:\nactive_key 1".to_owned(),
        "key 1 file:/nonexistent/key\nactive_key 1".to_owned(),
        "key 1 file:/\nactive_key 1".to_owned(),
        "key 1 file:/dev/zero\nactive_key 1".to_owned(),
    ] {
        let loaded = hmac(&lines);
        assert_eq!(only(&loaded.config).hmac, HmacSetting::Unusable, "{lines}");
        assert!(complaints(&loaded).contains(&"XV0541") && !loaded.fatal, "{lines}: {:?}", findings(&loaded));
    }
}

#[test]
fn what_is_wrong_with_one_line_costs_that_line() {
    for (line, code) in [
        (format!("key 1 {TEXT}{TEXT}"), "XV0541"),
        (format!("key 0 {TEXT}"), "XV0401"),
        (format!("key 256 {TEXT}"), "XV0401"),
        (format!("key 2 {TEXT} more"), "XV0306"),
        ("mode enforced".to_owned(), "XV0405"),
        ("anti_replay never".to_owned(), "XV0405"),
        ("time_window 0".to_owned(), "XV0401"),
        ("time_window 301".to_owned(), "XV0401"),
        ("time_window 2.5".to_owned(), "XV0401"),
        ("auth_type PASS".to_owned(), "XV0304"),
    ] {
        let loaded = hmac(&format!("key 1 {TEXT}\nactive_key 1\n{line}"));
        assert_eq!(complaints(&loaded), [code], "{line}");
        let found = on(&loaded);
        assert_eq!(found.active, (1, key(TEXT.as_bytes())), "{line}");
        assert_eq!((found.mode, found.anti_replay), (Mode::Enforce, AntiReplay::Time(5)), "{line}");
    }
    assert!(hmac("key 1").fatal, "a missing parameter");
}

#[test]
fn it_takes_the_place_of_a_password_and_works_in_version_3() {
    let block = format!("auth_hmac {{\nkey 1 {TEXT}\nactive_key 1\n}}\n");
    let loaded = instance_with(&format!("{block}authentication {{\nauth_type PASS\nauth_pass x\n}}"));
    assert_eq!(complaints(&loaded), ["XV0510"]);
    assert_eq!(only(&loaded.config).auth, ha_common::packet::Auth::None);
    let loaded = instance_with(&format!("version 3\n{block}"));
    assert!(complaints(&loaded).is_empty() && only(&loaded.config).hmac.on().is_some());
}

#[test]
fn key_files_are_trimmed_and_their_permissions_looked_at() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("key");
    let hex = format!("hex:{}\n", "6b".repeat(32));
    for (mode, text, expected) in [
        (0o600, format!("{TEXT}\n"), [].as_slice()),
        (0o400, hex, &[]),
        (0o640, TEXT.to_owned(), &["XV0542"]),
        (0o604, TEXT.to_owned(), &["XV0542"]),
        (0o620, format!("{TEXT} \n\n"), &["XV0542"]),
    ] {
        std::fs::write(&path, text).expect("writable");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("ours");
        let loaded = hmac(&format!("key 1 file:{}\nactive_key 1", path.display()));
        assert_eq!(complaints(&loaded), expected, "{mode:o}");
        assert_eq!(on(&loaded).active, (1, key(TEXT.as_bytes())));
        std::fs::remove_file(&path).expect("there");
    }
    std::fs::write(&path, [b'k'; 5000]).expect("writable");
    let loaded = hmac(&format!("key 1 file:{}\nactive_key 1", path.display()));
    assert!(
        findings(&loaded).iter().any(|line| line.contains("larger than any key")),
        "{:?}",
        findings(&loaded)
    );
}

#[test]
fn keys_are_in_no_message() {
    let secret = "secretsecretsecretsecretsecretse";
    for lines in [
        format!("key 1 {secret} {secret}\nkey 1 {secret}\nactive_key 1"),
        format!("key 1 {secret}{secret}{secret}\nkey 0 {secret}\nactive_key 2"),
        format!("key 1 hex:{secret}\nkeys 1 x"),
    ] {
        let loaded = hmac(&lines);
        let text = format!("{}{}", loaded.diagnostics.render(false), findings(&loaded).concat());
        assert!(text.contains("XV0541") && !text.contains("secret"), "{text}");
        assert!(!format!("{:?}", loaded.config).contains("secret"));
    }
    let open = loaded(&format!("vrrp_instance V {{\nauth_hmac {{ key 1 {secret} }} }}\n"));
    assert!(!open.diagnostics.render(false).contains("secret"), "{}", open.diagnostics.render(false));
}
