//! Part e: the whole adapter into a webhook on this machine, with 5 and with 64 requests in flight.
//!
//! Each repetition runs all of them one after the other, beside workers that await each answer and beside the
//! receiver's own limit, so that a ratio compares neighbours in time. Refuses a run in which the receiver did not get
//! exactly the events that were sent. What a request takes inside the adapter cannot be seen from outside; at a steady
//! rate the time from the server's socket to the receiver can.

mod accepting;
mod clients;
mod node;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::json;
use simulator::{Kind, Options, Simulator};

use crate::feed::Feed;
use crate::frames::Ring;
use crate::report::{Report, Row, Target, Unit};
use crate::running::Running;
use crate::spread::{float, percentile};
use accepting::{Accepting, Keep};
use clients::Reached;
use node::Node;

/// Requests in flight: the adapter's default, and many.
const IN_FLIGHT: [usize; 2] = [5, 64];
/// Longest run, and longest wait for anything in it.
const DEADLINE: Duration = Duration::from_secs(120);
/// Events in a second of the steady runs: far below saturation, so that what is measured is no queue.
const PER_SECOND: u64 = 1_000;
/// The beginning of a steady run that is not counted: connections are made, tables grow.
const SKIP: Duration = Duration::from_secs(1);
/// Events in a second of a Node pipeline with five in flight, measured on two shared cores: what a machine without Node
/// is compared with.
///
/// # Source
/// Design, section 9.
const NODE_ELSEWHERE: f64 = 1_700.0;
/// Requests that the plain clients repeat: those of the first run.
const REQUESTS: usize = 1024;

/// Size of the part.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Events of a saturated run.
    pub(crate) events: u64,
    /// Repetitions.
    pub(crate) repetitions: usize,
    /// Time of each plain client.
    pub(crate) window: Duration,
    /// Seconds of a steady run, of which the first is not counted.
    pub(crate) seconds: u64,
}

/// What was reached with as many requests in flight as one of [`IN_FLIGHT`].
#[derive(Default)]
struct Series {
    adapter: Vec<f64>,
    cpu_us: Vec<f64>,
    steady_p50: Vec<f64>,
    steady_p99: Vec<f64>,
    limit: Vec<Reached>,
    awaiting: Vec<Reached>,
    node: Vec<Reached>,
}

/// Runs the part.
pub(crate) fn run(frames: &[String], ring: &Ring, size: Size, report: &mut Report) -> anyhow::Result<()> {
    let node = Node::find(frames)?;
    if node.is_none() {
        report
            .not_run
            .push("e, the Node pipeline: node not found on the path".to_owned());
    }
    // not counted: warms up and gives the bytes
    let first = Accepting::start(size.events, Keep::First(REQUESTS))?;
    saturated(ring, size.events, IN_FLIGHT[0], &first)?;
    let requests = Arc::new(first.whole());
    let bytes = requests.iter().map(Vec::len).sum::<usize>() / requests.len().max(1);
    report.notes.push(format!(
        "e: {} events a run over some 430 conversations, {bytes} bytes a request in the mean, HTTP/1.1 on loopback, \
         answered 200 at once; no secret; audit lines to /dev/null; receiver and feed share the machine",
        size.events
    ));
    drop(first);

    let mut one_at_a_time = Series::default();
    let mut series = IN_FLIGHT.map(|_| Series::default());
    for repetition in 0..size.repetitions {
        eprintln!("e: repetition {} of {}", repetition + 1, size.repetitions);
        let plain = Accepting::start(u64::MAX, Keep::Nothing)?;
        let beside = |series: &mut Series, workers: usize| -> anyhow::Result<()> {
            let limit = clients::bare(plain.address(), &requests, workers, size.window)?;
            series.limit.push(limit);
            let awaiting = clients::awaiting(&plain.url(), &requests, workers, size.window)?;
            series.awaiting.push(awaiting);
            if let Some(node) = &node {
                series.node.push(node.run(&plain.url(), workers, size.window)?);
            }
            Ok(())
        };
        beside(&mut one_at_a_time, 1)?;
        for (series, in_flight) in series.iter_mut().zip(IN_FLIGHT) {
            beside(series, in_flight)?;
            let receiver = Accepting::start(size.events, Keep::Nothing)?;
            let (rate, cpu_us) = saturated(ring, size.events, in_flight, &receiver)?;
            series.adapter.push(rate);
            series.cpu_us.extend(cpu_us);
            let (p50, p99) = steady(size.seconds, in_flight)?;
            series.steady_p50.push(p50);
            series.steady_p99.push(p99);
        }
    }
    report.rows.extend(rows(&one_at_a_time, &series));
    Ok(())
}

