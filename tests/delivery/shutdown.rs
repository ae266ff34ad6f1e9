//! Being told to stop while nothing can be delivered: an end in order within the deadline, and at once if asked twice.
//!
//! On librdkafka's mock cluster where the broker stays away: it aborts the process if the port of a broker that shall
//! come back was taken meanwhile, which a client that keeps dialling it can do by itself.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use simulator::Options;
use support::rig;
use support::{Mock, Process, Rig, Stream, Topics};

use crate::outage::fragile_broker;
use crate::{DEADLINE, proofs, words};

/// What an end may take beyond its deadline: the audit's last record, the source's close, librdkafka's, a busy machine.
const MARGIN: Duration = Duration::from_secs(20);
/// Exit code where something was left undelivered (`EX_UNAVAILABLE` of sysexits(3)).
const EXIT_UNAVAILABLE: i32 = 69;

/// An adapter in the middle of an outage, with records in flight.
fn in_outage(drain_ms: u64) -> (Mock, Rig, Process) {
    let topics = Topics::unique();
    let mock = Mock::start(&topics.names().map(|name| (name, 2)));
    let options = Options {
        rate: 500,
        conversations: 50,
        ..Options::default()
    };
    let rig = Rig::new(options)
        .with_kafka(mock.bootstrap_servers(), &topics)
        .set("delivery.drain_ms", drain_ms);
    let mut adapter = rig.start();
    rig::wait_for_metrics(&mut adapter, DEADLINE, "something is delivered", |line| {
        line.number("resolved") > 100
    });
    mock.broker_down(1);
    adapter.wait_for_line(Stream::Stderr, words::UNREACHABLE, DEADLINE);
    rig::wait_for_metrics(&mut adapter, DEADLINE, "records are in flight", |line| {
        line.number("in_flight") > 100
    });
    (mock, rig, adapter)
}

#[test]
fn a_stop_during_an_outage_ends_within_its_deadline_and_owns_up_to_what_is_left() {
    let drain_ms = 1_500;
    let (_mock, _rig, mut adapter) = in_outage(drain_ms);
    adapter.signal(Signal::SIGINT);
    let ended = rig::wait_for_end(&mut adapter, Duration::from_millis(drain_ms) + MARGIN);
    assert_eq!(ended.code, Some(EXIT_UNAVAILABLE), "{}", ended.stderr.join("\n"));
    let left = ended.count("/inFlight");
    assert!(left > 100, "{}", ended.summary);
    let complaint = ended
        .stderr
        .iter()
        .find(|line| line.contains("were not delivered"))
        .expect("a complaint");
    // what is in flight, and what the pipeline never got to see, such as the gap that the stop itself opens
    let undelivered = ended.count("/source/records/appended") - ended.count("/resolved");
    assert!(undelivered >= left, "{}", ended.summary);
    assert!(
        complaint.contains(&format!(
            " {undelivered} records were not delivered within delivery.drain_ms = {drain_ms};"
        )),
        "{complaint}: {undelivered}"
    );
    assert_eq!(ended.count("/laws/adapter"), 0, "{}", ended.summary);
    assert_eq!(ended.count("/laws/frames"), 0, "{}", ended.summary);
    assert_eq!(ended.count("/laws/records"), 0, "{}", ended.summary);
    assert_eq!(ended.count("/pulled"), ended.count("/resolved") + left);
}

#[test]
fn a_second_signal_ends_at_once() {
    let (_mock, _rig, mut adapter) = in_outage(3_600_000);
    adapter.signal(Signal::SIGINT);
    adapter.wait_for_line(Stream::Stderr, words::DRAINING, DEADLINE);
    let asked_again = Instant::now();
    adapter.signal(Signal::SIGINT);
    let status = adapter.wait(MARGIN);
    assert!(!status.success(), "{status}");
    assert!(asked_again.elapsed() < MARGIN);
}

#[test]
fn a_broker_that_comes_back_during_the_drain_still_gets_everything() {
    let Some(broker) = fragile_broker() else { return };
    let topics = Topics::create(&broker, 2);
    let options = Options {
        rate: 500,
        conversations: 50,
        ..Options::default()
    };
    let rig = Rig::new(options)
        .with_kafka(broker.bootstrap_servers(), &topics)
        .set("delivery.drain_ms", 60_000);
    let mut adapter = rig.start();
    rig::wait_for_metrics(&mut adapter, DEADLINE, "something is delivered", |line| {
        line.number("resolved") > 100
    });
    broker.pause();
    rig::wait_for_metrics(&mut adapter, DEADLINE, "records are in flight", |line| {
        line.number("in_flight") > 100
    });
    adapter.signal(Signal::SIGTERM);
    adapter.wait_for_line(Stream::Stderr, words::DRAINING, DEADLINE);
    broker.resume();
    let ended = rig::wait_for_end(&mut adapter, DEADLINE);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr.join("\n"));
    proofs::assert_laws(&ended);
    assert_eq!(ended.count("/inFlight"), 0);
    let events = topics.read_events(broker.bootstrap_servers());
    assert_eq!(events.len() as i64, ended.count("/events"));
    proofs::assert_none_twice_and_none_invented(&rig.simulator().truth(), &events);
    proofs::assert_order_per_key(&events);
}
