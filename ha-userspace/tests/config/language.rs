//! The language, word for word: keepalived names every keyword that it does not know, so a file of unknown keywords
//! shows what it made of definitions, repetitions, conditions, quotes and includes.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use ha_userspace::config::{self, LoadOptions};
use libtest_mimic::{Failed, Trial};

pub(super) fn trials() -> Vec<Trial> {
    let able = nix::unistd::geteuid().is_root() && Command::new("keepalived").arg("-v").output().is_ok();
    let mut trials: Vec<Trial> = CASES
        .iter()
        .map(|(name, text)| {
            let name = if able {
                format!("language::{name}")
            } else {
                format!("language::{name} (needs keepalived)")
            };
            Trial::test(name, move || case(text)).with_ignored_flag(!able)
        })
        .collect();
    trials.push(Trial::test("findings_point_through_includes_and_expansions", points));
    trials
}

/// Each unknown word is a probe: what it is called shows how the line was read. What is read differently on purpose is
/// listed in docs/keepalived-compat.md and not here.
const CASES: &[(&str, &str)] = &[
    (
        "definitions",
        "$A=alpha beta\n$B=x${A}y\n$C=\n$_P=p\nk1_${A}\nk2_$A foo\nk3_${B}\nk4_$NOPE\nk5_${C}e\nk6_${_P}\n",
    ),
    ("recursion", "$BASE=10.2.${SUB}\n$SUB=0\nr_${BASE}.100\n$SUB=10\nr_${BASE}.100\n"),
    (
        "lines",
        "$NUM=7\n$M= \\\n    m1_${NUM} z \\\n    @host m2 \\\n    @other m3 \\\n    m4\n$M\n$NUM=8\n$M\n",
    ),
    (
        "nested lines",
        "$I= \\\n    i1_${X} \\\n    i2\n$O= \\\n    o1 \\\n    $X=1 \\\n    $I \\\n    $X=2 \\\n    $I\n$O\n",
    ),
    ("conditions", "@host c1\n@^host c2\n@other c3\n@^other c4\n@host $P=1\n@other $P=2\nc6_${P}\n"),
    ("predefined", "p1_${_PWD}\np2_${_INSTANCE}\np3_${_RANDOM 5 5}\n"),
    (
        "sequences",
        "~SEQ(A, 3) a_${A}\n~SEQ(B, 5, -2, 1) b_${B}\n~SEQ(C, 2, 4) c_${C}\n~SEQx(D, 0x9, 0xb) d_${D}\n~SEQ(E, -2) e_${E}\n",
    ),
    ("sequences of sequences", "~SEQ(A, 1, 2) ~SEQ(B, 1, 2) s_${A}_${B}\n"),
    (
        "lists",
        "~LST(W, a, b) l1_${W}\n~LST({X, Y}, {1,2},{3,4}) l2_${X}_${Y}\n~LST(P, 1, 2) ~SEQ(Q, 7, 8) l3_${P}_${Q}\n",
    ),
    ("repeated lines", "$V= \\\n    v1_${N} \\\n    v2\n~SEQ(N, 1, 3) $V\n"),
    ("comments", "c1 # x\nc2! x\n# c3\n   ! c4\n$D=one # two\nc6_${D}\n"),
    ("quotes", "\"q1 x\" y\nq2_'a b'\nq3_a\\ b\n"),
    ("include", "include part.conf\ninclude {a,b}.inc\ninclude *.glob\n$IN=part.conf\nafter\n"),
];

const PARTS: &[(&str, &str)] = &[
    ("part.conf", "in_part\ninclude sub/deep.conf\nx_${FROM}\n"),
    ("sub/deep.conf", "in_deep_${_PWD}\n$FROM=deep\n"),
    ("a.inc", "in_a\n"),
    ("b.inc", "in_b\n"),
    ("1.glob", "in_1\n"),
    ("2.glob", "in_2\n"),
];

fn options() -> LoadOptions {
    LoadOptions { config_id: "host".to_owned(), random_seed: 1, script_check: None, interface_check: None }
}

fn write(directory: &Path, text: &str) -> std::io::Result<std::path::PathBuf> {
    std::fs::create_dir(directory.join("sub"))?;
    for (name, text) in PARTS {
        std::fs::write(directory.join(name), text)?;
    }
    let path = directory.join("main.conf");
    std::fs::write(&path, text)?;
    Ok(path)
}

fn case(text: &str) -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let path = write(directory.path(), text)?;
    let output = Command::new("unshare")
        .args(["--net", "timeout", "-s", "KILL", "10", "keepalived", "--config-test", "-i", "host", "-f"])
        .arg(&path)
        .output()?;
    let said =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    let theirs = words(&said, "Unknown keyword '", '\'');
    if theirs.is_empty() {
        return Err(format!("keepalived names no word\n{said}").into());
    }
    let loaded = config::load(&path, &options());
    let messages: Vec<String> = loaded.diagnostics.iter().map(|finding| finding.message.clone()).collect();
    let ours = words(&messages.join("\n"), "unknown keyword `", '`');
    if ours == theirs {
        return Ok(());
    }
    let only = |a: &BTreeSet<String>, b: &BTreeSet<String>| a.difference(b).cloned().collect::<Vec<_>>();
    Err(format!("only keepalived: {:?}\nonly here: {:?}", only(&theirs, &ours), only(&ours, &theirs)).into())
}

fn words(text: &str, before: &str, after: char) -> BTreeSet<String> {
    text.lines()
        .filter_map(|line| Some(line.split_once(before)?.1))
        .filter_map(|rest| Some(rest.rsplit_once(after)?.0.to_owned()))
        .collect()
}

/// A finding's place is where the word was written: in the included file, in the line that uses a definition, in the
/// line that is repeated.
fn points() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let text = "include part.conf\n$M= \\\n    bogus_${N} \\\n    x\n\n   $M\n~SEQ(N, 1, 2) $M\n";
    let path = write(directory.path(), text)?;
    let loaded = config::load(&path, &options());
    let mut places = BTreeSet::new();
    for finding in &loaded.diagnostics {
        let place = loaded.diagnostics.sources.place(finding.span);
        let file = place.file.strip_prefix(directory.path()).unwrap_or(&place.file).display().to_string();
        let word = finding.message.split('`').nth(1).unwrap_or_default().to_owned();
        places.insert((word, file, place.line, place.column));
    }
    let at = |word: &str| {
        let found: Vec<_> = places.iter().filter(|(text, ..)| text == word).collect();
        found.iter().map(|(_, file, line, column)| format!("{file}:{line}:{column}")).collect::<Vec<_>>()
    };
    let (first, second) = (at("bogus_1"), at("in_part"));
    assert_eq!(second, ["part.conf:1:1"], "{places:?}");
    assert_eq!(first, ["main.conf:7:15"], "{places:?}");
    assert_eq!(at("x_deep"), ["part.conf:3:1"], "{places:?}");
    let text = loaded.diagnostics.render(false);
    assert!(text.contains("part.conf"), "{text}");
    Ok(())
}
