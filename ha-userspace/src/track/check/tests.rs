//! Checks against small servers on loopback, good and bad.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::*;
use crate::config::model::{HttpProbe, Place, Tls, Weight};
use crate::track::Seen;
use crate::track::board::TrackerKind;

/// For so long a server that says nothing keeps its connection.
const SILENCE: Duration = Duration::from_secs(5);

/// A server that treats every connection like this; its port. It lives until the test's process ends.
fn server(manners: impl Fn(TcpStream) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    std::thread::spawn(move || {
        let manners = Arc::new(manners);
        for stream in listener.incoming().flatten() {
            let manners = Arc::clone(&manners);
            std::thread::spawn(move || manners(stream));
        }
    });
    port
}

/// A server that reads a request and then says this.
fn says(answer: impl Into<Vec<u8>>) -> u16 {
    let answer = answer.into();
    server(move |mut stream| {
        let mut request = [0; 2048];
        let _ = stream.read(&mut request);
        let _ = stream.write_all(&answer);
    })
}

fn http(port: u16) -> HttpProbe {
    HttpProbe {
        tls: None,
        server: HostPort { host: "127.0.0.1".to_owned(), port },
        host_header: "service".to_owned(),
        path: "/".to_owned(),
        status: vec![(200, 399)],
        body: None,
    }
}

fn probe(probe: &Probe, limit: Duration) -> Result<String, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut prober = Prober::new(probe).expect("no process");
    let finding = runtime.block_on(prober.probe(limit));
    runtime.shutdown_background();
    finding.map_err(|failure| failure.to_string())
}

fn ask(http: HttpProbe) -> Result<String, String> {
    probe(&Probe::Http(Box::new(http)), Duration::from_secs(2))
}

#[test]
fn an_answer_is_judged_by_status_and_body() {
    let ok = |body: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let chunked =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nall \r\n7\r\nis well\r\n0\r\n\r\n";
    assert_eq!(ask(http(says(ok("fine")))), Ok("status 200".to_owned()));
    let with =
        |answer: &str, body: &str| ask(HttpProbe { body: Some(body.to_owned()), ..http(says(answer)) });
    assert_eq!(with(chunked, "all is well"), Ok("status 200".to_owned()));
    assert!(with(chunked, "all is ill").expect_err("not there").contains("does not contain"));
    // Without a length the end of the connection is the end.
    assert_eq!(with("HTTP/1.0 200 OK\r\n\r\nall is well", "well"), Ok("status 200".to_owned()));
    let bad = "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(ask(http(says(bad))), Err("status 502".to_owned()));
    assert_eq!(ask(HttpProbe { status: vec![(500, 599)], ..http(says(bad)) }), Ok("status 502".to_owned()));
    let moved = "HTTP/1.1 301 Moved\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(ask(http(says(moved))), Ok("status 301".to_owned()));
}

#[test]
fn the_request_is_what_servers_expect() {
    let (tell, told) = std::sync::mpsc::channel();
    let tell = std::sync::Mutex::new(tell);
    let port = server(move |mut stream| {
        let mut request = [0; 2048];
        let length = stream.read(&mut request).unwrap_or(0);
        let _ = tell.lock().map(|tell| tell.send(String::from_utf8_lossy(&request[..length]).into_owned()));
        let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n");
    });
    let asked =
        HttpProbe { path: "/health?deep=1".to_owned(), host_header: "www:8080".to_owned(), ..http(port) };
    assert_eq!(ask(asked), Ok("status 204".to_owned()));
    let request = told.recv().expect("a request").to_ascii_lowercase();
    assert!(request.starts_with("get /health?deep=1 http/1.1\r\n"), "{request}");
    for line in ["host: www:8080\r\n", "connection: close\r\n", "user-agent: xvrrp/"] {
        assert!(request.contains(line), "{request}");
    }
}

