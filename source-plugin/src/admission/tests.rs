//! Outcomes, identity, numbering and back-pressure of admission.
//!
//! Over 400 lines: one flat list of cases, read one by one.

use serde_json::{Value, json};

use super::{Admission, Frame, OnFull, Outcome, Room, Settings};
use crate::decode::Transport;
use crate::dedup;
use crate::identity::IdSource;
use crate::normalize::{reconstruct, reconstruct_text};
use crate::record::{Chunk, Kind};

pub(super) const NOW_US: i64 = 1_800_000_000_000_000;

pub(super) fn settings(transport: Transport) -> Settings {
    Settings {
        transport,
        source_name: "main".into(),
        dedup: dedup::Settings::default(),
        on_full: OnFull::Stop,
        max_queue_bytes: 1 << 20,
        epoch: 0,
    }
}

pub(super) fn admission(transport: Transport) -> Admission {
    Admission::with_ids(settings(transport), IdSource::from_seed(1))
}

pub(super) fn outcome_name(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Event => "event",
        Outcome::Duplicate { .. } => "duplicate",
        Outcome::DeadLetter { .. } => "dead_letter",
        Outcome::Control(_) => "control",
        Outcome::Ignored { .. } => "ignored",
        Outcome::Filtered => "filtered",
        Outcome::Dropped => "dropped",
        Outcome::Full => "full",
    }
}

fn admit(admission: &mut Admission, text: &str) -> &'static str {
    outcome_name(&admission.admit(Frame::Text(text), NOW_US, Room::UNBOUNDED))
}

pub(super) fn body(chunk: &Chunk, index: usize) -> Value {
    serde_json::from_slice(chunk.record(index).unwrap().body()).unwrap()
}

fn only_event(transport: Transport, text: &str) -> (Value, String) {
    let mut admission = admission(transport);
    assert_eq!(admit(&mut admission, text), "event", "{text}");
    let chunk = admission.take_chunk().unwrap();
    assert_eq!(chunk.len(), 1);
    let event = body(&chunk, 0);
    assert_eq!(chunk.record(0).unwrap().id(), event["eventId"].as_str().unwrap());
    (
        event,
        String::from_utf8(chunk.record(0).unwrap().body().to_vec()).unwrap(),
    )
}

#[test]
fn an_event_of_the_tutorial_keeps_its_fields() {
    let raw = r#"{"id":"e1","type":"interaction","conversationId":"c1","timestamp":"2026-11-23T08:00:01.120Z","direction":"inbound","duration":1.50,"participants":[{"n":1e3}],"metadata":{"queue":"q"},"big":12345678901234567890}"#;
    let mut admission = admission(Transport::Events);
    assert_eq!(admit(&mut admission, raw), "event");
    let chunk = admission.take_chunk().unwrap();
    let record = chunk.record(0).unwrap();
    assert_eq!(
        std::str::from_utf8(record.body()).unwrap(),
        r#"{"schemaVersion":"1.0","eventId":"e1","analyticsId":"e1","conversationId":"c1","eventType":"interaction","timestamp":"2026-11-23T08:00:01.120Z","timestampSource":"event","receivedAt":"2027-01-15T08:00:00.000Z","source":"genesys-cloud","origin":{"transport":"events","topic":null,"correlationId":null,"backfill":false},"payload":{"direction":"inbound","duration":1.50,"participants":[{"n":1e3}],"metadata":{"queue":"q"},"extra":{"big":12345678901234567890}}}"#
    );
    assert_eq!(
        (record.kind(), record.sequence(), record.flags()),
        (Kind::Event, 1, 0)
    );
    assert_eq!(
        (record.id(), record.type_(), record.key(), record.subject()),
        ("e1", "interaction", "c1", "c1")
    );
    assert_eq!(record.event_time_us(), Some(1_795_420_801_120_000));
    assert_eq!(record.received_time_us(), NOW_US);
    assert_eq!(
        record.attributes().collect::<Vec<_>>(),
        [("source", "genesys-cloud"), ("analyticsid", "e1")]
    );
}

