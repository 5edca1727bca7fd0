//! Any 80 bytes as a liveness probe or a reply: nothing panics, and what is taken apart can be put together again.
#![cfg_attr(feature = "link", no_main)]

use ha_common::probe::{Body, LEN, Probe, Reply};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: [u8; LEN]| {
    let body = Body::from(bytes);
    let (probe, reply) = (Probe::parse(&body), Reply::parse(&body));
    assert!(probe.is_none() || reply.is_none(), "{probe:?} {reply:?}");
    if let Some(probe) = probe {
        assert!(probe.sequence != 0 && probe.prober != 0, "{probe:?}");
    }
});

#[cfg(not(feature = "link"))]
fn main() {}
