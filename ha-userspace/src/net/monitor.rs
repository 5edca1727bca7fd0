//! Watches links and addresses: an initial dump, then the kernel's notifications. Nothing is polled.

use futures::channel::mpsc::UnboundedReceiver;
use futures::{FutureExt, StreamExt, TryStreamExt};
use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use nix::sys::socket::{setsockopt, sockopt};
use rtnetlink::sys::{AsyncSocket, SocketAddr};
use rtnetlink::{Handle, MulticastGroup, new_multicast_connection};
use tokio::task::JoinHandle;

pub use super::links::{AddressV4, AddressV6, Change, Link, Links, What};

/// Room for the notifications of some thousand addresses.
const RECEIVE_BUFFER: usize = 4 << 20;
/// Bounds a burst that does not end.
const MAX_TURNS: usize = 64;
/// Between two attempts to read the table afresh.
const RETRY: std::time::Duration = std::time::Duration::from_secs(1);

/// Why the links are not known.
#[derive(Debug, thiserror::Error)]
pub enum MonitorError {
    /// No netlink socket.
    #[error("cannot watch the network interfaces: {0}; netlink (CONFIG_NETLINK, seccomp) must be allowed")]
    Socket(#[from] std::io::Error),
    /// A dump failed.
    #[error("cannot list the network interfaces: {0}; trying again every second")]
    Dump(#[from] rtnetlink::Error),
}

/// The links of this network namespace, kept up to date by [`Monitor::changed`].
#[derive(Debug)]
pub struct Monitor {
    links: Links,
    connection: Connection,
    /// Not yet told.
    changes: Vec<Change>,
    /// Notifications were lost: the table must be read afresh.
    stale: bool,
    /// The last attempt to do so failed.
    failed: bool,
}

#[derive(Debug)]
struct Connection {
    handle: Handle,
    messages: UnboundedReceiver<(NetlinkMessage<RouteNetlinkMessage>, SocketAddr)>,
    driver: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Connection {
    fn open() -> std::io::Result<Self> {
        let groups = [MulticastGroup::Link, MulticastGroup::Ipv4Ifaddr, MulticastGroup::Ipv6Ifaddr];
        let (mut connection, handle, messages) = new_multicast_connection(&groups)?;
        // Without CAP_NET_ADMIN the buffer stays as it is; an overrun then only costs a dump.
        let _ = setsockopt(connection.socket_mut().socket_ref(), sockopt::RcvBufForce, &RECEIVE_BUFFER);
        Ok(Self { handle, messages, driver: tokio::spawn(connection) })
    }

    /// All links with all addresses.
    async fn dump(&self) -> Result<Links, rtnetlink::Error> {
        let mut links = Links::default();
        let mut unused = Vec::new();
        let mut stream = self.handle.link().get().execute();
        while let Some(link) = stream.try_next().await? {
            links.apply(&RouteNetlinkMessage::NewLink(link), &mut unused);
        }
        let mut stream = self.handle.address().get().execute();
        while let Some(address) = stream.try_next().await? {
            links.apply(&RouteNetlinkMessage::NewAddress(address), &mut unused);
        }
        Ok(links)
    }
}

impl Monitor {
    /// Subscribes to the notifications and reads the table. Must be called inside a tokio runtime, where it starts
    /// one task.
    ///
    /// # Errors
    /// No netlink.
    pub async fn start() -> Result<Self, MonitorError> {
        let connection = Connection::open()?;
        let links = connection.dump().await?;
        Ok(Self { links, connection, changes: Vec::new(), stale: false, failed: false })
    }

    /// The links as of the last [`Monitor::changed`].
    #[must_use]
    pub fn links(&self) -> &Links {
        &self.links
    }

    /// Takes a link that this process has made: the kernel tells of it a little later, and that is no change then.
    pub fn learn(&mut self, link: Link) {
        self.links.learn(link);
    }

    /// Waits until something is different, and returns all that is there by then, in order, never nothing.
    ///
    /// A link that went down and came back in between is two changes, although the table shows no difference; the
    /// addresses of a link are one change however many there are. When the kernel had to drop notifications, the
    /// table is read afresh and compared. Cancel-safe.
    ///
    /// # Errors
    /// The table cannot be read afresh. The next call waits a second and tries again.
    pub async fn changed(&mut self) -> Result<Vec<Change>, MonitorError> {
        loop {
            if self.stale {
                self.resynchronise().await?;
            }
            if !self.changes.is_empty() {
                return Ok(std::mem::take(&mut self.changes));
            }
            let message = self.connection.messages.next().await;
            self.take(message.map(|(message, _)| message));
            self.take_burst().await;
        }
    }

    /// Takes what has come in by now. tokio lets the task that reads the socket go on for 128 messages at a time, so
    /// it is given the turn again until it has nothing more.
    async fn take_burst(&mut self) {
        for turn in 0..MAX_TURNS {
            let mut idle = turn > 0;
            while let Some(Some((message, _))) = self.connection.messages.next().now_or_never() {
                self.take(Some(message));
                idle = false;
            }
            if idle {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    fn take(&mut self, message: Option<NetlinkMessage<RouteNetlinkMessage>>) {
        match message.map(|message| message.payload) {
            Some(NetlinkPayload::InnerMessage(message)) => self.links.apply(&message, &mut self.changes),
            // The socket broke, or its buffer ran over.
            None | Some(NetlinkPayload::Overrun(_)) => self.stale = true,
            Some(_) => {}
        }
    }

    async fn resynchronise(&mut self) -> Result<(), MonitorError> {
        if self.failed {
            tokio::time::sleep(RETRY).await;
        }
        self.failed = true;
        self.connection = Connection::open()?;
        let links = self.connection.dump().await?;
        self.links.replace(links, &mut self.changes);
        (self.stale, self.failed) = (false, false);
        Ok(())
    }
}
