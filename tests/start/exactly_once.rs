//! `delivery.guarantee = "exactly_once"` at the start: what it does not go with, and positions that are of no use.

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use simulator::Options;
use support::{Broker, Rig, Topics, free_port, unique_topic};

use crate::{CREDENTIALS, Case, EXIT_CONFIG, SOON, SOUND, complaint};

const IN_MEMORY: &str = "delivery.guarantee = \"exactly_once\" needs a source that keeps its records on disk, and this one \
                         keeps them in memory; set source.config.spool.mode to \"disk\", or delivery.guarantee to \
                         \"at_least_once\"";
const TOO_LONG: &str = "no transactions: kafka.transaction_timeout_ms = 60000 is longer than the brokers allow; lower it, or \
                        raise their transaction.max.timeout.ms";
const OF_NO_USE: &str = "it says what was delivered, so without it events would be repeated: mend the record, or run with \
                         delivery.guarantee = \"at_least_once\"";

/// What is demanded of the lines that the operator's page explains.
pub(crate) fn expected() -> Vec<String> {
    let mut lines = [elsewhere(), audit_elsewhere()]
        .map(|case| case.expected)
        .concat();
    lines.extend([
        IN_MEMORY.to_owned(),
        TOO_LONG.to_owned(),
        no_position(),
        later_position(),
    ]);
    lines
}

fn elsewhere() -> Case {
    Case::new(
        format!("{SOUND}guarantee = \"exactly_once\"\n"),
        CREDENTIALS,
        &[
            "c.toml:5: delivery.to: `exactly_once` needs delivery.to = \"kafka\", found `lines`; set it to `kafka`, or use \
             `at_least_once`",
        ],
    )
}

fn audit_elsewhere() -> Case {
    Case::new(
        "[source.config]\nregion = \"us-east-1\"\ntransport = \"events\"\n[delivery]\nguarantee = \"exactly_once\"\n\
         [kafka]\nbootstrap_servers = \"127.0.0.1:9092\"\n[audit]\nto = \"lines\"\n",
        CREDENTIALS,
        &[
            "c.toml:9: audit.to: `exactly_once` needs audit.to = \"kafka\", found `lines`; set it to `kafka`, or use \
             `at_least_once`",
        ],
    )
}

fn no_position() -> String {
    format!(
        "the last position of shard main cannot be read: missing field `schemaVersion` at line 1 column 2; {OF_NO_USE}"
    )
}

fn later_position() -> String {
    format!("the last position of shard main has version 7.0, and this program reads 1.0; {OF_NO_USE}")
}

#[test]
fn events_and_audit_have_to_be_in_kafka() {
    elsewhere().refused();
    audit_elsewhere().refused();
}

fn rig(servers: &str, topics: &Topics) -> Rig {
    let rig = Rig::new(Options::default()).with_kafka(servers, topics);
    let spool = rig.folder().join("spool").display().to_string();
    rig.set("delivery.guarantee", "exactly_once")
        .set("source.name", "main")
        .set("source.config.spool.mode", "disk")
        .set("source.config.spool.dir", spool)
        .set("source.config.max_frame_bytes", 65_536)
        .set("source.config.spool.max_bytes", 32 << 20)
}

#[test]
fn a_source_in_memory_is_refused_before_any_broker_is_asked() {
    let rig = rig(&format!("127.0.0.1:{}", free_port()), &Topics::unique())
        .set("source.config.spool.mode", "memory");
    let finished = rig.launch(&[]).run(SOON);
    assert_eq!(complaint(&finished), IN_MEMORY);
    assert_eq!(finished.status.code(), Some(EXIT_CONFIG));
}

#[test]
fn time_outs_over_the_brokers_and_positions_of_no_use_are_refused() {
    let Some(broker) = Broker::own_with(&[("transaction.max.timeout.ms", "10000")]) else {
        return;
    };
    let servers = broker.bootstrap_servers();
    let topics = Topics::create(&broker, 1);
    let positions = unique_topic("positions");
    broker.create_topic(&positions, 1, &[("cleanup.policy", "compact")]);
    let rig = rig(servers, &topics).set("kafka.topics.positions", positions.as_str());
    let refused = |rig: &Rig, line: &str| {
        let finished = rig.launch(&[]).run(SOON);
        assert_eq!(complaint(&finished), line);
        assert_eq!(finished.status.code(), Some(EXIT_CONFIG));
    };
    refused(&rig, TOO_LONG);
    let rig = rig.set("kafka.transaction_timeout_ms", 10_000);
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .create()
        .unwrap();
    let later = "{\"schemaVersion\":\"7.0\",\"shard\":\"main\",\"token\":null,\"sequence\":null,\"runId\":\"r\",\"transaction\":1,\
                 \"auditSequence\":1,\"auditHash\":null}";
    for (value, line) in [("{}", no_position()), (later, later_position())] {
        let record = BaseRecord::<str, str>::to(&positions).key("main").payload(value);
        producer.send(record).map_err(|(error, _)| error).unwrap();
        producer.flush(SOON).unwrap();
        refused(&rig, &line);
    }
}
