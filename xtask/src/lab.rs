//! `cargo xtask lab`: the two-router lab by hand.

/// Arguments of `cargo xtask lab`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Builds, enters or removes the lab.
///
/// # Errors
/// Always: it is not written yet.
pub(crate) fn main(_args: Args) -> anyhow::Result<()> {
    anyhow::bail!("`cargo xtask lab` is not written yet")
}
