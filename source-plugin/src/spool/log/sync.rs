//! Syncing, and what becomes of a segment whose sync failed.
//!
//! Responsible for the durable watermark. Refuses to sync a file again after a failure: the system may have dropped the
//! bytes and call the next sync a success. What was not known durable is read back, checked, and written to a new
//! segment instead. Invariant: what [`Durable`] says was synced by a call that succeeded, on a file without a failure.

use std::io;
use std::sync::Arc;

use super::{Durable, Log};
use crate::spool::entry::{EntryKind, NewRecord};
use crate::spool::error::SpoolError;
use crate::spool::scan::Scanner;
use crate::spool::segment::Segment;

/// A sync to be done, on any thread.
#[derive(Debug)]
#[must_use = "nothing is durable before it has run"]
pub struct SyncTask {
    segment: Arc<Segment>,
    end: u64,
    durable: Durable,
}

/// A sync that was done, to be given back to [`Log::end_sync`].
#[derive(Debug)]
#[must_use = "the log must know of it"]
pub struct SyncDone {
    task: SyncTask,
    result: io::Result<()>,
}

impl SyncDone {
    /// Says whether the disk refused.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.result.is_err()
    }
}

impl SyncTask {
    /// Syncs; blocks as long as the disk does.
    pub fn run(self) -> SyncDone {
        let result = self.segment.sync();
        SyncDone { task: self, result }
    }
}

/// Records that were visible, not yet durable, and could not be read back after a sync that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// How many.
    pub records: u64,
    /// Number of the first.
    pub first: u64,
    /// Number of the last.
    pub last: u64,
}

/// A record read back.
#[derive(Debug)]
pub(super) struct Copy {
    sequence: u64,
    received_time_us: i64,
    id_hash: Option<u128>,
    tag: u32,
    payload: Vec<u8>,
}

impl Copy {
    fn of(record: &NewRecord<'_>) -> Self {
        Self {
            sequence: record.sequence,
            received_time_us: record.received_time_us,
            id_hash: record.id_hash,
            tag: record.tag,
            payload: record.body.to_vec(),
        }
    }

    pub(super) fn new_record(&self) -> NewRecord<'_> {
        NewRecord {
            sequence: self.sequence,
            received_time_us: self.received_time_us,
            id_hash: self.id_hash,
            tag: self.tag,
            head: &[],
            body: &self.payload,
        }
    }
}

impl Log {
    /// Writes the marks and syncs, on this thread.
    ///
    /// # Errors
    /// As [`Log::write_marks`] and [`Log::end_sync`]; what could be synced was. Retryable.
    pub fn sync(&mut self) -> Result<Durable, SpoolError> {
        let marks = self.write_marks();
        if let Some(task) = self.begin_sync()? {
            self.end_sync(task.run())?;
        }
        marks.map(|()| self.durable)
    }

    /// Returns the sync that would make everything in the log durable; `None` if it is.
    ///
    /// # Errors
    /// As [`Log::end_sync`], from an earlier sync that failed. Retryable.
    pub fn begin_sync(&mut self) -> Result<Option<SyncTask>, SpoolError> {
        self.replace_failed()?;
        let durable = self.snapshot();
        let dirty = self
            .active
            .as_ref()
            .filter(|active| active.end > active.durable_end);
        Ok(dirty.map(|active| SyncTask {
            segment: Arc::clone(&active.segment),
            end: active.end,
            durable,
        }))
    }

    /// Takes note of a sync; returns what is durable now. After one that failed, what is not known durable was written
    /// to a new segment and synced there.
    ///
    /// # Errors
    /// [`SpoolError::Full`] or [`SpoolError::Io`] if there is no new segment yet: the next call of any kind tries
    /// again. Retryable.
    pub fn end_sync(&mut self, done: SyncDone) -> Result<Durable, SpoolError> {
        let SyncDone { task, result } = done;
        match result {
            Ok(()) => {
                if let Some(active) = &mut self.active
                    && active.segment.name == task.segment.name
                {
                    active.durable_end = active.durable_end.max(task.end);
                }
                self.durable.merge(task.durable);
            }
            Err(error) => {
                tracing::warn!(
                    %error,
                    segment = task.segment.name.number,
                    "sync failed, the segment is given up for a new one"
                );
                self.replace_failed()?;
            }
        }
        Ok(self.durable)
    }

    /// Returns what was lost with failed syncs since the last call.
    pub fn take_loss(&mut self) -> Option<Loss> {
        self.loss.take()
    }

    /// Syncs the active segment before another one follows it: only the newest has anything that is not durable.
    pub(super) fn sync_before_roll(&mut self) -> Result<(), SpoolError> {
        match self.begin_sync()? {
            Some(task) => self.end_sync(task.run()).map(|_| ()),
            None => Ok(()),
        }
    }

    /// Begins a new segment if the active one's sync failed, with what was not known durable.
    pub(super) fn replace_failed(&mut self) -> Result<(), SpoolError> {
        let has_failed = self
            .active
            .as_ref()
            .is_some_and(|active| active.segment.has_failed());
        if has_failed {
            self.read_back();
            return self.begin_reserved();
        }
        if self.active.is_none() && !self.unsaved.is_empty() {
            return self.begin_reserved();
        }
        Ok(())
    }

    /// Reads what the failed segment holds behind its durable end: it was written, so the system may still have it,
    /// and the checksums say so.
    fn read_back(&mut self) {
        let Some(active) = &self.active else { return };
        let segment = &active.segment;
        let mut scanner = Scanner::new(segment.file(), segment.seed, active.durable_end, active.end);
        let mut copies = Vec::new();
        // Where reading fails, what follows is lost as well as if the checksum had failed.
        while let Ok(Some((_, entry))) = scanner.next() {
            if entry.kind == EntryKind::Record {
                copies.push(Copy::of(&entry.to_new_record()));
            }
        }
        let read_to = scanner.offset();
        let mut lost = active
            .index
            .iter()
            .filter(|entry| entry.offset >= read_to)
            .map(|entry| entry.sequence);
        let loss = lost.next().map(|first| (first, 1, first));
        let loss = lost.fold(loss, |loss, last| {
            loss.map(|(first, records, _)| (first, records + 1, last))
        });
        self.unsaved = copies;
        if let Some((first, records, last)) = loss {
            tracing::error!(records, first, last, "records were lost with a sync that failed");
            let before = self.loss.take().unwrap_or(Loss {
                records: 0,
                first,
                last,
            });
            self.loss = Some(Loss {
                records: before.records + records,
                first: before.first,
                last,
            });
        }
    }
}
