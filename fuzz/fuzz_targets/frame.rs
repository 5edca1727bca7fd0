//! Any frame: classification neither panics nor points outside the frame, and the host's reading of what XDP
//! copied agrees with what XDP saw.
#![cfg_attr(feature = "link", no_main)]

use ha_common::classify::{Origin, Verdict, classify, fingerprint, parse_ip_packet};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|frame: &[u8]| {
    let Verdict::Vrrp(seen) = classify(frame, 0) else { return };
    let copied = &frame[seen.ip_at..seen.ip_at + seen.ip_len];
    assert!(seen.pdu_at + seen.pdu_len == seen.ip_len, "{seen:?}");
    // Checksums of the IPv4 header are the kernel's business behind a socket.
    let read = parse_ip_packet(copied, Origin::Socket).expect("classified as VRRP");
    let _ = fingerprint([1, 2], &read.packet, copied);
    assert_eq!((read.packet.vrid, read.packet.ttl), (seen.vrid, seen.ttl));
    assert_eq!(read.pdu.len(), seen.pdu_len);
});

#[cfg(not(feature = "link"))]
fn main() {}
