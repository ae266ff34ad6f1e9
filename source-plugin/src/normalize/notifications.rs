//! Facts of a frame of the notifications transport: an event body in an envelope that names its topic.
//!
//! Responsible for the identity table, the event's time and whose event it is, family by family. Refuses a frame from
//! which neither a conversation nor an entity can be told. Invariant: only families whose bodies carry an identity
//! are ever de-duplicated; snapshots never are.

use std::borrow::Cow;
use std::ops::ControlFlow;

use super::participants::topic_medium;
use super::{Defaulted, EventTime, Facts, Field, NO_IDENTITY, Participants, legs};
use crate::decode::{Fault, Scratch, Transport};
use crate::identity::{Identity, KeyBuilder};
use crate::json::{self, Member, Text};
use crate::topic::{Family, Topic};

/// Event type of a frame that names no topic.
const NO_TOPIC_TYPE: &str = "unknown";

pub(super) fn read<'f, 'a: 'f>(
    topic: Option<&'f Text<'a>>,
    scratch: &mut Scratch<'a>,
    event_type: &'f mut String,
    key: &mut KeyBuilder,
) -> Result<Facts<'f>, Fault> {
    let parsed: Option<Topic<'f>> = topic.map(|topic| Topic::parse(&topic.text));
    let (envelope, body) = (&mut scratch.envelope, &mut scratch.body);
    let mut defaulted = Defaulted::default();

    let (conversation_id, conversation_at) = conversation(parsed.as_ref(), body, &mut defaulted);
    let entity = conversation_id.clone().or_else(|| entity(parsed.as_ref(), body));
    let analytics_id = entity.ok_or_else(|| Fault::validate(NO_IDENTITY))?;
    let identity = identity(parsed.as_ref(), conversation_id.as_ref(), body, key);
    let time = event_time(parsed.as_ref(), body);
    let leg = legs::read(parsed.as_ref(), body);

    // From here on members are marked as carried, so everything that searches them stands above.
    if let Some(at) = conversation_at {
        body[at].skip = true;
    }
    let participants = participants(parsed.as_ref(), body, &mut defaulted);
    let metadata = carry_metadata(envelope, &mut defaulted);
    let correlation_id = metadata.and_then(correlation_id).or_else(|| {
        json::find(envelope, "correlationId")
            .map(|found| found.1)
            .filter(|token| token.starts_with('"'))
    });
    if topic.is_some()
        && let Some((at, _)) = json::find(envelope, "topicName")
    {
        envelope[at].skip = true;
    }
    // An object's member was marked when the body was taken apart, so it is gone as well; the body tells them apart.
    if !envelope.iter().any(|member| member.key == "eventBody") {
        defaulted.add("eventBody");
    }

    event_type.clear();
    match &parsed {
        Some(topic) => topic.write_event_type(event_type),
        None => event_type.push_str(NO_TOPIC_TYPE),
    }
    Ok(Facts {
        transport: Transport::Notifications,
        is_backfill: false,
        topic: topic.map_or(Field::Null, |topic| Field::Token(topic.token)),
        correlation_id: correlation_id.map_or(Field::Null, Field::Token),
        identity,
        analytics_id,
        conversation_id,
        event_type: Text::plain(event_type.as_str()),
        time,
        written_time: None,
        direction: leg.direction.map_or(Field::Null, Field::Text),
        duration: leg.duration_ms.map_or(Field::Null, Field::Number),
        participants,
        metadata: metadata.unwrap_or("{}"),
        defaulted,
    })
}

/// Finds the list of participants; unlike other members it stays among the rest, because what is written of it is no
/// token of the frame.
fn participants<'a>(
    topic: Option<&Topic<'_>>,
    body: &[Member<'a>],
    defaulted: &mut Defaulted,
) -> Participants<'a> {
    match json::find(body, "participants") {
        Some((_, raw)) if json::is_array(raw) => Participants::InOneShape {
            raw,
            medium: topic
                .filter(|topic| topic.family == Family::Snapshot)
                .and_then(|topic| topic_medium(topic.kind.rsplit('.').next()?)),
        },
        Some(_) => Participants::NONE,
        None => {
            defaulted.add("participants");
            Participants::NONE
        }
    }
}

fn carry_metadata<'a>(envelope: &mut [Member<'a>], defaulted: &mut Defaulted) -> Option<&'a str> {
    match json::find(envelope, "metadata") {
        Some((at, token)) if json::is_object(token) => {
            envelope[at].skip = true;
            Some(token)
        }
        Some(_) => None,
        None => {
            defaulted.add("metadata");
            None
        }
    }
}

/// Returns the conversation's id and, if it is the family's own member, that member's place.
fn conversation<'f, 'a: 'f>(
    topic: Option<&Topic<'f>>,
    body: &[Member<'a>],
    defaulted: &mut Defaulted,
) -> (Option<Text<'f>>, Option<usize>) {
    let text =
        |name: &str| json::find(body, name).and_then(|(at, token)| Some((at, Text::read_non_empty(token)?)));
    let family = topic.map_or(Family::Other, |topic| topic.family);
    let own_name = conversation_member(family);
    if let Some((at, id)) = text(own_name) {
        return (Some(id), Some(at));
    }
    let nested = || json::find(body, "conversation").and_then(|(_, token)| json::member(token, "id"));
    // A body with `id` and `participants` is a snapshot, whatever its topic is called: topics get misspelt.
    let shaped = || {
        json::find(body, "participants")
            .filter(|found| json::is_array(found.1))
            .and_then(|_| text("id"))
    };
    let elsewhere = text("conversationId")
        .map(|found| found.1)
        .or_else(|| nested().and_then(Text::read_non_empty))
        .or_else(|| topic.and_then(|topic| topic.conversation_id).map(Text::plain))
        .or_else(|| shaped().map(|found| found.1));
    if elsewhere.is_some() && json::find(body, own_name).is_none() {
        defaulted.add("conversationId");
    }
    (elsewhere, None)
}

