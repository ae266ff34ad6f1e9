//! Dead letters of the adapter's own making: a record that its destination refused, alone.
//!
//! Responsible for the body after `schemas/dead-letter.schema.json`, with the refused record whole in
//! `frame.text`. Refuses to shorten it: one that is too large for the dead-letter topic goes to a local file instead.
//! Invariant: the refused record can be taken out again byte for byte.

use sha2::{Digest, Sha256};

use crate::record::{Attributes, Record};
use crate::text::{push_hex, push_json_string, push_number, push_time};

/// The stage at which the adapter refuses a record, in the words of Kafka Connect.
pub const STAGE: &str = "PRODUCE";

/// Writes the body of a dead letter to `into`, which is cleared first.
pub fn write_body(
    into: &mut Vec<u8>,
    record: &Record<'_>,
    attributes: &dyn Attributes,
    source_name: &str,
    reason: &str,
) {
    into.clear();
    into.extend_from_slice(b"{\"schemaVersion\":\"1.0\",\"deadLetterId\":");
    push_json_string(into, record.id);
    into.extend_from_slice(b",\"receivedAt\":\"");
    push_time(into, record.received_time_us);
    into.extend_from_slice(b"\",\"source\":");
    push_json_string(into, source_name);
    let mut text = String::new();
    // a source that does not say which transport it is has only one
    let transport = if attributes.copy_value("transport", &mut text) {
        text.as_str()
    } else {
        "events"
    };
    into.extend_from_slice(b",\"origin\":{\"transport\":");
    push_json_string(into, transport);
    into.extend_from_slice(b",\"topic\":");
    if attributes.copy_value("topic", &mut text) && !text.is_empty() {
        push_json_string(into, &text);
    } else {
        into.extend_from_slice(b"null");
    }
    into.extend_from_slice(b"},\"stage\":\"");
    into.extend_from_slice(STAGE.as_bytes());
    into.extend_from_slice(b"\",\"reason\":");
    push_json_string(into, reason);
    into.extend_from_slice(b",\"frame\":{\"type\":\"text\",\"lengthBytes\":");
    push_number(into, record.body.len());
    into.extend_from_slice(b",\"sha256\":\"");
    push_hex(into, &Sha256::digest(record.body));
    into.extend_from_slice(b"\",\"text\":");
    // the contract says that bodies are UTF-8; the digest tells if one was not
    push_json_string(into, &String::from_utf8_lossy(record.body));
    into.extend_from_slice(b",\"truncated\":false}}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Kind, NoAttributes};

    #[test]
    fn the_refused_record_can_be_taken_out_again() {
        let body = "{\"text\":\"a \\\"quoted\\\" word\",\"n\":1.50}".as_bytes();
        let record = Record {
            kind: Kind::Event,
            flags: 0,
            sequence: 3,
            event_time_us: None,
            received_time_us: 1_000_000,
            id: "id",
            type_: "interaction",
            subject: "",
            key: "",
            body,
        };
        let mut bytes = Vec::new();
        write_body(
            &mut bytes,
            &record,
            &NoAttributes,
            "main",
            "Broker: Message size too large",
        );
        let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        let schema = serde_json::from_str(include_str!("../../schemas/dead-letter.schema.json")).unwrap();
        assert!(jsonschema::is_valid(&schema, &value), "{value}");
        assert_eq!(value["frame"]["text"].as_str().unwrap().as_bytes(), body);
        assert_eq!(value["frame"]["lengthBytes"], body.len());
        assert_eq!(value["deadLetterId"], "id");
        assert_eq!(value["receivedAt"], "1970-01-01T00:00:01.000Z");
        assert_eq!(value["stage"], "PRODUCE");
        assert_eq!(value["reason"], "Broker: Message size too large");
        assert_eq!(
            value["origin"],
            serde_json::json!({"transport": "events", "topic": null})
        );
    }
}
