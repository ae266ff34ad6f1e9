//! Direction and duration of what a notification tells of.
//!
//! Responsible for the table below. Refuses to guess: unknown is null, never 0. Invariant: a direction is lower case.
//!
//! | family | direction | duration, ms |
//! |---|---|---|
//! | snapshots | of the first customer (or external) participant that has one, else of its communications | that participant's `endTime` − `connectedTime` |
//! | detail events | `direction` | `interactingDurationMs` (customer.end, user.end), `connectedDurationMs` (acd.end, flow.end), `wrapupDurationMs` (acw, wrapup), `voicemailDurationMs` (voicemail.end), outcome end − start (flow.outcome) |
//! | agent state | `originatingDirection` | – |
//! | any other | `direction`, if the body has one, else as snapshots | as snapshots, if the body has participants |
//!
//! `UNKNOWN` counts as unknown.
//!
//! # Source
//! Participant and detail event fields of the vendor's SDKs; the customer leg is the one both flattened and nested
//! snapshots have.

use std::borrow::Cow;

use crate::json::{self, Cursor, Member, Text};
use crate::timestamp;
use crate::topic::{Family, Topic};

/// Arrays of communications in the nested layout.
pub(crate) const COMMUNICATIONS: [&str; 11] = [
    "calls",
    "callbacks",
    "chats",
    "cobrowsesessions",
    "emails",
    "internalMessages",
    "messages",
    "screenMonitorings",
    "screenshares",
    "socialExpressions",
    "videos",
];

/// What is known of the customer's leg.
#[derive(Debug, Default)]
pub(super) struct Leg<'a> {
    pub(super) direction: Option<Cow<'a, str>>,
    pub(super) duration_ms: Option<u64>,
}

pub(super) fn read<'a>(topic: Option<&Topic<'_>>, body: &[Member<'a>]) -> Leg<'a> {
    let find = |name: &str| json::find(body, name).map(|found| found.1);
    match topic.map(|topic| topic.family) {
        Some(Family::Snapshot) => find("participants").map(snapshot).unwrap_or_default(),
        Some(Family::AgentState) => Leg {
            direction: find("originatingDirection").and_then(direction),
            duration_ms: None,
        },
        Some(Family::Detail) => Leg {
            direction: find("direction").and_then(direction),
            duration_ms: detail_duration_ms(topic.map_or("", |topic| topic.kind), find),
        },
        _ => {
            // A body with participants is a snapshot, whatever its topic is called.
            let shaped = find("participants").map(snapshot).unwrap_or_default();
            Leg {
                direction: find("direction").and_then(direction).or(shaped.direction),
                ..shaped
            }
        }
    }
}

fn detail_duration_ms<'a>(kind: &str, find: impl Fn(&str) -> Option<&'a str>) -> Option<u64> {
    let is = |known: &[&str]| known.iter().any(|word| kind.eq_ignore_ascii_case(word));
    let ms = |name: &str| find(name)?.parse().ok();
    if is(&["customer.end", "user.end"]) {
        ms("interactingDurationMs")
    } else if is(&["acd.end", "flow.end"]) {
        ms("connectedDurationMs")
    } else if is(&["acw", "wrapup"]) {
        ms("wrapupDurationMs")
    } else if is(&["voicemail.end"]) {
        ms("voicemailDurationMs")
    } else if is(&["flow.outcome"]) {
        let us = |name: &str| timestamp::parse_ms(find(name)?);
        span_between(us("flowOutcomeStartTime"), us("flowOutcomeEndTime"))
    } else {
        None
    }
}

fn snapshot(participants: &str) -> Leg<'_> {
    let mut found = Leg::default();
    let mut cursor = Cursor::new(participants);
    if !cursor.enter(b'[') {
        return found;
    }
    while cursor.next_element() {
        if !cursor.enter(b'{') {
            cursor.value();
            continue;
        }
        let (mut customer, mut own, mut communications) = (false, None, None);
        let (mut connected, mut ended) = (None, None);
        while let Some(key) = cursor.next_key() {
            match key.as_ref() {
                "purpose" => customer = is_customer(cursor.value()),
                "direction" => own = Some(cursor.value()),
                "connectedTime" => connected = Some(cursor.value()),
                "endTime" => ended = Some(cursor.value()),
                name if communications.is_none()
                    && cursor.is_at_array()
                    && COMMUNICATIONS.contains(&name) =>
                {
                    communications = communication_direction(&mut cursor);
                }
                _ => {
                    cursor.value();
                }
            }
        }
        if !customer {
            continue;
        }
        found.duration_ms = found.duration_ms.or_else(|| span_ms(connected, ended));
        found.direction = own.and_then(direction).or(communications);
        if found.direction.is_some() {
            break;
        }
    }
    found
}

fn is_customer(purpose: &str) -> bool {
    Text::read(purpose).is_some_and(|purpose| {
        purpose.text.eq_ignore_ascii_case("customer") || purpose.text.eq_ignore_ascii_case("external")
    })
}

