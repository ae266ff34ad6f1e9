//! Twenty thousand events into a real Kafka: each once, in order, with an audit trail that tells the truth.

use std::collections::{BTreeMap, BTreeSet};

use simulator::{Kind, Options};
use support::rig::{self, Ended};
use support::topics::{Audit, DeadLetter, Event, gaps};
use support::{Broker, Rig, Topics};

use crate::{DEADLINE, proofs};

const EVENTS: u64 = 20_000;
const PARTITIONS: i32 = 6;

#[test]
fn every_event_arrives_once_and_in_order_and_the_audit_says_where() {
    let Some(broker) = Broker::shared() else { return };
    let topics = Topics::create(broker, PARTITIONS);
    let options = Options {
        events: Some(EVENTS),
        rate: 0,
        conversations: 600,
        duplicates_percent: 5.0,
        malformed_percent: 1.0,
        without_id_percent: 10.0,
        ..Options::default()
    };
    let rig = Rig::new(options).with_kafka(broker.bootstrap_servers(), &topics);
    let mut adapter = rig.start();
    rig::wait_until_ingested(&mut adapter, rig.simulator(), DEADLINE);
    let ended = rig::stop(&mut adapter, DEADLINE);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr.join("\n"));

    let truth = rig.simulator().truth();
    let servers = broker.bootstrap_servers();
    let events = topics.read_events(servers);
    assert_eq!(events.len() as u64, EVENTS);
    proofs::assert_each_once_in_order(&truth, &events);
    let conversations: BTreeSet<&str> = events.iter().map(Event::conversation).collect();
    assert!(
        conversations.len() >= 500,
        "{} conversations",
        conversations.len()
    );
    proofs::assert_valid("event", events.iter().map(|event| &event.body));
    proofs::assert_envelopes(&events, PARTITIONS);
    assert_ids_are_the_sources(&truth, &events);

    let dead_letters = topics.read_dead_letters(servers);
    assert_each_malformed_frame_once(&truth, &dead_letters);
    proofs::assert_valid("dead-letter", dead_letters.iter().map(|letter| &letter.body));

    let audits = topics.read_audits(servers);
    proofs::assert_audits_are_true(
        &audits,
        (&topics.events, &events),
        (&topics.dead_letter, &dead_letters),
    );
    proofs::assert_chain(&audits);
    proofs::assert_valid("audit", audits.iter().map(|audit| &audit.body));

    let control = topics.read_control(servers);
    proofs::assert_valid("control", &control);
    let gaps = gaps(&control);
    assert_eq!(
        gaps.iter().map(|gap| gap.cause.as_str()).collect::<Vec<_>>(),
        ["stopped"]
    );

    assert_summary_agrees(&ended, &rig.simulator().counters(), &audits);
}

/// An event that carries an id keeps it.
fn assert_ids_are_the_sources(truth: &[simulator::TruthLine], events: &[Event]) {
    let happened = proofs::happened(truth);
    let mut carried = 0;
    for event in events {
        let line = happened[&(event.conversation().to_owned(), event.ordinal())];
        if let Some(id) = &line.id {
            assert_eq!(event.id(), id);
            carried += 1;
        }
    }
    assert!(
        (15_000..20_000).contains(&carried),
        "{carried} events carried an id"
    );
}

fn assert_each_malformed_frame_once(truth: &[simulator::TruthLine], dead_letters: &[DeadLetter]) {
    let mut sent: BTreeMap<&str, i64> = BTreeMap::new();
    for line in truth.iter().filter(|line| line.kind == Kind::Malformed) {
        *sent.entry(line.frame.as_deref().unwrap()).or_insert(0) += 1;
    }
    assert!(sent.len() > 100, "{} malformed frames were sent", sent.len());
    for letter in dead_letters {
        *sent.entry(letter.frame()).or_insert(0) -= 1;
    }
    sent.retain(|_, count| *count != 0);
    assert!(sent.is_empty(), "sent minus dead-lettered: {sent:#?}");
}

fn assert_summary_agrees(ended: &Ended, sent: &simulator::Counters, audits: &[Audit]) {
    proofs::assert_laws(ended);
    let count = |value: u64| i64::try_from(value).unwrap();
    assert_eq!(ended.count("/events"), count(sent.events_sent));
    assert_eq!(ended.count("/deadLetters"), count(sent.malformed));
    assert_eq!(ended.count("/totalDuplicated"), count(sent.duplicates));
    assert!(sent.duplicates > 800, "{} duplicates were sent", sent.duplicates);
    assert_eq!(
        ended.count("/totalIngested"),
        count(sent.frames_sent) + 1,
        "frames and one acknowledgement"
    );
    assert_eq!(
        (ended.count("/totalDropped"), ended.count("/orderExceptions")),
        (0, 0)
    );
    assert_eq!((ended.count("/inFlight"), ended.count("/refused")), (0, 0));
    assert_eq!(ended.count("/auditsWritten"), audits.len() as i64);
    let of_source = |term: &str| ended.count(&format!("/source/records/{term}"));
    assert_eq!(
        of_source("committed"),
        of_source("appended"),
        "everything handed out is committed"
    );
}
