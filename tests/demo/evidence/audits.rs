//! Audit records, with the hash that their bytes really have.
//!
//! Responsible for one record. Refuses one whose members have other types than the schema says. Invariant: the
//! computed hash is of the bytes as they were read, not of what was understood of them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::raw::{Place, Raw};

/// Bytes of `,"hash":"` + 64 digits + `"}`, with which every audit record ends.
const HASH_END_BYTES: usize = 75;

/// An audit record.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Audit {
    /// What became of the record.
    pub(crate) status: String,
    /// The record's id.
    pub(crate) event_id: Option<String>,
    /// Where it went, as it says; nothing where it says so or names no place.
    #[serde(skip)]
    pub(crate) outcome: Option<Place>,
    /// Number in the run.
    pub(crate) sequence: u64,
    /// Hash of the record before.
    pub(crate) prev_hash: Option<String>,
    /// Hash of this record, as it says.
    pub(crate) hash: String,
    /// Hash of this record, as its bytes say.
    #[serde(skip)]
    pub(crate) computed_hash: String,
    /// Counters of the run.
    #[serde(default)]
    pub(crate) counts: BTreeMap<String, u64>,
}

impl Audit {
    /// Reads an audit record.
    pub(crate) fn read(record: &Raw, value: &Value) -> Option<Self> {
        let bytes = record.bytes.as_slice();
        let mut canonical = bytes.get(..bytes.len().checked_sub(HASH_END_BYTES)?)?.to_vec();
        canonical.push(b'}');
        let digest = Sha256::digest(&canonical);
        Some(Self {
            outcome: Place::deserialize(&value["outcome"]).ok(),
            computed_hash: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
            ..Self::deserialize(value).ok()?
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raw::Wrapping;

    fn raw(text: &str) -> Raw {
        Raw {
            place: Place::File {
                path: "audit.jsonl".to_owned(),
            },
            key: None,
            headers: Vec::new(),
            bytes: text.as_bytes().to_vec(),
            wrapping: Wrapping::Bare,
        }
    }

    #[test]
    fn the_hash_is_computed_over_the_bytes_without_it() {
        let body = r#"{"status":"run_opened","eventId":null,"outcome":null,"sequence":1,"prevHash":null"#;
        let digest = Sha256::digest(format!("{body}}}"));
        let hash: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let text = format!("{body},\"hash\":\"{hash}\"}}");
        let audit = Audit::read(&raw(&text), &serde_json::from_str(&text).unwrap()).unwrap();
        assert_eq!(audit.hash, audit.computed_hash);
        let forged = text.replace("run_opened", "run_closed");
        let audit = Audit::read(&raw(&forged), &serde_json::from_str(&forged).unwrap()).unwrap();
        assert_ne!(audit.hash, audit.computed_hash);
    }
}
