//! Dead letters straight from their topic: each partition from its beginning to the end that it has at the start.
//!
//! Responsible for reading the partitions one after the other, each in its order. Refuses to join a group or to commit:
//! whoever reads along is not disturbed. Invariant: what the replay itself writes to the topic is not read.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Message, Offset, TopicPartitionList};

use super::{Error, Visit};
use crate::sink::{Extent, KafkaSettings, in_words, lacks_read, unread};

/// Longest wait for one poll.
const POLL: Duration = Duration::from_millis(50);

/// Hands the value of each message to `visit`, with its place.
///
/// # Errors
/// [`Error::Topic`] if the topic is not there, or no broker answers for `start_timeout_ms`; those of `visit`.
pub(super) fn read(settings: &KafkaSettings, visit: Visit<'_>) -> Result<(), Error> {
    let topic = settings.topics.dead_letter.as_str();
    let wait = Duration::from_millis(settings.start_timeout_ms);
    let failed = |reason: String| Error::Topic {
        topic: topic.to_owned(),
        servers: settings.bootstrap_servers.clone(),
        reason,
    };
    let told = |error: KafkaError| failed(unread(error));
    let consumer: BaseConsumer = settings.reader_config().create().map_err(told)?;
    let extents = Extent::of_topic(&consumer, topic, wait).map_err(failed)?;
    for Extent { partition, low, high } in extents.into_iter().filter(|extent| !extent.is_empty()) {
        let mut assignment = TopicPartitionList::new();
        assignment
            .add_partition_offset(topic, partition, Offset::Offset(low))
            .map_err(told)?;
        consumer.assign(&assignment).map_err(told)?;
        let mut last = None;
        let mut deadline = Instant::now() + wait;
        loop {
            match consumer.poll(POLL) {
                Some(Ok(message)) if message.offset() >= high => break,
                Some(Ok(message)) => {
                    let place = format!("{topic}/{partition}@{}", message.offset());
                    visit(&place, message.payload().unwrap_or_default())?;
                    if message.offset() + 1 >= high {
                        break;
                    }
                    deadline = Instant::now() + wait;
                }
                // markers of transactions occupy the offsets before the end: only this tells that it is reached
                Some(Err(KafkaError::PartitionEOF(_))) => break,
                Some(Err(error)) if lacks_read(&error) => return Err(told(error)),
                Some(Err(error)) => last = Some(in_words(error)),
                None => {}
            }
            if Instant::now() >= deadline {
                return Err(failed(format!(
                    "no answer for {} ms{}",
                    wait.as_millis(),
                    last.map(|reason| format!(" ({reason})")).unwrap_or_default()
                )));
            }
        }
    }
    Ok(())
}
