//! Notification channels over a long time, with hand-overs and faults: nothing is lost outside a gap, and nothing grows.
//!
//! Responsible for the contact centre, its pace, and what must hold at the end. Time is scaled: a channel lives for
//! seconds, so that minutes see as many hand-overs as months. `faults` chooses what goes wrong, `health` looks at the
//! process. 3 minutes in each run of the tests, 30 in `make drill`. The pace is that of the feed, not of the machine: one
//! that is too slow sees fewer events, and the same laws.

mod faults;
mod health;

use std::time::Duration;

use simulator::{NotificationOptions, Options, Simulator};
use support::drill::{is_full, tell};
use support::open_sockets::{Delivered, OpenSockets};
use support::rig::{self, Ended};
use support::topics::gaps;
use support::{Broker, Process, Rig, Stream, Topics, read_back};

use crate::{DEADLINE, proofs};
use faults::Faults;
use health::Health;

/// Updates of conversations in a second.
const UPDATES_PER_S: u64 = 12;
/// Seconds in which one thing goes wrong, on average; in the warm-up less, so that every kind has been there at its end, and
/// no buffer has to find its largest size after it.
const FAULT_EVERY_S: u64 = 5;
const FIRST_FAULTS_EVERY_S: u64 = 3;
/// Hand-overs that must have happened.
const HANDOVERS: usize = 60;
const PARTITIONS: i32 = 4;
/// Life of a channel in milliseconds: replaced after half of it or a little more.
const CHANNEL_LIFE_MS: u64 = 2_000;
/// Ids that are remembered: as many as come before the warm-up is over.
const IDS: u64 = 500;
/// Bound of the spool in bytes, so that its segments are written, read and deleted all the time.
const SPOOL_BYTES: u64 = 64 << 20;
/// Largest frame in bytes; those of the contact centre are below 32 KiB.
const MAX_FRAME_BYTES: u64 = 256 << 10;
/// How fast memory may grow all the time. A frame of the contact centre has 2.5 KiB and there are 40 hand-overs and more a
/// minute, so a copy of one frame that is kept for each is 100 KiB a minute, and one for each event 1,800. A frame that is
/// kept as it was read keeps the buffer around it: 1,500 were measured for one at each hand-over.
const STEADY_KIB_PER_MIN: f64 = 50.0;
/// File descriptors by which two medians may differ: the sockets of a hand-over, a request, a segment of the spool.
const SPARE_FILES: u64 = 4;
/// Queues of the full form: so many that their topics leave room on the one channel for the conversations of a minute
/// only, and memory that grows with those that are followed finds its size in the warm-up.
const MANY_QUEUES: u32 = 470;

fn duration_s() -> u64 {
    if is_full() { 1_800 } else { 180 }
}

/// Time in which memory finds its size.
fn warm_up() -> Duration {
    Duration::from_secs(if is_full() { 300 } else { 80 })
}

/// How fast memory may grow by least squares, in KiB a minute. Steps count here: the heap takes some 130 KiB at a time when a
/// fault lets more frames wait than any before. One in the middle of the 100 s of the short form is 120 KiB a minute, of the
/// 1,500 s of the full one 8, so there one frame for each hand-over is far beyond.
fn overall_kib_per_min() -> f64 {
    if is_full() { 40.0 } else { 400.0 }
}

fn rig(broker: &Broker) -> (Rig, Topics) {
    let topics = Topics::create(broker, PARTITIONS);
    let options = Options {
        // a token is renewed while the soak goes on, and channels with it
        expires_in_s: 150,
        truth_memory_bytes: 1 << 30,
        notifications: NotificationOptions {
            channel_life_ms: CHANNEL_LIFE_MS,
            heartbeat_ms: 3_000,
            updates_per_s: UPDATES_PER_S,
            conversations: 12,
            queues: if is_full() { MANY_QUEUES } else { 6 },
            ..NotificationOptions::default()
        },
        ..Options::default()
    };
    let rig = Rig::new(options)
        .over_notifications()
        .with_kafka(broker.bootstrap_servers(), &topics)
        .set(
            "source.config.subscription.events",
            ["conversations", "statistics"].as_slice(),
        )
        .set("source.config.subscription.detail_events", is_full())
        .set("source.config.subscription.max_channels", 1)
        .set("source.config.subscription.refresh_ms", 20_000)
        .set("source.config.handover.overlap_ms", 100)
        .set("source.config.keep_alive.ping_ms", 100)
        .set("source.config.keep_alive.silence_ms", 3_500)
        .set("source.config.reconnect.max_ms", 200)
        .set("source.config.reconnect.stable_ms", 10)
        .set("source.config.timeouts.connect_ms", 5_000)
        .set("source.config.timeouts.login_ms", 5_000)
        .set("source.config.dedup.max_ids", IDS)
        .set("source.config.max_frame_bytes", MAX_FRAME_BYTES)
        .set("source.config.spool.mode", "disk")
        .set("source.config.spool.max_bytes", SPOOL_BYTES)
        .set("operations.metrics_ms", 1_000);
    (rig, topics)
}

fn handovers(adapter: &Process) -> usize {
    let lines = adapter.lines(Stream::Stderr);
    lines
        .iter()
        .filter(|line| line.contains("channel replaced"))
        .count()
}

/// Lets the contact centre go on for one more second of its own; fails if the adapter has ended.
fn one_second(adapter: &mut Process, simulator: &Simulator) {
    let updates = simulator.counters().updates + UPDATES_PER_S;
    let happened = simulator.wait_until(DEADLINE, |counters| counters.updates >= updates);
    assert!(happened, "{:?}", simulator.counters());
    assert!(
        !adapter.has_ended(),
        "{}",
        adapter.lines(Stream::Stderr).join("\n")
    );
}

