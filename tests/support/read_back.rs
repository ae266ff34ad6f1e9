//! Reading a topic back from its beginning to the end it has now.
//!
//! What a test asserts about a topic is what a consumer sees, not what the producer says. The reader takes the end
//! offsets once and stops there, so a topic that is still being written does not hold it.

use std::path::Path;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

/// Longest time for metadata, offsets and the whole read together.
const DEADLINE: Duration = Duration::from_secs(60);

/// What a consumer is shown of transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// Records of aborted and of open transactions are hidden.
    ReadCommitted,
    /// Everything in the log.
    ReadUncommitted,
}

/// One record as a consumer sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadRecord {
    /// Partition that it lies in.
    pub partition: i32,
    /// Offset in the partition.
    pub offset: i64,
    /// Key, if any.
    pub key: Option<Vec<u8>>,
    /// Headers in order; a header may have no value.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// Value; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Milliseconds since the epoch, if the broker keeps a time.
    pub timestamp: Option<i64>,
}

impl ReadRecord {
    /// The value as JSON.
    ///
    /// # Panics
    /// If it is absent or is not JSON.
    pub fn json(&self) -> serde_json::Value {
        let value = self
            .value
            .as_deref()
            .unwrap_or_else(|| panic!("a tombstone: {self:?}"));
        serde_json::from_slice(value)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {}", String::from_utf8_lossy(value)))
    }

    /// The key as text; empty if there is none.
    pub fn key_text(&self) -> String {
        String::from_utf8_lossy(self.key.as_deref().unwrap_or_default()).into_owned()
    }

    /// The first header of that name as text.
    pub fn header(&self, name: &str) -> Option<String> {
        let (_, value) = self.headers.iter().find(|(header, _)| header == name)?;
        Some(String::from_utf8_lossy(value.as_deref().unwrap_or_default()).into_owned())
    }

    fn copy_of(message: &BorrowedMessage<'_>) -> Self {
        let headers = message.headers().map_or_else(Vec::new, |headers| {
            headers
                .iter()
                .map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec)))
                .collect()
        });
        Self {
            partition: message.partition(),
            offset: message.offset(),
            key: message.key().map(<[u8]>::to_vec),
            headers,
            value: message.payload().map(<[u8]>::to_vec),
            timestamp: message.timestamp().to_millis(),
        }
    }
}

/// Everything that a `read_committed` consumer sees in the topic, in offset order within each partition.
///
/// # Panics
/// If the topic does not exist or cannot be read within a minute.
pub fn read_back(bootstrap_servers: &str, topic: &str) -> Vec<ReadRecord> {
    read_back_as(bootstrap_servers, topic, Isolation::ReadCommitted)
}

/// Everything that a consumer with the given isolation sees in the topic, in offset order within each partition.
///
/// # Panics
/// If the topic does not exist or cannot be read within a minute.
pub fn read_back_as(bootstrap_servers: &str, topic: &str, isolation: Isolation) -> Vec<ReadRecord> {
    read_all(&consumer(bootstrap_servers, isolation, &[]), topic)
}

/// Everything that a `read_committed` consumer sees in the topic over TLS, in offset order within each partition.
///
/// # Panics
/// If the topic does not exist or cannot be read within a minute.
pub fn read_back_over_tls(bootstrap_servers: &str, authority: &Path, topic: &str) -> Vec<ReadRecord> {
    let authority = authority.display().to_string();
    let tls = [
        ("security.protocol", "ssl"),
        ("ssl.ca.location", authority.as_str()),
    ];
    read_all(
        &consumer(bootstrap_servers, Isolation::ReadCommitted, &tls),
        topic,
    )
}

fn read_all(consumer: &BaseConsumer, topic: &str) -> Vec<ReadRecord> {
    let start = Instant::now();
    let ends = watermarks(consumer, topic);
    let mut pending: Vec<bool> = ends.iter().map(|(low, high)| low < high).collect();
    let mut assignment = TopicPartitionList::new();
    for (partition, _) in (0..)
        .zip(&ends)
        .filter(|(partition, _)| pending[index(*partition)])
    {
        assignment
            .add_partition_offset(topic, partition, Offset::Beginning)
            .expect("a valid offset");
    }
    consumer
        .assign(&assignment)
        .expect("an assignment of existing partitions");

    let mut records = Vec::new();
    while pending.contains(&true) {
        assert!(
            start.elapsed() < DEADLINE,
            "{topic} could not be read within {DEADLINE:?}: ends {ends:?}"
        );
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                let partition = index(message.partition());
                let (_, high) = ends[partition];
                if message.offset() < high {
                    records.push(ReadRecord::copy_of(&message));
                }
                pending[partition] &= message.offset() + 1 < high;
            }
            // transaction markers occupy the offsets before the end: only the end of the partition tells
            Some(Err(KafkaError::PartitionEOF(partition))) => pending[index(partition)] = false,
            // connection errors are retried by the client until the deadline
            Some(Err(_)) | None => {}
        }
    }
    records.sort_by_key(|record| (record.partition, record.offset));
    records
}

/// The offset after the last visible record of each partition, transaction markers counted.
///
/// # Panics
/// If the topic does not exist or the broker does not answer within a minute.
pub fn end_offsets(bootstrap_servers: &str, topic: &str) -> Vec<i64> {
    let consumer = consumer(bootstrap_servers, Isolation::ReadCommitted, &[]);
    watermarks(&consumer, topic)
        .into_iter()
        .map(|(_, high)| high)
        .collect()
}

fn consumer(bootstrap_servers: &str, isolation: Isolation, further: &[(&str, &str)]) -> BaseConsumer {
    let isolation = match isolation {
        Isolation::ReadCommitted => "read_committed",
        Isolation::ReadUncommitted => "read_uncommitted",
    };
    let mut config = ClientConfig::new();
    for (name, value) in further {
        config.set(*name, *value);
    }
    config
        .set("bootstrap.servers", bootstrap_servers)
        .set("group.id", format!("read-back-{}", uuid::Uuid::new_v4()))
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("isolation.level", isolation)
        .set("auto.offset.reset", "earliest")
        // a broker that has just been restarted is found at once
        .set("reconnect.backoff.max.ms", "200")
        .create()
        .expect("a consumer")
}

fn watermarks(consumer: &BaseConsumer, topic: &str) -> Vec<(i64, i64)> {
    let metadata = consumer
        .fetch_metadata(Some(topic), DEADLINE)
        .expect("metadata of the topic");
    let partitions = metadata
        .topics()
        .first()
        .map_or(0, |topic| topic.partitions().len());
    assert!(partitions > 0, "topic {topic} does not exist");
    (0..)
        .take(partitions)
        .map(|partition| {
            consumer
                .fetch_watermarks(topic, partition, DEADLINE)
                .expect("offsets of a partition")
        })
        .collect()
}

fn index(partition: i32) -> usize {
    usize::try_from(partition).expect("partitions count from 0")
}
