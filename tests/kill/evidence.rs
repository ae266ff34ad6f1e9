//! The judge: topics, ground truth, and what each kill left.
//!
//! Responsible for the claims that hold after every drill, whatever it killed and when. Refuses to believe the adapter.
//! Invariant: it looks once, after the last process has ended.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use support::rig::Ended;
use support::topics::{Event, Gap, gaps};
use support::{Launch, read_back};

use crate::adapter::Adapter;
use crate::{DEADLINE, proofs};

/// How much earlier than the downtime a crash gap may begin, in microseconds: the bound, which holds the half second
/// between two signs of life, the sync of the last one, and what was on its way through the network.
const BEFORE_US: u64 = 1_500_000;

/// What a drill left, read once.
pub(crate) struct Evidence {
    /// Without their values.
    pub(crate) events: Vec<Event>,
    /// Gaps in the order in which they were opened.
    pub(crate) gaps: Vec<Gap>,
    /// Events that lie in the topic more than once.
    pub(crate) repeated: BTreeSet<String>,
    /// Events that happened and do not lie there.
    pub(crate) missing: usize,
    /// Events that were put on a socket and do not lie there.
    pub(crate) missing_sent: usize,
    /// Events that happened.
    pub(crate) happened: usize,
}

/// Reads everything and demands what every drill promises.
pub(crate) fn judge(adapter: &Adapter<'_>, ended: &Ended) -> Evidence {
    assert_eq!(ended.code, Some(0), "{}", ended.stderr.join("\n"));
    let (servers, topics) = (adapter.broker.bootstrap_servers(), &adapter.topics);
    let truth = adapter.rig.simulator().truth();
    let counters = adapter.rig.simulator().counters();
    assert!(
        !counters.truth_truncated,
        "the ground truth was cut: {counters:?}"
    );

    let events = read_events(servers, &topics.events);
    let control = read_control(servers, &topics.control);
    assert_held_is_there(adapter, &events, &control);

    let known = proofs::happened(&truth);
    let mut copies: BTreeMap<&str, usize> = BTreeMap::new();
    for event in &events {
        let name = (event.conversation().to_owned(), event.ordinal());
        assert!(known.contains_key(&name), "{name:?} never happened");
        *copies.entry(event.id()).or_default() += 1;
    }
    assert_repeats_were_held(adapter, &copies);
    proofs::assert_order_per_key(&proofs::without_repeats(&events));

    proofs::assert_valid("control", &control);
    let gaps = gaps(&control);
    assert_gaps_are_those_of_the_kills(adapter, &gaps);
    let missing = proofs::missing(&truth, &events);
    proofs::assert_missing_only_within(&gaps, &missing);
    assert_audit_verifies(adapter);

    let repeated = copies.iter().filter(|(_, copies)| **copies > 1);
    let repeated = repeated.map(|(id, _)| (*id).to_owned()).collect();
    let (missing_sent, missing) = (
        missing.iter().filter(|line| line.sent_us.is_some()).count(),
        missing.len(),
    );
    Evidence {
        gaps,
        repeated,
        missing,
        missing_sent,
        happened: known.len(),
        events,
    }
}

/// The events topic; copies of one event are equal byte for byte.
pub(crate) fn read_events(servers: &str, topic: &str) -> Vec<Event> {
    let mut bodies: HashMap<String, [u8; 32]> = HashMap::new();
    let mut events = Vec::new();
    for mut record in read_back(servers, topic) {
        let mut body = record.json();
        let value = record.value.take().unwrap();
        // a long drill leaves hundreds of thousands, and what they say to each other is not looked at
        let metadata = body["payload"]["metadata"].take();
        body["payload"] = serde_json::json!({ "metadata": metadata });
        let event = Event { record, body };
        let digest = Sha256::digest(&value).into();
        let before = bodies.entry(event.id().to_owned()).or_insert(digest);
        assert_eq!(*before, digest, "copies of {} differ", event.id());
        events.push(event);
    }
    events
}

/// The control topic, each record once; copies of one record are equal.
fn read_control(servers: &str, topic: &str) -> Vec<Value> {
    let mut seen: HashMap<String, Value> = HashMap::new();
    let mut control = Vec::new();
    for record in read_back(servers, topic) {
        let body = record.json();
        let id = body["controlId"].as_str().unwrap().to_owned();
        if let Some(before) = seen.insert(id, body.clone()) {
            assert_eq!(before, body, "copies of a control record differ");
        } else {
            control.push(body);
        }
    }
    control
}

