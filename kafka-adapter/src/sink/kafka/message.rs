//! A parcel as a Kafka message: headers, envelope, size.
//!
//! Responsible for CloudEvents 1.0 in binary and structured mode and for Kafka Connect's dead-letter headers.
//! Refuses to touch the body. Invariant: a header's value is the record's own text.
//!
//! Audit records carry no headers: seven on both topics cost a third of the throughput.

use rdkafka::message::{Header, OwnedHeaders};

use crate::record::Attributes;
use crate::text::push_time;

use super::super::Parcel;
use super::super::cloud_event::{self, CONTEXT_NAMES};
use super::settings::Envelope;

/// Bytes that a record costs in its batch beyond key, headers and value: 61 of the batch and up to 40 of lengths and
/// deltas of the record.
///
/// # Source
/// Kafka protocol guide, "Record Batch", magic 2.
const BATCH_OVERHEAD_BYTES: usize = 101;
/// Lengths of a header's name and value as varints, at most.
const HEADER_OVERHEAD_BYTES: usize = 10;

/// Builds messages, with buffers that are reused.
#[derive(Debug)]
pub(super) struct MessageBuilder {
    envelope: Envelope,
    default_source: String,
    body: Vec<u8>,
    name: String,
    time: Vec<u8>,
    source: String,
}

/// Headers of a message and its size.
pub(super) struct Built {
    pub(super) headers: Option<OwnedHeaders>,
    /// Upper bound of the message's size in bytes, as `message.max.bytes` counts it.
    pub(super) size_bytes: usize,
    /// The value is in the builder, not in the parcel.
    pub(super) enveloped: bool,
}

impl MessageBuilder {
    pub(super) fn new(envelope: Envelope, default_source: String) -> Self {
        Self {
            envelope,
            default_source,
            body: Vec::new(),
            name: String::from("ce_"),
            time: Vec::with_capacity(24),
            source: String::new(),
        }
    }

    /// The enveloped value of the last message.
    pub(super) fn body(&self) -> &[u8] {
        &self.body
    }

    pub(super) fn build(&mut self, parcel: &Parcel<'_>) -> Built {
        let mut headers = Headers {
            headers: None,
            size_bytes: 0,
        };
        let mut enveloped = false;
        if let Some((_, attributes)) = parcel.record {
            if !attributes.copy_value("source", &mut self.source) {
                self.source.clear();
                self.source.push_str(&self.default_source);
            }
            match self.envelope {
                Envelope::Binary => self.push_context(parcel, attributes, &mut headers),
                Envelope::Structured => {
                    self.push_envelope(parcel, attributes);
                    headers.push("content-type", "application/cloudevents+json; charset=UTF-8");
                    enveloped = true;
                }
                Envelope::None => {}
            }
        }
        if let Some(refusal) = parcel.refusal {
            headers.push("__connect.errors.topic", refusal.meant_for);
            headers.push("__connect.errors.stage", crate::dead_letter::STAGE);
            headers.push("__connect.errors.exception.message", refusal.reason);
        }
        let value_bytes = if enveloped {
            self.body.len()
        } else {
            parcel.body.len()
        };
        Built {
            size_bytes: parcel.key.len() + value_bytes + headers.size_bytes + BATCH_OVERHEAD_BYTES,
            headers: headers.headers,
            enveloped,
        }
    }

    fn push_context(&mut self, parcel: &Parcel<'_>, attributes: &dyn Attributes, headers: &mut Headers) {
        let Some((record, _)) = parcel.record else { return };
        headers.push("content-type", "application/json");
        headers.push("ce_specversion", "1.0");
        headers.push("ce_id", record.id);
        headers.push("ce_source", &self.source);
        headers.push("ce_type", record.type_);
        self.time.clear();
        // not the parcel's time, which is bounded for the broker
        push_time(
            &mut self.time,
            record.event_time_us.unwrap_or(record.received_time_us),
        );
        headers.push_bytes("ce_time", &self.time);
        if !record.subject.is_empty() {
            headers.push("ce_subject", record.subject);
        }
        attributes.each(&mut |name, value| {
            if !CONTEXT_NAMES.contains(&name) {
                self.name.truncate(3);
                self.name.push_str(name);
                headers.push(&self.name, value);
            }
        });
    }

    fn push_envelope(&mut self, parcel: &Parcel<'_>, attributes: &dyn Attributes) {
        let Some((record, _)) = parcel.record else { return };
        self.body.clear();
        cloud_event::push_structured(&mut self.body, &record, attributes, &self.source, parcel.body);
    }
}

/// Headers that are made only when the first one comes, with their size.
struct Headers {
    headers: Option<OwnedHeaders>,
    size_bytes: usize,
}

impl Headers {
    fn push(&mut self, name: &str, value: &str) {
        self.push_bytes(name, value.as_bytes());
    }

