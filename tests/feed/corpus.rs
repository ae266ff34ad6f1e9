//! Everything that is written against its schema: the shared corpus, frames by the hundred, and the raw body back.

use std::sync::LazyLock;

use genesys_source::admission::{Admission, Frame, OnFull, Outcome, Room, Settings};
use genesys_source::decode::Transport;
use genesys_source::record::Kind;
use genesys_source::{dedup, normalize};
use jsonschema::Validator;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use support::Launch;

use support::host::SOON;

struct Schemas {
    event: Validator,
    dead_letter: Validator,
    control: Validator,
}

static SCHEMAS: LazyLock<Schemas> = LazyLock::new(|| {
    let schema = |name: &str| {
        let path = support::workspace_root().join(format!("schemas/{name}.schema.json"));
        let schema: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        jsonschema::validator_for(&schema).unwrap()
    };
    Schemas {
        event: schema("event"),
        dead_letter: schema("dead-letter"),
        control: schema("control"),
    }
});

/// What the schema of this kind of record finds wrong with a body.
pub(crate) fn faults(kind: Kind, body: &Value) -> Vec<String> {
    let schema = match kind {
        Kind::Event => &SCHEMAS.event,
        Kind::DeadLetter => &SCHEMAS.dead_letter,
        Kind::Control => &SCHEMAS.control,
    };
    let errors = schema.iter_errors(body);
    errors
        .map(|error| format!("{} at {}", error, error.instance_path()))
        .collect()
}

#[test]
fn every_frame_of_the_corpus_is_explained_validates_and_comes_back_whole() {
    let Some(frames) = support::shared_frames() else {
        return;
    };
    let finished = Launch::binary("genesys-source")
        .args(
            ["explain".as_ref()]
                .into_iter()
                .chain(frames.iter().map(|path| path.as_os_str())),
        )
        .run(SOON);
    assert!(finished.status.success(), "{:?}", finished.stderr);
    assert_eq!(finished.stdout.len(), frames.len());
    let mut events = 0;
    for (path, line) in frames.iter().zip(&finished.stdout) {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["frame"], path.to_str().unwrap());
        let outcome = line["outcome"].as_str().unwrap();
        let record = &line["record"];
        match outcome {
            "event" => {
                events += 1;
                assert_eq!(
                    faults(Kind::Event, record),
                    Vec::<String>::new(),
                    "{}",
                    path.display()
                );
                let raw: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
                assert_eq!(normalize::reconstruct(record), raw, "{}", path.display());
            }
            "control" => assert!(line["reason"].is_string(), "{line}"),
            "dead_letter" => {
                assert_eq!(
                    faults(Kind::DeadLetter, record),
                    Vec::<String>::new(),
                    "{}",
                    path.display()
                );
            }
            other => panic!("{}: {other}", path.display()),
        }
    }
    assert!(events >= 40, "{events} of {} frames are events", frames.len());
}

fn admission(transport: Transport) -> Admission {
    Admission::new(Settings {
        transport,
        source_name: "main".to_owned(),
        dedup: dedup::Settings::default(),
        on_full: OnFull::Stop,
        max_queue_bytes: 0,
        epoch: 0,
    })
}

/// Admits a frame; returns its outcome, and its record with the kind.
fn admit(admission: &mut Admission, frame: Frame<'_>) -> (Outcome, Option<(Kind, Value, String)>) {
    let outcome = admission.admit(frame, 1_767_225_600_123_456, Room::UNBOUNDED);
    let record = admission.take_chunk().map(|chunk| {
        assert_eq!(chunk.len(), 1, "one record a frame");
        let record = chunk.record(0).unwrap();
        for text in [record.id(), record.key(), record.type_(), record.subject()] {
            assert!(!text.chars().any(char::is_control), "{text:?}");
        }
        let text = std::str::from_utf8(record.body()).unwrap();
        (
            record.kind(),
            serde_json::from_str(text).unwrap(),
            text.to_owned(),
        )
    });
    (outcome, record)
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e9_f64..1e9).prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        prop::sample::select(vec![
            "2026-01-02T03:04:05.678Z",
            "2026-01-02T03:04:05+02:00",
            "1767225600",
            "c-1",
            "inbound",
        ])
        .prop_map(Value::from),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-zA-Z]{1,8}|\\PC{0,4}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn object(names: &'static [&'static str]) -> impl Strategy<Value = Map<String, Value>> {
    let member = (prop::sample::select(names), value());
    let extra = prop::collection::btree_map("[a-z]{1,6}", value(), 0..3);
    (prop::collection::vec(member, 0..8), extra).prop_map(|(members, extra)| {
        let mut object: Map<String, Value> = extra.into_iter().collect();
        object.extend(members.into_iter().map(|(name, value)| (name.to_owned(), value)));
        object
    })
}

