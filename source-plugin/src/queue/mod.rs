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
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::record::Chunk;

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
}

/// See the module documentation.
#[derive(Debug)]
pub struct Queue {
    bounds: Bounds,
    state: Mutex<State>,
    ready: Condvar,
    room_made: Notify,
    readiness: Readiness,
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
        })
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
        if chunk.is_empty() {
            return;
        }
        let mut state = self.lock();
        state.bytes += chunk.size_bytes();
        state.ledger.append(chunk.len());
        let end = chunk.len();
        state.chunks.push_back(Slice {
            chunk: Arc::new(chunk),
            start: 0,
            end,
        });
        self.readiness.set(self.is_readable(&state));
        drop(state);
        self.ready.notify_all();
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

    fn is_below(&self, share: f64) -> bool {
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
        let (mut state, reason) = self.wait_for_records(state, limits);
        let result = match reason {
            Some(reason) => Err(reason),
            None => Ok(self.take(&mut state, limits)),
        };
        state.pulling = false;
        drop(state);
        if result.is_ok() {
            self.room_made.notify_waiters();
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
            if let Some(ending) = &state.ending {
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
            && state.ending.is_none()
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

    fn take(&self, state: &mut State, limits: &PullLimits) -> Vec<Slice> {
        let mut slices = Vec::new();
        let (mut records, mut bytes) = (0_usize, 0_usize);
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
        self.readiness.set(self.is_readable(state));
        slices
    }

    /// Evicts what is queued and returns the ending to answer.
    fn discard(&self, state: &mut State) -> Ending {
        state.chunks.clear();
        state.bytes = 0;
        state.ledger.evict_queued();
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

    /// Says whether a record of this sequence has been handed out.
    #[must_use]
    pub fn was_handed_out(&self, sequence: u64) -> bool {
        sequence <= self.lock().ledger.last_handed_out()
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
        state.interrupted || !state.chunks.is_empty() || state.ending.is_some()
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
