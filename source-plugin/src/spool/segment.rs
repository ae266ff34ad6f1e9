//! One segment file as writer, readers and the syncing thread share it.
//!
//! Responsible for how far it may be read and for syncing it. Refuses a second sync after one that failed: its success
//! would say nothing. Invariant: everything before the visible end was written in whole entries.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::name::SegmentName;
use super::storage::StorageFile;

/// See the module.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) name: SegmentName,
    pub(super) seed: u32,
    /// Where the first entry begins.
    pub(super) data_offset: u64,
    file: Arc<dyn StorageFile>,
    visible_end: AtomicU64,
    last_sequence: AtomicU64,
    syncing: Mutex<()>,
    has_failed: AtomicBool,
}

impl Segment {
    pub(super) fn new(
        name: SegmentName,
        seed: u32,
        data_offset: u64,
        file: Arc<dyn StorageFile>,
        visible_end: u64,
        last_sequence: u64,
    ) -> Self {
        Self {
            name,
            seed,
            data_offset,
            file,
            visible_end: AtomicU64::new(visible_end),
            last_sequence: AtomicU64::new(last_sequence),
            syncing: Mutex::new(()),
            has_failed: AtomicBool::new(false),
        }
    }

    pub(super) fn file(&self) -> &dyn StorageFile {
        self.file.as_ref()
    }

    pub(super) fn visible_end(&self) -> u64 {
        self.visible_end.load(Ordering::Acquire)
    }

    /// Returns the number of its last record, 0 if there is none.
    pub(super) fn last_sequence(&self) -> u64 {
        self.last_sequence.load(Ordering::Acquire)
    }

    /// Shows readers everything up to `end`. Called by the writer alone.
    pub(super) fn show(&self, end: u64, last_sequence: u64) {
        self.last_sequence.store(last_sequence, Ordering::Release);
        self.visible_end.store(end, Ordering::Release);
    }

    /// Makes everything written so far durable.
    ///
    /// Calls exclude each other: the system reports a lost write to one of two callers only.
    pub(super) fn sync(&self) -> io::Result<()> {
        let _one_at_a_time = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.has_failed() {
            return Err(io::Error::other("an earlier sync of this file failed"));
        }
        self.file.sync_data().inspect_err(|_| {
            self.has_failed.store(true, Ordering::Release);
        })
    }

    /// Says whether a sync failed, ever; never waits for one.
    pub(super) fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Acquire)
    }
}
