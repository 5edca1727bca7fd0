//! Files, includes, places, words, blocks, `@id`, definitions, repetitions.

use std::fs;

use super::*;
use crate::config::report::{Verdict, verdict};

/// What a script line makes of its command; `None` where nothing is run.
fn words(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let text = [b"vrrp_script t {\nscript ".as_slice(), line, b"\n}\n"].concat();
    let loaded = load_str("x", &text, &options());
    let argv = &loaded.config.scripts.first()?.argv;
    Some(argv.iter().map(|word| word.as_encoded_bytes().to_vec()).collect())
}

/// Lines as a test against the real one wrote and recorded them; see `notify::words` of the end-to-end tests.
#[test]
fn commands_have_the_words_that_keepalived_passes() {
    let mut seen = 0;
    for pair in include_str!("commands.txt").lines().filter(|line| !line.starts_with('#')) {
        let mut fields = pair.split('\t').map(unescaped);
        let line = fields.next().expect("a line");
        let expected: Vec<_> = fields.collect();
        let expected = (expected != [b"-".to_vec()]).then_some(expected);
        let shown = |words: &Option<Vec<Vec<u8>>>| {
            words.as_ref().map(|words| words.iter().map(|w| w.escape_ascii().to_string()).collect::<Vec<_>>())
        };
        let ours = words(&line);
        assert_eq!(shown(&ours), shown(&expected), "{}", String::from_utf8_lossy(&line));
        seen += 1;
    }
    assert!(seen >= 500, "{seen}");
}

/// The inverse of `escape_ascii`.
fn unescaped(text: &str) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((&first, tail)) = rest.split_first() {
        let (byte, used) = match (first, tail.first()) {
            (b'\\', Some(b'x')) => {
                let digits = std::str::from_utf8(&tail[1..3]).expect("two digits");
                (u8::from_str_radix(digits, 16).expect("hexadecimal digits"), 3)
            }
            (b'\\', Some(b't')) => (b'\t', 1),
            (b'\\', Some(b'n')) => (b'\n', 1),
            (b'\\', Some(b'r')) => (b'\r', 1),
            (b'\\', Some(other)) => (*other, 1),
            _ => (first, 0),
        };
        out.push(byte);
        rest = &tail[used..];
    }
    out
}

