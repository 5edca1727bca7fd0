//! End-to-end tests in namespaces: real daemons, real packets, measured times.
//!
//! `cargo test -p ha-tests --test e2e [FILTER]`. A test whose requirements are missing on this machine
//! (root, keepalived, FRR, a built xvrrp) is listed as ignored and the reason is printed; `--ignored` and
//! `--include-ignored` do not make it run. Timing tests run one at a time.

#[path = "e2e/addresses.rs"]
mod addresses;
#[path = "e2e/ah.rs"]
mod ah;
#[path = "e2e/attach.rs"]
mod attach;
#[path = "e2e/corpus.rs"]
mod corpus;
#[path = "e2e/degraded.rs"]
mod degraded;
#[path = "e2e/dropin.rs"]
mod dropin;
#[path = "e2e/events.rs"]
mod events;
#[path = "e2e/fast.rs"]
mod fast;
#[path = "e2e/field.rs"]
mod field;
#[path = "e2e/forwarding.rs"]
mod forwarding;
#[path = "e2e/groups.rs"]
mod groups;
#[path = "e2e/harness.rs"]
mod harness;
#[path = "e2e/hmac.rs"]
mod hmac;
#[path = "e2e/holds.rs"]
mod holds;
#[path = "e2e/hostile.rs"]
mod hostile;
#[path = "e2e/interfaces.rs"]
mod interfaces;
#[path = "e2e/interop.rs"]
mod interop;
#[path = "e2e/json.rs"]
mod json;
#[path = "e2e/lab.rs"]
mod lab;
#[path = "e2e/load.rs"]
mod load;
#[path = "e2e/metrics.rs"]
mod metrics;
#[path = "e2e/no_accept.rs"]
mod no_accept;
#[path = "e2e/notify.rs"]
mod notify;
#[path = "e2e/pair.rs"]
mod pair;
#[path = "e2e/punctual.rs"]
mod punctual;
#[path = "e2e/reload.rs"]
mod reload;
#[path = "e2e/routes.rs"]
mod routes;
#[path = "e2e/service_manager.rs"]
mod service_manager;
#[path = "e2e/services.rs"]
mod services;
#[path = "e2e/services_cli.rs"]
mod services_cli;
#[path = "e2e/tc.rs"]
mod tc;
#[path = "e2e/timers.rs"]
mod timers;
#[path = "e2e/track.rs"]
mod track;
#[path = "e2e/two_node.rs"]
mod two_node;
#[path = "e2e/verdict.rs"]
mod verdict;
#[path = "e2e/vmac.rs"]
mod vmac;

fn main() -> std::process::ExitCode {
    if let Err(error) = lab::be_a_victim() {
        eprintln!("{error:#}");
        return std::process::ExitCode::FAILURE;
    }
    harness::main([
        lab::tests(),
        two_node::tests(),
        addresses::tests(),
        degraded::tests(),
        dropin::tests(),
        events::tests(),
        field::tests(),
        forwarding::tests(),
        holds::tests(),
        hostile::tests(),
        interfaces::tests(),
        interop::tests(),
        metrics::tests(),
        no_accept::tests(),
        reload::tests(),
        routes::tests(),
        service_manager::tests(),
        services::tests(),
        services_cli::tests(),
        timers::tests(),
        track::tests(),
        json::tests(),
        verdict::tests(),
        vmac::tests(),
        fast::tests(),
        load::tests(),
        notify::tests(),
        groups::tests(),
        ah::tests(),
        hmac::tests(),
        attach::tests(),
        tc::tests(),
        corpus::tests(),
    ])
}
