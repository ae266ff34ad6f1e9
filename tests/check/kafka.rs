//! Kafka as a whole: brokers that are away, properties that librdkafka refuses, and how topics are shown then.

use simulator::Options;
use support::{Rig, Topics, free_port};

use crate::seen::{check, check_topics};

#[test]
fn a_broker_that_is_away_ends_with_69_and_leaves_its_topics_unexamined() {
    let servers = format!("127.0.0.1:{}", free_port());
    let topics = Topics::unique();
    let rig = Rig::new(Options::default())
        .with_kafka(&servers, &topics)
        .set("kafka.start_timeout_ms", 700);
    let checked = check_topics(&rig, &[], &servers, &topics);
    let rows = checked.rows("brokers");
    assert_eq!(
        rows,
        [
            "✗ no broker of kafka.bootstrap_servers = \"SERVERS\" answered within 700 ms: connect to SERVERS failed: \
             Connection refused",
            "mend: check that one listens there, and that kafka.librdkafka has the security.protocol of that listener"
        ]
    );
    for title in [
        "events topic",
        "audit topic",
        "dead-letter topic",
        "control topic",
    ] {
        assert_eq!(checked.rows(title), ["– no broker answered"]);
    }
    assert_eq!(
        (checked.verdict(), checked.code),
        ("not ready: 1 of 8 failed, 4 not examined", Some(69))
    );
}

#[test]
fn a_file_that_librdkafka_cannot_read_is_a_configuration_to_mend() {
    let rig = Rig::new(Options::default())
        .with_kafka("127.0.0.1:9", &Topics::unique())
        .set("kafka.librdkafka.\"security.protocol\"", "ssl")
        .set("kafka.librdkafka.\"ssl.ca.location\"", "ca.pem");
    // it looks like a certificate, and what is in it is OpenSSL's to judge
    let damaged = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    std::fs::write(rig.folder().join("ca.pem"), damaged).unwrap();
    let checked = check(&rig, &[], &[]);
    let rows = checked.rows("brokers");
    assert!(rows[0].starts_with("✗ [kafka] cannot be used: "), "{rows:?}");
    assert!(rows[0].contains("ssl.ca.location"), "{rows:?}");
    assert_eq!(checked.code, Some(78));
}
