//! Gaps: every interval in which we know that we were not listening, as pairs of control records.
//!
//! Refuses to guess in its own favour: `from` is an instant before which everything that was sent is known to have
//! arrived (the latest ping that was answered), rounded down, `to` the moment the next subscription counts, rounded up,
//! so that an event sent to the open socket and not delivered lies inside. The closing record repeats everything of the
//! opening one.
//!
//! Over 400 lines with its tests: the two records and what they are made from are one thing.

use std::sync::Arc;

use jiff::{RoundMode, Timestamp, TimestampRound, Unit};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::backfill::Report;

/// Version of the record's schema.
const SCHEMA_VERSION: &str = "1.0";

/// Longest piece of foreign text in a record, in characters; a close reason has 123 bytes at most (RFC 6455, 5.5.1).
const MAX_TEXT_CHARACTERS: usize = 256;

/// Why we were not listening.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The connection was lost and had to be made anew.
    Reconnect,
    /// The process ended without having been stopped.
    Crash,
    /// The source was drained.
    Stopped,
    /// The spool took no record for longer than `stall_ms`.
    SpoolFull,
    /// The queue was full for longer than `stall_ms`.
    QueueFull,
    /// Records were dropped because the queue was full.
    Dropped,
    /// A message over `max_frame_bytes` cost the connection.
    Oversized,
    /// Genesys Cloud does not let the OAuth client have these topics.
    TopicRejected,
    /// The channels that the source may have take no more topics.
    OverQuota,
    /// The server revoked the token.
    TokenRevoked,
}

impl Cause {
    /// Returns the name in records and logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Reconnect => "reconnect",
            Self::Crash => "crash",
            Self::Stopped => "stopped",
            Self::SpoolFull => "spool_full",
            Self::QueueFull => "queue_full",
            Self::Dropped => "dropped",
            Self::Oversized => "oversized",
            Self::TopicRejected => "topic_rejected",
            Self::OverQuota => "over_quota",
            Self::TokenRevoked => "token_revoked",
        }
    }
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    id: String,
    cause: Cause,
    detail: Detail,
    from_us: i64,
    detected_us: i64,
    /// Number of its opening record.
    pub opened_at: u64,
    /// Where and when it was closed, until its closing record is known to be in the log.
    pub closed: Option<Closed>,
    /// When somebody listened again, in microseconds since 1970 UTC, while its closing record waits for the history.
    #[serde(default)]
    pub over_us: Option<i64>,
    /// What its closing record says of the history; `None`: there is none to ask.
    #[serde(skip)]
    pub report: Option<Report>,
    /// Frames that were received and thrown away within the gap.
    pub frames_dropped: u64,
    /// The topics that were not listened to; `None`: all of the source. They may be a thousand, so the marks of a spool do
    /// not hold them: a process that takes the gap over names all of its own.
    #[serde(skip)]
    pub topics: Option<Arc<[String]>>,
    /// Whether something else was listened to meanwhile.
    #[serde(default)]
    pub is_partial: bool,
}

/// The end of a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    /// Number of its closing record.
    pub at: u64,
    /// When somebody listened again, in microseconds since 1970 UTC.
    pub to_us: i64,
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
    /// Most bytes that the topics of a record have as JSON: what the spool has room for. Those beyond are counted.
    pub max_topics_bytes: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GapRecord<'a> {
    schema_version: &'static str,
    control_id: String,
    #[serde(rename = "type")]
    type_: &'static str,
    gap_id: &'a str,
    source: &'a str,
    cause: Cause,
    detail: &'a Detail,
    from: String,
    to: Option<String>,
    detected_at: String,
    topics: &'a [String],
    #[serde(skip_serializing_if = "is_none_left")]
    topics_omitted: usize,
    backfilled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    backfill: Option<&'a Report>,
    frames_dropped: u64,
}

/// Says whether no topic was left out; by reference as serde asks.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
fn is_none_left(omitted: &usize) -> bool {
    *omitted == 0
}

impl Gap {
    /// Begins a gap.
    ///
    /// # Units
    /// `from_us`, `now_us`: microseconds since 1970 UTC. A `from_us` after `now_us` is taken as `now_us`.
    #[must_use]
    pub fn new(cause: Cause, detail: Detail, from_us: i64, now_us: i64) -> Self {
        Self {
            id: Uuid::now_v7().to_string(),
            cause,
            detail,
            from_us: from_us.min(now_us),
            detected_us: now_us,
            opened_at: 0,
            closed: None,
            over_us: None,
            report: None,
            frames_dropped: 0,
            topics: None,
            is_partial: false,
        }
    }

    /// Makes it a gap of some topics, beside which others are listened to.
    #[must_use]
    pub fn of_topics(mut self, topics: Arc<[String]>) -> Self {
        (self.topics, self.is_partial) = (Some(topics), true);
        self
    }

    /// Returns the gap as the spool keeps it while it is open.
    ///
    /// # Panics
    /// Never: texts and numbers always serialize.
    #[must_use]
    pub fn to_saved(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and numbers serialize")
    }

    /// Reads what [`Gap::to_saved`] gave, perhaps in an earlier process; `None` if it is something else.
    #[must_use]
    pub fn from_saved(saved: &[u8]) -> Option<Self> {
        serde_json::from_slice(saved).ok()
    }

