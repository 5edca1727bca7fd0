//! What is legal and yet not what the operator wants: one file for each kind of analysis.
//!
//! `run` looks at a configuration alone and is part of every load. The others are for `xvrrp check`: they compare
//! it with this host ([`host`]), with the other router's file ([`peer`]) and with what is heard on the link
//! ([`wire`]). All of them are pure: what they need to know of the world is handed in.

pub(crate) mod alone;
pub mod host;
pub mod peer;
pub(crate) mod standby;
mod weights;
pub mod wire;

use super::diag::Diagnostics;
use super::model::Config;
use super::outline::Outline;

/// Everything that needs nothing but the configuration.
pub(super) fn run(config: &Config, outline: &Outline, diags: &mut Diagnostics) {
    alone::check(config, outline, diags);
    standby::check(config, outline, diags);
    for instance in config.instances.iter().filter(|instance| weights::count(config, instance)) {
        weights::check(instance, outline, diags);
    }
}

#[cfg(test)]
mod tests;