    fn push_bytes(&mut self, name: &str, value: &[u8]) {
        self.size_bytes += name.len() + value.len() + HEADER_OVERHEAD_BYTES;
        let headers = self
            .headers
            .take()
            .unwrap_or_else(|| OwnedHeaders::new_with_capacity(12));
        self.headers = Some(headers.insert(Header {
            key: name,
            value: Some(value),
        }));
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::message::Headers as _;

    use super::*;
    use crate::record::{Kind, NoAttributes, Record};
    use crate::sink::{Refusal, Route};

    struct Listed(&'static [(&'static str, &'static str)]);

    impl Attributes for Listed {
        fn each(&self, visit: &mut dyn FnMut(&str, &str)) {
            for (name, value) in self.0 {
                visit(name, value);
            }
        }
    }

    fn record() -> Record<'static> {
        Record {
            kind: Kind::Event,
            flags: 0,
            sequence: 7,
            event_time_us: Some(0),
            received_time_us: 5,
            id: "id-1",
            type_: "interaction",
            subject: "conversation-1",
            key: "conversation-1",
            body: b"{\"x\":1}",
        }
    }

    fn parcel<'a>(record: &Record<'a>, attributes: &'a dyn Attributes) -> Parcel<'a> {
        Parcel {
            route: Route::Event,
            sequence: Some(7),
            key: record.key,
            body: record.body,
            // differs from the record's, which is what CloudEvents' time says
            time_us: 5,
            record: Some((*record, attributes)),
            refusal: None,
        }
    }

    fn listed(built: &Built) -> Vec<(String, String)> {
        built.headers.as_ref().map_or_else(Vec::new, |headers| {
            headers
                .iter()
                .map(|header| {
                    let value = header.value.unwrap_or_default().to_vec();
                    (header.key.to_owned(), String::from_utf8(value).unwrap())
                })
                .collect()
        })
    }

    #[test]
    fn binary_mode_puts_the_context_into_headers_and_further_attributes_after_it() {
        let attributes = Listed(&[
            ("source", "genesys-cloud"),
            ("analyticsid", "a"),
            ("id", "not this"),
        ]);
        let mut builder = MessageBuilder::new(Envelope::Binary, "main".to_owned());
        let built = builder.build(&parcel(&record(), &attributes));
        let headers = listed(&built);
        let pairs: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        assert_eq!(
            pairs,
            [
                ("content-type", "application/json"),
                ("ce_specversion", "1.0"),
                ("ce_id", "id-1"),
                ("ce_source", "genesys-cloud"),
                ("ce_type", "interaction"),
                ("ce_time", "1970-01-01T00:00:00.000Z"),
                ("ce_subject", "conversation-1"),
                ("ce_analyticsid", "a"),
            ]
        );
        let least: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        assert!(!built.enveloped && built.size_bytes > least + 14 + 7);
    }

    #[test]
    fn structured_mode_wraps_the_body_and_keeps_it_verbatim() {
        let mut builder = MessageBuilder::new(Envelope::Structured, "main".to_owned());
        let built = builder.build(&parcel(&record(), &Listed(&[("analyticsid", "a\"b")])));
        assert!(built.enveloped);
        assert_eq!(
            listed(&built),
            [(
                "content-type".to_owned(),
                "application/cloudevents+json; charset=UTF-8".to_owned()
            )]
        );
        let value: serde_json::Value = serde_json::from_slice(builder.body()).unwrap();
        assert_eq!(value["data"], serde_json::json!({"x": 1}));
        assert_eq!(value["source"], "main");
        assert_eq!(value["analyticsid"], "a\"b");
        assert_eq!(value["subject"], "conversation-1");
    }

    #[test]
    fn no_envelope_and_audit_records_have_no_headers() {
        let mut builder = MessageBuilder::new(Envelope::None, "main".to_owned());
        assert!(builder.build(&parcel(&record(), &NoAttributes)).headers.is_none());
        let mut builder = MessageBuilder::new(Envelope::Binary, "main".to_owned());
        let audit = Parcel {
            record: None,
            route: Route::Audit,
            ..parcel(&record(), &NoAttributes)
        };
        assert!(builder.build(&audit).headers.is_none());
    }

    #[test]
    fn a_dead_letter_of_our_own_making_says_why_in_kafka_connects_words() {
        let mut builder = MessageBuilder::new(Envelope::None, "main".to_owned());
        let refusal = Some(Refusal {
            meant_for: "genesys.events",
            reason: "too large",
        });
        let built = builder.build(&Parcel {
            refusal,
            ..parcel(&record(), &NoAttributes)
        });
        let headers = listed(&built);
        assert_eq!(
            headers[0],
            ("__connect.errors.topic".to_owned(), "genesys.events".to_owned())
        );
        assert_eq!(headers[1].1, "PRODUCE");
        assert_eq!(headers[2].1, "too large");
    }
}
