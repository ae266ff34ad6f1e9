//! One audit record as a verifier reads it: its place in a chain, what it cites, and the hash of its own bytes.
//!
//! Responsible for the form of a record, alone on its line or wrapped as `run` writes it to standard output. Refuses
//! to believe a record's `hash`: it computes its own from the bytes that were read, with the key that the record names.
//! Invariant: what is cut out of the bytes before they are hashed is the last member, and nothing else.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::audit::{AuditKey, HASH_MEMBER_BYTES, Hash, KeyId, digest};

/// What a verifier needs of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) run_id: String,
    pub(super) sequence: u64,
    /// `prevHash`.
    pub(super) cited: Option<Hash>,
    /// `hash`, as it is written.
    pub(super) hash: Hash,
    /// The key that it was hashed with; none where it carries none.
    pub(super) key: Option<KeyId>,
    /// The hash of the bytes that were read; none where their key is not known.
    pub(super) computed: Option<Hash>,
    /// `processedAt`: RFC 3339 in UTC with milliseconds, so that order of texts is order of times.
    pub(super) at: String,
    /// The source whose run this is: the first record of a run names it.
    pub(super) source: Option<String>,
    /// The record ends its run; with the count of records that it states.
    pub(super) closes: Option<Option<u64>>,
}

/// What a text is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Text {
    /// An audit record.
    Audit(Link),
    /// A wrapped record of another kind, which belongs to no chain.
    Other,
    /// No audit record; why.
    Unreadable(String),
}

#[derive(Deserialize)]
struct Wrapped<'a> {
    kind: &'a str,
    #[serde(borrow)]
    record: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Members<'a> {
    #[serde(borrow)]
    run_id: Cow<'a, str>,
    sequence: u64,
    #[serde(borrow)]
    key_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    prev_hash: Option<Cow<'a, str>>,
    #[serde(borrow)]
    hash: Cow<'a, str>,
    #[serde(borrow)]
    processed_at: Cow<'a, str>,
    #[serde(borrow)]
    status: Cow<'a, str>,
    #[serde(borrow)]
    source: Option<Cow<'a, str>>,
    counts: Option<Counts>,
}

#[derive(Deserialize)]
struct Counts {
    audits: Option<u64>,
}

impl Link {
    /// Says whether its bytes do not give its hash; of an unknown key nobody can say that.
    pub(super) fn is_altered(&self) -> bool {
        self.computed.is_some_and(|computed| computed != self.hash)
    }
}

/// Reads a line or the value of a message; `keys` are those that are known.
pub(super) fn read(text: &[u8], keys: &[AuditKey]) -> Text {
    let text = text.trim_ascii();
    // what `run` prints beside a webhook, or with delivery.to = "lines"
    if text.starts_with(b"{\"kind\":") {
        return match serde_json::from_slice::<Wrapped<'_>>(text) {
            Ok(wrapped) if wrapped.kind == "audit" => record(wrapped.record.get().as_bytes(), keys),
            Ok(_) => Text::Other,
            Err(error) => Text::Unreadable(error.to_string()),
        };
    }
    record(text, keys)
}

/// The audit record in a line or the value of a message, without what `run` wraps it in.
pub(super) fn bare(text: &[u8]) -> &[u8] {
    let text = text.trim_ascii();
    serde_json::from_slice::<Wrapped<'_>>(text).map_or(text, |wrapped| wrapped.record.get().as_bytes())
}

fn record(bytes: &[u8], keys: &[AuditKey]) -> Text {
    match serde_json::from_slice::<Members<'_>>(bytes) {
        Ok(members) => match link(&members, bytes, keys) {
            Ok(link) => Text::Audit(link),
            Err(reason) => Text::Unreadable(reason.to_owned()),
        },
        Err(error) => Text::Unreadable(error.to_string()),
    }
}

