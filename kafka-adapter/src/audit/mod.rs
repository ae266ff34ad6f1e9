//! The audit trail: one record per delivered event, chained by hash within a run.
//!
//! Responsible for the bytes of audit records and for the chain. Refuses to deliver them (the pipeline does) and to
//! write `processed` before the delivery report is there. Invariant: record *n* of a run cites the hash of record
//! *n* − 1, and the same facts at the same place of the chain give the same bytes.
//!
//! # The hash
//! An audit record is one JSON object on one line, without blanks between its members, and `hash` is its last
//! member. The **canonical bytes** are the record as sent with `,"hash":"<64 hex digits>"` cut out, so they end with
//! the closing brace. `hash` is the lower-case hexadecimal SHA-256 of the canonical bytes. `prevHash` is the `hash`
//! of the record before it in the same run (`runId`); in the first one that of the last record of the run before, where
//! that is known (in an audit file it is), else `null`. To verify: sort a run by `sequence`, drop byte-identical repeats,
//! cut, hash, compare.

mod counts;
mod facts;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::text::{push_hex, push_json_string, push_number, push_time};

pub use counts::Counts;
pub use facts::{Destination, Facts, Status};

/// Version of the layout of audit records.
pub const SCHEMA_VERSION: &str = "1.0";
/// Where the events come from, in the tutorial's words.
pub const EVENT_SOURCE: &str = "genesys-cloud-ws";
/// Namespace of `auditId`: UUIDv5 of the DNS name `audit.genesys-kafka.example`.
const NAMESPACE: Uuid = Uuid::from_u128(0x00ef_3b8a_59ba_5fba_952c_db11_67bd_8fc2);

/// Length of `,"hash":"` + 64 digits + `"`, in bytes.
pub(crate) const HASH_MEMBER_BYTES: usize = 74;

/// The chain of one run.
#[derive(Debug)]
pub struct Chain {
    run_id: String,
    source_name: String,
    compliance_tag: String,
    /// Number of records written so far.
    sequence: u64,
    previous: Option<[u8; 32]>,
    name: Vec<u8>,
}

impl Chain {
    /// Begins the chain of a run.
    #[must_use]
    pub fn new(run_id: String, source_name: String, compliance_tag: String) -> Self {
        Self {
            run_id,
            source_name,
            compliance_tag,
            sequence: 0,
            previous: None,
            name: Vec::with_capacity(256),
        }
    }

    /// Lets the first record cite the last one of the run before, by its hash.
    #[must_use]
    pub fn citing(mut self, previous: Option<[u8; 32]>) -> Self {
        if self.is_empty() {
            self.previous = previous;
        }
        self
    }

