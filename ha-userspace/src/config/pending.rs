//! What is understood and carried in the model, but what nothing in this build acts on.
//!
//! The only list of its kind: whoever makes something work takes its line out. A use of anything in it is reported
//! with its place, by `xvrrp check` and at every load, so that nothing is silently ignored.

use super::codes;
use super::diag::{Diagnostic, Diagnostics, Severity};
use super::keywords::Context;
use super::lexer::Word;
use super::tree::Statement;

/// Keywords, with their block and what it means that they do nothing.
pub const KEYWORDS: &[(Context, &[&str], &str)] = &[
    (Context::Top, &["static_ipaddress", "static_routes", "static_rules"], "nothing is added"),
    (Context::Top, &["track_group"], "a missing static address, route or rule changes nothing"),
    (Context::Top, &["interface_up_down_delays"], "a change of an interface counts at once"),
    (Context::Top, &["garp_group"], "messages follow each other without a pause"),
    (Context::Top, &["net_namespace"], "start the daemon in the namespace instead"),
    (
        Context::Top,
        &["bfd_instance", "track_file", "vrrp_check", "vrrp_track_file", "vrrp_track_process"],
        "not tracked: a failure changes nothing",
    ),
    (
        Context::Instance,
        &["track_bfd", "track_check", "track_file", "track_process", "track_src_ip"],
        "not tracked: a failure changes nothing",
    ),
    (
        Context::Instance,
        &["use_ipvlan", "use_vmac", "use_vmac_addr", "vmac_xmit_base"],
        "the interface's own MAC address is used; hosts learn it from gratuitous ARP",
    ),
    (Context::Instance, &["virtual_routes", "virtual_rules"], "nothing is added or removed"),
    (Context::Instance, &["no_accept"], "packets to the virtual addresses are accepted"),
    (Context::Instance, &["vrf"], "the interface decides the VRF"),
    (Context::Instance, &["promote_secondaries"], "addresses that the kernel drops are put back"),
    (Context::Instance, &["garp_extra_if"], "nothing is sent on other interfaces"),
    (Context::Global, &["vrrp_garp_extra_if"], "nothing is sent on other interfaces"),
    (Context::Global, &["metrics"], "no metrics are served"),
    (
        Context::Global,
        &["reload_file", "reload_repeat", "reload_time_file"],
        "reloads happen only when asked for",
    ),
    (Context::Global, &["vrrp_cpu_affinity"], "all processors are used"),
    (Context::Global, &["vrrp_rt_priority", "vrrp_priority"], "the daemon's own choice is used"),
    (Context::Global, &["umask"], "files are made readable for root only"),
];

/// Options of an address line, with the same, and whether others on the network see the difference.
pub const OPTIONS: &[(&str, &str, Severity)] = &[
    ("autojoin", "the address is added without it", Severity::Note),
    ("home", "the address is added without it", Severity::Note),
    ("mngtmpaddr", "the address is added without it", Severity::Note),
    ("no_track", "the address is put back when somebody removes it", Severity::Note),
    ("peer", "the address is added without a peer", Severity::Warning),
    ("use_vmac", "the interface's own MAC address is used", Severity::Warning),
];

/// Say so where a keyword does nothing in this build.
pub(super) fn keyword(context: Context, stmt: &Statement, diags: &mut Diagnostics) {
    let word = stmt.keyword();
    let mut uses = KEYWORDS.iter().filter(|(of, ..)| *of == context);
    if let Some((_, _, cause)) = uses.find(|(_, words, _)| words.iter().any(|text| word.is(text))) {
        report(Severity::Warning, word, stmt.span(), cause, diags);
    }
}

/// Say so where an option of an address does nothing in this build.
pub(super) fn option(word: &Word, diags: &mut Diagnostics) {
    if let Some((_, cause, severity)) = OPTIONS.iter().find(|(text, ..)| word.is(text)) {
        report(*severity, word, word.span, cause, diags);
    }
}

fn report(severity: Severity, word: &Word, span: super::source::Span, cause: &str, diags: &mut Diagnostics) {
    let message = format!("`{}` is understood, but this build does not do it", word.text());
    diags.push(Diagnostic::new(severity, codes::NOT_IMPLEMENTED, span, message).cause(cause));
}
