//! The spool thread: makes durable, keeps the marks, fills the queue up, gives room back.
//!
//! Responsible for everything at the spool that takes time: syncs within `sync_ms` of an append or a commit, reads for
//! a host that is behind, deletes what is committed. Refuses to hold the log while the disk syncs or deletes
//! segments; of an index that an earlier process left, or whose ids have left the window, that takes a moment under the log.
//! Invariant: it ends only when told to, and leaves the marks synced and the directory free.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::{Feeding, NEVER_US, Store, codec, lock};
use crate::clock::{Clock, SystemClock};
use crate::notice::Notice;
use crate::queue::Slice;
use crate::record::ChunkBuilder;
use crate::spool::{Batch, ReadLimits, Reader, SpoolError};

/// Time between two liveness marks. The design has a second; half of it keeps a crash gap within the downtime and a
/// second, also where the thread comes late.
const ALIVE_EVERY: Duration = Duration::from_millis(500);
/// Time between two looks for indexes whose ids have left the window.
const FORGET_EVERY: Duration = Duration::from_secs(10);
/// Time after which a failed sync or mark is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// Records of one read.
const READ_RECORDS: usize = 4096;
/// Bytes of one read.
const READ_BYTES: usize = 1 << 20;

/// See the module.
#[derive(Debug)]
pub(crate) struct Keeper {
    store: Arc<Store>,
    sync: Duration,
    reader: Option<Reader>,
    batch: Batch,
    builder: ChunkBuilder,
    /// What was said last of a spool that cannot be synced.
    said: Option<String>,
    marked_alive_us: i64,
}

impl Keeper {
    pub(super) fn new(store: Arc<Store>, sync: Duration) -> Self {
        Self {
            store,
            sync,
            reader: None,
            batch: Batch::default(),
            builder: ChunkBuilder::default(),
            said: None,
            marked_alive_us: NEVER_US,
        }
    }

    /// Works until [`Store::tell_over`]; then syncs and frees the directory.
    pub(crate) fn run(mut self) {
        let clock = SystemClock::start();
        let start = Instant::now();
        let (mut sync_at, mut alive_at, mut forget_at) = (None::<Instant>, start, start + FORGET_EVERY);
        let mut wants_records = true;
        loop {
            let idle = alive_at.min(forget_at);
            let wake_at = sync_at.map_or(idle, |at| at.min(idle));
            let wake_at = if wants_records { Instant::now() } else { wake_at };
            let reasons = self.store.bell.wait_until(wake_at);
            let now = Instant::now();
            wants_records |= reasons.wants_records;
            if wants_records {
                wants_records = self.refill();
            }
            if now >= alive_at {
                alive_at = now + ALIVE_EVERY;
                if self.sign_of_life().is_some() {
                    sync_at.get_or_insert(now);
                }
            }
            if reasons.is_dirty {
                sync_at.get_or_insert(now + self.sync);
                // What was appended while the queue was full is asked for by nobody if the host waits already.
                wants_records |= lock(&self.store.feeding).is_behind && self.store.queue.wants_records();
            }
            if reasons.is_over || sync_at.is_some_and(|at| now >= at) {
                let synced = self.sync();
                sync_at = self.say(synced).then(|| Instant::now() + RETRY);
            }
            if now >= forget_at {
                forget_at = now + FORGET_EVERY;
                self.forget(&clock);
            }
            if reasons.is_over {
                break;
            }
        }
        // Dropped here, whoever still holds the store: the directory is free for the next source.
        self.store.log().take();
    }

    /// Deletes the indexes whose ids have left the window, by a clock that is never set.
    pub(crate) fn forget(&self, clock: &dyn Clock) {
        let window = self.store.window;
        if let Some(log) = self.store.log().as_mut() {
            log.forget_ids(clock.uptime_ms(), window.window_ms, window.max_ids);
        }
    }

    /// Returns the last sign of life, if it is not marked yet. It may be earlier than the marked one: the clock was set
    /// back, and a mark of a time that has not come yet would date the gap of a crash too late.
    fn sign_of_life(&self) -> Option<i64> {
        let alive_us = self.store.alive_us.load(Ordering::Acquire);
        (alive_us != self.marked_alive_us).then_some(alive_us)
    }

