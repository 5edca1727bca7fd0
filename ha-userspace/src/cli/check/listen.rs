//! `--listen`: sockets that hear the adverts of other routers, in the network namespace of the caller.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use ha_common::counter::Counter;
use ha_common::packet::Packet;
use ha_common::packet::hmac::{self, Receiver};
use ha_common::types::{Family, Vrid};
use ha_common::validate::{self, Meta, Peer, Rules, Transport, validate, validate_with_trailer};

use crate::config::analysis::wire::Heard;
use crate::config::model::{Config, Instance};
use crate::net::advert_rx::{AdvertRx, Received};
use crate::net::clock;
use crate::net::monitor::Links;

/// Different adverts that are kept; a flood is cut off.
const MOST: usize = 4096;

/// Listens on the interfaces of all instances for `time`.
///
/// # Errors
/// A socket cannot be opened; the text says which.
pub(super) async fn listen(config: &Config, links: &Links, time: Duration) -> anyhow::Result<Vec<Heard>> {
    let mut places: Vec<(String, u32, Family)> = Vec::new();
    for instance in &config.instances {
        let Some(link) = links.by_name(&instance.interface) else { continue };
        let place = (link.name.clone(), link.index, instance.family);
        if !places.contains(&place) {
            places.push(place);
        }
    }
    let mut sockets = Vec::new();
    for (name, index, family) in &places {
        sockets.push((name, AdvertRx::open(*index, *family)?));
    }
    let mut heard: HashMap<Heard, u32> = HashMap::new();
    let end = tokio::time::Instant::now() + time;
    while tokio::time::Instant::now() < end {
        let ready = std::future::poll_fn(|context| {
            let ready = sockets.iter().any(|(_, socket)| socket.poll_readable(context).is_ready());
            if ready { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        });
        if tokio::time::timeout_at(end, ready).await.is_err() {
            break;
        }
        for (name, socket) in &mut sockets {
            while let Ok(Some(received)) = socket.try_recv() {
                if let Some(advert) = judge(config, links, name, socket.family(), &received)
                    && (heard.len() < MOST || heard.contains_key(&advert))
                {
                    *heard.entry(advert).or_default() += 1;
                }
            }
        }
    }
    let mut all: Vec<Heard> = heard.into_iter().map(|(advert, count)| Heard { count, ..advert }).collect();
    all.sort_by(|a, b| {
        (&a.interface, a.vrid, a.source, a.priority).cmp(&(&b.interface, b.vrid, b.source, b.priority))
    });
    Ok(all)
}

/// What an instance of the configuration would make of a packet; `None` for our own.
fn judge(
    config: &Config,
    links: &Links,
    interface: &str,
    family: Family,
    received: &Received,
) -> Option<Heard> {
    let source = received.endpoints.source();
    let [first, vrid, priority, ..] = *received.pdu else { return None };
    // Zero is a probe.
    let vrid = Vrid::new(vrid)?;
    if links.hold(source) {
        return None;
    }
    let packet = Packet::new_checked(hmac::split(&received.pdu, family).0, family);
    let addresses: Vec<IpAddr> = packet.map_or_else(|_| Vec::new(), |packet| packet.addresses().collect());
    let instance = config.instances.iter().find(|instance| {
        instance.interface == interface && instance.family == family && instance.vrid == vrid
    });
    let rejected = instance.and_then(|instance| refused(instance, received));
    let interface = interface.to_owned();
    Some(Heard {
        interface,
        family,
        source,
        vrid,
        version: first >> 4,
        priority,
        addresses,
        rejected,
        count: 0,
    })
}

fn refused(instance: &Instance, received: &Received) -> Option<Counter> {
    let addresses: Vec<IpAddr> = instance.vips.iter().map(|vip| vip.address).collect();
    let peers: Vec<Peer> = instance
        .unicast
        .iter()
        .flat_map(|unicast| &unicast.peers)
        .map(|peer| Peer {
            address: peer.address,
            min_ttl: peer.min_ttl.unwrap_or(0),
            max_ttl: peer.max_ttl.unwrap_or(255),
        })
        .collect();
    let transport = match &instance.unicast {
        Some(unicast) => Transport::Unicast { peers: &peers, check_source: unicast.check_source },
        None => Transport::Multicast {
            group: validate::standard_group(instance.family),
            sources: &instance.check_source,
        },
    };
    let rules = Rules {
        vrid: instance.vrid,
        family: instance.family,
        version: instance.version,
        interval: instance.interval,
        auth: instance.auth,
        transport,
        addresses: &addresses,
        any_addresses: instance.skip_check_adv_addr,
        own_addresses: &[],
    };
    let meta = Meta { endpoints: received.endpoints, ttl: received.ttl };
    let Some(settings) = instance.hmac.on() else { return validate(&rules, &meta, &received.pdu).err() };
    let (pdu, trailer) = hmac::split(&received.pdu, instance.family);
    let covered: &[u8] = trailer.map_or(&[], |trailer| trailer.as_slice());
    let refused = validate_with_trailer(&rules, &meta, pdu, covered).err();
    refused.or_else(|| match trailer {
        None => settings.mode.wants_trailer().then_some(Counter::HmacMissing),
        Some(trailer) => {
            // Heard once: what was sent before, nobody knows here.
            let source = received.endpoints.source();
            let fresh = |sequence| {
                Receiver::default().accept(settings.anti_replay, source, sequence, clock::realtime_ns())
            };
            hmac::check(&settings.keys, source, pdu, trailer).and_then(fresh).err().map(Counter::from)
        }
    })
}

/// `5`, `5s` or `500ms`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("'{text}' is no time such as 5s or 500ms");
    let (digits, unit) = match text.strip_suffix("ms") {
        Some(digits) => (digits, 0.001),
        None => (text.strip_suffix('s').unwrap_or(text), 1.0),
    };
    let seconds = digits.parse::<f64>().map_err(|_| bad())? * unit;
    if !(0.01..=3600.0).contains(&seconds) {
        return Err(format!("{text} is not between 10ms and 3600s"));
    }
    Ok(Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(duration("5"), Ok(Duration::from_secs(5)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        for bad in ["", "s", "0", "-1", "1h", "NaN", "inf", "4000"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
