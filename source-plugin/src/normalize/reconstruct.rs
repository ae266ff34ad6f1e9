//! The way back: from a normalized event to the raw frame.
//!
//! Responsible for the proof that normalizing loses nothing. Refuses what is no normalized event. Invariant: tokens
//! pass verbatim; members keep their names, their order is free.

use serde_json::Value;

use super::notifications::conversation_member;
use crate::json::{self, Member, Text};
use crate::topic::{Family, Topic};

/// Gives back the raw frame of a normalized event, or null if `event` is none.
///
/// # Units
/// Numbers are those of [`Value`]; [`reconstruct_text`] keeps their text.
#[must_use]
pub fn reconstruct(event: &Value) -> Value {
    reconstruct_text(&event.to_string())
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or(Value::Null)
}

/// Gives back the raw frame of a normalized event as JSON text, tokens verbatim; `None` if `event` is none.
#[must_use]
pub fn reconstruct_text(event: &str) -> Option<String> {
    let mut members = Vec::new();
    json::read_members(event, &mut members).ok()?;
    let own = |name: &str| json::find(&members, name).map(|found| found.1);
    let (origin, payload) = (own("origin")?, own("payload")?);
    let mut extra = Vec::new();
    json::split_members(json::member(payload, "extra")?, &mut extra);
    let mut envelope = Vec::new();
    json::split_members(json::member(origin, "envelope").unwrap_or("{}"), &mut envelope);
    let mut defaulted = Vec::new();
    json::for_each_element(json::member(origin, "defaulted").unwrap_or("[]"), |name| {
        defaulted.extend(Text::read(name));
        std::ops::ControlFlow::Continue(())
    });
    let field = |name: &str| json::member(payload, name);
    if Text::read(json::member(origin, "transport")?)?.text == "events" {
        give_back(&mut extra, &defaulted, "id", "analyticsId", own("analyticsId"));
        give_back(&mut extra, &defaulted, "type", "eventType", own("eventType"));
        for name in ["conversationId", "timestamp"] {
            give_back(&mut extra, &defaulted, name, name, own(name));
        }
        for name in ["direction", "duration", "participants", "metadata"] {
            give_back(&mut extra, &defaulted, name, name, field(name));
        }
        return text(&extra);
    }
    if json::member(origin, "backfill") == Some("true") {
        give_back(
            &mut extra,
            &defaulted,
            "conversationId",
            "conversationId",
            own("conversationId"),
        );
        return text(&extra);
    }
    let topic = json::member(origin, "topic");
    let topic_text = topic.and_then(Text::read);
    let family = topic_text
        .as_ref()
        .map_or(Family::Other, |topic| Topic::parse(&topic.text).family);
    give_back(
        &mut extra,
        &defaulted,
        conversation_member(family),
        "conversationId",
        own("conversationId"),
    );
    // The raw list of participants stands in `extra`; the one in the payload is no token of the frame.
    let body = text(&extra)?;
    give_back(&mut envelope, &defaulted, "topicName", "topic", topic);
    give_back(
        &mut envelope,
        &defaulted,
        "metadata",
        "metadata",
        field("metadata"),
    );
    if json::find(&envelope, "eventBody").is_none() && !holds(&defaulted, "eventBody") {
        envelope.push(Member {
            key: "eventBody".into(),
            token: &body,
            skip: false,
        });
    }
    text(&envelope)
}

/// A field of its own goes back to its member unless that member stands among the rest or never was there.
fn give_back<'a>(
    rest: &mut Vec<Member<'a>>,
    defaulted: &[Text<'_>],
    raw_name: &'static str,
    own_name: &str,
    token: Option<&'a str>,
) {
    let Some(token) = token.filter(|token| *token != "null") else {
        return;
    };
    if json::find(rest, raw_name).is_none() && !holds(defaulted, own_name) {
        rest.push(Member {
            key: raw_name.into(),
            token,
            skip: false,
        });
    }
}

fn holds(names: &[Text<'_>], name: &str) -> bool {
    names.iter().any(|text| text.text == name)
}

fn text(members: &[Member<'_>]) -> Option<String> {
    let mut out = Vec::new();
    json::write_members(&mut out, members);
    String::from_utf8(out).ok()
}
