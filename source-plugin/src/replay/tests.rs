//! Letters through the whole source: ids, order, the full queue, and the end.

use std::io::Write as _;
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;
use tracing::Dispatch;

use crate::queue::{NoRecords, PullLimits};
use crate::record::Kind;
use crate::source::Source;

fn letter(id: &str, text: &str) -> String {
    let sha256: String = Sha256::digest(text)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    json!({
        "schemaVersion": "1.0", "deadLetterId": id, "receivedAt": "2026-03-01T12:00:04.000Z", "source": "main",
        "origin": {"transport": "events", "topic": null}, "stage": "DECODE", "reason": "of an older version",
        "frame": {"type": "text", "lengthBytes": text.len(), "sha256": sha256, "text": text},
    })
    .to_string()
}

/// Kind, id, reason and receipt of a record.
type Told = (Kind, String, Option<String>, i64);

/// Each record that a replay gives, and the statistics at its end.
fn replayed(lines: &[String], queue: &Value) -> (Vec<Told>, Value) {
    let mut file = NamedTempFile::new().unwrap();
    writeln!(file, "{}", lines.join("\n")).unwrap();
    let config = json!({
        "region": "us-east-1",
        "client_id": {"env": "PATH"},
        "client_secret": {"env": "PATH"},
        "replay": file.path(),
        "spool": {"mode": "memory"},
        "queue": queue,
    });
    let source = Source::open(&config.to_string(), &Dispatch::none()).unwrap();
    let limits = PullLimits {
        max_records: 2,
        max_bytes: 1 << 20,
        wait: Duration::from_secs(30),
        linger: Duration::ZERO,
    };
    let mut records = Vec::new();
    loop {
        match source.pull(&limits) {
            Ok(slices) => {
                for record in slices.iter().flat_map(|slice| slice.records()) {
                    let reason = record.attributes().find(|(name, _)| *name == "reason");
                    records.push((
                        record.kind(),
                        record.id().to_owned(),
                        reason.map(|(_, value)| value.to_owned()),
                        record.received_time_us(),
                    ));
                }
            }
            Err(NoRecords::Ended(ending)) => {
                assert_eq!(ending.status, plugin_abi::status::END);
                break;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    let statistics = serde_json::from_str(&source.statistics()).unwrap();
    assert!(source.close(Duration::from_secs(30)));
    (records, statistics)
}

fn lines() -> Vec<String> {
    vec![
        letter(
            "l-source",
            r#"{"id":"e1","conversationId":"c1","type":"interaction"}"#,
        ),
        String::new(),
        letter("l-none", r#"{"conversationId":"c1","type":"interaction"}"#),
        letter("l-bad", "{"),
        "{\"no\":\"letter\"}".to_owned(),
        letter(
            "l-repeat",
            r#"{"id":"e1","conversationId":"c1","type":"interaction"}"#,
        ),
    ]
}

#[test]
fn the_same_letters_give_the_same_ids_at_each_replay_and_what_fails_keeps_its_own() {
    let (records, statistics) = replayed(&lines(), &json!({}));
    let received_us = 1_772_366_404_000_000;
    assert_eq!(
        records
            .iter()
            .map(|(kind, id, _, at)| (*kind, id.as_str(), *at))
            .collect::<Vec<_>>(),
        [
            (Kind::Event, "e1", received_us),
            (
                Kind::Event,
                crate::identity::id_of_letter("l-none").to_string().as_str(),
                received_us
            ),
            (Kind::DeadLetter, "l-bad", received_us),
            (Kind::DeadLetter, records[3].1.as_str(), 0),
        ]
    );
    assert_eq!(
        records[3].2.as_deref(),
        Some("line 5 is no dead letter: not of the shape of a dead letter at column 15")
    );
    let frames = &statistics["frames"];
    assert_eq!(
        [
            &frames["received"],
            &frames["events"],
            &frames["dead_letters"],
            &frames["duplicates"],
            &frames["law"]
        ],
        [&json!(5), &json!(2), &json!(2), &json!(1), &json!(0)]
    );
    assert_eq!(replayed(&lines(), &json!({})).0, records);
}

#[test]
fn a_queue_of_one_record_stops_the_reader_and_drops_nothing() {
    let many: Vec<String> = (0..50)
        .map(|number| {
            letter(
                &format!("l-{number}"),
                r#"{"conversationId":"c1","type":"interaction"}"#,
            )
        })
        .collect();
    let (records, statistics) = replayed(&many, &json!({"max_records": 1, "on_full": "drop"}));
    let ids: Vec<String> = (0..50)
        .map(|number| crate::identity::id_of_letter(&format!("l-{number}")).to_string())
        .collect();
    assert_eq!(records.into_iter().map(|(_, id, ..)| id).collect::<Vec<_>>(), ids);
    assert_eq!(statistics["frames"]["dropped"], 0);
}
