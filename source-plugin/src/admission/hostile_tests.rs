//! Hostile input: whatever arrives has one outcome, and whatever leaves is strict JSON.

use proptest::prelude::*;
use serde_json::Value;

use super::tests::{NOW_US, admission, outcome_name};
use super::{Admission, Frame, Outcome, Room};
use crate::decode::Transport;
use crate::normalize::reconstruct_text;

const BOTH: [Transport; 2] = [Transport::Events, Transport::Notifications];

/// Offers one frame and checks everything that must hold for any frame.
fn offer(admission: &mut Admission, frame: Frame<'_>) -> Outcome {
    let before = admission.counts();
    let outcome = admission.admit(frame, NOW_US, Room::UNBOUNDED);
    let after = admission.counts();
    assert_eq!((after.received, after.frames_law()), (before.received + 1, 0));
    let records = usize::from(matches!(outcome, Outcome::Event | Outcome::DeadLetter { .. }));
    let chunk = admission.take_chunk();
    assert_eq!(chunk.as_ref().map_or(0, |chunk| chunk.len()), records);
    for record in chunk.iter().flat_map(|chunk| chunk.records()) {
        let body: Value = serde_json::from_slice(record.body()).unwrap();
        assert!(body.is_object());
        assert!(!record.body().contains(&b'\n'), "a record is one line");
        assert!(!record.id().is_empty());
        let mut texts = vec![record.id(), record.key(), record.subject(), record.type_()];
        texts.extend(record.attributes().map(|(_, value)| value));
        assert!(
            texts.iter().all(|text| !text.chars().any(char::is_control)),
            "{texts:?}"
        );
        if let (Outcome::Event, Frame::Text(text)) = (&outcome, frame) {
            let event = std::str::from_utf8(record.body()).unwrap();
            assert_eq!(canonical(&reconstruct_text(event).unwrap()), canonical(text));
        }
    }
    outcome
}

