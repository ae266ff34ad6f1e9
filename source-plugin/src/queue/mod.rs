//! The bounded queue between the network thread and the host: published chunks in, batches out.
//!
//! One producer (the network thread), one consumer (the host), any number of committers and observers. It is bounded
//! in records *and* bytes; it never waits for the consumer by itself, the producer asks [`Queue::room`] first. Pulls
//! wait on a condition variable, so no runtime is entered on a host's thread, and do no I/O. Records leave the queue
//! at hand-out and count as uncommitted until [`Queue::commit`]; the records law
//! `appended − (committed + evicted + uncommitted)` is read under one lock.
//!
//! Over 400 lines, half of them the documented public types: every method works under the one lock.

mod ledger;
mod readiness;

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::bell::Bell;
use crate::record::{Chunk, Record};

use ledger::Ledger;
pub use ledger::RecordCounts;
use readiness::Readiness;

/// How much the queue may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Records waiting for hand-out.
    pub max_records: usize,
    /// Bytes of the records waiting for hand-out.
    pub max_bytes: usize,
}

/// How much the queue can still take; an empty queue takes one record of any size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vacancy {
    /// Records.
    pub records: usize,
    /// Bytes.
    pub bytes: usize,
    /// Whether nothing waits for hand-out.
    pub is_empty: bool,
}

/// Why the source gives no more records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The status that pulls answer after the backlog: `END`, or a failure.
    pub status: plugin_abi::Status,
    /// HTTP status or close code behind a failure, 0 if there is none.
    pub code: i32,
    /// What happened, for the operator; empty after a drain.
    pub message: String,
}

impl Ending {
    /// The normal end after a drain.
    #[must_use]
    pub fn drained() -> Self {
        Self {
            status: plugin_abi::status::END,
            code: 0,
            message: String::new(),
        }
    }
}

/// Why a pull gave no records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoRecords {
    /// The wait ran out.
    Timeout,
    /// [`Queue::interrupt`] was called.
    Interrupted,
    /// The source was closed.
    Closed,
    /// Another pull is under way.
    Busy,
    /// The source has ended and its backlog has been handed out.
    Ended(Ending),
}

/// Limits of one pull.
#[derive(Clone, Copy, Debug)]
pub struct PullLimits {
    /// At most this many records, at least 1.
    pub max_records: usize,
    /// At most this many bytes, but always one record.
    pub max_bytes: usize,
    /// How long to wait for the first record.
    pub wait: Duration,
    /// How long to wait for more after the first.
    pub linger: Duration,
}

/// Consecutive records of one chunk that were handed out.
#[derive(Clone, Debug)]
pub struct Slice {
    /// Where the records are.
    pub chunk: Arc<Chunk>,
    /// Index of the first record.
    pub start: usize,
    /// Index after the last record.
    pub end: usize,
}

impl Slice {
    /// Returns the number of records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Says whether there is no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.start >= self.end
    }

    /// Returns the records in order.
    pub fn records(&self) -> impl Iterator<Item = Record<'_>> {
        (self.start..self.end).filter_map(|index| self.chunk.record(index))
    }

    /// Returns the bytes that count against the queue's bound.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        if self.start == 0 && self.end == self.chunk.len() {
            self.chunk.size_bytes()
        } else {
            self.records().map(|record| record.size_bytes()).sum()
        }
    }
}

/// Something was pulled already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("records have been pulled already; resume right after opening")]
pub struct AlreadyPulled;

/// The commit named a record that has not been handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("sequence {sequence} has not been handed out; the last one handed out is {last_handed_out}")]
pub struct NotHandedOut {
    /// What was to be committed.
    pub sequence: u64,
    /// The highest sequence handed out so far, 0 if none.
    pub last_handed_out: u64,
}

#[derive(Debug, Default)]
struct State {
    chunks: VecDeque<Slice>,
    bytes: usize,
    ledger: Ledger,
    ending: Option<Ending>,
    discard_at: Option<Instant>,
    interrupted: bool,
    closed: bool,
    pulling: bool,
    has_been_pulled: bool,
    /// When the first record was received that is in the spool and not queued, microseconds since 1970 UTC.
    behind_since_us: Option<i64>,
}

/// See the module documentation.
#[derive(Debug)]
pub struct Queue {
    bounds: Bounds,
    state: Mutex<State>,
    ready: Condvar,
    room_made: Notify,
    readiness: Readiness,
    /// The queue is a cache of the spool's tail: what leaves it unread is still there, and who fills it up is told.
    spooled: OnceLock<Arc<Bell>>,
}

