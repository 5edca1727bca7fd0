//! A little HTTP server on a host of the lab that keeps what is posted to it.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use ha_tests::lab::Host;
use serde_json::Value;

/// JSON documents that came in, in their order.
#[derive(Clone, Default)]
pub(super) struct Inbox {
    documents: Arc<Mutex<Vec<Value>>>,
}

impl Inbox {
    /// Listens on `port` of `host`, until the test's process ends.
    pub(super) fn start(host: &Host, port: u16) -> Result<Self> {
        let listener = host.inside(move || TcpListener::bind(("0.0.0.0", port)))??;
        let inbox = Self::default();
        let taker = inbox.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if let Some(document) = serve(stream) {
                    taker.documents.lock().unwrap_or_else(PoisonError::into_inner).push(document);
                }
            }
        });
        Ok(inbox)
    }

    pub(super) fn documents(&self) -> Vec<Value> {
        self.documents.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn serve(mut stream: TcpStream) -> Option<Value> {
    let (mut text, mut part) = (String::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut part).ok().filter(|read| *read > 0)?;
        text += std::str::from_utf8(part.get(..read)?).ok()?;
        let body = text.split_once("\r\n\r\n").and_then(|(_, body)| serde_json::from_str(body).ok());
        if let Some(body) = body {
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").ok()?;
            return Some(body);
        }
    }
}
