//! Lines, and what happens when they cannot be written.

use std::sync::mpsc::{Sender, channel};

use super::*;

fn line(level: Level, text: &str) -> Record {
    Record { at: SystemTime::now(), level, text: text.to_owned(), fields: Map::new() }
}

/// Hands what is written to a test.
struct Tap(Sender<String>);

impl Write for Tap {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let _ = self.0.send(String::from_utf8_lossy(bytes).into_owned());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn forms_of_a_line() {
    let both = line(Level::WARN, "one\ntwo");
    assert_eq!(render(Target::Journal, &both), "<4>one\n<4>two\n");
    let text = render(Target::Terminal { colour: false }, &both);
    assert_eq!(&text[12..], " WARN  one\n                   two\n");
    assert_eq!(text.split(' ').next().map(|time| time.matches([':', '.']).count()), Some(3));
    assert!(render(Target::Terminal { colour: true }, &both).contains("\x1b[33mWARN \x1b[0m one"));
    let long = line(Level::INFO, &"word ".repeat(40));
    let wrapped = render(Target::Terminal { colour: false }, &long);
    assert!(wrapped.lines().count() > 1 && wrapped.lines().all(|line| line.len() <= 100), "{wrapped}");
    assert_eq!(render(Target::File, &long).lines().count(), 1);
    assert!(render(Target::File, &long).starts_with("20"), "it has a date");
    assert!(render(Target::Json, &both).starts_with("{\"format\":1,"));
    // A peer must not be able to send escape sequences to the operator's terminal.
    assert!(
        !render(Target::Terminal { colour: false }, &line(Level::INFO, "\x1b[2Jx\r\x07")).contains('\x1b')
    );
}

#[test]
fn a_full_pipe_never_holds_up_the_caller_and_the_loss_is_told() {
    let (read, write) = nix::unistd::pipe().expect("a pipe");
    let pipe = File::from(write);
    let (logging, queue) =
        Logging::start_with(Target::Journal, Box::new(pipe), None, Path::new("/nonexistent"))
            .expect("started");
    // Nobody reads: a caller that is held up never gets to the end of this.
    let text = "x".repeat(1000);
    for _ in 0..20_000 {
        queue.put(line(Level::INFO, &text));
    }
    // Somebody reads again: every line is either there or told to be lost.
    let reader = std::thread::spawn(move || std::io::read_to_string(File::from(read)));
    drop(queue);
    drop(logging);
    let all = reader.join().expect("no panic").expect("readable");
    let written = all.lines().filter(|line| line.ends_with("xxx")).count();
    let told: usize = all
        .lines()
        .filter_map(|line| line.strip_prefix("<4>")?.strip_suffix("could not be written in time"))
        .filter_map(|line| line.split(' ').next()?.parse::<usize>().ok())
        .sum();
    assert_eq!(written + told, 20_000, "{written} written, {told} told to be lost");
    // The pipe holds 64 lines and the queue 1024, and the writer makes room for a few more in between.
    assert!(told > 10_000, "{told}");
}

#[test]
fn dropping_does_not_wait_for_a_reader_that_never_comes() {
    let (read, write) = nix::unistd::pipe().expect("a pipe");
    let pipe = File::from(write);
    let (logging, queue) =
        Logging::start_with(Target::Journal, Box::new(pipe), None, Path::new("/x")).expect("started");
    for _ in 0..3_000 {
        queue.put(line(Level::INFO, &"x".repeat(1000)));
    }
    // Waiting for a reader would not end.
    drop(logging);
    drop(read);
}

#[test]
fn last_words_are_written() {
    let (sender, receiver) = channel();
    let (logging, queue) =
        Logging::start_with(Target::Journal, Box::new(Tap(sender)), None, Path::new("/x")).expect("started");
    // Let the thread go to sleep on an empty queue first.
    queue.put(line(Level::INFO, "first"));
    assert_eq!(receiver.recv().ok().as_deref(), Some("<6>first\n"));
    for n in 0..100 {
        queue.put(line(Level::ERROR, &n.to_string()));
    }
    drop(logging);
    assert_eq!(receiver.try_iter().collect::<String>().lines().count(), 100);
}

#[test]
fn syslog_gets_name_facility_and_severity_and_survives_its_daemon() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("log");
    let (sender, stderr) = channel();
    let mut writer = Writer {
        target: Target::Syslog { facility: DAEMON },
        stderr: Box::new(Tap(sender)),
        copy: None,
        socket: None,
        path: path.clone(),
    };
    // No syslog: standard error has to do.
    writer.write(&line(Level::INFO, "nobody there"));
    assert!(stderr.try_recv().is_ok_and(|text| text.ends_with("INFO  nobody there\n")));
    let receive = |socket: &UnixDatagram| {
        let mut buffer = [0; 200];
        socket.set_read_timeout(Some(Duration::from_secs(5))).expect("settable");
        let length = socket.recv(&mut buffer).expect("a datagram");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    let daemon = UnixDatagram::bind(&path).expect("bound");
    writer.write(&line(Level::ERROR, "one\ntwo"));
    let pid = std::process::id();
    assert_eq!(receive(&daemon), format!("<27>xvrrp[{pid}]: one"));
    assert_eq!(receive(&daemon), format!("<27>xvrrp[{pid}]: two"));
    drop(daemon);
    std::fs::remove_file(&path).expect("removed");
    let daemon = UnixDatagram::bind(&path).expect("bound");
    writer.write(&line(Level::INFO, "again"));
    assert_eq!(receive(&daemon), format!("<30>xvrrp[{pid}]: again"));
    assert!(stderr.try_recv().is_err());
}

#[test]
fn a_file_gets_a_copy_and_the_facility_is_as_asked_for() {
    let dir = tempfile::tempdir().expect("a directory");
    let (path, log) = (dir.path().join("socket"), dir.path().join("log"));
    let daemon = UnixDatagram::bind(&path).expect("bound");
    let (sender, stderr) = channel();
    let copy = File::create(&log).expect("made");
    let target = Target::Syslog { facility: 16 };
    let mut writer = Writer { target, stderr: Box::new(Tap(sender)), copy: Some(copy), socket: None, path };
    writer.write(&line(Level::WARN, "both"));
    let mut buffer = [0; 200];
    let length = daemon.recv(&mut buffer).expect("a datagram");
    // local0.warning
    assert_eq!(buffer[..length].strip_prefix(b"<132>xvrrp[").map(|_| ()), Some(()));
    writer.target = Target::Nowhere;
    writer.write(&line(Level::INFO, "only here"));
    let text = std::fs::read_to_string(log).expect("readable");
    assert!(text.contains("WARN  both\n") && text.ends_with("INFO  only here\n"), "{text}");
    assert!(stderr.try_recv().is_err());
}
