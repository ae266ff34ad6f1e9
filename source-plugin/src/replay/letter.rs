//! One dead letter as it is read back: its id, its time of receipt, and what can be admitted of it.
//!
//! Responsible for the form (`schemas/dead-letter.schema.json`) and for telling a frame that was kept whole from one that
//! was not. Refuses a frame whose digest is another. Invariant: what comes out of a letter is byte for byte what went
//! into it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::admission::Whole;
use crate::decode::{Fault, Transport};
use crate::normalize::SOURCE;
use crate::record::Kind;
use crate::text::escape_control;
use crate::timestamp;

/// Longest id of a dead letter, in bytes; those of this library have 36, and one of a refused record is the record's.
const MAX_ID_BYTES: usize = 6 * 1024;

/// The stage of a record that its destination refused: the frame is the record's body.
const PRODUCE: &str = "PRODUCE";

/// A dead letter.
#[derive(Debug)]
pub(super) struct Letter {
    pub(super) id: String,
    pub(super) received_time_us: i64,
    pub(super) transport: Transport,
    /// What is in it, or why nothing of it can be admitted.
    pub(super) content: Result<Content, Fault>,
}

/// What a dead letter holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// A text frame.
    Text(String),
    /// A binary frame.
    Binary(Vec<u8>),
    /// The body of a record that was normalized before.
    Record(WholeRecord),
}

/// A record that was normalized before, with its head read back from its body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct WholeRecord {
    kind: Kind,
    id: String,
    type_: String,
    subject: String,
    analytics_id: Option<String>,
    event_time_us: Option<i64>,
    body: String,
}