#[test]
fn a_command_without_an_end_is_not_run_and_says_why() {
    for (line, text) in [
        (r#""/bin/x it's""#, "error[XV0201]: a ' in the command of `script` is not closed"),
        (r#""/bin/x \"a b""#, "error[XV0201]: a \" in the command of `script` is not closed"),
        (r#"'/bin/x a # b'"#, "error[XV0201]: a ' in the command of `script` is not closed"),
        (r#""/bin/x a\\""#, "error[XV0201]: the command of `script` ends with a backslash"),
    ] {
        assert_eq!(words(line.as_bytes()), None, "{line}");
        let config = format!("vrrp_script t {{\nscript {line}\n}}\n");
        let found = findings(&loaded(&config));
        assert!(found.iter().any(|finding| finding.contains(text)), "{line}: {found:?}");
    }
}

#[test]
fn braces_in_the_quotes_of_a_command_are_no_block() {
    for line in ["'/bin/x {a}'", r#""/bin/x \"{ a; }\"""#, r#""/bin/x '{a}'""#] {
        assert_eq!(words(line.as_bytes()).map_or(0, |words| words.len()), 2, "{line}");
    }
    // An apostrophe that nothing closes hides none.
    let second = words(b"/bin/it's } vrrp_script u { script /bin/y");
    assert_eq!(second, Some(vec![b"/bin/y".to_vec()]));
}

#[test]
fn passwords_are_read_as_keepalived_reads_them() {
    for (written, read) in [
        ("\"a#b\"", b"a#b\0\0\0\0\0"),
        ("a#b", b"a\0\0\0\0\0\0\0"),
        ("a!b", b"a\0\0\0\0\0\0\0"),
        ("it's", b"it's\0\0\0\0"),
        ("'a\\x41b'", b"'a\\x41b'"),
        ("\"a{b\"", b"a{b\0\0\0\0\0"),
        ("09", b"09\0\0\0\0\0\0"),
    ] {
        let loaded = instance_with(&format!("authentication {{\nauth_type PASS\nauth_pass {written}\n}}"));
        assert_eq!(only(&loaded.config).auth, ha_common::packet::Auth::Password(*read), "{written}");
    }
}

#[test]
fn a_password_need_not_be_utf8() {
    let text = b"vrrp_instance V {\ninterface e\nvirtual_router_id 1\nauthentication {\nauth_type PASS\nauth_pass \xff\xfe\n}\n}\n";
    let loaded = load_str("x", text, &options());
    assert_eq!(only(&loaded.config).auth, ha_common::packet::Auth::Password(*b"\xff\xfe\0\0\0\0\0\0"));
}

#[test]
fn blocks_may_stand_on_one_line_and_without_blanks() {
    let loaded = loaded(
        "vrrp_instance VI{ interface eth0\nvirtual_router_id 9\nvirtual_ipaddress{10.0.0.1}\ntrack_interface\n{ eth1 } }\n",
    );
    assert_eq!(findings(&loaded), Vec::<String>::new());
    assert_eq!(only(&loaded.config).track_interfaces.len(), 1);
    assert_eq!(only(&loaded.config).vips.len(), 1);
}

#[test]
fn places_count_lines_and_characters() {
    let loaded = loaded("# ế\nglobal_defs {\n  router_id ế bogus\n}\n");
    let place =
        loaded.diagnostics.iter().map(|f| loaded.diagnostics.sources.place(f.span).to_string()).next();
    assert_eq!(place.as_deref(), Some("/nonexistent/test.conf:3:15"));
}

#[test]
fn words_behind_a_replacement_keep_their_places() {
    let loaded = loaded("$LONG=a_long_value\nglobal_defs {\nrouter_id ${LONG}x bogus $LONG\n}\n");
    let spans: Vec<_> = loaded.diagnostics.iter().map(|f| (f.span.start, f.span.end)).collect();
    // From `bogus` to the end of the last `$LONG`, where they stand in the file.
    assert_eq!(spans, [(52, 63)]);
    assert_eq!(loaded.config.global.router_id.as_deref(), Some("a_long_valuex"));
}

#[test]
fn includes_are_read_where_they_stand_and_keep_their_places() {
    let dir = tempfile::tempdir().expect("a directory");
    let at = |name: &str| dir.path().join(name);
    fs::create_dir(at("d")).expect("created");
    fs::write(at("main.conf"), "vrrp_instance VI {\ninclude d/*.inc\n}\ninclude d/{none,deep}.conf\n")
        .expect("written");
    fs::write(at("d/1.inc"), "interface eth0\nvirtual_router_id 9\n").expect("written");
    fs::write(at("d/2.inc"), "prioritee 5\n").expect("written");
    fs::write(at("d/.3.inc"), "hidden\n").expect("written");
    fs::write(at("d/deep.conf"), "include deeper\n$P=${_PWD}\nglobal_defs {\nrouter_id $P\n}\n")
        .expect("written");
    fs::write(at("d/deeper"), "bogus\n").expect("written");
    let loaded = loaded_file(&at("main.conf"));
    assert_eq!(only(&loaded.config).vrid.get(), 9);
    let places: Vec<_> =
        loaded.diagnostics.iter().map(|f| loaded.diagnostics.sources.place(f.span).to_string()).collect();
    let name = |name: &str| at(name).display().to_string();
    for place in [name("d/2.inc") + ":1:1", name("d/deeper") + ":1:1"] {
        assert!(places.contains(&place), "{place} in {places:?}");
    }
    // And the alternative `none`, and no address. Hidden files are not read.
    assert_eq!(places.len(), 4, "{places:?}");
    let text = loaded.diagnostics.render(false);
    assert!(text.contains(&format!("{}:2:9", name("main.conf"))), "the include chain is shown:\n{text}");
    let pwd = at("d").canonicalize().expect("exists").display().to_string();
    assert_eq!(loaded.config.global.router_id, Some(pwd));
}

/// keepalived 2.2.7 runs a file that includes itself by `include` (it gives up after 20,000 files), and does not run
/// one that does so by a keyword for which files must be readable.
#[test]
fn a_file_that_insists_on_including_itself_cannot_run() {
    let dir = tempfile::tempdir().expect("a directory");
    for (keyword, fatal) in [("include", false), ("includer", true), ("includem", true), ("includea", true)] {
        let path = dir.path().join("self.conf");
        fs::write(&path, format!("{keyword} self.conf\n")).expect("written");
        let loaded = loaded_file(&path);
        assert_eq!(loaded.fatal, fatal, "{keyword}");
        assert!(loaded.diagnostics.iter().any(|finding| finding.code.0 == "XV0106"), "{keyword}");
    }
}

#[test]
fn recursive_includes_are_refused_with_the_chain() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("a.conf"), "include b.conf\n").expect("written");
    fs::write(dir.path().join("b.conf"), "include ./a.conf\n").expect("written");
    let loaded = loaded_file(&dir.path().join("a.conf"));
    let found = findings(&loaded).join("\n");
    assert!(found.contains("XV0106") && found.contains("b.conf:1:9"), "{found}");
    assert!(found.contains("a.conf → ") && found.contains("b.conf → "), "{found}");
}

#[test]
fn unusable_files_are_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let at = |name: &str| dir.path().join(name);
    fs::write(at("binary"), b"\x7fELF\0\0").expect("written");
    fs::write(at("empty"), b"").expect("written");
    for (name, code, verdicts) in [
        ("missing", "XV0101", Verdict::CannotRun),
        ("", "XV0101", Verdict::CannotRun),
        ("binary", "XV0102", Verdict::CannotRun),
        ("empty", "XV0104", Verdict::Good),
    ] {
        let loaded = loaded_file(&at(name));
        let found = findings(&loaded);
        assert!(found.len() == 1 && found[0].contains(code), "{name}: {found:?}");
        assert!(found[0].starts_with(&at(name).display().to_string()), "{found:?}");
        assert_eq!(verdict(&loaded), verdicts, "{name}");
    }
    // Opening a pipe must not wait for a writer.
    nix::unistd::mkfifo(&at("pipe"), nix::sys::stat::Mode::S_IRWXU).expect("made");
    assert!(findings(&loaded_file(&at("pipe")))[0].contains("pipe, socket or device"));
}

#[test]
fn missing_includes_are_errors_only_where_asked() {
    for (keyword, complains) in
        [("include", false), ("includer", false), ("includem", true), ("includew", true), ("includea", true)]
    {
        let loaded = loaded(&format!("{keyword} /nonexistent/file\nglobal_defs {{\n}}\n"));
        assert_eq!(complaints(&loaded), if complains { vec!["XV0105"] } else { vec![] }, "{keyword}");
    }
    let loaded = loaded("global_defs {\ninclude_check +match\n}\ninclude /nonexistent/file\n");
    assert_eq!(complaints(&loaded), ["XV0105"]);
}

#[test]
fn conditions_answer_to_the_host_and_to_xvrrp() {
    let loaded = instance_with(
        "@host priority 50\n@other priority 60\n@^host version 3\n@^other nopreempt\n@xvrrp advert_int 2\n@^xvrrp advert_int 3",
    );
    let instance = only(&loaded.config);
    assert_eq!((instance.priority.get(), instance.preempt, instance.interval.get()), (50, false, 200));
    assert_eq!(instance.version.number(), 2);
}

#[test]
fn definitions_are_replaced_when_used() {
    // The manual's example.
    let loaded = instance_with(
        "virtual_ipaddress_excluded {\n$BASE=10.2.${SUB}\n$SUB=0\n${BASE}.100/32\n$SUB=10\n${BASE}.100/32\n}",
    );
    let list: Vec<_> = only(&loaded.config).excluded.iter().map(|vip| vip.address.to_string()).collect();
    assert_eq!(list, ["10.2.0.100", "10.2.10.100"]);
    assert_eq!(findings(&loaded), Vec::<String>::new());
}

#[test]
fn undefined_names_stay_and_are_pointed_at() {
    let loaded = instance_with("priority $PRIO");
    assert_eq!(findings(&loaded).len(), 1);
    assert!(findings(&loaded)[0].contains("priority `$PRIO` is not a number"), "{:?}", findings(&loaded));
}

#[test]
fn predefined_names() {
    let loaded = loaded("global_defs {\nrouter_id ${_INSTANCE}${_HASH}${_BANG}${_RANDOM 5 5}\n}\n");
    assert_eq!(loaded.config.global.router_id.as_deref(), Some("host#!5"));
    let loaded = super::loaded("global_defs {\nrouter_id x${_ENV XVRRP_SURELY_NOT_SET}\n}\n");
    assert_eq!(loaded.config.global.router_id.as_deref(), Some("x"));
    assert_eq!(complaints(&loaded), ["XV0208"]);
}

#[test]
fn definitions_that_use_themselves_end() {
    for text in ["$A=$A\n$A\n", "$A=x${A}\n$A\n", "$A= \\\n$A \\\n$A\n$A\n", "$A=${B}${B}\n$B=${A}${A}\n$A\n"]
    {
        let loaded = loaded(text);
        assert!(findings(&loaded).iter().any(|f| f.contains("XV0206") || f.contains("XV0103")), "{text}");
    }
}

#[test]
fn huge_repetitions_are_refused() {
    let loaded = loaded("~SEQ(A,1,100000) ~SEQ(B,1,100000) x ${A} ${B}\n");
    assert!(loaded.fatal);
    assert!(findings(&loaded).iter().any(|finding| finding.contains("XV0103")));
}

#[test]
fn malformed_repetitions_are_named() {
    for text in
        ["~SEQ(X) a", "~SEQ(X,1,-1,5) a", "~SEQ(X,1", "~LST({A,B},{1}) a", "~FOO(1) a", "~SEQ(1X,1,2) a"]
    {
        assert_eq!(complaints(&loaded(text)), ["XV0207"], "{text}");
    }
}

#[test]
fn a_merge_conflict_is_one_error() {
    let loaded = instance_with("<<<<<<< HEAD\npriority 5\n=======\npriority 6\n>>>>>>> theirs");
    assert_eq!(complaints(&loaded), ["XV0205"]);
    assert_eq!(only(&loaded.config).priority.get(), 6);
}

#[test]
fn braces_without_counterpart_are_named() {
    assert_eq!(complaints(&loaded("global_defs {\n")), ["XV0202"]);
    assert_eq!(complaints(&loaded("global_defs {\n}\n}\n")), ["XV0203"]);
    let deep = "a {\n".repeat(100_000);
    assert!(complaints(&loaded(&deep)).contains(&"XV0204"));
}

#[test]
fn more_findings_than_can_be_shown_are_counted() {
    let loaded = loaded(&"bogus\n".repeat(5000));
    assert!(loaded.diagnostics.render(false).ends_with("and 4900 more\n"));
    assert_eq!((loaded.diagnostics.iter().len(), loaded.diagnostics.dropped()), (1000, 4000));
}

#[test]
fn long_words_do_not_fill_the_screen() {
    let loaded = instance_with(&format!("state {}", "x".repeat(50_000)));
    assert!(loaded.diagnostics.render(false).len() < 2000);
}

#[test]
fn ten_megabytes_are_read_in_bounded_time() {
    let timed = |text: &str| {
        let start = std::time::Instant::now();
        let fatal = loaded(text).fatal;
        (start.elapsed(), fatal)
    };
    for (piece, count, fatal) in [
        ("# a comment that goes on for a while, as comments do\n", 190_000, false),
        ("a\n", 5_000_000, true),
        ("a ", 5_000_000, true),
    ] {
        // A tenth is the reference: a walk that is quadratic takes a hundred times as long for the whole.
        let (part, _) = timed(&piece.repeat(count / 10));
        let (whole, refused) = timed(&piece.repeat(count));
        assert_eq!(refused, fatal, "{piece:?}");
        assert!(whole < part * 40, "{piece:?}: {whole:?}, a tenth of it {part:?}");
    }
}

#[test]
fn control_characters_do_not_reach_the_terminal() {
    let loaded = load_str("x", b"\x1b[31mbogus\n", &options());
    assert!(!loaded.diagnostics.render(false).contains('\x1b'));
    assert!(!findings(&loaded)[0].contains('\x1b'));
}

#[test]
fn a_byte_order_mark_is_passed_over_and_named() {
    let loaded = loaded(
        "\u{feff}vrrp_instance VI {\ninterface eth0\nvirtual_router_id 9\nvirtual_ipaddress {\n10.0.0.1\n}\n}\n",
    );
    assert_eq!(loaded.config.instances.len(), 1);
    let found = findings(&loaded);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].contains("test.conf:1:1: warning[XV0209]: the file begins with a byte order mark"),
        "{found:?}"
    );
}

