//! The four topics of a cluster.
//!
//! Responsible for one consumer over all their partitions, from the beginning. Refuses an offset that comes twice.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::Reader;
use crate::raw::{Place, Raw, Route, Wrapping};
use crate::scenario::TOPICS;

/// Longest time for one question about offsets.
const OFFSETS: Duration = Duration::from_secs(10);

/// A reader of the demo's topics.
pub(crate) struct TopicReader {
    consumer: BaseConsumer,
}

impl TopicReader {
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
        for (_, topic, partitions) in TOPICS {
            for partition in 0..partitions {
                assignment.add_partition_offset(topic, partition, Offset::Beginning)?;
            }
        }
        consumer.assign(&assignment).context("cannot read the topics")?;
        Ok(Self { consumer })
    }
}

impl Reader for TopicReader {
    fn read(&mut self, wait: Duration) -> Vec<(Route, Raw)> {
        // errors are of the connection and the client retries; what is never read is missing from the proof
        let Some(Ok(message)) = self.consumer.poll(wait) else {
            return Vec::new();
        };
        let known = TOPICS.into_iter().find(|(_, topic, _)| *topic == message.topic());
        known
            .map(|(route, ..)| (route, copy(&message)))
            .into_iter()
            .collect()
    }

    fn ends(&mut self) -> anyhow::Result<BTreeMap<Route, u64>> {
        let mut ends = BTreeMap::new();
        for (route, topic, partitions) in TOPICS {
            for partition in 0..partitions {
                let watermarks = self.consumer.fetch_watermarks(topic, partition, OFFSETS);
                let (_, high) = watermarks.with_context(|| format!("no offsets of {topic}/{partition}"))?;
                *ends.entry(route).or_default() += u64::try_from(high).unwrap_or(0);
            }
        }
        Ok(ends)
    }

    fn arrange(&self, records: &mut [Raw]) -> anyhow::Result<()> {
        records.sort_by(|one, other| one.place.cmp(&other.place));
        let twice = records.windows(2).any(|pair| pair[0].place == pair[1].place);
        ensure!(!twice, "the mock cluster gave an offset twice");
        Ok(())
    }
}

fn copy(message: &BorrowedMessage<'_>) -> Raw {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let headers = message.headers().map_or_else(Vec::new, |headers| {
        let pairs = headers.iter();
        pairs
            .map(|header| (header.key.to_owned(), text(header.value.unwrap_or_default())))
            .collect()
    });
    Raw {
        place: Place::Kafka {
            topic: message.topic().to_owned(),
            partition: message.partition(),
            offset: message.offset(),
        },
        key: message.key().map(text),
        headers,
        bytes: message.payload().unwrap_or_default().to_vec(),
        wrapping: Wrapping::Bare,
    }
}
