//! The brokers that other tests stand on: what is written comes back, through a freeze and a crash.
#![allow(clippy::unwrap_used, reason = "a test binary: a panic is a failure")]

use std::path::Path;
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use support::{Broker, Isolation, Mock, end_offsets, read_back, read_back_as, unique_topic, wait_until};

const DEADLINE: Duration = Duration::from_secs(60);

fn producer(bootstrap_servers: &str, further: &[(&str, &str)]) -> BaseProducer {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap_servers)
        .set("enable.idempotence", "true")
        .set("partitioner", "murmur2_random")
        .set("linger.ms", "0")
        .set("reconnect.backoff.max.ms", "200");
    for (name, value) in further {
        config.set(*name, *value);
    }
    config.create().unwrap()
}

fn send(producer: &BaseProducer, topic: &str, number: usize) {
    let (key, value) = (format!("key-{}", number % 7), format!("{{\"number\":{number}}}"));
    let headers = OwnedHeaders::new().insert(Header {
        key: "ce_id",
        value: Some(&number.to_string()),
    });
    let record = BaseRecord::to(topic)
        .key(&key)
        .payload(&value)
        .headers(headers)
        .timestamp(1_000);
    producer.send(record).map_err(|(error, _)| error).unwrap();
}

fn acknowledged(producer: &BaseProducer) -> bool {
    producer.poll(Duration::ZERO);
    producer.in_flight_count() == 0
}

/// The numbers in the topic: whether they are `0..count`, each once, and in order within each key.
fn assert_numbers(bootstrap_servers: &str, topic: &str, count: usize) {
    let records = read_back(bootstrap_servers, topic);
    let number = |record: &support::ReadRecord| record.json()["number"].as_u64().unwrap();
    let mut numbers: Vec<u64> = records.iter().map(number).collect();
    for key in 0..7 {
        let of_key: Vec<u64> = records
            .iter()
            .filter(|record| record.key_text() == format!("key-{key}"))
            .map(number)
            .collect();
        assert!(of_key.is_sorted(), "{of_key:?}");
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (0..count as u64).collect::<Vec<_>>());
    for record in &records {
        assert_eq!(record.header("ce_id"), Some(number(record).to_string()));
        assert_eq!(record.timestamp, Some(1_000));
    }
}

#[test]
fn the_mock_gives_back_what_was_written() {
    let mock = Mock::start(&[("numbers", 3)]);
    let producer = producer(mock.bootstrap_servers(), &[]);
    (0..100).for_each(|number| send(&producer, "numbers", number));
    wait_until(DEADLINE, "the mock acknowledges", || acknowledged(&producer));
    assert_numbers(mock.bootstrap_servers(), "numbers", 100);
    let ends = end_offsets(mock.bootstrap_servers(), "numbers");
    assert_eq!((ends.len(), ends.iter().sum::<i64>()), (3, 100));
}

#[test]
fn the_shared_broker_gives_back_what_was_written() {
    let Some(broker) = Broker::shared() else { return };
    let topic = unique_topic("numbers");
    broker.create_topic(&topic, 4, &[]);
    let producer = producer(broker.bootstrap_servers(), &[]);
    (0..1_000).for_each(|number| send(&producer, &topic, number));
    wait_until(DEADLINE, "the broker acknowledges", || acknowledged(&producer));
    assert_numbers(broker.bootstrap_servers(), &topic, 1_000);
}

#[test]
fn aborted_records_are_hidden_from_read_committed_alone() {
    let Some(broker) = Broker::shared() else { return };
    let topic = unique_topic("transactions");
    broker.create_topic(&topic, 1, &[]);
    let producer = producer(broker.bootstrap_servers(), &[("transactional.id", &topic)]);
    producer.init_transactions(DEADLINE).unwrap();
    for (number, commit) in [(0, true), (1, false)] {
        producer.begin_transaction().unwrap();
        send(&producer, &topic, number);
        wait_until(DEADLINE, "the broker acknowledges", || acknowledged(&producer));
        if commit {
            producer.commit_transaction(DEADLINE)
        } else {
            producer.abort_transaction(DEADLINE)
        }
        .unwrap();
    }
    let values = |isolation| -> Vec<u64> {
        let records = read_back_as(broker.bootstrap_servers(), &topic, isolation);
        records
            .iter()
            .map(|record| record.json()["number"].as_u64().unwrap())
            .collect()
    };
    assert_eq!(values(Isolation::ReadCommitted), [0]);
    assert_eq!(values(Isolation::ReadUncommitted), [0, 1]);
    assert_eq!(
        end_offsets(broker.bootstrap_servers(), &topic),
        [4],
        "two records and two markers"
    );
}

