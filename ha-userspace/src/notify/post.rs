//! One POST: connect, send, look at the status. Whoever calls bounds its time.

use std::sync::Arc;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;

use crate::config::model::{Tls, Url};
use crate::tls;

/// The head of an answer must fit into this; the rest is not read.
const LONGEST_HEAD: usize = 16 << 10;

/// Why a document was not taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// A few words for the operator.
    pub(super) why: String,
    /// It may be another matter in a moment.
    pub(super) passing: bool,
}

impl Refusal {
    pub(super) fn passing(why: impl ToString) -> Self {
        Self { why: why.to_string(), passing: true }
    }

    fn by(status: StatusCode) -> Self {
        let busy = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS].contains(&status);
        Self { why: format!("status {}", status.as_u16()), passing: status.is_server_error() || busy }
    }
}

/// Posts to one URL.
#[derive(Debug)]
pub(super) struct Poster {
    url: Url,
    /// Once the certificates have been read.
    trusted: Option<Arc<ClientConfig>>,
}

impl Poster {
    pub(super) fn new(url: Url) -> Self {
        Self { url, trusted: None }
    }

    /// Posts a JSON text; an answer of 200 to 299 takes it. Redirections are not followed.
    ///
    /// # Errors
    /// Whatever hinders it.
    pub(super) async fn post(&mut self, json: &str) -> Result<(), Refusal> {
        let trusted = if self.url.secure { Some(self.trusted().await?) } else { None };
        let server = &self.url.server;
        let tcp = TcpStream::connect((server.host.as_str(), server.port)).await.map_err(Refusal::passing)?;
        let status = match trusted {
            None => exchange(tcp, &self.url, json).await?,
            Some(trusted) => {
                let name = tls::server_name(&system(), &server.host).map_err(Refusal::passing)?;
                let stream = TlsConnector::from(trusted).connect(name, tcp).await;
                let stream = stream.map_err(|error| Refusal::passing(format!("TLS: {error}")))?;
                exchange(stream, &self.url, json).await?
            }
        };
        if status.is_success() { Ok(()) } else { Err(Refusal::by(status)) }
    }

    async fn trusted(&mut self) -> Result<Arc<ClientConfig>, Refusal> {
        if let Some(trusted) = &self.trusted {
            return Ok(Arc::clone(trusted));
        }
        let trusted = tls::config(system()).await.map_err(|why| Refusal::passing(format!("TLS: {why}")))?;
        Ok(Arc::clone(self.trusted.insert(trusted)))
    }
}

/// Trust what the system trusts.
fn system() -> Tls {
    Tls { verify: true, name: None, ca: None }
}

/// The status of the answer. The connection ends with it.
async fn exchange(
    io: impl AsyncRead + AsyncWrite + Unpin + Send,
    url: &Url,
    json: &str,
) -> Result<StatusCode, Refusal> {
    let failed = |error: hyper::Error| Refusal::passing(words(&error));
    let request = Request::post(url.path.as_str())
        .header(header::HOST, url.authority.as_str())
        .header(header::USER_AGENT, concat!("xvrrp/", env!("CARGO_PKG_VERSION")))
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONNECTION, "close")
        .body(Full::new(Bytes::copy_from_slice(json.as_bytes())))
        .map_err(Refusal::passing)?;
    let (mut sender, connection) =
        http1::Builder::new().max_buf_size(LONGEST_HEAD).handshake(TokioIo::new(io)).await.map_err(failed)?;
    let answer = sender.send_request(request);
    tokio::pin!(answer);
    tokio::select! {
        biased;
        answer = &mut answer => answer.map(|answer| answer.status()).map_err(failed),
        // It ends before what it has read was looked at.
        ended = connection => match (answer.await, ended) {
            (Err(_), Err(error)) => Err(failed(error)),
            (answer, _) => answer.map(|answer| answer.status()).map_err(failed),
        },
    }
}

/// An error with its cause.
fn words(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None if error.is_canceled() => "the server closed the connection without an answer".to_owned(),
        None => error.to_string(),
    }
}
