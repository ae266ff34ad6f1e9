//! Gaps: every interval in which we know that we were not listening, as pairs of control records.
//!
//! Refuses to guess in its own favour: `from` is an instant before which everything that was sent is known to have
//! arrived (the latest ping that was answered; the end itself after a close frame), rounded down, `to` the moment the
//! next subscription counts, rounded up, so that an event sent to the open socket and not delivered lies inside. The
//! closing record repeats everything of the opening one.

use jiff::{RoundMode, Timestamp, TimestampRound, Unit};
use serde::Serialize;
use uuid::Uuid;

/// Version of the record's schema.
const SCHEMA_VERSION: &str = "1.0";

/// Longest piece of foreign text in a record, in characters; a close reason has 123 bytes at most (RFC 6455, 5.5.1).
const MAX_TEXT_CHARACTERS: usize = 256;

/// Why we were not listening.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The connection was lost and had to be made anew.
    Reconnect,
    /// The source was drained.
    Stopped,
    /// The queue was full for longer than `stall_ms`.
    QueueFull,
    /// Records were dropped because the queue was full.
    Dropped,
    /// A message over `max_frame_bytes` cost the connection.
    Oversized,
    /// The server revoked the token.
    TokenRevoked,
}

impl Cause {
    /// Returns the name in records and logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Reconnect => "reconnect",
            Self::Stopped => "stopped",
            Self::QueueFull => "queue_full",
            Self::Dropped => "dropped",
            Self::Oversized => "oversized",
            Self::TokenRevoked => "token_revoked",
        }
    }
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LossKind {
    /// The server sent a close frame.
    Close,
    /// The stream ended without one.
    Eof,
    /// The operating system reported a broken connection.
    Reset,
    /// Nothing arrived within the silence deadline.
    Silence,
    /// The server broke the WebSocket protocol.
    Protocol,
    /// The server refused the subscription.
    Refused,
    /// We ended it.
    Local,
}

/// What is known about the end of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Detail {
    /// How it ended.
    pub kind: LossKind,
    /// RFC 6455 close code, if there was a close frame with one.
    pub close_code: Option<u16>,
    /// The server's or the system's words, control characters escaped.
    pub close_reason: Option<String>,
}

impl Detail {
    /// Describes an end without a close code.
    #[must_use]
    pub fn new(kind: LossKind, reason: Option<&str>) -> Self {
        Self {
            kind,
            close_code: None,
            close_reason: reason.map(escape),
        }
    }
}

/// Escapes control characters and bounds the length, so that foreign text can stand in a record or a log line.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars().take(MAX_TEXT_CHARACTERS) {
        if character.is_control() {
            escaped.extend(character.escape_default());
        } else {
            escaped.push(character);
        }
    }
    escaped
}

/// One gap, from its opening to its closing record.
#[derive(Clone, Debug)]
pub struct Gap {
    id: Uuid,
    cause: Cause,
    detail: Detail,
    from_us: i64,
    detected_us: i64,
    /// Frames that were received and thrown away within the gap.
    pub frames_dropped: u64,
}

/// Which of the two records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// The gap has begun.
    Opened,
    /// The gap has ended.
    Closed {
        /// When, in microseconds since 1970 UTC.
        to_us: i64,
    },
}

impl Edge {
    /// Returns the control type of the record.
    #[must_use]
    pub fn control_type(self) -> &'static str {
        match self {
            Self::Opened => "gap_opened",
            Self::Closed { .. } => "gap_closed",
        }
    }
}

/// What every gap record of a source shares.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Name of the source, its shard.
    pub source: String,
    /// What is subscribed to.
    pub topics: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GapRecord<'a> {
    schema_version: &'static str,
    control_id: String,
    #[serde(rename = "type")]
    type_: &'static str,
    gap_id: String,
    source: &'a str,
    cause: Cause,
    detail: &'a Detail,
    from: String,
    to: Option<String>,
    detected_at: String,
    topics: &'a [String],
    backfilled: bool,
    frames_dropped: u64,
}

impl Gap {
    /// Begins a gap.
    ///
    /// # Units
    /// `from_us`, `now_us`: microseconds since 1970 UTC. A `from_us` after `now_us` is taken as `now_us`.
    #[must_use]
    pub fn new(cause: Cause, detail: Detail, from_us: i64, now_us: i64) -> Self {
        Self {
            id: Uuid::now_v7(),
            cause,
            detail,
            from_us: from_us.min(now_us),
            detected_us: now_us,
            frames_dropped: 0,
        }
    }

