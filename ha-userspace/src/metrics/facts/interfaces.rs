//! Interfaces: how adverts come in, the fence, peers, counters.

use super::super::families::{
    FAST, FENCE, FENCE_ARMED, FRAMES, Family, INTERFACE_UP, LACKS, LATENESS, LEASE, LONGEST_ROUND_TRIP,
    PAUSED, PEER_WINDOW, PROBES_ANSWERED, PROBES_SENT, ROUND_TRIP, STALLS, VERDICTS, WRONG, XDP_MODE,
};
use super::super::page::{Page, float};
use super::flag;
use crate::control::protocol::{Counters, FenceStatus, InterfaceStatus, PeerStatus};

/// Peers of one interface that are told of; in practice there are a few.
const PEERS: usize = 64;
const FENCES: [&str; 4] = ["open", "closed", "superseded", "handing over"];

/// All of it.
pub(super) fn all(page: &mut Page, interfaces: &[InterfaceStatus], counters: &Counters) {
    let mut samples = page.family(&INTERFACE_UP);
    for interface in interfaces {
        samples.put(&[&interface.name], flag(interface.up));
    }
    let mut samples = page.family(&XDP_MODE);
    for interface in interfaces {
        samples.put(&[&interface.name, &interface.xdp], 1.0);
    }
    let mut samples = page.family(&LACKS);
    for interface in interfaces {
        interface.lost.iter().for_each(|word| samples.put(&[&interface.name, word], 1.0));
    }
    fences(page, interfaces);
    let mut samples = page.family(&FRAMES);
    for interface in &counters.interfaces {
        for counter in &interface.counters {
            samples.put(&[&interface.interface, &counter.name], float(counter.value));
        }
    }
    peers(page, interfaces);
}

fn fences(page: &mut Page, interfaces: &[InterfaceStatus]) {
    let fenced: Vec<(&str, &FenceStatus)> = interfaces
        .iter()
        .filter_map(|interface| Some((interface.name.as_str(), interface.fence.as_ref()?)))
        .collect();
    let mut samples = page.family(&FENCE_ARMED);
    for (name, fence) in &fenced {
        samples.put(&[name], flag(fence.state == "armed"));
    }
    let mut samples = page.family(&FENCE);
    for (name, fence) in &fenced {
        for state in FENCES {
            samples.put(&[name, state], flag(fence.now == state));
        }
    }
    let mut samples = page.family(&LEASE);
    for (name, fence) in &fenced {
        if let Some(left) = fence.lease_left_ms {
            samples.put(&[name], left / 1000.0);
        }
    }
}

fn peers(page: &mut Page, interfaces: &[InterfaceStatus]) {
    let all: Vec<(&str, &PeerStatus)> = interfaces
        .iter()
        .flat_map(|interface| interface.peers.iter().take(PEERS).map(|peer| (interface.name.as_str(), peer)))
        .collect();
    let mut each = |family: &'static Family, value: fn(&PeerStatus) -> f64| {
        let mut samples = page.family(family);
        for (name, peer) in &all {
            samples.put(&[name, &peer.address], value(peer));
        }
    };
    each(&FAST, |peer| flag(peer.fast));
    each(&PAUSED, |peer| float(peer.paused_ms.unwrap_or(0)) / 1e3);
    each(&PROBES_SENT, |peer| float(peer.sent));
    each(&PROBES_ANSWERED, |peer| float(peer.answered));
    each(&VERDICTS, |peer| float(peer.verdicts));
    each(&WRONG, |peer| float(peer.wrong));
    each(&STALLS, |peer| float(peer.stalls));
    each(&PEER_WINDOW, |peer| peer.window_ms / 1e3);
    each(&LONGEST_ROUND_TRIP, |peer| peer.rtt_max_us / 1e6);
    let mut quantiles = |family: &'static Family, values: fn(&PeerStatus) -> [f64; 2]| {
        let mut samples = page.family(family);
        for (name, peer) in all.iter().filter(|(_, peer)| peer.answered > 0) {
            for (quantile, us) in ["0.5", "0.99"].into_iter().zip(values(peer)) {
                samples.put(&[name, &peer.address, quantile], us / 1e6);
            }
        }
    };
    quantiles(&ROUND_TRIP, |peer| [peer.rtt_median_us, peer.rtt_p99_us]);
    quantiles(&LATENESS, |peer| [peer.late_median_us, peer.late_p99_us]);
}
