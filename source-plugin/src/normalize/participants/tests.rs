//! The list of participants: both layouts, several communications, the bound, and the frames of the corpus.
//! Over 400 lines: the rows that corpus frames must give are written out.

use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{FIXED_BYTES, MEDIA, PER_RAW_BYTE, topic_medium, write};
use crate::normalize::COMMUNICATIONS;

fn list(participants: &str, medium: Option<&str>) -> (Value, usize) {
    let mut out = b"before".to_vec();
    let omitted = write(&mut out, participants, medium);
    let list = out.strip_prefix(b"before").unwrap();
    (serde_json::from_slice(list).unwrap(), omitted)
}

/// Returns the list with each entry as its values, in the documented order.
fn rows(participants: &str, medium: Option<&str>) -> Value {
    let (list, omitted) = list(participants, medium);
    assert_eq!(omitted, 0);
    let row = |entry: &Value| -> Value {
        let names = [
            "id",
            "purpose",
            "userId",
            "queueId",
            "name",
            "address",
            "state",
            "direction",
            "mediaType",
            "connectedAt",
            "endedAt",
        ];
        assert_eq!(entry.as_object().unwrap().len(), names.len());
        names.iter().map(|name| entry[name].clone()).collect()
    };
    list.as_array().unwrap().iter().map(row).collect()
}

#[test]
fn a_participant_with_several_communications_is_one_entry_for_each_in_order() {
    let participants = r#"[
        {"emails":[{"state":"connected","direction":"OUTBOUND","connectedTime":1767323045000}],
         "id":"p","purpose":"agent","userId":"u","queueId":"q","name":"n","address":"a","state":"own","direction":"inbound",
         "connectedTime":"2026-01-01T00:00:00Z","endTime":"2026-01-01T00:00:09Z",
         "chats":[],"calls":[{"state":"alerting"},null,{"disconnectedTime":"2026-01-02T03:04:05.5+01:00"}]},
        {"id":"r","calls":[{"state":null,"direction":null}],"state":"own","direction":"Inbound","connectedTime":"2026-01-01T00:00:00Z"},
        {"id":"s","direction":"UNKNOWN","endTime":"not a time"},
        7, null, []
    ]"#;
    assert_eq!(
        rows(participants, None),
        json!([
            [
                "p",
                "agent",
                "u",
                "q",
                "n",
                "a",
                "connected",
                "outbound",
                "email",
                "2026-01-02T03:04:05.000Z",
                null
            ],
            [
                "p", "agent", "u", "q", "n", "a", "alerting", null, "voice", null, null
            ],
            [
                "p",
                "agent",
                "u",
                "q",
                "n",
                "a",
                null,
                null,
                "voice",
                null,
                "2026-01-02T02:04:05.500Z"
            ],
            [
                "r",
                null,
                null,
                null,
                null,
                null,
                "own",
                "inbound",
                "voice",
                "2026-01-01T00:00:00.000Z",
                null
            ],
            ["s", null, null, null, null, null, null, null, null, null, null],
        ])
    );
}

#[test]
fn what_is_not_said_is_null_and_nothing_is_guessed_from_another_type() {
    let participants = r#"[
        {"id":7,"purpose":"","userId":null,"user":{"id":"u"},"queueId":{},"queue":"q","name":["n"],"address":"","ani":"tel:1","state":true,"direction":1,"connectedTime":false},
        {"address":"sip:a","ani":"tel:1","user":{"name":"N"},"queue":{"id":"q","name":"Q"},"id":"a\u0041\"","calls":{}}
    ]"#;
    assert_eq!(
        rows(participants, Some("voice")),
        json!([
            [
                null, null, "u", null, null, "tel:1", null, null, "voice", null, null
            ],
            [
                "aA\"", null, null, "q", "N", "sip:a", null, null, "voice", null, null
            ],
        ])
    );
}

