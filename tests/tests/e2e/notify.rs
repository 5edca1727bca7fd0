//! What others are told: scripts, FIFOs, mail, webhooks and dumps, beside keepalived where it does the same.

#[path = "notify/calls.rs"]
mod calls;
#[path = "notify/delay.rs"]
mod delay;
#[path = "notify/dumps.rs"]
mod dumps;
#[path = "notify/inbox.rs"]
mod inbox;
#[path = "notify/settings.rs"]
mod settings;
#[path = "notify/sink.rs"]
mod sink;
#[path = "notify/webhook.rs"]
mod webhook;
#[path = "notify/words.rs"]
mod words;

use std::net::IpAddr;

use anyhow::{Result, anyhow};
use ha_common::packet::{Advert, Auth, ChecksumForm, Endpoints, MAX_LEN};
use ha_common::types::{Centis, Family, MULTICAST_V4, Version, Vrid};
use ha_tests::lab::HostSpec;

use crate::harness::Test;
use crate::hostile::frames::Packet;

pub(crate) fn tests() -> Vec<Test> {
    [calls::tests(), delay::tests(), dumps::tests(), settings::tests(), webhook::tests(), words::tests()]
        .into_iter()
        .flatten()
        .collect()
}

/// A VRRPv3 advert of `from` for one address, every 300 ms according to itself.
pub(crate) fn advert(from: &HostSpec, vrid: u8, priority: u8, vip: IpAddr) -> Result<Vec<u8>> {
    let endpoints = Endpoints::V4 { source: from.v4, destination: MULTICAST_V4 };
    let advert = Advert {
        vrid: Vrid::new(vrid).ok_or_else(|| anyhow!("VRID 0"))?,
        priority,
        interval: Centis::new(30).ok_or_else(|| anyhow!("no interval"))?,
        version: Version::V3,
        family: Family::V4,
    };
    let mut pdu = [0; MAX_LEN];
    let len = advert.emit(&[vip], Auth::None, ChecksumForm::PseudoHeader, &endpoints, &mut pdu)?;
    Ok(Packet::new(from.mac, endpoints, pdu[..len].to_vec()).bytes())
}