    /// Number of records in the chain.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.sequence
    }

    /// Says whether nothing has been written yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sequence == 0
    }

    /// Appends one record to the chain and writes its bytes to `into`, which is cleared first.
    ///
    /// # Units
    /// `now_us`: microseconds since 1970 UTC.
    pub fn append(&mut self, facts: &Facts<'_>, now_us: i64, into: &mut Vec<u8>) {
        self.sequence += 1;
        let audit_id = self.audit_id(facts);
        into.clear();
        into.extend_from_slice(b"{\"auditId\":\"");
        into.extend_from_slice(
            audit_id
                .hyphenated()
                .encode_lower(&mut Uuid::encode_buffer())
                .as_bytes(),
        );
        into.extend_from_slice(b"\",\"schemaVersion\":\"");
        into.extend_from_slice(SCHEMA_VERSION.as_bytes());
        into.extend_from_slice(b"\",\"processedAt\":\"");
        push_time(into, now_us);
        into.extend_from_slice(b"\",\"eventSource\":\"");
        into.extend_from_slice(EVENT_SOURCE.as_bytes());
        into.extend_from_slice(b"\",\"analyticsId\":");
        push_optional(into, facts.analytics_id);
        into.extend_from_slice(b",\"eventId\":");
        push_optional(into, facts.event_id);
        into.extend_from_slice(b",\"status\":\"");
        into.extend_from_slice(facts.status.as_str().as_bytes());
        into.extend_from_slice(b"\",\"complianceTag\":");
        push_json_string(into, &self.compliance_tag);
        into.extend_from_slice(b",\"outcome\":");
        match &facts.destination {
            Some(destination) => destination.push_json(into),
            None => into.extend_from_slice(b"null"),
        }
        into.extend_from_slice(b",\"reason\":");
        push_optional(into, facts.reason);
        into.extend_from_slice(b",\"sourceSequence\":");
        match facts.source_sequence {
            Some(sequence) => push_number(into, sequence),
            None => into.extend_from_slice(b"null"),
        }
        if let Some(counts) = &facts.counts {
            into.extend_from_slice(b",\"counts\":");
            counts.push_json(into);
        }
        into.extend_from_slice(b",\"sequence\":");
        push_number(into, self.sequence);
        into.extend_from_slice(b",\"runId\":");
        push_json_string(into, &self.run_id);
        into.extend_from_slice(b",\"prevHash\":");
        match &self.previous {
            Some(hash) => {
                into.push(b'"');
                push_hex(into, hash);
                into.push(b'"');
            }
            None => into.extend_from_slice(b"null"),
        }
        into.push(b'}');
        let hash: [u8; 32] = Sha256::digest(into.as_slice()).into();
        into.pop();
        into.extend_from_slice(b",\"hash\":\"");
        push_hex(into, &hash);
        into.extend_from_slice(b"\"}");
        self.previous = Some(hash);
    }

    /// UUIDv5 of what the record is about, so that the same outcome of the same record has the same id in every run;
    /// records about the run itself are named by the run and their place in it.
    fn audit_id(&mut self, facts: &Facts<'_>) -> Uuid {
        self.name.clear();
        self.name.extend_from_slice(self.source_name.as_bytes());
        self.name.push(0);
        if let Some(sequence) = facts.source_sequence {
            push_number(&mut self.name, sequence);
        } else {
            self.name.extend_from_slice(self.run_id.as_bytes());
            self.name.push(b'#');
            push_number(&mut self.name, self.sequence);
        }
        self.name.push(0);
        self.name
            .extend_from_slice(facts.event_id.unwrap_or_default().as_bytes());
        self.name.push(0);
        self.name.extend_from_slice(facts.status.as_str().as_bytes());
        Uuid::new_v5(&NAMESPACE, &self.name)
    }
}

