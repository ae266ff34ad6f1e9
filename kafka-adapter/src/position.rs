//! How far a shard is: the record that goes into Kafka together with what it speaks of.
//!
//! Responsible for the bytes after `schemas/position.schema.json` and for reading them back. Refuses what is no such
//! record, since a position that is guessed loses or repeats events. Invariant: two positions of a shard that are equal
//! byte for byte were written by the same transaction.

use serde::Deserialize;

use crate::text::{push_hex, push_json_string, push_number};

/// Version of the layout.
pub const SCHEMA_VERSION: &str = "1.0";

/// A position.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Position {
    schema_version: String,
    /// The shard that it belongs to; the key of the record.
    pub shard: String,
    /// What [`crate::pipeline::Feed::token`] gave; none before the first record of the shard.
    pub token: Option<String>,
    /// The last record that is in Kafka, as the source numbers it; none as with the token.
    pub sequence: Option<u64>,
    /// The run that wrote it.
    pub run_id: String,
    /// Number of the transaction in its run, from 1.
    pub transaction: u64,
    /// Audit records of the run that are in Kafka.
    pub audit_sequence: u64,
    /// Hash of the last of them, in lower-case hexadecimal digits.
    pub audit_hash: Option<String>,
}

/// Why a record in the positions topic is of no use. Not retryable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is not what this program writes.
    #[error("the last position of shard {shard} cannot be read: {reason}")]
    Form {
        /// The shard.
        shard: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A later program wrote it.
    #[error(
        "the last position of shard {shard} has version {version}, and this program reads {SCHEMA_VERSION}"
    )]
    Version {
        /// The shard.
        shard: String,
        /// The version that it names.
        version: String,
    },
}

impl Unreadable {
    /// Says whether the same record may be readable later: never.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        false
    }
}

impl Position {
    /// Reads the record of a shard.
    ///
    /// # Errors
    /// [`Unreadable`] if it is not what a program of this version writes for that shard.
    pub fn read(shard: &str, bytes: &[u8]) -> Result<Self, Unreadable> {
        let form = |reason: String| Unreadable::Form {
            shard: shard.to_owned(),
            reason,
        };
        let position: Self = serde_json::from_slice(bytes).map_err(|error| form(error.to_string()))?;
        let major = |version: &str| version.split('.').next().map(str::to_owned);
        if major(&position.schema_version) != major(SCHEMA_VERSION) {
            return Err(Unreadable::Version {
                shard: shard.to_owned(),
                version: position.schema_version,
            });
        }
        if position.shard != shard {
            return Err(form(format!("it belongs to shard {}", position.shard)));
        }
        if position.audit_hash.is_some() && position.hash().is_none() {
            return Err(form("its auditHash is no hash".to_owned()));
        }
        Ok(position)
    }

    /// The hash of the last audit record, for the next run to cite.
    #[must_use]
    pub fn hash(&self) -> Option<[u8; 32]> {
        let digits = self.audit_hash.as_deref().filter(|digits| digits.len() == 64)?;
        let mut hash = [0; 32];
        for (place, byte) in hash.iter_mut().enumerate() {
            *byte = u8::from_str_radix(digits.get(2 * place..2 * place + 2)?, 16).ok()?;
        }
        Some(hash)
    }
}

/// What a transaction writes as its position.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// See [`Position`].
    pub shard: &'a str,
    /// See [`Position`].
    pub last: Option<(u64, &'a str)>,
    /// See [`Position`].
    pub run_id: &'a str,
    /// See [`Position`].
    pub transaction: u64,
    /// Where the audit chain is.
    pub chain: crate::audit::Mark,
}

/// The bytes of a position.
#[must_use]
pub fn write(facts: &Facts<'_>) -> Vec<u8> {
    let mut into = Vec::with_capacity(512);
    into.extend_from_slice(b"{\"schemaVersion\":\"");
    into.extend_from_slice(SCHEMA_VERSION.as_bytes());
    into.extend_from_slice(b"\",\"shard\":");
    push_json_string(&mut into, facts.shard);
    match facts.last {
        Some((sequence, token)) => {
            into.extend_from_slice(b",\"token\":");
            push_json_string(&mut into, token);
            into.extend_from_slice(b",\"sequence\":");
            push_number(&mut into, sequence);
        }
        None => into.extend_from_slice(b",\"token\":null,\"sequence\":null"),
    }
    into.extend_from_slice(b",\"runId\":");
    push_json_string(&mut into, facts.run_id);
    into.extend_from_slice(b",\"transaction\":");
    push_number(&mut into, facts.transaction);
    into.extend_from_slice(b",\"auditSequence\":");
    push_number(&mut into, facts.chain.sequence);
    match &facts.chain.previous {
        Some(hash) => {
            into.extend_from_slice(b",\"auditHash\":\"");
            push_hex(&mut into, hash);
            into.extend_from_slice(b"\"}");
        }
        None => into.extend_from_slice(b",\"auditHash\":null}"),
    }
    into
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Mark;

    const RUN: &str = "0195510a-7c00-7000-8000-0000000000aa";

    fn bytes(last: Option<(u64, &str)>, previous: Option<[u8; 32]>) -> Vec<u8> {
        write(&Facts {
            shard: "main",
            last,
            run_id: RUN,
            transaction: 3,
            chain: Mark {
                sequence: 9,
                previous,
            },
        })
    }

    #[test]
    fn what_is_written_keeps_the_schema_and_is_read_back() {
        let schema = serde_json::from_str(include_str!("../../schemas/position.schema.json")).unwrap();
        for (last, previous) in [(None, None), (Some((7, "uuid:1:7")), Some([0xab; 32]))] {
            let bytes = bytes(last, previous);
            let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            assert!(jsonschema::is_valid(&schema, &value), "{value}");
            let read = Position::read("main", &bytes).unwrap();
            assert_eq!(read.sequence.zip(read.token.as_deref()), last);
            assert_eq!(read.hash(), previous);
            assert_eq!(
                (read.transaction, read.audit_sequence, read.run_id.as_str()),
                (3, 9, RUN)
            );
        }
    }

    #[test]
    fn what_is_no_position_of_this_shard_is_refused_in_one_line() {
        let of = |bytes: &[u8]| Position::read("main", bytes).unwrap_err().to_string();
        assert_eq!(
            of(b"{}"),
            "the last position of shard main cannot be read: missing field `schemaVersion` at line 1 column 2"
        );
        let text = String::from_utf8(bytes(None, None)).unwrap();
        assert_eq!(
            of(text.replace("\"1.0\"", "\"2.0\"").as_bytes()),
            "the last position of shard main has version 2.0, and this program reads 1.0"
        );
        assert_eq!(
            of(text.replace("main", "side").as_bytes()),
            "the last position of shard main cannot be read: it belongs to shard side"
        );
        assert_eq!(
            of(text
                .replace("\"auditHash\":null", "\"auditHash\":\"zz\"")
                .as_bytes()),
            "the last position of shard main cannot be read: its auditHash is no hash"
        );
        assert!(Position::read("main", text.replace("\"1.0\"", "\"1.7\"").as_bytes()).is_ok());
    }
}
