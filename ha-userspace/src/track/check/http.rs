//! `http`: one request on one connection, and an answer that is read to its end.

use std::sync::Arc;

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Request, Response, header};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;

use super::resolve::Resolver;
use super::{Failure, Finding, stream};
use crate::config::model::HttpProbe;
use crate::tls;

/// A longer answer is a failure: a check wants a small page, and a server that never stops must cost little.
pub(super) const LONGEST_BODY: usize = 1 << 20;
/// The head of an answer must fit into this.
const LONGEST_HEAD: usize = 16 << 10;

/// An HTTP check with what it keeps between probes.
#[derive(Debug)]
pub(super) struct Http {
    probe: HttpProbe,
    resolver: Resolver,
    tls: Option<Arc<ClientConfig>>,
}

impl Http {
    pub(super) fn new(probe: HttpProbe) -> Self {
        Self { resolver: Resolver::new(probe.server.clone()), probe, tls: None }
    }

    /// One probe.
    pub(super) async fn probe(&mut self) -> Finding {
        let config = match &self.probe.tls {
            None => None,
            Some(settings) => Some(match &self.tls {
                Some(config) => Arc::clone(config),
                None => {
                    let config = tls::config(settings.clone()).await.map_err(Failure::Tls)?;
                    Arc::clone(self.tls.insert(config))
                }
            }),
        };
        let tcp = stream::tcp(&mut self.resolver).await?;
        // A request that waits for the answer to the one before would be none of ours.
        let _ = tcp.set_nodelay(true);
        match (config, &self.probe.tls) {
            (Some(config), Some(settings)) => {
                let name = tls::server_name(settings, &self.probe.server.host).map_err(Failure::Tls)?;
                let connected = TlsConnector::from(config).connect(name, tcp).await;
                exchange(connected.map_err(|error| Failure::Tls(error.to_string()))?, &self.probe).await
            }
            _ => exchange(tcp, &self.probe).await,
        }
    }
}

/// Asks and judges the answer. The connection ends with it.
async fn exchange(io: impl AsyncRead + AsyncWrite + Unpin + Send, probe: &HttpProbe) -> Finding {
    let failed = |error: hyper::Error| Failure::Http(words(&error));
    let request = Request::get(probe.path.as_str())
        .header(header::HOST, probe.host_header.as_str())
        .header(header::USER_AGENT, concat!("xvrrp/", env!("CARGO_PKG_VERSION")))
        .header(header::ACCEPT, "*/*")
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| Failure::Http(error.to_string()))?;
    let (mut sender, connection) =
        http1::Builder::new().max_buf_size(LONGEST_HEAD).handshake(TokioIo::new(io)).await.map_err(failed)?;
    let conversation = async {
        let answer = sender.send_request(request).await.map_err(failed)?;
        judge(answer, probe).await
    };
    tokio::pin!(conversation);
    tokio::select! {
        biased;
        finding = &mut conversation => finding,
        // It ends before what it has read was looked at.
        ended = connection => match (conversation.await, ended) {
            (Err(Failure::Http(_)), Err(error)) => Err(failed(error)),
            (finding, _) => finding,
        },
    }
}

/// An error with its cause.
fn words(error: &hyper::Error) -> String {
    if error.is_canceled() {
        return "the server closed the connection, or spoke, before it was asked".to_owned();
    }
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

async fn judge(answer: Response<Incoming>, probe: &HttpProbe) -> Finding {
    let status = answer.status().as_u16();
    if !probe.status.iter().any(|(first, last)| (*first..=*last).contains(&status)) {
        return Err(Failure::Status(status));
    }
    let mut search = probe.body.as_ref().map(|text| Search::new(text.as_bytes()));
    let mut length = 0_usize;
    let mut body = answer.into_body();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Failure::Http(words(&error)))?;
        let Ok(data) = frame.into_data() else { continue };
        length = length.saturating_add(data.len());
        if length > LONGEST_BODY {
            return Err(Failure::Endless);
        }
        if let Some(search) = &mut search {
            search.feed(&data);
        }
        // However fast a server sends, other checks have their turn.
        tokio::task::yield_now().await;
    }
    match search {
        Some(search) if !search.found => Err(Failure::Body(status)),
        _ => Ok(format!("status {status}")),
    }
}

/// Finds a text in a body that comes in pieces, and keeps no more of it than the text is long.
#[derive(Debug)]
struct Search<'a> {
    text: &'a [u8],
    tail: Vec<u8>,
    found: bool,
}

impl<'a> Search<'a> {
    fn new(text: &'a [u8]) -> Self {
        Self { text, tail: Vec::new(), found: text.is_empty() }
    }

    fn feed(&mut self, data: &[u8]) {
        if self.found {
            return;
        }
        self.tail.extend_from_slice(data);
        self.found = self.tail.windows(self.text.len()).any(|part| part == self.text);
        let keep = self.text.len().saturating_sub(1).min(self.tail.len());
        self.tail.drain(..self.tail.len() - keep);
    }
}

#[cfg(test)]
mod tests {
    use super::Search;

    #[test]
    fn a_text_is_found_wherever_the_pieces_end() {
        let body = b"<html>all is well</html>";
        for cut in 0..body.len() {
            for more in cut..body.len() {
                let mut search = Search::new(b"is well");
                for piece in [&body[..cut], &body[cut..more], &body[more..]] {
                    search.feed(piece);
                }
                assert!(search.found, "cut at {cut} and {more}");
                assert!(search.tail.len() < 7);
            }
        }
        let mut search = Search::new(b"is ill");
        search.feed(body);
        assert!(!search.found);
        assert!(Search::new(b"").found);
    }
}
