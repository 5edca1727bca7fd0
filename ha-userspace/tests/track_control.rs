//! The control socket under good and bad clients.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ha_userspace::control::asker::{Call, Order};
use ha_userspace::control::client::{self, ClientError};
use ha_userspace::control::protocol::{
    Counters, Held, InterfaceCounters, Reloaded, Request, Response, Status,
};
use ha_userspace::control::server::Server;
use ha_userspace::control::snapshot::Snapshot;
use ha_userspace::control::socket_path;
use ha_userspace::control::thread::Control;

/// A daemon whose main loop answers by `main`, on a thread of its own.
struct Daemon {
    dir: tempfile::TempDir,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Daemon {
    fn start(mut main: impl FnMut(Call) + Send + 'static) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let run_dir = dir.path().to_owned();
        let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let (mut control, _, mut calls) = Control::start(Server::bind(&run_dir).unwrap()).unwrap();
            ready.send(()).unwrap();
            control.serve();
            tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async move {
                loop {
                    tokio::select! {
                        Some(call) = calls.recv() => main(call),
                        _ = &mut stopped => break,
                    }
                }
            });
            while run_dir.join("control.sock").exists() {
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        is_ready.recv_timeout(Duration::from_secs(10)).unwrap();
        Self { dir, stop: Some(stop), thread: Some(thread) }
    }

    /// Answers everything.
    fn ordinary() -> Self {
        Self::start(|call| answer(call, snapshot()))
    }

    fn run_dir(&self) -> &Path {
        self.dir.path()
    }

    fn socket(&self) -> PathBuf {
        socket_path(self.run_dir())
    }

    fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(self.socket()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    /// What comes back for these bytes.
    fn tell(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8(answer).unwrap()
    }

    fn assert_alive(&self) {
        let answer = client::request(self.run_dir(), Request::Status).unwrap();
        assert!(matches!(answer, Response::Status(ref status) if status.pid == 7), "{answer:?}");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().unwrap().join();
        if !std::thread::panicking() {
            ended.unwrap();
            assert!(!self.socket().exists(), "the socket is left behind");
        }
    }
}

fn snapshot() -> Snapshot {
    Snapshot::new(Status { pid: 7, ..Status::default() }, Box::new(|_| {}))
}

/// Answers a call as a daemon does that is well.
fn answer(call: Call, snapshot: Snapshot) {
    let order = |order| match order {
        Order::Reload { .. } => Response::Reloaded(Reloaded::default()),
        Order::Stop => Response::Stopping,
        Order::Hold(_) => Response::Held(Held::default()),
        Order::Restart => Response::Restarting,
    };
    match call {
        Call::Status(reply) => drop(reply.send(Arc::new(snapshot))),
        Call::Counters(reply) => drop(reply.send(Arc::new(counters()))),
        Call::Order(given, reply) => drop(reply.send(order(given))),
    }
}

fn counters() -> Counters {
    let interface = InterfaceCounters { interface: "eth0".to_owned(), ..InterfaceCounters::default() };
    Counters { format: 1, interfaces: vec![interface] }
}

#[test]
fn requests_reach_the_main_loop_and_answers_come_back() {
    let daemon = Daemon::ordinary();
    daemon.assert_alive();
    let mode = std::fs::metadata(daemon.socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let answer = client::request(daemon.run_dir(), Request::Counters).unwrap();
    assert_eq!(answer, Response::Counters(counters()));
    assert_eq!(client::request(daemon.run_dir(), Request::Stop).unwrap(), Response::Stopping);
    // Several requests on one connection, one of them broken.
    let answers = daemon.tell(b"{\"cmd\":\"status\"}\nnonsense\n{\"cmd\":\"reload\"}\n");
    let kinds: Vec<&str> = answers.lines().map(|line| line.split('"').nth(3).unwrap()).collect();
    assert_eq!(kinds, ["status", "error", "reloaded"], "{answers}");
}

#[test]
fn hostile_bytes_are_answered_with_an_error_and_nothing_else_happens() {
    let daemon = Daemon::ordinary();
    let deep = "[".repeat(1000);
    let table: [&[u8]; 6] =
        [b"", b"\xff\xfe\0\0", b"{\"cmd\":\"reboot\"}", b"{\"cmd\":17}", b"null", deep.as_bytes()];
    for bytes in table {
        let mut line = bytes.to_vec();
        line.push(b'\n');
        let answer = daemon.tell(&line);
        assert!(answer.starts_with("{\"answer\":\"error\""), "{bytes:?}: {answer}");
    }
    // Without an end of line, and with a line that never ends.
    assert_eq!(daemon.tell(b"{\"cmd\":\"status\"}"), "");
    let oversized = daemon.tell(&vec![b'x'; 4 << 20]);
    assert!(oversized.is_empty() || oversized.contains("at most 1024 bytes"), "{oversized}");
    let mut stream = daemon.connect();
    stream.write_all(&[b'x'; 1500]).unwrap();
    let mut answer = String::new();
    BufReader::new(&stream).read_line(&mut answer).unwrap();
    assert!(answer.contains("at most 1024 bytes"), "{answer}");
    daemon.assert_alive();
}

#[test]
fn slow_clients_are_cut_off_and_do_not_lock_others_out_for_long() {
    let daemon = Daemon::ordinary();
    // More than are served at once, and all of them silent.
    let mut idle: Vec<UnixStream> = (0..20).map(|_| daemon.connect()).collect();
    // It waits for its answer for a while, but not for twenty silent clients one after the other.
    daemon.assert_alive();
    let mut answer = String::new();
    idle[0].read_to_string(&mut answer).unwrap();
    assert!(answer.contains("no request came in time"), "{answer}");
}

#[test]
fn many_clients_at_once_are_all_served() {
    let daemon = Daemon::ordinary();
    std::thread::scope(|scope| {
        for _ in 0..40 {
            scope.spawn(|| {
                for _ in 0..10 {
                    daemon.assert_alive();
                }
            });
        }
    });
}

/// Clients that ask all the time and never read: they cost the main loop a call in a while, and nobody else waits for
/// them for long.
#[test]
fn clients_that_never_read_stop_neither_the_main_loop_nor_others() {
    let calls = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&calls);
    let daemon = Daemon::start(move |call| {
        counted.fetch_add(1, Ordering::Relaxed);
        // More than a socket's buffer holds.
        let warnings = vec!["x".repeat(4 << 20)];
        answer(call, Snapshot::new(Status { pid: 7, warnings, ..Status::default() }, Box::new(|_| {})));
    });
    let requests = "{\"cmd\":\"status\"}\n".repeat(10_000);
    let mut deaf: Vec<UnixStream> = (0..8).map(|_| daemon.connect()).collect();
    for stream in &mut deaf {
        stream.set_nonblocking(true).unwrap();
        // As much as fits.
        let _ = stream.write(requests.as_bytes());
    }
    for _ in 0..3 {
        daemon.assert_alive();
    }
    // A hundred thousand requests were written; each of them is served one at a time, and none was read.
    let calls = calls.load(Ordering::Relaxed);
    assert!((1..=100).contains(&calls), "{calls}");
    drop(deaf);
}

/// What waits while an answer is made does so on the thread of the socket: the main loop goes on.
#[test]
fn what_waits_for_other_threads_does_not_stop_the_main_loop() {
    let (go_on, waits) = std::sync::mpsc::channel::<()>();
    let waits = Arc::new(std::sync::Mutex::new(waits));
    let (sender, handed_out) = std::sync::mpsc::channel();
    let daemon = Daemon::start(move |call| {
        let waits = Arc::clone(&waits);
        let rest = move |status: &mut Status| {
            let _ = waits.lock().unwrap().recv();
            status.version = "completed".to_owned();
        };
        let known = Status { pid: 7, ..Status::default() };
        answer(call, Snapshot::new(known, Box::new(rest)));
        // The main loop is here while the answer still waits.
        sender.send(()).unwrap();
    });
    std::thread::scope(|scope| {
        let client = scope.spawn(|| client::request(daemon.run_dir(), Request::Status).unwrap());
        handed_out.recv_timeout(Duration::from_secs(60)).unwrap();
        drop(go_on);
        let answer = client.join().unwrap();
        assert!(matches!(&answer, Response::Status(status) if status.version == "completed"), "{answer:?}");
    });
}

#[test]
fn a_frozen_main_loop_is_reported_and_not_waited_for() {
    let mut kept = Vec::new();
    let daemon = Daemon::start(move |call| kept.push(call));
    for request in [Request::Status, Request::Counters] {
        let answer = client::request(daemon.run_dir(), request).unwrap();
        let Response::Error(failure) = &answer else { panic!("{answer:?}") };
        assert!(failure.message.contains("has not answered for"), "{failure:?}");
        assert!(failure.message.contains("frozen"), "{failure:?}");
    }
}

#[test]
fn the_last_answer_arrives_although_the_main_loop_has_ended() {
    for _ in 0..20 {
        let dir = tempfile::tempdir().unwrap();
        let (mut control, _, mut calls) = Control::start(Server::bind(dir.path()).unwrap()).unwrap();
        control.serve();
        let main = std::thread::spawn(move || {
            answer(calls.blocking_recv().unwrap(), snapshot());
            drop(calls);
            drop(control);
        });
        assert_eq!(client::request(dir.path(), Request::Stop).unwrap(), Response::Stopping);
        main.join().unwrap();
    }
}

#[test]
fn a_main_loop_that_drops_a_request_is_reported() {
    let daemon = Daemon::start(drop);
    let answer = client::request(daemon.run_dir(), Request::Status).unwrap();
    assert!(
        matches!(&answer, Response::Error(failure) if failure.message.contains("stopping")),
        "{answer:?}"
    );
}

#[test]
fn the_client_tells_apart_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let error = client::request(dir.path(), Request::Status).unwrap_err();
    assert!(matches!(error, ClientError::NotRunning { stale: false, .. }), "{error}");
    // A socket file with nobody behind it.
    drop(UnixListener::bind(socket_path(dir.path())).unwrap());
    let error = client::request(dir.path(), Request::Status).unwrap_err();
    assert!(error.to_string().contains("stale socket"), "{error}");
    std::fs::remove_file(socket_path(dir.path())).unwrap();
    // Another program behind it.
    let listener = UnixListener::bind(socket_path(dir.path())).unwrap();
    let other = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 64];
        let _ = stream.read(&mut request);
        stream.write_all(b"hello\n")
    });
    let error = client::request(dir.path(), Request::Status).unwrap_err();
    assert!(matches!(error, ClientError::Garbled { .. }), "{error}");
    let _ = other.join();
    // A daemon that somebody has stopped: the kernel takes the connection, and nobody reads.
    std::fs::remove_file(socket_path(dir.path())).unwrap();
    let _frozen = UnixListener::bind(socket_path(dir.path())).unwrap();
    let error = client::request(dir.path(), Request::Status).unwrap_err();
    assert!(error.to_string().contains("has not answered for 10s: it is frozen"), "{error}");
}

