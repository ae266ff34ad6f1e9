//! What a user may do on topics, on a real Apache Kafka with its authorizer: ACLs granted, lacking, and mended with the
//! command that the row names.

use std::sync::OnceLock;

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use simulator::Options;
use support::{Broker, Rig, Stream, Topics, read_back, rig, unique_topic, wait_until};

use crate::DEADLINE;
use crate::seen::{Checked, check_json, check_topics};

/// One for each test, since ACLs are a user's.
const USERS: [&str; 6] = ["ann", "bob", "cid", "dot", "eve", "fay"];
const SETTINGS: &str =
    "cleanup.policy = delete, retention.ms = -1, min.insync.replicas = 1, max.message.bytes = 1048588";
const NAMED: &str = "with this user for NAME, and remove an ACL that denies it";

fn broker() -> Option<&'static Broker> {
    static BROKER: OnceLock<Option<Broker>> = OnceLock::new();
    BROKER.get_or_init(|| Broker::own_with_users(&USERS)).as_ref()
}

/// A user with an adapter of its own.
struct User {
    broker: &'static Broker,
    name: &'static str,
    servers: String,
    topics: Topics,
}

impl User {
    fn new(broker: &'static Broker, name: &'static str) -> Self {
        Self {
            broker,
            name,
            servers: broker.users_bootstrap_servers(),
            topics: Topics::create(broker, 2),
        }
    }

    fn rig(&self) -> Rig {
        let options = Options {
            events: Some(50),
            ..Options::default()
        };
        let property = |name: &str| format!("kafka.librdkafka.\"{name}\"");
        Rig::new(options)
            .with_kafka(&self.servers, &self.topics)
            .set(&property("security.protocol"), "sasl_plaintext")
            .set(&property("sasl.mechanism"), "PLAIN")
            .set(&property("sasl.username"), self.name)
            .set(&property("sasl.password"), self.name)
    }

    fn grant(&self, operations: &[&str], resource: &str, name: &str) {
        let operations: String = operations
            .iter()
            .map(|operation| format!(" --operation {operation}"))
            .collect();
        self.broker.run_acls(&format!(
            "kafka-acls.sh --bootstrap-server {} --add --allow-principal User:{}{operations} --{resource} {name}",
            self.servers, self.name
        ));
    }

    /// All that a run and a check need on these topics.
    fn grant_all(&self, topics: &[&str]) {
        for &topic in topics {
            let read: &[&str] = if topic == self.topics.audit {
                &["Read"]
            } else {
                &[]
            };
            self.grant(&[read, &["Write", "DescribeConfigs"]].concat(), "topic", topic);
        }
    }

    fn check(&self, rig: &Rig, flags: &[&str]) -> Checked {
        check_topics(rig, flags, &self.servers, &self.topics)
    }

    /// Runs the command of a mend, as one who may and with this user's name.
    fn mend(&self, rows: &[String]) {
        let mend = rows.last().unwrap().strip_prefix("mend: ").unwrap();
        let command = mend.strip_suffix(NAMED).unwrap().trim_end_matches(", ");
        let named = [
            ("SERVERS", self.servers.as_str()),
            ("NAME", self.name),
            ("EVENTS", &self.topics.events),
            ("AUDIT", &self.topics.audit),
        ];
        let command = named.iter().fold(command.to_owned(), |command, (shown, name)| {
            command.replace(shown, name)
        });
        self.broker.run_acls(&command);
    }

    /// Checks until what was granted is seen, which takes brokers a moment.
    fn wait_for(&self, rig: &Rig, title: &str, row: &str) -> Checked {
        let seen = self.wait_until_first(rig, title, row);
        assert_eq!(seen.rows(title), [row]);
        seen
    }

    /// The same for a row that may have a mend.
    fn wait_until_first(&self, rig: &Rig, title: &str, row: &str) -> Checked {
        let mut last = self.check(rig, &[]);
        wait_until(DEADLINE, row, || {
            last = self.check(rig, &[]);
            last.rows(title).first().is_some_and(|first| first == row)
        });
        last
    }
}

#[test]
fn a_user_with_every_right_sees_nothing_but_ticks() {
    let Some(broker) = broker() else { return };
    let user = User::new(broker, "ann");
    user.grant_all(&user.topics.names());
    let rig = user.rig();
    let events = format!("✓ EVENTS: 2 partitions, 1 replica, this user may write to it, {SETTINGS}");
    let checked = user.wait_for(&rig, "events topic", &events);
    for (title, topic, allowance) in [
        ("dead-letter topic", "DEAD-LETTER: 1 partition", "may write to it"),
        ("control topic", "CONTROL: 1 partition", "may write to it"),
        (
            "audit topic",
            "AUDIT: 3 partitions",
            "may read it and write to it",
        ),
    ] {
        let row = format!("✓ {topic}, 1 replica, this user {allowance}, {SETTINGS}");
        assert_eq!(checked.rows(title), [row]);
    }
    assert_eq!(
        (checked.verdict(), checked.code),
        ("ready: 12 checks hold", Some(0))
    );
}

