//! The Kafka sink and the pipeline against librdkafka's mock cluster: errors, outages, full queues, dead producers.
//!
//! What a consumer would see is read back and compared with what the source handed out.
//! Over 400 lines: one bench and the cases that need it, since a test binary more costs a link of librdkafka more.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use kafka_adapter::pipeline::{Batch, Bounds, Feed, FeedError, PullLimits, Pulled};
use kafka_adapter::record::{Kind, Record};
use kafka_adapter::run::{self, RunSettings, run_feed};
use kafka_adapter::sink::{
    Answer, Envelope, KafkaSettings, Outlet, Outlets, Routing, Sink, StartError, Topics, TransactionSettings,
};
use kafka_adapter::summary::Summary;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use serde_json::Value;

#[path = "mock_cluster/transactions.rs"]
mod transactions;

/// No wait in these tests is longer.
const PATIENCE: Duration = Duration::from_secs(60);

struct Made {
    sequence: u64,
    kind: Kind,
    key: String,
    id: String,
    body: Vec<u8>,
}

struct MadeBatch(Vec<Made>);

impl Batch for MadeBatch {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn record(&self, index: usize) -> Record<'_> {
        let made = &self.0[index];
        Record {
            kind: made.kind,
            flags: 0,
            sequence: made.sequence,
            event_time_us: Some(1_795_467_600_000_000),
            received_time_us: 1_795_467_600_500_000,
            id: &made.id,
            type_: "interaction",
            subject: &made.key,
            key: &made.key,
            body: &made.body,
        }
    }

    fn each_attribute(&self, _index: usize, visit: &mut dyn FnMut(&str, &str)) {
        visit("source", "genesys-cloud");
        visit("analyticsid", "analytics");
    }
}

struct ScriptedFeed {
    batches: Receiver<MadeBatch>,
    pulled: AtomicU64,
    committed: AtomicU64,
}

impl Feed for ScriptedFeed {
    type Batch = MadeBatch;

    fn next_batch(&self, limits: PullLimits) -> Result<Pulled<MadeBatch>, FeedError> {
        match self
            .batches
            .recv_timeout(Duration::from_millis(limits.wait_ms.into()))
        {
            Ok(batch) => {
                self.pulled.fetch_add(batch.0.len() as u64, Ordering::SeqCst);
                Ok(Pulled::Batch(batch))
            }
            Err(RecvTimeoutError::Timeout) => Ok(Pulled::Nothing),
            Err(RecvTimeoutError::Disconnected) => Ok(Pulled::End),
        }
    }

    fn commit(&self, sequence: u64) -> Result<(), FeedError> {
        let before = self.committed.swap(sequence, Ordering::SeqCst);
        assert!(before < sequence, "commits only grow");
        Ok(())
    }

    fn token(&self, sequence: u64) -> Result<String, FeedError> {
        Ok(format!("token-{sequence}"))
    }

    fn stats(&self) -> Result<Value, FeedError> {
        Ok(Value::Null)
    }

    fn interrupt(&self) {}

    fn drain(&self, _deadline_ms: u32) -> Result<(), FeedError> {
        Ok(())
    }

    fn close(&self, _timeout_ms: u32) -> Result<(), FeedError> {
        Ok(())
    }
}

/// A mock cluster with the four topics, and a run against it in a thread of its own.
struct Bench {
    cluster: MockCluster<'static, DefaultProducerContext>,
    settings: KafkaSettings,
    folder: tempfile::TempDir,
    bounds: Bounds,
    next: u64,
}

/// What a start in transactions does with its sink.
fn position(outlets: &mut Outlets) -> Option<Vec<u8>> {
    outlets.ledger().unwrap().open(None);
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "no producer is ready");
        match outlets.ledger().unwrap().answer() {
            Some(Answer::Opened(found)) => return found,
            None => thread::yield_now(),
            Some(other) => panic!("{other:?}"),
        }
    }
}