#[test]
fn servers_that_misbehave_fail_within_the_timeout() {
    let endless_head = server(|mut stream| {
        let _ = stream.read(&mut [0; 2048]);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        while stream.write_all(b"X-More: more\r\n").is_ok() {}
    });
    let endless_body = server(|mut stream| {
        let _ = stream.read(&mut [0; 2048]);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while stream.write_all(&[b'x'; 8192]).is_ok() {}
    });
    let silent = server(|_stream| std::thread::sleep(SILENCE));
    let drips = server(|mut stream| {
        let _ = stream.read(&mut [0; 2048]);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nX-Slow: ");
        while stream.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    let table = [
        ("closes", server(drop), "no HTTP answer"),
        (
            "speaks first",
            server(|mut stream| drop(stream.write_all(b"220 mail.example ESMTP\r\n"))),
            "no HTTP answer",
        ),
        ("garbage", says([0xff; 4096]), "no HTTP answer"),
        ("nothing", says(""), "no HTTP answer"),
        ("cut off", says("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"), "no HTTP answer"),
        ("bad chunk", says("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), "no HTTP answer"),
        ("endless head", endless_head, "no HTTP answer"),
        ("endless body", endless_body, "longer than"),
        ("silent", silent, "no answer within"),
        ("drips", drips, "no answer within"),
    ];
    for (what, port, expected) in table {
        let begin = Instant::now();
        let finding = probe(&Probe::Http(Box::new(http(port))), Duration::from_millis(300));
        let failure = finding.expect_err(what);
        assert!(failure.contains(expected), "{what}: {failure}");
        // Not until the server ends it: the silent one waits for five seconds.
        assert!(begin.elapsed() < SILENCE, "{what}: {:?}", begin.elapsed());
    }
}

#[test]
fn connections_are_accepted_or_refused() {
    let limit = Duration::from_secs(1);
    let to = |host: &str, port| Probe::Tcp(HostPort { host: host.to_owned(), port });
    let port = server(drop);
    assert_eq!(probe(&to("127.0.0.1", port), limit), Ok(format!("127.0.0.1:{port} accepts")));
    // By name, where the first address need not be the one that answers.
    assert!(probe(&to("localhost", port), limit).is_ok());
    let closed = TcpListener::bind(("127.0.0.1", 0)).expect("free").local_addr().expect("bound").port();
    assert!(probe(&to("127.0.0.1", closed), limit).expect_err("closed").contains("refused"));
    assert!(probe(&to("no.such.name.invalid", 80), limit).is_err());
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("socket");
    assert!(probe(&Probe::Unix(path.clone()), limit).expect_err("absent").contains("No such file"));
    let _listener = std::os::unix::net::UnixListener::bind(&path).expect("bound");
    assert!(probe(&Probe::Unix(path), limit).is_ok());
}

#[test]
fn tls_that_is_none_fails_and_says_so() {
    let tls = |verify| Tls { verify, name: None, ca: None };
    let port = says("HTTP/1.1 200 OK\r\n\r\n");
    let failure = ask(HttpProbe { tls: Some(tls(false)), ..http(port) }).expect_err("no TLS");
    assert!(failure.starts_with("TLS: "), "{failure}");
    let missing = Tls { ca: Some("/nonexistent/ca.pem".into()), ..tls(true) };
    let failure = ask(HttpProbe { tls: Some(missing), ..http(port) }).expect_err("no CA");
    assert!(failure.contains("/nonexistent/ca.pem"), "{failure}");
}

#[test]
fn a_check_that_runs_says_what_it_finds_on_the_board() {
    let board = Board::default();
    let key: Key = (TrackerKind::Check, Arc::from("web"));
    board.keep(&[(key.clone(), Seen::Pending)]);
    let answers = Arc::new(std::sync::atomic::AtomicU16::new(200));
    let now = Arc::clone(&answers);
    let port = server(move |mut stream| {
        let status = now.load(std::sync::atomic::Ordering::Relaxed);
        let _ = stream.read(&mut [0; 2048]);
        let _ = stream.write_all(format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n").as_bytes());
    });
    let check = Check {
        name: "web".to_owned(),
        probe: Probe::Http(Box::new(http(port))),
        interval: Duration::from_millis(10),
        timeout: Duration::from_secs(1),
        rise: 2,
        fall: 3,
        weight: Weight::default(),
        init_fail: false,
        place: Place::default(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let reaches = |wanted: Seen| {
        runtime.block_on(async {
            let patience = Duration::from_secs(5);
            let wait = async {
                while board.seen(TrackerKind::Check, "web") != wanted {
                    board.changed().await;
                }
            };
            tokio::time::timeout(patience, wait).await.expect("in time");
        });
    };
    runtime.spawn(run(key.clone(), check, board.clone()));
    reaches(Seen::Good);
    answers.store(500, std::sync::atomic::Ordering::Relaxed);
    reaches(Seen::Bad);
    let status = board.status(&[key]);
    assert_eq!((status[0].state.as_str(), status[0].detail.as_str()), ("bad", "status 500"));
    assert!(status[0].failures >= 3, "{status:?}");
    answers.store(200, std::sync::atomic::Ordering::Relaxed);
    reaches(Seen::Good);
}

#[test]
fn time_in_which_this_side_did_not_run_does_not_count() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let limit = Duration::from_millis(20);
    let after = |ms: u64| async move {
        tokio::time::sleep(Duration::from_millis(ms)).await;
        Ok("answered".to_owned())
    };
    let stall = |ms: u64| runtime.spawn(async move { std::thread::sleep(Duration::from_millis(ms)) });
    // The answer is there when this side runs again.
    stall(60);
    assert!(runtime.block_on(in_time(limit, after(30))).is_ok());
    // It comes a little later, because the server had no processor either.
    stall(60);
    assert!(runtime.block_on(in_time(limit, after(70))).is_ok());
    // Without a stall late is late.
    assert!(matches!(runtime.block_on(in_time(limit, after(3_600_000))), Err(Failure::Late(_))));
}
