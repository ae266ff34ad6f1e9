//! At which offset a delivered record lies, as far as the broker has said it.
//!
//! Responsible for telling a broker's offset from one that librdkafka has counted up from "none". Refuses to name a place
//! that nobody named: an audit record would tell a lie. Invariant: without a lock on what the sender holds.

use std::sync::{Mutex, PoisonError};

/// Follows the delivered records of one producer, in the order in which they are reported.
///
/// A batch that the broker calls a duplicate, or that is known to be written by the answer to the one behind it, has no
/// offset. librdkafka gives its first record a negative one and counts up from there, so that the second record of a
/// duplicate lies at 0, the third at 1. The broker's own offset of a record behind `n` such records is at least `n`, since
/// those lie before it, and the count has reached `n - 1` at most: the two cannot be mistaken for each other.
///
/// # Source
/// librdkafka 2.12.1, `rd_kafka_msgq_set_metadata`; measured with its mock cluster.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// The batch without a place that the last report was of.
    unplaced: Mutex<Option<Unplaced>>,
}

#[derive(Debug)]
struct Unplaced {
    topic: String,
    partition: i32,
    /// What the next record of the batch would be counted as.
    next: i64,
}

impl Places {
    /// The offset of a record that was reported with `offset`; `None` if the broker named none.
    pub(super) fn offset(&self, topic: &str, partition: i32, offset: i64) -> Option<i64> {
        let mut unplaced = self.unplaced.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(batch) = unplaced.as_mut()
            && (batch.topic.as_str(), batch.partition, batch.next) == (topic, partition, offset)
        {
            batch.next += 1;
            return None;
        }
        *unplaced = (offset < 0).then(|| Unplaced {
            topic: topic.to_owned(),
            partition,
            next: offset + 1,
        });
        (offset >= 0).then_some(offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offsets(places: &Places, partition: i32, reported: &[i64]) -> Vec<Option<i64>> {
        let each = reported.iter();
        each.map(|offset| places.offset("events", partition, *offset))
            .collect()
    }

    #[test]
    fn an_offset_of_the_broker_is_the_place() {
        let places = Places::default();
        assert_eq!(offsets(&places, 0, &[0, 1, 2]), [Some(0), Some(1), Some(2)]);
        assert_eq!(offsets(&places, 1, &[0, 7]), [Some(0), Some(7)]);
    }

    #[test]
    fn a_batch_without_an_offset_has_no_place_in_any_of_its_records() {
        let places = Places::default();
        assert_eq!(offsets(&places, 0, &[-1, 0, 1, 2]), [None; 4]);
        // the batch behind it, whose offset cannot be lower than what lies before it
        assert_eq!(offsets(&places, 0, &[4, 5]), [Some(4), Some(5)]);
        assert_eq!(
            offsets(&places, 0, &[-2, -1, 0, -2, -1, 0, 9]).last(),
            Some(&Some(9))
        );
        assert_eq!(
            offsets(&places, 0, &(-1001..900).collect::<Vec<_>>()),
            [None; 1901]
        );
    }

    #[test]
    fn another_partition_or_topic_does_not_continue_it() {
        let places = Places::default();
        assert_eq!(offsets(&places, 0, &[-1]), [None]);
        assert_eq!(offsets(&places, 1, &[0]), [Some(0)]);
        assert_eq!(offsets(&places, 0, &[-1]), [None]);
        assert_eq!(places.offset("audit", 0, 0), Some(0));
    }
}
