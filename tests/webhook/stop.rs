//! Being told to stop with requests in flight.

use std::io::{BufRead as _, BufReader};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use support::{Receiver, Reply, Stream, conservation, rig, wait_until};

use crate::{DEADLINE, seen, words};

/// What an end may take beyond its deadline: the audit's last record, the source's close, a busy machine.
const MARGIN: Duration = Duration::from_secs(20);
/// Exit code where something was left undelivered (`EX_UNAVAILABLE` of sysexits(3)).
const EXIT_UNAVAILABLE: i32 = 69;

#[test]
fn requests_in_flight_are_waited_for_and_the_rest_is_delivered() {
    let receiver = Receiver::start(|_| Reply::After(Duration::from_millis(50), 200));
    let rig = seen::rig(seen::burst(100, 20), &receiver);
    let mut adapter = rig.start();
    rig::wait_until_ingested(&mut adapter, rig.simulator(), DEADLINE);
    wait_until(DEADLINE, "requests are in flight", || receiver.most_held() == 5);
    adapter.signal(Signal::SIGTERM);
    let ended = rig::wait_for_end(&mut adapter, DEADLINE);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr.join("\n"));
    seen::assert_laws(&ended);
    let requests = receiver.received();
    assert_eq!(requests.len(), 100);
    seen::assert_audited(&seen::printed(&adapter, "audit"), &requests, &ended);
}

#[test]
fn a_receiver_that_takes_nothing_does_not_hold_up_the_end() {
    for reply in [Reply::Silence, Reply::Status(401), Reply::Status(503)] {
        let scripted = reply.clone();
        let receiver = Receiver::start(move |_| scripted.clone());
        let drain_ms = 1_000;
        let rig = seen::rig(seen::burst(50, 20), &receiver)
            .set("webhook.timeout_ms", 60_000)
            .set("delivery.drain_ms", drain_ms);
        let mut adapter = rig.start();
        rig::wait_until_ingested(&mut adapter, rig.simulator(), DEADLINE);
        wait_until(DEADLINE, "requests were made", || receiver.count() >= 5);
        adapter.signal(Signal::SIGTERM);
        adapter.wait_for_line(Stream::Stderr, words::DRAINING, DEADLINE);
        let ended = rig::wait_for_end(&mut adapter, Duration::from_millis(drain_ms) + MARGIN);
        let log = ended.stderr.join("\n");
        assert_eq!(ended.code, Some(EXIT_UNAVAILABLE), "{reply:?}: {log}");
        let complaint = "records were not delivered within delivery.drain_ms = 1000";
        assert_eq!(ended.lines_with(complaint), 1, "{reply:?}: {log}");
        assert_eq!(
            (ended.count("/inFlight"), ended.count("/events")),
            (50, 0),
            "{reply:?}"
        );
        assert_eq!(ended.count("/laws/adapter"), 0, "{}", ended.summary);
        let audits = seen::printed(&adapter, "audit");
        assert!(audits.iter().all(|audit| audit["status"] != "processed"));
        assert_eq!(audits.last().unwrap()["status"], "run_closed");
    }
}

#[test]
fn a_reader_of_the_audit_that_goes_away_is_a_failure_and_what_is_in_flight_is_waited_for() {
    let receiver = Receiver::start(|_| Reply::After(Duration::from_millis(100), 200));
    let rig = seen::rig(seen::burst(1_000, 50), &receiver);
    let (mut adapter, log) = rig.start_unread();
    let mut reader = BufReader::new(adapter.stdout.take().unwrap());
    let mut first = String::new();
    reader.read_line(&mut first).unwrap();
    assert!(first.contains("\"run_opened\""), "{first}");
    wait_until(DEADLINE, "requests are in flight", || receiver.most_held() == 5);
    drop(reader);

    let mut status = None;
    wait_until(DEADLINE, "the adapter ends when nobody reads its audit", || {
        status = adapter.try_wait().unwrap();
        status.is_some()
    });
    let log = std::fs::read_to_string(&log).unwrap();
    assert_eq!(
        status.and_then(|status| status.code()),
        Some(EXIT_UNAVAILABLE),
        "{log}"
    );
    let complaint = "genesys-kafka: the reader of standard output went away, and audit records go there: what it did not \
                     read is not committed; keep it open, or set audit.to = \"file\" and audit.path to a file";
    assert!(log.lines().any(|line| line == complaint), "{log}");
    let summary = log
        .lines()
        .find_map(|line| line.strip_prefix("summary "))
        .unwrap();
    let summary: Value = serde_json::from_str(summary).unwrap();
    conservation::demand(log.lines());
    assert_eq!(
        summary["events"].as_u64().unwrap() as usize,
        receiver.accepted(),
        "every request that was made has its outcome: {summary}"
    );
}