/// Lets the contact centre go on for the time of a soak, with faults, and looks at the adapter meanwhile.
fn endure(adapter: &mut Process, simulator: &Simulator, faults: &mut Faults) -> Health {
    let mut health = Health::default();
    let mut fault_s = 0;
    for second in 0..duration_s() {
        one_second(adapter, simulator);
        health.look(adapter, simulator.counters().requests);
        if second >= fault_s {
            faults.one(simulator);
            let every_s = if faults.is_every_kind_known() {
                FAULT_EVERY_S
            } else {
                FIRST_FAULTS_EVERY_S
            };
            fault_s = second + 1 + faults.below(2 * every_s - 1);
        }
    }
    health
}

/// Demands that the channels go on being replaced once nothing goes wrong any more, until there were enough hand-overs.
fn recover(adapter: &mut Process, simulator: &Simulator) {
    let enough = (handovers(adapter) + 3).max(HANDOVERS);
    let mut seconds = 0;
    while handovers(adapter) < enough {
        assert!(
            seconds < DEADLINE.as_secs(),
            "{} hand-overs only",
            handovers(adapter)
        );
        one_second(adapter, simulator);
        seconds += 1;
    }
}

/// Every event, in the order of its partition.
fn delivered(broker: &Broker, topics: &Topics) -> Vec<Delivered> {
    let records = read_back(broker.bootstrap_servers(), &topics.events);
    records
        .iter()
        .map(|record| Delivered::of(record.key_text(), &record.json()))
        .collect()
}

fn assert_whole(rig: &Rig, broker: &Broker, topics: &Topics, ended: &Ended) {
    let simulator = rig.simulator();
    assert!(!simulator.counters().truth_truncated);
    let open_sockets = OpenSockets::of(&simulator.truth());
    let control = topics.read_control(broker.bootstrap_servers());
    proofs::assert_valid("control", &control);
    let gaps = gaps(&control);
    let outcome = open_sockets.against(&delivered(broker, topics), &gaps);
    let ambiguous = ended.count("/source/frames/handover_ambiguous");
    let session = |name: &str| ended.count(&format!("/source/session/{name}"));
    let longest_ms = gaps.iter().filter_map(|gap| Some(gap.to_ms? - gap.from_ms)).max();
    tell(&format!(
        "soak: {} notifications sent to open sockets, {} of them to two; {} lost inside and {} outside the {} gaps, of \
         which the longest is {} ms; {} delivered again, {ambiguous} ambiguous; {} hand-overs, {} connects, {} requests, {} logins",
        outcome.sent,
        outcome.sent_on_two,
        outcome.lost_in_gaps,
        outcome.lost.len(),
        gaps.len(),
        longest_ms.unwrap_or_default(),
        outcome.repeated.len(),
        session("handovers_total"),
        session("connects_total"),
        simulator.counters().requests,
        simulator.counters().logins,
    ));
    assert!(
        outcome.lost.is_empty(),
        "{} lost: {:?}\n{gaps:#?}",
        outcome.lost.len(),
        outcome.lost
    );
    assert_eq!(outcome.invented, []);
    assert_eq!(outcome.inverted, []);
    let repeated = i64::try_from(outcome.repeated.len()).unwrap();
    assert!(
        repeated <= ambiguous,
        "{repeated} repeated: {:?}",
        outcome.repeated
    );
    assert!(session("handovers_total") >= i64::try_from(HANDOVERS).unwrap());
}

#[test]
fn a_soak_with_handovers_and_faults_loses_nothing_outside_gaps_and_nothing_grows() {
    let Some(broker) = Broker::shared() else { return };
    let mut faults = Faults::of_environment();
    let (rig, topics) = rig(broker);
    let mut adapter = rig.start();
    adapter.wait_for_line(Stream::Stderr, "subscribed", DEADLINE);
    let health = endure(&mut adapter, rig.simulator(), &mut faults);
    recover(&mut adapter, rig.simulator());
    let ended = rig::stop(&mut adapter, DEADLINE);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr.join("\n"));
    proofs::assert_laws(&ended);
    tell(&format!("soak: faults {:?}", faults.injected()));
    let growth = health.growth(warm_up());
    let (memory, files, threads) = (
        health.anonymous_kib(warm_up()),
        health.open_files(warm_up()),
        health.threads(warm_up()),
    );
    tell(&format!(
        "soak: resident memory {:+.1} KiB/min by least squares after {} s, {:+.1} KiB/min of it steady; first and last \
         quarter by their medians: {memory} KiB, file descriptors {files}, threads {threads}; at most {} requests a minute",
        growth.overall_kib_per_min,
        warm_up().as_secs(),
        growth.steady_kib_per_min,
        health.requests_per_min()
    ));
    assert_whole(&rig, broker, &topics, &ended);
    assert!(health.requests_per_min() <= 300);
    assert_eq!(rig.simulator().counters().throttled, 0);
    assert!(faults.is_every_kind_known(), "{:?}", faults.injected());
    assert!(
        files.last <= files.first + SPARE_FILES,
        "file descriptors: {files}"
    );
    assert_eq!(threads.last, threads.first, "threads");
    assert!(
        growth.steady_kib_per_min <= STEADY_KIB_PER_MIN,
        "memory grows: {growth:?}"
    );
    assert!(
        growth.overall_kib_per_min <= overall_kib_per_min(),
        "memory grows: {growth:?}"
    );
}
