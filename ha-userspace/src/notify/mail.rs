//! Mail: one letter for each change of state, in keepalived's words, through lettre's SMTP client.
//!
//! Every letter is a task with a deadline: connecting has `smtp_connect_timeout`, all of it twice that. A server that
//! hangs costs its letters; one that babbles is cut off after `MOST_READ` bytes. No TLS, as in keepalived.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use lettre::Address;
use lettre::address::Envelope;
use lettre::transport::smtp::client::{AsyncSmtpConnection, AsyncTokioStream};
use lettre::transport::smtp::extension::ClientId;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{Event, Subject, What};
use crate::config::model::{Global, Mail};
use crate::logging::clock;

/// Letters on their way at the same time; then, letters that wait.
const AT_ONCE: usize = 8;
const WAITING: usize = 256;
/// Bytes that are read from a server for one letter.
const MOST_READ: usize = 64 * 1024;
/// How long a stop waits for letters that are on their way.
const LAST_LETTERS: Duration = Duration::from_millis(1_000);

/// Sends letters.
#[derive(Debug)]
pub(super) struct Mailer {
    post: Option<Arc<Post>>,
    room: Arc<Semaphore>,
    tasks: std::sync::Mutex<JoinSet<()>>,
}

impl Default for Mailer {
    fn default() -> Self {
        Self { post: None, room: Arc::new(Semaphore::new(AT_ONCE)), tasks: Default::default() }
    }
}

/// Where letters go.
#[derive(Debug)]
struct Post {
    mail: Mail,
    envelope: Envelope,
    from: String,
    helo: String,
    name: String,
}

/// The text of a letter.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Letter {
    subject: String,
    body: &'static str,
}

impl Letter {
    /// keepalived writes about states and deletions, and not about the end.
    fn of(event: &Event, name: &str) -> Option<Self> {
        let body = match (event.kind, event.what) {
            (Subject::Instance, What::Master) => "=> VRRP Instance is now owning VRRP VIPs <=",
            (Subject::Instance, What::Backup | What::Fault) => {
                "=> VRRP Instance is no longer owning VRRP VIPs <="
            }
            (Subject::Group, What::Master) => "=> All VRRP group instances are now in MASTER state <=",
            (Subject::Group, What::Backup) => "=> All VRRP group instances are now in BACKUP state <=",
            (Subject::Group, What::Fault) => "=> All VRRP group instances are now in FAULT state <=",
            (_, What::Deleted) => "=> VRRP Deleted at reload <=",
            _ => return None,
        };
        let kind = match event.kind {
            Subject::Instance => "Instance",
            Subject::Group => "Group",
        };
        let news = match event.what {
            What::Deleted => "Deleted".to_owned(),
            what => format!("Entering {} state", what.word()),
        };
        let subject = format!("[{name}] VRRP {kind} {} - {news}", event.name);
        Some(Self { subject, body })
    }
}

impl Post {
    fn of(global: &Global) -> Option<Result<Self, String>> {
        let mail = &global.mail;
        if mail.to.is_empty() {
            return None;
        }
        mail.server.as_ref()?;
        let host = host_name();
        let from = mail.from.clone().unwrap_or_else(|| format!("keepalived@{host}"));
        Some(envelope(mail, &from).map(|envelope| Self {
            mail: mail.clone(),
            envelope,
            from: from.clone(),
            helo: mail.helo.clone().unwrap_or_else(|| host.clone()),
            name: global.router_id.clone().unwrap_or(host),
        }))
    }

    fn message(&self, letter: &Letter) -> String {
        format!(
            "Date: {}\r\nFrom: {}\r\nSubject: {}\r\nX-Mailer: Keepalived\r\nTo: {}\r\n\r\n{}\r\n",
            clock::mail_date(SystemTime::now()),
            self.from,
            letter.subject,
            self.mail.to.join(", "),
            letter.body
        )
    }

