//! The spool of a source: what admission numbered goes to the log first, and the queue is a cache of the log's tail.
//!
//! Responsible for the order *append, then show*, for filling the queue up again when the host was behind, for commit
//! and liveness marks, and for positions. Refuses to show a record that is not in the log, and to forget one that is
//! not committed. Invariant: the host gets every record of the log above its position once, in order.
//!
//! ```text
//! network thread: Writer ──append──▶ Log ──▶ queue (tail)          pull ◀── host
//! spool thread:   Keeper ── sync, marks, reclaim ──▶ Log ──read──▶ queue (behind)
//! ```
//!
//! Two locks: `feeding` says whether the queue ends where the log ends, and is held while either changes; `log` is held
//! for one call at a time, never while syncing, and only ever taken after `feeding`.

mod codec;
mod figures;
mod keeper;
mod resume;
#[cfg(test)]
mod tests;
mod token;
mod writer;

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use uuid::Uuid;

use crate::bell::Bell;
use crate::dedup;
use crate::notice::Notice;
use crate::queue::{NotHandedOut, Queue};
use crate::spool::storage::Storage;
use crate::spool::{Durable, Lineage, Log, Recovered, Settings, SpoolError, Usage};

pub(crate) use figures::SpoolFigures;
pub(crate) use keeper::Keeper;
pub(crate) use resume::ResumeError;
pub(crate) use writer::Writer;

/// How long a writer that found no room waits at most before it tries again: room on a disk is announced by nobody.
const RETRY: Duration = Duration::from_millis(250);

/// No time.
const NEVER_US: i64 = i64::MIN;

/// Most notices that wait for the network thread; a notice repeats what the log line says, and the rest is counted.
const MAX_NOTICES: usize = 1024;

/// Whether the queue ends where the log ends.
#[derive(Debug)]
struct Feeding {
    /// The log goes on behind the queue's last record.
    is_behind: bool,
    /// Number of the last record that was queued or skipped.
    fed_to: u64,
    /// The host has everything up to this number.
    skip_to: u64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Store {
    /// `None` once it is shut.
    log: Mutex<Option<Log>>,
    /// What the log last said of itself, for whoever must not wait while it writes.
    measured: Mutex<(Usage, Durable)>,
    feeding: Mutex<Feeding>,
    queue: Arc<Queue>,
    bell: Arc<Bell>,
    uuid: Uuid,
    epoch: AtomicU32,
    /// What the log last said of its openings; for a token, which must not wait while the log writes.
    lineage: Mutex<Lineage>,
    /// Number of the last record that an earlier process left.
    recovered_to: u64,
    /// What the host has committed.
    commit: AtomicU64,
    /// The network thread had taken everything from the socket by then, microseconds since 1970 UTC.
    alive_us: AtomicI64,
    /// How long an id is remembered, and how many are.
    window: dedup::Settings,
    is_full: AtomicBool,
    damaged_places: AtomicU64,
    failed_syncs: AtomicU64,
    notices: Mutex<Vec<Notice>>,
    changed: Notify,
}

impl Store {
    /// Opens the spool in `storage` behind `queue`; returns it with what was found, and the spool thread's part.
    ///
    /// # Errors
    /// As [`Log::open`].
    pub(crate) fn open(
        storage: Arc<dyn Storage>,
        settings: Settings,
        sync: Duration,
        window: dedup::Settings,
        queue: Arc<Queue>,
    ) -> Result<(Arc<Self>, Recovered, Keeper), SpoolError> {
        let (log, found) = Log::open(storage, settings)?;
        let bell = Arc::new(Bell::default());
        queue.attach_spool(Arc::clone(&bell), found.backlog.records, found.backlog.bytes);
        let uuid = log.uuid();
        let store = Arc::new(Self {
            feeding: Mutex::new(Feeding {
                is_behind: found.backlog.records > 0,
                fed_to: found.commit,
                skip_to: found.commit,
            }),
            queue,
            bell,
            uuid,
            epoch: AtomicU32::new(log.epoch()),
            lineage: Mutex::new(log.lineage().clone()),
            recovered_to: found.last_sequence,
            commit: AtomicU64::new(found.commit),
            alive_us: AtomicI64::new(NEVER_US),
            window,
            is_full: AtomicBool::new(false),
            damaged_places: AtomicU64::new(found.damage.len() as u64),
            failed_syncs: AtomicU64::new(0),
            notices: Mutex::new(
                found
                    .damage
                    .iter()
                    .map(|damage| Notice::damaged(uuid, damage))
                    .collect(),
            ),
            changed: Notify::new(),
            measured: Mutex::new((log.usage(), log.durable())),
            log: Mutex::new(Some(log)),
        });
        let keeper = Keeper::new(Arc::clone(&store), sync);
        Ok((store, found, keeper))
    }

