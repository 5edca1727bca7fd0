//! What is booted: the list of docs/kernels.md, or what was asked for.

use super::name::{Arch, Kernel, Wanted};
use super::qemu::Card;
use crate::dist::Target;

/// A guest to be booted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    /// Its kernel.
    pub(crate) wanted: Wanted,
    /// The routers' cards; none for veth.
    pub(crate) card: Option<Card>,
    /// A second virtual machine, in which r2 and the client are.
    pub(crate) second: Option<Second>,
}

/// The second of two virtual machines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Second {
    /// Its kernel.
    pub(crate) wanted: Wanted,
    /// The router of the first machine runs without XDP.
    pub(crate) raw: bool,
}

/// All that docs/kernels.md has.
const WITH_VETH: [&str; 15] = [
    "5.10",
    "6.1",
    "6.1-rt",
    "6.12",
    "6.12-generic",
    "6.12-rt",
    "6.16",
    "6.17",
    "6.18",
    "7.2",
    "newest",
    "newest-generic",
    "newest-rt",
    "6.12-arm64",
    "newest-arm64",
];
const WITH_CARDS: [&str; 2] = ["6.12-generic", "newest-generic"];
const CARDS: [Card; 4] = [Card::Virtio, Card::Igb, Card::Vmxnet3, Card::E1000e];

/// Kernels of r1 and of r2, and whether r1 runs without XDP.
const PAIRS: [(&str, &str, bool); 2] = [("6.12", "newest", false), ("5.10", "newest", true)];

/// Two virtual machines.
pub(crate) fn pair(first: Wanted, second: Wanted, raw: bool) -> Job {
    Job { wanted: first, card: None, second: Some(Second { wanted: second, raw }) }
}

/// The guests for `names`, or all.
pub(crate) fn jobs(names: &[Wanted], card: Option<Card>) -> Vec<Job> {
    let job = |wanted: Wanted| Job {
        wanted: if card.is_some() { wanted.with_cards() } else { wanted },
        card,
        second: None,
    };
    if !names.is_empty() {
        return names.iter().cloned().map(job).collect();
    }
    let known = |name: &&str| name.parse::<Wanted>().ok();
    if card.is_some() {
        return WITH_CARDS.iter().filter_map(known).map(job).collect();
    }
    let mut jobs: Vec<_> = WITH_VETH.iter().filter_map(known).map(job).collect();
    for wanted in WITH_CARDS.iter().filter_map(known) {
        jobs.extend(CARDS.map(|card| Job { wanted: wanted.clone(), card: Some(card), second: None }));
    }
    for (first, second, raw) in PAIRS {
        jobs.extend(known(&first).zip(known(&second)).map(|(first, second)| pair(first, second, raw)));
    }
    jobs
}

/// Where a row of this name stands among all; those that are in no list come last.
pub(crate) fn place(name: &str) -> usize {
    let all = jobs(&[], None);
    all.iter().position(|job| job.name() == name).unwrap_or(all.len())
}

impl Job {
    /// The row's name: kernel and card.
    pub(crate) fn name(&self) -> String {
        match (&self.second, self.card) {
            (Some(Second { wanted, raw: false }), _) => format!("{} + {wanted}", self.wanted),
            (Some(Second { wanted, raw: true }), _) => format!("{} without XDP + {wanted}", self.wanted),
            (None, None) => self.wanted.to_string(),
            (None, Some(card)) => format!("{} {}", self.wanted, card.name()),
        }
    }

    /// Kernels of its machines.
    pub(crate) fn machines(&self) -> impl Iterator<Item = &Wanted> {
        std::iter::once(&self.wanted).chain(self.second.as_ref().map(|second| &second.wanted))
    }

    /// What its machines' programs are built for.
    pub(crate) fn targets(&self) -> Vec<Target> {
        self.machines().map(Wanted::target).collect()
    }

    /// XDP modes that are right, in the daemon's words.
    pub(crate) fn modes(&self) -> &'static [&'static str] {
        match self.card {
            // XDP_TX of veth needs a peer that runs XDP as well, so the daemon takes generic mode there.
            None => &["generic"],
            Some(Card::Virtio | Card::Igb) => &["native"],
            // Native from some kernel after 6.1.
            Some(Card::Vmxnet3) => &["native", "generic"],
            Some(Card::E1000e) => &["generic"],
        }
    }
}

/// Every kernel of which there is an image, the oldest first.
pub(crate) fn everything(packages: &[String]) -> Vec<Kernel> {
    let mut all = Vec::new();
    for arch in [Arch::Amd64, Arch::Arm64] {
        let mut kernels = Kernel::all(packages, arch);
        kernels.reverse();
        all.extend(kernels);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_list_can_be_asked_for() {
        let all = jobs(&[], None);
        assert_eq!(all.len(), WITH_VETH.len() + WITH_CARDS.len() * CARDS.len() + PAIRS.len());
        let mut names: Vec<_> = all.iter().map(Job::name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all.len());
    }

    #[test]
    fn cards_need_a_kernel_with_drivers() {
        let jobs = jobs(&["6.1".parse().unwrap()], Some(Card::Igb));
        assert_eq!(jobs[0].name(), "6.1-generic igb");
        assert_eq!(jobs[0].modes(), ["native"]);
    }
}