    /// Returns why it began.
    #[must_use]
    pub fn cause(&self) -> Cause {
        self.cause
    }

    /// Appends the body of one of its records, JSON.
    ///
    /// # Panics
    /// Never: texts, numbers and lists of texts always serialize, and a vector takes every byte.
    pub fn write(&self, edge: Edge, origin: &Origin, out: &mut Vec<u8>) {
        let to = match edge {
            Edge::Opened => None,
            Edge::Closed { to_us } => Some(rfc3339(to_us.max(self.from_us), RoundMode::Ceil)),
        };
        let record = GapRecord {
            schema_version: SCHEMA_VERSION,
            control_id: Uuid::now_v7().to_string(),
            type_: edge.control_type(),
            gap_id: self.id.to_string(),
            source: &origin.source,
            cause: self.cause,
            detail: &self.detail,
            from: rfc3339(self.from_us, RoundMode::Floor),
            to,
            detected_at: rfc3339(self.detected_us, RoundMode::Floor),
            topics: &origin.topics,
            backfilled: false,
            frames_dropped: self.frames_dropped,
        };
        serde_json::to_writer(out, &record).expect("texts and numbers serialize, and a Vec takes every byte");
    }
}

/// Writes a time as RFC 3339 UTC with milliseconds, rounded as `mode` says.
fn rfc3339(time_us: i64, mode: RoundMode) -> String {
    let exact = Timestamp::from_microsecond(time_us).unwrap_or(Timestamp::UNIX_EPOCH);
    let rounded = exact
        .round(TimestampRound::new().smallest(Unit::Millisecond).mode(mode))
        .unwrap_or(exact);
    format!("{rounded:.3}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::{Cause, Detail, Edge, Gap, LossKind, Origin, escape};

    fn written(gap: &Gap, edge: Edge) -> Value {
        let origin = Origin {
            source: "main".to_owned(),
            topics: vec!["interaction".to_owned()],
        };
        let mut out = Vec::new();
        gap.write(edge, &origin, &mut out);
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn a_pair_shares_its_id_and_rounds_outwards() {
        let detail = Detail {
            close_code: Some(1001),
            ..Detail::new(LossKind::Close, Some("bye\n"))
        };
        let gap = Gap::new(
            Cause::Reconnect,
            detail,
            1_767_323_045_000_999,
            1_767_323_045_001_001,
        );
        let opened = written(&gap, Edge::Opened);
        let closed = written(
            &gap,
            Edge::Closed {
                to_us: 1_767_323_046_000_001,
            },
        );
        assert_eq!(opened["type"], "gap_opened");
        assert_eq!(opened["to"], Value::Null);
        assert_eq!(opened["from"], "2026-01-02T03:04:05.000Z");
        assert_eq!(opened["detectedAt"], "2026-01-02T03:04:05.001Z");
        assert_eq!(
            opened["detail"],
            json!({"kind": "close", "closeCode": 1001, "closeReason": "bye\\n"})
        );
        assert_eq!(closed["type"], "gap_closed");
        assert_eq!(closed["to"], "2026-01-02T03:04:06.001Z");
        assert_eq!(closed["gapId"], opened["gapId"]);
        assert_ne!(closed["controlId"], opened["controlId"]);
        assert_eq!(closed["topics"], json!(["interaction"]));
        assert_eq!(
            (&closed["cause"], &closed["backfilled"], &closed["framesDropped"]),
            (&json!("reconnect"), &json!(false), &json!(0))
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn a_gap_never_ends_before_it_begins(from in 0..2_000_000_000_000_000_i64, now in 0..2_000_000_000_000_000_i64, to in 0..2_000_000_000_000_000_i64) {
            let gap = Gap::new(Cause::Dropped, Detail::new(LossKind::Local, None), from, now);
            let closed = written(&gap, Edge::Closed { to_us: to });
            prop_assert!(closed["from"].as_str() <= closed["to"].as_str());
        }

        #[test]
        fn escaped_text_holds_no_control_character(text in any::<String>()) {
            prop_assert!(!escape(&text).chars().any(char::is_control));
        }
    }
}
