//! What a ping stream says about an outage. Pure: it only looks at send and receive times.

use std::time::Duration;

use super::Moment;

/// One echo request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echo {
    /// When it was handed to the kernel.
    pub sent: Moment,
    /// When its answer came back.
    pub answered: Option<Moment>,
}

/// All echo requests of a stream, oldest first.
#[derive(Clone, Debug)]
pub struct PingReport {
    echoes: Vec<Echo>,
}

/// An unbroken run of echo requests without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// When the first of them was sent.
    pub start: Moment,
    /// When the next answered one got its answer; `None` if there was none until the end.
    pub end: Option<Moment>,
    /// How many.
    pub lost: usize,
}

/// An answer that comes later than this says nothing about the moment when its request was sent: the
/// request waited in a queue for an address to be resolved.
const LATE: Duration = Duration::from_millis(100);

impl PingReport {
    pub(super) fn new(echoes: Vec<Echo>) -> Self {
        Self { echoes }
    }

    /// All packets.
    #[must_use]
    pub fn echoes(&self) -> &[Echo] {
        &self.echoes
    }

    /// How many were sent.
    #[must_use]
    pub fn sent(&self) -> usize {
        self.echoes.len()
    }

    /// How many were not answered within 100 ms.
    #[must_use]
    pub fn lost(&self) -> usize {
        self.echoes.iter().filter(|echo| !echo.in_time()).count()
    }

    /// How many of those sent from `from` on and before `to` were not answered within 100 ms.
    #[must_use]
    pub fn lost_between(&self, from: Moment, to: Moment) -> usize {
        self.echoes.iter().filter(|e| e.sent >= from && e.sent < to && !e.in_time()).count()
    }

    /// When the first answer to a packet sent at or after `from` came back.
    #[must_use]
    pub fn first_answer(&self, from: Moment) -> Option<Moment> {
        self.echoes.iter().filter(|echo| echo.sent >= from).filter_map(|echo| echo.answered).min()
    }

    /// All gaps, oldest first.
    #[must_use]
    pub fn gaps(&self) -> Vec<Gap> {
        let mut gaps: Vec<Gap> = Vec::new();
        let mut open: Option<Gap> = None;
        for echo in &self.echoes {
            if echo.in_time() {
                gaps.extend(open.take().map(|gap| Gap { end: echo.answered, ..gap }));
            } else {
                open.get_or_insert(Gap { start: echo.sent, end: None, lost: 0 }).lost += 1;
            }
        }
        gaps.extend(open);
        gaps
    }

    /// The longest time between two packets of the stream itself: how far the machine held it up.
    #[must_use]
    pub fn longest_stall(&self) -> Duration {
        self.echoes.windows(2).map(|pair| pair[1].sent.since(pair[0].sent)).max().unwrap_or_default()
    }

    /// Round trip at `percent` of the packets answered within 100 ms, such as 50 or 99.
    #[must_use]
    pub fn round_trip(&self, percent: usize) -> Option<Duration> {
        let mut times: Vec<_> = self
            .echoes
            .iter()
            .filter(|e| e.in_time())
            .filter_map(|e| Some(e.answered?.since(e.sent)))
            .collect();
        times.sort_unstable();
        let last = times.len().checked_sub(1)?;
        times.get(last * percent.min(100) / 100).copied()
    }
}

impl Echo {
    fn in_time(&self) -> bool {
        self.answered.is_some_and(|at| at.since(self.sent) <= LATE)
    }
}

impl Gap {
    /// From the first lost packet to the next answer.
    #[must_use]
    pub fn length(&self) -> Option<Duration> {
        Some(self.end?.since(self.start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(answers: &[Option<u64>]) -> PingReport {
        let origin = Moment::now();
        let ms = |n| origin.plus(Duration::from_millis(n));
        let sent = |n: usize| ms(n as u64);
        let echoes = answers.iter().enumerate();
        PingReport::new(echoes.map(|(n, at)| Echo { sent: sent(n), answered: at.map(ms) }).collect())
    }

    #[test]
    fn a_gap_lasts_from_the_first_lost_packet_to_the_next_answer() {
        let report = stream(&[Some(0), None, None, Some(4), Some(4), None]);
        let gaps = report.gaps();
        assert_eq!(gaps.len(), 2);
        assert_eq!((gaps[0].lost, gaps[0].length()), (2, Some(Duration::from_millis(3))));
        assert_eq!((gaps[1].lost, gaps[1].length()), (1, None));
        assert_eq!(report.lost(), 3);
    }

    #[test]
    fn an_answer_after_more_than_100_ms_counts_as_lost() {
        let report = stream(&[Some(100), Some(102)]);
        assert_eq!((report.lost(), report.gaps().len()), (1, 1));
    }
}
