//! The conservation laws where they are exported, each term held against the ground truth instead of against another.

use genesys_source::record::Kind;
use serde_json::{Value, json};
use simulator::Kind as Sent;
use support::plugin;

use crate::corpus::faults;
use support::host::{Host, SOON, config, prompt, truth};

fn number(statistics: &Value, pointer: &str) -> u64 {
    statistics.pointer(pointer).and_then(Value::as_u64).unwrap()
}

#[test]
fn every_term_is_what_the_ground_truth_says_and_both_laws_hold() {
    let simulator = plugin::simulator(|options| {
        options.rate = 0;
        options.events = Some(2_000);
        options.without_id_percent = 10.0;
        options.duplicates_percent = 5.0;
        options.malformed_percent = 2.0;
        options.pause_when_alone = true;
        options.faults = [
            "every=300 drop",
            "after=1000 oversized 5242880",
            "every=50 binary",
        ]
        .map(|fault| fault.parse().unwrap())
        .to_vec();
    });
    let folder = tempfile::tempdir().unwrap();
    let mut host = Host::open(&config(&simulator, folder.path(), prompt()));
    assert!(simulator.wait_until_done(SOON));
    host.until("every event", |host| host.count(Kind::Event) == 2_000);
    host.drain();
    let sent = simulator.counters();
    let statistics = host.statistics();
    let frames = |name: &str| number(&statistics, &format!("/frames/{name}"));

    let acknowledgements = truth(&simulator, Sent::Subscribed).len() as u64;
    assert_eq!(frames("received"), sent.frames_sent + acknowledgements);
    assert_eq!(frames("control"), acknowledgements);
    assert_eq!(frames("events"), sent.events_sent + sent.binary);
    assert_eq!(frames("duplicates"), sent.duplicates);
    assert_eq!(frames("dead_letters"), sent.malformed + sent.oversized);
    assert_eq!(frames("oversized"), 1);
    for none in [
        "ignored",
        "filtered",
        "subtracted",
        "dropped",
        "held",
        "handover_ambiguous",
    ] {
        assert_eq!(frames(none), 0, "{none}");
    }
    assert_eq!(statistics["frames"]["law"], 0);

    let records = |name: &str| number(&statistics, &format!("/records/{name}"));
    assert_eq!(records("appended"), host.records.len() as u64);
    assert_eq!(records("committed"), host.records.len() as u64);
    assert_eq!(
        records("recovered") + records("evicted") + records("uncommitted"),
        0
    );
    assert_eq!(statistics["records"]["law"], 0);
    let ages = statistics["dedup"]["duplicate_age_ms"].as_object().unwrap();
    let aged: u64 = ages.values().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(aged, sent.duplicates, "each duplicate has its age");

    for record in &host.records {
        assert_eq!(faults(record.kind, &record.body), Vec::<String>::new());
    }
}

#[test]
fn a_full_queue_that_drops_counts_each_drop_and_covers_it_with_a_gap() {
    let simulator = plugin::simulator(|options| {
        options.rate = 0;
        options.events = Some(1_000);
    });
    let folder = tempfile::tempdir().unwrap();
    let mut host = Host::open(&config(
        &simulator,
        folder.path(),
        json!({"spool": {"mode": "memory"}, "queue": {"max_records": 50, "on_full": "drop"}}),
    ));
    assert!(simulator.wait_until_done(SOON));
    support::wait_until(SOON, "every frame received", || {
        number(&host.statistics(), "/frames/received") == 1_001
    });
    let full = host.statistics();
    assert_eq!(full["frames"]["law"], 0, "{full}");
    assert_eq!(full["records"]["law"], 0, "{full}");
    let dropped = number(&full, "/frames/dropped");
    assert!(dropped >= 900, "{full}");
    assert_eq!(number(&full, "/frames/events") + dropped, 1_000);
    host.drain();
    let gap = host
        .of_kind(Kind::Control)
        .find(|record| record.body["cause"] == "dropped");
    assert!(gap.is_some(), "a gap covers what was dropped");
    let counted: u64 = host
        .of_kind(Kind::Control)
        .filter(|record| record.body["cause"] == "dropped" && record.body["type"] == "gap_closed")
        .map(|record| record.body["framesDropped"].as_u64().unwrap())
        .sum();
    assert_eq!(counted, dropped);
}

#[test]
fn a_record_that_is_never_committed_stays_in_the_law() {
    let simulator = plugin::simulator(|options| options.events = Some(0));
    let folder = tempfile::tempdir().unwrap();
    let mut host = Host::open(&config(&simulator, folder.path(), json!({})));
    host.until("subscribed", |host| {
        host.statistics()["session"]["subscribed"] == true
    });
    host.source.drain(SOON);
    support::wait_until(SOON, "the stop's record", || {
        number(&host.statistics(), "/records/appended") == 1
    });
    let before = host.statistics();
    assert_eq!(number(&before, "/records/uncommitted"), 1);
    assert_eq!(before["records"]["law"], 0);
    assert_eq!(host.ending().status, plugin_abi::status::END);
    let after = host.statistics();
    assert_eq!(number(&after, "/records/uncommitted"), 0);
    assert_eq!(number(&after, "/records/committed"), 1);
    assert_eq!(after["records"]["law"], 0);
}

#[test]
fn snapshots_and_events_without_an_identity_of_their_own_are_never_duplicates() {
    use genesys_source::admission::{Admission, Frame, OnFull, Outcome, Room, Settings};
    use genesys_source::decode::Transport;

    let admit = |transport, frames: &[Value]| -> Vec<&'static str> {
        let mut admission = Admission::new(Settings {
            transport,
            source_name: "main".to_owned(),
            dedup: genesys_source::dedup::Settings::default(),
            on_full: OnFull::Stop,
            max_queue_bytes: 0,
            epoch: 0,
        });
        let outcome =
            |frame: &Value| match admission.admit(Frame::Text(&frame.to_string()), 1, Room::UNBOUNDED) {
                Outcome::Event => "event",
                Outcome::Duplicate { .. } => "duplicate",
                _ => "other",
            };
        frames.iter().map(outcome).collect()
    };
    let snapshot = |muted: bool| {
        json!({"topicName": "v2.users.u-1.conversations.calls", "eventBody": {"id": "c-1",
            "participants": [{"id": "p-1", "purpose": "agent", "muted": muted, "state": "connected"}]}})
    };
    // mute, unmute, mute: the third is the first again, and real
    assert_eq!(
        admit(
            Transport::Notifications,
            &[snapshot(true), snapshot(false), snapshot(true), snapshot(true)]
        ),
        ["event"; 4]
    );
    // the tutorial's identity is `id || conversationId`: it would drop each of these but the first
    let event =
        |timestamp: &str| json!({"type": "interaction", "conversationId": "c-1", "timestamp": timestamp});
    assert_eq!(
        admit(
            Transport::Events,
            &[
                event("2026-01-01T00:00:00Z"),
                event("2026-01-01T00:00:01Z"),
                json!({"id": "c-1", "conversationId": "c-1", "type": "interaction", "timestamp": "2026-01-01T00:00:02Z"}),
                json!({"conversationId": "c-1"}),
                json!({"conversationId": "c-1"}),
            ]
        ),
        ["event"; 5]
    );
    assert_eq!(
        admit(
            Transport::Events,
            &[event("2026-01-01T00:00:00Z"), event("2026-01-01T00:00:00Z")]
        ),
        ["event", "duplicate"]
    );
}
