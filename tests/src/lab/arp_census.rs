//! Who answers ARP for an address: asked again and again from one host, every answer counted.

use std::collections::BTreeMap;
use std::io::Read;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::{Domain, Protocol, Socket, Type};

use super::frames::{Frame, decode};
use super::{Host, Lab, Moment, sys};

/// One question and its answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArpSample {
    /// When it was asked.
    pub asked: Moment,
    /// Who answered before the next question, in order: a host name, or a MAC address that is no host's.
    pub answers: Vec<String>,
}

/// A running census; ends when dropped.
#[derive(Debug)]
pub struct ArpCensus {
    samples: Arc<Mutex<Vec<ArpSample>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

const ETHERTYPE_ARP: u16 = 0x0806;

impl Lab {
    /// Asks from `asker` every `interval` who has `address`.
    pub fn arp_census(&self, asker: &str, address: Ipv4Addr, interval: Duration) -> Result<ArpCensus> {
        let asker = self.host(asker)?;
        let index = asker.interface_index()?;
        let socket = asker.inside(move || open(index))?.context("packet socket for ARP")?;
        let names = self.hosts().iter().map(|host| (host.spec().mac, host.name().to_owned())).collect();
        let request = request(asker, address);
        let (samples, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (log, ended) = (Arc::clone(&samples), Arc::clone(&stop));
        let thread = std::thread::Builder::new().name("lab-arp".to_owned()).spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                let sample = ask(&socket, &request, address, interval, &names);
                log.lock().unwrap_or_else(PoisonError::into_inner).push(sample);
            }
        })?;
        Ok(ArpCensus { samples, stop, thread: Some(thread) })
    }
}

impl ArpCensus {
    /// All questions so far, oldest first.
    #[must_use]
    pub fn samples(&self) -> Vec<ArpSample> {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The last question whose time for answers is over.
    #[must_use]
    pub fn latest(&self) -> Option<ArpSample> {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner).last().cloned()
    }

    /// Questions from `from` on that more than one host answered.
    #[must_use]
    pub fn double_answers(&self, from: Moment) -> Vec<ArpSample> {
        let mut samples = self.samples();
        // What comes when the next question is out already is an answer to the one before, which then had none.
        for n in 1..samples.len() {
            if samples[n - 1].answers.is_empty() && samples[n].answers.len() > 1 {
                let late = samples[n].answers.remove(0);
                samples[n - 1].answers.push(late);
            }
        }
        samples.retain(|sample| {
            sample.asked >= from && sample.answers.iter().any(|name| *name != sample.answers[0])
        });
        samples
    }
}

impl Drop for ArpCensus {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

fn open(index: u32) -> std::io::Result<Socket> {
    let protocol = Protocol::from(i32::from(ETHERTYPE_ARP.to_be()));
    let socket = Socket::new(Domain::PACKET, Type::RAW, Some(protocol))?;
    socket.bind(&sys::link_address(index, ETHERTYPE_ARP)?)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// A broadcast request, padded to the least length of an Ethernet frame.
fn request(asker: &Host, address: Ipv4Addr) -> [u8; 60] {
    let (mac, own) = (asker.spec().mac, asker.spec().v4);
    let mut frame = [0; 60];
    frame[..6].fill(0xff);
    frame[6..12].copy_from_slice(&mac);
    frame[12..14].copy_from_slice(&ETHERTYPE_ARP.to_be_bytes());
    frame[14..22].copy_from_slice(&[0, 1, 8, 0, 6, 4, 0, 1]);
    frame[22..28].copy_from_slice(&mac);
    frame[28..32].copy_from_slice(&own.octets());
    frame[38..42].copy_from_slice(&address.octets());
    frame
}

fn ask(
    socket: &Socket,
    request: &[u8],
    address: Ipv4Addr,
    interval: Duration,
    names: &BTreeMap<[u8; 6], String>,
) -> ArpSample {
    let asked = Moment::now();
    let end = asked.plus(interval);
    // While the link is down nobody can be asked; the sample then has no answers.
    let _down = socket.send(request);
    let mut answers = Vec::new();
    loop {
        let left = end.since(Moment::now());
        if left.is_zero() {
            return ArpSample { asked, answers };
        }
        let timeout = PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::ZERO);
        let _timeout = poll(&mut [PollFd::new(socket.as_fd(), PollFlags::POLLIN)], timeout);
        let mut frame = [0; 128];
        while let Ok(length) = (&*socket).read(&mut frame) {
            let decoded = frame.get(..length).and_then(decode);
            if let Some((_, Frame::Arp { operation: 2, sender_mac, sender, target })) = decoded
                && sender == address
                // A gratuitous reply is an announcement, not an answer.
                && target != address
            {
                let mac = || sender_mac.map(|byte| format!("{byte:02x}")).join(":");
                answers.push(names.get(&sender_mac).cloned().unwrap_or_else(mac));
            }
        }
    }
}
