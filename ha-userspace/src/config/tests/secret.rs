//! Secrets in files of their own.

use std::os::unix::fs::PermissionsExt as _;

use ha_common::packet::Auth;

use super::{complaints, loaded};

fn instance(kind: &str, word: &str) -> String {
    format!(
        "vrrp_instance V {{\ninterface e\nvirtual_router_id 1\nauthentication {{\nauth_type {kind}\nauth_pass {word}\n}}\n\
         virtual_ipaddress {{ 192.0.2.1 }}\n}}\n"
    )
}

#[test]
fn they_are_read_and_white_space_at_the_end_is_none_of_them() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("secret");
    std::fs::write(&path, "geheim\n").expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("set");
    let word = format!("file:{}", path.display());
    for (kind, wanted) in [("PASS", Auth::Password(*b"geheim\0\0")), ("AH", Auth::Header(*b"geheim\0\0"))] {
        let loaded = loaded(&instance(kind, &word));
        assert_eq!(complaints(&loaded), [] as [&str; 0]);
        assert_eq!(loaded.config.instances[0].auth, wanted);
    }
    std::fs::write(&path, "00112233445566778899aabbccddeeff\n").expect("written");
    let read = loaded(&format!("global_defs {{\nfast_key {word}\n}}\n{}", instance("PASS", "x")));
    let key = ha_common::probe::key(b"00112233445566778899aabbccddeeff");
    assert_eq!(read.config.instances[0].fast.key.map(|key| key.0), Some(key));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("set");
    assert_eq!(complaints(&loaded(&format!("global_defs {{\nfast_key {word}\n}}\n"))), ["XV0542"]);
}

#[test]
fn without_its_password_an_instance_does_not_run() {
    let empty = tempfile::NamedTempFile::new().expect("a file");
    for path in ["/nonexistent/password", "/", &empty.path().display().to_string()] {
        let loaded = loaded(&instance("PASS", &format!("file:{path}")));
        assert!(complaints(&loaded).contains(&"XV0543"), "{path}: {:?}", complaints(&loaded));
        assert!(loaded.config.instances.is_empty(), "{path}");
    }
    let loaded =
        loaded(&format!("global_defs {{\nfast_key file:/nonexistent/key\n}}\n{}", instance("PASS", "x")));
    assert_eq!(complaints(&loaded), ["XV0543"]);
    assert_eq!(loaded.config.instances[0].fast.key, None);
}

#[test]
fn what_keepalived_takes_for_a_password_stays_one() {
    let loaded = loaded(&instance("PASS", "file:abc"));
    assert_eq!(complaints(&loaded), [] as [&str; 0]);
    assert_eq!(loaded.config.instances[0].auth, Auth::Password(*b"file:abc"));
}
