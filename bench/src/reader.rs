//! A reader of committed records that notes when it got each event.
//!
//! Responsible for one topic from its beginning, with librdkafka's defaults: what a consumer of the events sees.
//! Refuses a record without the id that the adapter's CloudEvents headers carry. Invariant: an event is noted at each
//! sight, so a second one shows.

use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, ensure};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

/// Header of the event's id.
///
/// # Source
/// CloudEvents, Kafka protocol binding 1.0.2, section 3.2: attributes are headers with the prefix `ce_`.
const ID: &str = "ce_id";
/// Longest wait for one answer of the broker.
const ANSWER: Duration = Duration::from_secs(5);
/// Pause between two looks for a topic that is not there yet.
const PAUSE: Duration = Duration::from_millis(20);
/// Longest wait of one poll.
const POLL: Duration = Duration::from_millis(50);

/// One event as it came to the reader.
#[derive(Debug)]
pub(crate) struct Seen {
    /// Its id.
    pub(crate) id: String,
    /// When the poll returned it, in microseconds since 1970.
    pub(crate) at_us: u64,
}

/// See the module.
pub(crate) struct Reader {
    consumer: BaseConsumer,
    seen: Vec<Seen>,
}

impl Reader {
    /// Waits until the topic is there and reads it from its beginning.
    pub(crate) fn join(bootstrap_servers: &str, topic: &str, timeout: Duration) -> anyhow::Result<Self> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap_servers)
            // assigned by hand, so the group is never joined; librdkafka wants its name
            .set("group.id", "bench")
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            .create()?;
        let deadline = Instant::now() + timeout;
        let partitions = loop {
            let metadata = consumer.fetch_metadata(Some(topic), ANSWER);
            let topics = metadata.as_ref().map(rdkafka::metadata::Metadata::topics);
            let found = topics.ok().and_then(<[_]>::first);
            if let Some(found) =
                found.filter(|found| found.error().is_none() && !found.partitions().is_empty())
            {
                break found
                    .partitions()
                    .iter()
                    .map(|partition| partition.id())
                    .collect::<Vec<_>>();
            }
            ensure!(
                Instant::now() < deadline,
                "there is no topic {topic} after {timeout:?}"
            );
            std::thread::sleep(PAUSE);
        };
        let mut assignment = TopicPartitionList::new();
        for partition in partitions {
            assignment.add_partition_offset(topic, partition, Offset::Beginning)?;
        }
        consumer.assign(&assignment)?;
        Ok(Self {
            consumer,
            seen: Vec::new(),
        })
    }

    /// Reads until `has_all` says so of the number of events, looked at after each poll, at most for `timeout`.
    pub(crate) fn read_until(
        &mut self,
        timeout: Duration,
        mut has_all: impl FnMut(u64) -> bool,
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + timeout;
        while !has_all(self.seen.len() as u64) {
            ensure!(
                Instant::now() < deadline,
                "{} events are visible after {timeout:?}",
                self.seen.len()
            );
            if let Some(message) = self.consumer.poll(POLL) {
                let message = message.context("the events cannot be read")?;
                self.seen.push(Seen {
                    id: id(&message)?,
                    at_us: now_us()?,
                });
            }
        }
        Ok(())
    }

    /// Every sight of an event, in order.
    pub(crate) fn into_seen(self) -> Vec<Seen> {
        self.seen
    }
}

fn id(message: &BorrowedMessage<'_>) -> anyhow::Result<String> {
    let headers = message.headers().context("an event has no headers")?;
    let header = headers.iter().find(|header| header.key == ID);
    let value = header
        .and_then(|header| header.value)
        .context("an event has no id")?;
    Ok(std::str::from_utf8(value)?.to_owned())
}

// the clock that the simulator's ground truth has
fn now_us() -> anyhow::Result<u64> {
    Ok(u64::try_from(
        SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)?
            .as_micros(),
    )?)
}