/// From the first byte on the socket to the last accepted request: events in a second, and CPU for one.
fn saturated(
    ring: &Ring,
    events: u64,
    in_flight: usize,
    receiver: &Accepting,
) -> anyhow::Result<(f64, Option<f64>)> {
    let feed = Feed::start(ring, events)?;
    let mut adapter = start(&feed.login_url(), &feed.events_url(), &receiver.url(), in_flight)?;
    feed.wait_until_begun(DEADLINE)?;
    // the start is not part of an event
    let cpu_before = adapter.cpu();
    let last = receiver
        .wait_for_last(DEADLINE, || !adapter.has_ended())
        .with_context(|| adapter.last_words())?;
    let first = feed.first_write().context("the feed was not read")?;
    let cpu = adapter
        .cpu()
        .zip(cpu_before)
        .map(|(now, then)| now.saturating_sub(then).as_secs_f64() * 1e6 / float(events));
    adapter.stop()?;
    ensure!(
        receiver.count() == events,
        "{} requests came, {events} events were sent",
        receiver.count()
    );
    Ok((float(events) / (last - first).as_secs_f64(), cpu))
}

/// Milliseconds from the simulator's write to the whole request at the receiver, at a steady rate: median and p99.
fn steady(seconds: u64, in_flight: usize) -> anyhow::Result<(f64, f64)> {
    let events = PER_SECOND * seconds;
    let mut simulator = Simulator::start(Options {
        rate: PER_SECOND,
        events: Some(events),
        truth_frames: false,
        pause_when_alone: true,
        ..Options::default()
    })?;
    let receiver = Accepting::start(events, Keep::Times)?;
    let mut adapter = start(
        &simulator.login_url(),
        &simulator.events_url(),
        &receiver.url(),
        in_flight,
    )?;
    receiver
        .wait_for_last(DEADLINE, || !adapter.has_ended())
        .with_context(|| adapter.last_words())?;
    adapter.stop()?;
    simulator.stop()?;
    let sent: HashMap<String, u64> = simulator
        .truth()
        .into_iter()
        .filter(|line| line.kind == Kind::Event)
        .filter_map(|line| Some((line.id?, line.sent_us?)))
        .collect();
    let begin_us = sent.values().min().copied().context("no event was sent")?;
    let mut milliseconds = Vec::with_capacity(sent.len());
    for (id, there_us) in receiver.times() {
        let sent_us = *sent.get(&id).with_context(|| format!("nobody sent {id:?}"))?;
        if u128::from(sent_us - begin_us) >= SKIP.as_micros() {
            milliseconds.push((float(there_us) - float(sent_us)) / 1e3);
        }
    }
    let p50 = percentile(&mut milliseconds, 50).context("no latencies")?;
    Ok((p50, percentile(&mut milliseconds, 99).context("no latencies")?))
}

fn start(login: &str, events: &str, url: &str, in_flight: usize) -> anyhow::Result<Running> {
    let delivery = json!({
        "delivery": {"to": "webhook"},
        "webhook": {"url": url, "allow_private": true, "max_in_flight": in_flight},
    });
    Running::start(login, events, crate::drain::Keep::Memory, delivery)
}