    async fn deliver(&self, message: &str) -> Result<(), String> {
        let Some(server) = &self.mail.server else { return Ok(()) };
        let connect = TcpStream::connect((server.host.as_str(), server.port));
        let stream = tokio::time::timeout(self.mail.timeout, connect)
            .await
            .map_err(|_| format!("no connection within {:?}", self.mail.timeout))?
            .map_err(|error| error.to_string())?;
        let helo = ClientId::Domain(self.helo.clone());
        let stream = Box::new(Limited { stream, left: MOST_READ });
        let talk = async {
            let mut connection = AsyncSmtpConnection::connect_with_transport(stream, &helo).await?;
            connection.send(&self.envelope, message.as_bytes()).await?;
            // Delivered; whether the server says goodbye is its own business.
            let _ = connection.quit().await;
            Ok::<_, lettre::transport::smtp::Error>(())
        };
        match tokio::time::timeout(self.mail.timeout, talk).await {
            Ok(result) => result.map_err(|error| error.to_string()),
            Err(_) => Err(format!("the server did not answer within {:?}", self.mail.timeout)),
        }
    }
}

/// Name of this host, as it is at the moment.
pub(super) fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| "localhost".to_owned(), |name| name.trim().to_owned())
}

fn envelope(mail: &Mail, from: &str) -> Result<Envelope, String> {
    let address = |text: &str| -> Result<Address, String> {
        text.parse::<Address>().map_err(|why| format!("'{text}' is no mail address: {why}"))
    };
    let to = mail.to.iter().map(|to| address(to)).collect::<Result<Vec<_>, String>>()?;
    Envelope::new(Some(address(from)?), to).map_err(|why| why.to_string())
}

impl Mailer {
    /// Settings for the letters that follow.
    pub(super) fn apply(&mut self, global: &Global) {
        self.post = match Post::of(global) {
            Some(Ok(post)) => Some(Arc::new(post)),
            Some(Err(why)) => {
                tracing::error!("no mail is sent: {why}");
                None
            }
            None => None,
        };
    }

    /// Writes about an event, if it is one to write about.
    pub(super) fn send(&self, event: &Event) {
        let Some(post) = &self.post else { return };
        if event.what == What::Fault && !post.mail.faults {
            return;
        }
        let Some(letter) = Letter::of(event, &post.name) else { return };
        let mut tasks = self.tasks.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        if tasks.len() >= WAITING {
            tracing::error!("mail '{}' was dropped: {WAITING} wait for the server", letter.subject);
            return;
        }
        let (post, room) = (Arc::clone(post), Arc::clone(&self.room));
        tasks.spawn(async move {
            let Ok(_room) = room.acquire().await else { return };
            let message = post.message(&letter);
            match post.deliver(&message).await {
                Ok(()) => tracing::debug!("mail '{}' was sent", letter.subject),
                Err(why) => {
                    let server = post.mail.server.as_ref().map_or("", |server| server.host.as_str());
                    tracing::error!("mail '{}' was not sent: {server}: {why}", letter.subject);
                }
            }
        });
    }

    /// Gives letters that are on their way a moment.
    pub(super) async fn finish(self) {
        let mut tasks = self.tasks.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        let all = async { while tasks.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(LAST_LETTERS, all).await;
    }
}

/// A connection that ends after so many bytes have been read: a line has no limit of its own.
#[derive(Debug)]
struct Limited {
    stream: TcpStream,
    left: usize,
}

impl AsyncRead for Limited {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left == 0 {
            return Poll::Ready(Err(io::Error::other("the server says too much")));
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.left = self.left.saturating_sub(buffer.filled().len() - before);
        polled
    }
}

impl AsyncWrite for Limited {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl AsyncTokioStream for Limited {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.peer_addr()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_keepalived_s() {
        let letter = |kind, what| {
            let event = Event { kind, ..Event::of_instance("X".to_owned(), what, 1) };
            Letter::of(&event, "R").map(|letter| (letter.subject, letter.body))
        };
        let (subject, body) = letter(Subject::Instance, What::Master).expect("a letter");
        assert_eq!(subject, "[R] VRRP Instance X - Entering MASTER state");
        assert_eq!(body, "=> VRRP Instance is now owning VRRP VIPs <=");
        let (subject, body) = letter(Subject::Group, What::Fault).expect("a letter");
        assert_eq!(subject, "[R] VRRP Group X - Entering FAULT state");
        assert_eq!(body, "=> All VRRP group instances are now in FAULT state <=");
        let (subject, body) = letter(Subject::Instance, What::Deleted).expect("a letter");
        assert_eq!(subject, "[R] VRRP Instance X - Deleted");
        assert_eq!(body, "=> VRRP Deleted at reload <=");
        assert_eq!(letter(Subject::Instance, What::Stop), None);
    }
}