    /// Says once that the spool cannot be synced, and once that it can again; returns whether it cannot.
    fn say(&mut self, synced: Result<(), SpoolError>) -> bool {
        match synced {
            Ok(()) => {
                if self.said.take().is_some() {
                    tracing::info!("spool is synced again");
                }
                false
            }
            Err(error) => {
                if self.said.is_none() {
                    tracing::error!(%error, "spool cannot be synced, it is tried again");
                }
                self.said = Some(error.to_string());
                true
            }
        }
    }

    /// Writes the marks, syncs, and deletes what is committed.
    pub(crate) fn sync(&mut self) -> Result<(), SpoolError> {
        let alive = self.sign_of_life();
        let store = &self.store;
        let (task, marked) = {
            let mut guard = store.log();
            let Some(log) = guard.as_mut() else { return Ok(()) };
            log.set_commit(store.commit.load(Ordering::Acquire));
            if let Some(alive_us) = alive {
                log.set_alive(alive_us);
                self.marked_alive_us = alive_us;
            }
            let marked = log.write_marks();
            (log.begin_sync()?, marked)
        };
        let done = task.map(|task| task.run());
        let mut guard = store.log();
        let Some(log) = guard.as_mut() else { return Ok(()) };
        let ended = done.map_or(Ok(()), |done| {
            store
                .failed_syncs
                .fetch_add(u64::from(done.has_failed()), Ordering::Relaxed);
            log.end_sync(done).map(|_| ())
        });
        if let Some(loss) = log.take_loss() {
            store.notify(Notice::lost(loss));
        }
        let committed = log.begin_reclaim()?;
        drop(guard);
        if let Some(task) = committed {
            let done = task.run();
            // The guard is a temporary: the lock is free again before the files are closed.
            let gone = store.log().as_mut().map(|log| log.end_reclaim(done));
            if gone.transpose()?.is_some_and(|gone| gone.segments() > 0) {
                store.changed.notify_waiters();
            }
        }
        marked.and(ended)
    }

    /// Fills the queue up from the log, one read at a time; says whether it wants to go on at once.
    pub(crate) fn refill(&mut self) -> bool {
        let store = Arc::clone(&self.store);
        let room = store.queue.room();
        if room.records == 0 || room.bytes == 0 {
            return false;
        }
        if self.reader.is_none() {
            let feeding = lock(&store.feeding);
            let guard = store.log();
            let Some(log) = guard.as_ref().filter(|_| feeding.is_behind) else {
                return false;
            };
            self.reader = Some(log.reader_after(feeding.fed_to));
        }
        let limits = ReadLimits {
            max_records: room.records.min(READ_RECORDS),
            max_bytes: room.bytes.min(READ_BYTES),
        };
        self.read(limits);
        let mut feeding = lock(&store.feeding);
        self.hand_over(&mut feeding);
        if !self.batch.is_at_end() {
            return true;
        }
        // Nobody appends while `feeding` is held, so what is read now is all there is.
        loop {
            self.read(limits);
            if self.batch.is_empty() && self.batch.is_at_end() {
                break;
            }
            self.hand_over(&mut feeding);
        }
        feeding.is_behind = false;
        self.reader = None;
        store.commit_skipped(&feeding);
        let lost = store.queue.caught_up();
        if lost > 0 {
            tracing::error!(records = lost, "records of the spool could not be read");
        }
        false
    }

    fn read(&mut self, limits: ReadLimits) {
        if let Some(reader) = &mut self.reader {
            reader.read(limits, &mut self.batch);
        }
    }

    /// Puts what was read into the queue, but for what the host has already.
    fn hand_over(&mut self, feeding: &mut Feeding) {
        let store = &self.store;
        for damage in self.batch.damage() {
            store.damaged_places.fetch_add(1, Ordering::Relaxed);
            store.notify(Notice::damaged(store.uuid, damage));
        }
        for stored in self.batch.records() {
            feeding.fed_to = stored.sequence;
            if stored.sequence <= feeding.skip_to {
                store.queue.skip(1, stored.payload.len() as u64);
                continue;
            }
            let is_left_over = stored.sequence <= store.recovered_to;
            let flags = if is_left_over {
                plugin_abi::types::ESP_FLAG_REDELIVERED
            } else {
                0
            };
            if codec::decode(&stored, flags, &mut self.builder).is_err() {
                tracing::error!(
                    sequence = stored.sequence,
                    "a record of the spool is not what this program writes"
                );
            }
        }
        let chunk = self.builder.seal();
        let end = chunk.len();
        store.queue.catch_up(Slice {
            chunk: Arc::new(chunk),
            start: 0,
            end,
        });
        store.commit_skipped(feeding);
    }
}
