//! Starting: topics that are created. What goes wrong at the start stands in `tests/start`.

use std::collections::BTreeMap;

use simulator::Options;
use support::rig;
use support::{Broker, Rig, Topics};

use crate::{DEADLINE, proofs};

#[test]
fn create_topics_makes_them_with_partitions_replicas_and_retention() {
    let Some(broker) = Broker::shared() else { return };
    let topics = Topics::unique();
    let options = Options {
        events: Some(200),
        rate: 0,
        conversations: 20,
        ..Options::default()
    };
    let rig = Rig::new(options)
        .with_kafka(broker.bootstrap_servers(), &topics)
        .set("kafka.partitions", 3)
        .set("kafka.replication_factor", 1);
    let mut adapter = rig.launch(&["--create-topics"]).start();
    rig::wait_until_ingested(&mut adapter, rig.simulator(), DEADLINE);
    let ended = rig::stop(&mut adapter, DEADLINE);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr.join("\n"));
    for name in topics.names() {
        let (partitions, replicas, configs) = broker.describe_topic(name);
        assert_eq!((partitions, replicas), (3, 1), "{name}");
        assert_eq!(
            configs.get("cleanup.policy").map(String::as_str),
            Some("delete"),
            "{name}: {configs:?}"
        );
        let retention_ms: u64 = configs["retention.ms"].parse().unwrap();
        assert!(retention_ms >= 7 * 86_400_000, "{name}: {configs:?}");
    }
    let events = topics.read_events(broker.bootstrap_servers());
    proofs::assert_each_once_in_order(&rig.simulator().truth(), &events);

    // what exists is left as it is
    let again = Rig::new(Options {
        events: Some(1),
        rate: 0,
        ..Options::default()
    })
    .with_kafka(broker.bootstrap_servers(), &topics)
    .set("kafka.partitions", 9);
    let mut adapter = again.launch(&["--create-topics"]).start();
    rig::wait_until_ingested(&mut adapter, again.simulator(), DEADLINE);
    assert_eq!(rig::stop(&mut adapter, DEADLINE).code, Some(0));
    let unchanged: BTreeMap<&str, usize> = topics
        .names()
        .into_iter()
        .map(|name| (name, broker.describe_topic(name).0))
        .collect();
    assert!(
        unchanged.values().all(|partitions| *partitions == 3),
        "{unchanged:?}"
    );
}
