//! What tests may leave behind on the host: network namespaces and daemons.

use std::{collections::BTreeSet, fs};

/// Where `ip netns` keeps names.
const NETNS: &str = "/run/netns";
/// Programs that only tests start here.
const DAEMONS: [&str; 5] = ["xvrrp", "keepalived", "vrrpd", "zebra", "tcpdump"];

/// A snapshot of named namespaces and of running daemons.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Leftovers(BTreeSet<String>);

impl Leftovers {
    /// Looks around.
    pub(super) fn now() -> Self {
        let spaces = names(NETNS).into_iter().map(|name| format!("namespace {name}"));
        let daemons = names("/proc").into_iter().filter_map(|pid| {
            pid.parse::<u32>().ok()?;
            let comm = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
            DAEMONS.contains(&comm.trim()).then(|| format!("process {pid} ({})", comm.trim()))
        });
        Self(spaces.chain(daemons).collect())
    }

    /// What is here and was not there before, as a list for people.
    pub(super) fn since(&self, before: &Self) -> Option<String> {
        let new: Vec<&str> = self.0.difference(&before.0).map(String::as_str).collect();
        (!new.is_empty()).then(|| new.join(", "))
    }
}

fn names(dir: &str) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_new_is_reported() {
        let set = |items: &[&str]| Leftovers(items.iter().map(|&item| item.to_owned()).collect());
        let before = set(&["namespace mine"]);
        assert_eq!(set(&["namespace mine"]).since(&before), None);
        assert_eq!(set(&[]).since(&before), None);
        let after = set(&["namespace mine", "namespace a", "process 7 (xvrrp)"]);
        assert_eq!(after.since(&before).as_deref(), Some("namespace a, process 7 (xvrrp)"));
    }
}