/// Steps over an array of communications; returns the direction of the first that has one.
fn communication_direction<'a>(cursor: &mut Cursor<'a>) -> Option<Cow<'a, str>> {
    let mut found = None;
    cursor.enter(b'[');
    while cursor.next_element() {
        if found.is_some() || !cursor.enter(b'{') {
            cursor.value();
            continue;
        }
        let mut last = None;
        while let Some(key) = cursor.next_key() {
            let token = cursor.value();
            if key == "direction" {
                last = Some(token);
            }
        }
        found = last.and_then(direction);
    }
    found
}

/// Reads a direction; `None` if it is unknown.
pub(super) fn direction(token: &str) -> Option<Cow<'_, str>> {
    let text = Text::read_non_empty(token)?.text;
    if text.eq_ignore_ascii_case("unknown") {
        return None;
    }
    if text.chars().all(char::is_lowercase) {
        Some(text)
    } else {
        Some(Cow::Owned(text.to_lowercase()))
    }
}

fn span_ms(from: Option<&str>, to: Option<&str>) -> Option<u64> {
    span_between(timestamp::parse(from?), timestamp::parse(to?))
}

fn span_between(from_us: Option<i64>, to_us: Option<i64>) -> Option<u64> {
    let us = to_us? - from_us?;
    u64::try_from(us / 1000).ok().filter(|_| us >= 0)
}

#[cfg(test)]
mod tests {
    use super::read;
    use crate::json::split_members;
    use crate::topic::Topic;

    #[test]
    fn each_family_gives_what_its_body_tells_and_no_more() {
        let snapshot = "v2.users.u.conversations";
        let detail = "v2.detail.events.conversation.c.";
        #[rustfmt::skip]
        let table: [(String, &str, Option<&str>, Option<u64>); 18] = [
            (format!("{snapshot}.calls"), r#"{"participants":[{"purpose":"agent","direction":"outbound"},{"purpose":"customer","direction":"inbound","connectedTime":"2026-01-01T00:00:00.500Z","endTime":"2026-01-01T00:00:02Z"}]}"#, Some("inbound"), Some(1500)),
            (snapshot.into(), r#"{"participants":[{"purpose":"Customer","chats":[{"held":false}],"calls":[{},{"direction":"OUTBOUND"}]}]}"#, Some("outbound"), None),
            (snapshot.into(), r#"{"participants":[{"purpose":"agent","direction":"inbound"}]}"#, None, None),
            (snapshot.into(), r#"{"participants":[{"purpose":"customer","connectedTime":"2026-01-01T00:00:02Z","endTime":"2026-01-01T00:00:01Z"}]}"#, None, None),
            (snapshot.into(), r#"{"participants":"none","direction":"inbound"}"#, None, None),
            (snapshot.into(), r#"{"participants":[null,1,"x",[],{"purpose":7},{"purpose":"customer","direction":9}]}"#, None, None),
            (format!("{detail}customer.end"), r#"{"direction":"INBOUND","interactingDurationMs":60000}"#, Some("inbound"), Some(60000)),
            (format!("{detail}acd.end"), r#"{"direction":"UNKNOWN","connectedDurationMs":13882}"#, None, Some(13882)),
            (format!("{detail}acw"), r#"{"wrapupDurationMs":20500}"#, None, Some(20500)),
            (format!("{detail}voicemail.end"), r#"{"voicemailDurationMs":1.5}"#, None, None),
            (format!("{detail}flow.outcome"), r#"{"flowOutcomeStartTime":1765551656458,"flowOutcomeEndTime":1765551660853}"#, None, Some(4395)),
            (format!("{detail}flow.outcome"), r#"{"flowOutcomeStartTime":10000,"flowOutcomeEndTime":20500}"#, None, Some(10_500)),
            ("v2.users.u.coversations".into(), r#"{"participants":[{"purpose":"customer","calls":[{"direction":"inbound"}],"connectedTime":"2026-01-01T00:00:00Z","endTime":"2026-01-01T00:00:02Z"}]}"#, Some("inbound"), Some(2000)),
            ("v2.nobody.knows".into(), r#"{"direction":"outbound","participants":[{"purpose":"customer","direction":"inbound"}]}"#, Some("outbound"), None),
            ("v2.conversations.c.transcription".into(), r#"{"eventTime":1}"#, None, None),
            (format!("{detail}customer.start"), r#"{"direction":"INBOUND","interactingDurationMs":5}"#, Some("inbound"), None),
            ("v2.detail.events.agent.a.state".into(), r#"{"originatingDirection":"OUTBOUND","direction":"INBOUND"}"#, Some("outbound"), None),
            ("v2.conversations.messages.c".into(), r#"{"direction":"outbound"}"#, Some("outbound"), None),
        ];
        for (topic, text, direction, duration_ms) in table {
            let mut body = Vec::new();
            split_members(text, &mut body);
            let leg = read(Some(&Topic::parse(&topic)), &body);
            assert_eq!(
                (leg.direction.as_deref(), leg.duration_ms),
                (direction, duration_ms),
                "{topic} {text}"
            );
        }
    }
}