fn push_optional(into: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) => push_json_string(into, text),
        None => into.extend_from_slice(b"null"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn chain() -> Chain {
        Chain::new(
            "run-1".to_owned(),
            "main".to_owned(),
            "data-governance-v1".to_owned(),
        )
    }

    fn processed<'a>(sequence: u64, id: &'a str, offset: Option<i64>) -> Facts<'a> {
        Facts {
            status: Status::Processed,
            analytics_id: Some("conversation"),
            event_id: Some(id),
            destination: Some(Destination::Kafka {
                topic: "genesys.events",
                partition: 3,
                offset,
            }),
            reason: None,
            source_sequence: Some(sequence),
            counts: None,
        }
    }

    /// Checks one record of a chain as a verifier would, and returns its hash.
    fn verify(bytes: &[u8], previous: &Value) -> Value {
        let record: Value = serde_json::from_slice(bytes).unwrap();
        assert_eq!(&record["prevHash"], previous);
        let mut canonical = bytes[..bytes.len() - HASH_MEMBER_BYTES - 1].to_vec();
        canonical.push(b'}');
        let mut hash = Vec::new();
        push_hex(&mut hash, &Sha256::digest(&canonical));
        assert_eq!(record["hash"], String::from_utf8(hash).unwrap());
        record["hash"].clone()
    }

    #[test]
    fn a_processed_record_carries_what_the_tutorial_and_the_design_ask_for() {
        let mut bytes = Vec::new();
        chain().append(
            &processed(41, "event-1", Some(7)),
            1_795_467_600_123_456,
            &mut bytes,
        );
        let record: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(record["schemaVersion"], "1.0");
        assert_eq!(record["processedAt"], "2026-11-23T21:00:00.123Z");
        assert_eq!(record["eventSource"], "genesys-cloud-ws");
        assert_eq!(record["analyticsId"], "conversation");
        assert_eq!(record["eventId"], "event-1");
        assert_eq!(record["status"], "processed");
        assert_eq!(record["complianceTag"], "data-governance-v1");
        assert_eq!(
            record["outcome"],
            serde_json::json!({"to": "kafka", "topic": "genesys.events", "partition": 3, "offset": 7})
        );
        assert_eq!(record["reason"], Value::Null);
        assert_eq!(record["sourceSequence"], 41);
        assert_eq!(record["sequence"], 1);
        assert_eq!(record["runId"], "run-1");
        assert_eq!(record["prevHash"], Value::Null);
    }

    #[test]
    fn every_kind_of_record_keeps_the_published_schema() {
        let schema: Value = serde_json::from_str(include_str!("../../../schemas/audit.schema.json")).unwrap();
        let schema = jsonschema::validator_for(&schema).unwrap();
        let run = "0195510a-7c00-7000-8000-0000000000aa";
        let mut chain = Chain::new(run.to_owned(), "main".to_owned(), "data-governance-v1".to_owned());
        let dead = Facts {
            status: Status::DeadLettered,
            destination: Some(Destination::File { path: "dead.jsonl" }),
            reason: Some("too large"),
            ..processed(3, "event-3", None)
        };
        let lines = Facts {
            destination: Some(Destination::Lines),
            ..processed(4, "event-4", None)
        };
        let mut bytes = Vec::new();
        for facts in [
            Facts::of_run(Status::RunOpened, None),
            processed(1, "event-1", Some(7)),
            processed(2, "event-2", None),
            dead,
            lines,
            Facts::of_run(Status::Interval, Some(Counts::default())),
            Facts::of_run(Status::RunClosed, Some(Counts::default())),
        ] {
            chain.append(&facts, 1_795_467_600_123_456, &mut bytes);
            let record: Value = serde_json::from_slice(&bytes).unwrap();
            assert!(schema.is_valid(&record), "{record}");
        }
    }

    #[test]
    fn an_offset_that_the_broker_did_not_give_is_null_with_a_reason() {
        let mut bytes = Vec::new();
        chain().append(&processed(41, "event-1", None), 0, &mut bytes);
        let record: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(record["outcome"]["offset"], Value::Null);
        assert!(record["outcome"]["reason"].as_str().unwrap().contains("offset"));
    }

    #[test]
    fn the_same_outcome_of_the_same_record_has_the_same_id_in_every_run() {
        let (mut first, mut second) = (Vec::new(), Vec::new());
        chain().append(&processed(41, "event-1", Some(7)), 0, &mut first);
        let mut other = Chain::new("run-2".to_owned(), "main".to_owned(), String::new());
        other.append(&processed(40, "event-0", Some(6)), 0, &mut second);
        other.append(&processed(41, "event-1", Some(900)), 0, &mut second);
        let id = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap()["auditId"].clone();
        assert_eq!(id(&first), id(&second));
        other.append(&processed(42, "event-1", Some(900)), 0, &mut second);
        assert_ne!(id(&first), id(&second));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_chain_verifies_and_any_changed_byte_breaks_it(
            ids in proptest::collection::vec(any::<String>(), 1..8), changed in any::<prop::sample::Index>(),
        ) {
            let mut chain = chain();
            let mut previous = Value::Null;
            let mut bytes = Vec::new();
            for (number, id) in ids.iter().enumerate() {
                chain.append(&processed(number as u64, id, Some(1)), 1, &mut bytes);
                previous = verify(&bytes, &previous);
            }
            let hash_before = previous.as_str().unwrap().to_owned();
            let mut canonical = bytes[..bytes.len() - HASH_MEMBER_BYTES - 1].to_vec();
            canonical.push(b'}');
            let at = changed.index(canonical.len());
            canonical[at] ^= 1;
            let mut hash = Vec::new();
            push_hex(&mut hash, &Sha256::digest(&canonical));
            prop_assert_ne!(String::from_utf8(hash).unwrap(), hash_before);
        }
    }
}
