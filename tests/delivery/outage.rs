//! The broker goes away under load: frozen, frozen for too long, killed.
//!
//! The queue and the flight are kept small, so that they fill within a second and every bound is felt.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use simulator::Options;
use support::rig::{self, Ended};
use support::topics::{Gap, gaps};
use support::{Broker, Process, Rig, Stream, Topics, wait_until};

use crate::{DEADLINE, proofs, words};

/// Records that may wait in the plugin.
const QUEUE_RECORDS: i64 = 2_000;
/// Records that may be under way in the adapter.
const IN_FLIGHT_RECORDS: i64 = 2_000;
/// Peak memory that an adapter may reach with these bounds, in bytes: 45 to 49 MiB were measured in a debug build, of
/// which the queue, the flight and their audit records are some 10; the rest of the bound is room for allocators.
const PEAK_BYTES: u64 = 72 << 20;
const PARTITIONS: i32 = 4;

/// The broker that the tests of outages take turns on, since they stop it.
pub(crate) fn fragile_broker() -> Option<MutexGuard<'static, Broker>> {
    static BROKER: OnceLock<Option<Mutex<Broker>>> = OnceLock::new();
    let broker = BROKER.get_or_init(|| Broker::own().map(Mutex::new)).as_ref()?;
    let broker = broker.lock().unwrap_or_else(PoisonError::into_inner);
    // a test that failed may have left it frozen or dead
    if broker.id().is_some() {
        broker.resume();
    } else {
        broker.restart();
    }
    Some(broker)
}

fn rig(broker: &Broker, topics: &Topics, options: Options) -> Rig {
    Rig::new(options)
        .in_memory()
        .with_kafka(broker.bootstrap_servers(), topics)
        .set("source.config.queue.max_records", QUEUE_RECORDS)
        .set("delivery.max_in_flight_records", IN_FLIGHT_RECORDS)
}

/// Never more waiting or under way than configured, in any metrics line.
fn assert_bounds(adapter: &Process) {
    let lines = rig::metrics(adapter);
    assert!(lines.len() > 5, "{} metrics lines", lines.len());
    let most = |name: &str| lines.iter().map(|line| line.number(name)).max().unwrap();
    // control records are never refused room; each gap has two
    assert!(
        most("queueDepth") <= QUEUE_RECORDS + 8,
        "queue depth {}",
        most("queueDepth")
    );
    assert!(
        most("queueDepth") >= QUEUE_RECORDS / 2,
        "the queue was never full: {}",
        most("queueDepth")
    );
    assert!(
        most("in_flight") <= IN_FLIGHT_RECORDS,
        "in flight {}",
        most("in_flight")
    );
    let peak = adapter.peak_resident_bytes();
    assert!(peak <= PEAK_BYTES, "peak resident {} MiB", peak >> 20);
}

fn wait_for(adapter: &mut Process, text: &str) {
    adapter.wait_for_line(Stream::Stderr, text, DEADLINE);
}

fn causes(gaps: &[Gap]) -> Vec<&str> {
    gaps.iter().map(|gap| gap.cause.as_str()).collect()
}

fn assert_ended_well(ended: &Ended) {
    assert_eq!(ended.code, Some(0), "{}", ended.stderr.join("\n"));
    proofs::assert_laws(ended);
}

#[test]
fn a_freeze_shorter_than_the_stall_time_loses_nothing() {
    let Some(broker) = fragile_broker() else { return };
    let topics = Topics::create(&broker, PARTITIONS);
    let options = Options {
        events: Some(24_000),
        rate: 6_000,
        conversations: 500,
        ..Options::default()
    };
    let rig = rig(&broker, &topics, options).set("source.config.spool.stall_ms", 60_000);
    let mut adapter = rig.start();
    assert!(rig.simulator().wait_until_sent(3_000, DEADLINE));
    broker.pause();
    wait_for(&mut adapter, words::QUEUE_FULL);
    // for a second more the traffic backs up through the socket to the simulator's side
    let printed = rig::metrics(&adapter).len();
    wait_until(DEADLINE, "ten more metrics lines", || {
        rig::metrics(&adapter).len() >= printed + 10
    });
    broker.resume();
    rig::wait_until_ingested(&mut adapter, rig.simulator(), DEADLINE);
    assert_bounds(&adapter);
    let ended = rig::stop(&mut adapter, DEADLINE);
    assert_ended_well(&ended);

    let events = topics.read_events(broker.bootstrap_servers());
    proofs::assert_each_once_in_order(&rig.simulator().truth(), &events);
    let control = topics.read_control(broker.bootstrap_servers());
    assert_eq!(causes(&gaps(&control)), ["stopped"]);
    assert_eq!(ended.count("/totalDropped"), 0);
}

