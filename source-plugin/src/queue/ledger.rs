//! The records law's terms: each counted where it happens, none derived from another.

use std::collections::VecDeque;

use super::NotHandedOut;

/// The terms of the records law `(recovered + appended) − (committed + evicted + uncommitted)`.
///
/// # Units
/// Records since the source was opened; `uncommitted` is the number right now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct RecordCounts {
    /// Found at open, left by an earlier process.
    pub recovered: u64,
    /// Published.
    pub appended: u64,
    /// Durable downstream.
    pub committed: u64,
    /// Given up: damaged, or still queued at the deadline of a drain without a spool.
    pub evicted: u64,
    /// Queued, in the spool only, or handed out and not committed.
    pub uncommitted: u64,
}

impl RecordCounts {
    /// Returns the records law, which must be 0.
    #[must_use]
    pub fn law(&self) -> i64 {
        (self.recovered + self.appended).cast_signed()
            - (self.committed + self.evicted + self.uncommitted).cast_signed()
    }
}

/// Numbers without a hole between them, handed out and not committed.
#[derive(Clone, Copy, Debug)]
struct Run {
    first: u64,
    last: u64,
}

impl Run {
    fn len(self) -> u64 {
        self.last - self.first + 1
    }
}

/// Records of one hand-out, or of several that were joined.
#[derive(Clone, Copy, Debug)]
struct Unresolved {
    last: u64,
    bytes: usize,
    /// When the oldest of them was received, microseconds since 1970 UTC.
    received_us: i64,
}

/// Most hand-outs whose age is followed one by one; beyond it the latest are taken together.
const MAX_UNRESOLVED: usize = 1024;

/// Follows every record from append to commit.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    queued: usize,
    /// In the spool and not in the queue.
    behind: u64,
    behind_bytes: u64,
    handed_out: VecDeque<Run>,
    unresolved: VecDeque<Unresolved>,
    last_handed_out: u64,
    recovered: u64,
    appended: u64,
    committed: u64,
    evicted: u64,
}

impl Ledger {
    pub(super) fn append(&mut self, records: usize) {
        self.queued += records;
        self.appended += records as u64;
    }

    /// Records that an earlier process left in the spool.
    pub(super) fn recover(&mut self, records: u64, bytes: u64) {
        self.recovered += records;
        self.behind += records;
        self.behind_bytes += bytes;
    }

    /// Records that are in the spool and not queued.
    pub(super) fn append_behind(&mut self, records: usize, bytes: usize) {
        self.appended += records as u64;
        self.behind += records as u64;
        self.behind_bytes += bytes as u64;
    }

    /// Records that were read from the spool and queued.
    pub(super) fn catch_up(&mut self, records: usize, bytes: usize) {
        self.queued += records;
        self.leave_behind(records as u64, bytes as u64);
    }

    /// Records of the spool that need not be delivered, since the host has them.
    pub(super) fn skip(&mut self, records: u64, bytes: u64) {
        self.committed += records;
        self.leave_behind(records, bytes);
    }

    /// Queued records that need not be delivered.
    pub(super) fn skip_queued(&mut self, records: usize) {
        self.queued = self.queued.saturating_sub(records);
        self.committed += records as u64;
    }

    /// The spool has been read to its end: what has not come out of it cannot be read.
    pub(super) fn evict_behind(&mut self) {
        self.evicted += self.behind;
        (self.behind, self.behind_bytes) = (0, 0);
    }

    /// What is queued stays in the spool, for the next process.
    pub(super) fn return_queued(&mut self, bytes: usize) {
        self.behind += self.queued as u64;
        self.behind_bytes += bytes as u64;
        self.queued = 0;
    }

    fn leave_behind(&mut self, records: u64, bytes: u64) {
        self.behind = self.behind.saturating_sub(records);
        self.behind_bytes = self.behind_bytes.saturating_sub(bytes);
    }

    pub(super) fn behind(&self) -> u64 {
        self.behind
    }

    pub(super) fn behind_bytes(&self) -> u64 {
        self.behind_bytes
    }

    /// Notes the size of what a pull gave and when the first of it was received.
    pub(super) fn hand_out_ended(&mut self, bytes: usize, received_us: i64) {
        let last = self.last_handed_out;
        if self.unresolved.len() >= MAX_UNRESOLVED
            && let Some(latest) = self.unresolved.back_mut()
        {
            latest.last = last;
            latest.bytes += bytes;
            return;
        }
        self.unresolved.push_back(Unresolved {
            last,
            bytes,
            received_us,
        });
    }

    /// When the oldest record that was handed out and is not committed was received, at the latest.
    pub(super) fn oldest_received_us(&self) -> Option<i64> {
        self.unresolved.front().map(|oldest| oldest.received_us)
    }

    /// Bytes of the hand-outs of which something is not committed.
    pub(super) fn unresolved_bytes(&self) -> usize {
        self.unresolved.iter().map(|unresolved| unresolved.bytes).sum()
    }

    pub(super) fn hand_out(&mut self, sequence: u64) {
        self.queued = self.queued.saturating_sub(1);
        self.last_handed_out = sequence;
        match self.handed_out.back_mut() {
            // Merging keeps a host that never commits from growing this without bound.
            Some(run) if run.last + 1 == sequence => run.last = sequence,
            _ => self.handed_out.push_back(Run {
                first: sequence,
                last: sequence,
            }),
        }
    }

