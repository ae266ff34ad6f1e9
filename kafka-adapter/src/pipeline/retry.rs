//! Retries of single records: when one that failed alone is sent again, and when it has been tried often enough.
//!
//! Responsible for pauses and for counting what counts. Refuses to hold a failure against a record while nothing is
//! accepted: the destination is down then, and the record as good as any. Invariant: a record waits here at most once.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use xxhash_rust::xxh3::xxh3_64;

use crate::sink::{Failure, Meaning, Sink};

use super::breaker::Fault;
use super::feed::Batch;
use super::window::Status;
use super::{FIRST_PAUSE_US, Pipeline};

/// Longest pause between two attempts of one record, in microseconds: its conversation waits behind it.
const LONGEST_RETRY_US: i64 = 30_000_000;

/// How often a leg was tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tries {
    handed_over: u32,
    /// Failures while others were accepted.
    strikes: u32,
    /// What had been accepted in all when this was last sent first or failed.
    accepted: u64,
}

impl Tries {
    /// Notes that it was sent; `accepted` counts what the destination has taken so far.
    pub(super) fn hand_over(&mut self, accepted: u64) {
        if self.handed_over == 0 {
            self.accepted = accepted;
        }
        self.handed_over = self.handed_over.saturating_add(1);
    }

    /// How often it was sent.
    pub(super) fn handed_over(&self) -> u32 {
        self.handed_over
    }

    /// Notes that it failed and returns how many failures count.
    fn fail(&mut self, accepted: u64) -> u32 {
        self.strikes += u32::from(accepted > self.accepted);
        self.accepted = accepted;
        self.strikes
    }
}

/// Records that wait for a time of their own.
#[derive(Debug, Default)]
pub(super) struct Later {
    due: BinaryHeap<Reverse<(i64, u64)>>,
}

impl Later {
    fn push(&mut self, number: u64, due_us: i64) {
        self.due.push(Reverse((due_us, number)));
    }

    fn pop_due(&mut self, now_us: i64) -> Option<u64> {
        let Reverse((due_us, _)) = self.due.peek()?;
        (*due_us <= now_us)
            .then(|| self.due.pop())
            .flatten()
            .map(|Reverse((_, number))| number)
    }

    /// When the next one is due, in microseconds of the monotonic clock.
    pub(super) fn due_us(&self) -> Option<i64> {
        self.due.peek().map(|Reverse((due_us, _))| *due_us)
    }
}

/// The pause after so many attempts: doubled each time, and up to a quarter longer by the record's number, so that
/// those that failed together do not come back together.
fn pause_us(number: u64, attempts: u32) -> i64 {
    let doubled = FIRST_PAUSE_US.saturating_mul(1 << attempts.saturating_sub(1).min(20));
    let pause = doubled.min(LONGEST_RETRY_US);
    let share = i64::try_from(xxh3_64(&number.to_le_bytes()) % 256).unwrap_or(0);
    pause + pause / 1024 * share
}

impl<B: Batch, S: Sink> Pipeline<B, S> {
    /// Puts up for sending what waited for its time, ahead of what was never sent: the commit waits for the oldest.
    pub(super) fn take_due(&mut self, now_us: i64) {
        let mut due: Vec<u64> = std::iter::from_fn(|| self.later.pop_due(now_us)).collect();
        due.sort_unstable();
        for number in due.into_iter().rev() {
            if let Some(entry) = self.window.entry_mut(number) {
                entry.status = Status::Ready;
                self.stalled[entry.leg_route().index()].push_front(number);
            }
        }
    }

    /// Makes an entry that failed alone wait, or gives it up after too many attempts; its key stays taken meanwhile.
    pub(super) fn postpone(&mut self, number: u64, failure: &Failure, now_us: i64) {
        let accepted = self.counters.events;
        let Some(entry) = self.window.entry_mut(number) else {
            return;
        };
        entry.resent = true;
        let Meaning::Later { pause_ms } = failure.meaning else {
            // for no fault of its own: it waits for the breaker alone
            self.breaker.fail(number, Fault::Shut, &failure.reason, now_us);
            entry.status = Status::Ready;
            self.stalled[entry.leg_route().index()].push_front(number);
            return;
        };
        let asked_us = i64::try_from(pause_ms.saturating_mul(1000)).unwrap_or(i64::MAX);
        let fault = Fault::Passing { pause_us: asked_us };
        self.breaker.fail(number, fault, &failure.reason, now_us);
        let strikes = entry.tries.fail(accepted);
        if strikes < self.sink.max_attempts() {
            entry.status = Status::Later;
            let pause_us = pause_us(number, entry.tries.handed_over()).max(asked_us);
            self.later.push(number, now_us.saturating_add(pause_us));
            return;
        }
        entry.status = Status::Ready;
        entry.add_reason(&format!(
            "given up after {} attempts, {strikes} of them while other records were accepted: {}",
            entry.tries.handed_over(),
            failure.reason
        ));
        if self.condemn(number, now_us) {
            self.ready.push_back(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound_and_differ_by_record() {
        let pauses: Vec<i64> = (1..40).map(|attempts| pause_us(7, attempts)).collect();
        assert!(pauses.is_sorted());
        assert!(pauses[0] >= FIRST_PAUSE_US && pauses[0] <= FIRST_PAUSE_US * 5 / 4);
        assert!(*pauses.last().unwrap() <= LONGEST_RETRY_US * 5 / 4);
        assert_ne!(pause_us(7, 40), pause_us(8, 40));
    }

    #[test]
    fn only_failures_while_others_are_accepted_count() {
        let mut tries = Tries::default();
        tries.hand_over(10);
        assert_eq!(tries.fail(10), 0, "nothing was accepted meanwhile");
        tries.hand_over(10);
        assert_eq!(tries.fail(12), 1);
        tries.hand_over(12);
        assert_eq!(tries.fail(12), 1, "down since");
        assert_eq!(tries.handed_over(), 3);
    }

    #[test]
    fn records_come_back_in_the_order_of_their_times() {
        let mut later = Later::default();
        for (number, due_us) in [(1, 30), (2, 10), (3, 20)] {
            later.push(number, due_us);
        }
        assert_eq!((later.due_us(), later.pop_due(9)), (Some(10), None));
        assert_eq!(
            (later.pop_due(25), later.pop_due(25), later.pop_due(25)),
            (Some(2), Some(3), None)
        );
    }
}
