//! Throwaway network namespaces for tests: each is held by one thread and gone when the thread ends.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::any::Any;
use std::os::fd::AsRawFd;
use std::process::{Command, ExitCode};
use std::sync::RwLock;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed, Trial};
use nix::sched::{CloneFlags, unshare};
use socket2::{Domain, Protocol, Socket, Type};

type Job = Box<dyn FnOnce() + Send>;

/// A network namespace of its own.
pub(crate) struct Namespace {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    tid: i32,
}

impl Namespace {
    /// An empty one, with `lo` up and duplicate address detection off.
    pub(crate) fn new() -> Self {
        let (jobs, queue) = channel::<Job>();
        let (tell, told) = channel();
        let thread = std::thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
            tell.send(nix::unistd::gettid().as_raw()).expect("the test waits");
            for job in queue {
                job();
            }
        });
        let namespace =
            Self { jobs: Some(jobs), thread: Some(thread), tid: told.recv().expect("a network namespace") };
        namespace.ip("link set lo up");
        namespace.sysctl("net/ipv6/conf/default/accept_dad", "0");
        namespace
    }

    /// Runs `job` inside and returns what it returns; a panic inside is one outside.
    pub(crate) fn run<R: Send + 'static>(&self, job: impl FnOnce() -> R + Send + 'static) -> R {
        let (tell, told) = channel();
        let job = Box::new(move || {
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
            let _ = tell.send(result);
        });
        self.jobs.as_ref().expect("alive").send(job).expect("alive");
        match told.recv().expect("alive") {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// Runs async code inside, on a current-thread runtime as the daemon's.
    pub(crate) fn block_on<R: Send + 'static, F: Future<Output = R>>(
        &self,
        future: impl FnOnce() -> F + Send + 'static,
    ) -> R {
        self.run(|| {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime")
                .block_on(async move { future().await })
        })
    }

    /// `ip ARGUMENTS`, which must succeed; returns what it prints.
    pub(crate) fn ip(&self, arguments: &str) -> String {
        let arguments = arguments.to_owned();
        self.run(move || ip(&arguments))
    }

    /// Writes below /proc/sys.
    pub(crate) fn sysctl(&self, name: &str, value: &str) {
        let (name, value) = (format!("/proc/sys/{name}"), value.to_owned());
        self.run(move || std::fs::write(&name, value).unwrap_or_else(|error| panic!("{name}: {error}")));
    }

    /// Joins two namespaces by a pair of interfaces of this name, both up.
    pub(crate) fn cable(&self, name: &str, other: &Self) {
        self.ip(&format!("link add {name} type veth peer name {name} netns {}", other.tid));
        for end in [self, other] {
            end.ip(&format!("link set {name} up"));
        }
        // Two ends of one cable see each other's carrier, and get their link-local addresses, a moment later.
        for end in [self, other] {
            until(|| end.ip(&format!("-o -6 addr show dev {name}")).contains("fe80").then_some(()));
        }
    }

    /// Index of an interface.
    pub(crate) fn index(&self, name: &str) -> u32 {
        let name = name.to_owned();
        self.run(move || nix::net::if_::if_nametoindex(&*name).expect("the interface exists"))
    }

    /// `ip -j -d addr show dev NAME`: one entry per address.
    pub(crate) fn addresses(&self, name: &str) -> Vec<serde_json::Value> {
        let text = self.ip(&format!("-j -d addr show dev {name}"));
        let links: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        links[0]["addr_info"].as_array().expect("a list").clone()
    }

    /// All frames that an interface sees from now on.
    pub(crate) fn capture(&self, name: &str) -> Capture {
        let index = self.index(name);
        Capture(self.run(move || {
            let all = u16::try_from(libc::ETH_P_ALL).expect("a protocol number").to_be();
            let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(i32::from(all))))
                .expect("a packet socket");
            nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::RcvBufForce, &(16 << 20))
                .expect("a large buffer");
            bind_packet(&socket, index, all);
            socket.set_nonblocking(true).expect("an option");
            socket
        }))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// `ip ARGUMENTS` in the namespace of the calling thread.
