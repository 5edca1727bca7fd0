//! The thread, with a main loop that answers, and clients of all manners.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{counters, status};
use crate::config::model::{Global, MetricsAt};
use crate::control::asker::{Asker, Call};
use crate::control::snapshot::Snapshot;
use crate::metrics::Metrics;
use crate::metrics::http::HEAD_PATIENCE;

/// For what takes a moment.
const PATIENCE: Duration = Duration::from_secs(20);

/// The thread, whose questions are answered on another one.
fn metrics() -> Metrics {
    let (asker, mut calls) = Asker::new();
    std::thread::spawn(move || {
        while let Some(call) = calls.blocking_recv() {
            match call {
                Call::Status(reply) => drop(reply.send(Arc::new(Snapshot::new(status(), Box::new(|_| ()))))),
                Call::Counters(reply) => drop(reply.send(Arc::new(counters()))),
                Call::Order(..) => {}
            }
        }
    });
    let metrics = Metrics::start().expect("a thread");
    metrics.ask(Arc::new(asker));
    metrics
}

fn global(at: Option<MetricsAt>) -> Global {
    Global { metrics: at, ..Global::default() }
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port")
}

fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn says(mut stream: impl Read + Write, request: &[u8]) -> String {
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn ask(at: SocketAddr, request: &[u8]) -> String {
    says(eventually("nobody listens", || TcpStream::connect(at).ok()), request)
}

const GET: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";

#[test]
fn a_scraper_gets_the_form_that_it_wants() {
    let mut metrics = metrics();
    let at = free();
    metrics.serve(&global(Some(MetricsAt::Address(at))));
    let text = ask(at, GET);
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    assert!(text.contains("content-type: text/plain; version=0.0.4"), "{text}");
    assert!(text.contains("\nkeepalived_up 1\n"), "{text}");
    let open = ask(at, b"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: application/openmetrics-text\r\n\r\n");
    assert!(open.contains("content-type: application/openmetrics-text; version=1.0.0"), "{open}");
    assert!(open.ends_with("# EOF\n"), "{open}");
    assert!(ask(at, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").starts_with("HTTP/1.1 404 "));
    assert!(
        ask(at, b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
            .starts_with("HTTP/1.1 405 ")
    );
}

#[test]
fn whoever_holds_connections_open_or_talks_nonsense_keeps_nobody_out() {
    let mut metrics = metrics();
    let at = free();
    metrics.serve(&global(Some(MetricsAt::Address(at))));
    ask(at, GET);
    let begin = Instant::now();
    let mut open = Vec::new();
    for _ in 0..100 {
        let mut stream = TcpStream::connect(at).expect("connected");
        let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\nX: ");
        open.push(stream);
    }
    assert!(ask(at, GET).contains("\nkeepalived_up 1\n"));
    assert!(begin.elapsed() < HEAD_PATIENCE, "the bad ones had to leave first");
    let long = [b"GET /metrics HTTP/1.1\r\nX: ".as_slice(), &[b'a'; 100_000]].concat();
    for garbage in [b"\x16\x03\x01\x02\x00\x01\x00".as_slice(), b"\r\n\r\n\0\0\0\r\n\r\n", &long] {
        let stream = TcpStream::connect(at).expect("connected");
        let answer = says(stream.try_clone().expect("a clone"), garbage);
        assert!(!answer.contains("200 OK"), "{answer}");
        open.push(stream);
    }
    assert!(ask(at, GET).contains("\nkeepalived_up 1\n"));
}

#[test]
fn a_place_that_is_taken_is_complained_of_and_left_for_another() {
    let mut metrics = metrics();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = taken.local_addr().expect("bound");
    metrics.serve(&global(Some(MetricsAt::Address(at))));
    let complaint = metrics.complaint();
    let said = eventually("nothing is said", &complaint);
    assert!(said.contains(&format!("metrics {at}: cannot listen: ")), "{said}");
    let other = free();
    metrics.serve(&global(Some(MetricsAt::Address(other))));
    assert!(ask(other, GET).contains("200 OK"));
    assert_eq!(complaint(), None);
    metrics.serve(&global(None));
    eventually("it listens still", || TcpStream::connect(other).err());
}

#[test]
fn a_socket_in_the_file_system_has_its_mode_and_goes_with_the_thread() {
    let mut metrics = metrics();
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("metrics.sock");
    // What a daemon left that runs no more.
    drop(std::os::unix::net::UnixListener::bind(&path).expect("bound"));
    metrics.serve(&global(Some(MetricsAt::Path(path.clone()))));
    let stream = eventually("nobody listens", || UnixStream::connect(&path).ok());
    assert!(says(stream, GET).contains("\nkeepalived_up 1\n"));
    let mode = std::fs::metadata(&path).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    metrics.stop();
    eventually("the file is still there", || (!path.exists()).then_some(()));
}

#[test]
fn a_socket_is_not_made_where_others_can_lead_it_elsewhere() {
    let mut metrics = metrics();
    let directory = tempfile::tempdir().expect("a directory");
    let (open, target) = (directory.path().join("open"), directory.path().join("target"));
    std::fs::create_dir(&open).and_then(|()| std::fs::create_dir(&target)).expect("directories");
    std::fs::set_permissions(&open, PermissionsExt::from_mode(0o777)).expect("a mode");
    symlink(&target, open.join("link")).expect("a link");
    metrics.serve(&global(Some(MetricsAt::Path(open.join("link/metrics.sock")))));
    let said = eventually("nothing is said", metrics.complaint());
    assert!(said.contains("can lead anywhere"), "{said}");
    assert!(!target.join("metrics.sock").exists());
}