struct Running {
    feed: Arc<ScriptedFeed>,
    batches: Sender<MadeBatch>,
    _stop: Sender<()>,
    thread: JoinHandle<Result<Summary, run::Error>>,
}

impl Bench {
    fn new(partitions: i32) -> Self {
        let cluster = MockCluster::new(1).unwrap();
        for topic in [
            "genesys.events",
            "genesys.audit",
            "genesys.dead-letter",
            "genesys.control",
        ] {
            cluster.create_topic(topic, partitions, 1).unwrap();
        }
        let settings = KafkaSettings {
            bootstrap_servers: cluster.bootstrap_servers(),
            topics: Topics {
                events: "genesys.events".to_owned(),
                audit: "genesys.audit".to_owned(),
                dead_letter: "genesys.dead-letter".to_owned(),
                control: "genesys.control".to_owned(),
                positions: "genesys.positions".to_owned(),
            },
            envelope: Envelope::Binary,
            default_source: "main".to_owned(),
            message_max_bytes: 1_000_000,
            start_timeout_ms: 20_000,
            create_topics: false,
            partitions,
            replication_factor: 1,
            librdkafka: BTreeMap::new(),
            max_in_flight_records: 10_000,
            transactions: None,
        };
        let bounds = Bounds {
            records: 10_000,
            bytes: 1 << 26,
            drain_ms: 30_000,
        };
        Self {
            cluster,
            settings,
            folder: tempfile::tempdir().unwrap(),
            bounds,
            next: 1,
        }
    }

    fn property(&mut self, name: &str, value: &str) {
        self.settings.librdkafka.insert(name.to_owned(), value.to_owned());
    }

    fn outlets(&self) -> Outlets {
        let routing = Routing {
            events: Outlet::Kafka,
            dead_letters: Outlet::Kafka,
            control: Outlet::Kafka,
            audit: Outlet::Kafka,
            last_resort: Outlet::File(self.folder.path().join("dead.jsonl")),
        };
        Outlets::start(routing, Some(self.settings.clone()), Box::new(std::io::sink())).unwrap()
    }

    fn start(&self) -> Running {
        let mut outlets = self.outlets();
        let (batches, given) = bounded(10_000);
        let feed = Arc::new(ScriptedFeed {
            batches: given,
            pulled: AtomicU64::new(0),
            committed: AtomicU64::new(0),
        });
        let (stop, stops) = bounded(1);
        let settings = RunSettings {
            transactions: self
                .settings
                .transactions
                .is_some()
                .then(|| position(&mut outlets)),
            source_name: "main".to_owned(),
            compliance_tag: "data-governance-v1".to_owned(),
            audit_key: None,
            previous_hash: None,
            bounds: self.bounds,
            metrics_ms: 0,
            health: None,
        };
        let thread = thread::spawn({
            let feed = Arc::clone(&feed);
            move || run_feed(&feed, outlets, &settings, &stops, &run::wall_clock_us)
        });
        Running {
            feed,
            batches,
            _stop: stop,
            thread,
        }
    }

    fn events(&mut self, count: u64, keys: u64) -> MadeBatch {
        let first = self.next;
        self.next += count;
        MadeBatch(
            (first..first + count)
                .map(|sequence| Made {
                    sequence,
                    kind: Kind::Event,
                    key: format!("key-{}", sequence % keys),
                    id: format!("id-{sequence}"),
                    body: format!("{{\"n\":{sequence}}}").into_bytes(),
                })
                .collect(),
        )
    }

