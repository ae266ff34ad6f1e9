//! The audit trail: one record per delivered event, chained by hash within a run.
//!
//! Responsible for the bytes of audit records and for the chain. Refuses to deliver them (the pipeline does) and to
//! write `processed` before the delivery report is there. Invariant: record *n* of a run cites the hash of record
//! *n* − 1, and the same facts at the same place of the chain give the same bytes.
//!
//! # The hash
//! An audit record is one JSON object on one line, without blanks between its members, and `hash` is its last
//! member. The **canonical bytes** are the record as sent with `,"hash":"<64 hex digits>"` cut out, so they end with
//! the closing brace. `hash` is the lower-case hexadecimal SHA-256 of the canonical bytes, or with `audit.key` their
//! HMAC-SHA-256; each record of such a run says so by `keyId`, which the hash covers. `prevHash` is the `hash`
//! of the record before it in the same run (`runId`); in the first one that of the last record of the run before, where
//! that is known (in an audit file and in the topic it mostly is), else `null`. To verify: sort a run by `sequence`, drop
//! byte-identical repeats, cut, hash, compare.
//!
//! Over 400 lines with its tests, which hold the bytes of the one chain against the schema and against each other.

mod counts;
mod facts;
mod id;
mod key;

use uuid::Uuid;

use crate::text::{push_hex, push_json_string, push_number, push_time};

pub use counts::Counts;
pub use facts::{Destination, Facts, Status};
pub(crate) use id::Subject;
pub use key::{AuditKey, KeyError, KeyId};
pub(crate) use key::{Hash, digest};

/// Version of the layout of audit records.
pub const SCHEMA_VERSION: &str = "1.0";
/// Where the events come from, in the tutorial's words.
pub const EVENT_SOURCE: &str = "genesys-cloud-ws";

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
    previous: Option<Hash>,
    key: Option<AuditKey>,
    name: Vec<u8>,
}

/// A place in a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Number of records before it.
    pub sequence: u64,
    /// Hash of the record before it: also of the run before, where that is cited.
    pub previous: Option<[u8; 32]>,
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
            key: None,
            name: Vec::with_capacity(256),
        }
    }

    /// Lets the first record cite the last one of the run before, by its hash.
    #[must_use]
    pub fn citing(mut self, previous: Option<Hash>) -> Self {
        if self.is_empty() {
            self.previous = previous;
        }
        self
    }

    /// Where the chain is, to come back to with [`Chain::rewind`].
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark {
            sequence: self.sequence,
            previous: self.previous,
        }
    }

    /// Forgets what was appended since `mark`, which nobody will ever read.
    pub fn rewind(&mut self, mark: Mark) {
        (self.sequence, self.previous) = (mark.sequence, mark.previous);
    }

    /// Hashes every record with this key; without one, with none. A run has one key: what was begun keeps its own.
    #[must_use]
    pub fn keyed(mut self, key: Option<AuditKey>) -> Self {
        if self.is_empty() {
            self.key = key;
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
        let subject = Subject {
            source_name: &self.source_name,
            place: (&self.run_id, self.sequence),
            source_sequence: facts.source_sequence,
            event_id: facts.event_id,
            status: facts.status.as_str(),
        };
        let audit_id = subject.audit_id(&mut self.name);
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
        if facts.status == Status::RunOpened {
            into.extend_from_slice(b",\"source\":");
            push_json_string(into, &self.source_name);
        }
        if let Some(counts) = &facts.counts {
            into.extend_from_slice(b",\"counts\":");
            counts.push_json(into);
        }
        into.extend_from_slice(b",\"sequence\":");
        push_number(into, self.sequence);
        into.extend_from_slice(b",\"runId\":");
        push_json_string(into, &self.run_id);
        if let Some(key) = &self.key {
            into.extend_from_slice(b",\"keyId\":\"");
            key.id().push(into);
            into.push(b'"');
        }
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
        let hash = digest(self.key.as_ref(), &[into.as_slice()]);
        into.pop();
        into.extend_from_slice(b",\"hash\":\"");
        push_hex(into, &hash);
        into.extend_from_slice(b"\"}");
        self.previous = Some(hash);
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
    use sha2::{Digest, Sha256};

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
    fn a_chain_that_was_rewound_gives_the_same_bytes_for_the_same_facts() {
        let mut chain = chain();
        let (mut first, mut again) = (Vec::new(), Vec::new());
        chain.append(&processed(1, "event-1", Some(7)), 0, &mut first);
        let mark = chain.mark();
        chain.append(&processed(2, "event-2", Some(8)), 0, &mut first);
        chain.append(&processed(3, "event-3", Some(9)), 0, &mut again);
        chain.rewind(mark);
        assert_eq!(chain.len(), 1);
        chain.append(&processed(2, "event-2", Some(8)), 0, &mut again);
        assert_eq!(again, first);
    }

    #[test]
    fn only_a_keyed_chain_names_a_key_and_it_keeps_the_published_schema_as_well() {
        let schema: Value = serde_json::from_str(include_str!("../../../schemas/audit.schema.json")).unwrap();
        let schema = jsonschema::validator_for(&schema).unwrap();
        let place = config_faults::SecretPlace::Variable("AUDIT_KEY".to_owned());
        let key = AuditKey::read(&place, &|_| Some("k".repeat(32))).unwrap();
        let run = "0195510a-7c00-7000-8000-0000000000aa";
        let record = |key: Option<&AuditKey>| {
            let mut bytes = Vec::new();
            Chain::new(run.to_owned(), "main".to_owned(), "tag".to_owned())
                .keyed(key.cloned())
                .append(&Facts::of_run(Status::RunOpened, None), 0, &mut bytes);
            serde_json::from_slice::<Value>(&bytes).unwrap()
        };
        let (mut keyed, plain) = (record(Some(&key)), record(None));
        assert!(schema.is_valid(&keyed), "{keyed}");
        let members = keyed.as_object_mut().unwrap();
        assert_eq!(members.remove("keyId"), Some(Value::from(key.id().to_string())));
        // and nothing else tells the two apart
        assert_ne!(
            members.insert("hash".to_owned(), plain["hash"].clone()).as_ref(),
            plain.get("hash")
        );
        assert_eq!(keyed, plain);
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
