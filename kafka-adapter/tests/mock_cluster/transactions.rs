//! Transactions against the mock cluster: what librdkafka makes of injected errors, and what the pipeline makes of that.
//!
//! The mock shows the records of aborted transactions and fences nobody, so that what a consumer of committed records
//! sees is tested against a real Kafka (`tests/exactly_once`).

use super::*;

/// The key, position by position: transaction, sequence, token.
fn positions(bench: &Bench, count: usize) -> Vec<(u64, u64, String)> {
    let mut read = bench.read("genesys.positions", count);
    read.sort_by_key(|read| read.offset);
    let number = |read: &Read, name: &str| read.body[name].as_u64().unwrap_or(0);
    read.iter()
        .map(|read| {
            assert_eq!(read.key, "main");
            (
                number(read, "transaction"),
                number(read, "sequence"),
                read.body["token"].as_str().unwrap_or_default().to_owned(),
            )
        })
        .collect()
}

fn transactional() -> Bench {
    let mut bench = Bench::new(2);
    bench.cluster.create_topic("genesys.positions", 2, 1).unwrap();
    bench.settings.transactions = Some(TransactionSettings {
        shard: "main".to_owned(),
        timeout_ms: 60_000,
    });
    bench
}

#[test]
fn each_transaction_ends_with_the_position_of_its_last_record() {
    let mut bench = transactional();
    let running = bench.start();
    for last in [40, 80, 120] {
        running.batches.send(bench.events(40, 4)).unwrap();
        running.until_committed(last);
    }
    let summary = running.end();
    assert_eq!((summary.counters.events, summary.committed), (120, Some(120)));
    assert_eq!(summary.counters.producer_replacements, 0);
    let events = bench.read("genesys.events", 120);
    assert_eq!(numbers(&events), (1..=120).collect::<Vec<_>>());
    assert_eq!(inversions(&events), 0);
    let positions = positions(&bench, 4);
    let numbers: Vec<u64> = positions.iter().map(|position| position.0).collect();
    assert_eq!(numbers, (1..=positions.len() as u64).collect::<Vec<_>>());
    assert!(
        positions
            .iter()
            .all(|(_, sequence, token)| *sequence == 0 || *token == format!("token-{sequence}"))
    );
    assert_eq!(positions.last().unwrap().1, 120);
}

#[test]
fn a_batch_that_is_refused_once_is_sent_again_whole_after_an_abort() {
    let mut bench = transactional();
    let running = bench.start();
    running.batches.send(bench.events(20, 4)).unwrap();
    running.until_committed(20);
    bench.cluster.request_errors(
        RDKafkaApiKey::Produce,
        &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE],
    );
    running.batches.send(bench.events(40, 4)).unwrap();
    running.until_committed(60);
    let summary = running.end();
    let counters = summary.counters;
    assert_eq!(
        (counters.events, counters.refused, counters.dead_letters),
        (60, 0, 0)
    );
    assert_eq!(
        counters.producer_replacements, 0,
        "an abort needs no new producer"
    );
    assert!(counters.resent > 0);
    let mut seen = numbers(&bench.read("genesys.events", 60));
    seen.dedup();
    assert_eq!(seen, (1..=60).collect::<Vec<_>>());
}

#[test]
fn a_producer_that_is_told_of_an_old_epoch_is_replaced_if_nobody_else_has_written() {
    let mut bench = transactional();
    let running = bench.start();
    running.batches.send(bench.events(20, 4)).unwrap();
    running.until_committed(20);
    bench.cluster.request_errors(
        RDKafkaApiKey::Produce,
        &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH],
    );
    running.batches.send(bench.events(40, 4)).unwrap();
    running.until_committed(60);
    let summary = running.end();
    assert_eq!(summary.counters.producer_replacements, 1);
    assert_eq!((summary.counters.events, summary.committed), (60, Some(60)));
    assert!(summary.counters.resent > 0, "the transaction was done again");
    let mut seen = numbers(&bench.read("genesys.events", 60));
    seen.dedup();
    assert_eq!(seen, (1..=60).collect::<Vec<_>>());
}

#[test]
fn a_position_that_somebody_else_wrote_ends_the_run() {
    let mut bench = transactional();
    let running = bench.start();
    running.batches.send(bench.events(20, 4)).unwrap();
    running.until_committed(20);
    let other: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &bench.settings.bootstrap_servers)
        // the positions of a shard lie in the partition of its key
        .set("partitioner", "murmur2_random")
        .create()
        .unwrap();
    let foreign = r#"{"schemaVersion":"1.0","shard":"main","token":null,"sequence":null,"runId":"the other","transaction":1,"auditSequence":1,"auditHash":null}"#;
    let record = BaseRecord::<str, str>::to("genesys.positions")
        .key("main")
        .payload(foreign);
    other.send(record).map_err(|(error, _)| error).unwrap();
    other.flush(PATIENCE).unwrap();
    bench.cluster.request_errors(
        RDKafkaApiKey::Produce,
        &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_PRODUCER_FENCED],
    );
    running.batches.send(bench.events(40, 4)).unwrap();
    // the end of its source would end it, too
    let deadline = Instant::now() + PATIENCE;
    while !running.thread.is_finished() {
        assert!(Instant::now() < deadline, "the run goes on");
        thread::yield_now();
    }
    let error = running.thread.join().unwrap().unwrap_err();
    assert_eq!(
        error.to_string(),
        "shard main was taken over by another process (run the other): look for a second instance with source.name = \
         \"main\" at the same brokers, and stop one of the two"
    );
    assert_eq!(error.kind(), run::ErrorKind::GaveUp);
    assert_eq!(running.feed.committed.load(Ordering::SeqCst), 20);
}

/// As after partitions were added to the topic: which one is read first, nobody knows.
#[test]
fn of_positions_in_two_partitions_the_later_one_counts() {
    let body = |transaction: u64| {
        format!(
            r#"{{"schemaVersion":"1.0","shard":"main","token":null,"sequence":null,"runId":"one","transaction":{transaction},"auditSequence":1,"auditHash":null}}"#
        )
    };
    for later in [0, 1] {
        let bench = transactional();
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", &bench.settings.bootstrap_servers)
            .create()
            .unwrap();
        for (partition, transaction) in [(1 - later, 7), (later, 8)] {
            let body = body(transaction);
            let record = BaseRecord::<str, str>::to("genesys.positions")
                .key("main")
                .partition(partition)
                .timestamp(1_795_467_600_000 + i64::try_from(transaction).unwrap())
                .payload(&body);
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        producer.flush(PATIENCE).unwrap();
        let mut outlets = bench.outlets();
        assert_eq!(position(&mut outlets), Some(body(8).into_bytes()), "{later}");
    }
}