    /// Everything in a topic once it holds `count` records at least.
    fn read(&self, topic: &str, count: usize) -> Vec<Read> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.settings.bootstrap_servers)
            .set("group.id", "reader")
            .set("enable.auto.commit", "false")
            .create()
            .unwrap();
        let mut list = TopicPartitionList::new();
        for partition in 0..self.settings.partitions {
            list.add_partition_offset(topic, partition, Offset::Beginning)
                .unwrap();
        }
        consumer.assign(&list).unwrap();
        let ends: i64 = (0..self.settings.partitions)
            .map(|partition| consumer.fetch_watermarks(topic, partition, PATIENCE).unwrap().1)
            .sum();
        assert!(
            ends as usize >= count,
            "{topic} holds {ends} records, expected {count}"
        );
        let deadline = Instant::now() + PATIENCE;
        let mut read = Vec::new();
        while (read.len() as i64) < ends {
            assert!(
                Instant::now() < deadline,
                "{topic}: {} of {ends} records came back",
                read.len()
            );
            if let Some(message) = consumer.poll(Duration::from_millis(100)) {
                let message = message.unwrap();
                let headers = message.headers().map_or_else(BTreeMap::new, |headers| {
                    let pairs = headers.iter().map(|header| {
                        let value = String::from_utf8(header.value.unwrap_or_default().to_vec()).unwrap();
                        (header.key.to_owned(), value)
                    });
                    pairs.collect()
                });
                read.push(Read {
                    partition: message.partition(),
                    offset: message.offset(),
                    key: String::from_utf8(message.key().unwrap_or_default().to_vec()).unwrap(),
                    body: serde_json::from_slice(message.payload().unwrap()).unwrap(),
                    headers,
                    timestamp_ms: message.timestamp().to_millis(),
                });
            }
        }
        read
    }
}

impl Running {
    /// Waits until everything up to `sequence` is committed.
    fn until_committed(&self, sequence: u64) {
        let deadline = Instant::now() + PATIENCE;
        while self.feed.committed.load(Ordering::SeqCst) < sequence {
            assert!(
                Instant::now() < deadline && !self.thread.is_finished(),
                "never committed {sequence}"
            );
            thread::yield_now();
        }
    }

    fn end(self) -> Summary {
        drop(self.batches);
        let summary = self.thread.join().unwrap().unwrap();
        assert!(summary.figures.laws.hold());
        assert_eq!(summary.counters.stray_outcomes, 0);
        assert_eq!(summary.counters.pulled, summary.counters.resolved);
        summary
    }
}

#[derive(Debug)]
struct Read {
    partition: i32,
    offset: i64,
    key: String,
    body: Value,
    headers: BTreeMap<String, String>,
    timestamp_ms: Option<i64>,
}

/// Pairs of one key that stand in the wrong order in the topic.
fn inversions(events: &[Read]) -> u64 {
    let mut count = 0;
    for later in events {
        for earlier in events {
            let same = later.partition == earlier.partition && later.key == earlier.key;
            let wrong =
                later.offset > earlier.offset && later.body["n"].as_u64() < earlier.body["n"].as_u64();
            count += u64::from(same && wrong);
        }
    }
    count
}

fn numbers(events: &[Read]) -> Vec<u64> {
    let mut numbers: Vec<u64> = events
        .iter()
        .map(|read| read.body["n"].as_u64().unwrap())
        .collect();
    numbers.sort_unstable();
    numbers
}

fn processed(audits: &[Read]) -> Vec<&Value> {
    audits
        .iter()
        .map(|read| &read.body)
        .filter(|audit| audit["status"] == "processed")
        .collect()
}