    /// Returns when it began, in microseconds since 1970 UTC.
    #[must_use]
    pub fn from_us(&self) -> i64 {
        self.from_us
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
        let report = self.report.as_ref().filter(|_| edge != Edge::Opened);
        let all = self.topics.as_deref().unwrap_or(&origin.topics);
        let topics = leading(all, origin.max_topics_bytes);
        let record = GapRecord {
            schema_version: SCHEMA_VERSION,
            control_id: Uuid::now_v7().to_string(),
            type_: edge.control_type(),
            gap_id: &self.id,
            source: &origin.source,
            cause: self.cause,
            detail: &self.detail,
            from: rfc3339(self.from_us, RoundMode::Floor),
            to,
            detected_at: rfc3339(self.detected_us, RoundMode::Floor),
            topics,
            topics_omitted: all.len() - topics.len(),
            backfilled: report.is_some_and(Report::is_backfilled),
            backfill: report,
            frames_dropped: self.frames_dropped,
        };
        serde_json::to_writer(out, &record).expect("texts and numbers serialize, and a Vec takes every byte");
    }
}

/// Returns the topics from the first on that have at most `max_bytes` as a JSON list.
fn leading(topics: &[String], max_bytes: usize) -> &[String] {
    let mut bytes = "[]".len();
    let fitting = topics.iter().take_while(|topic| {
        // A text with its quotes and the comma behind it.
        bytes += serde_json::to_string(topic).map_or(usize::MAX / 2, |text| text.len()) + 1;
        bytes <= max_bytes
    });
    topics.get(..fitting.count()).unwrap_or_default()
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

    use super::{Cause, Detail, Edge, Gap, LossKind, Origin, Report, escape};
    use crate::backfill::{Outcome, Scope};
    use crate::record_bound::max_record_bytes;

    fn written(gap: &Gap, edge: Edge) -> Value {
        let origin = Origin {
            source: "main".to_owned(),
            topics: vec!["interaction".to_owned()],
            max_topics_bytes: 8192,
        };
        let mut out = Vec::new();
        gap.write(edge, &origin, &mut out);
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn a_gap_of_some_topics_names_them_and_is_saved_without_them() {
        let detail = Detail::new(LossKind::Eof, None);
        let topics = vec!["v2.users.u.presence".to_owned()].into();
        let gap = Gap::new(Cause::Reconnect, detail, 1, 2).of_topics(topics);
        assert_eq!(
            written(&gap, Edge::Opened)["topics"],
            json!(["v2.users.u.presence"])
        );
        let saved = Gap::from_saved(&gap.to_saved()).unwrap();
        assert!(saved.is_partial);
        assert_eq!(written(&saved, Edge::Opened)["topics"], json!(["interaction"]));
    }

    #[test]
    fn a_thousand_topics_fit_into_the_record_that_the_spool_has_room_for() {
        let topics: Vec<String> = (0..1000)
            .map(|at| format!("v2.users.{at:036}?{}", "presence&".repeat(15)))
            .collect();
        let detail = Detail::new(LossKind::Eof, Some(&"\u{1}".repeat(1000)));
        let mut gap = Gap::new(Cause::Reconnect, detail, 1, 2).of_topics(topics.clone().into());
        let kinds: Vec<String> = (0..1000).map(|at| format!("v2.\u{1}{at}")).collect();
        let scope = Scope::of(&kinds);
        gap.report = Some(Report::asked(
            Outcome::Partial,
            Some(&"\u{1}".repeat(1000)),
            1,
            &scope,
        ));
        for max_topics_bytes in [2, 200, 8192, 65_536, 1 << 20] {
            let origin = Origin {
                source: "\u{1}".repeat(100),
                topics: Vec::new(),
                max_topics_bytes,
            };
            let mut out = Vec::new();
            gap.write(Edge::Closed { to_us: 3 }, &origin, &mut out);
            let most_bytes = max_record_bytes(0, max_topics_bytes as u64);
            assert!((out.len() as u64) <= most_bytes, "{} > {most_bytes}", out.len());
            let record: Value = serde_json::from_slice(&out).unwrap();
            let named = record["topics"].as_array().unwrap();
            let text = serde_json::to_string(named).unwrap();
            assert!(
                text.len() <= max_topics_bytes,
                "{} > {max_topics_bytes}",
                text.len()
            );
            let rest = topics.len() - named.len();
            if let Some(next) = topics.get(named.len()) {
                assert!(
                    text.len() + next.len() + 4 > max_topics_bytes,
                    "room for one more"
                );
                assert_eq!(record["topicsOmitted"], rest);
            } else {
                assert_eq!(record.get("topicsOmitted"), None);
            }
            assert_eq!(json!(named), json!(topics[..named.len()]));
        }
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

    #[test]
    fn only_the_closing_record_tells_of_the_history() {
        let mut gap = Gap::new(Cause::Crash, Detail::new(LossKind::Local, None), 1, 2);
        assert_eq!(written(&gap, Edge::Closed { to_us: 3 }).get("backfill"), None);
        gap.report = Some(Report::asked(Outcome::Complete, None, 2, &Scope::default()));
        assert_eq!(written(&gap, Edge::Opened).get("backfill"), None);
        assert_eq!(written(&gap, Edge::Opened)["backfilled"], false);
        let closed = written(&gap, Edge::Closed { to_us: 3 });
        assert_eq!(
            (&closed["backfilled"], &closed["backfill"]["conversations"]),
            (&json!(true), &json!(2))
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
        fn a_saved_gap_is_read_back(from in any::<i64>(), now in any::<i64>(), opened_at in any::<u64>(), reason in any::<Option<String>>()) {
            let mut gap = Gap::new(Cause::SpoolFull, Detail::new(LossKind::Local, reason.as_deref()), from, now);
            gap.opened_at = opened_at;
            prop_assert_eq!(Gap::from_saved(&gap.to_saved()), Some(gap));
        }

        #[test]
        fn escaped_text_holds_no_control_character(text in any::<String>()) {
            prop_assert!(!escape(&text).chars().any(char::is_control));
        }
    }
}
