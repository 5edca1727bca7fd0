//! The path check over an imaginary file system.

use std::collections::BTreeMap;

use super::*;

/// Paths with their metadata and, for links, targets.
#[derive(Default)]
struct Fake(BTreeMap<PathBuf, (Meta, PathBuf)>);

impl Fake {
    fn with(mut self, kind: FileKind, path: &str, mode: u32, uid: u32, gid: u32) -> Self {
        self.0.insert(PathBuf::from(path), (Meta { kind, mode, uid, gid }, PathBuf::new()));
        self
    }

    fn dir(self, path: &str, mode: u32, uid: u32, gid: u32) -> Self {
        self.with(FileKind::Directory, path, mode, uid, gid)
    }

    fn file(self, path: &str, mode: u32, uid: u32, gid: u32) -> Self {
        self.with(FileKind::File, path, mode, uid, gid)
    }

    fn symlink(mut self, path: &str, target: &str, uid: u32) -> Self {
        let meta = Meta { kind: FileKind::Link, mode: 0o777, uid, gid: 0 };
        self.0.insert(PathBuf::from(path), (meta, PathBuf::from(target)));
        self
    }
}

impl Files for Fake {
    fn meta(&self, path: &Path) -> io::Result<Meta> {
        self.0.get(path).map(|entry| entry.0).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn link(&self, path: &Path) -> io::Result<PathBuf> {
        self.0.get(path).map(|entry| entry.1.clone()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

fn tree() -> Fake {
    Fake::default()
        .dir("/", 0o755, 0, 0)
        .dir("/etc", 0o755, 0, 0)
        .dir("/tmp", 0o1777, 0, 0)
        .dir("/home", 0o755, 0, 0)
        .dir("/home/eve", 0o755, 1000, 1000)
        .file("/home/eve/chk", 0o755, 0, 0)
        .file("/etc/chk", 0o755, 0, 0)
}

fn root() -> Identity {
    Identity { name: "root".to_owned(), uid: 0, gid: 0, groups: vec![0] }
}

fn nobody() -> Identity {
    Identity { name: "nobody".to_owned(), uid: 65534, gid: 65534, groups: vec![65534] }
}

/// The component that a secure check as root stumbles over, with the command that helps.
fn unsafe_part(files: &Fake, program: &str) -> Option<(String, &'static str)> {
    match check(files, Path::new(program), &root(), true) {
        Ok(()) => None,
        Err(Refusal::Unsafe { component, fix, .. }) => Some((component.display().to_string(), fix)),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn every_component_is_looked_at() {
    let table = [
        (tree(), "/etc/chk", None),
        (tree(), "/etc/./../etc//chk", None),
        (tree().file("/etc/chk", 0o757, 0, 0), "/etc/chk", Some(("/etc/chk", "chmod go-w"))),
        (tree().file("/etc/chk", 0o775, 0, 50), "/etc/chk", Some(("/etc/chk", "chmod g-w"))),
        (tree().file("/etc/chk", 0o775, 0, 0), "/etc/chk", None),
        (tree().file("/etc/chk", 0o755, 7, 0), "/etc/chk", Some(("/etc/chk", "chown -h root"))),
        (tree().dir("/etc", 0o777, 0, 0), "/etc/chk", Some(("/etc", "chmod go-w"))),
        (tree().dir("/", 0o777, 0, 0), "/etc/chk", Some(("/", "chmod go-w"))),
        (tree(), "/home/eve/chk", Some(("/home/eve", "chown -h root"))),
        // A sticky directory lets nobody replace what belongs to root.
        (tree().file("/tmp/chk", 0o755, 0, 0), "/tmp/chk", None),
        (tree().file("/tmp/chk", 0o755, 7, 0), "/tmp/chk", Some(("/tmp/chk", "chown -h root"))),
        // The sticky bit of a file means nothing.
        (tree().file("/etc/chk", 0o1757, 0, 0), "/etc/chk", Some(("/etc/chk", "chmod go-w"))),
    ];
    for (files, program, expected) in table {
        let expected = expected.map(|(component, fix)| (component.to_owned(), fix));
        assert_eq!(unsafe_part(&files, program), expected, "{program}");
    }
}

#[test]
fn links_are_followed_and_what_they_lead_through_is_looked_at() {
    let files = tree()
        .symlink("/etc/good", "chk", 0)
        .symlink("/etc/far", "/home/eve/chk", 0)
        .symlink("/etc/up", "../home/eve/chk", 0)
        .symlink("/tmp/eves", "/etc/chk", 1000)
        .symlink("/etc/a", "b", 0)
        .symlink("/etc/b", "a", 0);
    assert_eq!(unsafe_part(&files, "/etc/good"), None);
    assert_eq!(unsafe_part(&files, "/etc/far").map(|part| part.0), Some("/home/eve".to_owned()));
    assert_eq!(unsafe_part(&files, "/etc/up").map(|part| part.0), Some("/home/eve".to_owned()));
    assert_eq!(unsafe_part(&files, "/tmp/eves").map(|part| part.0), Some("/tmp/eves".to_owned()));
    let circle = check(&files, Path::new("/etc/a"), &root(), true);
    assert!(matches!(circle, Err(Refusal::TooManyLinks { .. })), "{circle:?}");
}

#[test]
fn a_user_that_is_not_root_or_no_security_means_no_safety_check() {
    let files = tree();
    assert!(check(&files, Path::new("/home/eve/chk"), &nobody(), true).is_ok());
    assert!(check(&files, Path::new("/home/eve/chk"), &root(), false).is_ok());
}

#[test]
fn messages_name_the_component_the_cause_and_the_command() {
    let files = tree()
        .dir("/etc/conf.d", 0o775, 0, 50)
        .file("/etc/conf.d/chk", 0o755, 0, 0)
        .file("/etc/plain", 0o644, 0, 0)
        .dir("/etc/closed", 0o700, 0, 0)
        .file("/etc/closed/chk", 0o755, 0, 0);
    let text = |program: &str, user: &Identity| {
        check(&files, Path::new(program), user, true)
            .err()
            .map_or(String::new(), |refusal| refusal.to_string())
    };
    assert_eq!(
        text("/etc/conf.d/chk", &root()),
        "/etc/conf.d/chk is not safe to run as root: /etc/conf.d can be changed by its group, 50 \
         (mode 0775, owner 0, group 50); run: chmod g-w /etc/conf.d"
    );
    assert_eq!(
        text("/etc/plain", &root()),
        "/etc/plain cannot be run by user root: /etc/plain has mode 0644; run: chmod u+x /etc/plain"
    );
    assert_eq!(
        text("/etc/closed/chk", &nobody()),
        "/etc/closed/chk cannot be run by user nobody: /etc/closed has mode 0700; run: chmod a+x /etc/closed"
    );
    assert_eq!(text("/etc", &root()), "/etc cannot be run: /etc is not a regular file");
    assert_eq!(text("/etc/chk/x", &root()), "/etc/chk/x cannot be run: /etc/chk is not a directory");
    assert_eq!(text("/etc/none", &root()), "/etc/none cannot be run: /etc/none: entity not found");
}

#[test]
fn the_owners_and_the_groups_bits_decide_for_them() {
    let files = tree().file("/etc/chk", 0o610, 1000, 50);
    let who = |uid, groups: &[u32]| Identity { name: "u".to_owned(), uid, gid: 9, groups: groups.to_vec() };
    let may = |identity| check(&files, Path::new("/etc/chk"), &identity, false).is_ok();
    assert!(!may(who(1000, &[50])), "the owner's bits come first");
    assert!(may(who(1001, &[50])));
    assert!(!may(who(1001, &[51])));
    assert!(may(who(0, &[])));
}

#[test]
fn plain_names_are_searched_for() {
    let files = tree().file("/etc/plain", 0o644, 0, 0);
    let found = |name: &str, path: &str| {
        find(&files, name.as_ref(), path).ok().map(|found| found.display().to_string())
    };
    assert_eq!(found("chk", "/bin:relative:/etc"), Some("/etc/chk".to_owned()));
    assert_eq!(found("plain", "/etc"), None);
    assert_eq!(found("eve", "/home"), None);
    assert_eq!(found("./chk", "/etc"), None);
    assert_eq!(found("", "/etc"), None);
    assert_eq!(found("/anything", ""), Some("/anything".to_owned()));
}
