//! The normalized event: one form for both transports, written once.
//!
//! Responsible for the event's JSON and its member order. Refuses to lose anything: a raw member is left out of
//! `payload.extra` (or `origin.envelope`) only if the very same JSON token stands in a field of its own; a list of
//! participants that is brought into another shape stands in both. Invariant:
//! [`reconstruct`] of what is written here gives the raw frame back, number text included.

mod events;
mod history;
mod legs;
mod notifications;
mod participants;
mod reconstruct;

use std::borrow::Cow;

pub(crate) use legs::COMMUNICATIONS;
pub(crate) use participants::topic_medium;
pub use reconstruct::{reconstruct, reconstruct_text};

use crate::decode::{Fault, Scratch, Transport};
use crate::identity::{Identity, KeyBuilder};
use crate::json::{self, Member, Text};
use crate::timestamp;

/// Version of `schemas/event.schema.json` that the output keeps to.
pub const SCHEMA_VERSION: &str = "1.0";

/// Value of `source` in every record.
pub const SOURCE: &str = "genesys-cloud";

/// When an event happened, as far as the event says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EventTime {
    /// In microseconds since 1970 UTC.
    At(i64),
    /// It does not say.
    Absent,
    /// It says something that is no time.
    Unreadable,
}

impl EventTime {
    /// Reads a token that is there.
    fn read(token: &str) -> Self {
        timestamp::parse(token).map_or(Self::Unreadable, Self::At)
    }

    /// Reads a token that is there, of a member that counts milliseconds.
    fn read_ms(token: &str) -> Self {
        timestamp::parse_ms(token).map_or(Self::Unreadable, Self::At)
    }

    /// Returns the time if there is one, in microseconds since 1970 UTC.
    pub(crate) fn us(self) -> Option<i64> {
        match self {
            Self::At(us) => Some(us),
            Self::Absent | Self::Unreadable => None,
        }
    }
}

/// A value of a field of its own.
#[derive(Clone, Debug)]
enum Field<'f> {
    Null,
    Token(&'f str),
    Text(Cow<'f, str>),
    Number(u64),
}

impl Field<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.extend_from_slice(b"null"),
            Self::Token(token) => out.extend_from_slice(token.as_bytes()),
            Self::Text(text) => json::write_string(out, text),
            Self::Number(number) => out.extend_from_slice(itoa::Buffer::new().format(*number).as_bytes()),
        }
    }
}

/// Names of own fields that may be filled although the raw member was absent; see `origin.defaulted`.
#[derive(Clone, Copy, Debug, Default)]
struct Defaulted(u8);

impl Defaulted {
    const NAMES: [&str; 8] = [
        "analyticsId",
        "conversationId",
        "eventType",
        "timestamp",
        "duration",
        "participants",
        "metadata",
        "eventBody",
    ];

    fn add(&mut self, name: &str) {
        if let Some(bit) = Self::NAMES.iter().position(|known| *known == name) {
            self.0 |= 1 << bit;
        }
    }

    fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES
            .into_iter()
            .enumerate()
            .filter(move |(bit, _)| self.0 & (1 << bit) != 0)
            .map(|(_, name)| name)
    }
}

/// What `payload.participants` is written from.
#[derive(Clone, Copy, Debug)]
enum Participants<'f> {
    /// A list that goes out as it came.
    AsItCame(&'f str),
    /// A raw list to bring into the one shape; it stands in `payload.extra` too.
    InOneShape {
        raw: &'f str,
        /// Of a topic of one medium.
        medium: Option<&'static str>,
    },
    /// A raw list as the history has it, to bring into the one shape; it stands in `payload.extra` too.
    OfHistory(&'f str),
}

impl Participants<'_> {
    const NONE: Self = Self::AsItCame("[]");

    fn write(self, out: &mut Vec<u8>) {
        match self {
            Self::AsItCame(list) => out.extend_from_slice(list.as_bytes()),
            Self::InOneShape { raw, medium } => {
                let omitted = participants::write(out, raw, medium);
                write_omitted(out, omitted);
            }
            Self::OfHistory(raw) => {
                let omitted = participants::history::write(out, raw);
                write_omitted(out, omitted);
            }
        }
    }
}

fn write_omitted(out: &mut Vec<u8>, omitted: usize) {
    if omitted > 0 {
        out.extend_from_slice(b",\"participantsOmitted\":");
        out.extend_from_slice(itoa::Buffer::new().format(omitted).as_bytes());
    }
}

/// Everything of an event but its id and its time of receipt.
#[derive(Debug)]
pub(crate) struct Facts<'f> {
    transport: Transport,
    /// Whether it was fetched from the history, in no frame.
    is_backfill: bool,
    topic: Field<'f>,
    correlation_id: Field<'f>,
    pub(crate) identity: Identity<'f>,
    pub(crate) analytics_id: Text<'f>,
    pub(crate) conversation_id: Option<Text<'f>>,
    pub(crate) event_type: Text<'f>,
    pub(crate) time: EventTime,
    /// The time as it is to be written, if that is how it stands in the frame.
    written_time: Option<[u8; 24]>,
    direction: Field<'f>,
    duration: Field<'f>,
    participants: Participants<'f>,
    metadata: &'f str,
    defaulted: Defaulted,
}

