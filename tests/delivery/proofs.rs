//! What must hold of the topics, as assertions that say what is wrong.
//!
//! Everything here is computed anew from public definitions (Kafka's murmur2, the documented canonical form of an
//! audit record, the JSON Schemas); nothing is borrowed from the code under test.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;
use sha2::{Digest, Sha256};
use simulator::{Kind, TruthLine};
use support::rig::Ended;
use support::topics::{Audit, DeadLetter, Event, Gap};

/// An event of the simulator: conversation, and number in it.
pub(crate) type Name = (String, u64);

/// The name of a line of ground truth that stands for an event that happened, sent or not.
pub(crate) fn name(line: &TruthLine) -> Option<Name> {
    matches!(line.kind, Kind::Event | Kind::Binary | Kind::Unsent)
        .then(|| (line.conversation_id.clone().unwrap(), line.ordinal.unwrap()))
}

/// When the event was sent, or happened unsent.
fn moment_us(line: &TruthLine) -> u64 {
    line.sent_us.or(line.at_us).unwrap()
}

/// Every event of the ground truth with its line.
pub(crate) fn happened(truth: &[TruthLine]) -> BTreeMap<Name, &TruthLine> {
    let events: BTreeMap<Name, &TruthLine> = truth
        .iter()
        .filter_map(|line| Some((name(line)?, line)))
        .collect();
    assert!(!events.is_empty(), "the ground truth holds no event");
    events
}

/// Partition and offset of each place at which an event lies.
fn delivered(events: &[Event]) -> HashMap<Name, Vec<(i32, i64)>> {
    let mut places: HashMap<Name, Vec<(i32, i64)>> = HashMap::new();
    for event in events {
        let name = (event.conversation().to_owned(), event.ordinal());
        places
            .entry(name)
            .or_default()
            .push((event.record.partition, event.record.offset));
    }
    places
}

/// No event lies in the topic twice, and none that never happened.
pub(crate) fn assert_none_twice_and_none_invented(truth: &[TruthLine], events: &[Event]) {
    let happened = happened(truth);
    let mut repeated = Vec::new();
    for (name, places) in delivered(events) {
        assert!(happened.contains_key(&name), "{name:?} never happened");
        if places.len() > 1 {
            repeated.push((places, name));
        }
    }
    repeated.sort();
    assert!(
        repeated.is_empty(),
        "{} events lie in the topic more than once: {repeated:?}",
        repeated.len()
    );
}

/// Within each conversation events lie in the order in which they happened.
pub(crate) fn assert_order_per_key(events: &[Event]) {
    let inverted = inversions(events);
    assert_eq!(inverted, 0, "pairs of one conversation in the wrong order");
}

/// Each event of the ground truth lies in the topic once, in the order of its conversation.
pub(crate) fn assert_each_once_in_order(truth: &[TruthLine], events: &[Event]) {
    assert_none_twice_and_none_invented(truth, events);
    let missing = missing(truth, events);
    assert!(
        missing.is_empty(),
        "{} events are missing, first {:?}",
        missing.len(),
        missing.first()
    );
    assert_order_per_key(events);
}

/// The first copy of each event, by offset; every further one has the same `eventId`, and so can be told.
pub(crate) fn without_repeats(events: &[Event]) -> Vec<Event> {
    let mut firsts: BTreeMap<Name, Event> = BTreeMap::new();
    for event in events {
        let first = firsts
            .entry((event.conversation().to_owned(), event.ordinal()))
            .or_insert_with(|| event.clone());
        assert_eq!(first.id(), event.id(), "copies of one event under two ids");
        if (event.record.partition, event.record.offset) < (first.record.partition, first.record.offset) {
            first.clone_from(event);
        }
    }
    firsts.into_values().collect()
}

/// Events of the ground truth that do not lie in the topic.
pub(crate) fn missing<'a>(truth: &'a [TruthLine], events: &[Event]) -> Vec<&'a TruthLine> {
    let delivered = delivered(events);
    let absent = |(name, line)| (!delivered.contains_key(&name)).then_some(line);
    happened(truth).into_iter().filter_map(absent).collect()
}