#[test]
fn characters_that_nobody_sees_are_named_with_their_place() {
    for (line, place, name) in [
        ("priority\u{a0}150", "7:9", "a no-break space (U+00A0) stands in `priority\u{a0}150`"),
        ("notify_master \u{201c}/bin/x\u{201d}", "7:15", "a typographic quote (U+201C)"),
        ("notify_master \"/bin/x\u{200b} a\"", "7:22", "a zero-width space (U+200B)"),
        ("priority \u{2013}1", "7:10", "a typographic dash (U+2013)"),
    ] {
        let found = findings(&instance_with(line));
        let wanted = format!("test.conf:{place}: note[XV0209]: {name}");
        assert!(found.iter().any(|finding| finding.contains(&wanted)), "{line}: {found:?}");
    }
    // Nobody is told of letters, nor of what stands in a comment.
    assert_eq!(
        findings(&instance_with("nopreempt # \u{201c}d\u{e9}j\u{e0}\u{a0}vu\u{201d}")),
        Vec::<String>::new()
    );
}

#[test]
fn settings_that_share_a_line_are_told_apart() {
    for (text, setting) in [
        ("vrrp_script c { script \"/bin/true\" interval 2 weight 2 }\n", "interval"),
        ("vrrp_instance V { interface eth0 virtual_router_id 9 priority 150 }\n", "virtual_router_id"),
        ("global_defs { router_id R vrrp_version 3 }\n", "vrrp_version"),
    ] {
        let loaded = loaded(text);
        let help: Vec<_> = loaded.diagnostics.iter().filter_map(|finding| finding.help.clone()).collect();
        let wanted = format!("write one setting on a line: `{setting}` begins the next one");
        assert!(help.iter().any(|help| help.starts_with(&wanted)), "{text}: {help:?}");
    }
}

#[test]
fn a_block_that_lacks_its_braces_is_said_once_and_shown() {
    for (line, shown) in [
        ("track_script chk", "write `track_script { chk }`"),
        (
            "virtual_ipaddress_excluded 10.0.0.2 dev eth1",
            "write `virtual_ipaddress_excluded { 10.0.0.2 dev eth1 }`",
        ),
        ("authentication", "write `authentication { \u{2026} }`"),
    ] {
        let loaded = instance_with(line);
        let help: Vec<_> =
            loaded.diagnostics.iter().map(|finding| finding.help.clone().unwrap_or_default()).collect();
        assert_eq!(help.len(), 1, "{line}: {help:?}");
        assert!(help[0].starts_with(shown), "{line}: {help:?}");
    }
}
