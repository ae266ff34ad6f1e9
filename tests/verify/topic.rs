//! The audit topic.

use std::path::Path;

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use support::{Broker, Mock, Rig, Topics, free_port, rig};

use crate::{DEADLINE, Verdict, assert_whole, broken, burst, verify};

/// Delivers a burst to a cluster; the rig's folder holds the configuration.
fn delivered(servers: &str, topics: &Topics) -> Rig {
    let rig = Rig::new(burst()).with_kafka(servers, topics);
    let mut adapter = rig.start();
    rig::wait_until_ingested(&mut adapter, rig.simulator(), DEADLINE);
    let ended = rig::stop(&mut adapter, DEADLINE);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr.join("\n"));
    rig
}

fn from_kafka(folder: &Path) -> Verdict {
    verify(folder, &["--from-kafka", "--config", "genesys-kafka.toml"], b"")
}

/// Writes a record into a partition of the audit topic, as someone could who may write there.
fn forge(servers: &str, topic: &str, partition: i32, value: &[u8]) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .create()
        .unwrap();
    let record = BaseRecord::<[u8], [u8]>::to(topic)
        .partition(partition)
        .payload(value);
    producer.send(record).map_err(|(error, _)| error).unwrap();
    producer.flush(DEADLINE).unwrap();
}

#[test]
fn the_audit_topic_of_a_real_broker_verifies_over_its_partitions_and_a_forged_record_is_named() {
    let Some(broker) = Broker::shared() else { return };
    let topics = Topics::create(broker, 3);
    let servers = broker.bootstrap_servers();
    let rig = delivered(servers, &topics);
    assert_whole(from_kafka(rig.folder()));

    // a byte-identical repeat is no break, another record of the same number is
    let audits = topics.read_audits(servers);
    let fifth = &audits[4].record;
    let value = fifth.value.clone().unwrap();
    forge(servers, &topics.audit, fifth.partition, &value);
    let (code, out, _) = from_kafka(rig.folder());
    assert_eq!(code, 0, "{out:#?}");
    assert!(out[0].contains(", 1 repeated byte for byte"), "{out:#?}");

    let end = support::end_offsets(servers, &topics.audit)[usize::try_from(fifth.partition).unwrap()];
    let forged = String::from_utf8(value)
        .unwrap()
        .replace("data-governance", "data-gouvernance");
    forge(servers, &topics.audit, fifth.partition, forged.as_bytes());
    let place = format!("{}[{}]@{end}", topics.audit, fifth.partition);
    assert_eq!(
        broken(from_kafka(rig.folder())),
        format!("  BROKEN at {place}: record 5 was altered: its bytes do not give its hash")
    );
}

#[test]
fn the_audit_topic_verifies_without_plugin_and_credentials() {
    let topics = Topics::unique();
    let mock = Mock::start(&topics.names().map(|name| (name, 2)));
    delivered(mock.bootstrap_servers(), &topics);
    let folder = tempfile::tempdir().unwrap();
    let config = format!(
        "[source]\nlibrary = \"/nonexistent/plugin.so\"\n[kafka.topics]\naudit = \"{}\"\n",
        topics.audit
    );
    std::fs::write(folder.path().join("genesys-kafka.toml"), config).unwrap();
    assert_whole(verify(
        folder.path(),
        &["--from-kafka", "--bootstrap-servers", mock.bootstrap_servers()],
        b"",
    ));
}

#[test]
fn a_topic_that_cannot_be_read_is_no_success() {
    let folder = tempfile::tempdir().unwrap();
    let says = |servers: &str, topic: &str| {
        let config = format!("[kafka]\nstart_timeout_ms = 1000\n[kafka.topics]\naudit = \"{topic}\"\n");
        std::fs::write(folder.path().join("genesys-kafka.toml"), config).unwrap();
        verify(
            folder.path(),
            &["--from-kafka", "--bootstrap-servers", servers],
            b"",
        )
    };
    let check = "check kafka.bootstrap_servers, kafka.topics.audit and the right to read it";
    let nobody = format!("127.0.0.1:{}", free_port());
    assert_eq!(
        says(&nobody, "audit"),
        (
            69,
            vec![],
            vec![format!(
                "genesys-kafka: topic audit at \"{nobody}\" cannot be read: BrokerTransportFailure (Local: Broker transport \
                 failure); {check}"
            )]
        )
    );
    if let Some(broker) = Broker::shared() {
        let servers = broker.bootstrap_servers();
        assert_eq!(
            says(servers, "no-such-topic"),
            (
                69,
                vec![],
                vec![format!(
                    "genesys-kafka: topic no-such-topic at \"{servers}\" cannot be read: it does not exist; {check}"
                )]
            )
        );
    }
    let (code, _, complaints) = verify(folder.path(), &["--from-kafka"], b"");
    assert_eq!(code, 78);
    assert!(
        complaints[0].contains("kafka.bootstrap_servers: is required, but missing"),
        "{complaints:?}"
    );
}
