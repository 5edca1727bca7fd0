//! Orders from one virtual machine to the other over their common cable: a word in a datagram, answered by a sentence.
//!
//! A datagram that is lost is sent again under the same number, and an order is carried out once.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::lab::{Host, Moment};

const PORT: u16 = 9999;
const PATIENCE: Duration = Duration::from_millis(500);

/// Who gives orders.
pub(super) struct Officer {
    socket: UdpSocket,
    to: SocketAddr,
    number: u32,
}

impl Officer {
    /// Gives orders from `host` to the router at `address`.
    pub(super) fn new(host: &Host, address: Ipv4Addr) -> Result<Self> {
        let socket = host.inside(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)))??;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { socket, to: (address, PORT).into(), number: 0 })
    }

    /// Gives an order and returns the answer.
    pub(super) fn order(&mut self, word: &str, patience: Duration) -> Result<String> {
        self.number += 1;
        let prefix = format!("{} ", self.number);
        let end = Moment::now().plus(patience);
        while Moment::now() < end {
            // While the cable is out, nothing can be sent.
            let _lost = self.socket.send_to(format!("{prefix}{word}").as_bytes(), self.to);
            let mut answer = [0; 1024];
            while let Ok(length) = self.socket.recv(&mut answer) {
                let text = String::from_utf8_lossy(answer.get(..length).unwrap_or_default()).into_owned();
                if let Some(answer) = text.strip_prefix(&prefix) {
                    return Ok(answer.to_owned());
                }
            }
        }
        bail!("no answer to the order `{word}`")
    }
}

/// Carries out orders inside `host` until one makes `carry_out` return nothing.
pub(super) fn obey(host: &Host, mut carry_out: impl FnMut(&str) -> Option<String>) -> Result<()> {
    let socket =
        host.inside(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT)))?.context("socket for orders")?;
    let mut last = (String::new(), String::new());
    loop {
        let mut order = [0; 1024];
        let (length, from) = socket.recv_from(&mut order).context("waiting for orders")?;
        let text = String::from_utf8_lossy(order.get(..length).unwrap_or_default()).into_owned();
        let Some((number, word)) = text.split_once(' ') else { continue };
        let done = if last.0 != number {
            let answer = carry_out(word);
            let done = answer.is_none();
            last = (number.to_owned(), answer.unwrap_or_else(|| "bye".to_owned()));
            done
        } else {
            false
        };
        let _lost = socket.send_to(format!("{number} {}", last.1).as_bytes(), from);
        if done {
            return Ok(());
        }
    }
}
