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
    /// Queued, or handed out and not committed.
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

/// Follows every record from append to commit.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    queued: usize,
    handed_out: VecDeque<Run>,
    last_handed_out: u64,
    appended: u64,
    committed: u64,
    evicted: u64,
}

impl Ledger {
    pub(super) fn append(&mut self, records: usize) {
        self.queued += records;
        self.appended += records as u64;
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
            recovered: 0,
            appended: self.appended,
            committed: self.committed,
            evicted: self.evicted,
            uncommitted: waiting + handed_out,
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
        fn counts_agree_with_a_list_of_numbers(steps in prop::collection::vec((0_u8..4, 0_u64..12), 1..200)) {
            let mut ledger = Ledger::default();
            let (mut queued, mut handed, mut next) = (Vec::new(), Vec::new(), 1_u64);
            let (mut committed, mut evicted, mut last) = (0_u64, 0_u64, 0_u64);
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
                    _ => if amount == 0 {
                        evicted += queued.len() as u64;
                        queued.clear();
                        ledger.evict_queued();
                    },
                }
                let counts = ledger.counts(queued.len() as u64);
                prop_assert_eq!(ledger.queued(), queued.len());
                prop_assert_eq!(counts.law(), 0);
                prop_assert_eq!(counts.committed, committed);
                prop_assert_eq!(counts.evicted, evicted);
                prop_assert_eq!(counts.uncommitted, (queued.len() + handed.len()) as u64);
            }
        }
    }
}
