//! `interface_up_down_delays`: an interface that bounces counts as it did before, for a while.
//!
//! Pure: asked at a time, it answers what counts.

use std::collections::HashMap;

use ha_common::time::Time;

use crate::config::model::InterfaceDelay;
use crate::net::monitor::Links;

/// What counts for the interfaces that have delays.
#[derive(Debug, Default)]
pub(super) struct Delays {
    rules: Vec<InterfaceDelay>,
    counted: HashMap<String, Counted>,
}

#[derive(Clone, Copy, Debug)]
struct Counted {
    up: bool,
    /// When the other state counts, if it lasts.
    changes_at: Option<Time>,
}

impl Delays {
    /// Takes the rules of a configuration.
    pub(super) fn configure(&mut self, rules: &[InterfaceDelay]) {
        self.rules = rules.to_vec();
        self.counted.retain(|name, _| rules.iter().any(|rule| rule.interface == *name));
    }

    /// The links as they count now; `None` where they are as they are.
    pub(super) fn view(&mut self, links: &Links, now: Time) -> Option<Links> {
        if self.rules.is_empty() {
            return None;
        }
        let mut view = links.clone();
        for rule in &self.rules {
            let Some(link) = links.by_name(&rule.interface) else {
                self.counted.remove(&rule.interface);
                continue;
            };
            let counted = self
                .counted
                .entry(rule.interface.clone())
                .or_insert(Counted { up: link.up, changes_at: None });
            if counted.up == link.up {
                counted.changes_at = None;
            } else {
                let delay = if link.up { rule.up } else { rule.down };
                let at = *counted.changes_at.get_or_insert(now.after(delay.into()));
                if at <= now {
                    *counted = Counted { up: link.up, changes_at: None };
                }
            }
            view.set_up(link.index, counted.up);
        }
        Some(view)
    }

    /// When something counts that does not yet.
    pub(super) fn next(&self) -> Option<Time> {
        self.counted.values().filter_map(|counted| counted.changes_at).min()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::model::Place;
    use crate::net::monitor::Link;

    fn links(up: bool) -> Links {
        let mut links = Links::default();
        links.learn(Link {
            index: 3,
            name: "eth0".to_owned(),
            kind: String::new(),
            up,
            mac: None,
            mtu: 1500,
            table: None,
            alias: String::new(),
            lower: None,
            controller: None,
            v4: Vec::new(),
            v6: Vec::new(),
        });
        links
    }

    fn at(ms: u64) -> Time {
        Time(ms * 1_000_000)
    }

    #[test]
    fn a_change_counts_once_it_has_lasted() {
        let mut delays = Delays::default();
        assert!(delays.view(&links(true), at(0)).is_none(), "no rules");
        delays.configure(&[InterfaceDelay {
            interface: "eth0".to_owned(),
            down: Duration::from_millis(100),
            up: Duration::from_millis(50),
            place: Place::default(),
        }]);
        let mut up = |real: bool, ms: u64| {
            let view = delays.view(&links(real), at(ms)).expect("a rule");
            (view.get(3).expect("there").up, delays.next())
        };
        assert_eq!(up(true, 0), (true, None));
        assert_eq!(up(false, 10), (true, Some(at(110))));
        assert_eq!(up(true, 60), (true, None), "a bounce");
        assert_eq!(up(false, 70), (true, Some(at(170))));
        assert_eq!(up(false, 169), (true, Some(at(170))));
        assert_eq!(up(false, 170), (false, None));
        assert_eq!(up(true, 200), (false, Some(at(250))));
        assert_eq!(up(true, 250), (true, None));
    }
}
