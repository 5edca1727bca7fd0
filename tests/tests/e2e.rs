//! End-to-end tests in namespaces: real daemons, real packets, measured times.
//!
//! `cargo test -p ha-tests --test e2e [FILTER]`. A test whose requirements are missing on this machine
//! (root, keepalived, FRR, a built xvrrp) is listed as ignored and the reason is printed; `--ignored` and
//! `--include-ignored` do not make it run. Timing tests run one at a time.

#[path = "e2e/harness.rs"]
mod harness;
#[path = "e2e/interop.rs"]
mod interop;
#[path = "e2e/lab.rs"]
mod lab;
#[path = "e2e/two_node.rs"]
mod two_node;

fn main() -> std::process::ExitCode {
    if let Err(error) = lab::be_a_victim() {
        eprintln!("{error:#}");
        return std::process::ExitCode::FAILURE;
    }
    harness::main([lab::tests(), two_node::tests(), interop::tests()])
}