    /// Returns the epoch in which records are numbered now.
    pub(crate) fn epoch(&self) -> u32 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Shows the hash of every id that may still be in the window, oldest first.
    pub(crate) fn visit_ids(&self, visit: impl FnMut(u128)) {
        if let Some(log) = &*self.log() {
            log.visit_ids(visit);
        }
    }

    /// Notes that everything that had arrived by `time_us` is in the log; microseconds since 1970 UTC.
    pub(crate) fn tell_alive(&self, time_us: i64) {
        self.alive_us.store(time_us, Ordering::Release);
    }

    /// Writes the marks now: these open gaps, if they are given, and that the source was alive then.
    ///
    /// # Errors
    /// As [`Log::set_open_gaps`] and [`Log::write_marks`]; after the latter they wait for the next marks.
    pub(crate) fn mark(
        &self,
        open_gaps: Option<&[Vec<u8>]>,
        alive_us: Option<i64>,
    ) -> Result<(), SpoolError> {
        let mut guard = self.log();
        let Some(log) = guard.as_mut() else { return Ok(()) };
        if let Some(open_gaps) = open_gaps {
            let gaps: Vec<&[u8]> = open_gaps.iter().map(Vec::as_slice).collect();
            log.set_open_gaps(&gaps)?;
        }
        if let Some(alive_us) = alive_us {
            log.set_alive(alive_us);
        }
        self.bell.tell_dirty();
        log.write_marks()
    }

    /// Marks everything up to and including `sequence` as durable downstream; it is in the log within `sync_ms`.
    ///
    /// # Errors
    /// As [`Queue::commit`].
    pub(crate) fn commit(&self, sequence: u64) -> Result<(), NotHandedOut> {
        self.queue.commit(sequence)?;
        if self.commit.fetch_max(sequence, Ordering::AcqRel) < sequence {
            self.bell.tell_dirty();
        }
        Ok(())
    }

    /// Takes what there is to say about the spool.
    pub(crate) fn take_notices(&self) -> Vec<Notice> {
        std::mem::take(&mut *lock(&self.notices))
    }

    fn notify(&self, notice: Notice) {
        let mut notices = lock(&self.notices);
        if notices.len() < MAX_NOTICES {
            notices.push(notice);
        }
    }

    /// Waits until room may have been made: some was, or a while has passed.
    ///
    /// # Cancel safety
    /// Safe: nothing is lost when the future is dropped.
    pub(crate) async fn changed(&self) {
        tokio::select! {
            () = self.changed.notified() => {}
            () = tokio::time::sleep(RETRY) => {}
        }
    }

    /// Says whether less than `share` (0.0 to 1.0) of `max_bytes` is used.
    pub(crate) fn is_below(&self, share: f64) -> bool {
        self.log().as_ref().is_none_or(|log| {
            let usage = log.usage();
            #[expect(clippy::cast_precision_loss, reason = "bounds are far below 2^52")]
            let below = (usage.used_bytes as f64) < usage.max_bytes as f64 * share;
            below
        })
    }

    /// Ends the spool thread: it syncs and frees the directory.
    pub(crate) fn tell_over(&self) {
        self.bell.tell_over();
    }

    /// Lets go of the directory without a word, as a process does that dies.
    #[cfg(test)]
    pub(crate) fn shut(&self) {
        self.log().take();
    }

    fn log(&self) -> MutexGuard<'_, Option<Log>> {
        lock(&self.log)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic of a thread is the source's ending; what it left is read by statistics only.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