    pub(super) fn evict_queued(&mut self) {
        self.evicted += self.queued as u64;
        self.queued = 0;
    }

    pub(super) fn commit(&mut self, sequence: u64) -> Result<(), NotHandedOut> {
        if sequence > self.last_handed_out {
            return Err(NotHandedOut {
                sequence,
                last_handed_out: self.last_handed_out,
            });
        }
        while self
            .unresolved
            .front()
            .is_some_and(|oldest| oldest.last <= sequence)
        {
            self.unresolved.pop_front();
        }
        while let Some(run) = self.handed_out.front_mut() {
            if run.last <= sequence {
                self.committed += run.len();
                self.handed_out.pop_front();
            } else if run.first <= sequence {
                self.committed += sequence - run.first + 1;
                run.first = sequence + 1;
            } else {
                break;
            }
        }
        Ok(())
    }

    pub(super) fn queued(&self) -> usize {
        self.queued
    }

    pub(super) fn last_handed_out(&self) -> u64 {
        self.last_handed_out
    }

    /// The terms; `waiting` is what the queue really holds, counted there.
    pub(super) fn counts(&self, waiting: u64) -> RecordCounts {
        let handed_out: u64 = self.handed_out.iter().map(|run| run.len()).sum();
        RecordCounts {
            recovered: self.recovered,
            appended: self.appended,
            committed: self.committed,
            evicted: self.evicted,
            uncommitted: waiting + self.behind + handed_out,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Ledger, RecordCounts};

    #[test]
    fn bumping_any_one_term_breaks_the_law() {
        let whole = RecordCounts {
            recovered: 1,
            appended: 9,
            committed: 4,
            evicted: 3,
            uncommitted: 3,
        };
        assert_eq!(whole.law(), 0);
        for broken in [
            RecordCounts {
                recovered: 2,
                ..whole
            },
            RecordCounts {
                appended: 10,
                ..whole
            },
            RecordCounts {
                committed: 5,
                ..whole
            },
            RecordCounts { evicted: 4, ..whole },
            RecordCounts {
                uncommitted: 4,
                ..whole
            },
        ] {
            assert_ne!(broken.law(), 0);
        }
    }

    #[test]
    fn a_host_that_never_commits_costs_no_memory() {
        let mut ledger = Ledger::default();
        for sequence in 1..=100_000 {
            ledger.append(1);
            ledger.hand_out(sequence);
        }
        assert_eq!(ledger.handed_out.len(), 1);
        assert_eq!(ledger.counts(0).uncommitted, 100_000);
    }

    proptest! {
        /// Against a model that keeps every number in a list.
        #[test]
        fn counts_agree_with_a_list_of_numbers(steps in prop::collection::vec((0_u8..8, 0_u64..12), 1..200)) {
            let mut ledger = Ledger::default();
            let (mut queued, mut handed, mut next) = (Vec::new(), Vec::new(), 1_u64);
            let (mut committed, mut evicted, mut last, mut behind) = (0_u64, 0_u64, 0_u64, 0_u64);
            for (step, amount) in steps {
                match step {
                    0 => {
                        for _ in 0..amount {
                            // A hole now and then: numbers need not be consecutive.
                            next += 1 + u64::from(amount == 7);
                            queued.push(next);
                        }
                        ledger.append(usize::try_from(amount).unwrap());
                    }
                    1 => for _ in 0..amount.min(queued.len() as u64) {
                        let sequence = queued.remove(0);
                        ledger.hand_out(sequence);
                        handed.push(sequence);
                        last = sequence;
                    },
                    2 => {
                        let to = last.saturating_sub(amount);
                        prop_assert!(ledger.commit(to).is_ok());
                        let before = handed.len();
                        handed.retain(|sequence| *sequence > to);
                        committed += (before - handed.len()) as u64;
                        prop_assert!(ledger.commit(last + 1 + amount).is_err());
                    }
                    3 => if amount == 0 {
                        evicted += queued.len() as u64;
                        queued.clear();
                        ledger.evict_queued();
                    },
                    4 => if behind > 0 || queued.is_empty() {
                        // what is behind is behind everything that is queued
                        behind += amount;
                        ledger.append_behind(usize::try_from(amount).unwrap(), 10 * usize::try_from(amount).unwrap());
                    },
                    5 => {
                        let read = amount.min(behind);
                        behind -= read;
                        for _ in 0..read {
                            next += 1;
                            queued.push(next);
                        }
                        ledger.catch_up(usize::try_from(read).unwrap(), 10 * usize::try_from(read).unwrap());
                    }
                    6 => {
                        let skipped = amount.min(behind);
                        behind -= skipped;
                        committed += skipped;
                        ledger.skip(skipped, 10 * skipped);
                    }
                    _ => if amount == 0 {
                        evicted += behind;
                        behind = 0;
                        ledger.evict_behind();
                    },
                }
                prop_assert_eq!((ledger.behind(), ledger.behind_bytes()), (behind, 10 * behind));
                let counts = ledger.counts(queued.len() as u64);
                prop_assert_eq!(ledger.queued(), queued.len());
                prop_assert_eq!(counts.law(), 0);
                prop_assert_eq!(counts.committed, committed);
                prop_assert_eq!(counts.evicted, evicted);
                prop_assert_eq!(counts.uncommitted, (queued.len() + handed.len()) as u64 + behind);
            }
        }
    }
}
