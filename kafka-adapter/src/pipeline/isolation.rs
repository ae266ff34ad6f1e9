//! Isolation: finding the one record that a destination refuses, with its neighbours delivered.
//!
//! Responsible for which records are sent together after a batch was refused. Refuses to condemn a record that was
//! not refused alone. Invariant: every record of the replay is sent again, in hand-out order within its group, until
//! it lands or is condemned.

use crate::sink::Meaning;

/// Groups still to be sent; each is sent with nothing else in flight.
#[derive(Debug, Default)]
pub(super) struct Isolation {
    groups: Vec<Vec<u64>>,
    /// How many of the current group have been handed to the sink.
    sent: usize,
}

/// What to do after a group has had all its outcomes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Send the next group.
    Next,
    /// Nothing is left.
    Done,
    /// This record was refused alone.
    Condemn(u64),
    /// The group failed for no fault of its records: send it again after a pause.
    Again,
}

impl Isolation {
    /// Starts with the failed records, in hand-out order.
    pub(super) fn new(failed: Vec<u64>) -> Self {
        Self {
            groups: vec![failed],
            sent: 0,
        }
    }

    /// The next record to send, if the current group has one left.
    pub(super) fn to_send(&self) -> Option<u64> {
        self.groups.last()?.get(self.sent).copied()
    }

    /// Notes that [`Isolation::to_send`] has been handed over, or is held back.
    pub(super) fn handed_over(&mut self) {
        self.sent += 1;
    }

    /// Judges the current group by those of its records that failed.
    pub(super) fn judge(&mut self, failed: &[(u64, Meaning)]) -> Verdict {
        let group = self.groups.pop().unwrap_or_default();
        self.sent = 0;
        if failed.is_empty() {
            return if self.groups.is_empty() {
                Verdict::Done
            } else {
                Verdict::Next
            };
        }
        let numbers: Vec<u64> = failed.iter().map(|(number, _)| *number).collect();
        if failed.iter().any(|(_, meaning)| *meaning != Meaning::Refused) {
            self.groups.push(numbers);
            return Verdict::Again;
        }
        if let ([alone], 1) = (numbers.as_slice(), group.len()) {
            let alone = *alone;
            // sent once more on its next leg, still with nothing beside it
            self.groups.push(vec![alone]);
            return Verdict::Condemn(alone);
        }
        let (first, second) = numbers.split_at(numbers.len().div_ceil(2));
        if !second.is_empty() {
            self.groups.push(second.to_vec());
        }
        self.groups.push(first.to_vec());
        Verdict::Next
    }

    /// Takes the condemned record out, since it has no further leg.
    pub(super) fn give_up_current(&mut self) {
        self.groups.pop();
        self.sent = 0;
    }

    /// Every record that is still to be sent or judged, once.
    pub(super) fn into_numbers(self) -> impl Iterator<Item = u64> {
        self.groups.into_iter().flatten()
    }

    /// The records of the current group.
    pub(super) fn current(&self) -> &[u64] {
        self.groups.last().map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn exactly_the_poison_is_condemned_and_the_rest_lands_in_order_per_group(
            count in 1_u64..60, poison in proptest::collection::btree_set(0_u64..60, 0..6),
        ) {
            let poison: BTreeSet<u64> = poison.into_iter().filter(|number| *number < count).collect();
            let mut isolation = Isolation::new((0..count).collect());
            let (mut condemned, mut landed) = (BTreeSet::new(), BTreeSet::new());
            let mut sends = 0_u64;
            loop {
                let mut group = Vec::new();
                while let Some(number) = isolation.to_send() {
                    isolation.handed_over();
                    group.push(number);
                    sends += 1;
                }
                prop_assert!(group.is_sorted());
                // a group is one batch: one poison fails it all; a condemned one lands on its next leg
                let refused = group.iter().any(|number| poison.contains(number) && !condemned.contains(number));
                let failed: Vec<_> =
                    group.iter().filter(|_| refused).map(|number| (*number, Meaning::Refused)).collect();
                if !refused {
                    landed.extend(group);
                }
                match isolation.judge(&failed) {
                    Verdict::Next => {}
                    Verdict::Done => break,
                    Verdict::Condemn(number) => { condemned.insert(number); }
                    Verdict::Again => prop_assert!(false, "nothing passing has failed"),
                }
            }
            prop_assert_eq!(condemned, poison.clone());
            prop_assert_eq!(landed.len() as u64, count);
            // bisection: each poison costs at most two sendings of each half on the way down
            let depth = u64::from(count.next_power_of_two().ilog2()) + 2;
            prop_assert!(sends <= count + poison.len() as u64 * (2 * count + depth));
        }
    }

    #[test]
    fn a_passing_failure_sends_the_same_records_again() {
        let mut isolation = Isolation::new(vec![4, 7, 9]);
        assert_eq!(
            isolation.judge(&[(4, Meaning::Rewind), (9, Meaning::Refused)]),
            Verdict::Again
        );
        assert_eq!(isolation.current(), [4, 9]);
        assert_eq!(isolation.judge(&[(9, Meaning::Refused)]), Verdict::Next);
        assert_eq!(isolation.judge(&[(9, Meaning::Refused)]), Verdict::Condemn(9));
        assert_eq!(isolation.judge(&[]), Verdict::Done);
    }
}
