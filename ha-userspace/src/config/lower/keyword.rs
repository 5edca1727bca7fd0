//! What to do with a statement before its parameters are looked at.

use super::value;
use crate::config::codes;
use crate::config::diag::{Diagnostic, Diagnostics};
use crate::config::keywords::{self, Context, Status};
use crate::config::tree::Statement;

/// What to do with a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Read its parameters.
    Lower,
    /// It was reported; go on with the next.
    Skip,
}

/// Look the keyword up and report what is not implemented, misplaced or unknown.
pub(super) fn check(context: Context, stmt: &Statement, diags: &mut Diagnostics) -> Action {
    let keyword = stmt.keyword();
    let text = keyword.text();
    match keywords::status(context, &keyword.bytes) {
        Some(Status::Implemented) => return Action::Lower,
        Some(Status::NotYet) => {
            let message = format!("`{text}` is not implemented yet");
            diags.push(
                Diagnostic::warning(codes::NOT_IMPLEMENTED, stmt.span(), message).cause(consequence(&text)),
            );
            inner(stmt, diags);
        }
        Some(Status::NoEffect(why)) => {
            let message = format!("`{text}` has no effect");
            diags.push(Diagnostic::note(codes::NOT_NEEDED, stmt.span(), message).cause(why));
        }
        Some(Status::Lvs) => diags.push(
            Diagnostic::warning(codes::LVS, stmt.span(), format!("`{text}` is load balancing (LVS)"))
                .cause("out of scope; this block is skipped, the rest of the file works")
                .help("leave it to keepalived --check, or to ipvsadm"),
        ),
        None => unknown(context, stmt, diags),
    }
    Action::Skip
}

fn unknown(context: Context, stmt: &Statement, diags: &mut Diagnostics) {
    let keyword = stmt.keyword();
    let text = keyword.text();
    let shown: String = text.chars().take(60).collect();
    let what = if stmt.block.is_some() { "the block is skipped" } else { "the line is ignored" };
    let homes = keywords::homes(&keyword.bytes);
    if !homes.is_empty() {
        let names: Vec<_> = homes.iter().map(|home| home.name()).collect();
        let message = format!("`{shown}` does not belong in {}", context.name());
        let near = if diags.is_full() { None } else { keywords::nearest(context, &text) };
        let help = if let Some(near) = near {
            format!("did you mean `{near}`?")
        } else if homes.contains(&Context::Top) {
            "a `}` is missing above this line, or one is left over".to_owned()
        } else {
            format!("move it into {}", names.join(" or "))
        };
        diags.push(
            Diagnostic::warning(codes::MISPLACED_KEYWORD, keyword.span, message).cause(what).help(help),
        );
        return;
    }
    let near = if diags.is_full() { None } else { keywords::nearest(context, &text) };
    let help = near.map(|near| format!("did you mean `{near}`?"));
    let message = format!("unknown keyword `{shown}`");
    diags.push(
        Diagnostic::warning(codes::UNKNOWN_KEYWORD, keyword.span, message).cause(what).maybe_help(help),
    );
}

/// The words inside a block that is not implemented: only misspelt ones are worth a line.
fn inner(stmt: &Statement, diags: &mut Diagnostics) {
    let context = match &*stmt.keyword().bytes {
        b"vrrp_sync_group" => Context::SyncGroup,
        b"vrrp_track_process" => Context::TrackProcess,
        b"bfd_instance" => Context::Bfd,
        b"garp_group" => Context::GarpGroup,
        b"vrrp_track_file" => Context::TrackFile,
        _ => return,
    };
    let Some(statements) = value::block(stmt, diags) else { return };
    for stmt in statements {
        if keywords::status(context, &stmt.keyword().bytes).is_none() {
            unknown(context, stmt, diags);
        }
    }
}

/// What it means for the network that a keyword is not implemented.
fn consequence(keyword: &str) -> &'static str {
    match keyword {
        "vrrp_sync_group" => "its instances fail over one by one, not together",
        "notify"
        | "notify_master"
        | "notify_backup"
        | "notify_fault"
        | "notify_stop"
        | "notify_deleted"
        | "notify_master_rx_lower_pri" => "the script is not run",
        "use_vmac" | "use_vmac_addr" | "vmac_xmit_base" | "use_ipvlan" => {
            "the interface's own MAC address is used; hosts learn it from gratuitous ARP"
        }
        "virtual_routes" | "virtual_rules" | "static_routes" | "static_rules" | "static_ipaddress" => {
            "nothing is added or removed"
        }
        "track_file" | "track_process" | "track_bfd" | "vrrp_track_process" | "vrrp_track_file"
        | "bfd_instance" | "track_src_ip" => "not tracked: a failure changes nothing",
        "no_accept" => "packets to the virtual addresses are accepted",
        "notify_fifo" | "vrrp_notify_fifo" => "nothing is written",
        "net_namespace" => "start the daemon in the namespace instead",
        _ => "it is ignored",
    }
}
