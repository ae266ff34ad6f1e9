//! Facts of a conversation of the past, as the analytics query tells it: what a gap is filled with.
//!
//! Responsible for its identity, its time and the customer's leg. Refuses one that does not say its id. Invariant: the same
//! state of a conversation has the same identity however often it is fetched, and another state another one.
//!
//! # Source
//! `AnalyticsConversation` of the vendor's SDKs.

use super::{Defaulted, EventTime, Facts, Field, Participants, SOURCE, legs};
use crate::decode::{Fault, Transport};
use crate::identity::{Identity, KeyBuilder};
use crate::json::{self, Member, Text};
use crate::timestamp;

/// Event type of a conversation of the past: the path of the query with dots, as topics are written.
pub(super) const EVENT_TYPE: &str = "v2.analytics.conversations.details";

pub(super) fn read<'f, 'a: 'f>(
    text: &str,
    body: &mut [Member<'a>],
    key: &mut KeyBuilder,
) -> Result<Facts<'f>, Fault> {
    let found =
        json::find(body, "conversationId").and_then(|(at, token)| Some((at, Text::read_non_empty(token)?)));
    let (at, id) =
        found.ok_or_else(|| Fault::validate("a conversation of the past without conversationId"))?;
    key.start("history");
    key.part(SOURCE);
    key.part(&id.text);
    key.part(&canonical(text));
    let token = |name: &str| json::find(body, name).map(|found| found.1);
    let (start, end) = (token("conversationStart"), token("conversationEnd"));
    let span_ms = || {
        let us = timestamp::parse(end?)? - timestamp::parse(start?)?;
        u64::try_from(us / 1000).ok().filter(|_| us >= 0)
    };
    let duration_ms = span_ms();
    let direction = token("originatingDirection").and_then(legs::direction);
    let time = match end {
        Some(end) if end != "null" => EventTime::read(end),
        // Under way: what it is like now.
        _ => EventTime::Absent,
    };
    let mut defaulted = Defaulted::default();
    let participants = match token("participants") {
        Some(raw) if json::is_array(raw) => Participants::OfHistory(raw),
        Some(_) => Participants::NONE,
        None => {
            defaulted.add("participants");
            Participants::NONE
        }
    };
    body[at].skip = true;
    Ok(Facts {
        transport: Transport::Notifications,
        is_backfill: true,
        topic: Field::Null,
        correlation_id: Field::Null,
        identity: Identity::Natural,
        analytics_id: id.clone(),
        conversation_id: Some(id),
        event_type: Text::plain(EVENT_TYPE),
        time,
        written_time: None,
        direction: direction.map_or(Field::Null, Field::Text),
        duration: duration_ms.map_or(Field::Null, Field::Number),
        participants,
        metadata: "{}",
        defaulted,
    })
}

/// The text with the members of each object in order, so that a server that shuffles them tells the same.
fn canonical(text: &str) -> String {
    // A tree of this crate's JSON keeps its members sorted.
    let sorted = serde_json::from_str::<serde_json::Value>(text).map(|value| value.to_string());
    sorted.unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::canonical;

    #[test]
    fn the_order_of_members_makes_no_other_state_and_everything_else_does() {
        let state = canonical(r#"{"a":1,"b":[{"c":2,"d":3}]}"#);
        assert_eq!(canonical(r#"{"b":[{"d":3,"c":2}],"a":1}"#), state);
        assert_ne!(canonical(r#"{"b":[{"d":3,"c":4}],"a":1}"#), state);
        assert_ne!(canonical(r#"{"b":[{"d":3},{"c":2}],"a":1}"#), state);
    }
}
