//! What the service manager is told (sd_notify(3)): ready, reloading, stopping, the roles, and that the loop works.
//!
//! What lives here: the socket, and when something is due. What must not: what the daemon does. The main loop tells it
//! of every turn, and of nothing does it wait: a message that the socket has no room for is left out, and sent later
//! where it still matters. Without a manager (`NOTIFY_SOCKET`) nothing happens.
//!
//! `WATCHDOG=1` comes from turns of the main loop alone. A loop that is frozen makes none, whatever other threads do.

use std::fmt::Write as _;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use ha_common::machine::State;
use sd_notify::NotifyState;
use tokio::time::Instant;

/// How many virtual routers are in each state, in the order of [`STATES`].
type Roles = [usize; STATES.len()];

const STATES: [State; 5] = [State::Master, State::Backup, State::Fault, State::Leaving, State::Init];

/// The service manager, as far as there is one.
#[derive(Debug, Default)]
pub(crate) struct ServiceManager {
    socket: Option<UnixDatagram>,
    watchdog: Option<Watchdog>,
    /// What it shows.
    told: Option<String>,
    /// The latest reload was refused.
    refused: bool,
}

/// `WatchdogSec`.
#[derive(Debug)]
struct Watchdog {
    every: Duration,
    next: Instant,
}

impl ServiceManager {
    /// The one that the environment names. An abstract socket is found in the network namespace of now only; systemd's
    /// is a file.
    pub(crate) fn from_environment() -> Self {
        let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return Self::default() };
        match connect(path.as_bytes()) {
            Ok(socket) => Self::new(socket, sd_notify::watchdog_enabled()),
            Err(error) => {
                tracing::warn!("the service manager at {} cannot be told anything: {error}", path.display());
                Self::default()
            }
        }
    }

    fn new(socket: UnixDatagram, watchdog: Option<Duration>) -> Self {
        // Half of it, as sd_watchdog_enabled(3) has it.
        let watchdog = watchdog.map(|limit| Watchdog { every: limit / 2, next: Instant::now() });
        Self { socket: Some(socket), watchdog, ..Self::default() }
    }

    /// Everything is set up.
    pub(crate) fn ready(&mut self) {
        if let Err(error) = self.send(&[NotifyState::Ready]) {
            tracing::warn!("the service manager cannot be told that xvrrp is ready: {error}");
        }
    }

    /// The configuration is read again. [`Self::reloaded`] must follow.
    pub(crate) fn reloading(&mut self) {
        let now = NotifyState::monotonic_usec_now().ok();
        let messages: Vec<_> = [NotifyState::Reloading].into_iter().chain(now).collect();
        self.tell(&messages);
    }

    /// The reload is over. `refused`: what was in force still is.
    pub(crate) fn reloaded(&mut self, refused: bool) {
        self.refused = refused;
        self.ready();
    }

    /// The daemon is told to stop.
    pub(crate) fn stopping(&mut self) {
        self.tell(&[NotifyState::Stopping]);
    }

    /// The main loop did a turn, after which the virtual routers are in these states.
    pub(crate) fn turn(&mut self, states: impl Iterator<Item = State>) {
        if self.socket.is_none() {
            return;
        }
        let status = status(states, self.refused);
        if self.told.as_ref() != Some(&status) && self.send(&[NotifyState::Status(&status)]).is_ok() {
            self.told = Some(status);
        }
        let now = Instant::now();
        if self.watchdog.as_ref().is_some_and(|watchdog| watchdog.next <= now) {
            let sent = self.send(&[NotifyState::Watchdog]).is_ok();
            if let Some(watchdog) = &mut self.watchdog {
                // Sooner where there was no room, but not at once.
                watchdog.next = now + if sent { watchdog.every } else { watchdog.every / 8 };
            }
        }
    }

    /// Waits until a turn is due for the watchdog's sake.
    pub(crate) async fn due(&self) {
        match &self.watchdog {
            Some(watchdog) => tokio::time::sleep_until(watchdog.next).await,
            None => std::future::pending().await,
        }
    }

    /// For what is of no use later.
    fn tell(&self, messages: &[NotifyState<'_>]) {
        if let Err(error) = self.send(messages) {
            tracing::debug!("the service manager was not told something: {error}");
        }
    }

    fn send(&self, messages: &[NotifyState<'_>]) -> io::Result<()> {
        let Some(socket) = &self.socket else { return Ok(()) };
        let mut text = String::new();
        for message in messages {
            let _ = writeln!(text, "{message}");
        }
        socket.send(text.as_bytes()).map(drop)
    }
}

/// A socket that never waits. `@` begins the name of an abstract one.
fn connect(path: &[u8]) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    match path.strip_prefix(b"@") {
        Some(name) => socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?,
        None => socket.connect(std::ffi::OsStr::from_bytes(path))?,
    }
    Ok(socket)
}

