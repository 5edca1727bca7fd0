//! HTTP/1 around the page: requests of bounded size and time, and which of the two forms is wanted.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::facts;
use super::page::Form;
use crate::control::asker::Asker;
use crate::control::protocol::{self, Failure};
use crate::events;

/// For the head of a request to come.
pub(super) const HEAD_PATIENCE: Duration = Duration::from_secs(5);
/// For the whole of a connection, which is for one request.
const PATIENCE: Duration = Duration::from_secs(10);
/// Scrapers send some hundred bytes. 8 KiB is the least that hyper takes.
const LONGEST_HEAD: usize = 8 * 1024;
/// Headers of a request.
const HEADERS: usize = 64;
/// A page is as good as a newer one for so long: a flood of requests is a few pages.
const FRESH: Duration = Duration::from_millis(100);

/// What is served.
#[derive(Debug)]
pub(super) struct Site {
    asker: Arc<Asker>,
    latest: Mutex<Option<Latest>>,
}

#[derive(Debug)]
struct Latest {
    at: Instant,
    text: Bytes,
    openmetrics: Bytes,
}

impl Latest {
    fn get(&self, form: Form) -> Bytes {
        match form {
            Form::Text => self.text.clone(),
            Form::OpenMetrics => self.openmetrics.clone(),
        }
    }
}

impl Site {
    pub(super) fn new(asker: Arc<Asker>) -> Self {
        Self { asker, latest: Mutex::default() }
    }

    async fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut refused = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
            refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refused;
        }
        if request.uri().path() != "/metrics" {
            return plain(StatusCode::NOT_FOUND, "metrics are at /metrics\n");
        }
        let form = wanted(request.headers());
        match self.page(form).await {
            Ok(page) => with_type(StatusCode::OK, page, form.content_type()),
            Err(failure) => plain(StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", failure.message)),
        }
    }

    /// The page of now. Whoever comes while it is made waits for it.
    async fn page(&self, form: Form) -> Result<Bytes, Failure> {
        let mut latest = self.latest.lock().await;
        if let Some(fresh) = latest.as_ref().filter(|latest| latest.at.elapsed() < FRESH) {
            return Ok(fresh.get(form));
        }
        let (status, counters) = tokio::join!(
            self.asker.ask(protocol::Request::Status),
            self.asker.ask(protocol::Request::Counters)
        );
        let (status, counters) = match (&*status, &*counters) {
            (protocol::Response::Status(status), protocol::Response::Counters(counters)) => {
                (status, counters)
            }
            (protocol::Response::Error(failure), _) | (_, protocol::Response::Error(failure)) => {
                return Err(failure.clone());
            }
            _ => return Err(Failure::new("the main loop has answered something else")),
        };
        let now = std::time::SystemTime::now();
        let write = |form| Bytes::from(facts::page(status, counters, events::lost(), now, form));
        let made =
            Latest { at: Instant::now(), text: write(Form::Text), openmetrics: write(Form::OpenMetrics) };
        Ok(latest.insert(made).get(form))
    }
}

/// Serves one request. A client that goes away, says nonsense or is too slow only harms itself.
pub(super) async fn serve<S>(stream: S, site: Arc<Site>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let answer = service_fn(|request: Request<Incoming>| {
        let site = Arc::clone(&site);
        async move { Ok::<_, Infallible>(site.answer(&request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .max_buf_size(LONGEST_HEAD)
        .max_headers(HEADERS)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), answer);
    let _ = timeout(PATIENCE, connection).await;
}

fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    with_type(status, text.into(), "text/plain; charset=utf-8")
}

fn with_type(status: StatusCode, body: Bytes, content_type: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// `OpenMetrics` where the scraper likes it at least as much as the older text, and says so.
fn wanted(headers: &HeaderMap) -> Form {
    let (mut open, mut text) = (0.0, 0.0);
    let lists = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    for kind in lists.flat_map(|list| list.split(',')) {
        let mut parts = kind.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let quality = parts.find_map(|part| part.strip_prefix("q=")).and_then(|q| q.trim().parse().ok());
        let quality = quality.unwrap_or(1.0_f32).clamp(0.0, 1.0);
        match name.as_str() {
            "application/openmetrics-text" => open = quality.max(open),
            "text/plain" => text = quality.max(text),
            _ => {}
        }
    }
    if open > 0.0 && open >= text { Form::OpenMetrics } else { Form::Text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(accept: &'static str) -> Form {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        wanted(&headers)
    }

    #[test]
    fn the_scraper_chooses_the_form() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;\
                          version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        assert_eq!(of(prometheus), Form::OpenMetrics);
        assert_eq!(of("application/openmetrics-text"), Form::OpenMetrics);
        assert_eq!(of("text/plain;q=0.9, application/openmetrics-text;q=0.5"), Form::Text);
        assert_eq!(of("application/openmetrics-text;q=0"), Form::Text);
        assert_eq!(of("*/*"), Form::Text);
        assert_eq!(of("q=;;,,"), Form::Text);
        assert_eq!(wanted(&HeaderMap::new()), Form::Text);
    }
}