#[test]
fn beyond_the_stall_time_only_what_falls_into_a_recorded_gap_is_lost() {
    let Some(broker) = fragile_broker() else { return };
    let topics = Topics::create(&broker, PARTITIONS);
    let options = Options {
        events: Some(60_000),
        rate: 10_000,
        conversations: 500,
        ..Options::default()
    };
    let rig = rig(&broker, &topics, options)
        .set("source.config.spool.stall_ms", 300)
        .set("kafka.librdkafka.\"socket.timeout.ms\"", 1_000);
    let mut adapter = rig.start();
    assert!(rig.simulator().wait_until_sent(10_000, DEADLINE));
    broker.pause();
    wait_for(&mut adapter, words::GAVE_UP_READING);
    // the request that the broker does not answer times out, and the adapter says that it cannot reach it
    wait_for(&mut adapter, words::UNREACHABLE);
    assert!(
        rig.simulator()
            .wait_until(DEADLINE, |counters| counters.unsent > 1_000)
    );
    broker.resume();
    assert!(rig.simulator().wait_until_done(DEADLINE));
    let truth = rig.simulator().truth();
    wait_until_last_arrived(&mut adapter, &truth, &broker, &topics);
    assert_bounds(&adapter);
    let ended = rig::stop(&mut adapter, DEADLINE);
    assert_ended_well(&ended);

    let events = topics.read_events(broker.bootstrap_servers());
    proofs::assert_none_twice_and_none_invented(&truth, &events);
    proofs::assert_order_per_key(&events);
    let control = topics.read_control(broker.bootstrap_servers());
    proofs::assert_valid("control", &control);
    let gaps = gaps(&control);
    let (stopped, recorded) = gaps.split_last().unwrap();
    assert_eq!(stopped.cause, "stopped");
    assert!(
        !recorded.is_empty() && causes(recorded).iter().all(|cause| *cause == "queue_full"),
        "{gaps:#?}"
    );
    assert!(recorded.iter().all(|gap| gap.to_ms.is_some()), "{gaps:#?}");
    let missing = proofs::missing(&truth, &events);
    assert!(
        missing.len() > 1_000,
        "{} events fell into the gap",
        missing.len()
    );
    proofs::assert_missing_only_within(recorded, &missing);
    assert_eq!(
        ended.lines_with(words::UNREACHABLE),
        1,
        "{}",
        ended.stderr.join("\n")
    );
    assert_eq!(
        ended.lines_with(words::REACHABLE),
        1,
        "{}",
        ended.stderr.join("\n")
    );
}

/// Waits until the event that happened last lies in the topic; there is no count to wait for where some are lost.
fn wait_until_last_arrived(
    adapter: &mut Process,
    truth: &[simulator::TruthLine],
    broker: &Broker,
    topics: &Topics,
) {
    let last = truth.iter().rev().find_map(proofs::name).unwrap();
    wait_until(DEADLINE, "the last event lies in the topic", || {
        assert!(
            !adapter.has_ended(),
            "{}",
            adapter.lines(Stream::Stderr).join("\n")
        );
        let events = topics.read_events(broker.bootstrap_servers());
        events
            .iter()
            .any(|event| event.conversation() == last.0 && event.ordinal() == last.1)
    });
}

#[test]
fn a_killed_broker_that_comes_back_costs_nothing_and_is_reported_once() {
    let Some(broker) = fragile_broker() else { return };
    let topics = Topics::create(&broker, PARTITIONS);
    let options = Options {
        events: Some(24_000),
        rate: 3_000,
        conversations: 500,
        duplicates_percent: 5.0,
        ..Options::default()
    };
    let rig = rig(&broker, &topics, options).set("source.config.spool.stall_ms", 120_000);
    let mut adapter = rig.start();
    assert!(rig.simulator().wait_until_sent(3_000, DEADLINE));
    broker.kill();
    wait_for(&mut adapter, words::UNREACHABLE);
    wait_for(&mut adapter, words::QUEUE_FULL);
    broker.restart();
    rig::wait_until_ingested(&mut adapter, rig.simulator(), DEADLINE);
    assert_bounds(&adapter);
    let ended = rig::stop(&mut adapter, DEADLINE);
    assert_ended_well(&ended);

    let truth = rig.simulator().truth();
    let events = topics.read_events(broker.bootstrap_servers());
    // a producer that had to be replaced may repeat what was in flight; otherwise nothing lies there twice
    if ended.count("/producerReplacements") == 0 {
        proofs::assert_each_once_in_order(&truth, &events);
    } else {
        assert_eq!(proofs::missing(&truth, &events).len(), 0);
        proofs::assert_order_per_key(&proofs::without_repeats(&events));
    }
    let control = topics.read_control(broker.bootstrap_servers());
    assert_eq!(causes(&gaps(&control)), ["stopped"]);
    assert_eq!(
        ended.lines_with(words::UNREACHABLE),
        1,
        "{}",
        ended.stderr.join("\n")
    );
    assert_eq!(
        ended.lines_with(words::REACHABLE),
        1,
        "{}",
        ended.stderr.join("\n")
    );
    let other = ended
        .stderr
        .iter()
        .filter(|line| rig::MetricsLine::parse(line).is_none());
    assert!(
        other.count() < 60,
        "a line for each retry:\n{}",
        ended.stderr.join("\n")
    );
}
