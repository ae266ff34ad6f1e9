//! The record of a frame that is no usable event.
//!
//! Responsible for the dead letter's JSON (`schemas/dead-letter.schema.json`). Refuses nothing: any bytes fit in.
//! Invariant: the frame can be told byte for byte from its length and SHA-256, and read back from `text` or `base64`
//! unless it was too large to be taken in.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use crate::admission::Frame;
use crate::decode::{Fault, Transport};
use crate::normalize::SCHEMA_VERSION;
use crate::{json, timestamp};

/// Type of a dead-letter record.
pub const TYPE: &str = "dead_letter";

/// What a dead letter says besides the frame.
#[derive(Debug)]
pub(crate) struct DeadLetter<'a> {
    pub(crate) id: &'a str,
    pub(crate) received_time_us: i64,
    /// Name of the source, its shard.
    pub(crate) source_name: &'a str,
    pub(crate) transport: Transport,
    pub(crate) topic: Option<&'a str>,
    pub(crate) fault: &'a Fault,
}

impl DeadLetter<'_> {
    /// Writes the body.
    pub(crate) fn write(&self, out: &mut Vec<u8>, frame: &Frame<'_>) {
        out.extend_from_slice(b"{\"schemaVersion\":\"");
        out.extend_from_slice(SCHEMA_VERSION.as_bytes());
        out.extend_from_slice(b"\",\"deadLetterId\":");
        json::write_string(out, self.id);
        out.extend_from_slice(b",\"receivedAt\":\"");
        timestamp::write_rfc3339_ms(out, self.received_time_us);
        out.extend_from_slice(b"\",\"source\":");
        json::write_string(out, self.source_name);
        out.extend_from_slice(b",\"origin\":{\"transport\":\"");
        out.extend_from_slice(self.transport.name().as_bytes());
        out.extend_from_slice(b"\",\"topic\":");
        match self.topic {
            Some(topic) => json::write_string(out, topic),
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b"},\"stage\":\"");
        out.extend_from_slice(self.fault.stage.name().as_bytes());
        out.extend_from_slice(b"\",\"reason\":");
        json::write_string(out, &self.fault.reason);
        out.extend_from_slice(b",\"frame\":");
        write_frame(out, frame);
        out.push(b'}');
    }
}

fn write_frame(out: &mut Vec<u8>, frame: &Frame<'_>) {
    match *frame {
        Frame::Text(text) => {
            write_facts(out, "text", text.len() as u64, Sha256::digest(text).as_slice());
            out.extend_from_slice(b",\"text\":");
            json::write_string(out, text);
        }
        Frame::Binary(bytes) => {
            write_facts(
                out,
                "binary",
                bytes.len() as u64,
                Sha256::digest(bytes).as_slice(),
            );
            match std::str::from_utf8(bytes) {
                Ok(text) => {
                    out.extend_from_slice(b",\"text\":");
                    json::write_string(out, text);
                }
                Err(_) => write_base64(out, bytes),
            }
        }
        Frame::Oversized {
            length_bytes,
            sha256,
            head,
        } => {
            write_facts(out, "oversized", length_bytes, &sha256);
            write_base64(out, head);
            out.extend_from_slice(b",\"truncated\":true");
        }
    }
    out.push(b'}');
}

fn write_facts(out: &mut Vec<u8>, kind: &str, length_bytes: u64, sha256: &[u8]) {
    out.extend_from_slice(b"{\"type\":\"");
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(b"\",\"lengthBytes\":");
    out.extend_from_slice(itoa::Buffer::new().format(length_bytes).as_bytes());
    out.extend_from_slice(b",\"sha256\":\"");
    for byte in sha256 {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
    }
    out.push(b'"');
}

fn write_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(b",\"base64\":\"");
    out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::DeadLetter;
    use crate::admission::Frame;
    use crate::decode::{Fault, Transport};
    use serde_json::{Value, json};

    fn letter(frame: &Frame<'_>) -> Value {
        let mut out = Vec::new();
        let fault = Fault::decode("not JSON: \"quoted\"");
        DeadLetter {
            id: "0190",
            received_time_us: 1_649_237_444_949_123,
            source_name: "shard-7",
            transport: Transport::Notifications,
            topic: Some("a\nb"),
            fault: &fault,
        }
        .write(&mut out, frame);
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn a_text_frame_is_kept_as_text() {
        assert_eq!(
            letter(&Frame::Text("{\"a\n")),
            json!({
                "schemaVersion": "1.0",
                "deadLetterId": "0190",
                "receivedAt": "2022-04-06T09:30:44.949Z",
                "source": "shard-7",
                "origin": {"transport": "notifications", "topic": "a\nb"},
                "stage": "DECODE",
                "reason": "not JSON: \"quoted\"",
                "frame": {
                    "type": "text",
                    "lengthBytes": 4,
                    "sha256": "2ef80e1346ffc320071e69a95b60be1121975cdb672811fa10f99cde7b07257a",
                    "text": "{\"a\n",
                },
            })
        );
    }

    #[test]
    fn bytes_that_are_no_text_are_kept_in_base64_and_an_oversized_frame_by_its_head() {
        let binary = letter(&Frame::Binary(&[0xff, 0x00]));
        assert_eq!(
            (&binary["frame"]["base64"], &binary["frame"]["type"]),
            (&json!("/wA="), &json!("binary"))
        );
        assert!(binary["frame"].get("truncated").is_none());
        assert_eq!(letter(&Frame::Binary(b"{"))["frame"]["text"], "{");
        let oversized = letter(&Frame::Oversized {
            length_bytes: 5_000_000_000,
            sha256: [0xab; 32],
            head: b"{\"a",
        });
        assert_eq!(
            oversized["frame"],
            json!({
                "type": "oversized",
                "lengthBytes": 5_000_000_000_u64,
                "sha256": "ab".repeat(32),
                "base64": "eyJh",
                "truncated": true,
            })
        );
    }
}
