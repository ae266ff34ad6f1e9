//! What a start reads.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use simulator::Options;
use support::{Broker, rig};

use crate::DEADLINE;
use crate::scene::{self, Places};

#[test]
fn a_position_behind_an_open_transaction_of_another_shard_is_waited_for() {
    let Some(broker) = Broker::shared() else { return };
    let places = Places::create(broker);
    let options = Options {
        rate: 1_000,
        ..Options::default()
    };
    let rig = places.shard(options);
    let mut adapter = rig.start();
    scene::wait_until_resolved(&mut adapter, 300);
    // another shard's transaction stays open on the same partition, ahead of what this one commits from now on
    let other: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &places.servers)
        .set("transactional.id", support::unique_topic("shard"))
        .create()
        .unwrap();
    other.init_transactions(DEADLINE).unwrap();
    other.begin_transaction().unwrap();
    let record = BaseRecord::<[u8], [u8]>::to(&places.positions)
        .key(places.shard.as_bytes())
        .payload(b"{}");
    other.send(record).map_err(|(error, _)| error).unwrap();
    let sent = Instant::now();
    while other.in_flight_count() > 0 && sent.elapsed() < DEADLINE {
        other.poll(Duration::from_millis(10));
    }
    scene::wait_until_resolved(&mut adapter, 1_500);
    adapter.signal(Signal::SIGKILL);
    rig::wait_for_end(&mut adapter, DEADLINE);
    let before = rig.simulator().counters().frames_sent;
    let mut adapter = rig.start();
    assert!(rig.simulator().wait_until_sent(before + 1_500, DEADLINE));
    // the first record of this run cites the last one of the run before only if its last position was read
    other.abort_transaction(DEADLINE).unwrap();
    scene::wait_until_resolved(&mut adapter, 1_000);
    scene::stop(&mut adapter);
    places.assert_exactly_once(&rig);
}
