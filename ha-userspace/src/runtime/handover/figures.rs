//! What a planned restart leaves of its statistics: counters, and since when each virtual router is what it is.
//!
//! `figures` in the run directory, beside the roles and apart from them: nothing depends on it, and versions that know
//! other counters read it all the same.

use std::path::Path;

use ha_common::machine::State;
use ha_common::time::{Span, Time};
use ha_common::types::{Family, Vrid};
use serde::{Deserialize, Serialize};

use super::{number, read, replace};
use crate::control::protocol::InstanceStats;
use crate::net::clock;
use crate::net::place::Place;

/// Name of the file in the run directory.
const FILE: &str = "figures";
/// What is older is another story.
const LONGEST: Span = Span::from_secs(600);

/// The contents of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::runtime) struct Figures {
    place: Place,
    /// When it was written, `CLOCK_BOOTTIME`.
    left_ns: u64,
    routers: Vec<RouterFigures>,
}

/// Those of one virtual router.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::runtime) struct RouterFigures {
    interface: String,
    /// 4 or 6.
    family: u8,
    vrid: u8,
    /// Its state, in the word of logs.
    state: String,
    /// Since when, `CLOCK_BOOTTIME`.
    since_ns: u64,
    pub(in crate::runtime) stats: InstanceStats,
    pub(in crate::runtime) unsigned: u64,
}

impl RouterFigures {
    /// In this state since that time of `CLOCK_MONOTONIC`; the counters are still to be filled in.
    pub(in crate::runtime) fn new(
        interface: &str,
        family: Family,
        vrid: Vrid,
        (state, since): (State, Time),
    ) -> Self {
        let lasted = clock::now().span_since(since);
        Self {
            interface: interface.to_owned(),
            family: number(family),
            vrid: vrid.get(),
            state: state.word().to_owned(),
            since_ns: clock::boottime().0.saturating_sub(lasted.0),
            ..Self::default()
        }
    }

    /// The state that it was in, and since when by the clock of everything else.
    pub(in crate::runtime) fn state(&self) -> Option<(State, Time)> {
        let state = State::ALL.into_iter().find(|state| state.word() == self.state)?;
        let lasted = clock::boottime().span_since(Time(self.since_ns));
        Some((state, Time(clock::now().0.saturating_sub(lasted.0))))
    }
}

impl Figures {
    /// To be written now.
    pub(in crate::runtime) fn new(place: Place, routers: Vec<RouterFigures>) -> Self {
        Self { place, left_ns: clock::boottime().0, routers }
    }

    /// Writes the file; what cannot be written is lost.
    pub(in crate::runtime) fn write(&self, run_dir: &Path) {
        let written = serde_json::to_vec(self)
            .map_err(std::io::Error::from)
            .and_then(|text| replace(&run_dir.join(FILE), &text));
        if let Err(error) = written {
            tracing::warn!(
                "{}: {error}; the next run's statistics begin at zero",
                run_dir.join(FILE).display()
            );
        }
    }

    /// What the run before has left, if it was restarted a moment ago. The file is gone afterwards.
    pub(in crate::runtime) fn take(run_dir: &Path, place: &Place) -> Option<Self> {
        let path = run_dir.join(FILE);
        let text = read(&path);
        let _ = std::fs::remove_file(&path);
        let figures: Self = serde_json::from_str(&text.ok()?).ok()?;
        let now = clock::boottime();
        let fits = figures.place == *place && place.is_known() && figures.left_ns <= now.0;
        (fits && now.span_since(Time(figures.left_ns)) <= LONGEST).then_some(figures)
    }

    /// Those of a virtual router.
    pub(in crate::runtime) fn of(
        &self,
        interface: &str,
        family: Family,
        vrid: Vrid,
    ) -> Option<&RouterFigures> {
        let wanted = (interface, number(family), vrid.get());
        self.routers.iter().find(|of| (of.interface.as_str(), of.family, of.vrid) == wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_taken_once_and_only_here() {
        let dir = tempfile::tempdir().expect("a directory");
        let vrid = Vrid::new(25).expect("a VRID");
        let since = Time(clock::now().0.saturating_sub(5_000_000_000));
        let mut of = RouterFigures::new("ens160", Family::V4, vrid, (State::Master, since));
        of.stats.become_master = 3;
        let left = Figures::new(Place::here(), vec![of]);
        left.write(dir.path());
        let taken = Figures::take(dir.path(), &Place::here()).expect("believed");
        assert_eq!(taken, left);
        let of = taken.of("ens160", Family::V4, vrid).expect("there");
        assert_eq!(of.stats.become_master, 3);
        let (state, at) = of.state().expect("a state");
        assert_eq!(state, State::Master);
        let off = if at > since { at.span_since(since) } else { since.span_since(at) };
        assert!(off < Span::SECOND, "{off:?}");
        assert_eq!(taken.of("ens160", Family::V6, vrid), None);
        assert_eq!(Figures::take(dir.path(), &Place::here()), None);
        let elsewhere = Place { namespace: 1, ..Place::here() };
        left.write(dir.path());
        assert_eq!(Figures::take(dir.path(), &elsewhere), None);
        std::fs::write(dir.path().join(FILE), "{\"left_ns\": []}").expect("written");
        assert_eq!(Figures::take(dir.path(), &Place::here()), None);
    }
}
