//! What a process that logs writes: the test runs itself again as that process.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::{Command, Stdio};

use ha_userspace::logging::{self, Options};

/// The process that logs.
#[test]
#[ignore = "helper of the other tests"]
fn speaker() {
    let level = std::env::var("XVRRP_TEST_LEVEL").ok();
    let logging = match logging::init(&Options { level, ..Options::default() }) {
        Ok(logging) => logging,
        Err(error) => {
            eprintln!("refused: {error}");
            return;
        }
    };
    tracing::info!(vrid = 51, name = "VI_1", "state is {}", "MASTER");
    tracing::debug!("a detail");
    log::warn!("from a library");
    log::debug!("a library's detail");
    drop(logging);
}

/// Its standard error.
fn speak(level: Option<&str>, environment: &[(&str, &str)]) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "speaker", "--nocapture"]).stdout(Stdio::null());
    command.env_remove("RUST_LOG").env_remove("JOURNAL_STREAM").envs(environment.iter().copied());
    if let Some(level) = level {
        command.env("XVRRP_TEST_LEVEL", level);
    }
    String::from_utf8(command.output().unwrap().stderr).unwrap()
}

/// Lines without date and time, which have a fixed width.
fn without_times(text: &str) -> Vec<String> {
    text.lines()
        .map(|line| line.get("2026-11-30T03:12:44.123456+01:00 ".len()..).unwrap_or(line).to_owned())
        .collect()
}

#[test]
fn lines_have_date_level_and_message_and_no_colour_in_a_pipe() {
    let text = speak(None, &[]);
    assert_eq!(without_times(&text), ["INFO  state is MASTER", "WARN  from a library"], "{text}");
    let digits = text.bytes().take("2026-11-30T03:12:44".len()).filter(u8::is_ascii_digit).count();
    assert_eq!(digits, 14, "{text}");
}

#[test]
fn levels_come_from_the_option_and_else_from_the_environment() {
    let count = |level, environment: &[(&str, &str)]| speak(level, environment).lines().count();
    assert_eq!(count(Some("warn"), &[]), 1);
    assert_eq!(count(Some("trace"), &[]), 4);
    assert_eq!(count(None, &[("RUST_LOG", "error")]), 0);
    assert_eq!(count(None, &[("RUST_LOG", "")]), 2);
    assert_eq!(count(Some("debug"), &[("RUST_LOG", "error")]), 4);
    assert_eq!(count(Some("error,track_logging=info"), &[]), 2);
    // A misspelt level must not turn into silence.
    for level in ["wran", "loud=please=not", "", "info,nothing"] {
        let text = speak(Some(level), &[]);
        assert!(text.starts_with(&format!("refused: log level '{level}' is none of error, warn")), "{text}");
    }
}

#[test]
fn the_journal_gets_priorities_but_only_on_its_own_stream() {
    use std::io::Read;
    use std::os::unix::fs::MetadataExt;
    if std::path::Path::new("/run/systemd/journal/socket").exists() {
        // There it would be told, with fields.
        return;
    }
    // A file stands in for the journal's socket: what counts is the device and inode of standard error.
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let meta = file.as_file().metadata().unwrap();
    let stream = format!("{}:{}", meta.dev(), meta.ino());
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "speaker", "--nocapture"])
        .env_remove("RUST_LOG")
        .env("JOURNAL_STREAM", &stream)
        .stdout(Stdio::null())
        .stderr(file.reopen().unwrap())
        .status()
        .unwrap();
    assert!(status.success());
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text, "<6>state is MASTER\n<4>from a library\n");
    let elsewhere = speak(None, &[("JOURNAL_STREAM", &stream)]);
    assert!(!elsewhere.contains("<6>"), "{elsewhere}");
}
