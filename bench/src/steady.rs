//! Part d: a steady feed of the simulator: latency from the socket to the broker's acknowledgement, and memory.
//!
//! The probe beside it shows what the producer's settings alone cost. Refuses a run in which an event of the ground
//! truth is not in its topic.

use std::time::Duration;

use anyhow::{Context, ensure};
use simulator::{Options, Simulator};
use support::Broker;

use crate::adapter::{Adapter, Envelope, PARTITIONS, Setup};
use crate::latency::{self, Latencies, PER_SECOND, SETTLE, SKIP};
use crate::producer::probe;
use crate::records::{self, Pair, Topics};
use crate::report::{Report, Row, Target, Unit};
use crate::spread::float;

/// Ids of the default window.
const WINDOW_IDS: u64 = 1_000_000;
/// Rate at which the window is filled, well below saturation, so that the backlog adds little.
const FILL_PER_SECOND: u64 = 40_000;

/// Size of the part.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Seconds of a run, of which the first two are not counted.
    pub(crate) seconds: u64,
    /// Repetitions.
    pub(crate) repetitions: usize,
    /// Also fill the window of 1 M ids.
    pub(crate) fill_window: bool,
}

/// Runs the part.
pub(crate) fn run(broker: &Broker, size: Size, report: &mut Report) -> anyhow::Result<()> {
    let servers = broker.bootstrap_servers();
    let (mut socket, mut received, mut bare) =
        (Latencies::default(), Latencies::default(), Latencies::default());
    let (mut memory, mut cpu) = (Vec::new(), Vec::new());
    for repetition in 0..size.repetitions {
        eprintln!("d: repetition {} of {}", repetition + 1, size.repetitions);
        let mut simulator = latency::feed(size.seconds)?;
        let mut adapter = Adapter::start(
            servers,
            &simulator.login_url(),
            &simulator.events_url(),
            Setup::in_memory(Envelope::Binary),
        )?;
        ensure!(
            simulator.wait_until_sent(1, SETTLE),
            "the adapter does not subscribe"
        );
        let cpu_before = adapter.cpu();
        ensure!(
            simulator.wait_until_done(Duration::from_secs(size.seconds) + SETTLE),
            "the simulator is not done: {:?}",
            simulator.counters()
        );
        let events = simulator.counters().events_sent;
        adapter.wait_for_audit(events, SETTLE)?;
        memory.push(adapter.peak_mib());
        let spent = adapter
            .cpu()
            .zip(cpu_before)
            .map(|(now, then)| now.saturating_sub(then));
        cpu.extend(spent.map(|spent| spent.as_secs_f64() * 1e6 / float(events)));
        let topics = adapter.topics().clone();
        adapter.stop()?;
        simulator.stop()?;
        let pairs = records::pairs(servers, &topics)?;
        let (from_socket, from_receipt) = latencies(&simulator, &pairs)?;
        socket.push(from_socket)?;
        received.push(from_receipt)?;

        let topics = Topics::unique();
        for topic in [&topics.events, &topics.audit] {
            broker.create_topic(topic, PARTITIONS, &[]);
        }
        bare.push(probe(servers, &topics, &pairs, PER_SECOND, SKIP)?)?;
    }
    let excess: Vec<f64> = socket
        .p99
        .iter()
        .zip(&bare.p99)
        .map(|(top, bare)| top - bare)
        .collect();
    let row = |what: &str, unit, values: &[f64]| Row::new("d", what, unit, values.to_vec());
    report.rows.extend([
        row("bare probe at 5k/s, send → ack, p50", Unit::Ms, &bare.p50),
        row("bare probe at 5k/s, send → ack, p99", Unit::Ms, &bare.p99),
        row("genesys-kafka at 5k/s, socket → ack, p50", Unit::Ms, &socket.p50),
        row("genesys-kafka at 5k/s, socket → ack, p99", Unit::Ms, &socket.p99),
        row("  of which received → ack, p99", Unit::Ms, &received.p99),
        row("genesys-kafka's p99 above the probe's", Unit::Ms, &excess).target(Target::AtMost(5.0)),
        row("peak resident memory at 5k/s", Unit::Mib, &memory).target(Target::AtMost(64.0)),
        row(
            "CPU of genesys-kafka for an event and its audit at 5k/s",
            Unit::CpuUs,
            &cpu,
        ),
    ]);
    report.notes.push(
        "d: the acknowledgement's time is the audit record's processedAt, cut to 1 ms, so figures of genesys-kafka are \
         up to 1 ms too low"
            .to_owned(),
    );
    if size.fill_window {
        report.rows.push(
            row(
                "peak resident memory, 1 M ids in the window",
                Unit::Mib,
                &[full_window(servers)?],
            )
            .target(Target::AtMost(96.0)),
        );
    }
    Ok(())
}

/// Milliseconds from the simulator's write, and from the adapter's receipt, to the acknowledgement.
fn latencies(simulator: &Simulator, pairs: &[Pair]) -> anyhow::Result<(Vec<f64>, Vec<f64>)> {
    let sent = latency::sent_us(simulator)?;
    let begin = sent.values().min().copied().context("no event was sent")?;
    ensure!(
        sent.len() == pairs.len(),
        "{} events were sent, {} are in the topic",
        sent.len(),
        pairs.len()
    );
    let (mut from_socket, mut from_receipt) = (Vec::new(), Vec::new());
    for pair in pairs {
        let at = *sent
            .get(pair.id.as_str())
            .with_context(|| format!("nobody sent {}", pair.id))?;
        if u128::from(at - begin) >= SKIP.as_micros() {
            let processed_us = float(u64::try_from(pair.processed_ms)?) * 1e3;
            from_socket.push((processed_us - float(at)) / 1e3);
            from_receipt.push(float(u64::try_from(
                pair.processed_ms.saturating_sub(pair.received_ms),
            )?));
        }
    }
    Ok((from_socket, from_receipt))
}

fn full_window(servers: &str) -> anyhow::Result<f64> {
    eprintln!("d: {WINDOW_IDS} ids");
    let simulator = Simulator::start(Options {
        rate: FILL_PER_SECOND,
        events: Some(WINDOW_IDS),
        conversations: 10_000,
        truth_frames: false,
        pause_when_alone: true,
        ..Options::default()
    })?;
    let mut adapter = Adapter::start(
        servers,
        &simulator.login_url(),
        &simulator.events_url(),
        Setup::in_memory(Envelope::Binary),
    )?;
    ensure!(
        simulator.wait_until_done(Duration::from_secs(WINDOW_IDS / FILL_PER_SECOND) * 4),
        "the window is not full: {:?}",
        simulator.counters()
    );
    adapter.wait_for_audit(simulator.counters().events_sent, SETTLE)?;
    let peak = adapter.peak_mib();
    adapter.stop()?;
    Ok(peak)
}
