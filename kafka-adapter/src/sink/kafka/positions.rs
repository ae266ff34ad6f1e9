//! The last position of a shard, read from its topic.
//!
//! Responsible for reading to the end of what was there when it began, whichever transactions were open then. Refuses to
//! take a pause for the end. Invariant: a position that was committed before the call is not missed.
//!
//! A shard's positions lie in one partition, and in another one after partitions were added: the latest counts.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Message, Offset, TopicPartitionList};

use super::extent::{Extent, lacks_read, unread};
use super::settings::KafkaSettings;

/// Longest wait for one answer of a broker, in milliseconds.
pub(super) const ANSWER_MS: u64 = 5_000;
const ANSWER: Duration = Duration::from_millis(ANSWER_MS);
/// Pause between two looks at a transaction of another shard that has not ended.
const LOOK: Duration = Duration::from_millis(20);

/// Reads the last position of a shard; none if `given_up` said so before it was found.
///
/// # Errors
/// Why it could not be read, in words, with the mend behind a semicolon if there is one; the same call may succeed later.
pub(super) fn last(
    settings: &KafkaSettings,
    shard: &str,
    given_up: &dyn Fn() -> bool,
) -> Result<Option<Option<Vec<u8>>>, String> {
    let topic = settings.topics.positions.as_str();
    let failed = |reason: String| format!("topic {topic}: {reason}");
    let told = |error: KafkaError| failed(unread(error));
    let consumer: BaseConsumer = settings.reader_config().create().map_err(told)?;
    let mut any_config = settings.reader_config();
    let any: BaseConsumer = any_config
        .set("isolation.level", "read_uncommitted")
        .create()
        .map_err(told)?;
    let extents = Extent::of_topic(&any, topic, ANSWER).map_err(failed)?;
    let mut assignment = TopicPartitionList::new();
    let mut open = Vec::new();
    for extent in extents {
        let (partition, end) = (extent.partition, extent.high);
        // whoever reads committed records alone stops at the first transaction that is open, also one of another shard
        while consumer
            .fetch_watermarks(topic, partition, ANSWER)
            .map_err(told)?
            .1
            < end
        {
            if given_up() {
                return Ok(None);
            }
            thread::sleep(LOOK);
        }
        if !extent.is_empty() {
            assignment
                .add_partition_offset(topic, partition, Offset::Beginning)
                .map_err(told)?;
            open.push((partition, end));
        }
    }
    consumer.assign(&assignment).map_err(told)?;
    let mut last = BTreeMap::new();
    let mut failed = 0;
    while !open.is_empty() {
        if given_up() {
            return Ok(None);
        }
        match consumer.poll(LOOK) {
            Some(Ok(message)) => {
                if message.key() == Some(shard.as_bytes()) {
                    let position = message.payload().map(<[u8]>::to_vec);
                    last.insert(message.partition(), (message.timestamp().to_millis(), position));
                }
                // while another process writes all the time, the end that moves is never reached
                let place = (message.partition(), message.offset());
                open.retain(|(partition, end)| *partition != place.0 || place.1 + 1 < *end);
            }
            // markers of transactions occupy offsets, so that the last record may lie before the end
            Some(Err(KafkaError::PartitionEOF(partition))) => open.retain(|(other, _)| *other != partition),
            Some(Err(error)) => {
                failed += 1;
                // a connection that breaks is made again by the library; a right that is lacking is told but once
                if failed > 50 || lacks_read(&error) {
                    return Err(told(error));
                }
            }
            None => {}
        }
    }
    // within a partition its order tells the latest, between two of them only the time
    let latest = last.into_values().max_by_key(|(time_ms, _)| *time_ms);
    Ok(Some(latest.and_then(|(_, position)| position)))
}
