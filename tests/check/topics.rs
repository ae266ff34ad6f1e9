//! Topics on a real Apache Kafka: absent, compacted, without enough replicas, with a small limit; whole rows.

use simulator::Options;
use support::{Broker, Rig, Topics, wait_until};

use crate::DEADLINE;
use crate::seen::{Checked, check_topics};

const SETTINGS: &str = "this user may write to it, cleanup.policy = delete, retention.ms = -1, min.insync.replicas = 1, \
                        max.message.bytes = 1048588";
const ALTER: &str =
    "mend: kafka-configs.sh --bootstrap-server SERVERS --alter --entity-type topics --entity-name";

fn checked(broker: &Broker, topics: &Topics, flags: &[&str]) -> Checked {
    let servers = broker.bootstrap_servers();
    let rig = Rig::new(Options::default())
        .with_kafka(servers, topics)
        .set("kafka.partitions", 2);
    check_topics(&rig, flags, servers, topics)
}

#[test]
fn an_absent_topic_is_a_failure_with_the_command_that_creates_it() {
    let Some(broker) = Broker::shared() else { return };
    let topics = Topics::unique();
    for name in [&topics.events, &topics.dead_letter, &topics.control] {
        broker.create_topic(name, 1, &[]);
    }
    let absent = checked(broker, &topics, &[]);
    let command = "kafka-topics.sh --bootstrap-server SERVERS --create --topic AUDIT --partitions 2 \
        --replication-factor 1 --config cleanup.policy=delete --config retention.ms=31536000000";
    let replicas = "--replication-factor -1";
    let rows: Vec<String> = absent
        .rows("audit topic")
        .into_iter()
        .map(|row| row.replace(replicas, "--replication-factor 1"))
        .collect();
    assert_eq!(
        rows,
        [
            "✗ AUDIT is missing or invisible".to_owned(),
            format!("mend: start with --create-topics, or run: {command}")
        ]
    );
    assert_eq!(
        absent.rows("events topic"),
        [format!("✓ EVENTS: 1 partition, 1 replica, {SETTINGS}")]
    );
    assert_eq!(
        (absent.verdict(), absent.code),
        ("not ready: 1 of 12 failed", Some(78))
    );

    let created = checked(broker, &topics, &["--create-topics"]);
    let rows: Vec<String> = created
        .rows("audit topic")
        .into_iter()
        .map(|row| row.replace(replicas, "--replication-factor 1"))
        .collect();
    assert_eq!(
        rows,
        [
            "! AUDIT is missing or invisible, a run will create it".to_owned(),
            format!("mend: nothing to do, or choose its settings yourself: {command}")
        ]
    );
    assert_eq!(
        (created.verdict(), created.code),
        ("ready: 11 checks hold, 1 warning", Some(0))
    );
    let again = checked(broker, &topics, &[]);
    assert_eq!(again.code, Some(78), "a check creates no topic");
}

#[test]
fn what_loses_or_refuses_records_is_a_failure_with_the_command_that_mends_it() {
    let Some(broker) = Broker::shared() else { return };
    let topics = Topics::create(broker, 1);
    broker.alter_topic_config(&topics.audit, "cleanup.policy", "compact");
    broker.alter_topic_config(&topics.events, "max.message.bytes", "1024");
    broker.alter_topic_config(&topics.control, "min.insync.replicas", "2");
    let bad = checked(broker, &topics, &[]);
    assert_eq!(
        bad.rows("audit topic"),
        [
            format!(
                "✗ AUDIT: 3 partitions, 1 replica, {}; compaction throws away all records of a key but the last",
                SETTINGS
                    .replace("delete", "compact")
                    .replace("may", "may read it and")
            ),
            format!("{ALTER} AUDIT --add-config cleanup.policy=delete"),
        ]
    );
    assert_eq!(
        bad.rows("events topic"),
        [
            format!(
                "✗ EVENTS: 1 partition, 1 replica, {}; the topic refuses batches over 1024 bytes, and \
                 kafka.message_max_bytes = 1000000",
                SETTINGS.replace("1048588", "1024")
            ),
            format!(
                "{ALTER} EVENTS --add-config max.message.bytes=1000000, or for the size set kafka.message_max_bytes = \
                 1024"
            ),
        ]
    );
    assert_eq!(
        bad.rows("control topic"),
        [
            format!(
                "✗ CONTROL: 1 partition, 1 replica, {}; min.insync.replicas is above the replicas, so every record is \
                 refused",
                SETTINGS.replace("replicas = 1", "replicas = 2")
            ),
            format!("{ALTER} CONTROL --add-config min.insync.replicas=1"),
        ]
    );
    assert_eq!((bad.verdict(), bad.code), ("not ready: 3 of 12 failed", Some(78)));
}

#[test]
fn a_topic_that_the_brokers_would_not_create_is_a_failure_with_their_reason() {
    let Some(broker) = Broker::shared() else { return };
    let mut topics = Topics::unique();
    for name in [&topics.events, &topics.dead_letter, &topics.control] {
        broker.create_topic(name, 1, &[]);
    }
    // brokers keep names that differ in these characters alone apart from each other
    broker.create_topic(&format!("{}_x", topics.audit), 1, &[]);
    topics.audit.push_str(".x");
    let created = checked(broker, &topics, &["--create-topics"]);
    let rows = created.rows("audit topic");
    assert_eq!(
        rows[0],
        "✗ AUDIT is missing, and the brokers would not create it: InvalidTopic (Broker: Invalid topic)"
    );
    assert!(
        rows[1].starts_with(
            "mend: give this user the right Create on it (kafka-acls.sh --bootstrap-server SERVERS --add --allow-principal \
             User:NAME --operation Create --operation Read --operation Write --topic AUDIT), choose another name or other settings, or run as \
             one who may: kafka-topics.sh --bootstrap-server SERVERS --create --topic AUDIT "
        ),
        "{rows:?}"
    );
    assert_eq!(
        (created.verdict(), created.code),
        ("not ready: 1 of 12 failed", Some(78))
    );
}

#[test]
fn with_exactly_once_the_positions_are_read_and_nobody_is_fenced() {
    let Some(broker) = Broker::shared() else { return };
    let topics = Topics::create(broker, 1);
    let (servers, positions) = (broker.bootstrap_servers(), support::unique_topic("positions"));
    broker.create_topic(&positions, 1, &[("cleanup.policy", "compact")]);
    let rig = Rig::new(Options::default())
        .with_kafka(servers, &topics)
        .set("delivery.guarantee", "exactly_once")
        .set("source.name", "shard-of-a-check")
        .set("kafka.topics.positions", positions.as_str());
    let position = || {
        let checked = check_topics(&rig, &[], servers, &topics);
        assert_eq!(checked.code, Some(0), "{:#?}", checked.lines);
        checked.rows("position")
    };
    assert_eq!(
        position(),
        [format!("✓ shard shard-of-a-check has none yet in {positions}")]
    );
    let records = || support::end_offsets(servers, &positions).iter().sum::<i64>();
    assert_eq!(records(), 0);
    let mut run = rig.start();
    wait_until(DEADLINE, "the shard has a position", || records() > 0);
    assert_eq!(
        position(),
        [format!("✓ shard shard-of-a-check has one in {positions}")]
    );
    let ended = support::rig::stop(&mut run, DEADLINE);
    assert_eq!(
        (ended.code, ended.lines_with("fenced")),
        (Some(0), 0),
        "{:#?}",
        ended.stderr
    );
}
