//! Letters from their topic, which nothing is added to.

use std::collections::BTreeSet;

use simulator::Options;
use support::rig;
use support::{Mock, Rig, Topics, end_offsets};

use crate::{DEADLINE, replay};

#[test]
fn letters_of_the_topic_that_are_still_no_events_are_named_and_the_topic_stays_as_it_is() {
    let topics = Topics::unique();
    let mock = Mock::start(&topics.names().map(|name| (name, 2)));
    let options = Options {
        events: Some(400),
        rate: 0,
        malformed_percent: 2.0,
        ..Options::default()
    };
    for envelope in ["binary", "structured"] {
        let run = Rig::new(options.clone())
            .with_kafka(mock.bootstrap_servers(), &topics)
            .set("kafka.envelope", envelope);
        let mut adapter = run.start();
        rig::wait_until_ingested(&mut adapter, run.simulator(), DEADLINE);
        assert_eq!(rig::stop(&mut adapter, DEADLINE).code, Some(0));
    }
    let letters = support::read_back(mock.bootstrap_servers(), &topics.dead_letter);
    assert!(letters.len() > 4, "{}", letters.len());
    for letter in &letters {
        let (body, names): (_, BTreeSet<_>) = (
            letter.json(),
            letter.headers.iter().map(|(name, _)| name).collect(),
        );
        let body = body.get("data").unwrap_or(&body);
        assert_eq!(names.len(), letter.headers.len(), "{:?}", letter.headers);
        for (name, value) in [
            ("topic", Some(topics.events.as_str())),
            ("connector.name", Some("delivery-test")),
            ("task.id", Some("0")),
            ("stage", body["stage"].as_str()),
            ("class.name", Some("genesys-cloud")),
            ("exception.message", body["reason"].as_str()),
        ] {
            let header = letter.header(&format!("__connect.errors.{name}"));
            assert_eq!(header.as_deref(), value, "{name}");
        }
    }
    let mut expected: Vec<String> = letters
        .iter()
        .map(|letter| {
            let body = letter.json();
            let letter = body.get("data").unwrap_or(&body);
            let text = |name: &str| letter[name].as_str().unwrap().to_owned();
            format!(
                "not replayed: {}: {}: {}",
                text("deadLetterId"),
                text("stage"),
                text("reason")
            )
        })
        .collect();
    let ends =
        || [&topics.dead_letter, &topics.events].map(|topic| end_offsets(mock.bootstrap_servers(), topic));
    let before = ends();
    let rig = Rig::new(Options::default()).with_kafka(mock.bootstrap_servers(), &topics);
    let (code, out, mut told) = replay(&rig, &["--from-kafka"], b"");
    let verdict = told.pop();
    assert_eq!(
        (code, out, verdict),
        (
            65,
            Vec::new(),
            Some(format!(
                "genesys-kafka: {0} dead letters (0 repeats): 0 records, 0 duplicates, {0} not replayed, 0 refused again, 0 \
                 not reached; which and why is above",
                letters.len()
            ))
        )
    );
    told.sort_unstable();
    expected.sort_unstable();
    assert_eq!(told, expected);
    assert_eq!(ends(), before);
}

#[test]
fn a_topic_that_is_not_there_is_named() {
    let topics = Topics::unique();
    let mock = Mock::start(&[(topics.events.as_str(), 1)]);
    let rig = Rig::new(Options::default())
        .with_kafka(mock.bootstrap_servers(), &topics)
        .set("kafka.start_timeout_ms", 5_000);
    mock.broker_down(1);
    let (code, out, told) = replay(&rig, &["--from-kafka"], b"");
    assert_eq!((code, out), (69, Vec::new()));
    let [line] = &told[..] else { panic!("{told:#?}") };
    assert!(
        line.starts_with(&format!(
            "genesys-kafka: topic {} at \"{}\" cannot be read: ",
            topics.dead_letter,
            mock.bootstrap_servers()
        )),
        "{line}"
    );
}