/// What lay in the spool between a kill and the next start, committed or not, lies in its topic, and each event has its audit
/// record.
fn assert_held_is_there(adapter: &Adapter<'_>, events: &[Event], control: &[Value]) {
    let mut audited: HashMap<u64, String> = HashMap::new();
    for record in read_back(adapter.broker.bootstrap_servers(), &adapter.topics.audit) {
        let body = record.json();
        if let (Some(sequence), "processed") =
            (body["sourceSequence"].as_u64(), body["status"].as_str().unwrap())
        {
            let id = body["eventId"].as_str().unwrap().to_owned();
            if let Some(before) = audited.insert(sequence, id.clone()) {
                assert_eq!(before, id, "two events under the number {sequence}");
            }
        }
    }
    let events: BTreeSet<&str> = events.iter().map(Event::id).collect();
    let control: BTreeSet<&str> = control
        .iter()
        .map(|body| body["controlId"].as_str().unwrap())
        .collect();
    for (kill, held) in adapter.kills.iter().enumerate() {
        for record in held.committed.iter().chain(&held.records) {
            let is_there = if record.is_event {
                events.contains(record.id.as_str()) && audited.get(&record.sequence) == Some(&record.id)
            } else {
                control.contains(record.id.as_str())
            };
            assert!(is_there, "held at kill {kill}, and lost: {record:?}");
        }
    }
}

/// Nothing lies in the topic more often than the guarantee allows: once, and once more for each kill at which the spool held
/// it.
fn assert_repeats_were_held(adapter: &Adapter<'_>, copies: &BTreeMap<&str, usize>) {
    let mut allowed: HashMap<&str, usize> = HashMap::new();
    if adapter.guarantee.may_repeat {
        for id in adapter.kills.iter().flat_map(|held| held.event_ids()) {
            *allowed.entry(id).or_default() += 1;
        }
    }
    for (id, copies) in copies {
        let allowed = 1 + allowed.get(id).copied().unwrap_or_default();
        assert!(
            *copies <= allowed,
            "{id} lies in the topic {copies} times, at most {allowed} can be"
        );
    }
}

/// Each downtime has its crash gaps, each crash gap its downtime, and nothing else was ever missed but for the end.
fn assert_gaps_are_those_of_the_kills(adapter: &Adapter<'_>, gaps: &[Gap]) {
    let (stopped, crashes) = gaps.split_last().unwrap();
    assert_eq!((stopped.cause.as_str(), stopped.to_ms), ("stopped", None));
    let mut explained = BTreeSet::new();
    for gap in crashes {
        assert_eq!(gap.cause, "crash", "{gap:?}");
        let from_us = u64::try_from(gap.from_ms).unwrap() * 1000;
        let to_us = u64::try_from(gap.to_ms.unwrap_or_else(|| panic!("not closed: {gap:?}"))).unwrap() * 1000;
        let downtime = adapter.downtimes.iter().position(|down| {
            down.from_us <= from_us + BEFORE_US && to_us <= down.to_us && from_us <= down.to_us
        });
        let downtime = downtime.unwrap_or_else(|| {
            panic!(
                "longer than its downtime and 1.5 s: {gap:?}\n{:#?}",
                adapter.downtimes
            )
        });
        explained.insert(downtime);
    }
    assert_eq!(
        explained.len(),
        adapter.downtimes.len(),
        "a downtime without its gap: {:#?}\n{gaps:#?}",
        adapter.downtimes
    );
}

/// The chain of every run is whole, as far as the run came.
fn assert_audit_verifies(adapter: &Adapter<'_>) {
    adapter.rig.write_config();
    let verified = Launch::binary("genesys-kafka")
        .args(["verify", "--from-kafka", "--config", "genesys-kafka.toml"])
        .current_dir(adapter.rig.folder())
        .run(DEADLINE);
    let said = verified.stdout.join("\n");
    assert_eq!(verified.status.code(), Some(0), "{said}");
    let closed = |line: &&String| line.ends_with(", closed");
    assert_eq!(verified.stdout.iter().filter(closed).count(), 1, "{said}");
    assert!(
        said.ends_with("consistent, not authenticated (the hashes carry no key)"),
        "{said}"
    );
}
