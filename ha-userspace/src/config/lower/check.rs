//! `vrrp_check`: a health check that the daemon makes itself. xvrrp's own block; docs/keepalived-compat.md shows it.
//!
//! Several settings may stand on one line, so that a check fits one `@xvrrp` line of a file that keepalived reads too.

use std::time::Duration;

use super::context::Context;
use super::url::{self, host_port};
use super::value;
use super::words::Words;
use crate::config::codes;
use crate::config::diag::Diagnostic;
use crate::config::keywords::{self, Block, Check as Keyword, HttpOnly, Words as _};
use crate::config::lexer::Word;
use crate::config::model::{Check, HttpProbe, Probe, Tls, Url, Weight};
use crate::config::tree::Statement;

/// Interval and timeout in microseconds: 10 ms (1 ms) to 1 h.
const INTERVAL: (u64, u64) = (10_000, 3_600_000_000);
const TIMEOUT: (u64, u64) = (1_000, 3_600_000_000);
/// As many as /proc/PID/comm holds.
const MAX_COMM: usize = 15;
/// `sun_path` of unix(7) without its terminator.
const MAX_SOCKET: usize = 107;
/// A body that is looked for.
const MAX_BODY: usize = 1024;
/// Ranges of status codes.
const MAX_RANGES: usize = 32;

#[derive(Default)]
struct Draft {
    probe: Option<Probe>,
    status: Vec<(u16, u16)>,
    body: Option<String>,
    host: Option<String>,
    tls_verify: Option<bool>,
    tls_name: Option<String>,
    tls_ca: Option<std::path::PathBuf>,
    interval: Option<Duration>,
    timeout: Option<Duration>,
    rise: Option<u32>,
    fall: Option<u32>,
    weight: Weight,
    init_fail: bool,
    /// Settings that only `http` has.
    http_only: Option<Word>,
}

/// Read one block; `None` where there is nothing to check.
pub(super) fn lower<'a>(stmt: &'a Statement, cx: &mut Context) -> Option<(Check, &'a Word)> {
    let name = value::name(stmt, cx)?;
    let statements = value::block(stmt, cx)?;
    let mut draft = Draft::default();
    for stmt in statements {
        value::no_block(stmt, cx);
        let mut words = Words::new(&stmt.words);
        while let Some(word) = words.next() {
            draft.setting(word, &mut words, cx);
        }
    }
    let interval = draft.interval.unwrap_or(Duration::from_secs(1));
    let mut timeout = draft.timeout.unwrap_or(interval);
    if timeout > interval {
        let message = format!("timeout {timeout:?} is longer than interval {interval:?}");
        cx.push(
            Diagnostic::warning(codes::BAD_NUMBER, name.span, message)
                .label(format!("{interval:?} is used: one probe ends before the next one starts")),
        );
        timeout = interval;
    }
    let (rise, fall) = (draft.rise.unwrap_or(1), draft.fall.unwrap_or(1));
    let (weight, init_fail) = (draft.weight, draft.init_fail);
    let Some(probe) = draft.probe_with(cx) else {
        let message = format!("vrrp_check `{}` checks nothing", name.text());
        cx.push(
            Diagnostic::error(codes::TRACKER_INCOMPLETE, name.span, message)
                .label("the block is skipped")
                .help("add a line such as: tcp 127.0.0.1:80, or http http://127.0.0.1/health"),
        );
        return None;
    };
    let place = cx.place(name.span);
    let name_text = name.text().into_owned();
    let check = Check { name: name_text, probe, interval, timeout, rise, fall, weight, init_fail, place };
    Some((check, name))
}

impl Draft {
    fn setting(&mut self, word: &Word, words: &mut Words<'_>, cx: &mut Context) {
        let Some(keyword) = Keyword::parse(&word.text()) else {
            let near = if cx.is_full() { None } else { keywords::nearest(Block::Check, &word.text()) };
            let message = format!("unknown keyword `{}`", word.text());
            cx.push(
                Diagnostic::warning(codes::UNKNOWN_KEYWORD, word.span, message)
                    .label("ignored")
                    .maybe_help(near.map(|near| format!("did you mean `{near}`?"))),
            );
            return;
        };
        match keyword {
            Keyword::Tcp => self.tcp(word, words, cx),
            Keyword::Http => self.http(word, words, cx),
            Keyword::Unix => self.unix(word, words, cx),
            Keyword::Process => self.process(word, words, cx),
            Keyword::Interval => self.interval = time(word, words, INTERVAL, cx).or(self.interval),
            Keyword::Timeout => self.timeout = time(word, words, TIMEOUT, cx).or(self.timeout),
            Keyword::Rise => self.rise = count(word, words, cx).or(self.rise),
            Keyword::Fall => self.fall = count(word, words, cx).or(self.fall),
            Keyword::Weight => self.weight(word, words, cx),
            Keyword::InitFail => self.init_fail = true,
            Keyword::HttpOnly(keyword) => {
                self.http_only.get_or_insert_with(|| word.clone());
                self.http_setting(keyword, word, words, cx);
            }
        }
    }

