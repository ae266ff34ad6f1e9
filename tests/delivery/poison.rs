//! Errors of the broker, each row of their table: what it demands happens, and nothing is lost.
//!
//! The table is that of the delivery results (`kafka-adapter/src/sink/kafka/meaning.rs` has it with the adapter's answers):
//!
//! | broker's answer | here |
//! | --- | --- |
//! | NOT_ENOUGH_REPLICAS, disconnect, REQUEST_TIMED_OUT, KAFKA_STORAGE_ERROR | retried inside, no trace |
//! | DUPLICATE_SEQUENCE_NUMBER | delivered, without an offset |
//! | UNKNOWN_PRODUCER_ID | retried inside, no trace |
//! | MSG_SIZE_TOO_LARGE, INVALID_RECORD, INVALID_TIMESTAMP | refused alone and kept, its neighbours delivered |
//! | TOPIC_AUTHORIZATION_FAILED | blocked, told, not ready; read and spooled all the while |
//! | INVALID_PRODUCER_EPOCH | sent again |
//! | OUT_OF_ORDER_SEQUENCE_NUMBER | new producer, replay |
//!
//! What cannot be provoked, and why:
//! - a broker that names the culprit of INVALID_RECORD, so that its neighbours fail as `InvalidDifferentRecord` (KIP-467):
//!   the mock cluster writes no record errors. The code's meaning is held in `meaning.rs`.
//! - a record that times out in the producer's queue or in flight: `message.timeout.ms` is 0 and nobody may set it. That
//!   no setting can is held in `config/owned.rs`; purged records, which the adapter treats the same, are part of each
//!   replaced producer.
//! - what a rejected batch had written nevertheless: the mock cluster writes nothing of a request that it answers with an
//!   error, so a replay makes no duplicates here. A frozen and a killed broker of `outage` do.

mod drill;

use std::collections::{BTreeMap, BTreeSet};

use rdkafka::types::RDKafkaRespErr as Code;
use serde_json::{Value, json};
use support::{probe, rig};

use crate::{DEADLINE, proofs};
use drill::{Drill, EVENTS, Outcome};

const UNREACHABLE: &str =
    "WARN destination unreachable, the source is slowed down reason=\"no broker of HOST can be reached\"";
const REACHABLE: &str = "INFO destination reachable again";
const REPEATED: &str = "INFO failed records delivered, deliveries go on held=N";
const ISOLATED: &str = "INFO refused records isolated, deliveries go on held=N";
const DIED: &str = "WARN producer died, replacing it and replaying from memory reason=\"";
/// What librdkafka dies of when the broker misses a sequence number: the broker's own word where the refused request was
/// the first in flight, its own where another was.
const LOST_SEQUENCE: [&str; 2] = [
    "OutOfOrderSequenceNumber (Broker: Broker received an out of order sequence number)\" in_flight=N",
    "failed due to sequence desynchronization with broker ",
];

/// The audit in a file, so that every request to write but those of dead letters and control records is one of events.
const AUDIT: &str = "audit.jsonl";

