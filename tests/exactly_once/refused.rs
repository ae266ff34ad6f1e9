//! A record that the broker refuses inside a transaction: the others are delivered, and it alone is dead-lettered.

use serde_json::json;
use simulator::{Action, Fault, Options, Replay, Trigger};
use support::Broker;

use crate::DEADLINE;
use crate::scene::{self, Places};

/// The topic's lowered limit, in bytes, and the size of the large event: as in the test without transactions.
const LIMIT_BYTES: usize = 300_000;
const LARGE_BYTES: usize = 500_000;
const LARGE_ID: &str = "0f5e1a2e-0000-4000-8000-000000000001";

#[test]
fn a_record_that_is_refused_inside_a_transaction_is_dead_lettered_alone() {
    let Some(broker) = Broker::shared() else { return };
    let places = Places::create(broker);
    let frames = tempfile::tempdir().unwrap();
    let mut state = 7_u32;
    let noise: String = (0..LARGE_BYTES)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef"[usize::try_from(state >> 27).unwrap()])
        })
        .collect();
    let large = json!({
        "id": LARGE_ID, "type": "interaction", "conversationId": "0f5e1a2e-0000-4000-8000-000000000000",
        "timestamp": simulator::wall_us() / 1_000_000, "metadata": {"ordinal": 1, "transcript": noise},
    });
    std::fs::write(frames.path().join("large.json"), large.to_string()).unwrap();
    let options = Options {
        events: Some(3_000),
        rate: 1_000,
        replay: Some(Replay {
            folder: frames.path().to_owned(),
            verbatim: true,
            every: 0,
        }),
        ..Options::default()
    };
    let rig = places.shard(options);
    let mut adapter = rig.start();
    scene::wait_until_resolved(&mut adapter, 500);
    broker.alter_topic_config(
        &places.topics.events,
        "max.message.bytes",
        &LIMIT_BYTES.to_string(),
    );
    let fault = Fault {
        when: Trigger::Now,
        action: Action::Replay,
    };
    rig.simulator().inject(fault).unwrap();
    assert!(rig.simulator().wait_until_done(DEADLINE));
    scene::wait_until_resolved(&mut adapter, 3_001);
    let ended = scene::stop(&mut adapter);
    assert_eq!(ended.count("/refused"), 1, "{}", ended.summary);
    let letters = places.dead_letters();
    assert_eq!(letters.len(), 1);
    let record: serde_json::Value = serde_json::from_str(letters[0].frame()).unwrap();
    assert_eq!(record["eventId"], LARGE_ID);
    places.assert_exactly_once(&rig);
}