#[test]
fn a_lowered_record_limit_takes_effect_and_other_configs_stay() {
    let Some(broker) = Broker::shared() else { return };
    let topic = unique_topic("limited");
    broker.create_topic(&topic, 1, &[("cleanup.policy", "compact")]);
    let producer = producer(broker.bootstrap_servers(), &[]);
    let send_2_kib = |key: &str| {
        let value = "x".repeat(2_048);
        producer
            .send(BaseRecord::<_, _>::to(&topic).key(key).payload(&value))
            .map_err(|(error, _)| error)
            .unwrap();
        wait_until(DEADLINE, "the broker answers", || acknowledged(&producer));
    };
    send_2_kib("before");
    broker.alter_topic_config(&topic, "max.message.bytes", "1024");
    send_2_kib("after");
    let keys: Vec<String> = read_back(broker.bootstrap_servers(), &topic)
        .iter()
        .map(support::ReadRecord::key_text)
        .collect();
    assert_eq!(keys, ["before"]);
    // a compacted topic refuses a record without key, which shows that the policy is still set
    producer
        .send(BaseRecord::<(), _>::to(&topic).payload("x"))
        .map_err(|(error, _)| error)
        .unwrap();
    wait_until(DEADLINE, "the broker answers", || acknowledged(&producer));
    assert_eq!(end_offsets(broker.bootstrap_servers(), &topic), [1]);
}

#[test]
fn a_freeze_and_a_crash_lose_nothing_that_was_acknowledged() {
    let Some(broker) = Broker::own() else { return };
    let mut stderr = std::io::stderr();
    drop(std::io::Write::write_fmt(
        &mut stderr,
        format_args!("broker started in {:?}\n", broker.started_in()),
    ));
    let topic = unique_topic("numbers");
    broker.create_topic(&topic, 2, &[]);
    let producer = producer(broker.bootstrap_servers(), &[]);
    send(&producer, &topic, 0);
    wait_until(DEADLINE, "the broker acknowledges", || acknowledged(&producer));

    broker.pause();
    send(&producer, &topic, 1);
    let id = broker.id().unwrap();
    wait_until(DEADLINE, "the broker is frozen", || state_of(id) == Some('T'));
    for _ in 0..20 {
        producer.poll(Duration::from_millis(10));
        assert_eq!(producer.in_flight_count(), 1, "a frozen broker acknowledged");
    }
    broker.resume();
    wait_until(DEADLINE, "the broker acknowledges after the freeze", || {
        acknowledged(&producer)
    });

    broker.kill();
    assert_eq!((broker.id(), state_of(id)), (None, None));
    send(&producer, &topic, 2);
    assert!(!acknowledged(&producer));
    broker.restart();
    wait_until(DEADLINE, "the broker acknowledges after the crash", || {
        acknowledged(&producer)
    });

    broker.stop();
    assert_eq!(broker.id(), None);
    broker.restart();
    assert_numbers(broker.bootstrap_servers(), &topic, 3);

    let (log_dir, id) = (broker.log_dir(), broker.id().unwrap());
    assert!(log_dir.is_dir());
    drop(broker);
    assert_eq!(state_of(id), None);
    assert!(!log_dir.exists());
}

/// The state letter of a process (`T` is stopped), or `None` if there is no such process.
fn state_of(id: u32) -> Option<char> {
    let stat = std::fs::read_to_string(Path::new("/proc").join(id.to_string()).join("stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}
