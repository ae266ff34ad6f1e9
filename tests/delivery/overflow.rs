//! The tutorial's rule for a full queue, `on_full = "drop"`: the newest go, each counted and inside a recorded gap.

use simulator::Options;
use support::rig;
use support::topics::gaps;
use support::{Rig, Topics};

use crate::outage::fragile_broker;
use crate::{DEADLINE, proofs};

#[test]
fn dropped_events_are_counted_and_lie_in_gaps_that_count_them() {
    let Some(broker) = fragile_broker() else { return };
    let topics = Topics::create(&broker, 2);
    let options = Options {
        events: Some(20_000),
        rate: 5_000,
        conversations: 100,
        ..Options::default()
    };
    let rig = Rig::new(options)
        .with_kafka(broker.bootstrap_servers(), &topics)
        .in_memory()
        .set("source.config.queue.on_full", "drop")
        .set("source.config.queue.max_records", 1_000)
        .set("delivery.max_in_flight_records", 1_000);
    let mut adapter = rig.start();
    assert!(rig.simulator().wait_until_sent(3_000, DEADLINE));
    broker.pause();
    rig::wait_for_metrics(&mut adapter, DEADLINE, "more than 2,000 drops", |line| {
        line.number("totalDropped") > 2_000
    });
    broker.resume();
    rig::wait_until_ingested(&mut adapter, rig.simulator(), DEADLINE);
    let most = rig::metrics(&adapter)
        .iter()
        .map(|line| line.number("queueDepth"))
        .max();
    let ended = rig::stop(&mut adapter, DEADLINE);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr.join("\n"));
    proofs::assert_laws(&ended);

    let truth = rig.simulator().truth();
    let events = topics.read_events(broker.bootstrap_servers());
    proofs::assert_none_twice_and_none_invented(&truth, &events);
    proofs::assert_order_per_key(&events);
    let missing = proofs::missing(&truth, &events);
    let dropped = ended.count("/totalDropped");
    assert_eq!(
        missing.len() as i64,
        dropped,
        "the number of drops is the number of missing events"
    );

    let control = topics.read_control(broker.bootstrap_servers());
    proofs::assert_valid("control", &control);
    let gaps = gaps(&control);
    let (stopped, of_drops) = gaps.split_last().unwrap();
    assert_eq!(stopped.cause, "stopped");
    assert!(
        of_drops
            .iter()
            .all(|gap| gap.cause == "dropped" && gap.to_ms.is_some()),
        "{gaps:#?}"
    );
    let counted: u64 = of_drops.iter().map(|gap| gap.frames_dropped).sum();
    assert_eq!(counted as i64, dropped, "the gaps count what they cover");
    proofs::assert_missing_only_within(of_drops, &missing);
    // control records always find room
    let bound = 1_000 + 2 * i64::try_from(gaps.len()).unwrap();
    assert!(most.is_some_and(|depth| depth <= bound), "queue depth {most:?}");
}
