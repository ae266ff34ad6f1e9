//! Part i: latency of `exactly_once` at a steady rate, from the socket to a reader of committed records.
//!
//! `at_least_once` takes turns with it, through the same reader and out of the same kind of spool, so that what
//! transactions cost stands beside what reader and broker cost anyhow. Refuses a run in which the reader, or whoever
//! reads the topics again at the end, does not find each event of the ground truth once.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, ensure};
use support::Broker;

use crate::adapter::{Adapter, Envelope, Guarantee, Setup};
use crate::drain::Keep;
use crate::latency::{self, Latencies, SETTLE, SKIP};
use crate::reader::{Reader, Seen};
use crate::records;
use crate::report::{Report, Row, Target, Unit};
use crate::spread::float;

/// Longest time from the socket to the reader, at the 99th percentile, in milliseconds.
const TARGET_MS: f64 = 250.0;

/// Size of the part.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Seconds of a run, of which the first two after the first visible event are not counted.
    pub(crate) seconds: u64,
    /// Repetitions.
    pub(crate) repetitions: usize,
}

/// Runs under one guarantee.
#[derive(Default)]
struct Runs {
    latencies: Latencies,
    peak_mib: Vec<f64>,
    cpu_us: Vec<f64>,
}

/// Runs the part.
pub(crate) fn run(broker: &Broker, size: Size, report: &mut Report) -> anyhow::Result<()> {
    let servers = broker.bootstrap_servers();
    let (mut least, mut exactly) = (Runs::default(), Runs::default());
    for repetition in 0..size.repetitions {
        eprintln!("i: repetition {} of {}", repetition + 1, size.repetitions);
        measure(servers, size.seconds, Guarantee::AtLeastOnce, &mut least)?;
        measure(servers, size.seconds, Guarantee::ExactlyOnce, &mut exactly)?;
    }
    let ratios = |top: &[f64], bottom: &[f64]| -> Vec<f64> {
        top.iter().zip(bottom).map(|(top, bottom)| top / bottom).collect()
    };
    let row = |what: &str, unit, values: &[f64]| Row::new("i", what, unit, values.to_vec());
    let (base, top) = (&least.latencies, &exactly.latencies);
    report.rows.extend([
        row("at_least_once at 5k/s, socket → reader, p50", Unit::Ms, &base.p50),
        row("at_least_once at 5k/s, socket → reader, p99", Unit::Ms, &base.p99),
        row(
            "exactly_once at 5k/s, socket → read_committed, p50",
            Unit::Ms,
            &top.p50,
        )
        .against("at_least_once", ratios(&top.p50, &base.p50)),
        row(
            "exactly_once at 5k/s, socket → read_committed, p99",
            Unit::Ms,
            &top.p99,
        )
        .against("at_least_once", ratios(&top.p99, &base.p99))
        .target(Target::AtMost(TARGET_MS)),
        row(
            "  peak resident memory, exactly_once",
            Unit::Mib,
            &exactly.peak_mib,
        ),
        row(
            "  CPU of genesys-kafka for an event and its audit, exactly_once",
            Unit::CpuUs,
            &exactly.cpu_us,
        )
        .against("at_least_once", ratios(&exactly.cpu_us, &least.cpu_us)),
    ]);
    report.notes.push(
        "i: a consumer with librdkafka's defaults, which shares the machine; the time is that at which its poll \
         returned the event; the spool is on disk"
            .to_owned(),
    );
    Ok(())
}

fn measure(servers: &str, seconds: u64, guarantee: Guarantee, runs: &mut Runs) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut simulator = latency::feed(seconds)?;
    let setup = Setup {
        envelope: Envelope::Binary,
        guarantee,
        keep: Keep::Disk(folder.path()),
    };
    let adapter = Adapter::start(servers, &simulator.login_url(), &simulator.events_url(), setup)?;
    let mut reader = Reader::join(servers, &adapter.topics().events, SETTLE)?;
    ensure!(
        simulator.wait_until_sent(1, SETTLE),
        "the adapter does not subscribe"
    );
    let cpu_before = adapter.cpu();
    let timeout = Duration::from_secs(seconds) + SETTLE;
    reader
        .read_until(timeout, |count| {
            let counters = simulator.counters();
            counters.done && count >= counters.events_sent
        })
        .with_context(|| format!("{guarantee:?}: {:?}", simulator.counters()))?;
    let events = simulator.counters().events_sent;
    runs.peak_mib.push(adapter.peak_mib());
    let spent = adapter
        .cpu()
        .zip(cpu_before)
        .map(|(now, then)| now.saturating_sub(then));
    runs.cpu_us
        .extend(spent.map(|spent| spent.as_secs_f64() * 1e6 / float(events)));
    let topics = adapter.topics().clone();
    adapter.stop()?;
    simulator.stop()?;
    let found = records::committed(servers, &topics)?;
    ensure!(
        found == (events, events),
        "{events} events were sent, {found:?} events and audit records are committed ({guarantee:?})"
    );
    runs.latencies
        .push(latencies(latency::sent_us(&simulator)?, &reader.into_seen())?)
}

/// Milliseconds from the simulator's write to the reader's poll, of the events that were sent [`SKIP`] or more after
/// the reader saw the first one.
fn latencies(mut sent_us: HashMap<String, u64>, seen: &[Seen]) -> anyhow::Result<Vec<f64>> {
    let first = seen.first().context("no event is visible")?;
    let from_us = first.at_us + u64::try_from(SKIP.as_micros())?;
    let mut milliseconds = Vec::with_capacity(seen.len());
    for Seen { id, at_us } in seen {
        let sent = sent_us
            .remove(id)
            .with_context(|| format!("nobody sent {id}, or the reader saw it twice"))?;
        if sent >= from_us {
            milliseconds.push((float(*at_us) - float(sent)) / 1e3);
        }
    }
    ensure!(sent_us.is_empty(), "{} events are not visible", sent_us.len());
    Ok(milliseconds)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::{Seen, latencies};

    fn sent(events: &[(&str, u64)]) -> HashMap<String, u64> {
        events.iter().map(|(id, at)| ((*id).to_owned(), *at)).collect()
    }

    fn seen(id: &str, at_us: u64) -> Seen {
        Seen {
            id: id.to_owned(),
            at_us,
        }
    }

    #[test]
    fn what_was_sent_two_seconds_after_the_first_sight_counts() {
        let truth = sent(&[("a", 1_000), ("b", 2_009_999), ("c", 2_010_000)]);
        let seen = [seen("a", 10_000), seen("b", 2_300_000), seen("c", 2_052_000)];
        assert_eq!(latencies(truth, &seen).unwrap(), [42.0]);
    }

    #[test]
    fn an_event_that_is_seen_twice_or_never_is_refused() {
        let truth = sent(&[("a", 1), ("b", 2)]);
        assert!(latencies(truth.clone(), &[seen("a", 3), seen("a", 4)]).is_err());
        assert!(latencies(truth.clone(), &[seen("a", 3)]).is_err());
        assert!(latencies(truth.clone(), &[seen("a", 3), seen("x", 4), seen("b", 5)]).is_err());
        assert!(latencies(truth, &[seen("a", 3), seen("b", 4)]).is_ok());
    }
}