/// Reads the facts of a decoded event and marks the members that have a field of their own.
///
/// `event_type` is memory for the event type, `key` receives the identity key.
pub(crate) fn read<'f, 'a: 'f>(
    transport: Transport,
    topic: Option<&'f Text<'a>>,
    scratch: &mut Scratch<'a>,
    event_type: &'f mut String,
    key: &mut KeyBuilder,
) -> Result<Facts<'f>, Fault> {
    match transport {
        Transport::Events => events::read(&mut scratch.body, key),
        Transport::Notifications => notifications::read(topic, scratch, event_type, key),
    }
}

/// Reads the facts of a conversation of the past, whose members stand in the scratch as of an event without an envelope;
/// `text` is all of it. Parameters as for [`read`].
pub(crate) fn read_history<'f, 'a: 'f>(
    text: &str,
    scratch: &mut Scratch<'a>,
    key: &mut KeyBuilder,
) -> Result<Facts<'f>, Fault> {
    history::read(text, &mut scratch.body, key)
}

/// Writes the normalized event on one line; `received` is the time of receipt as [`timestamp::rfc3339_ms`] writes it.
pub(crate) fn write_event(
    out: &mut Vec<u8>,
    facts: &Facts<'_>,
    event_id: &str,
    received: &[u8; 24],
    scratch: &Scratch<'_>,
) {
    let start = out.len();
    let (time, time_source) = match (facts.time, facts.written_time) {
        (EventTime::At(_), Some(text)) => (text, &b"event"[..]),
        (EventTime::At(us), None) => (timestamp::rfc3339_ms(us), &b"event"[..]),
        (EventTime::Absent | EventTime::Unreadable, _) => (*received, &b"received"[..]),
    };
    out.extend_from_slice(b"{\"schemaVersion\":\"");
    out.extend_from_slice(SCHEMA_VERSION.as_bytes());
    out.extend_from_slice(b"\",\"eventId\":");
    json::write_string(out, event_id);
    out.extend_from_slice(b",\"analyticsId\":");
    facts.analytics_id.write(out);
    out.extend_from_slice(b",\"conversationId\":");
    match &facts.conversation_id {
        Some(id) => id.write(out),
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b",\"eventType\":");
    facts.event_type.write(out);
    out.extend_from_slice(b",\"timestamp\":\"");
    out.extend_from_slice(&time);
    out.extend_from_slice(b"\",\"timestampSource\":\"");
    out.extend_from_slice(time_source);
    out.extend_from_slice(b"\",\"receivedAt\":\"");
    out.extend_from_slice(received);
    out.extend_from_slice(b"\",\"source\":\"");
    out.extend_from_slice(SOURCE.as_bytes());
    out.extend_from_slice(b"\",\"origin\":{\"transport\":\"");
    out.extend_from_slice(facts.transport.name().as_bytes());
    out.extend_from_slice(b"\",\"topic\":");
    facts.topic.write(out);
    out.extend_from_slice(b",\"correlationId\":");
    facts.correlation_id.write(out);
    out.extend_from_slice(b",\"backfill\":");
    out.extend_from_slice(if facts.is_backfill { b"true" } else { b"false" });
    write_defaulted(out, facts.defaulted);
    write_envelope(out, &scratch.envelope);
    out.extend_from_slice(b"},\"payload\":{\"direction\":");
    facts.direction.write(out);
    out.extend_from_slice(b",\"duration\":");
    facts.duration.write(out);
    out.extend_from_slice(b",\"participants\":");
    facts.participants.write(out);
    out.extend_from_slice(b",\"metadata\":");
    out.extend_from_slice(facts.metadata.as_bytes());
    out.extend_from_slice(b",\"extra\":");
    json::write_members(out, &scratch.body);
    out.extend_from_slice(b"}}");
    if scratch.may_hold_line_ends {
        json::join_lines(out, start);
    }
}

fn write_defaulted(out: &mut Vec<u8>, defaulted: Defaulted) {
    let mut names = defaulted.names().peekable();
    if names.peek().is_none() {
        return;
    }
    out.extend_from_slice(b",\"defaulted\":[");
    while let Some(name) = names.next() {
        json::write_string(out, name);
        if names.peek().is_some() {
            out.push(b',');
        }
    }
    out.push(b']');
}

fn write_envelope(out: &mut Vec<u8>, envelope: &[Member<'_>]) {
    if envelope.iter().any(|member| !member.skip) {
        out.extend_from_slice(b",\"envelope\":");
        json::write_members(out, envelope);
    }
}

/// Reason for an event that names neither conversation nor entity.
pub(crate) const NO_IDENTITY: &str = "no usable identity: neither a conversation's id nor an entity's";
