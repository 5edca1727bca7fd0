//! What a gap may be. The guest's clock counts instructions, so that figures repeat; the bounds are generous all the
//! same, because they ask whether a mechanism works and not how fast a processor is.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::outage::Outage;

/// A takeover by probes: a few milliseconds on any kernel.
pub(super) const BY_PROBE: Duration = Duration::from_millis(100);
/// A frozen daemon's lease has to run out first.
pub(super) const BY_LEASE: Duration = Duration::from_millis(300);
/// A planned change: nothing that a client would notice.
pub(super) const PLANNED: Duration = Duration::from_millis(50);
/// By the RFC's timers: three intervals and the skew time.
pub(super) const BY_TIMER: Duration = Duration::from_millis(5_000);

/// Two answer while an advert is under way, at a preemption; a census asks every 20 ms.
const TWO: Duration = Duration::from_millis(100);
/// Where two masters have to hear of each other first: the interval of the adverts, and what makes them late.
const TWO_UNHEARD: Duration = Duration::from_millis(1_200);

/// The outage's text if the gap is not longer than `bound`, exactly `who` answers afterwards, and two never did for
/// longer than a planned change takes.
pub(super) fn judged(outage: &Outage, bound: Duration, who: &str) -> Result<String> {
    judged_two(outage, bound, who, TWO)
}

/// The same where two were masters behind a cut network, or one without a fence.
pub(super) fn judged_after_two(outage: &Outage, bound: Duration, who: &str) -> Result<String> {
    judged_two(outage, bound, who, TWO_UNHEARD)
}

fn judged_two(outage: &Outage, bound: Duration, who: &str, two: Duration) -> Result<String> {
    let text = outage.text();
    ensure!(outage.answers == [who], "{text}; {who} alone should answer");
    ensure!(outage.longest <= bound, "{text}; at most {} ms were expected", bound.as_millis());
    ensure!(outage.two <= two, "{text}; at most {} ms were expected", two.as_millis());
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outage(ms: u64, answers: &[&str]) -> Outage {
        let answers = answers.iter().map(|&name| name.to_owned()).collect();
        let (longest, none) = (Duration::from_millis(ms), Duration::ZERO);
        Outage { longest, lost: 1, sent: 9, answers, two: none, stood: none }
    }

    #[test]
    fn gap_and_answers_both_count() {
        assert!(judged(&outage(5, &["r2"]), BY_PROBE, "r2").is_ok());
        assert!(judged(&outage(101, &["r2"]), BY_PROBE, "r2").is_err());
        assert!(judged(&outage(5, &["r1", "r2"]), BY_PROBE, "r2").is_err());
        assert!(judged(&outage(5, &[]), BY_PROBE, "r2").is_err());
        let two = Outage { two: Duration::from_millis(120), ..outage(5, &["r2"]) };
        assert!(judged(&two, BY_PROBE, "r2").is_err());
        assert!(judged_after_two(&two, BY_PROBE, "r2").is_ok());
    }
}
