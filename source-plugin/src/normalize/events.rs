//! Facts of a frame of the events transport: the frame is the event.
//!
//! Responsible for the tutorial's fields, their defaults and the identity rule of that transport. Refuses a frame with
//! neither `id` nor `conversationId`. Invariant: a conversation's id is never the identity of an event, so that later
//! events of a conversation are not taken for duplicates of its first.

use super::{Defaulted, EventTime, Facts, Field, NO_IDENTITY};
use crate::decode::{Fault, Transport};
use crate::identity::{Identity, KeyBuilder};
use crate::json::{self, Member, Text};
use crate::timestamp;

/// Event type of a frame without a `type`, as in the tutorial.
const DEFAULT_TYPE: &str = "interaction";

/// Takes the member `name` into a field of its own if `fits` accepts its token; else notes its absence.
fn carry<'a>(
    body: &mut [Member<'a>],
    name: &str,
    own_name: Option<&str>,
    defaulted: &mut Defaulted,
    fits: impl FnOnce(&str) -> bool,
) -> Option<&'a str> {
    match json::find(body, name) {
        Some((at, token)) if fits(token) => {
            body[at].skip = true;
            Some(token)
        }
        Some(_) => None,
        None => {
            if let Some(own_name) = own_name {
                defaulted.add(own_name);
            }
            None
        }
    }
}

pub(super) fn read<'a>(body: &mut [Member<'a>], key: &mut KeyBuilder) -> Result<Facts<'a>, Fault> {
    let mut defaulted = Defaulted::default();
    let is_text = |token: &str| token.len() > 2 && token.starts_with('"');
    let is_string = |token: &str| token.starts_with('"');
    let id = carry(body, "id", Some("analyticsId"), &mut defaulted, is_text).and_then(Text::read);
    let conversation_id = carry(body, "conversationId", None, &mut defaulted, is_text).and_then(Text::read);
    let event_type = carry(body, "type", Some("eventType"), &mut defaulted, is_text).and_then(Text::read);
    let Some(analytics_id) = id.as_ref().or(conversation_id.as_ref()) else {
        return Err(Fault::validate(NO_IDENTITY));
    };
    let analytics_id = analytics_id.clone();

    let raw_time = json::find(body, "timestamp").filter(|found| found.1 != "null");
    let time = match (raw_time, json::find(body, "timestamp")) {
        (Some((at, token)), _) => {
            let time = EventTime::read(token);
            if let EventTime::At(us) = time {
                let written = timestamp::rfc3339_ms(us);
                let inner = token
                    .as_bytes()
                    .strip_prefix(b"\"")
                    .and_then(|rest| rest.strip_suffix(b"\""));
                body[at].skip = inner == Some(&written[..]);
            }
            time
        }
        (None, Some(_)) => EventTime::Absent,
        (None, None) => {
            defaulted.add("timestamp");
            EventTime::Absent
        }
    };

    let identity = match (&id, &conversation_id, &event_type, raw_time) {
        (Some(id), conversation, ..) if conversation.as_ref().is_none_or(|other| other.text != id.text) => {
            key.start("id");
            key.part(&id.text);
            Identity::Source(id.text.clone())
        }
        (_, Some(conversation), Some(event_type), Some((_, time))) => {
            key.start("event");
            key.part(&event_type.text);
            key.part(&conversation.text);
            key.part(time.trim_matches('"'));
            Identity::Natural
        }
        _ => Identity::None,
    };

    let direction = carry(body, "direction", None, &mut defaulted, is_string);
    let duration = carry(
        body,
        "duration",
        Some("duration"),
        &mut defaulted,
        json::is_number,
    );
    let participants = carry(
        body,
        "participants",
        Some("participants"),
        &mut defaulted,
        json::is_array,
    );
    let metadata = carry(
        body,
        "metadata",
        Some("metadata"),
        &mut defaulted,
        json::is_object,
    );
    Ok(Facts {
        transport: Transport::Events,
        topic: Field::Null,
        correlation_id: Field::Null,
        identity,
        analytics_id,
        conversation_id,
        event_type: event_type.unwrap_or_else(|| Text::plain(DEFAULT_TYPE)),
        time,
        direction: direction.map_or(Field::Null, Field::Token),
        duration: duration.map_or(Field::Number(0), Field::Token),
        participants: participants.unwrap_or("[]"),
        metadata: metadata.unwrap_or("{}"),
        defaulted,
    })
}
