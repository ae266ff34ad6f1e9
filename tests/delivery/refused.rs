//! A record that the broker refuses in the middle of a batch: it alone is dead-lettered.
//!
//! The topic's limit is lowered while the adapter runs, since its own size check would otherwise meet the record first.

use serde_json::json;
use simulator::{Action, Fault, Kind, Options, Replay, Trigger};
use support::rig::{self, Ended};
use support::topics::{Event, gaps};
use support::{Rig, Topics};

use crate::outage::fragile_broker;
use crate::{DEADLINE, proofs};

/// The topic's lowered limit, in bytes: far above any batch of ordinary events that a few milliseconds gather.
const LIMIT_BYTES: usize = 300_000;
/// Size of the large event, in bytes; below the adapter's `message_max_bytes` of 1,000,000, also as a dead letter.
const LARGE_BYTES: usize = 500_000;
const LARGE_ID: &str = "0f5e1a2e-0000-4000-8000-000000000001";

/// Characters that no compression makes small enough to pass the limit: a linear congruential generator's bits, as the
/// constants of Knuth's MMIX give them.
fn incompressible(bytes: usize) -> String {
    let mut state = 7_u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let symbol = u8::try_from(state >> 58).unwrap();
        char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[usize::from(symbol)])
    };
    (0..bytes).map(|_| next()).collect()
}

struct Outcome {
    ended: Ended,
    events: Vec<Event>,
}

/// Lets one large event come amid others after the topic's limit was lowered; checks everything but the order.
fn run(rate: u64, conversations: u32, librdkafka: &[(&str, i64)]) -> Option<Outcome> {
    let broker = fragile_broker()?;
    let servers = broker.bootstrap_servers();
    let topics = Topics::create(&broker, 2);
    let frames = tempfile::tempdir().unwrap();
    let large = json!({
        "id": LARGE_ID, "type": "interaction", "conversationId": "0f5e1a2e-0000-4000-8000-000000000000",
        "timestamp": simulator::wall_us() / 1_000_000, "metadata": {"ordinal": 1, "transcript": incompressible(LARGE_BYTES)},
    });
    std::fs::write(frames.path().join("large.json"), large.to_string()).unwrap();
    let options = Options {
        events: Some(rate * 3),
        rate,
        conversations,
        replay: Some(Replay {
            folder: frames.path().to_owned(),
            verbatim: true,
            every: 0,
        }),
        ..Options::default()
    };
    let rig = librdkafka.iter().fold(
        Rig::new(options).with_kafka(servers, &topics),
        |rig, (name, value)| rig.set(&format!("kafka.librdkafka.\"{name}\""), *value),
    );
    let mut adapter = rig.start();
    assert!(rig.simulator().wait_until_sent(rate, DEADLINE));
    broker.alter_topic_config(&topics.events, "max.message.bytes", &LIMIT_BYTES.to_string());
    // frozen meanwhile, so that the refusal always finds further records behind the batch
    broker.pause();
    let fault = Fault {
        when: Trigger::Now,
        action: Action::Replay,
    };
    rig.simulator().inject(fault).unwrap();
    assert!(rig.simulator().wait_until_sent(2 * rate, DEADLINE));
    broker.resume();
    rig::wait_until_ingested(&mut adapter, rig.simulator(), DEADLINE);
    let ended = rig::stop(&mut adapter, DEADLINE);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr.join("\n"));
    proofs::assert_laws(&ended);
    assert_eq!(ended.count("/refused"), 1, "{}", ended.summary);

    let truth = rig.simulator().truth();
    let behind = truth
        .iter()
        .skip_while(|line| line.kind != Kind::Replay)
        .filter(|line| line.kind == Kind::Event);
    assert!(behind.count() > 10, "the large event was the last");
    let events = topics.read_events(servers);
    proofs::assert_none_twice_and_none_invented(&truth, &events);
    proofs::assert_none_missing(&truth, &events);

    let dead_letters = topics.read_dead_letters(servers);
    assert_eq!(dead_letters.len(), 1);
    let letter = &dead_letters[0];
    assert_eq!(letter.stage(), "PRODUCE");
    let record: serde_json::Value = serde_json::from_str(letter.frame()).unwrap();
    assert_eq!(record["eventId"], LARGE_ID);
    assert_eq!(
        record["payload"]["metadata"], large["metadata"],
        "the refused record can be taken out whole"
    );
    assert_eq!(letter.record.header("ce_id").as_deref(), Some(LARGE_ID));
    assert_eq!(
        letter.record.header("__connect.errors.topic").as_deref(),
        Some(topics.events.as_str())
    );
    assert_eq!(
        letter.record.header("__connect.errors.stage").as_deref(),
        Some("PRODUCE")
    );
    let why = letter
        .record
        .header("__connect.errors.exception.message")
        .unwrap();
    assert!(why.to_lowercase().contains("too large"), "{why}");
    proofs::assert_valid("dead-letter", [&letter.body]);

    let audits = topics.read_audits(servers);
    proofs::assert_audits_are_true(
        &audits,
        (&topics.events, &events),
        (&topics.dead_letter, &dead_letters),
    );
    proofs::assert_chain(&audits);
    proofs::assert_valid("audit", audits.iter().map(|audit| &audit.body));
    let of_large: Vec<_> = audits
        .iter()
        .filter(|audit| audit.body["eventId"] == LARGE_ID)
        .collect();
    assert_eq!(of_large.len(), 1);
    assert_eq!(of_large[0].status(), "dead_lettered");
    assert_eq!(of_large[0].body["reason"], why);
    assert_eq!(
        gaps(&topics.read_control(servers)).len(),
        1,
        "only the stop is a gap"
    );
    Some(Outcome { ended, events })
}

#[test]
fn a_record_refused_amid_a_batch_is_dead_lettered_alone_and_each_inversion_is_counted() {
    // few conversations: the refused batch and what follows it hold the same keys
    let Some(Outcome { ended, events }) = run(2_000, 5, &[("linger.ms", 50)]) else {
        return;
    };
    let inverted = proofs::inversions(&events);
    assert!(
        inverted > 0,
        "the refusal put nothing out of order, so nothing was shown"
    );
    assert_eq!(ended.count("/orderExceptions"), i64::try_from(inverted).unwrap());
}

#[test]
fn with_one_request_in_flight_a_refused_record_puts_nothing_out_of_order() {
    let settings = [("max.in.flight.requests.per.connection", 1), ("linger.ms", 1)];
    let Some(Outcome { ended, events }) = run(500, 50, &settings) else {
        return;
    };
    proofs::assert_order_per_key(&events);
    assert_eq!(ended.count("/orderExceptions"), 0);
}