fn link(members: &Members<'_>, bytes: &[u8], keys: &[AuditKey]) -> Result<Link, &'static str> {
    let cited = members.prev_hash.as_deref().map(hexadecimal);
    let key = match members.key_id.as_deref().map(KeyId::parse) {
        Some(id) => Some(id.ok_or("keyId is no id of 8 hexadecimal digits")?),
        None => None,
    };
    Ok(Link {
        run_id: members.run_id.clone().into_owned(),
        sequence: members.sequence,
        cited: match cited {
            Some(cited) => Some(cited.ok_or("prevHash is no digest of 64 hexadecimal digits")?),
            None => None,
        },
        hash: hexadecimal(&members.hash).ok_or("hash is no digest of 64 hexadecimal digits")?,
        key,
        computed: match key {
            None => Some(computed(bytes, None)),
            Some(id) => keys
                .iter()
                .find(|key| key.id() == id)
                .map(|key| computed(bytes, Some(key))),
        },
        at: members.processed_at.clone().into_owned(),
        source: members.source.clone().map(Cow::into_owned),
        closes: (members.status == "run_closed")
            .then(|| members.counts.as_ref().and_then(|counts| counts.audits)),
    })
}

/// The hash of the canonical bytes: the record without its last member. Of bytes that end otherwise, the hash of all of
/// them, which no record can carry.
fn computed(bytes: &[u8], key: Option<&AuditKey>) -> Hash {
    let end = bytes.len().checked_sub(HASH_MEMBER_BYTES + 1);
    match end.map(|end| bytes.split_at(end)) {
        Some((canonical, member)) if member.starts_with(b",\"hash\":\"") && member.ends_with(b"\"}") => {
            digest(key, &[canonical, b"}"])
        }
        _ => digest(key, &[bytes]),
    }
}

fn hexadecimal(text: &str) -> Option<Hash> {
    let digits = text.as_bytes();
    let mut hash = [0; 32];
    if digits.len() != 2 * hash.len() {
        return None;
    }
    for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = [pair[0], pair[1]].map(|digit| match digit {
            b'0'..=b'9' => Some(digit - b'0'),
            b'a'..=b'f' => Some(digit - b'a' + 10),
            _ => None,
        });
        *byte = high? << 4 | low?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::audit::{Chain, Facts, Status};

    fn opened() -> Vec<u8> {
        let mut bytes = Vec::new();
        Chain::new("run-1".to_owned(), "main".to_owned(), "tag".to_owned()).append(
            &Facts::of_run(Status::RunOpened, None),
            1_795_467_600_123_456,
            &mut bytes,
        );
        bytes
    }

    #[test]
    fn a_record_is_read_alone_and_wrapped_and_its_hash_is_that_of_its_bytes() {
        let bytes = opened();
        let Text::Audit(link) = read(&bytes, &[]) else {
            panic!("no audit record")
        };
        assert_eq!(
            (link.run_id.as_str(), link.sequence, link.cited),
            ("run-1", 1, None)
        );
        assert_eq!(Some(link.hash), link.computed);
        assert_eq!(
            (link.at.as_str(), link.closes),
            ("2026-11-23T21:00:00.123Z", None)
        );
        let record = String::from_utf8(bytes).unwrap();
        let wrapped = format!("{{\"kind\":\"audit\",\"sequence\":null,\"key\":null,\"record\":{record}}}\n");
        assert_eq!(read(wrapped.as_bytes(), &[]), Text::Audit(link));
        assert_eq!(
            read(
                b"{\"kind\":\"event\",\"sequence\":1,\"key\":\"k\",\"record\":{}}",
                &[]
            ),
            Text::Other
        );
    }

    #[test]
    fn a_hash_that_is_not_the_last_member_fits_nothing() {
        let record = String::from_utf8(opened()).unwrap();
        let spaced = record.replace(",\"hash\"", ", \"hash\"");
        let Text::Audit(link) = read(spaced.as_bytes(), &[]) else {
            panic!("no audit record")
        };
        assert!(link.is_altered());
    }

    #[test]
    fn what_is_no_record_says_why() {
        for (text, reason) in [
            ("", "EOF while parsing a value at line 1 column 0"),
            ("{}", "missing field `runId` at line 1 column 2"),
            (
                "{\"kind\":\"audit\"}",
                "missing field `record` at line 1 column 16",
            ),
        ] {
            assert_eq!(read(text.as_bytes(), &[]), Text::Unreadable(reason.to_owned()));
        }
        let record = String::from_utf8(opened()).unwrap();
        let upper = record.replace("\"hash\":\"", "\"hash\":\"Z");
        assert_eq!(
            read(upper.as_bytes(), &[]),
            Text::Unreadable("hash is no digest of 64 hexadecimal digits".to_owned())
        );
    }

    #[test]
    fn a_keyed_record_is_hashed_with_the_key_that_it_names_and_with_no_other() {
        let [key, other] = ["k", "o"].map(|letter| {
            let place = config_faults::SecretPlace::Variable("AUDIT_KEY".to_owned());
            AuditKey::read(&place, &|_| Some(letter.repeat(32))).unwrap()
        });
        let mut bytes = Vec::new();
        Chain::new("run-1".to_owned(), "main".to_owned(), "tag".to_owned())
            .keyed(Some(key.clone()))
            .append(&Facts::of_run(Status::RunOpened, None), 0, &mut bytes);
        let link = |keys: &[AuditKey], bytes: &[u8]| match read(bytes, keys) {
            Text::Audit(link) => link,
            other => panic!("{other:?}"),
        };
        let known = link(&[other.clone(), key.clone()], &bytes);
        assert_eq!((known.key, known.computed), (Some(key.id()), Some(known.hash)));
        let unknown = link(&[other], &bytes);
        assert_eq!((unknown.key, unknown.computed), (Some(key.id()), None));
        // without its id it is a record without a key, and no such one
        let text = String::from_utf8(bytes).unwrap();
        let stripped = text.replace(&format!(",\"keyId\":\"{}\"", key.id()), "");
        assert!(link(&[key], stripped.as_bytes()).is_altered());
        let spoilt = text.replace("\"keyId\":\"", "\"keyId\":\"x");
        assert_eq!(
            read(spoilt.as_bytes(), &[]),
            Text::Unreadable("keyId is no id of 8 hexadecimal digits".to_owned())
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn bytes_from_anywhere_are_a_record_only_if_nothing_of_it_was_changed(
            noise in prop::collection::vec(any::<u8>(), 0..200), at in any::<prop::sample::Index>(), byte in any::<u8>(),
        ) {
            prop_assert!(!matches!(read(&noise, &[]), Text::Audit(link) if !link.is_altered()));
            let mut record = opened();
            let at = at.index(record.len());
            prop_assume!(record[at] != byte);
            record[at] = byte;
            prop_assert!(!matches!(read(&record, &[]), Text::Audit(link) if !link.is_altered()));
        }
    }
}