#[test]
fn a_topic_that_may_not_be_written_is_a_failure_until_its_mend_is_run() {
    let Some(broker) = broker() else { return };
    let user = User::new(broker, "bob");
    let rig = user.rig();
    user.grant_all(&[
        &user.topics.events,
        &user.topics.dead_letter,
        &user.topics.control,
    ]);
    user.grant(&["Read", "DescribeConfigs"], "topic", &user.topics.audit);
    let events = format!("✓ EVENTS: 2 partitions, 1 replica, this user may write to it, {SETTINGS}");
    let lacking =
        format!("✗ AUDIT: 3 partitions, 1 replica, {SETTINGS}; this user lacks the right Write on it");
    let mut checked = user.wait_for(&rig, "events topic", &events);
    wait_until(DEADLINE, "every ACL is seen", || {
        checked = user.check(&rig, &[]);
        checked.rows("audit topic").first() == Some(&lacking)
    });
    let rows = checked.rows("audit topic");
    assert_eq!(
        rows[1],
        format!(
            "mend: kafka-acls.sh --bootstrap-server SERVERS --add --allow-principal User:NAME --operation Write --topic \
             AUDIT, {NAMED}"
        )
    );
    assert_eq!(
        (checked.verdict(), checked.code),
        ("not ready: 1 of 12 failed", Some(78))
    );
    let (code, document) = check_json(&rig, &[]);
    let row = document["checks"]
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["id"] == "kafka.topic.audit")
        .unwrap();
    assert_eq!((code, &row["outcome"]), (Some(78), &"failed".into()));

    user.mend(&rows);
    let audit =
        format!("✓ AUDIT: 3 partitions, 1 replica, this user may read it and write to it, {SETTINGS}");
    let mended = user.wait_for(&rig, "audit topic", &audit);
    assert_eq!(
        (mended.verdict(), mended.code),
        ("ready: 12 checks hold", Some(0))
    );
}

#[test]
fn a_topic_out_of_sight_is_a_failure_until_its_mend_is_run() {
    let Some(broker) = broker() else { return };
    let user = User::new(broker, "cid");
    let topics = &user.topics;
    user.grant_all(&[&topics.events, &topics.dead_letter, &topics.control]);
    user.grant(&["DescribeConfigs"], "topic", &topics.audit);
    let rig = user.rig();
    let control = format!("✓ CONTROL: 1 partition, 1 replica, this user may write to it, {SETTINGS}");
    let checked = user.wait_for(&rig, "control topic", &control);
    let rows = |operations: &str| {
        [
            "✗ AUDIT: this user lacks the right Describe on it, so that it may also be missing".to_owned(),
            format!(
                "mend: kafka-acls.sh --bootstrap-server SERVERS --add --allow-principal User:NAME {operations} --topic \
                 AUDIT, {NAMED}"
            ),
        ]
    };
    let unseen = checked.rows("audit topic");
    assert_eq!(unseen, rows("--operation Read --operation Write"));
    assert_eq!(
        (checked.verdict(), checked.code),
        ("not ready: 1 of 12 failed", Some(78))
    );
    let created = user.check(&rig, &["--create-topics"]);
    assert_eq!(
        created.rows("audit topic"),
        rows("--operation Read --operation Write --operation Create")
    );
    assert_eq!(created.code, Some(78));

    user.mend(&unseen);
    let audit =
        format!("✓ AUDIT: 3 partitions, 1 replica, this user may read it and write to it, {SETTINGS}");
    assert_eq!(user.wait_for(&rig, "audit topic", &audit).code, Some(0));
}

#[test]
fn a_topic_that_this_user_may_not_create_is_a_failure_until_it_may() {
    let Some(broker) = broker() else { return };
    let mut user = User::new(broker, "dot");
    user.topics.audit = unique_topic("audit");
    user.grant_all(&user.topics.names());
    let rig = user.rig();
    let mut rows = Vec::new();
    wait_until(DEADLINE, "every ACL is seen", || {
        let checked = user.check(&rig, &["--create-topics"]);
        rows = checked.rows("audit topic");
        checked.verdict() == "not ready: 1 of 12 failed"
    });
    assert_eq!(
        rows[0],
        "✗ AUDIT is missing, and the brokers would not create it: TopicAuthorizationFailed (Broker: Topic authorization \
         failed)"
    );
    let grant = "kafka-acls.sh --bootstrap-server SERVERS --add --allow-principal User:NAME --operation Create --operation \
                 Read --operation Write --topic AUDIT";
    assert!(
        rows[1].starts_with(&format!(
            "mend: give this user the right Create on it ({grant}), choose "
        )),
        "{rows:?}"
    );
    user.mend(&[format!("mend: {grant}, {NAMED}")]);
    wait_until(DEADLINE, "what may be created is no failure", || {
        user.check(&rig, &["--create-topics"]).code == Some(0)
    });
}