fn rows(one_at_a_time: &Series, series: &[Series]) -> Vec<Row> {
    let rates = |reached: &[Reached]| reached.iter().map(|one| one.per_second).collect::<Vec<_>>();
    let p99 = |reached: &[Reached]| reached.iter().map(|one| one.p99_ms).collect::<Vec<_>>();
    let row = |what: String, unit, values: Vec<f64>| Row::new("e", what, unit, values);
    let mut rows = Vec::new();
    for (series, workers) in std::iter::once((one_at_a_time, 1)).chain(series.iter().zip(IN_FLIGHT)) {
        let each = if workers == 1 {
            "one request at a time".to_owned()
        } else {
            format!("{workers} in flight")
        };
        rows.extend([
            row(
                format!("receiver's limit, raw sockets, {each}"),
                Unit::PerSecond,
                rates(&series.limit),
            ),
            row(
                format!("plain Rust client, each awaited, {each}"),
                Unit::PerSecond,
                rates(&series.awaiting),
            )
            .against(
                "receiver's limit",
                ratios(&rates(&series.awaiting), &rates(&series.limit)),
            ),
            row("  send → answer, p99".to_owned(), Unit::Ms, p99(&series.awaiting)),
        ]);
        if !series.node.is_empty() {
            rows.push(row(
                format!("Node pipeline, each awaited, {each}"),
                Unit::PerSecond,
                rates(&series.node),
            ));
            rows.push(row(
                "  send → answer, p99".to_owned(),
                Unit::Ms,
                p99(&series.node),
            ));
        }
    }
    for (series, in_flight) in series.iter().zip(IN_FLIGHT) {
        let against = |base: &'static str, bottom: Vec<f64>| {
            row(
                format!("genesys-kafka, {in_flight} in flight"),
                Unit::PerSecond,
                series.adapter.clone(),
            )
            .against(base, ratios(&series.adapter, &bottom))
        };
        rows.push(against("plain client, as many", rates(&series.awaiting)));
        let beside_node = if series.node.is_empty() {
            let elsewhere = vec![NODE_ELSEWHERE; series.adapter.len()];
            against("Node's 1.7k/s elsewhere", elsewhere)
        } else {
            against("Node, as many", rates(&series.node))
        };
        rows.push(beside_node.target(Target::RatioAtLeast(5.0)));
        rows.extend([
            row(
                "  CPU of genesys-kafka for an event".to_owned(),
                Unit::CpuUs,
                series.cpu_us.clone(),
            ),
            row(
                "  socket → receiver at 1k/s, p50".to_owned(),
                Unit::Ms,
                series.steady_p50.clone(),
            ),
            row(
                "  socket → receiver at 1k/s, p99".to_owned(),
                Unit::Ms,
                series.steady_p99.clone(),
            ),
        ]);
    }
    rows
}

fn ratios(top: &[f64], bottom: &[f64]) -> Vec<f64> {
    top.iter().zip(bottom).map(|(top, bottom)| top / bottom).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(adapter: f64, node: Option<f64>) -> Series {
        let reached = |per_second| Reached {
            per_second,
            p99_ms: 1.0,
        };
        Series {
            adapter: vec![adapter],
            limit: vec![reached(50_000.0)],
            awaiting: vec![reached(20_000.0)],
            node: node.map(reached).into_iter().collect(),
            ..Series::default()
        }
    }

    #[test]
    fn the_target_is_five_times_the_node_beside_it_or_else_the_one_elsewhere() {
        let verdicts = |node| {
            let rows = rows(
                &series(0.0, node),
                &[series(9_000.0, node), series(8_000.0, node)],
            );
            let judged = rows.into_iter().filter_map(|row| Some((row.base, row.is_met()?)));
            judged.collect::<Vec<_>>()
        };
        let beside = "Node, as many";
        assert_eq!(verdicts(Some(1_700.0)), [(beside, true), (beside, false)]);
        let elsewhere = "Node's 1.7k/s elsewhere";
        assert_eq!(verdicts(None), [(elsewhere, true), (elsewhere, false)]);
    }
}
