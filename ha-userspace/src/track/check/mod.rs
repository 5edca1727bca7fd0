//! Health checks: one task per check, one probe at a time, each within its timeout.
//!
//! Only the watchers' thread runs this. What lives here: when a probe is made and what its result means. How it is
//! made is in [`stream`] and [`http`], names become addresses in [`resolve`].

mod http;
mod resolve;
mod stream;

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval, timeout_at};

use super::board::{Board, Key, Run};
use super::judge::Judge;
use crate::config::model::{Check, HostPort, Probe};
use http::Http;
use resolve::Resolver;

/// No check is made more often than this.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(1);
/// Longer ones mean never, and must not overflow a clock.
const LONGEST_INTERVAL: Duration = Duration::from_secs(365 * 86_400);

/// A wake-up is never later than this on a machine that has a processor to spare.
const PUNCTUAL: Duration = Duration::from_millis(3);
/// How often the time of a stall is given back.
const RETURNS: usize = 3;

/// What a probe found: a few words for the operator in both cases.
type Finding = Result<String, Failure>;

/// Why a probe failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// The name has no address.
    #[error("{0} has no address: {1}")]
    Unresolved(String, String),
    /// No connection.
    #[error("no connection to {to}: {source}")]
    Refused {
        /// Address.
        to: String,
        /// The kernel's answer.
        #[source]
        source: std::io::Error,
    },
    /// TLS: no handshake, or a certificate that is not accepted.
    #[error("TLS: {0}")]
    Tls(String),
    /// The answer is no HTTP.
    #[error("no HTTP answer: {0}")]
    Http(String),
    /// A status that is not wanted.
    #[error("status {0}")]
    Status(u16),
    /// The wanted text is not in the body.
    #[error("status {0}, but the body does not contain the text")]
    Body(u16),
    /// More than anybody needs to know whether a server is well.
    #[error("the answer is longer than {} KiB", http::LONGEST_BODY / 1024)]
    Endless,
    /// Not done in time.
    #[error("no answer within {0:?}")]
    Late(Duration),
}

/// A check with what it keeps between probes.
enum Prober {
    Tcp(Resolver),
    Unix(std::path::PathBuf),
    Http(Box<Http>),
}

/// Makes a check until the task is dropped.
pub(super) async fn run(key: Key, check: Check, board: Board) {
    let Some(mut prober) = Prober::new(&check.probe) else { return };
    let mut judge = Judge::new(check.rise, check.fall, check.init_fail).inherit(board.seen(key.0, &key.1));
    let mut ticker = interval(check.interval.clamp(SHORTEST_INTERVAL, LONGEST_INTERVAL));
    ticker.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let limit = check.timeout.max(Duration::from_millis(1));
    loop {
        ticker.tick().await;
        let start = Instant::now();
        let finding = prober.probe(limit).await;
        let success = finding.is_ok();
        let detail = match finding {
            Ok(words) => words,
            Err(failure) => failure.to_string(),
        };
        let change = judge.record(success);
        board.count(&key, Run { start, duration: start.elapsed(), success, skipped: 0 });
        if board.set(&key, judge.state(), &detail) && change.is_some() {
            if success {
                tracing::info!(kind = "tracker", "check {} succeeds ({detail})", key.1);
            } else {
                tracing::warn!(kind = "tracker", "check {} fails ({detail})", key.1);
            }
        }
    }
}

impl Prober {
    /// `None` for a process, which is watched elsewhere.
    fn new(probe: &Probe) -> Option<Self> {
        Some(match probe {
            Probe::Tcp(server) => Self::Tcp(Resolver::new(server.clone())),
            Probe::Unix(path) => Self::Unix(path.clone()),
            Probe::Http(http) => Self::Http(Box::new(Http::new((**http).clone()))),
            Probe::Process(_) => return None,
        })
    }

    /// One probe, over after `limit` whatever the other side does.
    async fn probe(&mut self, limit: Duration) -> Finding {
        let finding = async {
            match self {
                Self::Tcp(resolver) => {
                    let stream = stream::tcp(resolver).await?;
                    let peer =
                        stream.peer_addr().map_or_else(|_| "the server".to_owned(), |peer| peer.to_string());
                    Ok(format!("{peer} accepts"))
                }
                Self::Unix(path) => stream::unix(path).await.map(|_| format!("{} accepts", path.display())),
                Self::Http(http) => http.probe().await,
            }
        };
        in_time(limit, finding).await
    }
}

/// Waits for `finding`, at most `limit`.
///
/// A wake-up that comes late shows that this thread was not let run, and probably the server neither: that time does
/// not count against the server. It is given back a few times, and never more than the limit at once.
async fn in_time(limit: Duration, finding: impl Future<Output = Finding>) -> Finding {
    tokio::pin!(finding);
    let mut deadline = tokio::time::Instant::now() + limit;
    for _ in 0..=RETURNS {
        if let Ok(found) = timeout_at(deadline, &mut finding).await {
            return found;
        }
        let now = tokio::time::Instant::now();
        let late = now.saturating_duration_since(deadline);
        if late <= PUNCTUAL {
            break;
        }
        deadline = now + late.min(limit);
    }
    Err(Failure::Late(limit))
}

/// A server as the operator wrote it.
fn written(server: &HostPort) -> String {
    if server.host.contains(':') {
        format!("[{}]:{}", server.host, server.port)
    } else {
        format!("{}:{}", server.host, server.port)
    }
}