/// Nothing is missing; says how many are, and where the others stand.
pub(crate) fn assert_none_missing(truth: &[TruthLine], events: &[Event]) {
    let missing = missing(truth, events);
    let mut by_partition: HashMap<i32, (usize, i64)> = HashMap::new();
    for event in events {
        let (count, last) = by_partition.entry(event.record.partition).or_default();
        *count += 1;
        *last = event.record.offset.max(*last);
    }
    assert!(
        missing.is_empty(),
        "{} of {} events are missing, the first is {:?}; read by partition (count, last offset): {by_partition:?}",
        missing.len(),
        happened(truth).len(),
        missing.first().map(|line| (&line.id, &line.conversation_id)),
    );
}

/// Whatever is missing happened within one of the gaps.
pub(crate) fn assert_missing_only_within(gaps: &[Gap], missing: &[&TruthLine]) {
    let outside: Vec<&&TruthLine> = missing
        .iter()
        .filter(|line| !gaps.iter().any(|gap| gap.contains(moment_us(line))))
        .collect();
    assert!(
        outside.is_empty(),
        "{} of {} lost events lie outside every recorded gap: {:?} to {:?}\n{gaps:#?}",
        outside.len(),
        missing.len(),
        outside.iter().min_by_key(|line| moment_us(line)),
        outside.iter().max_by_key(|line| moment_us(line)),
    );
}

/// Number of pairs of one key in the wrong order within their partition.
pub(crate) fn inversions(events: &[Event]) -> usize {
    let mut by_key: HashMap<String, Vec<(i32, i64, u64)>> = HashMap::new();
    for event in events {
        let place = (event.record.partition, event.record.offset, event.ordinal());
        by_key.entry(event.record.key_text()).or_default().push(place);
    }
    let mut pairs = 0;
    for mut places in by_key.into_values() {
        places.sort_unstable();
        let partitions: BTreeSet<i32> = places.iter().map(|(partition, ..)| *partition).collect();
        assert_eq!(partitions.len(), 1, "one key lies in several partitions");
        for (index, (_, _, ordinal)) in places.iter().enumerate() {
            pairs += places[index + 1..]
                .iter()
                .filter(|(_, _, later)| later < ordinal)
                .count();
        }
    }
    pairs
}

/// Each event has exactly one `processed` record, which names the place where that very event lies; likewise each dead
/// letter has one `dead_lettered` record.
pub(crate) fn assert_audits_are_true(
    audits: &[Audit],
    (events_topic, events): (&str, &[Event]),
    (dead_letters_topic, dead_letters): (&str, &[DeadLetter]),
) {
    let of_events = events
        .iter()
        .map(|event| ((event.record.partition, event.record.offset), event.id()));
    assert_audits_name("processed", events_topic, audits, of_events.collect());
    let of_dead_letters = dead_letters.iter().map(|letter| {
        let id = letter
            .record
            .header("ce_id")
            .expect("a dead letter has an id in its headers");
        ((letter.record.partition, letter.record.offset), id)
    });
    let ids: Vec<((i32, i64), String)> = of_dead_letters.collect();
    let ids = ids.iter().map(|(place, id)| (*place, id.as_str())).collect();
    assert_audits_name("dead_lettered", dead_letters_topic, audits, ids);
}

fn assert_audits_name(status: &str, topic: &str, audits: &[Audit], mut at: BTreeMap<(i32, i64), &str>) {
    for audit in audits.iter().filter(|audit| audit.status() == status) {
        let (named, partition, offset) = audit.place();
        assert_eq!(named, topic, "{}", audit.body);
        let id = at.remove(&(partition, offset));
        assert_eq!(
            id,
            Some(audit.event_id()),
            "the {status} record names a place where another record lies, none, or one named before: {}",
            audit.body
        );
    }
    assert!(
        at.is_empty(),
        "{} records of {topic} have no {status} record, first {:?}",
        at.len(),
        at.iter().next()
    );
}

/// The audit trail of one run that cites none before it: opened, contiguous, linked, each hash as documented, closed.
pub(crate) fn assert_chain(audits: &[Audit]) {
    assert_chain_after(audits, &Value::Null);
}

