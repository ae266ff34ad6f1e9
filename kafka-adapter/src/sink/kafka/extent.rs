//! How far a topic reaches at this moment, for those who read it to its end.
//!
//! Responsible for the offsets of every partition, asked for before the first record is read, so that what the reader
//! itself causes is not read. Refuses a topic that is not there. Invariant: a partition without a record is told, too.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

/// What a partition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Number of the partition.
    pub partition: i32,
    /// Offset of its first record.
    pub low: i64,
    /// Offset after its last one; the marker of a transaction may be the last.
    pub high: i64,
}

impl Extent {
    /// Asks for every partition of `topic`, waiting at most `wait` for each answer.
    ///
    /// # Errors
    /// Why it is not known, in words; retryable unless the topic does not exist.
    pub fn of_topic(consumer: &BaseConsumer, topic: &str, wait: Duration) -> Result<Vec<Self>, String> {
        let metadata = consumer.fetch_metadata(Some(topic), wait).map_err(in_words)?;
        let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
        let extents: Vec<Self> = partitions
            .map(|partition| {
                let partition = partition.id();
                let (low, high) = consumer
                    .fetch_watermarks(topic, partition, wait)
                    .map_err(in_words)?;
                Ok(Self { partition, low, high })
            })
            .collect::<Result<_, String>>()?;
        if extents.is_empty() {
            return Err("it does not exist".to_owned());
        }
        Ok(extents)
    }

    /// Says whether there is nothing to read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.low >= self.high
    }
}

/// Whether a topic may not be read. The library says it once, so that whoever reads on waits for ever.
#[must_use]
pub fn lacks_read(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::TopicAuthorizationFailed)
}

/// A failure to read a topic in words, with the mend behind a semicolon if there is one.
#[must_use]
pub fn unread(error: KafkaError) -> String {
    let mend = if lacks_read(&error) {
        "; give this user the right Read on it"
    } else {
        ""
    };
    in_words(error) + mend
}

/// A failure of the client in the library's words, without the names of its own types.
#[must_use]
#[expect(clippy::needless_pass_by_value, reason = "used as a function of `map_err`")]
pub fn in_words(error: KafkaError) -> String {
    error
        .rdkafka_error_code()
        .map_or_else(|| error.to_string(), |code| code.to_string())
}