#[test]
fn absent_fields_take_the_tutorials_defaults_and_say_so() {
    let (event, text) = only_event(Transport::Events, r#"{"conversationId":"c1"}"#);
    assert_eq!(
        event["origin"]["defaulted"],
        json!([
            "analyticsId",
            "eventType",
            "timestamp",
            "duration",
            "participants",
            "metadata"
        ])
    );
    assert_eq!(
        event["payload"],
        json!({"direction": null, "duration": 0, "participants": [], "metadata": {}, "extra": {}})
    );
    assert_eq!(
        (&event["eventType"], &event["analyticsId"]),
        (&json!("interaction"), &json!("c1"))
    );
    assert_eq!(event["timestampSource"], "received");
    assert_eq!(reconstruct_text(&text).unwrap(), r#"{"conversationId":"c1"}"#);
    // The same values, sent: nothing is defaulted, and the raw frame comes back whole.
    let raw = json!({"id": "c1", "conversationId": "c1", "type": "interaction", "timestamp": event["timestamp"],
        "duration": 0, "participants": [], "metadata": {}});
    let (event, _) = only_event(Transport::Events, &raw.to_string());
    assert!(event["origin"].get("defaulted").is_none());
    assert_eq!(reconstruct(&event), raw);
}

#[test]
fn fields_of_a_wrong_type_go_to_extra() {
    let raw = r#"{"id":7,"conversationId":"c","type":null,"timestamp":{"at":1},"direction":[],"duration":"1","participants":{},"metadata":[1.0]}"#;
    let (event, text) = only_event(Transport::Events, raw);
    assert_eq!(event["payload"]["extra"].as_object().unwrap().len(), 7);
    assert_eq!(event["payload"]["duration"], 0);
    assert_eq!(event["eventType"], "interaction");
    assert!(event["origin"].get("defaulted").is_none());
    assert_eq!(reconstruct(&event), serde_json::from_str::<Value>(raw).unwrap());
    assert!(reconstruct_text(&text).unwrap().contains("[1.0]"));
}

#[test]
fn every_row_of_the_identity_table_is_kept() {
    let events = Transport::Events;
    let notifications = Transport::Notifications;
    let detail = |kind: &str, body: &str| {
        format!(
            r#"{{"topicName":"v2.detail.events.conversation.c.{kind}","eventBody":{{"conversationId":"c",{body}}}}}"#
        )
    };
    let topic = |topic: &str, body: &str| format!(r#"{{"topicName":"{topic}","eventBody":{body}}}"#);
    let full = r#""participantId":"p","sessionId":"s","eventTime":1649237444949"#;
    // What it is, transport, frame, UUID version of the event id (0 = the source's own), outcome of a second one.
    let table = [
        (
            "own id",
            events,
            r#"{"id":"e","conversationId":"c"}"#.to_owned(),
            0,
            "duplicate",
        ),
        (
            "own id, no conversation",
            events,
            r#"{"id":"e"}"#.into(),
            0,
            "duplicate",
        ),
        (
            "id is the conversation's: natural key",
            events,
            r#"{"id":"c","conversationId":"c","type":"t","timestamp":1}"#.into(),
            5,
            "duplicate",
        ),
        (
            "no id: natural key",
            events,
            r#"{"conversationId":"c","type":"t","timestamp":"x"}"#.into(),
            5,
            "duplicate",
        ),
        (
            "empty id, no time: none",
            events,
            r#"{"id":"","conversationId":"c","type":"t"}"#.into(),
            7,
            "event",
        ),
        (
            "no type: none",
            events,
            r#"{"conversationId":"c","timestamp":1}"#.into(),
            7,
            "event",
        ),
        (
            "only the conversation: none",
            events,
            r#"{"conversationId":"c"}"#.into(),
            7,
            "event",
        ),
        (
            "detail",
            notifications,
            detail("customer.start", full),
            5,
            "duplicate",
        ),
        (
            "detail without session: none",
            notifications,
            detail("acw", r#""participantId":"p","eventTime":1"#),
            7,
            "event",
        ),
        (
            "detail attributes need no session",
            notifications,
            detail("attributes", r#""participantId":"p","eventTime":1"#),
            5,
            "duplicate",
        ),
        (
            "audit",
            notifications,
            topic("v2.audits.entitytype.U.entityid.e", r#"{"id":"a1"}"#),
            0,
            "duplicate",
        ),
        (
            "audit without id: none",
            notifications,
            topic("v2.audits.entitytype.U.entityid.e", "{}"),
            7,
            "event",
        ),
        (
            "conversation metrics",
            notifications,
            topic("v2.analytics.conversation.c.metrics", r#"{"recordId":"r1"}"#),
            0,
            "duplicate",
        ),
        (
            "snapshot: none",
            notifications,
            topic(
                "v2.users.u.conversations.calls",
                r#"{"id":"c","participants":[]}"#,
            ),
            7,
            "event",
        ),
        (
            "presence: none",
            notifications,
            topic("v2.users.u.presence", "{}"),
            7,
            "event",
        ),
        (
            "statistics: none",
            notifications,
            topic("v2.analytics.queues.q.observations", r#"{"data":[]}"#),
            7,
            "event",
        ),
        (
            "transcription: none",
            notifications,
            topic(
                "v2.conversations.c.transcription",
                r#"{"eventTime":1,"conversationId":"c"}"#,
            ),
            7,
            "event",
        ),
        (
            "unknown: none",
            notifications,
            topic("v9.new", r#"{"id":"x"}"#),
            7,
            "event",
        ),
    ];
    for (what, transport, frame, version, second) in table {
        let mut admission = admission(transport);
        assert_eq!(admit(&mut admission, &frame), "event", "{what}");
        assert_eq!(admit(&mut admission, &frame), second, "{what}");
        let chunk = admission.take_chunk().unwrap();
        let id = chunk.record(0).unwrap().id();
        let found = uuid::Uuid::parse_str(id).map_or(0, |id| id.get_version_num());
        assert_eq!(found, version, "{what}: {id}");
        assert_eq!(admission.counts().frames_law(), 0);
    }
}

#[test]
fn each_part_of_a_natural_key_tells_events_apart() {
    let mut events = admission(Transport::Events);
    for frame in [
        r#"{"conversationId":"c","type":"t","timestamp":1}"#,
        r#"{"conversationId":"d","type":"t","timestamp":1}"#,
        r#"{"conversationId":"c","type":"u","timestamp":1}"#,
        r#"{"conversationId":"c","type":"t","timestamp":2}"#,
        r#"{"id":"t","conversationId":"c","type":"t","timestamp":1}"#,
    ] {
        assert_eq!(admit(&mut events, frame), "event", "{frame}");
    }
    let mut notifications = admission(Transport::Notifications);
    for (kind, conversation, participant, session, time) in [
        ("user.end", "c", "p", "s", 1),
        ("user.start", "c", "p", "s", 1),
        ("user.end", "d", "p", "s", 1),
        ("user.end", "c", "q", "s", 1),
        ("user.end", "c", "p", "t", 1),
        ("user.end", "c", "p", "s", 2),
    ] {
        let frame = format!(
            r#"{{"topicName":"v2.detail.events.conversation.x.{kind}","eventBody":{{"conversationId":"{conversation}","participantId":"{participant}","sessionId":"{session}","eventTime":{time}}}}}"#
        );
        assert_eq!(admit(&mut notifications, &frame), "event", "{frame}");
    }
    let other_case = r#"{"topicName":"V2.Detail.Events.Conversation.x.User.End","eventBody":{"conversationId":"c","participantId":"p","sessionId":"s","eventTime":1}}"#;
    assert_eq!(admit(&mut notifications, other_case), "duplicate");
}

#[test]
fn mute_unmute_mute_is_three_events() {
    let frame = |muted: bool| {
        format!(
            r#"{{"topicName":"v2.users.u.conversations.calls","eventBody":{{"id":"c","participants":[{{"purpose":"agent","muted":{muted}}}]}}}}"#
        )
    };
    let mut admission = admission(Transport::Notifications);
    for muted in [true, false, true] {
        assert_eq!(admit(&mut admission, &frame(muted)), "event");
    }
    let chunk = admission.take_chunk().unwrap();
    let ids: std::collections::HashSet<_> = chunk.records().map(|record| record.id().to_owned()).collect();
    assert_eq!(ids.len(), 3);
    assert!(chunk.records().all(|record| record.key() == "c"));
}

#[test]
fn later_events_of_a_conversation_without_an_id_are_no_duplicates() {
    // The tutorial's `id || conversationId` drops the second.
    let mut admission = admission(Transport::Events);
    assert_eq!(
        admit(
            &mut admission,
            r#"{"conversationId":"c","type":"t","timestamp":1}"#
        ),
        "event"
    );
    assert_eq!(
        admit(
            &mut admission,
            r#"{"conversationId":"c","type":"t","timestamp":2}"#
        ),
        "event"
    );
}

#[test]
fn a_frame_without_identity_is_a_dead_letter_with_what_it_tells() {
    let mut admission = admission(Transport::Events);
    assert_eq!(admit(&mut admission, r#"{"type":"t"}"#), "dead_letter");
    assert_eq!(
        admit(&mut admission, r#"{"conversationId":"c\n","n":1e999}"#),
        "dead_letter"
    );
    let chunk = admission.take_chunk().unwrap();
    let first = chunk.record(0).unwrap();
    assert_eq!(
        (first.kind(), first.type_(), first.key(), first.sequence()),
        (Kind::DeadLetter, "dead_letter", "", 1)
    );
    let letter = body(&chunk, 0);
    assert_eq!(
        (&letter["stage"], &letter["frame"]["text"]),
        (&json!("VALIDATE"), &json!(r#"{"type":"t"}"#))
    );
    assert_eq!(letter["deadLetterId"], first.id());
    assert_eq!(uuid::Uuid::parse_str(first.id()).unwrap().get_version_num(), 7);
    let second = chunk.record(1).unwrap();
    assert_eq!(second.key(), r"c\u000a");
    let attributes: Vec<_> = second.attributes().collect();
    assert_eq!(
        attributes[1..],
        [
            ("stage", "DECODE"),
            ("reason", "a number is beyond the range of a double")
        ]
    );
}

#[test]
fn a_full_queue_changes_nothing_and_the_same_frame_is_taken_later() {
    let mut admission = admission(Transport::Events);
    let frame = r#"{"id":"e","conversationId":"c"}"#;
    for room in [
        Room {
            records: 0,
            bytes: usize::MAX,
        },
        Room {
            records: 9,
            bytes: 10,
        },
    ] {
        let before = admission.counts();
        assert!(matches!(
            admission.admit(Frame::Text(frame), NOW_US, room),
            Outcome::Full
        ));
        assert!(matches!(
            admission.admit(Frame::Text("broken"), NOW_US, room),
            Outcome::Full
        ));
        assert_eq!((admission.counts(), admission.open_chunk()), (before, (0, 0)));
    }
    assert_eq!(admit(&mut admission, frame), "event");
    // What needs no room is decided even when there is none.
    let none = Room { records: 0, bytes: 0 };
    assert!(matches!(
        admission.admit(Frame::Text(frame), NOW_US, none),
        Outcome::Duplicate { age_ms: 0 }
    ));
    assert!(matches!(
        admission.admit(Frame::Text(" "), NOW_US, none),
        Outcome::Ignored { .. }
    ));
    assert_eq!(admission.take_chunk().unwrap().record(0).unwrap().sequence(), 1);
    assert_eq!(admission.counts().frames_law(), 0);
}

#[test]
fn a_dropped_frame_is_counted_and_not_remembered() {
    let settings = Settings {
        on_full: OnFull::DropNewest,
        ..settings(Transport::Events)
    };
    let mut admission = Admission::with_ids(settings, IdSource::from_seed(1));
    let none = Room { records: 0, bytes: 0 };
    assert!(matches!(
        admission.admit(Frame::Text(r#"{"id":"e"}"#), NOW_US, none),
        Outcome::Dropped
    ));
    assert_eq!(admission.window().len(), 0);
    assert_eq!(admit(&mut admission, r#"{"id":"e"}"#), "event");
    let counts = admission.counts();
    assert_eq!(
        (
            counts.received,
            counts.dropped,
            counts.events,
            counts.frames_law()
        ),
        (2, 1, 1, 0)
    );
}

#[test]
fn a_frame_larger_than_the_whole_bound_is_taken_only_when_everything_is_empty() {
    let settings = Settings {
        max_queue_bytes: 100,
        ..settings(Transport::Events)
    };
    let mut admission = Admission::with_ids(settings, IdSource::from_seed(1));
    let large = format!(r#"{{"id":"e","text":"{}"}}"#, "x".repeat(1000));
    let part = Room {
        records: 5,
        bytes: 99,
    };
    let whole = Room {
        records: 5,
        bytes: 100,
    };
    assert!(matches!(
        admission.admit(Frame::Text(&large), NOW_US, part),
        Outcome::Full
    ));
    assert!(matches!(
        admission.admit(Frame::Text(&large), NOW_US, whole),
        Outcome::Event
    ));
    let second = large.replace("\"e\"", "\"f\"");
    assert!(matches!(
        admission.admit(Frame::Text(&second), NOW_US, whole),
        Outcome::Full
    ));
    assert_eq!(admission.open_chunk().0, 1);
}

#[test]
fn sequences_have_no_hole_and_control_records_take_their_turn() {
    let settings = Settings {
        epoch: 3,
        ..settings(Transport::Events)
    };
    let mut admission = Admission::with_ids(settings, IdSource::from_seed(1));
    admit(&mut admission, r#"{"id":"a"}"#);
    admission.append_control(
        "gap_opened",
        |out| out.extend(b"{\"cause\":\"reconnect\"}"),
        NOW_US + 5,
    );
    admit(&mut admission, r#"{"id":"a"}"#);
    assert!(matches!(
        admission.admit(
            Frame::Text(r#"{"id":"b"}"#),
            NOW_US,
            Room { records: 0, bytes: 0 }
        ),
        Outcome::Full
    ));
    admit(&mut admission, "broken");
    admit(&mut admission, r#"{"id":"b"}"#);
    let chunk = admission.take_chunk().unwrap();
    let sequences: Vec<_> = chunk
        .records()
        .map(|record| record.sequence() - (3 << 40))
        .collect();
    assert_eq!(sequences, [1, 2, 3, 4]);
    let control = chunk.record(1).unwrap();
    assert_eq!(
        (control.kind(), control.type_(), control.key()),
        (Kind::Control, "gap_opened", "main")
    );
    assert_eq!(
        (control.subject(), control.body()),
        ("main", &b"{\"cause\":\"reconnect\"}"[..])
    );
    assert!(admission.take_chunk().is_none());
    assert_eq!(
        (admission.counts().received, admission.counts().frames_law()),
        (4, 0)
    );
}

#[test]
fn unreadable_times_are_counted_and_absent_ones_are_not() {
    let mut admission = admission(Transport::Events);
    admit(&mut admission, r#"{"id":"a","timestamp":"soon"}"#);
    admit(&mut admission, r#"{"id":"b"}"#);
    admit(&mut admission, r#"{"id":"c","timestamp":null}"#);
    admit(&mut admission, r#"{"id":"a","timestamp":"soon"}"#);
    assert_eq!(admission.counts().unreadable_timestamps, 1);
    let chunk = admission.take_chunk().unwrap();
    assert_eq!(
        (
            &body(&chunk, 0)["timestampSource"],
            chunk.record(0).unwrap().event_time_us()
        ),
        (&json!("received"), None)
    );
    assert_eq!(body(&chunk, 0)["payload"]["extra"]["timestamp"], "soon");
}

#[test]
fn binary_and_oversized_frames_have_their_outcome() {
    let mut admission = admission(Transport::Events);
    let mut offer = |frame: Frame<'_>| outcome_name(&admission.admit(frame, NOW_US, Room::UNBOUNDED));
    assert_eq!(offer(Frame::Binary(br#"{"id":"e"}"#)), "event");
    assert_eq!(offer(Frame::Binary(b"{\"id\":\"\xff\"}")), "dead_letter");
    assert_eq!(offer(Frame::Binary(b" ")), "ignored");
    assert_eq!(
        offer(Frame::Oversized {
            length_bytes: 1 << 33,
            sha256: [1; 32],
            head: b"{"
        }),
        "dead_letter"
    );
    let counts = admission.counts();
    assert_eq!(
        (counts.received, counts.oversized, counts.frames_law()),
        (4, 1, 0)
    );
    assert_eq!(counts.received_bytes, 10 + 10 + 1 + (1 << 33));
}

#[test]
fn a_notification_is_taken_apart_and_can_be_put_together() {
    let raw = r#"{"topicName":"v2.users.u1.conversations.calls","version":"2","eventBody":{"id":"c1","participants":[{"purpose":"customer","direction":"INBOUND"}],"recordingState":"none","n":1.0},"metadata":{"CorrelationId":"k"}}"#;
    let (event, text) = only_event(Transport::Notifications, raw);
    assert_eq!(event["eventType"], "v2.users.{id}.conversations.calls");
    assert_eq!(
        event["origin"],
        json!({"transport": "notifications", "topic": "v2.users.u1.conversations.calls", "correlationId": "k",
            "backfill": false, "envelope": {"version": "2"}})
    );
    assert_eq!(
        (&event["analyticsId"], &event["conversationId"]),
        (&json!("c1"), &json!("c1"))
    );
    assert_eq!(
        (&event["payload"]["direction"], &event["payload"]["duration"]),
        (&json!("inbound"), &Value::Null)
    );
    assert_eq!(
        event["payload"]["participants"],
        json!([{"id": null, "purpose": "customer", "userId": null, "queueId": null, "name": null, "address": null, "state": null,
            "direction": "inbound", "mediaType": "voice", "connectedAt": null, "endedAt": null}])
    );
    assert_eq!(
        event["payload"]["extra"],
        json!({"participants": [{"purpose": "customer", "direction": "INBOUND"}], "recordingState": "none", "n": 1.0})
    );
    assert_eq!(reconstruct(&event), serde_json::from_str::<Value>(raw).unwrap());
    assert!(reconstruct_text(&text).unwrap().contains(r#""n":1.0"#));
}
