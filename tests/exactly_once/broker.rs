//! A broker that freezes, dies and comes back in the middle of transactions, and one that is away at the start.

use simulator::Options;
use support::rig;
use support::{Broker, Stream};

use crate::scene::{self, Places};
use crate::{DEADLINE, proofs};

#[test]
fn a_broker_that_is_frozen_and_killed_during_transactions_leaves_nothing_twice() {
    let Some(broker) = Broker::own() else { return };
    let places = Places::create(&broker);
    let options = Options {
        events: Some(12_000),
        rate: 1_000,
        ..Options::default()
    };
    let rig = places.shard(options);
    let mut adapter = rig.start();
    scene::wait_until_resolved(&mut adapter, 1_000);
    broker.pause();
    rig::wait_for_metrics(
        &mut adapter,
        DEADLINE,
        "records wait for the frozen broker",
        |line| line.number("in_flight") > 1_000,
    );
    broker.resume();
    scene::wait_until_resolved(&mut adapter, 4_000);
    broker.kill();
    adapter.wait_for_line(Stream::Stderr, "destination unreachable", DEADLINE);
    broker.restart();
    assert!(rig.simulator().wait_until_done(DEADLINE));
    scene::wait_until_delivered(&mut adapter);
    scene::stop(&mut adapter);
    places.assert_exactly_once(&rig);
}

#[test]
fn a_start_while_the_broker_is_away_listens_and_delivers_when_it_comes() {
    let Some(broker) = Broker::own() else { return };
    let places = Places::create(&broker);
    broker.stop();
    let options = Options {
        events: Some(1_000),
        rate: 0,
        ..Options::default()
    };
    let rig = places.shard(options).set("kafka.start_timeout_ms", 500);
    let mut adapter = rig.start();
    assert!(
        rig.simulator().wait_until_done(DEADLINE),
        "the source listens although the broker is away"
    );
    adapter.wait_for_line(
        Stream::Stderr,
        "destination unreachable, the source keeps what it hears",
        DEADLINE,
    );
    broker.restart();
    scene::wait_until_resolved(&mut adapter, 1_000);
    scene::wait_until_delivered(&mut adapter);
    scene::stop(&mut adapter);
    // `verify` reads the same file, and a broker on a busy machine takes longer to answer.
    let rig = rig.set("kafka.start_timeout_ms", 30_000);
    places.assert_exactly_once(&rig);
}

#[test]
fn with_at_least_once_a_source_on_disk_listens_too_while_the_broker_is_away() {
    let Some(broker) = Broker::own() else { return };
    let places = Places::create(&broker);
    broker.stop();
    let options = Options {
        events: Some(1_000),
        rate: 0,
        ..Options::default()
    };
    let rig = places
        .shard(options)
        .set("delivery.guarantee", "at_least_once")
        .set("kafka.start_timeout_ms", 5_000);
    let mut adapter = rig.start();
    assert!(
        rig.simulator().wait_until_done(DEADLINE),
        "the source listens although the broker is away"
    );
    broker.restart();
    scene::wait_until_resolved(&mut adapter, 1_000);
    scene::wait_until_delivered(&mut adapter);
    scene::stop(&mut adapter);
    let truth = rig.simulator().truth();
    proofs::assert_each_once_in_order(&truth, &places.events());
}