/// `2 MASTER, 1 BACKUP`.
fn status(states: impl Iterator<Item = State>, refused: bool) -> String {
    let mut roles: Roles = [0; STATES.len()];
    for state in states {
        for (role, of) in roles.iter_mut().zip(STATES) {
            *role += usize::from(state == of);
        }
    }
    let some = roles.into_iter().zip(STATES).filter(|(number, _)| *number > 0);
    let mut parts: Vec<String> = some.map(|(number, state)| format!("{number} {state}")).collect();
    if parts.is_empty() {
        parts.push("no virtual router".to_owned());
    }
    if refused {
        parts.push("the latest reload was refused".to_owned());
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(watchdog: Option<Duration>) -> (ServiceManager, UnixDatagram) {
        let (ours, theirs) = UnixDatagram::pair().expect("a pair");
        ours.set_nonblocking(true).expect("non-blocking");
        theirs.set_nonblocking(true).expect("non-blocking");
        (ServiceManager::new(ours, watchdog), theirs)
    }

    fn heard(socket: &UnixDatagram) -> Vec<String> {
        let mut buffer = [0; 512];
        let next =
            || socket.recv(&mut buffer).ok().map(|n| String::from_utf8_lossy(&buffer[..n]).into_owned());
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn roles_are_told_when_they_change() {
        let (mut manager, socket) = pair(None);
        manager.turn([State::Backup, State::Master, State::Master].into_iter());
        manager.turn([State::Master, State::Master, State::Backup].into_iter());
        manager.turn([State::Backup, State::Fault].into_iter());
        manager.turn([].into_iter());
        let lines =
            ["STATUS=2 MASTER, 1 BACKUP\n", "STATUS=1 BACKUP, 1 FAULT\n", "STATUS=no virtual router\n"];
        assert_eq!(heard(&socket), lines);
    }

    #[test]
    fn a_reload_is_announced_and_ends_also_where_it_is_refused() {
        let (mut manager, socket) = pair(None);
        manager.turn([State::Master].into_iter());
        manager.reloading();
        manager.reloaded(true);
        manager.turn([State::Master].into_iter());
        manager.reloaded(false);
        manager.turn([State::Master].into_iter());
        let [master, reloading, rest @ ..] = &heard(&socket)[..] else { panic!("too few") };
        assert_eq!(master, "STATUS=1 MASTER\n");
        assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
        let lines = [
            "READY=1\n",
            "STATUS=1 MASTER, the latest reload was refused\n",
            "READY=1\n",
            "STATUS=1 MASTER\n",
        ];
        assert_eq!(rest, lines);
    }

    #[tokio::test(start_paused = true)]
    async fn the_watchdog_lives_of_turns_at_half_its_time() {
        let (mut manager, socket) = pair(Some(Duration::from_secs(10)));
        let turn = |manager: &mut ServiceManager| {
            manager.turn([].into_iter());
            heard(&socket).iter().filter(|line| *line == "WATCHDOG=1\n").count()
        };
        assert_eq!(turn(&mut manager), 1);
        for _ in 0..4 {
            tokio::time::advance(Duration::from_secs(1)).await;
            assert_eq!(turn(&mut manager), 0, "too soon");
        }
        let before = Instant::now();
        manager.due().await;
        assert_eq!(before.elapsed().as_secs(), 1, "an idle loop is woken");
        assert_eq!(turn(&mut manager), 1);
        // Time alone feeds nothing.
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(heard(&socket), Vec::<String>::new());
    }

    #[tokio::test(start_paused = true)]
    async fn a_manager_that_does_not_read_stops_nothing() {
        let (mut manager, socket) = pair(Some(Duration::from_secs(10)));
        while manager.send(&[NotifyState::Status("full")]).is_ok() {}
        manager.turn([State::Master].into_iter());
        manager.stopping();
        assert!(Instant::now() < manager.watchdog.as_ref().expect("one").next, "the loop would spin");
        let filled = heard(&socket);
        assert!(filled.iter().all(|line| line == "STATUS=full\n"));
        manager.due().await;
        manager.turn([State::Master].into_iter());
        assert_eq!(heard(&socket), ["STATUS=1 MASTER\n", "WATCHDOG=1\n"]);
    }

    #[test]
    fn without_a_manager_nothing_happens() {
        let mut manager = ServiceManager::default();
        manager.ready();
        manager.turn([State::Master].into_iter());
        assert_eq!(manager.told, None);
    }
}