    fn http_setting(&mut self, keyword: HttpOnly, word: &Word, words: &mut Words<'_>, cx: &mut Context) {
        match keyword {
            HttpOnly::Status => self.status(word, words, cx),
            HttpOnly::Body => {
                let Some(body) = words.own_argument(word, cx) else { return };
                if body.bytes.is_empty() || body.bytes.len() > MAX_BODY {
                    let message =
                        format!("body has {} bytes; 1 to {MAX_BODY} are looked for", body.bytes.len());
                    cx.push(Diagnostic::error(codes::BAD_WORD, body.span, message).label("ignored"));
                } else {
                    self.body = Some(body.text().into_owned());
                }
            }
            HttpOnly::Host => self.host = header(word, words, cx).or(self.host.take()),
            HttpOnly::TlsName => self.tls_name = header(word, words, cx).or(self.tls_name.take()),
            HttpOnly::TlsCa => {
                let Some(path) = words.own_argument(word, cx) else { return };
                self.tls_ca = value::absolute(path, "ignored", cx).or(self.tls_ca.take());
            }
            HttpOnly::TlsVerify => {
                let Some(flag) = words.own_argument(word, cx) else { return };
                match &*flag.bytes {
                    b"on" | b"true" | b"yes" => self.tls_verify = Some(true),
                    b"off" | b"false" | b"no" => self.tls_verify = Some(false),
                    _ => value::bad_word(flag, &["on", "off"], "ignored", cx),
                }
            }
        }
    }

    fn unix(&mut self, word: &Word, words: &mut Words<'_>, cx: &mut Context) {
        let Some(path) = words.own_argument(word, cx) else { return };
        let long = path.bytes.len() > MAX_SOCKET;
        if long {
            let message = format!("a socket's path has at most {MAX_SOCKET} bytes");
            cx.push(Diagnostic::error(codes::NAME_TOO_LONG, path.span, message).label("ignored"));
        }
        let path = value::absolute(path, "ignored", cx).filter(|_| !long);
        self.probe(word, path.map(Probe::Unix), cx);
    }

    fn process(&mut self, word: &Word, words: &mut Words<'_>, cx: &mut Context) {
        let Some(name) = words.own_argument(word, cx) else { return };
        let text = name.text().into_owned();
        if name.bytes.is_empty() || name.bytes.len() > MAX_COMM || text.contains('/') {
            let message = format!("`{text}` is no name of a process");
            cx.push(
                Diagnostic::error(codes::NAME_TOO_LONG, name.span, message)
                    .label("ignored")
                    .help(format!("write it as /proc/PID/comm has it: at most {MAX_COMM} bytes, no path")),
            );
        } else {
            self.probe(word, Some(Probe::Process(text)), cx);
        }
    }

    fn probe(&mut self, word: &Word, probe: Option<Probe>, cx: &mut Context) {
        if self.probe.is_some() {
            let message = format!("a second thing to check, `{}`", word.text());
            cx.push(
                Diagnostic::error(codes::REPEATED_KEYWORD, word.span, message)
                    .label("ignored: a check does one thing")
                    .help("write a vrrp_check block of its own for it, and track both"),
            );
            return;
        }
        self.probe = probe;
    }

    fn tcp(&mut self, word: &Word, words: &mut Words<'_>, cx: &mut Context) {
        let Some(to) = words.own_argument(word, cx) else { return };
        let parsed = host_port(&to.text(), None);
        if parsed.is_none() {
            let message = format!("`{}` is not HOST:PORT", to.text());
            cx.push(
                Diagnostic::error(codes::BAD_ADDRESS, to.span, message)
                    .label("ignored")
                    .help("write such as 127.0.0.1:80, [::1]:80 or localhost:80"),
            );
        }
        self.probe(word, parsed.map(Probe::Tcp), cx);
    }

    fn http(&mut self, word: &Word, words: &mut Words<'_>, cx: &mut Context) {
        let Some(url) = words.own_argument(word, cx) else { return };
        let parsed = http(&url.text());
        if parsed.is_none() {
            let message = format!("`{}` is not a URL that can be checked", url.text());
            cx.push(
                Diagnostic::error(codes::BAD_ADDRESS, url.span, message)
                    .label("ignored")
                    .help("write such as http://127.0.0.1:8080/health or https://www.example.com/"),
            );
        }
        self.probe(word, parsed.map(|http| Probe::Http(Box::new(http))), cx);
    }