/// The same of a run whose first record cites this hash.
pub(crate) fn assert_chain_after(audits: &[Audit], previous: &Value) {
    assert_eq!(audits.first().expect("an audit trail").status(), "run_opened");
    assert_eq!(audits.last().unwrap().status(), "run_closed");
    let run = &audits[0].body["runId"];
    let mut previous = previous.clone();
    for (place, audit) in audits.iter().enumerate() {
        let body = &audit.body;
        assert_eq!(
            audit.sequence(),
            place as u64 + audits[0].sequence(),
            "a hole or a repeat in the chain: {body}"
        );
        assert_eq!(&body["runId"], run, "{body}");
        assert_eq!(
            body["prevHash"], previous,
            "the link to the record before is broken: {body}"
        );
        assert_eq!(
            body["hash"],
            hash(audit.record.value.as_deref().unwrap()),
            "{body}"
        );
        previous = body["hash"].clone();
    }
}

/// SHA-256 of the record as sent, without its last member: the canonical form.
fn hash(record: &[u8]) -> String {
    let text = std::str::from_utf8(record).unwrap();
    let (head, tail) = text.rsplit_once(",\"hash\":\"").expect("hash is the last member");
    assert_eq!(tail.len(), 64 + 2, "nothing stands behind the hash");
    let digest = Sha256::digest(format!("{head}}}"));
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Every body validates against a schema of `schemas/`.
pub(crate) fn assert_valid<'a>(schema: &str, bodies: impl IntoIterator<Item = &'a Value>) {
    let path = support::workspace_root()
        .join("schemas")
        .join(format!("{schema}.schema.json"));
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    for body in bodies {
        if let Err(error) = validator.validate(body) {
            panic!("{error} at {}: {body}", error.instance_path());
        }
    }
}

/// CloudEvents 1.0 in binary mode, key and partition of each event.
pub(crate) fn assert_envelopes(events: &[Event], partitions: i32) {
    for Event { record, body } in events {
        let header = |name: &str| {
            record
                .header(name)
                .unwrap_or_else(|| panic!("no {name}: {record:?}"))
        };
        assert_eq!(header("ce_specversion"), "1.0");
        assert_eq!(header("ce_id"), body["eventId"]);
        assert_eq!(header("ce_type"), body["eventType"]);
        assert_eq!(header("ce_time"), body["timestamp"]);
        assert_eq!(header("content-type"), "application/json");
        assert!(!header("ce_source").is_empty());
        assert_eq!(record.key_text(), body["conversationId"]);
        let key = record.key.as_deref().unwrap();
        assert_eq!(
            record.partition,
            partition(key, partitions),
            "not where a Java producer would put it"
        );
    }
}

/// The summary's laws, each 0, and its counts agree with each other.
pub(crate) fn assert_laws(ended: &Ended) {
    for law in ["frames", "records", "adapter"] {
        assert_eq!(
            ended.count(&format!("/laws/{law}")),
            0,
            "law of {law}: {}",
            ended.summary
        );
    }
    assert_eq!(ended.count("/strayOutcomes"), 0);
    assert_eq!(ended.count("/auditsWritten"), ended.count("/auditsAcknowledged"));
}

/// The partition of a key by Kafka's default partitioner.
///
/// # Source
/// `org.apache.kafka.common.utils.Utils.murmur2` and `toPositive`, Kafka 4.x.
fn partition(key: &[u8], partitions: i32) -> i32 {
    (murmur2(key) & i32::MAX) % partitions
}

fn murmur2(data: &[u8]) -> i32 {
    const M: u32 = 0x5bd1_e995;
    const R: u32 = 24;
    let length = u32::try_from(data.len()).unwrap();
    let mut hash = 0x9747_b28c_u32 ^ length;
    let (words, rest) = data.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> R;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !rest.is_empty() {
        for (place, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * place);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    (hash ^ hash >> 15).cast_signed()
}

/// The vectors of Kafka's own `UtilsTest.testMurmur2`.
#[test]
fn murmur2_gives_what_kafkas_own_test_demands() {
    let vectors = [
        ("21", -973_932_308),
        ("foobar", -790_332_482),
        ("a-little-bit-long-string", -985_981_536),
        ("a-little-bit-longer-string", -1_486_304_829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        ("abc", 479_470_107),
    ];
    for (text, expected) in vectors {
        assert_eq!(murmur2(text.as_bytes()), expected, "{text}");
    }
}