#[test]
fn each_event_is_delivered_once_and_its_audit_names_the_place_that_holds_it() {
    let mut bench = Bench::new(4);
    let running = bench.start();
    for _ in 0..5 {
        running.batches.send(bench.events(100, 20)).unwrap();
    }
    let control = Made {
        sequence: bench.next,
        kind: Kind::Control,
        key: "main".to_owned(),
        id: "gap".to_owned(),
        body: b"{\"type\":\"gap_opened\"}".to_vec(),
    };
    running.batches.send(MadeBatch(vec![control])).unwrap();
    let summary = running.end();
    assert_eq!(
        (
            summary.counters.events,
            summary.counters.control,
            summary.committed
        ),
        (500, 1, Some(501))
    );

    let events = bench.read("genesys.events", 500);
    assert_eq!(numbers(&events), (1..=500).collect::<Vec<_>>());
    assert_eq!(inversions(&events), 0);
    let first = &events[0];
    assert_eq!(first.headers["ce_specversion"], "1.0");
    assert_eq!(first.headers["ce_source"], "genesys-cloud");
    assert_eq!(first.headers["ce_id"], format!("id-{}", first.body["n"]));
    assert_eq!(first.timestamp_ms, Some(1_795_467_600_000));

    let places: BTreeMap<(i64, i64), &Read> = events
        .iter()
        .map(|read| ((i64::from(read.partition), read.offset), read))
        .collect();
    let audits = bench.read("genesys.audit", 502);
    assert_eq!(processed(&audits).len(), 500);
    for audit in processed(&audits) {
        let outcome = &audit["outcome"];
        let place = (
            outcome["partition"].as_i64().unwrap(),
            outcome["offset"].as_i64().unwrap(),
        );
        assert_eq!(places[&place].body["n"], audit["sourceSequence"], "{audit}");
    }
    assert!(audits.iter().all(|audit| audit.headers.is_empty()));

    let mut chain: Vec<&Value> = audits.iter().map(|read| &read.body).collect();
    chain.sort_by_key(|audit| audit["sequence"].as_u64());
    assert_eq!(chain[0]["status"], "run_opened");
    assert_eq!(chain[501]["status"], "run_closed");
    assert_eq!(chain[501]["counts"]["resolved"], 501);
    assert!(
        chain
            .windows(2)
            .all(|pair| pair[1]["prevHash"] == pair[0]["hash"])
    );
    assert_eq!(
        bench.read("genesys.control", 1)[0].headers["ce_type"],
        "interaction"
    );
}

#[test]
fn a_record_refused_alone_is_dead_lettered_and_its_neighbours_are_delivered_in_order() {
    for error in [
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_RECORD,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP,
    ] {
        refused_alone(error);
    }
}

fn refused_alone(error: RDKafkaRespErr) {
    let mut bench = Bench::new(1);
    let running = bench.start();
    running.batches.send(bench.events(1, 1)).unwrap();
    running.until_committed(1);
    // the batch of ten, the ten again, five, three, two, one: the first record is the one that is refused alone
    bench.cluster.request_errors(RDKafkaApiKey::Produce, &[error; 6]);
    running.batches.send(bench.events(10, 1)).unwrap();
    let summary = running.end();
    assert_eq!((summary.counters.dead_letters, summary.counters.refused), (1, 1));

    let events = bench.read("genesys.events", 10);
    assert_eq!(numbers(&events), [1, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    assert_eq!(inversions(&events), summary.counters.order_exceptions);
    assert_eq!(summary.counters.order_exceptions, 0);
    let dead = bench.read("genesys.dead-letter", 1);
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].body["frame"]["text"], "{\"n\":2}");
    assert_eq!(dead[0].headers["__connect.errors.topic"], "genesys.events");
    let audits = bench.read("genesys.audit", 13);
    let audit = audits
        .iter()
        .find(|read| read.body["sourceSequence"] == 2)
        .unwrap();
    assert_eq!(audit.body["status"], "dead_lettered");
    assert_eq!(audit.body["outcome"]["topic"], "genesys.dead-letter");
}

fn refused_with_more_in_flight(in_flight: Option<&str>) -> (Summary, Vec<Read>) {
    let mut bench = Bench::new(1);
    bench.property("batch.num.messages", "5");
    if let Some(in_flight) = in_flight {
        bench.property("max.in.flight.requests.per.connection", in_flight);
    }
    let running = bench.start();
    running.batches.send(bench.events(1, 1)).unwrap();
    running.until_committed(1);
    bench
        .cluster
        .broker_round_trip_time(1, Duration::from_millis(20))
        .unwrap();
    bench.cluster.request_errors(
        RDKafkaApiKey::Produce,
        &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE],
    );
    running.batches.send(bench.events(40, 4)).unwrap();
    let summary = running.end();
    let events = bench.read("genesys.events", 41);
    assert_eq!(numbers(&events), (1..=41).collect::<Vec<_>>());
    (summary, events)
}

