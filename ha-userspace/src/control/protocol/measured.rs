//! Figures that only metrics show: no part of what travels over the control socket.

/// How often something took how long.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// Upper bounds in seconds, ascending, each with how many took longer than the bound before and no longer than it.
    pub buckets: Vec<(f64, u64)>,
    /// How many took longer than the last bound.
    pub beyond: u64,
    /// All together, in seconds.
    pub sum_s: f64,
}

/// Of one virtual router.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InstanceMeasured {
    /// How many of its addresses, the last ones, are of `virtual_ipaddress_excluded`.
    pub excluded: usize,
    /// `garp_master_delay` in seconds.
    pub garp_delay_s: f64,
    /// `fast_window` in seconds.
    pub window_s: f64,
    /// Changes of its state since the daemon started.
    pub transitions: Vec<TransitionCount>,
}

/// How often a state followed another one for one reason. There are as many as there are kinds, at most.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransitionCount {
    /// As [`super::InstanceStatus::state`].
    pub from: &'static str,
    /// The same.
    pub to: &'static str,
    /// Why, in a fixed word.
    pub reason: &'static str,
    /// How often.
    pub count: u64,
}
