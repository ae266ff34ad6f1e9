//! A full disk under the local files: what was acknowledged is on it, as whole lines, and the rest waits for room.
//!
//! The limit on the size of a file stands in for the disk, since it needs no privilege: the write that crosses it is
//! cut short like one on a full disk, and every further one fails.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use simulator::Options;
use support::rig;
use support::topics::Audit;
use support::{Process, ReadRecord, Rig, Stream, wait_until};

use crate::{DEADLINE, proofs, words};

/// Events of a run; each takes some 500 bytes of the audit.
const EVENTS: u64 = 1_000;
/// Where the disk is full, in bytes: after some hundred audit records, in the middle of one.
const FULL_BYTES: u64 = 65_001;
/// Exit code where something was left undelivered (`EX_UNAVAILABLE` of sysexits(3)).
const EXIT_UNAVAILABLE: i32 = 69;

/// Events to standard output, their audit into a file that no longer fits the disk; returns once that is so.
fn on_a_full_disk(drain_ms: u64) -> (Rig, Process, PathBuf) {
    let options = Options {
        events: Some(EVENTS),
        rate: 0,
        conversations: 20,
        ..Options::default()
    };
    let rig = Rig::new(options)
        .in_memory()
        .set("delivery.to", "lines")
        .set("delivery.drain_ms", drain_ms)
        // few at a time, or the first write of the audit would be larger than the disk
        .set("delivery.max_in_flight_records", 100)
        .set("audit.to", "file")
        .set("audit.path", "audit.jsonl");
    let audit = rig.folder().join("audit.jsonl");
    let mut adapter = rig.launch(&[]).start();
    adapter.limit_files(Some(FULL_BYTES));
    let line = adapter.wait_for_line(Stream::Stderr, words::BLOCKED, DEADLINE);
    assert!(line.contains("audit.jsonl cannot be written"), "{line}");
    (rig, adapter, audit)
}

/// The audit records of a file by sequence; a line that is none is a panic.
fn read(path: &PathBuf) -> Vec<Audit> {
    let text = std::fs::read_to_string(path).unwrap();
    let mut audits = audits(&text);
    audits.sort_by_key(Audit::sequence);
    audits
}

/// The audit records of a text, in its order; a line that is none is a panic.
pub(crate) fn audits(text: &str) -> Vec<Audit> {
    assert!(text.ends_with('\n'), "half a line at the end: {text:?}");
    text.lines()
        .map(|line| Audit {
            body: serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")),
            record: ReadRecord {
                partition: 0,
                offset: 0,
                key: None,
                headers: Vec::new(),
                value: Some(line.as_bytes().to_vec()),
                timestamp: None,
            },
        })
        .collect()
}

/// Sequences of the events on standard output, in order.
pub(crate) fn printed_events(adapter: &Process) -> Vec<u64> {
    let lines = adapter.lines(Stream::Stdout);
    let lines = lines
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let events = lines.filter(|line| line["kind"] == "event");
    events.map(|line| line["sequence"].as_u64().unwrap()).collect()
}

/// Sequences of the records that the audit calls processed, in the order of the chain.
pub(crate) fn processed(audits: &[Audit]) -> Vec<u64> {
    let audits = audits.iter().filter(|audit| audit.status() == "processed");
    audits
        .map(|audit| audit.body["sourceSequence"].as_u64().unwrap())
        .collect()
}

#[test]
fn a_full_disk_halts_the_deliveries_and_they_go_on_when_there_is_room_again() {
    let (rig, mut adapter, audit) = on_a_full_disk(60_000);
    rig::wait_until_ingested(&mut adapter, rig.simulator(), DEADLINE);
    // the source keeps what is not pulled, so that the adapter's memory stays bounded
    rig::wait_for_metrics(&mut adapter, DEADLINE, "the bound is reached", |line| {
        line.number("in_flight") > 0 && line.number("queueDepth") > 100
    });
    adapter.limit_files(None);
    wait_until(DEADLINE, "everything is delivered", || {
        rig::metrics(&adapter)
            .last()
            .is_some_and(|line| line.number("in_flight") == 0 && line.number("queueDepth") == 0)
    });
    let ended = rig::stop(&mut adapter, DEADLINE);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr.join("\n"));
    proofs::assert_laws(&ended);
    assert_eq!(ended.lines_with(words::BLOCKED), 1, "{}", ended.stderr.join("\n"));
    assert!(ended.lines_with(words::UNBLOCKED) >= 1);

    let audits = read(&audit);
    proofs::assert_chain(&audits);
    proofs::assert_valid("audit", audits.iter().map(|audit| &audit.body));
    let printed = printed_events(&adapter);
    assert_eq!(printed.len() as u64, EVENTS);
    assert_eq!(processed(&audits), printed);
}

#[test]
fn a_stop_on_a_full_disk_leaves_whole_lines_and_every_record_that_was_acknowledged() {
    let (rig, mut adapter, audit) = on_a_full_disk(1_000);
    rig::wait_until_ingested(&mut adapter, rig.simulator(), DEADLINE);
    let ended = rig::stop(&mut adapter, Duration::from_secs(30));
    assert_eq!(ended.code, Some(EXIT_UNAVAILABLE), "{}", ended.stderr.join("\n"));
    assert_eq!(ended.lines_with("were not delivered"), 1);
    assert_eq!(ended.count("/laws/adapter"), 0, "{}", ended.summary);

    let audits = read(&audit);
    let length_bytes = std::fs::metadata(&audit).unwrap().len();
    assert!(length_bytes < FULL_BYTES, "{length_bytes}");
    assert_eq!(audits[0].status(), "run_opened");
    let processed = processed(&audits);
    assert!(!processed.is_empty() && (processed.len() as u64) < EVENTS);
    // control records have no audit, and none was delivered before the end
    assert_eq!(ended.count("/resolved"), processed.len() as i64);
    let processed: BTreeSet<u64> = processed.into_iter().collect();
    let committed = ended.count("/committed");
    let unaudited = printed_events(&adapter)
        .into_iter()
        .find(|sequence| *sequence as i64 <= committed && !processed.contains(sequence));
    assert_eq!(
        unaudited, None,
        "committed up to {committed} without its audit record"
    );
}