impl Queue {
    /// Makes an empty queue.
    ///
    /// # Errors
    /// The operating system's error if it gives no event descriptor; retryable when descriptors are free again.
    pub fn try_new(bounds: Bounds) -> std::io::Result<Self> {
        Ok(Self {
            bounds,
            state: Mutex::default(),
            ready: Condvar::new(),
            room_made: Notify::new(),
            readiness: Readiness::try_new()?,
            spooled: OnceLock::new(),
        })
    }

    /// Makes the queue a cache of a spool's tail, with `recovered` records of `recovered_bytes` that an earlier process
    /// left in it: it rings when it wants more of them. Only the first call counts.
    pub(crate) fn attach_spool(&self, bell: Arc<Bell>, recovered: u64, recovered_bytes: u64) {
        if self.spooled.set(bell).is_ok() {
            let mut state = self.lock();
            state.ledger.recover(recovered, recovered_bytes);
            self.readiness.set(self.is_readable(&state));
        }
    }

    /// Returns the bounds.
    #[must_use]
    pub fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// Returns how much can still be published. Only the producer makes it smaller.
    #[must_use]
    pub fn room(&self) -> Vacancy {
        let state = self.lock();
        Vacancy {
            records: self.bounds.max_records.saturating_sub(state.ledger.queued()),
            bytes: self.bounds.max_bytes.saturating_sub(state.bytes),
            is_empty: state.ledger.queued() == 0,
        }
    }

    /// Appends a chunk, also beyond the bounds: asking first is the producer's duty, and control records may exceed
    /// them. An empty chunk changes nothing.
    pub fn publish(&self, chunk: Chunk) {
        let end = chunk.len();
        let slice = Slice {
            chunk: Arc::new(chunk),
            start: 0,
            end,
        };
        self.push(slice, |ledger, records, _| ledger.append(records));
    }

    /// Appends records that are in the spool, and nothing before them is behind.
    pub(crate) fn publish_tail(&self, slice: Slice) {
        self.push(slice, |ledger, records, _| ledger.append(records));
    }

    /// Appends records that were read from the spool.
    pub(crate) fn catch_up(&self, slice: Slice) {
        self.push(slice, Ledger::catch_up);
    }

    fn push(&self, slice: Slice, book: impl FnOnce(&mut Ledger, usize, usize)) {
        if slice.is_empty() {
            return;
        }
        let bytes = slice.size_bytes();
        let mut state = self.lock();
        state.bytes += bytes;
        book(&mut state.ledger, slice.len(), bytes);
        state.chunks.push_back(slice);
        self.readiness.set(self.is_readable(&state));
        drop(state);
        self.ready.notify_all();
    }

    /// Notes records that are in the spool and do not fit into the queue; the first of them was received at
    /// `received_us`, microseconds since 1970 UTC.
    pub(crate) fn fall_behind(&self, records: usize, bytes: usize, received_us: i64) {
        let mut state = self.lock();
        state.ledger.append_behind(records, bytes);
        state.behind_since_us.get_or_insert(received_us);
    }

    /// Notes records of the spool that the host has already.
    pub(crate) fn skip(&self, records: u64, bytes: u64) {
        self.lock().ledger.skip(records, bytes);
    }

    /// Notes that everything in the spool has been read; what is still behind could not be, and is returned.
    pub(crate) fn caught_up(&self) -> u64 {
        let mut state = self.lock();
        let lost = state.ledger.behind();
        state.ledger.evict_behind();
        state.behind_since_us = None;
        self.readiness.set(self.is_readable(&state));
        drop(state);
        // who waits for the end may have it now
        self.ready.notify_all();
        lost
    }

    /// Takes out what is queued up to and including `sequence`: the host has it already.
    ///
    /// # Errors
    /// [`AlreadyPulled`] after the first pull; not retryable.
    pub(crate) fn skip_to(&self, sequence: u64) -> Result<(), AlreadyPulled> {
        let mut state = self.lock();
        if state.has_been_pulled {
            return Err(AlreadyPulled);
        }
        while let Some(front) = state.chunks.front_mut() {
            let start = front.start;
            let records = (start..front.end).filter_map(|index| front.chunk.record(index));
            let (mut skipped, mut bytes) = (0, 0);
            for record in records.take_while(|record| record.sequence() <= sequence) {
                skipped += 1;
                bytes += record.size_bytes();
            }
            front.start += skipped;
            let is_done = front.start == front.end;
            state.bytes = state.bytes.saturating_sub(bytes);
            state.ledger.skip_queued(skipped);
            if !is_done {
                break;
            }
            state.chunks.pop_front();
        }
        self.readiness.set(self.is_readable(&state));
        Ok(())
    }

    /// Waits until the queue is below `share` (0.0 to 1.0) of both bounds, or closed.
    ///
    /// # Cancel safety
    /// Safe: nothing is lost when the future is dropped.
    pub async fn wait_below(&self, share: f64) {
        loop {
            let notified = self.room_made.notified();
            tokio::pin!(notified);
            // Registered before the check, so that a pull between check and wait is not missed.
            notified.as_mut().enable();
            if self.is_below(share) {
                return;
            }
            notified.await;
        }
    }

