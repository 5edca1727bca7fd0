//! Any text as a configuration: loading neither panics nor hangs, says the same twice, and what it says can
//! be shown.
#![cfg_attr(feature = "link", no_main)]

use ha_userspace::config::{LoadOptions, load_str};
use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(|text: &[u8]| -> Corpus {
    // The language reads other files, and the fuzzer would soon learn to name some.
    if text.windows(7).any(|word| word.eq_ignore_ascii_case(b"include")) {
        return Corpus::Reject;
    }
    let options =
        LoadOptions { config_id: "fuzz".into(), random_seed: 1, script_check: None, interface_check: None };
    let first = load_str("keepalived.conf", text, &options);
    let second = load_str("keepalived.conf", text, &options);
    assert_eq!(first.diagnostics.render(false), second.diagnostics.render(false));
    assert_eq!(first.fatal, second.fatal);
    if first.fatal {
        assert!(first.config.instances.is_empty());
    }
    Corpus::Keep
});

#[cfg(not(feature = "link"))]
fn main() {}