#[test]
fn a_flat_participant_of_messages_is_one_entry_however_much_was_written() {
    let text = r#"{"messageId":"m","messageTime":"2026-01-01T00:00:00Z","messageStatus":"received"}"#;
    // as the vendor's SDKs have it
    let referring = r#"{"message":{"id":"m"},"messageTime":"2026-01-01T00:00:00Z"}"#;
    for texts in ["", text, referring, &[text; 3].join(",")] {
        let flat = format!(
            r#"[{{"id":"p","purpose":"customer","state":"connected","direction":"inbound","messages":[{texts}]}}]"#
        );
        assert_eq!(
            rows(&flat, Some("message")),
            json!([[
                "p",
                "customer",
                null,
                null,
                null,
                null,
                "connected",
                "inbound",
                "message",
                null,
                null
            ]])
        );
    }
    // nested, with what was written one level below
    let nested =
        format!(r#"[{{"id":"p","messages":[{{"id":"s","state":"alerting","messages":[{text}]}}]}}]"#);
    assert_eq!(
        rows(&nested, None),
        json!([[
            "p", null, null, null, null, null, "alerting", null, "message", null, null
        ]])
    );
}

#[test]
fn each_array_and_each_end_of_a_topic_has_its_medium() {
    for (array, medium) in COMMUNICATIONS.into_iter().zip(MEDIA) {
        let nested = list(&format!(r#"[{{"{array}":[{{}}]}}]"#), None).0;
        assert_eq!(nested[0]["mediaType"], medium);
        assert_eq!(topic_medium(&array.to_ascii_lowercase()), Some(medium));
        assert_eq!(medium, medium.to_lowercase());
    }
    assert_eq!(topic_medium("conversations"), None);
}

#[test]
fn a_list_never_outgrows_its_bound_and_the_entries_beyond_are_counted() {
    let name = "n".repeat(10_000);
    let participants = format!(
        r#"[{{"id":"first"}},{{"name":"{name}","calls":[{{}}{}]}},{{"id":"last"}}]"#,
        ",{}".repeat(9_999)
    );
    let most = PER_RAW_BYTE * participants.len() + FIXED_BYTES;
    let mut out = Vec::new();
    let omitted = write(&mut out, &participants, None);
    assert!(
        out.len() <= most && out.len() > most - name.len() - 300,
        "{}",
        out.len()
    );
    let list: Vec<Value> = serde_json::from_slice(&out).unwrap();
    assert_eq!(list.len() + omitted, 10_002);
    assert_eq!(list[0]["id"], "first");
    assert!(list[1..].iter().all(|entry| entry["name"] == name));
}

#[test]
fn the_frames_of_the_corpus_have_one_shape_in_either_layout() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/genesys-frames");
    if !folder.is_dir() {
        println!("skipped: no corpus at {}", folder.display());
        return;
    }
    let rows = |name: &str, medium: Option<&str>| {
        let text = std::fs::read_to_string(folder.join(format!("{name}.json"))).unwrap();
        let body = crate::json::member(text.trim(), "eventBody").unwrap();
        rows(crate::json::member(body, "participants").unwrap(), medium)
    };
    assert_eq!(
        rows("008-conversations-missed-then-alerting", None),
        json!([
            [
                null,
                "agent",
                "agent-417",
                null,
                null,
                null,
                "terminated",
                null,
                null,
                null,
                "2026-03-20T19:45:00.000Z"
            ],
            [
                null,
                "agent",
                "agent-417",
                null,
                null,
                null,
                "alerting",
                null,
                null,
                null,
                null
            ],
        ])
    );
    assert_eq!(
        rows("005-conversations-email-alerting", None),
        json!([
            [
                "p-cust",
                "customer",
                null,
                null,
                null,
                "+447700900000",
                null,
                null,
                null,
                null,
                null
            ],
            [
                "p-agent", "agent", "u-7", null, null, null, "alerting", null, "email", null, null
            ],
        ])
    );
    // Nested although the topic is of one medium, then flat: the same agent, as far as each tells.
    let nested = rows("018-queue-calls-nested", Some("voice"));
    let flat = rows("019-queue-calls-alerting", Some("voice"));
    assert_eq!(
        nested[1],
        json!([
            "agent-participant-1",
            "agent",
            "agent-user-1",
            null,
            "Anja Brzozowska",
            null,
            "alerting",
            null,
            "voice",
            null,
            null
        ])
    );
    assert_eq!(
        flat[2],
        json!([
            "agent-participant-1",
            "agent",
            "agent-user-1",
            "queue-billing",
            "Anja Brzozowska",
            null,
            "alerting",
            null,
            "voice",
            null,
            null
        ])
    );
    let callbacks = rows("001-conversations-callback-acw", None);
    assert_eq!(callbacks.as_array().unwrap().len(), 5);
    assert_eq!(
        callbacks[1],
        json!([
            "37376b0d-7b2f-4532-adad-430056f564f0",
            "acd",
            null,
            "03e0aff3-5de4-4404-a2b1-cf36717216b9",
            null,
            null,
            "disconnected",
            null,
            "callback",
            "2022-07-04T20:04:12.132Z",
            "2022-07-04T20:07:20.528Z"
        ])
    );
    let calls = rows("013-calls-wrapup", Some("voice"));
    assert_eq!(
        calls[0],
        json!([
            "ac9fe867-646c-43e4-b4e8-127728f4b04a",
            "customer",
            null,
            "0d5d8784-6a62-4d66-a3aa-a568aa4e04dc",
            "Mobile Number, Sampleland",
            "tel:+447700900172",
            "terminated",
            "inbound",
            "voice",
            "2022-04-20T14:47:43.573Z",
            "2022-04-20T14:47:54.670Z"
        ])
    );
    assert_eq!(
        calls[1],
        json!([
            null,
            "ivr",
            null,
            null,
            null,
            null,
            "terminated",
            null,
            "voice",
            null,
            null
        ])
    );
}

/// What both layouts can say of a participant with one communication.
#[derive(Clone, Debug)]
struct Told {
    texts: [Option<String>; 7],
    direction: Option<&'static str>,
    times_ms: [Option<u32>; 2],
}

fn told() -> impl Strategy<Value = Told> {
    let text = || prop::option::of("[a-z\"\\\\é\u{1}]{1,6}");
    (
        [text(), text(), text(), text(), text(), text(), text()],
        prop::option::of(prop::sample::select(vec!["inbound", "OUTBOUND", "unknown"])),
        [any::<Option<u32>>(), any::<Option<u32>>()],
    )
        .prop_map(|(texts, direction, times_ms)| Told {
            texts,
            direction,
            times_ms,
        })
}

impl Told {
    fn in_layout(&self, array: Option<&str>) -> Value {
        let [id, purpose, user, queue, name, address, state] = &self.texts;
        let [connected, ended] = self.times_ms;
        let mut participant = json!({"id": id, "purpose": purpose, "name": name});
        let mut put = |path: &str, value: Value| participant[path] = value;
        match array {
            Some(array) => {
                put("userId", json!(user));
                put("queueId", json!(queue));
                put("address", json!(address));
                put(
                    array,
                    json!([{"state": state, "direction": self.direction, "connectedTime": connected, "disconnectedTime": ended}]),
                );
            }
            None => {
                put("user", json!({"id": user}));
                put("queue", json!({"id": queue}));
                put("ani", json!(address));
                put("state", json!(state));
                put("direction", json!(self.direction));
                put("connectedTime", json!(connected));
                put("endTime", json!(ended));
            }
        }
        participant
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn both_layouts_of_one_conversation_give_the_same_list(told in prop::collection::vec(told(), 0..6), array in prop::sample::select(COMMUNICATIONS.to_vec())) {
        let layout = |array: Option<&str>| Value::from_iter(told.iter().map(|told| told.in_layout(array))).to_string();
        let nested = rows(&layout(Some(array)), None);
        let flat = rows(&layout(None), topic_medium(array));
        prop_assert_eq!(&nested, &flat);
        prop_assert_eq!(nested.as_array().unwrap().len(), told.len());
        for (row, told) in nested.as_array().unwrap().iter().zip(&told) {
            prop_assert_eq!(&row[0], &json!(told.texts[0]));
            prop_assert_eq!(&row[6], &json!(told.texts[6]));
        }
    }

    #[test]
    fn whatever_stands_in_the_raw_list_the_list_is_json_within_its_bound(text in "[\\[\\]{}:,\"a-z0-9 \u{e9}]{0,80}", repeats in 1_usize..60) {
        let inner = serde_json::from_str::<Value>(&text).unwrap_or_else(|_| json!({"name": text}));
        let raw = Value::from_iter((0..repeats).map(|_| json!({"name": text, "id": inner, "calls": [{}, inner, {"state": text}]}))).to_string();
        let mut out = Vec::new();
        write(&mut out, &raw, Some("voice"));
        prop_assert!(out.len() <= PER_RAW_BYTE * raw.len() + FIXED_BYTES);
        prop_assert!(serde_json::from_slice::<Vec<Value>>(&out).is_ok());
    }
}
