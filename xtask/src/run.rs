//! `cargo xtask run`: the failover demonstration, or the daemon on this host.

/// Arguments of `cargo xtask run`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Runs the demonstration.
///
/// # Errors
/// Always: it is not written yet.
pub(crate) fn main(_args: Args) -> anyhow::Result<()> {
    anyhow::bail!("`cargo xtask run` is not written yet")
}
