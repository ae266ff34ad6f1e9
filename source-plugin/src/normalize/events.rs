//! Facts of a frame of the events transport: the frame is the event.
//!
//! Responsible for the tutorial's fields, their defaults and the identity rule of that transport. Refuses a frame with
//! neither `id` nor `conversationId`. Invariant: a conversation's id is never the identity of an event, so that later
//! events of a conversation are not taken for duplicates of its first.

use super::{Defaulted, EventTime, Facts, Field, NO_IDENTITY, Participants};
use crate::decode::{Fault, Transport};
use crate::identity::{Identity, KeyBuilder};
use crate::json::{self, Member, Text};
use crate::timestamp;

/// Event type of a frame without a `type`, as in the tutorial.
const DEFAULT_TYPE: &str = "interaction";

/// Where the members that have a field of their own stand.
#[derive(Default)]
struct Places {
    id: Option<usize>,
    conversation_id: Option<usize>,
    event_type: Option<usize>,
    timestamp: Option<usize>,
    direction: Option<usize>,
    duration: Option<usize>,
    participants: Option<usize>,
    metadata: Option<usize>,
}

impl Places {
    fn of(body: &[Member<'_>]) -> Self {
        let mut places = Self::default();
        for (at, member) in body.iter().enumerate().filter(|(_, member)| !member.skip) {
            let place = match member.key.as_ref() {
                "id" => &mut places.id,
                "conversationId" => &mut places.conversation_id,
                "type" => &mut places.event_type,
                "timestamp" => &mut places.timestamp,
                "direction" => &mut places.direction,
                "duration" => &mut places.duration,
                "participants" => &mut places.participants,
                "metadata" => &mut places.metadata,
                _ => continue,
            };
            *place = Some(at);
        }
        places
    }
}

/// Takes the member at `place` into a field of its own if `fits` accepts its token; else notes its absence.
#[inline]
fn carry<'a>(
    body: &mut [Member<'a>],
    place: Option<usize>,
    own_name: Option<&str>,
    defaulted: &mut Defaulted,
    fits: impl FnOnce(&str) -> bool,
) -> Option<&'a str> {
    match place.and_then(|at| body.get_mut(at)) {
        Some(member) if fits(member.token) => {
            member.skip = true;
            Some(member.token)
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
    let places = Places::of(body);
    let mut defaulted = Defaulted::default();
    let is_text = |token: &str| token.len() > 2 && token.starts_with('"');
    let is_string = |token: &str| token.starts_with('"');
    let mut text =
        |place, own_name| carry(body, place, own_name, &mut defaulted, is_text).and_then(Text::read);
    let id = text(places.id, Some("analyticsId"));
    let conversation_id = text(places.conversation_id, None);
    let event_type = text(places.event_type, Some("eventType"));
    let Some(analytics_id) = id.as_ref().or(conversation_id.as_ref()) else {
        return Err(Fault::validate(NO_IDENTITY));
    };
    let analytics_id = analytics_id.clone();

    let mut written_time = None;
    let timestamp = places.timestamp.and_then(|at| body.get_mut(at));
    let raw_time = timestamp
        .as_ref()
        .map(|member| member.token)
        .filter(|token| *token != "null");
    let time = match (timestamp, raw_time) {
        (Some(member), Some(token)) => match timestamp::parse_written(token) {
            Some((us, text)) => {
                member.skip = true;
                written_time = Some(text);
                EventTime::At(us)
            }
            None => EventTime::read(token),
        },
        (Some(_), None) => EventTime::Absent,
        (None, _) => {
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
        (_, Some(conversation), Some(event_type), Some(time)) => {
            key.start("event");
            key.part(&event_type.text);
            key.part(&conversation.text);
            key.part(time.trim_matches('"'));
            Identity::Natural
        }
        _ => Identity::None,
    };

    let direction = carry(body, places.direction, None, &mut defaulted, is_string);
    let duration = carry(
        body,
        places.duration,
        Some("duration"),
        &mut defaulted,
        json::is_number,
    );
    let participants = carry(
        body,
        places.participants,
        Some("participants"),
        &mut defaulted,
        json::is_array,
    );
    let metadata = carry(
        body,
        places.metadata,
        Some("metadata"),
        &mut defaulted,
        json::is_object,
    );
    Ok(Facts {
        transport: Transport::Events,
        is_backfill: false,
        topic: Field::Null,
        correlation_id: Field::Null,
        identity,
        analytics_id,
        conversation_id,
        event_type: event_type.unwrap_or_else(|| Text::plain(DEFAULT_TYPE)),
        time,
        written_time,
        direction: direction.map_or(Field::Null, Field::Token),
        duration: duration.map_or(Field::Number(0), Field::Token),
        participants: participants.map_or(Participants::NONE, Participants::AsItCame),
        metadata: metadata.unwrap_or("{}"),
        defaulted,
    })
}