    /// Says whether the queue is below `share` of its bounds, or empty, or closed.
    pub(crate) fn is_below(&self, share: f64) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "bounds are far below 2^52")]
        fn under(value: usize, bound: usize, share: f64) -> bool {
            value == 0 || (value as f64) < bound as f64 * share
        }
        let state = self.lock();
        state.closed
            || (under(state.ledger.queued(), self.bounds.max_records, share)
                && under(state.bytes, self.bounds.max_bytes, share))
    }

    /// Says that nothing more will be published; the first ending counts.
    pub fn end(&self, ending: Ending) {
        let mut state = self.lock();
        state.ending.get_or_insert(ending);
        self.readiness.set(self.is_readable(&state));
        drop(state);
        self.ready.notify_all();
    }

    /// Lets pulls answer the end at `deadline` even if records remain; those are then evicted. The earliest deadline
    /// counts.
    pub fn discard_at(&self, deadline: Instant) {
        let mut state = self.lock();
        state.discard_at = Some(state.discard_at.map_or(deadline, |known| known.min(deadline)));
        drop(state);
        self.ready.notify_all();
    }

    /// Wakes and refuses every pull from now on.
    pub fn close(&self) {
        self.lock().closed = true;
        self.ready.notify_all();
        self.room_made.notify_waiters();
    }

    /// Makes the pull that waits, or the next one, answer [`NoRecords::Interrupted`] once.
    pub fn interrupt(&self) {
        let mut state = self.lock();
        state.interrupted = true;
        self.readiness.set(self.is_readable(&state));
        drop(state);
        self.ready.notify_all();
    }

    /// Takes the next records, in order, as slices of the published chunks.
    ///
    /// # Errors
    /// [`NoRecords`]; [`NoRecords::Timeout`], [`NoRecords::Interrupted`] and [`NoRecords::Busy`] are retryable.
    pub fn pull(&self, limits: &PullLimits) -> Result<Vec<Slice>, NoRecords> {
        let mut state = self.lock();
        if state.pulling {
            return Err(NoRecords::Busy);
        }
        state.pulling = true;
        state.has_been_pulled = true;
        let (mut state, reason) = self.wait_for_records(state, limits);
        let result = match reason {
            Some(reason) => Err(reason),
            None => Ok(self.take(&mut state, limits)),
        };
        state.pulling = false;
        let wants_more = state.ledger.behind() > 0 && self.has_much_room(&state);
        drop(state);
        if result.is_ok() {
            self.room_made.notify_waiters();
        }
        if wants_more && let Some(bell) = self.spooled.get() {
            bell.ask_for_records();
        }
        result
    }

    fn wait_for_records<'a>(
        &self,
        mut state: MutexGuard<'a, State>,
        limits: &PullLimits,
    ) -> (MutexGuard<'a, State>, Option<NoRecords>) {
        let deadline = Instant::now() + limits.wait;
        loop {
            if state.closed {
                return (state, Some(NoRecords::Closed));
            }
            if state.interrupted {
                state.interrupted = false;
                self.readiness.set(self.is_readable(&state));
                return (state, Some(NoRecords::Interrupted));
            }
            let now = Instant::now();
            if state.discard_at.is_some_and(|at| now >= at) {
                let ending = self.discard(&mut state);
                return (state, Some(NoRecords::Ended(ending)));
            }
            if !state.chunks.is_empty() {
                break;
            }
            if let Some(ending) = state.ending.as_ref().filter(|_| state.ledger.behind() == 0) {
                let ending = ending.clone();
                return (state, Some(NoRecords::Ended(ending)));
            }
            if now >= deadline {
                return (state, Some(NoRecords::Timeout));
            }
            let until = state.discard_at.map_or(deadline, |at| at.min(deadline));
            state = self.wait(state, until.saturating_duration_since(now));
        }
        let linger_until = Instant::now() + limits.linger;
        while state.ledger.queued() < limits.max_records
            && state.bytes < limits.max_bytes
            && (state.ending.is_none() || state.ledger.behind() > 0)
            && !state.interrupted
            && !state.closed
        {
            let left = linger_until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.wait(state, left);
        }
        let reason = state.closed.then_some(NoRecords::Closed);
        (state, reason)
    }

    /// Says whether half of both bounds is free, so that filling up is worth a read.
    fn has_much_room(&self, state: &State) -> bool {
        state.ledger.queued() <= self.bounds.max_records / 2 && state.bytes <= self.bounds.max_bytes / 2
    }

    /// Says whether half of both bounds is free.
    pub(crate) fn wants_records(&self) -> bool {
        self.has_much_room(&self.lock())
    }

    fn take(&self, state: &mut State, limits: &PullLimits) -> Vec<Slice> {
        let mut slices = Vec::new();
        let (mut records, mut bytes) = (0_usize, 0_usize);
        let first_received_us = state
            .chunks
            .front()
            .and_then(|front| front.records().next())
            .map(|record| record.received_time_us());
        while let Some(front) = state.chunks.front_mut() {
            let start = front.start;
            while front.start < front.end && records < limits.max_records {
                let Some(record) = front.chunk.record(front.start) else {
                    break;
                };
                let size_bytes = record.size_bytes();
                if records > 0 && bytes + size_bytes > limits.max_bytes {
                    break;
                }
                records += 1;
                bytes += size_bytes;
                front.start += 1;
                state.ledger.hand_out(record.sequence());
            }
            if front.start == start {
                break;
            }
            slices.push(Slice {
                chunk: Arc::clone(&front.chunk),
                start,
                end: front.start,
            });
            if front.start < front.end {
                break;
            }
            state.chunks.pop_front();
        }
        state.bytes = state.bytes.saturating_sub(bytes);
        if let Some(received_us) = first_received_us {
            state.ledger.hand_out_ended(bytes, received_us);
        }
        self.readiness.set(self.is_readable(state));
        slices
    }

    /// Evicts what is queued, unless it is in a spool, and returns the ending to answer.
    fn discard(&self, state: &mut State) -> Ending {
        if self.spooled.get().is_some() {
            state.ledger.return_queued(state.bytes);
        } else {
            state.ledger.evict_queued();
        }
        state.chunks.clear();
        state.bytes = 0;
        let ending = state.ending.get_or_insert_with(Ending::drained).clone();
        self.readiness.set(self.is_readable(state));
        ending
    }

    /// Marks everything up to and including `sequence` as durable downstream.
    ///
    /// # Errors
    /// [`NotHandedOut`] beyond the last hand-out; not retryable until that record has been pulled.
    pub fn commit(&self, sequence: u64) -> Result<(), NotHandedOut> {
        self.lock().ledger.commit(sequence)
    }

    /// Returns the highest sequence handed out so far, 0 if none.
    #[cfg(test)]
    pub(crate) fn last_handed_out(&self) -> u64 {
        self.lock().ledger.last_handed_out()
    }

    /// Says whether a record of this sequence has been handed out.
    #[must_use]
    pub fn was_handed_out(&self, sequence: u64) -> bool {
        sequence <= self.lock().ledger.last_handed_out()
    }

    /// Returns what is not committed: bytes, and when the oldest of it was received.
    #[must_use]
    pub(crate) fn backlog(&self) -> Backlog {
        let state = self.lock();
        let queued = state.chunks.front().and_then(|front| front.records().next());
        Backlog {
            bytes: state.bytes as u64 + state.ledger.behind_bytes() + state.ledger.unresolved_bytes() as u64,
            oldest_received_us: state
                .ledger
                .oldest_received_us()
                .or(queued.map(|record| record.received_time_us()))
                .or(state.behind_since_us),
        }
    }

    /// Returns the records law's terms and the fill, in one snapshot.
    #[must_use]
    pub fn counts(&self) -> (RecordCounts, Fill) {
        let state = self.lock();
        // not the ledger's own count: a slice that got lost must break the law
        let waiting: usize = state.chunks.iter().map(|slice| slice.end - slice.start).sum();
        (
            state.ledger.counts(waiting as u64),
            Fill {
                records: waiting,
                bytes: state.bytes,
            },
        )
    }

    /// Returns the descriptor that polls readable while a pull would not wait.
    #[must_use]
    pub fn poll_fd(&self) -> i32 {
        self.readiness.descriptor()
    }

    fn is_readable(&self, state: &State) -> bool {
        // With records behind, a pull is what brings them.
        state.interrupted || !state.chunks.is_empty() || state.ending.is_some() || state.ledger.behind() > 0
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, timeout: Duration) -> MutexGuard<'a, State> {
        self.ready
            .wait_timeout(state, timeout)
            .unwrap_or_else(PoisonError::into_inner)
            .0
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while the lock was held poisons the source above; the counters stay readable.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is not committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Backlog {
    /// Bytes of it; hand-outs that are committed in part count as a whole.
    pub(crate) bytes: u64,
    /// When the oldest of it was received, microseconds since 1970 UTC; `None` if there is nothing.
    pub(crate) oldest_received_us: Option<i64>,
}

/// What waits for hand-out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Fill {
    /// Records.
    pub records: usize,
    /// Bytes.
    pub bytes: usize,
}

#[cfg(test)]
mod tests;
