//! A parcel as a Kafka message: headers, envelope, size.
//!
//! Responsible for CloudEvents 1.0 in binary and structured mode and for Kafka Connect's dead-letter headers.
//! Refuses to touch the body. Invariant: a header's value is the record's own text, and no header stands there twice.
//!
//! Audit records carry no headers: seven on both topics cost a third of the throughput.

use rdkafka::message::{Header, OwnedHeaders};

use crate::dead_letter::STAGE;
use crate::record::{Attributes, Kind};
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

/// Number of the task, in Kafka Connect's words: a source has one.
const TASK_ID: &str = "0";
/// What refused a record at the stage PRODUCE; at the others it was the source.
const CLASS_NAME: &str = "genesys-kafka";

/// Builds messages, with buffers that are reused.
#[derive(Debug)]
pub(super) struct MessageBuilder {
    envelope: Envelope,
    default_source: String,
    /// Where dead letters of the source would have gone as events.
    events_topic: String,
    body: Vec<u8>,
    name: String,
    time: Vec<u8>,
    source: String,
    stage: String,
    reason: String,
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
    pub(super) fn new(envelope: Envelope, default_source: String, events_topic: String) -> Self {
        Self {
            envelope,
            default_source,
            events_topic,
            body: Vec::new(),
            name: String::from("ce_"),
            time: Vec::with_capacity(24),
            source: String::new(),
            stage: String::new(),
            reason: String::new(),
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
        self.push_errors(parcel, &mut headers);
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

    /// Kafka Connect's headers, which tools for dead letters read.
    ///
    /// Those of partition and offset are left out, since a frame has none, and so is that of the stack trace.
    fn push_errors(&mut self, parcel: &Parcel<'_>, headers: &mut Headers) {
        let Some((record, attributes)) = parcel.record else {
            return;
        };
        let (meant_for, stage, class, reason) = match parcel.refusal {
            Some(refusal) => (refusal.meant_for, STAGE, CLASS_NAME, refusal.reason),
            None if record.kind == Kind::DeadLetter => {
                for (name, into) in [("stage", &mut self.stage), ("reason", &mut self.reason)] {
                    if !attributes.copy_value(name, into) {
                        into.clear();
                    }
                }
                let (stage, reason) = (self.stage.as_str(), self.reason.as_str());
                (self.events_topic.as_str(), stage, self.source.as_str(), reason)
            }
            None => return,
        };
        for (name, value) in [
            ("__connect.errors.topic", meant_for),
            ("__connect.errors.connector.name", &self.default_source),
            ("__connect.errors.task.id", TASK_ID),
            ("__connect.errors.stage", stage),
            ("__connect.errors.class.name", class),
            ("__connect.errors.exception.class.name", error_of(stage)),
            ("__connect.errors.exception.message", reason),
        ] {
            if !value.is_empty() {
                headers.push(name, value);
            }
        }
    }

    fn push_envelope(&mut self, parcel: &Parcel<'_>, attributes: &dyn Attributes) {
        let Some((record, _)) = parcel.record else { return };
        self.body.clear();
        cloud_event::push_structured(&mut self.body, &record, attributes, &self.source, parcel.body);
    }
}

/// The kind of error of a stage; empty for a stage that the contract does not know.
fn error_of(stage: &str) -> &'static str {
    match stage {
        "DECODE" => "DecodeError",
        "NORMALIZE" => "NormalizeError",
        "VALIDATE" => "ValidateError",
        "SERIALIZE" => "SerializeError",
        STAGE => "ProduceError",
        _ => "",
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
            .unwrap_or_else(|| OwnedHeaders::new_with_capacity(18));
        self.headers = Some(headers.insert(Header {
            key: name,
            value: Some(value),
        }));
    }
}

#[cfg(test)]
mod tests;
