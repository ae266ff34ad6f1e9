//! The source of a replay as a feed: what still is a dead letter is set aside.
//!
//! Responsible for taking dead letters out of what the pipeline sees, and for telling them. Refuses to change a record.
//! Invariant: each record of the source is either seen by the pipeline or told, and those told are committed with what
//! surrounds them.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use super::Tally;
use crate::pipeline::{AttributesOf, Batch, Feed, FeedError, PullLimits, Pulled};
use crate::record::{Attributes as _, Kind, Record};

/// Sequences that decide what may be committed.
#[derive(Debug, Default)]
struct Places {
    /// Last record that the pipeline has seen.
    kept: u64,
    /// Last record that was set aside.
    aside: u64,
    committed: u64,
}

/// See the module.
#[derive(Debug)]
pub struct ReplayFeed<F> {
    source: F,
    tally: Arc<Tally>,
    places: Mutex<Places>,
}

/// The records of a batch that the pipeline sees.
#[derive(Debug)]
pub struct Kept<B> {
    batch: B,
    indexes: Vec<usize>,
}

impl<F> ReplayFeed<F> {
    /// Takes over a source; what it sets aside is told to `tally`.
    #[must_use]
    pub fn new(source: F, tally: Arc<Tally>) -> Self {
        Self {
            source,
            tally,
            places: Mutex::default(),
        }
    }
}

impl<B: Batch> Batch for Kept<B> {
    fn len(&self) -> usize {
        self.indexes.len()
    }

    fn record(&self, index: usize) -> Record<'_> {
        self.batch.record(self.indexes[index])
    }

    fn each_attribute(&self, index: usize, visit: &mut dyn FnMut(&str, &str)) {
        self.batch.each_attribute(self.indexes[index], visit);
    }
}

impl<F: Feed> Feed for ReplayFeed<F> {
    type Batch = Kept<F::Batch>;

    fn next_batch(&self, limits: PullLimits) -> Result<Pulled<Self::Batch>, FeedError> {
        let batch = match self.source.next_batch(limits)? {
            Pulled::Batch(batch) => batch,
            Pulled::Nothing => return Ok(Pulled::Nothing),
            Pulled::End => return Ok(Pulled::End),
        };
        let mut indexes = Vec::with_capacity(batch.len());
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        for index in 0..batch.len() {
            let record = batch.record(index);
            if record.kind == Kind::DeadLetter {
                places.aside = record.sequence;
                let attributes = AttributesOf { batch: &batch, index };
                let (mut stage, mut reason) = (String::new(), String::new());
                attributes.copy_value("stage", &mut stage);
                attributes.copy_value("reason", &mut reason);
                self.tally.tell(record.id, format_args!("{stage}: {reason}"));
            } else {
                places.kept = record.sequence;
                indexes.push(index);
            }
        }
        if !indexes.is_empty() {
            return Ok(Pulled::Batch(Kept { batch, indexes }));
        }
        if places.committed >= places.kept {
            self.source.commit(places.aside)?;
        }
        Ok(Pulled::Nothing)
    }

    fn commit(&self, sequence: u64) -> Result<(), FeedError> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.committed = places.committed.max(sequence);
        let with_aside = if places.committed >= places.kept {
            sequence.max(places.aside)
        } else {
            sequence
        };
        self.source.commit(with_aside)
    }

    fn stats(&self) -> Result<Value, FeedError> {
        self.source.stats()
    }

    fn interrupt(&self) {
        self.source.interrupt();
    }

    fn drain(&self, deadline_ms: u32) -> Result<(), FeedError> {
        self.source.drain(deadline_ms)
    }

    fn close(&self, timeout_ms: u32) -> Result<(), FeedError> {
        self.source.close(timeout_ms)
    }
}

#[cfg(test)]
mod tests;