/// Returns the name of the body's member that is the conversation's id.
pub(super) fn conversation_member(family: Family) -> &'static str {
    if family == Family::Snapshot {
        "id"
    } else {
        "conversationId"
    }
}

fn entity<'f, 'a: 'f>(topic: Option<&Topic<'f>>, body: &[Member<'a>]) -> Option<Text<'f>> {
    if let Some(id) = topic.and_then(|topic| topic.entity_id) {
        return Some(Text::plain(id));
    }
    let names = ["userId", "queueId", "entityId", "id"];
    names
        .iter()
        .find_map(|name| Text::read_non_empty(json::find(body, name)?.1))
}

fn identity<'f, 'a: 'f>(
    topic: Option<&Topic<'f>>,
    conversation_id: Option<&Text<'f>>,
    body: &[Member<'a>],
    key: &mut KeyBuilder,
) -> Identity<'f> {
    let text = |name: &str| json::find(body, name).and_then(|found| Text::read_non_empty(found.1));
    let source = |key: &mut KeyBuilder, family: &str, id: Option<Text<'a>>| match id {
        Some(id) => {
            key.start(family);
            key.part(&id.text);
            Identity::Source(id.text)
        }
        None => Identity::None,
    };
    let Some(topic) = topic else { return Identity::None };
    match topic.family {
        Family::Audit => source(key, "audit", text("id")),
        Family::ConversationMetrics => source(key, "metric", text("recordId")),
        Family::Detail => {
            let session = match text("sessionId") {
                Some(session) => session.text,
                None if topic.kind.eq_ignore_ascii_case("attributes") => Cow::Borrowed(""),
                None => return Identity::None,
            };
            let time = json::find(body, "eventTime").map(|found| found.1.trim_matches('"'));
            match (conversation_id, text("participantId"), time) {
                (Some(conversation), Some(participant), Some(time)) if !time.is_empty() && time != "null" => {
                    key.start("detail");
                    // Topics are the same in any case; the kind is the only part of the key that comes from one.
                    if topic.kind.bytes().any(|byte| byte.is_ascii_uppercase()) {
                        key.part(&topic.kind.to_ascii_lowercase());
                    } else {
                        key.part(topic.kind);
                    }
                    for part in [conversation.text.as_ref(), &participant.text, &session, time] {
                        key.part(part);
                    }
                    Identity::Natural
                }
                _ => Identity::None,
            }
        }
        _ => Identity::None,
    }
}

/// Reads the time of the event; a snapshot has none of its own.
///
/// # Source
/// Fact sheet 5.2 and 5.5. An activity holds four changes: the latest one is what it tells of.
fn event_time(topic: Option<&Topic<'_>>, body: &[Member<'_>]) -> EventTime {
    let own = |name: &str| json::find(body, name).map(|found| found.1);
    let inner = |name: &str, member: &str| own(name).and_then(|token| json::member(token, member));
    let there = |token: Option<&str>, read: fn(&str) -> EventTime| match token {
        Some(token) if token != "null" => read(token),
        _ => EventTime::Absent,
    };
    let read = |token| there(token, EventTime::read);
    let read_ms = |token| there(token, EventTime::read_ms);
    match topic.map_or(Family::Other, |topic| topic.family) {
        Family::Snapshot => EventTime::Absent,
        Family::AgentState => read_ms(own("currentStateStart")),
        Family::Detail => read_ms(own("eventTime")),
        Family::RoutingStatus => read(inner("routingStatus", "startTime")),
        Family::Activity => latest([
            read(inner("routingStatus", "startTime")),
            read(inner("presence", "modifiedDate")),
            read(inner("outOfOffice", "modifiedDate")),
            read(own("dateActiveQueuesChanged")),
        ]),
        _ => {
            let names = ["eventTime", "timestamp", "metricDate", "modifiedDate"];
            names
                .iter()
                .map(|name| read(own(name)))
                .find(|time| *time != EventTime::Absent)
                .unwrap_or(EventTime::Absent)
        }
    }
}

/// Returns the latest of several times that can be read; unreadable if none can and one is there.
fn latest<const N: usize>(times: [EventTime; N]) -> EventTime {
    let latest = times.iter().filter_map(|time| time.us()).max();
    match latest {
        Some(us) => EventTime::At(us),
        None if times.contains(&EventTime::Unreadable) => EventTime::Unreadable,
        None => EventTime::Absent,
    }
}

fn correlation_id(metadata: &str) -> Option<&str> {
    let mut found = None;
    json::for_each_member(metadata, |key, token| {
        if key.eq_ignore_ascii_case("correlationId") && token.starts_with('"') {
            found = Some(token);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    });
    found
}
