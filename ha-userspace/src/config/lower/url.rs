//! URLs of HTTP, of checks and of webhooks; hosts with ports.

use crate::config::model::{HostPort, Url};

/// Longer paths are refused.
const LONGEST_PATH: usize = 2048;

/// An absolute URL without user, fragment or characters that HTTP does not send.
///
/// # Errors
/// What is wrong with it.
pub(super) fn parse(url: &str) -> Result<Url, &'static str> {
    let (secure, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
        (Some(rest), _) => (true, rest),
        (None, Some(rest)) => (false, rest),
        (None, None) => return Err("it begins neither with http:// nor with https://"),
    };
    let at = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(at);
    if authority.contains('@') {
        return Err("a user or a password in it is not sent");
    }
    if path.contains('#') {
        return Err("what stands behind a `#` is not sent");
    }
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    if path.len() > LONGEST_PATH {
        return Err("its path is longer than 2048 bytes");
    }
    if !path.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("it has characters that must be written with %");
    }
    let server = host_port(authority, Some(if secure { 443 } else { 80 }));
    let server = server.ok_or("it has no host, or a port that is none")?;
    Ok(Url { secure, server, authority: authority.to_owned(), path })
}

/// `HOST:PORT`, `[ADDRESS]:PORT`; the port may be absent where there is a usual one.
pub(super) fn host_port(text: &str, usual: Option<u16>) -> Option<HostPort> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        host.parse::<std::net::Ipv6Addr>().ok()?;
        let port = if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) };
        (host, port)
    } else {
        match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    let port = match port {
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            port.parse().ok().filter(|port| *port != 0)
        }
        Some(_) => None,
        None => usual,
    }?;
    let v6 = text.starts_with('[');
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    if host.is_empty() || host.len() > 253 || (!v6 && !host.bytes().all(good)) {
        return None;
    }
    Some(HostPort { host: host.to_owned(), port })
}