pub(crate) fn ip(arguments: &str) -> String {
    let output =
        Command::new("ip").args(arguments.split_whitespace()).output().expect("iproute2 is installed");
    assert!(
        output.status.success(),
        "ip {arguments}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[expect(unsafe_code, reason = "no wrapper makes a sockaddr_ll")]
fn bind_packet(socket: &Socket, index: u32, protocol: u16) {
    // SAFETY: sockaddr_ll is plain data.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as libc::sa_family_t;
    address.sll_protocol = protocol;
    address.sll_ifindex = index.cast_signed();
    let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the address outlives the call and has the length that is given.
    let result = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) };
    assert_eq!(result, 0, "bind: {}", std::io::Error::last_os_error());
}

/// Frames that an interface saw.
pub(crate) struct Capture(Socket);

impl Capture {
    /// All frames that are there by now.
    pub(crate) fn frames(&self) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        let mut buffer = vec![0; 65_536];
        while let Ok(length) =
            nix::sys::socket::recv(self.0.as_raw_fd(), &mut buffer, nix::sys::socket::MsgFlags::empty())
        {
            frames.push(buffer[..length].to_vec());
        }
        frames
    }

    /// Waits until `count` frames are there that `wanted` picks.
    pub(crate) fn wait_for(&self, count: usize, wanted: impl Fn(&[u8]) -> bool) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        until(|| {
            found.extend(self.frames().into_iter().filter(|frame| wanted(frame)));
            (found.len() >= count).then_some(())
        });
        found
    }
}

/// The shortest time of each of several things that are done in turn: other work on the machine makes some rounds long.
pub(crate) fn best<const N: usize>(mut round: impl FnMut() -> [Duration; N]) -> [Duration; N] {
    (0..7).fold([Duration::MAX; N], |best, _| {
        let took = round();
        std::array::from_fn(|n| best[n].min(took[n]))
    })
}

/// Asks again until there is an answer; only a lost one makes anybody wait for a minute.
pub(crate) fn until<R>(mut ask: impl FnMut() -> Option<R>) -> R {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "waited in vain");
        std::thread::sleep(Duration::from_millis(2));
    }
}

type Test = (&'static str, fn());

/// Runs the tests, or shows them as ignored where namespaces cannot be made.
///
/// All namespaces share the processors' packet queues: tests that flood them run `alone`.
pub(crate) fn main(tests: &[Test], alone: &[Test]) -> ExitCode {
    static TURN: RwLock<()> = RwLock::new(());
    let able =
        std::thread::spawn(|| unshare(CloneFlags::CLONE_NEWNET)).join().is_ok_and(|result| result.is_ok());
    if !able {
        eprintln!("ignored: network namespaces need root (CAP_SYS_ADMIN)");
    }
    let together = tests.iter().map(|&(name, test)| {
        Trial::test(name, move || {
            let beside = {
                let _turn = TURN.read();
                run(test)
            };
            let Err(failed) = beside else { return Ok(()) };
            // Who waits for a packet may have waited for the processor: what counts is an attempt alone.
            println!("beside others: {name}: {}", failed.message().unwrap_or_default());
            let _turn = TURN.write();
            run(test)
        })
    });
    let alone = alone.iter().map(|&(name, test)| {
        Trial::test(name, move || {
            let _turn = TURN.write();
            run(test)
        })
    });
    let trials = together.chain(alone).map(|trial| trial.with_ignored_flag(!able)).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn run(test: fn()) -> Result<(), Failed> {
    std::panic::catch_unwind(test).map_err(|panic: Box<dyn Any + Send>| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Failed::from(text.unwrap_or_else(|| "a panic without words".to_owned()))
    })
}

/// A table of tests by their names.
#[macro_export]
macro_rules! tests {
    ($($name:ident),* $(,)?) => { &[$((stringify!($name), $name as fn())),*] as &[(&'static str, fn())] };
}