impl WholeRecord {
    /// The record as admission takes it.
    pub(super) fn as_whole(&self) -> Whole<'_> {
        Whole {
            kind: self.kind,
            id: &self.id,
            type_: &self.type_,
            subject: &self.subject,
            analytics_id: self.analytics_id.as_deref(),
            event_time_us: self.event_time_us,
            body: self.body.as_bytes(),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawLetter {
    dead_letter_id: String,
    received_at: String,
    origin: RawOrigin,
    stage: String,
    frame: RawFrame,
}

#[derive(Deserialize)]
struct RawOrigin {
    transport: RawTransport,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum RawTransport {
    Events,
    Notifications,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum RawFrameType {
    Text,
    Binary,
    Oversized,
}

#[derive(Deserialize)]
struct RawFrame {
    #[serde(rename = "type")]
    type_: RawFrameType,
    sha256: String,
    text: Option<String>,
    base64: Option<String>,
    #[serde(default)]
    truncated: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawEvent {
    event_id: String,
    event_type: String,
    analytics_id: String,
    conversation_id: Option<String>,
    timestamp: String,
    timestamp_source: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawControl {
    control_id: String,
    #[serde(rename = "type")]
    type_: String,
    source: String,
}

/// Reads a line.
///
/// # Errors
/// Why the line is no dead letter; free of what stands in it.
pub(super) fn read(line: &[u8]) -> Result<Letter, String> {
    // The words of serde_json quote the values that they do not like; place and kind are enough.
    let raw: RawLetter = serde_json::from_slice(line).map_err(|error| {
        let kind = match error.classify() {
            serde_json::error::Category::Data => "not of the shape of a dead letter",
            _ => "not JSON",
        };
        format!("{kind} at column {}", error.column())
    })?;
    if raw.dead_letter_id.is_empty() || raw.dead_letter_id.len() > MAX_ID_BYTES {
        return Err(format!(
            "deadLetterId has {} bytes, of 1 to {MAX_ID_BYTES}",
            raw.dead_letter_id.len()
        ));
    }
    let received_time_us = timestamp::parse(&format!("\"{}\"", raw.received_at))
        .ok_or_else(|| "receivedAt is no time".to_owned())?;
    let transport = match raw.origin.transport {
        RawTransport::Events => Transport::Events,
        RawTransport::Notifications => Transport::Notifications,
    };
    Ok(Letter {
        id: escape_control(&raw.dead_letter_id).into_owned(),
        received_time_us,
        transport,
        content: content(raw.frame, raw.stage == PRODUCE),
    })
}

fn content(frame: RawFrame, is_record: bool) -> Result<Content, Fault> {
    if frame.truncated || frame.type_ == RawFrameType::Oversized {
        return Err(Fault::decode("only the head of the frame was kept"));
    }
    let bytes = match (frame.text, frame.base64) {
        (Some(text), _) => text.into_bytes(),
        (None, Some(base64)) => STANDARD
            .decode(base64)
            .map_err(|_| Fault::decode("frame.base64 is not base64"))?,
        (None, None) => return Err(Fault::decode("the frame was not kept")),
    };
    if !is_digest(&bytes, &frame.sha256) {
        return Err(Fault::decode("the frame does not fit its sha256, it was changed"));
    }
    if frame.type_ == RawFrameType::Binary && !is_record {
        return Ok(Content::Binary(bytes));
    }
    let text = String::from_utf8(bytes).map_err(|_| Fault::decode("a text frame that is not UTF-8"))?;
    if is_record {
        whole(text).map(Content::Record)
    } else {
        Ok(Content::Text(text))
    }
}

fn is_digest(bytes: &[u8], hexadecimal: &str) -> bool {
    let digest = Sha256::digest(bytes);
    let digits = hexadecimal.as_bytes();
    digits.len() == 2 * digest.len()
        && digest.iter().zip(digits.chunks_exact(2)).all(|(byte, pair)| {
            let read = std::str::from_utf8(pair)
                .ok()
                .and_then(|pair| u8::from_str_radix(pair, 16).ok());
            read == Some(*byte)
        })
}

/// Reads the head of a record back from its body.
fn whole(body: String) -> Result<WholeRecord, Fault> {
    if let Ok(event) = serde_json::from_str::<RawEvent>(&body) {
        let time_us = timestamp::parse(&format!("\"{}\"", event.timestamp));
        let subject = event.conversation_id.as_ref().unwrap_or(&event.analytics_id);
        return Ok(WholeRecord {
            kind: Kind::Event,
            id: escape_control(&event.event_id).into_owned(),
            type_: escape_control(&event.event_type).into_owned(),
            subject: escape_control(subject).into_owned(),
            analytics_id: Some(escape_control(&event.analytics_id).into_owned()),
            event_time_us: time_us.filter(|_| event.timestamp_source == "event"),
            body,
        });
    }
    if let Ok(control) = serde_json::from_str::<RawControl>(&body) {
        return Ok(WholeRecord {
            kind: Kind::Control,
            id: escape_control(&control.control_id).into_owned(),
            type_: escape_control(&control.type_).into_owned(),
            subject: escape_control(&control.source).into_owned(),
            analytics_id: None,
            event_time_us: None,
            body,
        });
    }
    Err(Fault::validate(format!(
        "the refused record is none of {SOURCE}'s"
    )))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use sha2::{Digest as _, Sha256};

    use super::{Content, Kind, read};
    use crate::admission::Frame;
    use crate::dead_letter::DeadLetter;
    use crate::decode::{Fault, Transport};

    fn written(frame: &Frame<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        DeadLetter {
            id: "0190",
            received_time_us: 1_649_237_444_949_000,
            source_name: "shard-7",
            transport: Transport::Notifications,
            topic: None,
            fault: &Fault::decode("not JSON"),
        }
        .write(&mut out, frame);
        out
    }

    fn hex(bytes: &[u8]) -> String {
        Sha256::digest(bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    fn refused(body: &Value) -> Vec<u8> {
        let text = body.to_string();
        json!({
            "schemaVersion": "1.0", "deadLetterId": "e1", "receivedAt": "2026-03-01T12:00:04.000Z", "source": "main",
            "origin": {"transport": "events", "topic": null}, "stage": "PRODUCE", "reason": "too large",
            "frame": {"type": "text", "lengthBytes": text.len(), "sha256": hex(text.as_bytes()), "text": text},
        })
        .to_string()
        .into_bytes()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn every_frame_that_was_kept_whole_is_read_back_byte_for_byte(
            text in any::<String>(), bytes in prop::collection::vec(any::<u8>(), 0..64),
        ) {
            let letter = read(&written(&Frame::Text(&text))).unwrap();
            prop_assert_eq!(letter.content, Ok(Content::Text(text)));
            prop_assert_eq!((letter.id.as_str(), letter.received_time_us), ("0190", 1_649_237_444_949_000));
            prop_assert_eq!(letter.transport, Transport::Notifications);
            let letter = read(&written(&Frame::Binary(&bytes))).unwrap();
            prop_assert_eq!(letter.content, Ok(Content::Binary(bytes)));
        }

        #[test]
        fn no_line_makes_the_reader_panic(line in prop::collection::vec(any::<u8>(), 0..256)) {
            prop_assert!(read(&line).is_err());
        }
    }

    #[test]
    fn what_was_not_kept_whole_or_was_changed_is_told_apart() {
        let reason = |line: &Value| {
            let letter = read(line.to_string().as_bytes()).unwrap();
            letter.content.unwrap_err().reason.into_owned()
        };
        let oversized = Frame::Oversized {
            length_bytes: 9,
            sha256: [1; 32],
            head: b"{",
        };
        let value: Value = serde_json::from_slice(&written(&oversized)).unwrap();
        assert_eq!(reason(&value), "only the head of the frame was kept");
        let whole: Value = serde_json::from_slice(&written(&Frame::Text("{"))).unwrap();
        let mut cut = whole.clone();
        cut["frame"]["truncated"] = true.into();
        assert_eq!(reason(&cut), "only the head of the frame was kept");
        let mut stripped = whole.clone();
        stripped["frame"].as_object_mut().unwrap().remove("text");
        assert_eq!(reason(&stripped), "the frame was not kept");
        let mut changed = whole.clone();
        changed["frame"]["text"] = "[".into();
        assert_eq!(
            reason(&changed),
            "the frame does not fit its sha256, it was changed"
        );
        let mut broken = stripped;
        broken["frame"]["base64"] = "%".into();
        assert_eq!(reason(&broken), "frame.base64 is not base64");
    }

    #[test]
    fn a_line_that_is_no_dead_letter_is_refused_without_being_quoted() {
        assert_eq!(read(b"{\"secret").unwrap_err(), "not JSON at column 8");
        let error = read(b"{\"deadLetterId\":7}").unwrap_err();
        assert_eq!(error, "not of the shape of a dead letter at column 17");
        let mut empty: Value = serde_json::from_slice(&written(&Frame::Text("{"))).unwrap();
        empty["deadLetterId"] = "".into();
        assert_eq!(
            read(empty.to_string().as_bytes()).unwrap_err(),
            "deadLetterId has 0 bytes, of 1 to 6144"
        );
    }

    #[test]
    fn a_refused_record_comes_back_with_the_head_that_it_had() {
        let event = json!({"eventId": "e1", "eventType": "interaction", "analyticsId": "a1", "conversationId": "c1",
            "timestamp": "2022-04-06T09:30:44.949Z", "timestampSource": "event"});
        let letter = read(&refused(&event)).unwrap();
        let Ok(Content::Record(record)) = letter.content else {
            panic!("{letter:?}")
        };
        let whole = record.as_whole();
        assert_eq!(
            (whole.kind, whole.id, whole.type_, whole.subject),
            (Kind::Event, "e1", "interaction", "c1")
        );
        assert_eq!(
            (whole.analytics_id, whole.event_time_us),
            (Some("a1"), Some(1_649_237_444_949_000))
        );
        assert_eq!(whole.body, event.to_string().as_bytes());

        let control = json!({"controlId": "g:opened", "type": "gap_opened", "source": "main"});
        let letter = read(&refused(&control)).unwrap();
        let Ok(Content::Record(record)) = letter.content else {
            panic!("{letter:?}")
        };
        let whole = record.as_whole();
        assert_eq!(
            (whole.kind, whole.id, whole.type_, whole.subject),
            (Kind::Control, "g:opened", "gap_opened", "main")
        );
        let foreign = read(&refused(&json!({"x": 1}))).unwrap();
        assert_eq!(
            foreign.content.unwrap_err().reason,
            "the refused record is none of genesys-cloud's"
        );
    }
}