#[test]
fn inversions_behind_a_refused_batch_are_all_counted() {
    let (summary, events) = refused_with_more_in_flight(None);
    assert!(summary.counters.resent > 0);
    assert_eq!(summary.counters.order_exceptions, inversions(&events));
}

#[test]
fn with_one_request_in_flight_there_are_no_inversions() {
    let (summary, events) = refused_with_more_in_flight(Some("1"));
    assert!(summary.counters.resent > 0);
    assert_eq!(summary.counters.order_exceptions, 0);
    assert_eq!(inversions(&events), 0);
}

#[test]
fn errors_that_pass_are_retried_inside_and_leave_no_trace() {
    let mut bench = Bench::new(1);
    let running = bench.start();
    running.batches.send(bench.events(1, 1)).unwrap();
    running.until_committed(1);
    bench.cluster.request_errors(
        RDKafkaApiKey::Produce,
        &[
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__TRANSPORT,
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
        ],
    );
    for _ in 0..5 {
        running.batches.send(bench.events(50, 5)).unwrap();
    }
    let summary = running.end();
    assert_eq!(
        (summary.counters.resent, summary.counters.order_exceptions),
        (0, 0)
    );
    let events = bench.read("genesys.events", 251);
    assert_eq!(numbers(&events), (1..=251).collect::<Vec<_>>());
    assert_eq!(inversions(&events), 0);
}

#[test]
fn an_outage_bounds_the_backlog_and_loses_nothing() {
    let mut bench = Bench::new(2);
    bench.bounds.records = 400;
    bench.settings.max_in_flight_records = 400;
    let running = bench.start();
    running.batches.send(bench.events(100, 10)).unwrap();
    running.until_committed(100);
    bench.cluster.broker_down(1).unwrap();
    for _ in 0..20 {
        running.batches.send(bench.events(100, 10)).unwrap();
    }
    // the window takes 400, the channel and the puller one batch each; then the source is left alone
    let deadline = Instant::now() + PATIENCE;
    while running.feed.pulled.load(Ordering::SeqCst) < 600 {
        assert!(Instant::now() < deadline, "the backlog never filled");
        thread::yield_now();
    }
    assert_eq!(running.feed.committed.load(Ordering::SeqCst), 100);
    assert!(
        running.batches.len() >= 13,
        "the source keeps what the bounds do not admit"
    );
    bench.cluster.broker_up(1).unwrap();
    let summary = running.end();
    assert_eq!(
        (summary.counters.events, summary.counters.order_exceptions),
        (2100, 0)
    );
    let events = bench.read("genesys.events", 2100);
    assert_eq!(numbers(&events), (1..=2100).collect::<Vec<_>>());
    assert_eq!(inversions(&events), 0);
}

#[test]
fn a_tiny_producer_queue_slows_down_but_neither_loses_nor_reorders() {
    let mut bench = Bench::new(2);
    bench.property("queue.buffering.max.messages", "10");
    bench.property("linger.ms", "1");
    let running = bench.start();
    for _ in 0..5 {
        running.batches.send(bench.events(100, 7)).unwrap();
    }
    let summary = running.end();
    assert_eq!((summary.counters.events, summary.counters.resent), (500, 0));
    let events = bench.read("genesys.events", 500);
    assert_eq!(numbers(&events), (1..=500).collect::<Vec<_>>());
    assert_eq!(inversions(&events), 0);
}

#[test]
fn a_fatal_error_replaces_the_producer_and_replays_from_memory() {
    let mut bench = Bench::new(1);
    let running = bench.start();
    running.batches.send(bench.events(20, 4)).unwrap();
    running.until_committed(20);
    bench.cluster.request_errors(
        RDKafkaApiKey::Produce,
        &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER],
    );
    for _ in 0..5 {
        running.batches.send(bench.events(40, 4)).unwrap();
    }
    let summary = running.end();
    assert_eq!(summary.counters.producer_replacements, 1);
    assert_eq!(summary.committed, Some(220));
    let mut seen = numbers(&bench.read("genesys.events", 220));
    seen.dedup();
    assert_eq!(seen, (1..=220).collect::<Vec<_>>());
    let audits = bench.read("genesys.audit", 222);
    let mut audited: Vec<u64> = processed(&audits)
        .iter()
        .map(|audit| audit["sourceSequence"].as_u64().unwrap())
        .collect();
    audited.sort_unstable();
    audited.dedup();
    assert_eq!(audited, (1..=220).collect::<Vec<_>>());
}

