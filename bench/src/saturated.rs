//! Part c: the whole adapter, saturated, against a plain producer that sends the same bytes.
//!
//! Each repetition runs both, in alternating order. Refuses a run whose topics do not hold exactly the events that were
//! sent. The feed is not the simulator: making each event anew costs CPU that this machine's two cores would then lack
//! in the adapter and the broker alike.

use std::time::Duration;

use anyhow::{Context, ensure};
use support::Broker;

use crate::adapter::{Adapter, Envelope, PARTITIONS, Setup};
use crate::feed::Feed;
use crate::frames::Ring;
use crate::producer::{Produced, saturate};
use crate::records::{self, Pair, Topics};
use crate::report::{Report, Row, Target, Unit};
use crate::spread::float;

/// Longest run.
const DEADLINE: Duration = Duration::from_secs(120);

/// Size of the part.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Events of a run.
    pub(crate) events: u64,
    /// Repetitions with CloudEvents headers.
    pub(crate) with_headers: usize,
    /// Repetitions without.
    pub(crate) without_headers: usize,
}

/// Runs the part.
pub(crate) fn run(broker: &Broker, ring: &Ring, size: Size, report: &mut Report) -> anyhow::Result<()> {
    let servers = broker.bootstrap_servers();
    // not counted: warms the broker up and gives the bytes
    let (_, topics) = adapter(servers, ring, size.events, Envelope::Binary)?;
    let pairs = records::pairs(servers, &topics)?;
    let count = u64::try_from(pairs.len())?;
    ensure!(
        count == size.events,
        "{count} of {} events are audited",
        size.events
    );
    let bytes = pairs.iter().map(Pair::bytes).sum::<usize>() / pairs.len();
    let headers = pairs.first().map_or(0, |pair| pair.event.headers.len());
    report.notes.push(format!(
        "c: {count} events a run; event with {headers} headers and audit record together {bytes} bytes, \
         {PARTITIONS} partitions, one broker, acks=all, idempotent, lz4"
    ));
    for (envelope, label, repetitions, target) in [
        (
            Envelope::Binary,
            "CloudEvents headers",
            size.with_headers,
            Some(0.8),
        ),
        (Envelope::None, "no envelope", size.without_headers, None),
    ] {
        if repetitions == 0 {
            continue;
        }
        let (mut adapters, mut producers) = (Vec::new(), Vec::new());
        for repetition in 0..repetitions {
            eprintln!("c: {label}, repetition {} of {repetitions}", repetition + 1);
            let plain = || plain(broker, &pairs, envelope);
            let adapted = || Ok::<_, anyhow::Error>(adapter(servers, ring, size.events, envelope)?.0);
            if repetition % 2 == 0 {
                adapters.push(adapted()?);
                producers.push(plain()?);
            } else {
                producers.push(plain()?);
                adapters.push(adapted()?);
            }
        }
        push_rows(report, label, &adapters, &producers, target);
    }
    Ok(())
}

fn push_rows(
    report: &mut Report,
    label: &str,
    adapters: &[Produced],
    producers: &[Produced],
    target: Option<f64>,
) {
    let rates = |runs: &[Produced]| runs.iter().map(|run| run.pairs_per_second).collect::<Vec<_>>();
    let cpu = |runs: &[Produced]| runs.iter().filter_map(|run| run.cpu_us).collect::<Vec<_>>();
    let ratios =
        |top: &[f64], bottom: &[f64]| top.iter().zip(bottom).map(|(top, bottom)| top / bottom).collect();
    report.rows.push(Row::new(
        "c",
        format!("plain librdkafka producer, event + audit, {label}"),
        Unit::PerSecond,
        rates(producers),
    ));
    let row = Row::new(
        "c",
        format!("genesys-kafka, event + audit acked, {label}"),
        Unit::PerSecond,
        rates(adapters),
    )
    .against("plain producer", ratios(&rates(adapters), &rates(producers)));
    report.rows.push(match target {
        Some(bound) => row.target(Target::RatioAtLeast(bound)),
        None => row,
    });
    let (adapter, plain) = (cpu(adapters), cpu(producers));
    report.rows.push(Row::new(
        "c",
        format!("  CPU of the plain producer for a pair, {label}"),
        Unit::CpuUs,
        plain.clone(),
    ));
    report.rows.push(
        Row::new(
            "c",
            format!("  CPU of genesys-kafka for a pair, {label}"),
            Unit::CpuUs,
            adapter.clone(),
        )
        .against("plain producer", ratios(&adapter, &plain)),
    );
}

/// From the first byte on the socket to the last audit record in its topic.
fn adapter(
    servers: &str,
    ring: &Ring,
    events: u64,
    envelope: Envelope,
) -> anyhow::Result<(Produced, Topics)> {
    let feed = Feed::start(ring, events)?;
    let setup = Setup::in_memory(envelope);
    let mut adapter = Adapter::start(servers, &feed.login_url(), &feed.events_url(), setup)?;
    feed.wait_until_begun(DEADLINE)?;
    // the start is not part of a pair
    let cpu_before = adapter.cpu();
    feed.wait_until_done(DEADLINE)?;
    let last = adapter.wait_for_audit(events, DEADLINE)?;
    let first = feed.first_write().context("the feed was not read")?;
    let cpu = adapter
        .cpu()
        .zip(cpu_before)
        .map(|(now, then)| now.saturating_sub(then));
    let topics = adapter.topics().clone();
    let held = adapter.count(&topics.events)?;
    ensure!(
        held == events,
        "{held} records in the events topic, {events} events were sent"
    );
    adapter.stop()?;
    let produced = Produced {
        pairs_per_second: float(events) / (last - first).as_secs_f64(),
        cpu_us: cpu.map(|cpu| cpu.as_secs_f64() * 1e6 / float(events)),
    };
    Ok((produced, topics))
}

fn plain(broker: &Broker, pairs: &[Pair], envelope: Envelope) -> anyhow::Result<Produced> {
    let topics = Topics::unique();
    for topic in [&topics.events, &topics.audit] {
        broker.create_topic(topic, PARTITIONS, &[]);
    }
    saturate(
        broker.bootstrap_servers(),
        &topics,
        pairs,
        envelope == Envelope::Binary,
    )
}
