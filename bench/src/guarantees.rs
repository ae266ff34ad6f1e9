//! Part f: `exactly_once` against `at_least_once`, saturated, the same events out of the same kind of spool.
//!
//! Responsible for the rate at which a reader of committed records sees audit records, from the first that are visible
//! to the last: the start of a producer is not part of it. Refuses a run after which such a reader does not find each
//! event and its audit record. Both guarantees keep records on disk, since transactions demand it; with exactly once,
//! a transaction holds up to 10,000 records while as many wait for the next, which are the defaults.

use std::time::Duration;

use anyhow::ensure;
use support::Broker;

use crate::adapter::{Adapter, Envelope, Guarantee, Setup};
use crate::drain::Keep;
use crate::feed::Feed;
use crate::frames::Ring;
use crate::producer::Produced;
use crate::records;
use crate::report::{Report, Row, Target, Unit};
use crate::spread::float;

/// Longest run.
const DEADLINE: Duration = Duration::from_secs(180);

/// Size of the part.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Events of a run.
    pub(crate) events: u64,
    /// Repetitions.
    pub(crate) repetitions: usize,
}

/// Runs the part.
pub(crate) fn run(broker: &Broker, ring: &Ring, size: Size, report: &mut Report) -> anyhow::Result<()> {
    let servers = broker.bootstrap_servers();
    // not counted: warms the broker up
    saturate(servers, ring, size.events / 4, Guarantee::ExactlyOnce)?;
    let (mut least, mut exactly) = (Vec::new(), Vec::new());
    for repetition in 0..size.repetitions {
        eprintln!("f: repetition {} of {}", repetition + 1, size.repetitions);
        let of = |guarantee| saturate(servers, ring, size.events, guarantee);
        if repetition % 2 == 0 {
            least.push(of(Guarantee::AtLeastOnce)?);
            exactly.push(of(Guarantee::ExactlyOnce)?);
        } else {
            exactly.push(of(Guarantee::ExactlyOnce)?);
            least.push(of(Guarantee::AtLeastOnce)?);
        }
    }
    let rates = |runs: &[Produced]| runs.iter().map(|run| run.pairs_per_second).collect::<Vec<_>>();
    let cpu = |runs: &[Produced]| runs.iter().filter_map(|run| run.cpu_us).collect::<Vec<_>>();
    let ratios =
        |top: &[f64], bottom: &[f64]| top.iter().zip(bottom).map(|(top, bottom)| top / bottom).collect();
    report.rows.extend([
        Row::new(
            "f",
            "at_least_once, event + audit, spool on disk",
            Unit::PerSecond,
            rates(&least),
        ),
        Row::new(
            "f",
            "exactly_once, visible to read_committed, spool on disk",
            Unit::PerSecond,
            rates(&exactly),
        )
        .against("at_least_once", ratios(&rates(&exactly), &rates(&least)))
        .target(Target::RatioAtLeast(0.5)),
        Row::new(
            "f",
            "  CPU of genesys-kafka for a pair, exactly_once",
            Unit::CpuUs,
            cpu(&exactly),
        )
        .against("at_least_once", ratios(&cpu(&exactly), &cpu(&least))),
    ]);
    report.notes.push(format!(
        "f: {} events a run, CloudEvents headers, transactions of up to 10,000 records while as many wait, one broker; \
         the feed is read faster than Kafka takes it, so the records come out of the spool",
        size.events
    ));
    Ok(())
}

/// From the first visible audit record to the last.
fn saturate(servers: &str, ring: &Ring, events: u64, guarantee: Guarantee) -> anyhow::Result<Produced> {
    let folder = tempfile::tempdir()?;
    let feed = Feed::start(ring, events)?;
    let setup = Setup {
        envelope: Envelope::Binary,
        guarantee,
        keep: Keep::Disk(folder.path()),
    };
    let mut adapter = Adapter::start(servers, &feed.login_url(), &feed.events_url(), setup)?;
    feed.wait_until_begun(DEADLINE)?;
    let cpu_before = adapter.cpu();
    let visible = adapter.wait_until_visible(events, DEADLINE)?;
    let cpu = adapter
        .cpu()
        .zip(cpu_before)
        .map(|(now, then)| now.saturating_sub(then));
    let topics = adapter.topics().clone();
    adapter.stop()?;
    let found = records::committed(servers, &topics)?;
    ensure!(
        found == (events, events),
        "{events} events were sent, {found:?} events and audit records are committed ({guarantee:?})"
    );
    let counted = events.saturating_sub(visible.at_first);
    let took = visible.last - visible.first;
    ensure!(
        counted > 0 && !took.is_zero(),
        "all {events} events became visible at once: too few for a rate"
    );
    Ok(Produced {
        pairs_per_second: float(counted) / took.as_secs_f64(),
        cpu_us: cpu.map(|cpu| cpu.as_secs_f64() * 1e6 / float(events)),
    })
}
