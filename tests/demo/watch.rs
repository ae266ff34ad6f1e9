//! Reading the topics back while they are written.
//!
//! Responsible for one consumer over all partitions of the four topics, from their beginning. Refuses to lose what
//! it has read. Invariant: a record is kept once, since its partition's offsets only rise.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use support::ReadRecord;

use crate::scenario::TOPICS;

/// Longest time for one question about offsets.
const OFFSETS: Duration = Duration::from_secs(10);
/// Longest time that one look at the topics blocks.
const LOOK: Duration = Duration::from_millis(50);

/// A reader of the demo's topics.
pub(crate) struct Watch {
    consumer: BaseConsumer,
    records: BTreeMap<&'static str, Vec<ReadRecord>>,
    /// When the last record came.
    last: Instant,
}

impl Watch {
    /// Begins to read.
    ///
    /// # Errors
    /// Properties or an assignment that librdkafka refuses; not retryable.
    pub(crate) fn start(bootstrap_servers: &str) -> anyhow::Result<Self> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap_servers)
            .set("group.id", "demo")
            .set("enable.auto.commit", "false")
            // the status line follows within a tenth of a second
            .set("fetch.wait.max.ms", "100")
            .create()
            .context("cannot make a consumer")?;
        let mut assignment = TopicPartitionList::new();
        for (topic, partitions) in TOPICS {
            for partition in 0..partitions {
                assignment.add_partition_offset(topic, partition, Offset::Beginning)?;
            }
        }
        consumer.assign(&assignment).context("cannot read the topics")?;
        Ok(Self {
            consumer,
            records: TOPICS.map(|(topic, _)| (topic, Vec::new())).into(),
            last: Instant::now(),
        })
    }

    /// Takes in what has arrived until `until`.
    pub(crate) fn look(&mut self, until: Instant) {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            // errors are of the connection and the client retries; what is never read is missing from the proof
            if let Some(Ok(message)) = self.consumer.poll(left.min(LOOK)) {
                let record = copy(&message);
                if let Some(records) = self.records.get_mut(message.topic()) {
                    records.push(record);
                }
                self.last = Instant::now();
            }
            if Instant::now() >= until {
                return;
            }
        }
    }

    /// Reads to the end that the topics have now; returns the number of records in each topic by its end offsets.
    ///
    /// # Errors
    /// Offsets that cannot be had; retryable.
    pub(crate) fn finish(&mut self, within: Duration) -> anyhow::Result<BTreeMap<&'static str, u64>> {
        let mut ends = BTreeMap::new();
        for (topic, partitions) in TOPICS {
            for partition in 0..partitions {
                let watermarks = self.consumer.fetch_watermarks(topic, partition, OFFSETS);
                let (_, high) = watermarks.with_context(|| format!("no offsets of {topic}/{partition}"))?;
                *ends.entry(topic).or_default() += u64::try_from(high).unwrap_or(0);
            }
        }
        let deadline = Instant::now() + within;
        while ends.iter().any(|(topic, end)| self.count(topic) < *end) && Instant::now() < deadline {
            self.look(Instant::now() + LOOK);
        }
        for records in self.records.values_mut() {
            records.sort_by_key(|record| (record.partition, record.offset));
            let twice = records.windows(2).any(|pair| {
                let place = |record: &ReadRecord| (record.partition, record.offset);
                place(&pair[0]) == place(&pair[1])
            });
            ensure!(!twice, "the mock cluster gave an offset twice");
        }
        Ok(ends)
    }

    /// Records read of a topic.
    pub(crate) fn of(&self, topic: &str) -> &[ReadRecord] {
        self.records.get(topic).map_or(&[], Vec::as_slice)
    }

    /// Number of records read of a topic.
    pub(crate) fn count(&self, topic: &str) -> u64 {
        self.of(topic).len() as u64
    }

    /// How long no record has come.
    pub(crate) fn quiet(&self) -> Duration {
        self.last.elapsed()
    }
}

fn copy(message: &BorrowedMessage<'_>) -> ReadRecord {
    let headers = message.headers().map_or_else(Vec::new, |headers| {
        let pairs = headers.iter();
        pairs
            .map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec)))
            .collect()
    });
    ReadRecord {
        partition: message.partition(),
        offset: message.offset(),
        key: message.key().map(<[u8]>::to_vec),
        headers,
        value: message.payload().map(<[u8]>::to_vec),
        timestamp: message.timestamp().to_millis(),
    }
}
