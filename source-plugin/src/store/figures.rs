//! What the spool shows of itself, for `esp_stats`.
//!
//! Refuses to compute anything that another room counts. Each room is read in one snapshot.

use std::sync::TryLockError;
use std::sync::atomic::Ordering;

use serde::Serialize;

use super::{Store, lock};
use crate::spool::{Durable, Usage};

/// Figures of a spool.
///
/// # Units
/// Bytes, records, and microseconds since 1970 UTC as the names say; counters since the source was opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct SpoolFigures {
    /// Which spool.
    pub(crate) uuid: String,
    /// The epoch in which records are numbered.
    pub(crate) epoch: u32,
    /// Bytes of segments and reserve.
    pub(crate) used_bytes: u64,
    /// The bound on them.
    pub(crate) max_bytes: u64,
    /// Bytes of indexes that outlived their segments.
    pub(crate) index_bytes: u64,
    /// Whether the reserve for marks is in use.
    pub(crate) reserve_in_use: bool,
    /// Whether the last append found no room.
    pub(crate) full: bool,
    /// The commit mark that is durable.
    pub(crate) commit: u64,
    /// Number of the last durable record.
    pub(crate) durable_sequence: u64,
    /// Records that are not committed.
    pub(crate) backlog_records: u64,
    /// Bytes of them.
    pub(crate) backlog_bytes: u64,
    /// When the oldest of them was received.
    pub(crate) oldest_unresolved_us: Option<i64>,
    /// Places that could not be read.
    pub(crate) damaged_places: u64,
    /// Syncs that failed.
    pub(crate) failed_syncs_total: u64,
}

impl Store {
    /// Returns the figures; `None` once the spool is shut. While the disk is being written to, those of the log are as of
    /// the last call: who asks delivers as well, and that waits for no disk.
    pub(crate) fn figures(&self) -> Option<SpoolFigures> {
        let (usage, durable) = self.measure()?;
        let backlog = self.queue.backlog();
        let (records, _) = self.queue.counts();
        Some(SpoolFigures {
            uuid: self.uuid.to_string(),
            epoch: self.epoch(),
            used_bytes: usage.used_bytes,
            max_bytes: usage.max_bytes,
            index_bytes: usage.index_bytes,
            reserve_in_use: usage.reserve_in_use,
            full: self.is_full.load(Ordering::Relaxed),
            commit: durable.commit,
            durable_sequence: durable.sequence,
            backlog_records: records.uncommitted,
            backlog_bytes: backlog.bytes,
            oldest_unresolved_us: backlog.oldest_received_us,
            damaged_places: self.damaged_places.load(Ordering::Relaxed),
            failed_syncs_total: self.failed_syncs.load(Ordering::Relaxed),
        })
    }
    fn measure(&self) -> Option<(Usage, Durable)> {
        let mut measured = lock(&self.measured);
        let guard = match self.log.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Some(*measured),
        };
        let log = guard.as_ref()?;
        *measured = (log.usage(), log.durable());
        Some(*measured)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, mpsc};
    use std::time::Duration;

    use super::Store;
    use crate::queue::{Bounds, Queue};
    use crate::spool::Settings;
    use crate::spool::storage::faulty::FaultyStorage;

    #[test]
    fn figures_wait_for_no_disk() {
        let bounds = Bounds {
            max_records: 10,
            max_bytes: 1 << 20,
        };
        let (store, _found, _keeper) = Store::open(
            Arc::new(FaultyStorage::default()),
            Settings::try_new(256 << 10).unwrap(),
            Duration::from_millis(20),
            crate::dedup::Settings::default(),
            Arc::new(Queue::try_new(bounds).unwrap()),
        )
        .unwrap();
        let before = store.figures();
        assert!(before.is_some());
        // what holds the log while the disk takes its time
        let writing = store.log();
        let (told, heard) = mpsc::sync_channel(1);
        std::thread::scope(|scope| {
            let store = &store;
            scope.spawn(move || told.send(store.figures()).unwrap());
            let during = heard.recv_timeout(Duration::from_secs(10));
            drop(writing);
            assert_eq!(during, Ok(before));
        });
        store.shut();
        assert_eq!(store.figures(), None);
    }
}
