//! Host death with 255 virtual routers: when the first address and the last one are answered again.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use ha_tests::lab::{Lab, Moment, wait_for};

use super::footprint;
use super::peer::{Peer, vips};
use super::progress::Progress;
use super::results::Results;
use super::stage::topology;

/// Key of the results.
pub(super) const NAME: &str = "many";

/// What is measured.
pub(super) const METRICS: [&str; 6] = [
    "first answered ms",
    "last answered ms",
    "first to last answered ms",
    "last address there ms",
    "last announced ms",
    "asked again after ms",
];

const COUNT: u8 = 255;
/// Between two rounds in which the client asks all that have not answered.
const PAUSE: Duration = Duration::from_micros(250);
const PATIENCE: Duration = Duration::from_secs(20);
/// Until daemons that are both up know each other.
const SETTLE: Duration = Duration::from_secs(3);

pub(super) fn run(results: &mut Results, runs: usize, progress: &mut Progress) {
    for run in 1..=runs {
        for peer in results.peers.clone() {
            match measure(peer, results.learn) {
                Ok(values) => {
                    let text: Vec<_> =
                        values.iter().map(|(metric, value)| format!("{metric} {value:.1}")).collect();
                    progress.line(&format!("{run}/{runs}"), peer.name(), "255 addresses", &text.join(", "));
                    for (metric, value) in values {
                        results.add(NAME, peer, metric, value);
                    }
                }
                Err(error) => results.fail(NAME, peer, &error, progress),
            }
        }
    }
}

fn measure(peer: Peer, learn: Duration) -> Result<Vec<(&'static str, f64)>> {
    let lab = Lab::new(topology())?;
    let (wire, addresses) = (lab.switch().watch_sent()?, lab.watch_addresses()?);
    let _routers = footprint::start(&lab, peer, COUNT, SETTLE.max(peer.learning(learn)))?;
    let targets: Vec<IpAddr> = vips(COUNT).into_iter().map(IpAddr::from).collect();
    let client = lab.host("client")?;
    // The client learns where they are.
    let known = client.sweep(targets.clone(), PAUSE, PATIENCE)?.finish();
    anyhow::ensure!(known.answered.iter().all(Option::is_some), "not all addresses are answered by r1");

    let died = Moment::now();
    lab.switch().silence("r1")?;
    let swept = client.sweep(targets.clone(), PAUSE, PATIENCE)?.finish();
    let answered = in_order(swept.answered).context("not all addresses are answered by r2 within 20 s")?;
    let (first, last) = (answered[0], answered[answered.len() - 1]);
    let figures = [first.ms_after(died), last.ms_after(died), last.ms_after(first)];
    let mut values: Vec<_> = METRICS.into_iter().zip(figures).collect();
    // A hot standby has them all the time.
    let there = || {
        let added = |target: &IpAddr| addresses.taken(&wire, "r2", *target, died);
        in_order(targets.iter().map(added).collect())
    };
    let there = if peer == Peer::XvrrpHot { None } else { wait_for(Duration::from_secs(2), there) };
    values.extend(there.and_then(|there| Some((METRICS[3], there.last()?.ms_after(died)))));
    let announced = wait_for(Duration::from_secs(2), || {
        in_order(targets.iter().map(|target| wire.first_announcement("r2", *target, died)).collect())
    });
    // 255 routers at 10 ms are more than the witness keeps; then it does not know the first.
    let whole = wire.first_since(Moment::from_boot(), |_| true).is_some_and(|oldest| oldest.at < died);
    let announced = announced.filter(|_| whole);
    values.extend(announced.and_then(|announced| Some((METRICS[4], announced.last()?.ms_after(died)))));
    values.push((METRICS[5], swept.resolution.as_secs_f64() * 1e3));
    Ok(values)
}

/// All moments, sorted; `None` if one is missing or there are none.
fn in_order(moments: Vec<Option<Moment>>) -> Option<Vec<Moment>> {
    let mut moments = moments.into_iter().collect::<Option<Vec<_>>>()?;
    moments.sort_unstable();
    (!moments.is_empty()).then_some(moments)
}
