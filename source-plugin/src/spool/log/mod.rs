//! The one writer of a spool.
//!
//! Responsible for appending records and marks, and for knowing what of them is durable. Refuses a number that does
//! not grow, and records while there is no reserve for marks. Invariant: entries are visible in the order of their
//! numbers, only the newest segment has anything that is not synced, and nothing of a write that failed stays visible.
//!
//! The calls do disk input and output and none of them waits for anything else. Whoever shares a log between threads
//! puts it under a lock and calls [`SyncTask::run`] and [`ReclaimTask::run`] outside of it. Dropping it frees the directory and syncs nothing.

mod marks;
mod open;
mod reclaim;
mod space;
mod sync;

use std::sync::Arc;

use uuid::Uuid;

use super::catalog::Catalog;
use super::entry::{Encoder, NewRecord};
use super::error::{AppendError, Limit, SpoolError};
use super::header::{Predecessor, State};
use super::index::IndexEntry;
use super::lineage::Lineage;
use super::reader::Reader;
use super::recovery::Retired;
use super::segment::Segment;
use super::settings::{Settings, epoch_of};
use super::storage::{Storage, StorageLock, write_full_at};

pub use reclaim::{ReclaimDone, ReclaimTask, Reclaimed};
use sync::Copy;
pub use sync::{Loss, SyncDone, SyncTask};

/// What survives a power cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Durable {
    /// Number of the last record; everything before it is durable too, or was reported by [`Log::take_loss`].
    pub sequence: u64,
    /// The commit mark.
    pub commit: u64,
    /// The liveness mark, microseconds since 1970 UTC.
    pub alive_us: Option<i64>,
}

impl Durable {
    fn merge(&mut self, newer: Self) {
        self.sequence = self.sequence.max(newer.sequence);
        self.commit = self.commit.max(newer.commit);
        self.alive_us = newer.alive_us.or(self.alive_us);
    }
}

/// How much room is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of all segments and the reserve on the disk.
    pub used_bytes: u64,
    /// The bound on them.
    pub max_bytes: u64,
    /// Bytes of the indexes of deleted segments; they come on top.
    pub index_bytes: u64,
    /// Whether the reserve is in use: no record is taken until it is there again.
    pub reserve_in_use: bool,
}

/// The segment that is appended to.
#[derive(Debug)]
struct Active {
    segment: Arc<Segment>,
    /// Number of the last record before this segment.
    before: u64,
    /// Bytes of the file, set aside at its making.
    capacity_bytes: u64,
    end: u64,
    durable_end: u64,
    index: Vec<IndexEntry>,
    payload_bytes: u64,
    /// Nothing more is written to it: a write failed, or its successor may be in the directory.
    is_spent: bool,
}

/// A segment that is complete.
#[derive(Debug)]
struct Closed {
    name: super::name::SegmentName,
    file_bytes: u64,
    /// Once this number is committed, it may go.
    done_at: u64,
    has_index: bool,
    /// Its index, if this process wrote it and has not synced it.
    written_index: Option<Retired>,
    /// `None` if nothing of it can be read.
    segment: Option<Arc<Segment>>,
}

/// See the module.
#[derive(Debug)]
pub struct Log {
    storage: Arc<dyn Storage>,
    settings: Settings,
    uuid: Uuid,
    epoch: u32,
    lineage: Lineage,
    identity_slot: usize,
    next_number: u64,
    catalog: Arc<Catalog>,
    closed: Vec<Closed>,
    active: Option<Active>,
    /// What the next header says of the segment before it, while there is no active one.
    predecessor: Option<Predecessor>,
    has_reserve: bool,
    state: State,
    /// What of `state` is in the log.
    logged: State,
    /// Number of the last record that was appended.
    last_sequence: u64,
    /// Number of the last record that is still there; behind the former only after a sync that lost records.
    stored_sequence: u64,
    durable: Durable,
    /// Records of a segment whose sync failed, to be written to the next one.
    unsaved: Vec<Copy>,
    loss: Option<Loss>,
    retired: Vec<Retired>,
    encoder: Encoder,
    /// Given back last: whoever comes next must find everything closed.
    _lock: Box<dyn StorageLock>,
}

impl Active {
    /// Returns where its contents end for those who come after: behind what a failed sync left, nothing counts.
    fn final_end(&self) -> u64 {
        if self.segment.has_failed() {
            self.durable_end
        } else {
            self.end
        }
    }

    /// Returns the number of the last record before the durable end, of an earlier segment if this one has none.
    fn durable_sequence(&self) -> u64 {
        let durable = self
            .index
            .iter()
            .rev()
            .find(|entry| entry.offset < self.durable_end);
        durable.map_or(self.before, |entry| entry.sequence)
    }
}

impl Log {
    /// Returns which spool this is; made when it was first opened.
    #[must_use]
    pub fn uuid(&self) -> Uuid {
        self.uuid
    }

    /// Returns the epoch that every number appended now belongs to.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Returns the openings that this spool goes back to; the last one is of the present epoch.
    #[must_use]
    pub fn lineage(&self) -> &Lineage {
        &self.lineage
    }

    /// Returns what survives a power cut at this instant.
    #[must_use]
    pub fn durable(&self) -> Durable {
        self.durable
    }

