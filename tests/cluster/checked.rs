//! Topics on three nodes: three replicas, two of which must be in sync, in the rows of `genesys-kafka check` and where a run
//! creates them.

use simulator::Options;
use support::{Topics, unique_topic};

use crate::scene::cluster;
use crate::seen::check_topics;
use crate::shard::{self, Places};

const REPLICAS: &str = "3 replicas";
const SETTINGS: &str = "retention.ms = -1, min.insync.replicas = 2, max.message.bytes = 1048588";

#[test]
fn check_shows_three_replicas_of_which_two_must_be_in_sync() {
    let Some(cluster) = cluster() else { return };
    let places = Places::create(cluster.node(1));
    let rig = places.shard(Options::default());
    let checked = check_topics(&rig, &[], &places.servers, &places.topics);
    assert_eq!(checked.code, Some(0), "{:#?}", checked.lines);
    assert_eq!(checked.rows("brokers"), ["✓ 3 brokers answer at SERVERS"]);
    let (writes, reads) = ("may write to it", "may read it and write to it");
    for (title, name, partitions, allowance) in [
        ("events topic", "EVENTS", "3 partitions", writes),
        ("audit topic", "AUDIT", "3 partitions", reads),
        ("dead-letter topic", "DEAD-LETTER", "1 partition", writes),
        ("control topic", "CONTROL", "1 partition", writes),
    ] {
        let row = format!(
            "✓ {name}: {partitions}, {REPLICAS}, this user {allowance}, cleanup.policy = delete, {SETTINGS}"
        );
        assert_eq!(checked.rows(title), [row]);
    }
    let row = format!(
        "✓ {}: 1 partition, {REPLICAS}, this user {reads}, cleanup.policy = compact, {SETTINGS}",
        places.positions
    );
    assert_eq!(checked.rows("positions topic"), [row]);
}

#[test]
fn topics_that_a_run_creates_have_a_replica_on_each_node() {
    let Some(cluster) = cluster() else { return };
    let places = Places {
        servers: cluster.bootstrap_servers().to_owned(),
        topics: Topics::unique(),
        positions: unique_topic("positions"),
        shard: unique_topic("shard"),
    };
    let rig = places
        .shard(Options::default())
        .set("kafka.create_topics", true)
        .set("kafka.partitions", 2);
    let mut adapter = rig.start();
    shard::wait_until_resolved(&mut adapter, 50);
    shard::stop(&mut adapter);
    let created = places.topics.names().into_iter().zip([2; 4]);
    for (name, partitions) in created.chain([(places.positions.as_str(), 1)]) {
        let (there, replicas, _) = cluster.node(1).describe_topic(name);
        assert_eq!((there, replicas), (partitions, 3), "{name}");
    }
    places.assert_exactly_once(&rig);
}
