//! Any line on the control socket: reading it does not panic, and a request survives a round trip.
#![cfg_attr(feature = "link", no_main)]

use ha_userspace::control::protocol::{Request, Response};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|line: &[u8]| {
    if let Ok(request) = serde_json::from_slice::<Request>(line) {
        let text = serde_json::to_vec(&request).expect("a request is JSON");
        assert_eq!(serde_json::from_slice::<Request>(&text).expect("and reads as one"), request);
    }
    let _ = serde_json::from_slice::<Response>(line);
});

#[cfg(not(feature = "link"))]
fn main() {}
