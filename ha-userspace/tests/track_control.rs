//! The control socket under good and bad clients.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ha_userspace::control::client::{self, ClientError};
use ha_userspace::control::protocol::{Failure, Reloaded, Request, Response, Status};
use ha_userspace::control::server::{Call, Server};
use ha_userspace::control::socket_path;

/// A daemon whose main loop answers by `main`, on a thread with a runtime of its own.
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
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(
                async move {
                    let (mut calls, serve) = Server::bind(&run_dir).unwrap().serve();
                    let serving = tokio::spawn(serve);
                    ready.send(()).unwrap();
                    loop {
                        tokio::select! {
                            Some(call) = calls.recv() => main(call),
                            _ = &mut stopped => break,
                        }
                    }
                    drop(calls);
                    serving.await.unwrap();
                },
            );
        });
        is_ready.recv_timeout(Duration::from_secs(10)).unwrap();
        Self { dir, stop: Some(stop), thread: Some(thread) }
    }

    /// Answers everything.
    fn ordinary() -> Self {
        Self::start(|(request, answer)| {
            let response = match request {
                Request::Status => Response::Status(Status { pid: 7, ..Status::default() }),
                Request::Reload => Response::Reloaded(Reloaded::default()),
                Request::Counters => Response::Error(Failure::new("no counters today")),
                Request::Stop => Response::Stopping,
                Request::Restart => Response::Restarting,
            };
            let _ = answer.send(response);
        })
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
        assert!(matches!(answer, Response::Status(Status { pid: 7, .. })), "{answer:?}");
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

#[test]
fn requests_reach_the_main_loop_and_answers_come_back() {
    let daemon = Daemon::ordinary();
    daemon.assert_alive();
    let mode = std::fs::metadata(daemon.socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let answer = client::request(daemon.run_dir(), Request::Counters).unwrap();
    assert_eq!(answer, Response::Error(Failure::new("no counters today")));
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
}

#[tokio::test]
async fn a_stale_socket_is_replaced_and_anything_else_is_not() {
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
