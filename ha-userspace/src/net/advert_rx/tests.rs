use super::*;

const SECOND: u64 = 1_000_000_000;

fn offset(realtime: u64, monotonic: u64) -> ClockOffset {
    ClockOffset {
        realtime_minus_monotonic: i128::from(realtime) - i128::from(monotonic),
        now: Time(monotonic),
    }
}

#[test]
fn a_stamp_becomes_a_monotonic_time() {
    let before = offset(1_700_000_000 * SECOND, 100 * SECOND);
    let now = offset(1_700_000_002 * SECOND, 102 * SECOND);
    assert_eq!(now.convert(before, 1_700_000_001 * SECOND), Time(101 * SECOND));
}

#[test]
fn after_a_step_of_the_clock_the_time_of_reading_counts() {
    let before = offset(1_700_000_000 * SECOND, 100 * SECOND);
    for stepped in [1_600_000_000, 1_800_000_000] {
        let now = offset(stepped * SECOND, 102 * SECOND);
        assert_eq!(
            now.convert(before, 1_700_000_001 * SECOND),
            Time(102 * SECOND),
            "stamped before the step"
        );
        assert_eq!(now.convert(before, (stepped - 1) * SECOND), Time(102 * SECOND), "stamped after the step");
    }
}

#[test]
fn a_stamp_never_lies_in_the_future() {
    let now = offset(1_700_000_000 * SECOND, 100 * SECOND);
    assert_eq!(now.convert(now, 1_700_000_000 * SECOND + 50_000), Time(100 * SECOND));
}

#[test]
fn options_and_padding_are_cut_off() {
    let mut packet = vec![0x46, 0xc0, 0, 24 + 4, 0, 0, 0, 0, 254, 112, 0, 0, 10, 0, 0, 1, 224, 0, 0, 18];
    packet.extend([0x94, 4, 0, 0]);
    packet.extend(*b"vrrp");
    packet.extend([0; 18]);
    let (endpoints, ttl, pdu) = take_apart_v4(&packet).expect("well-formed");
    let (source, destination) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(224, 0, 0, 18));
    assert_eq!((endpoints, ttl, pdu), (Endpoints::V4 { source, destination }, 254, &b"vrrp"[..]));
}

#[test]
fn nonsense_is_no_packet() {
    assert_eq!(take_apart_v4(&[]), None);
    assert_eq!(take_apart_v4(&[0x45; 19]), None);
    assert_eq!(take_apart_v4(&[0x65; 40]), None, "version 6");
    assert_eq!(take_apart_v4(&[0x44; 40]), None, "a header of 16 bytes");
    let mut short = [0x4f; 40];
    short[2..4].copy_from_slice(&[0, 40]);
    assert_eq!(take_apart_v4(&short), None, "a header of 60 bytes in a packet of 40");
}

proptest::proptest! {
    /// Whatever comes: no panic, and the PDU is a part of the packet.
    #[test]
    fn any_bytes_can_be_taken_apart(packet in proptest::collection::vec(proptest::num::u8::ANY, 0..200), first in 0x44..0x48_u8) {
        let mut packet = packet;
        for first in [packet.first().copied().unwrap_or(0), first] {
            if let Some(byte) = packet.first_mut() {
                *byte = first;
            }
            if let Some((_, _, pdu)) = take_apart_v4(&packet) {
                proptest::prop_assert!(pdu.len() + 20 <= packet.len());
            }
        }
    }
}
