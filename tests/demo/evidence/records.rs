//! The records that were read back, as far as the proof looks at them.
//!
//! Responsible for reading each record against its published schema. Refuses none: what cannot be read counts as a
//! record that does not keep to its schema. Invariant: `conforming` never exceeds `total`.

use anyhow::Context as _;
use jiff::Timestamp;
use serde_json::Value;

use crate::evidence::identity_of;
use crate::raw::{Place, Raw};

/// The records of one kind, read to their end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kept<R> {
    /// Records that could be read, in the order in which they lie.
    pub(crate) records: Vec<R>,
    /// Records read back.
    pub(crate) total: u64,
    /// Records that keep to their schema.
    pub(crate) conforming: u64,
    /// Records that are there, by the end of the topic or file, or as the receiver counts.
    pub(crate) end: u64,
}

impl<R> Kept<R> {
    /// Reads the records with `read` and holds each against `schemas/<schema>.schema.json`.
    ///
    /// # Errors
    /// A schema that cannot be read; not retryable.
    pub(crate) fn read(
        (raw, end, schema): (&[Raw], u64, &str),
        read: fn(&Raw, &Value) -> Option<R>,
    ) -> anyhow::Result<Self> {
        let path = support::workspace_root().join(format!("schemas/{schema}.schema.json"));
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let validator = jsonschema::validator_for(&serde_json::from_str(&text)?)
            .with_context(|| format!("{} is no schema", path.display()))?;
        let mut kept = Self {
            records: Vec::with_capacity(raw.len()),
            total: raw.len() as u64,
            conforming: 0,
            end,
        };
        for record in raw {
            let value = record.record();
            let conforms = value.as_ref().is_some_and(|value| validator.is_valid(value));
            if let Some(read) = value.as_ref().and_then(|value| read(record, value)) {
                kept.conforming += u64::from(conforms);
                kept.records.push(read);
            }
        }
        Ok(kept)
    }
}

/// An event where it lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Delivered {
    /// What tells it from every other event.
    pub(crate) identity: String,
    /// Its `eventId`.
    pub(crate) event_id: String,
    /// Its key.
    pub(crate) key: String,
    /// Where it lies.
    pub(crate) place: Place,
}

impl Delivered {
    /// Reads an event.
    pub(crate) fn read(record: &Raw, value: &Value) -> Option<Self> {
        Some(Self {
            identity: identity_of(value),
            event_id: value["eventId"].as_str()?.to_owned(),
            key: record.key.clone().unwrap_or_default(),
            place: record.place.clone(),
        })
    }
}

/// A dead letter where it lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeadLetter {
    /// Its id.
    pub(crate) id: String,
    /// Name of the shard in it.
    pub(crate) source: String,
    /// Why.
    pub(crate) reason: String,
    /// The frame, or the event that was refused.
    pub(crate) text: Option<String>,
    /// Where it lies.
    pub(crate) place: Place,
}

impl DeadLetter {
    /// Reads a dead letter.
    pub(crate) fn read(record: &Raw, value: &Value) -> Option<Self> {
        Some(Self {
            id: value["deadLetterId"].as_str()?.to_owned(),
            source: value["source"].as_str()?.to_owned(),
            reason: value["reason"].as_str()?.to_owned(),
            text: value["frame"]["text"].as_str().map(str::to_owned),
            place: record.place.clone(),
        })
    }
}

/// One end of a gap, its times in microseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Control {
    /// `gap_opened` or `gap_closed`.
    pub(crate) kind: String,
    /// The gap.
    pub(crate) gap_id: String,
    /// Name of the shard.
    pub(crate) source: String,
    /// Why.
    pub(crate) cause: String,
    /// What was not listened to.
    pub(crate) topics: Vec<String>,
    /// Its start.
    pub(crate) from_us: i64,
    /// Its end, once it is closed.
    pub(crate) to_us: Option<i64>,
}

impl Control {
    /// Reads a control record.
    pub(crate) fn read(_: &Raw, value: &Value) -> Option<Self> {
        let text = |name: &str| value[name].as_str().map(str::to_owned);
        let time_us = |text: String| Some(text.parse::<Timestamp>().ok()?.as_microsecond());
        Some(Self {
            kind: text("type")?,
            gap_id: text("gapId")?,
            source: text("source")?,
            cause: text("cause")?,
            topics: serde_json::from_value(value["topics"].clone()).ok()?,
            from_us: text("from").and_then(time_us)?,
            to_us: text("to").and_then(time_us),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raw::Wrapping;

    fn raw(value: &[u8]) -> Raw {
        Raw {
            place: Place::Kafka {
                topic: "t".to_owned(),
                partition: 2,
                offset: 5,
            },
            key: Some("k".to_owned()),
            headers: Vec::new(),
            bytes: value.to_vec(),
            wrapping: Wrapping::Bare,
        }
    }

    fn sample(path: &str) -> Vec<u8> {
        std::fs::read(support::workspace_root().join("schemas/samples").join(path)).unwrap()
    }

    #[test]
    fn records_are_held_against_their_schema_and_unreadable_ones_still_count() {
        let raw = [
            raw(&sample("event/valid/call.json")),
            raw(&sample("event/invalid/version-2.json")),
            raw(b"no JSON"),
        ];
        let kept = Kept::read((&raw, 3, "event"), Delivered::read).unwrap();
        assert_eq!((kept.total, kept.conforming, kept.records.len()), (3, 1, 2));
        assert_eq!(
            (kept.records[0].place.lane(), kept.records[0].key.as_str()),
            (2, "k")
        );
    }

    #[test]
    fn a_closed_gap_is_read_with_its_times() {
        let raw = raw(&sample("control/valid/reconnect-closed.json"));
        let kept = Kept::read((&[raw], 1, "control"), Control::read).unwrap();
        let gap = &kept.records[0];
        assert!(
            gap.kind == "gap_closed" && gap.to_us.is_some_and(|to_us| gap.from_us <= to_us),
            "{gap:?}"
        );
    }
}