fn audit_file() -> [(&'static str, Value); 2] {
    [("audit.to", json!("file")), ("audit.path", json!(AUDIT))]
}

fn failed(reason: &str) -> String {
    format!("WARN delivery failed, draining before it is repeated reason=\"{reason}\" in_flight=N")
}

/// A request that is cut off before its answer is sent again, and a broker knows it by its sequence number. The mock
/// cluster keeps none and would write it twice: so each request waits for the answer to the one before.
fn one_request_in_flight() -> (&'static str, Value) {
    (
        "kafka.librdkafka.\"max.in.flight.requests.per.connection\"",
        json!(1),
    )
}

/// The error and the closed connection behind it leave no trace but that the one broker was away for a moment.
fn leaves_no_trace(error: Code) {
    let drill = Drill::start(&[one_request_in_flight()]);
    drill.inject_all(&[error; 3]);
    let outcome = drill.end();
    outcome.assert_untouched();
    let away = [UNREACHABLE, REACHABLE];
    assert!(
        outcome.told.is_empty() || outcome.told == away,
        "{:?}",
        outcome.told
    );
}

#[test]
fn too_few_replicas_are_waited_for_inside() {
    leaves_no_trace(Code::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS);
}

#[test]
fn a_connection_that_is_closed_again_and_again_is_opened_again_inside() {
    leaves_no_trace(Code::RD_KAFKA_RESP_ERR__TRANSPORT);
}

#[test]
fn a_request_that_timed_out_is_repeated_inside() {
    leaves_no_trace(Code::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT);
}

#[test]
fn a_broker_whose_disk_fails_is_tried_again_inside() {
    leaves_no_trace(Code::RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR);
}

#[test]
fn a_producer_that_the_broker_forgot_goes_on_under_the_next_epoch() {
    let drill = Drill::start(&[one_request_in_flight()]);
    drill.inject_all(&[Code::RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID]);
    let outcome = drill.end();
    outcome.assert_untouched();
    let away = [UNREACHABLE, REACHABLE];
    assert!(
        outcome.told.is_empty() || outcome.told == away,
        "{:?}",
        outcome.told
    );
}

/// Ids of events by what the audit file says of them: those at a place of the topic that holds them, and those without a
/// place. Each has one record of the status `processed`.
fn audited(outcome: &Outcome) -> (BTreeSet<String>, BTreeSet<String>) {
    let at: BTreeMap<(i64, i64), &str> = outcome
        .events
        .iter()
        .map(|event| {
            let place = (i64::from(event.record.partition), event.record.offset);
            (place, event.id())
        })
        .collect();
    let (mut placed, mut unplaced) = (BTreeSet::new(), BTreeSet::new());
    for audit in outcome.audit_file(AUDIT) {
        if audit["status"] != "processed" {
            continue;
        }
        let id = audit["eventId"].as_str().unwrap().to_owned();
        let into = match audit["outcome"]["offset"].as_i64() {
            Some(offset) => {
                let place = (audit["outcome"]["partition"].as_i64().unwrap(), offset);
                assert_eq!(at.get(&place), Some(&id.as_str()), "{audit}");
                &mut placed
            }
            None => &mut unplaced,
        };
        assert!(into.insert(id), "audited twice: {audit}");
    }
    assert!(placed.is_disjoint(&unplaced));
    (placed, unplaced)
}

#[test]
fn a_batch_that_the_broker_has_already_is_delivered_without_a_place() {
    let drill = Drill::start(&audit_file());
    drill.inject(&[Code::RD_KAFKA_RESP_ERR_DUPLICATE_SEQUENCE_NUMBER]);
    let outcome = drill.end();
    assert_eq!(outcome.told, Vec::<String>::new());
    assert_eq!(
        outcome.counts(["events", "refused", "resent", "orderExceptions"]),
        [EVENTS, 0, 0, 0]
    );
    proofs::assert_none_twice_and_none_invented(&outcome.truth, &outcome.events);
    proofs::assert_order_per_key(&outcome.events);
    // the cluster claimed to have the batch and has not, which shows which one it was
    let (placed, unplaced) = audited(&outcome);
    assert!(unplaced.len() > 1, "{unplaced:?}");
    assert_eq!(unplaced, outcome.missing());
    assert_eq!((placed.len() + unplaced.len()) as i64, EVENTS);
}

/// Ids of the records that ended in the file of last resort.
fn in_last_resort(outcome: &Outcome) -> Vec<String> {
    let ids = outcome
        .lines_of("genesys-dead-letters.jsonl")
        .into_iter()
        .map(|line| {
            let record = line["record"]["frame"]["text"].as_str().unwrap();
            let record: Value = serde_json::from_str(record).unwrap();
            record["eventId"].as_str().unwrap().to_owned()
        });
    ids.collect()
}

/// Twelve refusals in a row: the batch, its halves, a record alone, its dead letter, and so on with the next.
fn is_refused_alone(error: Code, reason: &str) {
    let drill = Drill::start(&audit_file());
    drill.inject(&[error; 12]);
    let outcome = drill.end();
    let dead: Vec<String> = outcome
        .dead_letters
        .iter()
        .map(|letter| letter.record.header("ce_id").unwrap())
        .chain(in_last_resort(&outcome))
        .collect();
    let kept: BTreeSet<String> = dead.iter().cloned().collect();
    assert_eq!(kept.len(), dead.len(), "one record kept twice");
    assert!(!kept.is_empty());
    assert_eq!(
        kept,
        outcome.missing(),
        "what is not in the topic is kept, and nothing else"
    );

    let count = |number: usize| i64::try_from(number).unwrap();
    let [events, letters, last_resort, refused, resent, replaced] = outcome.counts([
        "events",
        "deadLetters",
        "lastResort",
        "refused",
        "resent",
        "producerReplacements",
    ]);
    assert_eq!(events, EVENTS - count(kept.len()));
    assert_eq!(letters, count(outcome.dead_letters.len()));
    assert_eq!(letters + last_resort, count(kept.len()));
    assert_eq!(
        refused,
        letters + 2 * last_resort,
        "once from the topic, once more as a dead letter"
    );
    // the neighbours in the batch were sent again and delivered
    assert!(resent > 10 * count(kept.len()), "{resent}");
    assert_eq!(replaced, 0);
    proofs::assert_none_twice_and_none_invented(&outcome.truth, &outcome.events);
    assert_eq!(
        outcome.counts(["orderExceptions"]),
        [count(proofs::inversions(&outcome.events))]
    );
    let (placed, unplaced) = audited(&outcome);
    assert_eq!((count(placed.len()), unplaced.len()), (events, 0));

    let alone = "WARN record refused alone, kept as a dead letter sequence=N reason=";
    let (first, rest) = outcome.told.split_first().unwrap();
    let (last, condemned) = rest.split_last().unwrap();
    assert_eq!(
        (first, last.as_str(), count(condemned.len())),
        (&failed(reason), ISOLATED, refused)
    );
    let as_letter = format!("{alone}\"{reason}\" to=DeadLetter");
    let as_line = format!("{alone}\"{reason}; as a dead letter: {reason}\" to=LastResort");
    for line in condemned {
        assert!(*line == as_letter || *line == as_line, "{line}");
    }
}

#[test]
fn a_record_that_is_too_large_is_refused_alone() {
    is_refused_alone(
        Code::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE,
        "MessageSizeTooLarge (Broker: Message size too large)",
    );
}

#[test]
fn a_record_that_is_invalid_is_refused_alone() {
    is_refused_alone(
        Code::RD_KAFKA_RESP_ERR_INVALID_RECORD,
        "InvalidRecord (Broker: Broker failed to validate record)",
    );
}

#[test]
fn a_record_whose_time_is_out_of_range_is_refused_alone() {
    is_refused_alone(
        Code::RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP,
        "InvalidTimestamp (Broker: Invalid timestamp)",
    );
}

#[test]
fn a_right_that_was_taken_away_blocks_deliveries_while_the_spool_is_written_until_it_is_back() {
    let spool = tempfile::tempdir().unwrap();
    let mut settings = audit_file().to_vec();
    settings.extend([
        ("source.config.spool.mode", json!("disk")),
        ("source.config.spool.dir", json!(spool.path())),
        ("source.config.spool.max_bytes", json!(16 << 20)),
        ("source.config.max_frame_bytes", json!(32_768)),
    ]);
    let mut drill = Drill::start(&settings);
    // more refusals than there are attempts
    drill.inject(&[Code::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED; 500]);
    let reason = format!(
        "topic {}: TopicAuthorizationFailed (Broker: Topic authorization failed); give this user the rights Write and \
         Describe on the topic",
        drill.topics.events
    );
    let address = probe::address(&mut drill.adapter);
    assert_eq!(probe::wait_for_reason(address, "sink"), reason);
    let blocked = rig::metrics(&drill.adapter).last().unwrap().clone();
    rig::wait_for_metrics(&mut drill.adapter, DEADLINE, "reading goes on", |line| {
        line.number("totalIngested") > blocked.number("totalIngested") + 500
            && line.number("spool_bytes") > blocked.number("spool_bytes")
    });
    let later = rig::metrics(&drill.adapter).last().unwrap().clone();
    assert_eq!(later.number("resolved"), blocked.number("resolved"));
    let told = format!(
        "ERROR deliveries are blocked, the commit halts; they are repeated until they succeed reason=\"{reason}\" \
         in_flight=N"
    );
    assert_eq!(drill.told(), [told.as_str()]);
    drill.clear();
    drill.wait_for("deliveries go on");
    probe::wait_until_ready(address);
    let outcome = drill.end();
    assert_eq!(
        outcome.told,
        [told.as_str(), "INFO deliveries go on held=N blocked_ms=N"]
    );
    proofs::assert_each_once_in_order(&outcome.truth, &outcome.events);
    assert_eq!(
        outcome.counts(["events", "deadLetters", "lastResort", "refused", "totalDropped"]),
        [EVENTS, 0, 0, 0, 0]
    );
    assert_eq!(audited(&outcome).0.len() as i64, EVENTS);
}

/// What is sent again lies in the topic once, since a rejected batch is not written, and each inversion is counted.
fn assert_sent_again(outcome: &Outcome) {
    proofs::assert_none_twice_and_none_invented(&outcome.truth, &outcome.events);
    proofs::assert_none_missing(&outcome.truth, &outcome.events);
    let inversions = i64::try_from(proofs::inversions(&outcome.events)).unwrap();
    assert_eq!(
        outcome.counts([
            "events",
            "deadLetters",
            "lastResort",
            "refused",
            "orderExceptions"
        ]),
        [EVENTS, 0, 0, 0, inversions]
    );
    assert!(outcome.counts(["resent"])[0] > 1);
    assert_eq!(audited(outcome).0.len() as i64, EVENTS);
}

#[test]
fn a_batch_of_an_old_epoch_is_sent_again() {
    let drill = Drill::start(&audit_file());
    drill.inject(&[Code::RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH]);
    let outcome = drill.end();
    assert_sent_again(&outcome);
    assert_eq!(outcome.counts(["producerReplacements"]), [0]);
    let reason = "InvalidProducerEpoch (Broker: Producer attempted an operation with an old epoch)";
    assert_eq!(outcome.told, [failed(reason).as_str(), REPEATED]);
}

#[test]
fn with_one_request_in_flight_a_batch_that_is_sent_again_keeps_its_order() {
    let mut settings = audit_file().to_vec();
    settings.push(one_request_in_flight());
    let drill = Drill::start(&settings);
    drill.inject(&[Code::RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH]);
    let outcome = drill.end();
    assert_sent_again(&outcome);
    proofs::assert_order_per_key(&outcome.events);
}

#[test]
fn a_lost_sequence_kills_the_producer_and_its_successor_replays_from_memory() {
    let drill = Drill::start(&audit_file());
    drill.inject(&[Code::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER]);
    let outcome = drill.end();
    assert_sent_again(&outcome);
    proofs::assert_order_per_key(&outcome.events);
    assert_eq!(outcome.counts(["producerReplacements"]), [1]);
    let [told] = &outcome.told[..] else {
        panic!("one line for one death: {:?}", outcome.told);
    };
    let reason = told.strip_prefix(DIED).unwrap_or_else(|| panic!("{told}"));
    assert!(LOST_SEQUENCE.iter().any(|known| reason.contains(known)), "{told}");
}
