//! Dead letters of the adapter's own making: an event that was too large, replayed where it fits.

use std::fs;

use serde_json::{Value, json};
use simulator::{Action, Fault, Options, Replay, Trigger};
use support::rig;
use support::{Mock, Rig, Topics, read_back};

use crate::{DEADLINE, replay};

const LETTERS: &str = "letters.jsonl";
const LARGE_ID: &str = "0f5e1a2e-0000-4000-8000-000000000001";
const CONVERSATION: &str = "0f5e1a2e-0000-4000-8000-000000000000";

fn rig(mock: &Mock, topics: &Topics, options: Options) -> Rig {
    Rig::new(options)
        .with_kafka(mock.bootstrap_servers(), topics)
        .set("dead_letter.path", LETTERS)
}

#[test]
fn a_refused_event_is_published_as_it_was_and_refused_again_where_it_still_does_not_fit() {
    let topics = Topics::unique();
    let mock = Mock::start(&topics.names().map(|name| (name, 2)));
    let frames = tempfile::tempdir().unwrap();
    let large = json!({
        "id": LARGE_ID, "type": "interaction", "conversationId": CONVERSATION,
        "timestamp": "2026-03-01T12:00:03.250Z", "metadata": {"transcript": "x".repeat(20_000)},
    });
    fs::write(frames.path().join("large.json"), large.to_string()).unwrap();
    let options = Options {
        events: Some(1),
        rate: 0,
        replay: Some(Replay {
            folder: frames.path().to_owned(),
            verbatim: true,
            every: 0,
        }),
        ..Options::default()
    };
    let first = rig(&mock, &topics, options).set("kafka.message_max_bytes", 10_000);
    let mut adapter = first.start();
    assert!(first.simulator().wait_until_sent(1, DEADLINE));
    first
        .simulator()
        .inject(Fault {
            when: Trigger::Now,
            action: Action::Replay,
        })
        .unwrap();
    let path = first.folder().join(LETTERS);
    support::wait_until(DEADLINE, "the letter is in its file", || {
        fs::read_to_string(&path).is_ok_and(|text| text.ends_with('\n'))
    });
    assert_eq!(rig::stop(&mut adapter, DEADLINE).code, Some(0));
    let line = fs::read_to_string(&path).unwrap();
    let letter: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        (&letter["record"]["stage"], &letter["record"]["deadLetterId"]),
        (&json!("PRODUCE"), &json!(LARGE_ID))
    );
    let body = letter["record"]["frame"]["text"].as_str().unwrap();

    // where it does not fit
    let second = rig(&mock, &topics, Options::default()).set("kafka.message_max_bytes", 10_000);
    let (code, _, told) = replay(&second, &["-"], line.as_bytes());
    assert_eq!(
        (code, &told[..]),
        (
            65,
            &["genesys-kafka: 1 dead letters (0 repeats): 0 records, 0 duplicates, 0 not replayed, 1 refused again, 0 not \
               reached; which and why is above"
                .to_owned()][..]
        )
    );
    let again: Value =
        serde_json::from_str(&fs::read_to_string(second.folder().join(LETTERS)).unwrap()).unwrap();
    assert_eq!(again["record"]["deadLetterId"], LARGE_ID);
    assert_eq!(again["record"]["frame"], letter["record"]["frame"]);

    // and where it does
    let third = rig(&mock, &topics, Options::default());
    let (code, _, told) = replay(&third, &["-"], line.as_bytes());
    assert_eq!((code, &told[..]), (0, &[][..]));
    let events = read_back(mock.bootstrap_servers(), &topics.events);
    let event = events
        .iter()
        .find(|event| event.header("ce_id").as_deref() == Some(LARGE_ID))
        .unwrap();
    assert_eq!(event.value.as_deref(), Some(body.as_bytes()));
    assert_eq!(event.key_text(), CONVERSATION);
    let headers: Vec<(&str, String)> = event
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), String::from_utf8(value.clone().unwrap()).unwrap()))
        .collect();
    assert_eq!(
        headers,
        [
            ("content-type", "application/json".to_owned()),
            ("ce_specversion", "1.0".to_owned()),
            ("ce_id", LARGE_ID.to_owned()),
            ("ce_source", "genesys-cloud".to_owned()),
            ("ce_type", "interaction".to_owned()),
            ("ce_time", "2026-03-01T12:00:03.250Z".to_owned()),
            ("ce_subject", CONVERSATION.to_owned()),
            ("ce_analyticsid", LARGE_ID.to_owned()),
        ]
    );
}