/// Writes JSON with sorted members and no white space, number text kept; the last of a repeated key wins.
fn canonical(text: &str) -> String {
    use serde_json::value::RawValue;
    use std::collections::BTreeMap;
    let text = text.trim();
    match text.as_bytes().first() {
        Some(b'{') => {
            let members: BTreeMap<String, Box<RawValue>> = serde_json::from_str(text).unwrap();
            let members = members
                .iter()
                .map(|(key, value)| format!("{key:?}:{}", canonical(value.get())));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
        Some(b'[') => {
            let elements: Vec<Box<RawValue>> = serde_json::from_str(text).unwrap();
            let elements = elements.iter().map(|value| canonical(value.get()));
            format!("[{}]", elements.collect::<Vec<_>>().join(","))
        }
        Some(b'"') => format!("{:?}", serde_json::from_str::<String>(text).unwrap()),
        _ => text.to_owned(),
    }
}

#[test]
fn a_dead_letter_takes_no_key_from_a_conversation_id_that_is_too_long() {
    let mut admission = admission(Transport::Events);
    let text = format!(
        r#"{{"conversationId":"{}","duration":1e999}}"#,
        "x".repeat(600_000)
    );
    let outcome = admission.admit(Frame::Text(&text), 0, crate::admission::Room::UNBOUNDED);
    assert_eq!(outcome_name(&outcome), "dead_letter");
    let chunk = admission.take_chunk().unwrap();
    assert_eq!(chunk.record(0).unwrap().key(), "");
}

#[test]
fn each_hostile_frame_has_exactly_one_outcome() {
    let deep = |levels: usize| format!("{}1{}", r#"{"a":"#.repeat(levels), "}".repeat(levels));
    let long = "x".repeat(1 << 20);
    let wide: String = (0..50_000)
        .map(|index| format!(",\"k{}\":{index}", index % 25_000))
        .collect();
    let table = [
        (r#"{"id":"e","conversationId":"#.to_owned(), "dead_letter"),
        (r#"{"id":"e"#.into(), "dead_letter"),
        ("\u{feff}{\"id\":\"e\"}".into(), "dead_letter"),
        (deep(10_000), "dead_letter"),
        ("[".repeat(10_000), "dead_letter"),
        (format!(r#"{{"id":"e","a":{}}}"#, deep(10_000)), "dead_letter"),
        (format!(r#"{{"id":"e","a":{}}}"#, deep(99)), "event"),
        // What becomes a key, a header and a part of every audit record is bounded; the rest is not.
        (format!(r#"{{"id":"{long}"}}"#), "dead_letter"),
        (
            format!(r#"{{"id":"e","conversationId":"{long}"}}"#),
            "dead_letter",
        ),
        (format!(r#"{{"id":"e","type":"{long}"}}"#), "dead_letter"),
        (format!(r#"{{"id":"{}"}}"#, "x".repeat(1024)), "event"),
        (format!(r#"{{"id":"{}"}}"#, "x".repeat(1025)), "dead_letter"),
        (format!(r#"{{"id":"e","{long}":"{long}"}}"#), "event"),
        (r#"{"id":"e\ud83d"}"#.into(), "dead_letter"),
        (r#"{"id":"e","a":{"\udc00":1}}"#.into(), "dead_letter"),
        (r#"{"id":"\ud83d\ude42"}"#.into(), "event"),
        (r#"{"id":"\u0000\u001b[31m\u007f\u009b\n"}"#.into(), "event"),
        (r#"{"conversationId":"\r\nx","type":"a\tb"}"#.into(), "event"),
        ("{\"id\":\"a\nb\"}".into(), "dead_letter"),
        (r#"{"id":"a","id":"b","\u0069d":"c"}"#.into(), "event"),
        (format!(r#"{{"id":"e"{wide}}}"#), "event"),
        (r#"{"id":[],"conversationId":{},"type":1}"#.into(), "dead_letter"),
        (r#"{"id":"e","duration":1e999}"#.into(), "dead_letter"),
        (
            format!(r#"{{"id":"e","duration":{}}}"#, "9".repeat(5000)),
            "dead_letter",
        ),
        (
            r#"{"id":"e","duration":-123456789012345678901234567890.5E-5}"#.into(),
            "event",
        ),
        (r#"{"id":"e","timestamp":1e307}"#.into(), "event"),
        (r#"{"id":"e","a":01}"#.into(), "dead_letter"),
        (r#"{"id":"e","a":NaN}"#.into(), "dead_letter"),
        (r#"{"id":"e",}"#.into(), "dead_letter"),
        (r#"{"id":"e"}{"id":"f"}"#.into(), "dead_letter"),
        ("[]".into(), "dead_letter"),
        ("null".into(), "dead_letter"),
        ("{}".into(), "dead_letter"),
        (String::new(), "ignored"),
        (" \r\n\t".into(), "ignored"),
    ];
    for (text, expected) in table {
        let outcome = offer(&mut admission(Transport::Events), Frame::Text(&text));
        let shown: String = text.chars().take(60).collect();
        assert_eq!(outcome_name(&outcome), expected, "{shown}");
        // The same as the body of a notification.
        let wrapped = format!(r#"{{"topicName":"v2.users.\u0075.things","eventBody":{text}}}"#);
        let outcome = offer(&mut admission(Transport::Notifications), Frame::Text(&wrapped));
        assert!(
            ["event", "dead_letter"].contains(&outcome_name(&outcome)),
            "{shown}"
        );
    }
    for body in ["null", "7", "\"text\"", "[1,{}]", "{}"] {
        let frame =
            format!(r#"{{"topicName":"v2.users.u.station","eventBody":{body},"metadata":[],"version":2}}"#);
        assert_eq!(
            outcome_name(&offer(
                &mut admission(Transport::Notifications),
                Frame::Text(&frame)
            )),
            "event"
        );
    }
    for frame in [
        r#"{"topicName":"v2.users.u.station"}"#,
        r#"{"topicName":7,"eventBody":{"id":"x"}}"#,
        r#"{"topicName":"v2.users.u.conversations","eventBody":{"id":"","participants":{},"conversationId":"c"}}"#,
        r#"{"topicName":"v2.conversations.t.x","eventBody":{"conversation":{"id":"c"},"conversationId":null}}"#,
        r#"{"topicName":"v2.users.u.coversations","eventBody":{"id":"c","participants":[]},"topicName":"v2.users.w.x"}"#,
        r#"{"eventBody":{"id":"a"},"eventBody":{"userId":"b"},"metadata":{"correlationId":"x\u0000"}}"#,
    ] {
        assert_eq!(
            outcome_name(&offer(
                &mut admission(Transport::Notifications),
                Frame::Text(frame)
            )),
            "event",
            "{frame}"
        );
    }
}

#[test]
fn the_last_of_a_repeated_key_is_the_one_that_counts() {
    let mut admission = admission(Transport::Events);
    admission.admit(
        Frame::Text(r#"{"id":"a","x":1,"id":"b","\u0069d":"c","x":2}"#),
        NOW_US,
        Room::UNBOUNDED,
    );
    let chunk = admission.take_chunk().unwrap();
    assert_eq!(chunk.record(0).unwrap().id(), "c");
    assert!(
        std::str::from_utf8(chunk.record(0).unwrap().body())
            .unwrap()
            .ends_with(r#""extra":{"x":2}}}"#)
    );
}

fn scalar() -> impl Strategy<Value = String> {
    let number = "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,4})?([eE][+-]?[0-9]{1,3})?";
    let words: &'static [&'static str] = &[
        "null",
        "true",
        "1.0",
        "1e3",
        "12345678901234567890",
        "\"\"",
        "\"c\"",
        "\"2026-01-01T00:00:00.000Z\"",
    ];
    prop_oneof![
        number,
        prop::sample::select(words).prop_map(str::to_owned),
        any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
        prop::sample::select(&["\"\\u0063\"", "\"\\ud83d\\ude42\"", "\"\\ud83d\"", "\"\\u0000\""][..])
            .prop_map(str::to_owned),
    ]
}

fn key() -> impl Strategy<Value = String> {
    let known: &'static [&'static str] = &[
        "id",
        "type",
        "conversationId",
        "timestamp",
        "direction",
        "duration",
        "participants",
        "metadata",
        "topicName",
        "eventBody",
        "conversation",
        "participantId",
        "sessionId",
        "eventTime",
        "recordId",
        "purpose",
        "connectedTime",
        "endTime",
        "calls",
        "userId",
        "result",
        "status",
        "correlationId",
        "\\u0069d",
    ];
    prop_oneof![8 => prop::sample::select(known).prop_map(str::to_owned), 1 => "[a-z]{0,3}"]
}

fn value() -> impl Strategy<Value = String> {
    scalar().prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(" , "))),
            object(inner),
        ]
    })
}

fn object(inner: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    prop::collection::vec((key(), inner), 0..10).prop_map(|members| {
        let members: Vec<_> = members
            .iter()
            .map(|(key, value)| format!("\"{key}\" :{value}"))
            .collect();
        format!("{{{}}}", members.join(","))
    })
}

fn topic() -> impl Strategy<Value = String> {
    let topics: &'static [&'static str] = &[
        "v2.users.u.conversations",
        "v2.users.u.conversations.calls",
        "v2.users.u.coversations",
        "v2.users.u.presence",
        "v2.users.u.activity",
        "v2.users.u.routingStatus",
        "v2.detail.events.conversation.c.customer.end",
        "v2.detail.events.conversation.c.attributes",
        "v2.detail.events.agent.a.state",
        "v2.conversations.c.transcription",
        "v2.audits.entitytype.U.entityid.e",
        "v2.analytics.conversation.c.metrics",
        "channel.metadata",
        "v2.system.x",
        "x",
    ];
    prop::sample::select(topics).prop_map(str::to_owned)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_have_one_outcome(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for transport in BOTH {
            offer(&mut admission(transport), Frame::Binary(&bytes));
        }
    }

    #[test]
    fn random_events_lose_nothing(frame in object(value())) {
        let mut admission = admission(Transport::Events);
        offer(&mut admission, Frame::Text(&frame));
        offer(&mut admission, Frame::Text(&frame));
    }

    #[test]
    fn random_notifications_lose_nothing(topic in topic(), body in object(value()), rest in object(value())) {
        let rest = rest.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap();
        let comma = if rest.is_empty() { "" } else { "," };
        let mut admission = admission(Transport::Notifications);
        for frame in [
            format!(r#"{{"topicName":"{topic}","eventBody":{body}{comma}{rest}}}"#),
            format!(r#"{{{rest}{comma}"eventBody":{body},"topicName":"{topic}"}}"#),
            format!(r#"{{"eventBody":{body}{comma}{rest}}}"#),
        ] {
            offer(&mut admission, Frame::Text(&frame));
        }
    }

    #[test]
    fn damaged_frames_have_one_outcome(
        frame in object(value()),
        at in any::<prop::sample::Index>(),
        damage in prop::collection::vec(any::<u8>(), 0..4),
        cut in any::<bool>(),
    ) {
        let mut bytes = frame.into_bytes();
        let at = at.index(bytes.len());
        if cut {
            bytes.truncate(at);
        }
        bytes.splice(at..at, damage);
        for transport in BOTH {
            let mut admission = admission(transport);
            match std::str::from_utf8(&bytes) {
                Ok(text) => offer(&mut admission, Frame::Text(text)),
                Err(_) => offer(&mut admission, Frame::Binary(&bytes)),
            };
        }
    }
}
