//! Audit records straight from the topic: every partition, or its tail, to the end that it has at the start.
//!
//! Responsible for one queue a partition, so that all are read in order of time whatever the brokers send first. Refuses
//! to join a group or to commit: whoever reads along is not disturbed. Invariant: what aborted transactions left is not
//! seen.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, Consumer, DefaultConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::{Message, Offset, TopicPartitionList};

use super::place::StreamName;
use super::{Demand, Error, Report, Stream, judge};
use crate::sink::{Extent, KafkaSettings, in_words, lacks_read, unread};

/// Longest wait for one poll; the consumer's own events are served between two.
const POLL: Duration = Duration::from_millis(50);

/// Audit records about the run itself that may be in flight beside those of its records: it sends one after the other.
const RUNS_OWN: u64 = 1;

/// Verifies the audit topic of these settings; a run that was killed may have had as many records in flight as they say.
///
/// # Errors
/// [`Error::Topic`] if the topic is not there, or no broker answers for `start_timeout_ms`.
pub fn topic(settings: &KafkaSettings, demand: &Demand) -> Result<Report, Error> {
    let streams = partitions(settings, Begin::Log)?
        .into_iter()
        .map(|partition| Box::new(partition) as Box<dyn Stream>)
        .collect();
    // a record waits for its audit behind at most a window of others, and as many have been pulled since
    let window = settings.max_in_flight_records as u64 + RUNS_OWN;
    let demand = Demand {
        in_flight: window.saturating_mul(2),
        ..demand.clone()
    };
    judge(streams, &demand)
}

/// Where a partition is read from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Begin {
    /// Its first record that is still there.
    Log,
    /// So many offsets before its end.
    BeforeEnd(i64),
}

/// The partitions of the audit topic, ready to be read.
///
/// # Errors
/// As [`topic`].
pub(super) fn partitions(settings: &KafkaSettings, begin: Begin) -> Result<Vec<Partition>, Error> {
    let topic = settings.topics.audit.as_str();
    let wait = Duration::from_millis(settings.start_timeout_ms);
    let failed = |reason: String| Error::Topic {
        topic: topic.to_owned(),
        servers: settings.bootstrap_servers.clone(),
        reason,
    };
    let told = |error: KafkaError| failed(unread(error));
    let consumer: BaseConsumer = settings.reader_config().create().map_err(told)?;
    let extents = Extent::of_topic(&consumer, topic, wait).map_err(failed)?;
    let from = |extent: &Extent| match begin {
        Begin::Log => extent.low,
        Begin::BeforeEnd(offsets) => extent.low.max(extent.high - offsets),
    };
    let mut assignment = TopicPartitionList::new();
    for extent in extents.iter().filter(|extent| !extent.is_empty()) {
        assignment
            .add_partition_offset(topic, extent.partition, Offset::Offset(from(extent)))
            .map_err(told)?;
    }
    let consumer = Arc::new(consumer);
    let mut streams = Vec::with_capacity(extents.len());
    for extent in extents {
        let Extent { partition, low, high } = extent;
        let queue = (!extent.is_empty())
            .then(|| {
                consumer
                    .split_partition_queue(topic, partition)
                    .ok_or_else(|| failed(format!("partition {partition} has no queue")))
            })
            .transpose()?;
        streams.push(Partition {
            consumer: Arc::clone(&consumer),
            queue,
            topic: topic.to_owned(),
            servers: settings.bootstrap_servers.clone(),
            partition,
            end: high,
            begins_with_the_log: from(&extent) == low,
            is_deleted_from: low > 0,
            wait,
        });
    }
    consumer.assign(&assignment).map_err(told)?;
    Ok(streams)
}

/// One partition.
pub(super) struct Partition {
    consumer: Arc<BaseConsumer>,
    /// None if there is nothing to read.
    queue: Option<PartitionQueue<DefaultConsumerContext>>,
    topic: String,
    servers: String,
    partition: i32,
    /// The offset after the last record that was there at the start.
    end: i64,
    /// What is read is all that the partition holds.
    pub(super) begins_with_the_log: bool,
    /// The partition held more.
    is_deleted_from: bool,
    wait: Duration,
}

impl Stream for Partition {
    fn name(&self) -> StreamName {
        StreamName::Partition(self.topic.clone(), self.partition)
    }

    fn has_lost_its_beginning(&self) -> bool {
        self.is_deleted_from
    }

    fn next(&mut self) -> Result<Option<(u64, Vec<u8>)>, Error> {
        let Some(queue) = &self.queue else {
            return Ok(None);
        };
        let deadline = Instant::now() + self.wait;
        let mut last = None;
        while Instant::now() < deadline {
            // connection errors and the like come this way; the queue has the records
            match self.consumer.poll(Duration::ZERO) {
                Some(Err(error)) if lacks_read(&error) => return Err(self.failed(unread(error))),
                Some(Err(error)) => last = Some(in_words(error)),
                Some(Ok(_)) | None => {}
            }
            match queue.poll(POLL) {
                Some(Ok(message)) if message.offset() >= self.end => return Ok(None),
                Some(Ok(message)) => {
                    let offset = u64::try_from(message.offset()).unwrap_or_default();
                    return Ok(Some((offset, message.payload().unwrap_or_default().to_vec())));
                }
                // markers of transactions occupy the offsets before the end: only this tells that it is reached
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(None),
                Some(Err(error)) if lacks_read(&error) => return Err(self.failed(unread(error))),
                Some(Err(error)) => last = Some(in_words(error)),
                None => {}
            }
        }
        Err(self.failed(format!(
            "no answer for {} ms{}",
            self.wait.as_millis(),
            last.map(|reason| format!(" ({reason})")).unwrap_or_default()
        )))
    }
}

impl Partition {
    fn failed(&self, reason: String) -> Error {
        Error::Topic {
            topic: self.topic.clone(),
            servers: self.servers.clone(),
            reason,
        }
    }
}
