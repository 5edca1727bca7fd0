//! Any datagrams on the BFD port: reading them neither panics nor reads beyond their end, what is accepted is written
//! as it was, and whatever a neighbour says, a session goes on and does not babble.
#![cfg_attr(feature = "link", no_main)]

use core::num::NonZeroU32;

use ha_common::bfd::{Packet, Session, Settings};
use ha_common::time::{Span, Time};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|datagrams: Vec<(u8, &[u8])>| {
    let settings = Settings {
        desired_min_tx: Span::from_millis(10),
        required_min_rx: Span::from_millis(10),
        idle_tx: Span::SECOND,
        multiplier: 3,
        passive: false,
    };
    let mine = NonZeroU32::MIN;
    let mut now = Time(1_000_000_000);
    let start = now;
    let mut session = Session::new(settings, mine, now);
    let mut sent = 0_u64;
    for (gap, datagram) in datagrams {
        now = now.after(Span::from_millis(u64::from(gap)));
        if let Ok(packet) = Packet::parse(datagram) {
            assert_eq!(Packet::parse(&packet.emit()), Ok(packet));
            session.receive(&packet, now);
        }
        session.handle_timeout(now);
        while session.poll_transmit(now, gap).is_some() {
            sent += 1;
            assert!(sent <= now.span_since(start).0 / 1_000_000 + 2, "{sent} packets");
        }
        assert!(session.next_deadline() > now);
    }
});

#[cfg(not(feature = "link"))]
fn main() {}
