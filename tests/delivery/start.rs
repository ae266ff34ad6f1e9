//! Starting: missing topics, topics that are created, a broker that is not there.

use std::collections::BTreeMap;
use std::time::Duration;

use simulator::Options;
use support::rig;
use support::{Broker, Finished, Rig, Topics, free_port};

use crate::{DEADLINE, proofs};

/// Exit code of a configuration or its surroundings that must be changed (`EX_CONFIG` of sysexits(3)).
const EXIT_CONFIG: i32 = 78;
/// Exit code of a service that is not there (`EX_UNAVAILABLE`).
const EXIT_UNAVAILABLE: i32 = 69;

/// The one line that tells the failure.
fn complaint(finished: &Finished) -> &str {
    let lines: Vec<&String> = finished
        .stderr
        .iter()
        .filter(|line| line.starts_with("genesys-kafka: "))
        .collect();
    assert_eq!(lines.len(), 1, "{}", finished.stderr.join("\n"));
    lines[0]
}

#[test]
fn a_missing_topic_is_named_together_with_the_command_that_creates_it() {
    let Some(broker) = Broker::shared() else { return };
    let servers = broker.bootstrap_servers();
    let topics = Topics::unique();
    for name in [&topics.audit, &topics.dead_letter] {
        broker.create_topic(name, 1, &[]);
    }
    let rig = Rig::new(Options::default()).with_kafka(servers, &topics);
    let finished = rig.launch(&[]).run(DEADLINE);
    let line = complaint(&finished);
    assert_eq!(finished.status.code(), Some(EXIT_CONFIG), "{line}");
    assert!(line.contains("--create-topics"), "{line}");
    for missing in [&topics.events, &topics.control] {
        let command = format!("kafka-topics.sh --bootstrap-server {servers} --create --topic {missing} ");
        assert!(line.contains(&command), "{line}");
    }
    for present in [&topics.audit, &topics.dead_letter] {
        assert!(!line.contains(present.as_str()), "{line}");
    }
    assert_eq!(
        rig.simulator().counters().connects,
        0,
        "nothing may be listened to before the destination is there"
    );
}

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

#[test]
fn without_a_spool_an_unreachable_broker_at_start_is_an_error_that_names_it() {
    let servers = format!("127.0.0.1:{}", free_port());
    let rig = Rig::new(Options::default())
        .with_kafka(&servers, &Topics::unique())
        .set("kafka.start_timeout_ms", 700);
    let finished = rig.launch(&[]).run(Duration::from_secs(60));
    let line = complaint(&finished);
    assert_eq!(finished.status.code(), Some(EXIT_UNAVAILABLE), "{line}");
    let beginning = format!(
        "genesys-kafka: no broker of kafka.bootstrap_servers = \"{servers}\" answered within 700 ms: "
    );
    let mend = "; check that one listens there, and that kafka.librdkafka has the security.protocol of that listener";
    assert!(line.starts_with(&beginning) && line.ends_with(mend), "{line}");
    assert_eq!(
        rig.simulator().counters().connects,
        0,
        "nothing may be listened to before the destination is there"
    );
}
