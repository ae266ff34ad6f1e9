//! The line of openings that a spool goes back to: each epoch with the incarnation that was drawn for it.
//!
//! Responsible for telling copies of one directory apart: they count the same epochs and draw different incarnations,
//! so what both lines hold was lived by both. Refuses to take an opening for shared where an older one contradicts it.
//! Invariant: epochs grow, oldest first, bounded in number.

use uuid::Uuid;

/// Most openings that are remembered: as many as fit into the one block of the identity, and some to spare. A process
/// that dies every second without a commit needs 8 minutes to outrun them.
pub(super) const MOST_OPENINGS: usize = 500;

/// The beginning of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    /// The epoch.
    pub epoch: u32,
    /// A random number that no other opening has, also none of the same epoch in a copy of the directory.
    pub incarnation: u32,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lineage {
    openings: Vec<Opening>,
    unrecorded_to: u32,
}

/// Draws an incarnation from the operating system.
pub(super) fn draw() -> u32 {
    // The first 32 bits of a UUIDv4 are random, all of them.
    Uuid::new_v4().as_fields().0
}

impl Lineage {
    /// The line of a spool whose last epoch was written by format 1, which knew of no incarnations.
    pub(super) fn of_format_1(epoch: u32) -> Self {
        Self {
            openings: Vec::new(),
            unrecorded_to: epoch,
        }
    }

    /// The line as it was written; `None` if it is longer than any that is written.
    pub(super) fn of(openings: Vec<Opening>, unrecorded_to: u32) -> Option<Self> {
        (openings.len() <= MOST_OPENINGS).then_some(Self {
            openings,
            unrecorded_to,
        })
    }

    /// Returns this line with one more opening; the oldest goes where there is no room.
    #[must_use]
    pub(super) fn and(&self, opening: Opening) -> Self {
        let skipped = (self.openings.len() + 1).saturating_sub(MOST_OPENINGS);
        let mut openings = self.openings[skipped..].to_vec();
        openings.push(opening);
        Self { openings, ..*self }
    }

    /// Returns the openings that are remembered, oldest first.
    #[must_use]
    pub fn openings(&self) -> &[Opening] {
        &self.openings
    }

    /// Returns the last epoch of format 1, which wrote down no incarnations; 0 if there was none.
    #[must_use]
    pub fn unrecorded_to(&self) -> u32 {
        self.unrecorded_to
    }

    /// Returns the incarnations of the last openings, oldest first, at most `most`.
    #[must_use]
    pub fn newest(&self, most: usize) -> Vec<u32> {
        let skipped = self.openings.len().saturating_sub(most);
        let openings = self.openings[skipped..].iter();
        openings.map(|opening| opening.incarnation).collect()
    }

    /// Returns the last epoch that this line shares with the one whose newest incarnations are these, oldest first;
    /// `None` if none is found. Lines that share an opening share all before it, which guards against numbers that are
    /// equal by chance.
    #[must_use]
    pub fn last_shared(&self, other: &[u32]) -> Option<u32> {
        let agrees = |own: &[Opening], other: &[u32]| {
            let pairs = own.iter().rev().zip(other.iter().rev());
            pairs.into_iter().all(|(own, other)| own.incarnation == *other)
        };
        (0..self.openings.len()).rev().find_map(|at| {
            let own = &self.openings[..=at];
            let is_shared = (1..=other.len()).any(|count| agrees(own, &other[..count]));
            is_shared.then_some(self.openings[at].epoch)
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Lineage, MOST_OPENINGS, Opening};

    fn line(incarnations: &[u32]) -> Lineage {
        let openings = (1..).zip(incarnations);
        openings.fold(Lineage::default(), |line, (epoch, incarnation)| {
            line.and(Opening {
                epoch,
                incarnation: *incarnation,
            })
        })
    }

    #[test]
    fn an_equal_number_behind_different_ones_is_chance() {
        assert_eq!(line(&[1, 2, 3]).last_shared(&[1, 2, 9]), Some(2));
        assert_eq!(line(&[1, 2, 3, 4]).last_shared(&[1, 2, 9, 4]), Some(2));
        assert_eq!(line(&[7, 8]).last_shared(&[1, 8]), None);
        assert_eq!(line(&[7, 8]).last_shared(&[]), None);
        assert_eq!(Lineage::of_format_1(4).last_shared(&[1]), None);
    }

    #[test]
    fn the_oldest_openings_are_forgotten() {
        let all: Vec<u32> = (1..=MOST_OPENINGS as u32 + 20).map(|more| more << 8).collect();
        let line = line(&all);
        assert_eq!(line.openings().len(), MOST_OPENINGS);
        assert_eq!(line.openings()[0].epoch, 21);
        assert_eq!(line.newest(2), all[all.len() - 2..]);
        assert_eq!(line.last_shared(&all[30..40]), Some(40));
        assert_eq!(line.last_shared(&all[5..15]), None);
        assert_eq!(Lineage::of(vec![line.openings()[0]; MOST_OPENINGS + 1], 0), None);
    }

    proptest! {
        /// Two lines part after `shared` openings; one of them is shown by its last `shown`.
        #[test]
        fn the_last_opening_before_two_lines_part_is_found_if_it_is_shown(
            shared in 0..40_usize,
            ours in 0..40_usize,
            theirs in 0..40_usize,
            shown in 1..30_usize,
        ) {
            let numbers = |from: usize, count: usize| (from..from + count).map(|number| number as u32);
            let own: Vec<u32> = numbers(0, shared).chain(numbers(100, ours)).collect();
            let other: Vec<u32> = numbers(0, shared).chain(numbers(200, theirs)).collect();
            let is_shown = shared > 0 && theirs < shown;
            let expected = is_shown.then_some(shared as u32);
            let shown = line(&other).newest(shown);
            prop_assert_eq!(line(&own).last_shared(&shown), expected);
        }
    }
}
