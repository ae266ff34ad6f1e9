//! What `genesys-kafka check` says of topics on three nodes: three replicas, two of which must be in sync.

use simulator::Options;

use crate::scene::cluster;
use crate::seen::check_topics;
use crate::shard::Places;

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
    for (title, name, partitions) in [
        ("events topic", "EVENTS", "3 partitions"),
        ("audit topic", "AUDIT", "3 partitions"),
        ("dead-letter topic", "DEAD-LETTER", "1 partition"),
        ("control topic", "CONTROL", "1 partition"),
    ] {
        let row = format!("✓ {name}: {partitions}, {REPLICAS}, cleanup.policy = delete, {SETTINGS}");
        assert_eq!(checked.rows(title), [row]);
    }
    let row = format!(
        "✓ {}: 1 partition, {REPLICAS}, cleanup.policy = compact, {SETTINGS}",
        places.positions
    );
    assert_eq!(checked.rows("positions topic"), [row]);
}