#[test]
fn a_stale_socket_is_replaced_and_anything_else_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = socket_path(dir.path());
    drop(UnixListener::bind(&path).unwrap());
    drop(Server::bind(dir.path()).unwrap());
    std::fs::write(&path, "precious").unwrap();
    let error = Server::bind(dir.path()).unwrap_err().to_string();
    assert!(error.contains("control.sock"), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
}

/// Run again as `nobody` by the test below: prints what the client says.
#[test]
#[ignore = "helper of the next test"]
fn as_somebody_else() {
    let run_dir = PathBuf::from(std::env::var_os("XVRRP_TEST_RUN_DIR").unwrap());
    match client::request(&run_dir, Request::Stop) {
        Ok(answer) => println!("answer: {answer:?}"),
        Err(error) => println!("error: {error}"),
    }
}

#[test]
fn only_root_is_served() {
    use std::os::unix::process::CommandExt;
    if !nix::unistd::Uid::effective().is_root() {
        eprintln!("SKIPPED: needs root");
        return;
    }
    let daemon = Daemon::ordinary();
    // A copy, since `nobody` may not reach where this program was built.
    let copy = daemon.run_dir().join("test");
    std::fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    let try_it = || {
        let output = std::process::Command::new(&copy)
            .args(["--ignored", "--exact", "as_somebody_else", "--nocapture"])
            .env("XVRRP_TEST_RUN_DIR", daemon.run_dir())
            .current_dir("/")
            .gid(65534)
            .uid(65534)
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let said = try_it();
    assert!(said.contains("error: ") && said.contains("permission denied; run this as root"), "{said}");
    // Even where somebody opens the file to all, the kernel's word on who connects counts.
    std::fs::set_permissions(daemon.socket(), std::fs::Permissions::from_mode(0o666)).unwrap();
    let said = try_it();
    assert!(said.contains("only root may talk to the daemon"), "{said}");
    daemon.assert_alive();
}