    /// Returns number of the last record in the log; 0 for none.
    #[must_use]
    pub fn last_sequence(&self) -> u64 {
        self.last_sequence
    }

    /// Returns how much room is taken.
    #[must_use]
    pub fn usage(&self) -> Usage {
        Usage {
            used_bytes: self.used_bytes(),
            max_bytes: self.settings.max_bytes(),
            index_bytes: self.retired.iter().map(|retired| retired.file_bytes).sum(),
            reserve_in_use: !self.has_reserve,
        }
    }

    /// Returns a reader whose first record is the one after `sequence`; it may work on another thread.
    #[must_use]
    pub fn reader_after(&self, sequence: u64) -> Reader {
        Reader::new(
            Arc::clone(&self.storage),
            self.uuid,
            Arc::clone(&self.catalog),
            sequence,
        )
    }

    /// Appends a micro-batch: one write for each segment it touches. Its records are visible to readers at return and
    /// durable after the next sync.
    ///
    /// # Errors
    /// [`AppendError`] says how many of the first records are in the log; of the others nothing is, and they may be
    /// offered again. Retryable if `Full` (then nothing was tried) or `Io`; not if a number does not grow or a record
    /// is too large (then nothing of the batch was appended).
    pub fn append(&mut self, records: &[NewRecord<'_>]) -> Result<(), AppendError> {
        let mut appended = 0;
        let failed = |appended| move |source| AppendError { appended, source };
        self.check(records).map_err(failed(0))?;
        while appended < records.len() {
            appended += self.append_some(&records[appended..]).map_err(failed(appended))?;
        }
        Ok(())
    }

    fn check(&self, records: &[NewRecord<'_>]) -> Result<(), SpoolError> {
        let mut last = self.last_sequence;
        for record in records {
            if record.sequence <= last || epoch_of(record.sequence) != self.epoch {
                return Err(SpoolError::OutOfOrder {
                    sequence: record.sequence,
                    last,
                    epoch: self.epoch,
                });
            }
            last = record.sequence;
            let most_bytes = self.settings.max_record_bytes();
            if record.payload_bytes() > most_bytes {
                return Err(SpoolError::RecordTooLarge {
                    bytes: record.payload_bytes(),
                    most_bytes,
                });
            }
        }
        Ok(())
    }

    /// Appends as many records as one segment takes, at least one.
    fn append_some(&mut self, records: &[NewRecord<'_>]) -> Result<usize, SpoolError> {
        self.replace_failed()?;
        self.keep_reserve()?;
        let mut count = self.fitting(records);
        // Twice if copies of records that a failed sync had left filled the first.
        for _ in 0..2 {
            if count == 0 {
                self.roll_for_records()?;
                count = self.fitting(records);
            }
        }
        let records = &records[..count];
        let (Some(active), Some(last)) = (&mut self.active, records.last()) else {
            return Err(self.full(Limit::MaxBytes));
        };
        self.encoder.clear();
        let seed = active.segment.seed;
        let known = active.index.len();
        let mut end = active.end;
        for record in records {
            active.index.push(IndexEntry::of(record, end));
            end = self.encoder.push_record(seed, end, record);
        }
        if let Err(error) = write_full_at(active.segment.file(), &[self.encoder.bytes()], active.end) {
            active.index.truncate(known);
            self.cut_back();
            return Err(SpoolError::io("append to", &self.active_name(), error));
        }
        active.end = end;
        active.payload_bytes += records.iter().map(NewRecord::payload_bytes).sum::<u64>();
        (self.last_sequence, self.stored_sequence) = (last.sequence, last.sequence);
        active.segment.show(end, self.last_sequence);
        Ok(count)
    }

    fn fitting(&self, records: &[NewRecord<'_>]) -> usize {
        let Some(room) = self.room_bytes() else { return 0 };
        let mut total = 0;
        let fits = |record: &&NewRecord<'_>| {
            total += record.entry_bytes();
            total <= room
        };
        records.iter().take_while(fits).count()
    }

    /// Returns what the active segment still takes, `None` if there is none that may be written to.
    fn room_bytes(&self) -> Option<u64> {
        let active = self.active.as_ref().filter(|active| !active.is_spent)?;
        Some(active.capacity_bytes - active.end)
    }

    fn active_name(&self) -> String {
        self.active
            .as_ref()
            .map_or_else(String::new, |active| active.segment.name.segment())
    }

    /// Leaves nothing of a write that failed: cuts the file back and never writes to it again. The next segment's
    /// header says where this one ends, should the cut itself be lost.
    fn cut_back(&mut self) {
        let Some(active) = &mut self.active else { return };
        active.is_spent = true;
        let cut = active.segment.file().truncate(active.end);
        match cut.and_then(|()| active.segment.sync()) {
            Ok(()) => {
                active.durable_end = active.end;
                let durable = self.snapshot();
                self.durable.merge(durable);
            }
            // A failed sync is found by whoever writes or syncs next; a failed cut is made good by the next header.
            Err(error) => tracing::warn!(%error, "a write that failed could not be cut off the segment"),
        }
    }

    /// Returns what is in the log now.
    fn snapshot(&self) -> Durable {
        Durable {
            sequence: self.last_sequence,
            commit: self.logged.commit,
            alive_us: self.logged.alive_us,
        }
    }
}