#[test]
fn an_audit_topic_that_may_not_be_read_costs_a_run_its_citation_and_no_time() {
    let Some(broker) = broker() else { return };
    let user = User::new(broker, "fay");
    let topics = &user.topics;
    user.grant_all(&[&topics.events, &topics.dead_letter, &topics.control]);
    user.grant(&["Write", "DescribeConfigs"], "topic", &topics.audit);
    // an empty topic is read without any right
    let before = Rig::new(Options {
        events: Some(5),
        ..Options::default()
    })
    .with_kafka(broker.bootstrap_servers(), topics);
    let mut first = before.start();
    rig::wait_until_ingested(&mut first, before.simulator(), DEADLINE);
    assert_eq!(rig::stop(&mut first, DEADLINE).code, Some(0));

    // longer than the test waits for anything
    let rig = user.rig().set("kafka.start_timeout_ms", 600_000);
    let lacking = format!(
        "! AUDIT: 3 partitions, 1 replica, {SETTINGS}; this user lacks the right Read on it, so that a run cites none before \
         it, and verify cannot see that one is missing"
    );
    let checked = user.wait_until_first(&rig, "audit topic", &lacking);
    assert_eq!(checked.code, Some(0));
    let mut adapter = rig.start();
    let line = adapter.wait_for_line(Stream::Stderr, "audit topic cannot be read", DEADLINE);
    assert!(
        line.contains("WARN") && line.contains("give this user the right Read on it"),
        "{line}"
    );
    rig::wait_until_ingested(&mut adapter, rig.simulator(), DEADLINE);
    assert_eq!(rig::stop(&mut adapter, DEADLINE).code, Some(0));

    user.mend(&checked.rows("audit topic"));
    let audit =
        format!("✓ AUDIT: 3 partitions, 1 replica, this user may read it and write to it, {SETTINGS}");
    user.wait_for(&rig, "audit topic", &audit);
}

#[test]
fn with_exactly_once_a_right_that_is_lacking_is_told_by_check_or_start_until_it_is_there() {
    let Some(broker) = broker() else { return };
    let user = User::new(broker, "eve");
    let (positions, shard) = (unique_topic("positions"), unique_topic("shard"));
    broker.create_topic(&positions, 1, &[("cleanup.policy", "compact")]);
    // an empty topic is read without any right
    let other: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", broker.bootstrap_servers())
        .create()
        .unwrap();
    let record = BaseRecord::to(&positions).key("another shard").payload("{}");
    other.send(record).map_err(|(error, _)| error).unwrap();
    other.flush(DEADLINE).unwrap();
    user.grant_all(&user.topics.names());
    user.grant_all(&[&positions]);
    let rig = user
        .rig()
        .set("delivery.guarantee", "exactly_once")
        .set("source.name", shard.as_str())
        .set("kafka.topics.positions", positions.as_str())
        .set("kafka.start_timeout_ms", 2_000);
    let facts = format!("{positions}: 1 partition, 1 replica, ");
    let settings = SETTINGS.replace("delete", "compact");
    let (mut rows, mut position) = (Vec::new(), Vec::new());
    wait_until(DEADLINE, "every ACL is seen", || {
        let checked = user.check(&rig, &[]);
        rows = checked.rows("positions topic");
        position = checked.rows("position");
        checked.rows("control topic").len() == 1 && rows.len() == 2
    });
    assert_eq!(
        position,
        [
            format!("✗ topic {positions}: TopicAuthorizationFailed (Broker: Topic authorization failed)"),
            "mend: give this user the right Read on it".to_owned(),
        ]
    );
    assert_eq!(
        rows,
        [
            format!("✗ {facts}{settings}; this user lacks the right Read on it"),
            format!(
                "mend: kafka-acls.sh --bootstrap-server SERVERS --add --allow-principal User:NAME --operation Read --topic \
                 {positions}, {NAMED}"
            ),
        ]
    );
    let mut adapter = rig.start();
    let mut waits = |text: &str| {
        let line = adapter.wait_for_line(Stream::Stderr, text, DEADLINE);
        assert!(
            line.contains("WARN") && line.contains("transactions have to wait"),
            "{line}"
        );
    };
    waits(
        "Transactional Id authorization failed; give this user the right Write on this transactional id (kafka-acls.sh \
         --transactional-id)",
    );
    user.grant(&["Write"], "transactional-id", &format!("genesys-kafka-{shard}"));
    waits(&format!(
        "topic {positions}: TopicAuthorizationFailed (Broker: Topic authorization failed); give this user the right Read on it"
    ));
    user.mend(&rows);
    rig::wait_until_ingested(&mut adapter, rig.simulator(), DEADLINE);
    let ended = rig::stop(&mut adapter, DEADLINE);
    assert_eq!(ended.code, Some(0), "{:#?}", ended.stderr);
    let events = read_back(broker.bootstrap_servers(), &user.topics.events);
    assert_eq!(events.len(), 50);

    let checked = user.check(&rig, &[]);
    assert_eq!(
        checked.rows("positions topic"),
        [format!(
            "✓ {facts}this user may read it and write to it, {settings}"
        )]
    );
    assert_eq!(
        checked.rows("transactional id"),
        [format!(
            "– genesys-kafka-{shard}: a start alone shows whether this user has Write on it, since asking would fence a run \
             that is up"
        )]
    );
    assert_eq!(
        (checked.verdict(), checked.code),
        ("ready: 14 checks hold, 1 not examined", Some(0))
    );
}