fn events_frame() -> impl Strategy<Value = Value> {
    let names = &[
        "id",
        "type",
        "conversationId",
        "timestamp",
        "direction",
        "duration",
        "participants",
        "metadata",
        "sessionToken",
        "status",
        "message",
    ];
    object(names).prop_map(Value::Object)
}

fn notifications_frame() -> impl Strategy<Value = Value> {
    let topics = prop::sample::select(vec![
        "v2.users.u-1.conversations",
        "v2.users.u-1.conversations.calls",
        "v2.users.u-1.presence",
        "v2.users.u-1.routingStatus",
        "v2.routing.queues.q-1.conversations.chats",
        "v2.detail.events.conversation.c-1.customer.end",
        "v2.conversations.c-1.transcription",
        "v2.conversations.chats.c-1.messages",
        "v2.audits.entitytype.user.entityid.u-1",
        "v2.analytics.queues.q-1.observations",
        "channel.metadata",
        "v2.nobody.knows.this",
        "",
    ]);
    let body = object(&[
        "id",
        "conversationId",
        "participants",
        "eventTime",
        "participantId",
        "sessionId",
        "recordId",
        "state",
        "calls",
        "mediaType",
        "direction",
    ]);
    let envelope = object(&["metadata", "version", "result"]);
    (topics, body, envelope).prop_map(|(topic, body, mut envelope)| {
        envelope.insert("topicName".to_owned(), json!(topic));
        envelope.insert("eventBody".to_owned(), Value::Object(body));
        Value::Object(envelope)
    })
}

/// Holds a frame against everything that is true of every frame.
fn check(admission: &mut Admission, frame: &Value) -> Result<(), TestCaseError> {
    let text = frame.to_string();
    let (outcome, record) = admit(admission, Frame::Text(&text));
    match (&outcome, record) {
        (Outcome::Event, Some((Kind::Event, body, written))) => {
            prop_assert_eq!(faults(Kind::Event, &body), Vec::<String>::new(), "{}", text);
            let back = normalize::reconstruct_text(&written);
            let back: Value = serde_json::from_str(&back.unwrap_or_default()).unwrap_or_default();
            prop_assert_eq!(&back, frame);
        }
        (Outcome::DeadLetter { .. }, Some((Kind::DeadLetter, body, _))) => {
            prop_assert_eq!(faults(Kind::DeadLetter, &body), Vec::<String>::new(), "{}", text);
            prop_assert_eq!(body["frame"]["text"].as_str(), Some(text.as_str()));
        }
        (Outcome::Duplicate { .. } | Outcome::Control(_) | Outcome::Ignored { .. }, None) => {}
        (outcome, record) => prop_assert!(false, "{outcome:?} with {record:?}"),
    }
    prop_assert_eq!(admission.counts().frames_law(), 0);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn generated_event_frames_have_one_outcome_that_validates(frames in prop::collection::vec(events_frame(), 1..6)) {
        let mut admission = admission(Transport::Events);
        for frame in &frames {
            check(&mut admission, frame)?;
        }
        prop_assert_eq!(admission.counts().received, frames.len() as u64);
    }

    #[test]
    fn generated_notification_frames_have_one_outcome_that_validates(frames in prop::collection::vec(notifications_frame(), 1..6)) {
        let mut admission = admission(Transport::Notifications);
        for frame in &frames {
            check(&mut admission, frame)?;
        }
        prop_assert_eq!(admission.counts().received, frames.len() as u64);
    }

    #[test]
    fn generated_bytes_have_one_outcome_that_validates(bytes in prop::collection::vec(any::<u8>(), 0..200), length_bytes in 4_194_305_u64.., sha256 in any::<[u8; 32]>()) {
        let mut admission = admission(Transport::Events);
        for frame in [Frame::Binary(&bytes), Frame::Oversized { length_bytes, sha256, head: &bytes }] {
            let (_, record) = admit(&mut admission, frame);
            if let Some((kind, body, _)) = record {
                prop_assert_eq!(faults(kind, &body), Vec::<String>::new());
            }
        }
        prop_assert_eq!(admission.counts().frames_law(), 0);
        prop_assert_eq!(admission.counts().received, 2);
    }
}
