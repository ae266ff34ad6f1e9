//! Audit records straight from the topic: every partition from its beginning to the end that it has at the start.
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
use super::{Error, Report, Stream, judge};
use crate::sink::KafkaSettings;

/// Longest wait for one poll; the consumer's own events are served between two.
const POLL: Duration = Duration::from_millis(50);

/// Verifies the audit topic of these settings. With `partial`, a run may begin with any number.
///
/// # Errors
/// [`Error::Topic`] if the topic is not there, or no broker answers for `start_timeout_ms`.
pub fn topic(settings: &KafkaSettings, partial: bool) -> Result<Report, Error> {
    let topic = settings.topics.audit.as_str();
    let wait = Duration::from_millis(settings.start_timeout_ms);
    let failed = |reason: String| Error::Topic {
        topic: topic.to_owned(),
        servers: settings.bootstrap_servers.clone(),
        reason,
    };
    let told = |error: KafkaError| failed(reason(&error));
    let consumer: BaseConsumer = settings.reader_config().create().map_err(told)?;
    let metadata = consumer.fetch_metadata(Some(topic), wait).map_err(told)?;
    let partitions: Vec<i32> = metadata
        .topics()
        .first()
        .map(|topic| {
            topic
                .partitions()
                .iter()
                .map(|partition| partition.id())
                .collect()
        })
        .unwrap_or_default();
    if partitions.is_empty() {
        return Err(failed("it does not exist".to_owned()));
    }
    let mut assignment = TopicPartitionList::new();
    let mut ends = Vec::new();
    for partition in partitions {
        let (low, high) = consumer.fetch_watermarks(topic, partition, wait).map_err(told)?;
        if low < high {
            assignment
                .add_partition_offset(topic, partition, Offset::Offset(low))
                .map_err(told)?;
            ends.push((partition, high));
        }
    }
    let consumer = Arc::new(consumer);
    let mut streams: Vec<Box<dyn Stream>> = Vec::new();
    for (partition, end) in ends {
        let queue = consumer
            .split_partition_queue(topic, partition)
            .ok_or_else(|| failed(format!("partition {partition} has no queue")))?;
        streams.push(Box::new(Partition {
            consumer: Arc::clone(&consumer),
            queue,
            topic: topic.to_owned(),
            servers: settings.bootstrap_servers.clone(),
            partition,
            end,
            wait,
        }));
    }
    consumer.assign(&assignment).map_err(told)?;
    judge(streams, partial)
}

fn reason(error: &KafkaError) -> String {
    error
        .rdkafka_error_code()
        .map_or_else(|| error.to_string(), |code| code.to_string())
}

/// One partition.
struct Partition {
    consumer: Arc<BaseConsumer>,
    queue: PartitionQueue<DefaultConsumerContext>,
    topic: String,
    servers: String,
    partition: i32,
    /// The offset after the last record that was there at the start.
    end: i64,
    wait: Duration,
}

impl Stream for Partition {
    fn name(&self) -> StreamName {
        StreamName::Partition(self.topic.clone(), self.partition)
    }

    fn next(&mut self) -> Result<Option<(u64, Vec<u8>)>, Error> {
        let deadline = Instant::now() + self.wait;
        let mut last = None;
        while Instant::now() < deadline {
            // connection errors and the like come this way; the queue has the records
            if let Some(Err(error)) = self.consumer.poll(Duration::ZERO) {
                last = Some(reason(&error));
            }
            match self.queue.poll(POLL) {
                Some(Ok(message)) if message.offset() >= self.end => return Ok(None),
                Some(Ok(message)) => {
                    let offset = u64::try_from(message.offset()).unwrap_or_default();
                    return Ok(Some((offset, message.payload().unwrap_or_default().to_vec())));
                }
                // markers of transactions occupy the offsets before the end: only this tells that it is reached
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(None),
                Some(Err(error)) => last = Some(reason(&error)),
                None => {}
            }
        }
        Err(Error::Topic {
            topic: self.topic.clone(),
            servers: self.servers.clone(),
            reason: format!(
                "no answer for {} ms{}",
                self.wait.as_millis(),
                last.map(|reason| format!(" ({reason})")).unwrap_or_default()
            ),
        })
    }
}
