//! Everything is right: the whole table, and the same as JSON.

use serde_json::{Value, json};
use simulator::Options;
use support::{Broker, Mock, Receiver, Reply, Rig, Topics};

use crate::seen::{check, check_json, check_topics, to_webhook, with_secret};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

#[test]
fn with_kafka_the_table_shows_each_topic_and_the_broker_is_left_as_it_was() {
    let Some(broker) = Broker::shared() else { return };
    let topics = Topics::create(broker, 4);
    let servers = broker.bootstrap_servers();
    let rig = Rig::new(Options::default()).with_kafka(servers, &topics);
    let checked = check_topics(&rig, &[], servers, &topics);
    let settings = "this user may write to it, cleanup.policy = delete, retention.ms = -1, min.insync.replicas = 1, max.message.bytes = \
         1048588";
    assert_eq!(
        checked.lines,
        [
            "✓ configuration         FOLDER/genesys-kafka.toml",
            "✓ plugin                PLUGIN, version VERSION, ABI 1.0",
            "✓ source configuration  the plugin takes it",
            "✓ login                 credentials accepted, a token lives 86400 s",
            "✓ brokers               1 broker answers at SERVERS",
            &format!("✓ events topic          EVENTS: 4 partitions, 1 replica, {settings}"),
            &format!("✓ dead-letter topic     DEAD-LETTER: 1 partition, 1 replica, {settings}"),
            &format!("✓ control topic         CONTROL: 1 partition, 1 replica, {settings}"),
            &format!(
                "✓ audit topic           AUDIT: 3 partitions, 1 replica, {}",
                settings.replace("may", "may read it and")
            ),
            "✓ dead-letter file      genesys-dead-letters.jsonl can be written",
            "✓ clock                 NOW",
            "✓ clock against others  agrees with login service",
            "ready: 12 checks hold",
        ]
    );
    assert_eq!(checked.code, Some(0));
    for topic in topics.names() {
        let ends = support::end_offsets(servers, topic);
        assert_eq!(ends.iter().sum::<i64>(), 0, "a check sends nothing to {topic}");
    }
    assert_eq!(
        rig.simulator().counters().connects,
        0,
        "a check listens to nothing"
    );
    let left: Vec<_> = std::fs::read_dir(rig.folder()).unwrap().collect();
    assert_eq!(left.len(), 1, "the configuration alone: {left:?}");
}

#[test]
fn brokers_that_do_not_tell_settings_are_no_hindrance() {
    let topics = Topics::unique();
    let mock = Mock::start(&topics.names().map(|name| (name, 2)));
    let servers = mock.bootstrap_servers();
    let rig = Rig::new(Options::default())
        .with_kafka(servers, &topics)
        .set("kafka.start_timeout_ms", 1000);
    let checked = check_topics(&rig, &[], servers, &topics);
    let row = |title: &str, topic: &str, uses: &str| {
        [
            format!(
                "! {title:<20}  {topic}: 2 partitions, 1 replica; the rights on it are not told (Failed while waiting for \
                 controller: Local: Timed out); its settings are not told (OperationTimedOut (Local: Timed out))"
            ),
            format!(
                "                        mend: see that this user may {uses} it: kafka-acls.sh --bootstrap-server SERVERS \
                 --list --topic {topic}, give this user the right DescribeConfigs on topic {topic}, or look at them yourself"
            ),
        ]
    };
    let rows = [
        row("events topic", "EVENTS", "write to"),
        row("dead-letter topic", "DEAD-LETTER", "write to"),
        row("control topic", "CONTROL", "write to"),
        row("audit topic", "AUDIT", "read it and write to"),
    ]
    .concat();
    assert_eq!(checked.lines[5..13], rows);
    assert_eq!(
        (checked.verdict(), checked.code),
        ("ready: 8 checks hold, 4 warnings", Some(0))
    );
}

#[test]
fn with_a_webhook_the_table_shows_the_receiver_which_sees_no_event() {
    let receiver = Receiver::start(|_| Reply::Status(204));
    let rig = with_secret(to_webhook(Options::default(), &receiver), SECRET);
    let address = receiver.address().to_string();
    let replaced = [(address.as_str(), "HOOK")];
    let checked = check(&rig, &[], &replaced);
    assert_eq!(
        checked.lines,
        [
            "✓ configuration         FOLDER/genesys-kafka.toml",
            "✓ plugin                PLUGIN, version VERSION, ABI 1.0",
            "✓ source configuration  the plugin takes it",
            "✓ login                 credentials accepted, a token lives 86400 s",
            "✓ webhook secret        well formed, requests are signed",
            "✓ webhook               http://HOOK answers 204 to HEAD",
            "✓ dead-letter file      genesys-dead-letters.jsonl can be written",
            "✓ control file          control.jsonl can be written",
            "✓ audit file            audit.jsonl can be written",
            "✓ clock                 NOW",
            "✓ clock against others  agrees with login service",
            "ready: 11 checks hold",
        ]
    );
    assert_eq!(checked.code, Some(0));
    let requests = receiver.received();
    assert_eq!(requests.len(), 1);
    assert!(
        requests[0].line.starts_with("HEAD /hook/"),
        "{:?}",
        requests[0].line
    );
    assert!(requests[0].body.is_empty());
    for name in ["webhook-id", "webhook-signature", "webhook-timestamp"] {
        assert_eq!(requests[0].header(name), None, "no event, so none of its headers");
    }
}

#[test]
fn as_json_it_is_one_object_that_fits_its_schema() {
    let receiver = Receiver::start(|_| Reply::Status(204));
    let rig = to_webhook(Options::default(), &receiver);
    let (code, document) = check_json(&rig, &[]);
    assert_eq!((code, &document["ready"]), (Some(0), &json!(true)));
    let checks = document["checks"].as_array().unwrap();
    let ids: Vec<&str> = checks.iter().map(|check| check["id"].as_str().unwrap()).collect();
    assert_eq!(
        ids,
        [
            "config",
            "plugin",
            "plugin.config",
            "plugin.login",
            "webhook.secret",
            "webhook.endpoint",
            "file.dead_letter",
            "file.control",
            "file.audit",
            "clock",
            "clock.skew"
        ]
    );
    assert!(
        checks
            .iter()
            .all(|check| check["outcome"] == "ok" && check["mend"] == Value::Null)
    );
    assert_eq!(
        checks[5],
        json!({"id": "webhook.endpoint", "outcome": "ok", "detail": format!("http://{} answers 204 to HEAD",
            receiver.address()), "mend": null})
    );
}
