//! The broker freezes, then dies, for a while in which the feed goes on: ten minutes together in the full form.
//!
//! The queue is small, so the host falls behind at once and what it gets afterwards is read from the disk.

use simulator::Options;
use support::drill::{is_full, tell};
use support::{Broker, Process, Rig, Topics, rig};

use crate::scene::{broker, left, rig, wait_for};
use crate::{DEADLINE, proofs};

/// Records that may wait in the plugin's memory.
const QUEUE_RECORDS: u64 = 1_000;
/// Records that may be under way in the adapter.
const IN_FLIGHT_RECORDS: u64 = 1_000;
/// Ids that are remembered: as many as come before the outage, so that they do not grow in it.
const IDS: u64 = 2_000;
/// Bound of the spool in bytes, far above what an outage brings.
const SPOOL_BYTES: u64 = 2 << 30;
/// Events per second.
const RATE: u64 = 1_000;
/// Looks at the memory within one outage.
const LOOKS: u64 = 6;
/// How much the memory may grow from the first look of an outage to the last, in bytes. What the outage brings is 12 MB in
/// the short form and 400 MB in the full one; queue and flight are full before the first look.
const GROWTH_BYTES: u64 = 6 << 20;

/// Seconds that one outage lasts.
fn outage_s() -> u64 {
    if is_full() { 300 } else { 12 }
}

/// Lets events happen and looks at the adapter's memory meanwhile; returns what it saw, in bytes.
fn endure(adapter: &Process, rig: &Rig) -> Vec<u64> {
    let step = RATE * outage_s() / LOOKS;
    let mut seen = Vec::new();
    for _ in 0..LOOKS {
        let until = rig.simulator().counters().produced + step;
        let happened = rig
            .simulator()
            .wait_until(DEADLINE, |counters| counters.produced >= until);
        assert!(happened, "{:?}", rig.simulator().counters());
        seen.push(adapter.resident_bytes());
    }
    seen
}

fn assert_flat(what: &str, seen: &[u64]) {
    let mebibytes: Vec<u64> = seen.iter().map(|bytes| bytes >> 20).collect();
    tell(&format!(
        "outage, {what} for {} s at {RATE} events/s: resident MiB {mebibytes:?}",
        outage_s()
    ));
    let (first, last) = (seen[0], seen.iter().max().unwrap());
    assert!(
        *last <= first + GROWTH_BYTES,
        "memory grows in an outage: {mebibytes:?} MiB"
    );
}

fn small(rig: Rig) -> Rig {
    rig.set("source.config.queue.max_records", QUEUE_RECORDS)
        .set("source.config.dedup.max_ids", IDS)
        .set("delivery.max_in_flight_records", IN_FLIGHT_RECORDS)
}

fn options(outages: u64) -> Options {
    Options {
        rate: RATE,
        events: Some(RATE * (outages * outage_s() + 10)),
        ..Options::default()
    }
}

/// Waits until everything is delivered, stops, and demands that nothing is missing.
fn drained(adapter: &mut Process, rig: &Rig, broker: &Broker, topics: &Topics) {
    rig::wait_until_ingested(adapter, rig.simulator(), DEADLINE);
    let sent = i64::try_from(rig.simulator().counters().events_sent).unwrap();
    rig::wait_for_metrics(adapter, DEADLINE, "everything is delivered", |line| {
        line.number("resolved") >= sent
    });
    let ended = rig::stop(adapter, DEADLINE);
    let truth = rig.simulator().truth();
    let left = left(broker, topics, &truth, &ended);
    proofs::assert_none_missing(&truth, &left.events);
    let causes: Vec<&str> = left.gaps.iter().map(|gap| gap.cause.as_str()).collect();
    assert_eq!(causes, ["stopped"]);
    assert_eq!(ended.count("/totalDropped"), 0);
}

#[test]
fn a_broker_frozen_and_killed_under_load_costs_nothing_and_memory_stays_flat() {
    let Some(broker) = broker() else { return };
    let (rig, topics) = rig(&broker, options(2), SPOOL_BYTES);
    let rig = small(rig);
    let mut adapter = rig.start();
    assert!(rig.simulator().wait_until_sent(2 * RATE, DEADLINE));
    broker.pause();
    wait_for(&mut adapter, "destination unreachable");
    let frozen = endure(&adapter, &rig);
    broker.kill();
    let killed = endure(&adapter, &rig);
    broker.restart();
    drained(&mut adapter, &rig, &broker, &topics);
    assert_flat("frozen", &frozen);
    assert_flat("killed", &killed);
}