    /// `status CODE[-CODE]…`.
    fn status(&mut self, word: &Word, words: &mut Words<'_>, cx: &mut Context) {
        let before = self.status.len();
        while let Some(next) = words.peek().filter(|next| next.bytes.first().is_some_and(u8::is_ascii_digit))
        {
            words.next();
            let text = next.text();
            for part in text.split(',') {
                let (low, high) = part.split_once('-').unwrap_or((part, part));
                let code = |text: &str| text.parse::<u16>().ok().filter(|code| (100..=599).contains(code));
                match code(low).zip(code(high)).filter(|(low, high)| low <= high) {
                    Some(range) if self.status.len() < MAX_RANGES => self.status.push(range),
                    _ => {
                        let message = format!("`{part}` is no range of status codes");
                        cx.push(
                            Diagnostic::error(codes::BAD_NUMBER, next.span, message)
                                .label("ignored")
                                .help("write codes from 100 to 599, such as 200-299 or 204"),
                        );
                    }
                }
            }
        }
        if self.status.len() == before {
            let message = "`status` lacks its codes";
            cx.push(Diagnostic::error(codes::MISSING_PARAMETER, word.span, message).label("ignored"));
        }
    }

    fn weight(&mut self, word: &Word, words: &mut Words<'_>, cx: &mut Context) {
        let Some(number) = words.own_argument(word, cx) else { return };
        let Some(value) = value::small(number, "weight", -253..=253, "ignored", cx) else { return };
        self.weight = Weight { value, reverse: words.take("reverse") };
    }

    /// The probe with all that belongs to it.
    fn probe_with(mut self, cx: &mut Context) -> Option<Probe> {
        let mut probe = self.probe.take()?;
        let Probe::Http(http) = &mut probe else {
            if let Some(word) = self.http_only {
                let message = format!("`{}` belongs to `http`", word.text());
                cx.push(Diagnostic::warning(codes::NOT_NEEDED, word.span, message).label("ignored"));
            }
            return Some(probe);
        };
        if !self.status.is_empty() {
            http.status = self.status;
        }
        http.body = self.body;
        if let Some(host) = self.host {
            http.host_header = host;
        }
        if let Some(tls) = &mut http.tls {
            tls.verify = self.tls_verify.unwrap_or(true);
            tls.name = self.tls_name;
            tls.ca = self.tls_ca;
        }
        Some(probe)
    }
}

/// Text for a header or a certificate's name.
fn header(word: &Word, words: &mut Words<'_>, cx: &mut Context) -> Option<String> {
    let argument = words.own_argument(word, cx)?;
    let text = argument.text();
    if !text.is_empty() && text.len() <= 255 && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Some(text.into_owned());
    }
    let message = format!("`{text}` is no name of a host");
    cx.push(Diagnostic::error(codes::BAD_WORD, argument.span, message).label("ignored"));
    None
}

/// What is checked at a URL.
fn http(url: &str) -> Option<HttpProbe> {
    let Url { secure, server, authority, path } = url::parse(url).ok()?;
    let tls = secure.then_some(Tls { verify: true, name: None, ca: None });
    Some(HttpProbe { tls, server, host_header: authority, path, status: vec![(200, 399)], body: None })
}

fn count(word: &Word, words: &mut Words<'_>, cx: &mut Context) -> Option<u32> {
    let number = words.own_argument(word, cx)?;
    value::small(number, &word.text(), 1..=1_000_000, "1 is used", cx)
}

/// `100ms`, `2s`; a bare number is seconds, as everywhere in the language.
fn time(word: &Word, words: &mut Words<'_>, range: (u64, u64), cx: &mut Context) -> Option<Duration> {
    let argument = words.own_argument(word, cx)?;
    let text = argument.text();
    let (number, unit) = if let Some(number) = text.strip_suffix("ms") {
        (number, 1_000)
    } else {
        (text.strip_suffix('s').unwrap_or(&text), 1_000_000)
    };
    // `parse_micros` reads a number of seconds; its millionths are scaled to the unit.
    let micros = value::parse_micros(number.as_bytes())
        .and_then(|number| number.checked_mul(unit))
        .map(|scaled| scaled / 1_000_000);
    if let Some(micros) = micros.filter(|micros| (range.0..=range.1).contains(micros)) {
        return Some(Duration::from_micros(micros));
    }
    let message = match micros {
        Some(_) => format!("{} {text} is out of range", word.text()),
        None => format!("{} `{text}` is not a time", word.text()),
    };
    let (low, high) = (Duration::from_micros(range.0), Duration::from_micros(range.1));
    cx.push(
        Diagnostic::error(codes::BAD_NUMBER, argument.span, message)
            .label("the default is used")
            .help(format!("write {low:?} to {high:?}, such as 100ms or 1s")),
    );
    None
}
