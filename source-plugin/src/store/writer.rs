//! The network thread's end of the spool: chunks in, appended in order, shown once they are.
//!
//! Responsible for what could not be appended: it is kept, in order, and offered again. Refuses to pass a chunk by.
//! Invariant: a record is in the queue, or known to be behind it, only after the write that brought it into the log.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::codec::Heads;
use super::{Store, lock};
use crate::queue::Slice;
use crate::record::Chunk;
use crate::spool::{AppendError, COUNTER_BITS, SpoolError, epoch_of};

/// See the module.
#[derive(Debug)]
pub(crate) struct Writer {
    store: Arc<Store>,
    heads: Heads,
    unwritten: VecDeque<Slice>,
    /// What was said last of a spool that takes nothing.
    said: Option<String>,
}

impl Writer {
    /// Makes the only writer of a spool.
    pub(crate) fn new(store: Arc<Store>) -> Self {
        Self {
            store,
            heads: Heads::default(),
            unwritten: VecDeque::new(),
            said: None,
        }
    }

    /// Returns the spool.
    pub(crate) fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Takes a chunk over; it is written by the next [`Writer::flush`].
    pub(crate) fn push(&mut self, chunk: Chunk) {
        let end = chunk.len();
        self.unwritten.push_back(Slice {
            chunk: Arc::new(chunk),
            start: 0,
            end,
        });
    }

    /// Says whether something could not be written yet.
    pub(crate) fn is_blocked(&self) -> bool {
        !self.unwritten.is_empty()
    }

    /// Returns when the first record was received that is not written, microseconds since 1970 UTC.
    pub(crate) fn unwritten_since_us(&self) -> Option<i64> {
        let first = self.unwritten.front()?.records().next()?;
        Some(first.received_time_us())
    }

    /// Writes what was taken over, in order; what the spool does not take now stays.
    ///
    /// # Errors
    /// [`SpoolError`] that no waiting mends: a record larger than a segment, a number out of order.
    pub(crate) fn flush(&mut self) -> Result<(), SpoolError> {
        while let Some(slice) = self.unwritten.front_mut() {
            let written = self.store.append(&mut self.heads, slice);
            let count = written
                .as_ref()
                .map_or_else(|error| error.appended, |()| slice.len());
            slice.start += count;
            if slice.is_empty() {
                self.unwritten.pop_front();
            }
            match written {
                Ok(()) => {}
                Err(error) if error.is_retryable() => {
                    let text = error.source.to_string();
                    if self.said.is_none() {
                        tracing::error!(error = text, "spool takes no record");
                    }
                    self.said = Some(text);
                    return Ok(());
                }
                Err(error) => return Err(error.source),
            }
        }
        if self.said.take().is_some() {
            tracing::info!("spool takes records again");
        }
        Ok(())
    }
}

impl Store {
    /// Appends the records of `slice` and shows those that are in the log.
    fn append(&self, heads: &mut Heads, slice: &mut Slice) -> Result<(), AppendError> {
        let mut feeding = lock(&self.feeding);
        let mut guard = self.log();
        let Some(log) = guard.as_mut() else {
            // Shut under the writer's hands: the process is ending, and the next start dates its gap.
            return Ok(());
        };
        let first = slice.records().next().map_or(0, |first| first.sequence());
        if epoch_of(first) != log.epoch() {
            // The host's position was of a later epoch, and nothing of this slice has been shown.
            Arc::make_mut(&mut slice.chunk).move_to_epoch(log.epoch(), COUNTER_BITS);
        }
        heads.encode(slice.records());
        let records: Vec<_> = heads.new_records(slice.records()).collect();
        let written = log.append(&records);
        drop(guard);
        let count = written
            .as_ref()
            .map_or_else(|error| error.appended, |()| slice.len());
        let is_full = matches!(&written, Err(error) if matches!(error.source, SpoolError::Full { .. }));
        self.is_full.store(is_full, Ordering::Relaxed);
        if count > 0 {
            let shown = Slice {
                chunk: Arc::clone(&slice.chunk),
                start: slice.start,
                end: slice.start + count,
            };
            let last = shown.records().last().map_or(0, |last| last.sequence());
            let received_us = shown.records().next().map_or(0, |first| first.received_time_us());
            let (records, bytes) = (shown.len(), shown.size_bytes());
            let room = self.queue.room();
            let fits = room.is_empty || (records <= room.records && bytes <= room.bytes);
            if !feeding.is_behind && fits {
                feeding.fed_to = last;
                self.queue.publish_tail(shown);
            } else {
                feeding.is_behind = true;
                self.queue.fall_behind(records, bytes, received_us);
            }
            self.bell.tell_dirty();
        }
        written
    }
}