#[test]
fn a_record_over_the_size_limit_ends_in_the_local_file_if_no_topic_can_hold_it() {
    let mut bench = Bench::new(1);
    bench.settings.message_max_bytes = 2000;
    let running = bench.start();
    let mut batch = bench.events(3, 1);
    batch.0[1].body = format!("{{\"n\":2,\"text\":\"{}\"}}", "x".repeat(3000)).into_bytes();
    running.batches.send(batch).unwrap();
    let summary = running.end();
    assert_eq!((summary.counters.events, summary.counters.last_resort), (2, 1));
    assert_eq!(summary.counters.order_exceptions, 0);
    let file = std::fs::read_to_string(bench.folder.path().join("dead.jsonl")).unwrap();
    let line: Value = serde_json::from_str(file.trim_end()).unwrap();
    assert_eq!(line["sequence"], 2);
    assert!(
        line["record"]["reason"]
            .as_str()
            .unwrap()
            .contains("kafka.message_max_bytes = 2000"),
        "{line}"
    );
    assert!(line["record"]["frame"]["text"].as_str().unwrap().len() > 3000);
    let audits = bench.read("genesys.audit", 5);
    let audit = audits
        .iter()
        .find(|read| read.body["sourceSequence"] == 2)
        .unwrap();
    assert_eq!(audit.body["outcome"]["to"], "file");
}

#[test]
fn missing_topics_are_all_named_with_the_commands_that_create_them() {
    let mut bench = Bench::new(1);
    bench.settings.topics.events = "nowhere.events".to_owned();
    bench.settings.topics.audit = "nowhere.audit".to_owned();
    let error = start_error(&bench.settings);
    assert!(!error.is_retryable());
    let text = error.to_string();
    assert!(text.contains("nowhere.events, nowhere.audit;"), "{text}");
    assert!(text.contains("genesys-kafka run --create-topics"), "{text}");
    assert!(text.contains("kafka-topics.sh --bootstrap-server"), "{text}");
    assert!(!text.contains("genesys.control"), "{text}");
}

#[test]
fn an_unreachable_broker_at_start_is_an_error_that_names_it() {
    let mut settings = Bench::new(1).settings;
    // the mock of that bench is gone by now, and its port with it
    settings.start_timeout_ms = 500;
    let error = start_error(&settings);
    assert!(error.is_retryable());
    let text = error.to_string();
    assert!(
        text.contains(&settings.bootstrap_servers) && text.contains("within 500 ms"),
        "{text}"
    );
}

#[test]
fn a_property_that_librdkafka_refuses_is_named_and_a_secret_is_not_shown() {
    let mut settings = Bench::new(1).settings;
    settings
        .librdkafka
        .insert("linger.ms".to_owned(), "soon".to_owned());
    let text = start_error(&settings).to_string();
    assert!(text.contains("linger.ms = soon"), "{text}");
    settings.librdkafka.clear();
    settings
        .librdkafka
        .insert("ssl.key.passwort".to_owned(), "hunter2".to_owned());
    let text = start_error(&settings).to_string();
    assert!(
        text.contains("ssl.key.passwort") && !text.contains("hunter2"),
        "{text}"
    );
}

fn start_error(settings: &KafkaSettings) -> StartError {
    let routing = Routing {
        events: Outlet::Kafka,
        dead_letters: Outlet::Kafka,
        control: Outlet::Kafka,
        audit: Outlet::Kafka,
        last_resort: Outlet::Absent,
    };
    Outlets::start(routing, Some(settings.clone()), Box::new(std::io::sink())).unwrap_err()
}
