//! Which interface a virtual address, a route or an advert belongs on.
//!
//! Pure: names only. Whoever wants an index asks [`Links`] for the name.

use crate::config::model::Instance;
use crate::net::monitor::Links;

/// The interface that an instance's addresses and routes are on where they name none.
pub(super) fn of_instance(config: &Instance) -> &str {
    &config.interface
}

/// Interfaces besides the instance's own that keep it in FAULT while they are down or not there, as sentences: those
/// of tracked addresses and routes, as keepalived has it.
pub(super) fn obstacles(config: &Instance, links: &Links) -> Vec<String> {
    let vips = config.vips.iter().chain(&config.excluded).filter(|vip| !vip.no_track);
    let hops = config.routes.iter().filter(|route| !route.no_track).flat_map(|route| &route.hops);
    let used = vips.map(|vip| &vip.device).chain(hops.map(|hop| &hop.device));
    let mut names: Vec<&str> = used.flatten().map(String::as_str).collect();
    names.sort_unstable();
    names.dedup();
    names.retain(|name| *name != config.interface);
    let obstacle = |name: &str| match links.by_name(name) {
        None => Some(format!("interface {name} does not exist")),
        Some(link) if !link.up => Some(format!("interface {name} is down")),
        Some(_) => None,
    };
    names.into_iter().filter_map(obstacle).collect()
}
