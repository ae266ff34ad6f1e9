//! A record as it was read back, wherever it lay: in a topic, in a request, in a file.
//!
//! Responsible for taking the record out of what it was wrapped in. Refuses to judge it. Invariant: the bytes stay as
//! they were read.

use serde::Deserialize;
use serde_json::Value;

/// What kind of delivery a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Route {
    /// Normalized events.
    Event,
    /// Audit records.
    Audit,
    /// Dead letters.
    DeadLetter,
    /// Control records.
    Control,
}

impl Route {
    /// Every kind, in the order in which they are shown.
    pub(crate) const ALL: [Self; 4] = [Self::Event, Self::Audit, Self::DeadLetter, Self::Control];

    /// Name of its published schema.
    pub(crate) fn schema(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Audit => "audit",
            Self::DeadLetter => "dead-letter",
            Self::Control => "control",
        }
    }
}

/// Where a record lies, in the words of the audit's `outcome`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(tag = "to", rename_all = "lowercase")]
pub(crate) enum Place {
    /// An offset of a topic.
    Kafka {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The offset.
        offset: i64,
    },
    /// A request that was answered with success.
    Webhook {
        /// The answer.
        status: u16,
        /// Number of the request among those of its event, from 1.
        attempt: u32,
    },
    /// A file.
    File {
        /// Its path, as configured.
        path: String,
    },
}

impl Place {
    /// The sequence that order is kept in: the partition of a topic; all else is one sequence.
    pub(crate) fn lane(&self) -> i32 {
        match self {
            Self::Kafka { partition, .. } => *partition,
            Self::Webhook { .. } | Self::File { .. } => 0,
        }
    }
}

/// What a record is wrapped in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wrapping {
    /// Nothing: the bytes are the record.
    Bare,
    /// CloudEvents JSON, in its `data`.
    CloudEvent,
    /// A line of this `kind`, in its `record`.
    Line(&'static str),
}

/// One record as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Raw {
    /// Where it lies.
    pub(crate) place: Place,
    /// Its key, where the place has keys.
    pub(crate) key: Option<String>,
    /// Its headers, where the place has headers.
    pub(crate) headers: Vec<(String, String)>,
    /// The bytes, wrapping included.
    pub(crate) bytes: Vec<u8>,
    /// What the record is wrapped in.
    pub(crate) wrapping: Wrapping,
}

impl Raw {
    /// The record; nothing if it cannot be taken out.
    pub(crate) fn record(&self) -> Option<Value> {
        let mut value: Value = serde_json::from_slice(&self.bytes).ok()?;
        match self.wrapping {
            Wrapping::Bare => Some(value),
            Wrapping::CloudEvent => Some(value.get_mut("data")?.take()),
            Wrapping::Line(kind) if value["kind"] == kind => Some(value.get_mut("record")?.take()),
            Wrapping::Line(_) => None,
        }
    }

    /// The bytes as text.
    pub(crate) fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_record_is_taken_out_of_its_wrapping_and_of_no_other() {
        let raw = |text: &str, wrapping| Raw {
            place: Place::File { path: "f".to_owned() },
            key: None,
            headers: Vec::new(),
            bytes: text.as_bytes().to_vec(),
            wrapping,
        };
        let line = r#"{"kind":"control","record":{"a":1}}"#;
        assert_eq!(
            raw(line, Wrapping::Line("control")).record(),
            Some(json!({"a": 1}))
        );
        assert_eq!(raw(line, Wrapping::Line("dead_letter")).record(), None);
        assert_eq!(raw(line, Wrapping::CloudEvent).record(), None);
        assert_eq!(
            raw(r#"{"data":7}"#, Wrapping::CloudEvent).record(),
            Some(json!(7))
        );
        assert_eq!(raw("{", Wrapping::Bare).record(), None);
    }

    #[test]
    fn the_places_of_an_audit_record_are_read() {
        let read = |outcome| serde_json::from_value::<Place>(outcome).ok();
        assert_eq!(
            read(json!({"to": "webhook", "status": 202, "attempt": 3})),
            Some(Place::Webhook {
                status: 202,
                attempt: 3
            })
        );
        let topic = json!({"to": "kafka", "topic": "t", "partition": 2, "offset": 5});
        assert_eq!(read(topic).map(|place| place.lane()), Some(2));
        assert!(read(json!({"to": "kafka", "topic": "t", "partition": 2, "offset": null})).is_none());
    }
}
