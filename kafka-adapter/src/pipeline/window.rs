//! The window: every record that was pulled and is not yet resolved, in hand-out order.
//!
//! Responsible for holding batches until their last record is resolved and for the watermark. Refuses to let an
//! entry leave before all entries ahead of it. Invariant: the watermark is the highest sequence such that it and
//! everything handed out before it are resolved.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::audit::{Counts, Status as AuditStatus};
use crate::sink::{Landing, Meaning, Route};

use super::landings::Landings;
use super::retry::Tries;

/// What an entry is about.
#[derive(Debug)]
pub(super) enum Origin<B> {
    /// A record of the source.
    Record {
        /// Keeps the record's bytes.
        batch: Arc<B>,
        /// Place in the batch.
        index: u32,
        /// Sequence of the record.
        sequence: u64,
    },
    /// An audit record about the run itself, with its facts if its bytes are made when it is sent.
    Run(Option<Box<(AuditStatus, Option<Counts>)>>),
}

/// Which delivery an entry is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leg {
    /// The record to its own destination.
    Record,
    /// The refused record to the dead letters.
    DeadLetter,
    /// The refused dead letter to the local file.
    LastResort,
    /// The audit record.
    Audit,
}

/// How far the delivery of the leg is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// Not handed to the sink, or to be handed to it again.
    Ready,
    /// Handed to the sink; an outcome will come.
    Sent,
    /// Failed; waits for its place in a replay.
    Held(Meaning),
    /// Failed alone; tried again at a time of its own.
    Later,
    /// Refused alone, with nowhere else to go; tried again later.
    Parked,
    /// Outcome and audit are acknowledged, in a transaction that is not committed.
    Delivered,
    /// Outcome and audit are acknowledged.
    Resolved,
}

/// One entry of the window.
#[derive(Debug)]
pub(super) struct Entry<B> {
    pub(super) origin: Origin<B>,
    pub(super) route: Route,
    pub(super) leg: Leg,
    pub(super) status: Status,
    /// The present leg was sent before; its landing may come out of order.
    pub(super) resent: bool,
    /// Hash of the key; 0 if there is none, and so no order to keep.
    pub(super) key: u64,
    /// What the entry counts against the bound in bytes.
    pub(super) bytes: u64,
    pub(super) received_time_us: i64,
    /// Where the record is, and on which route it went there.
    pub(super) landed: Option<(Route, Landing)>,
    pub(super) reason: Option<Box<str>>,
    /// The audit record, kept from its first sending until it is acknowledged, so that a replay sends the same bytes.
    pub(super) audit: Vec<u8>,
    pub(super) audit_time_us: i64,
    /// How often the present leg was tried.
    pub(super) tries: Tries,
}

/// What the window holds, counted entry by entry at this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measure {
    /// Records that are not resolved.
    pub in_flight: u64,
    /// Records that are resolved and wait for one ahead of them, so that the source does not know it.
    pub resolved_behind: u64,
    /// When the oldest of those in flight was received, in microseconds since 1970 UTC.
    pub oldest_received_us: Option<i64>,
}

/// Entries by number, which counts from 0 in hand-out order and never skips.
#[derive(Debug)]
pub(super) struct Window<B> {
    entries: VecDeque<Entry<B>>,
    first: u64,
    bytes: u64,
    /// Kept while records are repeated, with the number of the last entry that was there when one was.
    landings: Option<(Landings, u64)>,
}

impl<B> Window<B> {
    pub(super) fn new() -> Self {
        Self {
            entries: VecDeque::new(),
            first: 0,
            bytes: 0,
            landings: None,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The number that the next entry will have.
    pub(super) fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    pub(super) fn push(&mut self, entry: Entry<B>) -> u64 {
        self.bytes += entry.bytes;
        self.entries.push_back(entry);
        self.end() - 1
    }

    fn place(&self, number: u64) -> Option<usize> {
        number
            .checked_sub(self.first)
            .and_then(|place| usize::try_from(place).ok())
    }

    pub(super) fn entry(&self, number: u64) -> Option<&Entry<B>> {
        self.entries.get(self.place(number)?)
    }

    pub(super) fn entry_mut(&mut self, number: u64) -> Option<&mut Entry<B>> {
        let place = self.place(number)?;
        self.entries.get_mut(place)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry<B>> {
        self.entries.iter()
    }

    pub(super) fn numbered_mut(&mut self) -> impl Iterator<Item = (u64, &mut Entry<B>)> {
        (self.first..).zip(self.entries.iter_mut())
    }

    /// Lets the resolved entries at the front go and returns the last sequence among them.
    pub(super) fn advance(&mut self) -> Option<u64> {
        let mut watermark = None;
        while let Some(entry) = self.entries.front() {
            if entry.status != Status::Resolved {
                break;
            }
            if let Origin::Record { sequence, .. } = entry.origin {
                watermark = Some(sequence);
            }
            self.bytes -= entry.bytes;
            if let (Some((landings, _)), Some((route, _))) = (&mut self.landings, entry.landed) {
                landings.remove(route, entry.key, self.first);
            }
            self.entries.pop_front();
            self.first += 1;
        }
        // a whole window has gone by since the last repeated record, so building it anew costs a step for each of them
        if self.landings.as_ref().is_some_and(|(_, last)| self.first > *last) {
            self.landings = None;
        }
        watermark
    }

    /// Books where an entry's record is. Returns, for one that was sent before, the number of entries after it whose
    /// record has the same key and had landed on the same route: the pairs that this landing puts out of order.
    pub(super) fn land(&mut self, number: u64, route: Route, landing: Landing) -> u64 {
        let last = self.end().saturating_sub(1);
        let Some(entry) = self.entry_mut(number) else {
            return 0;
        };
        entry.landed = Some((route, landing));
        let (key, resent) = (entry.key, std::mem::take(&mut entry.resent));
        if key == 0 {
            return 0;
        }
        if let Some((landings, _)) = &mut self.landings {
            landings.add(route, key, number);
        }
        if !resent {
            return 0;
        }
        if self.landings.is_none() {
            self.landings = Some((self.landed(), last));
        }
        self.landings.as_mut().map_or(0, |(landings, needed_until)| {
            *needed_until = last;
            landings.after(route, key, number)
        })
    }

    /// Forgets what has landed: a transaction was aborted.
    pub(super) fn forget_landings(&mut self) {
        self.landings = None;
    }

    fn landed(&self) -> Landings {
        let mut landings = Landings::default();
        for (number, entry) in (self.first..).zip(&self.entries) {
            if let (Some((route, _)), 1..) = (entry.landed, entry.key) {
                landings.add(route, entry.key, number);
            }
        }
        landings
    }

    /// Counts what is in flight, entry by entry; nothing here is derived from another counter.
    pub(super) fn measure(&self) -> Measure {
        let mut measure = Measure::default();
        for entry in &self.entries {
            if matches!(entry.origin, Origin::Run(_)) {
                continue;
            }
            if entry.status == Status::Resolved {
                measure.resolved_behind += 1;
            } else {
                measure.in_flight += 1;
                let oldest = measure.oldest_received_us.get_or_insert(entry.received_time_us);
                *oldest = (*oldest).min(entry.received_time_us);
            }
        }
        measure
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(sequence: u64, key: u64) -> Entry<()> {
        Entry {
            origin: Origin::Record {
                batch: Arc::new(()),
                index: 0,
                sequence,
            },
            route: Route::Event,
            leg: Leg::Record,
            status: Status::Sent,
            resent: false,
            key,
            bytes: 10,
            received_time_us: 1000 - i64::try_from(sequence).unwrap(),
            landed: None,
            reason: None,
            audit: Vec::new(),
            audit_time_us: 0,
            tries: Tries::default(),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn the_watermark_is_the_lowest_contiguous_whatever_the_order(
            steps in proptest::collection::vec(1_u64..5, 1..60),
            order in proptest::collection::vec(any::<prop::sample::Index>(), 60),
        ) {
            // sequences grow but skip numbers: contiguous means next in hand-out order
            let mut window = Window::new();
            let mut sequences = Vec::new();
            let mut sequence = 0;
            for step in steps {
                sequence += step;
                sequences.push(sequence);
                window.push(entry(sequence, 1));
            }
            let mut open: Vec<u64> = (0..sequences.len() as u64).collect();
            let mut resolved = vec![false; sequences.len()];
            let mut watermark = None;
            for pick in order {
                if open.is_empty() { break }
                let number = open.remove(pick.index(open.len()));
                window.entry_mut(number).unwrap().status = Status::Resolved;
                resolved[number as usize] = true;
                watermark = window.advance().or(watermark);
                let contiguous = resolved.iter().take_while(|resolved| **resolved).count();
                prop_assert_eq!(watermark, contiguous.checked_sub(1).map(|last| sequences[last]));
                prop_assert_eq!(window.measure().in_flight, open.len() as u64);
                let behind = sequences.len() - open.len() - contiguous;
                prop_assert_eq!(window.measure().resolved_behind, behind as u64);
                prop_assert_eq!(window.bytes(), 10 * (sequences.len() - contiguous) as u64);
            }
        }

        #[test]
        fn inversions_equal_a_count_of_all_pairs(
            keys in proptest::collection::vec(0_u64..4, 1..40),
            order in proptest::collection::vec(any::<prop::sample::Index>(), 40),
            resent in proptest::collection::vec(any::<bool>(), 40),
            resolved in proptest::collection::vec(any::<bool>(), 40),
        ) {
            let mut window = Window::new();
            for (number, key) in keys.iter().enumerate() {
                window.push(entry(number as u64, *key));
            }
            let mut open: Vec<u64> = (0..keys.len() as u64).collect();
            let mut landed = Vec::new();
            let mut counted = 0;
            for pick in order {
                if open.is_empty() { break }
                let number = open.remove(pick.index(open.len()));
                window.entry_mut(number).unwrap().resent = resent[number as usize];
                landed.push(number);
                counted += window.land(number, Route::Event, Landing::Lines);
                // what leaves the window is forgotten; an entry only leaves after all that it could be overtaken by
                if resolved[number as usize] {
                    window.entry_mut(number).unwrap().status = Status::Resolved;
                    window.advance();
                }
            }
            let mut expected = 0;
            for (place, later) in landed.iter().enumerate().filter(|(_, later)| resent[**later as usize]) {
                for earlier in &landed[..place] {
                    let same_key = keys[*later as usize] == keys[*earlier as usize];
                    expected += u64::from(later < earlier && same_key && keys[*later as usize] != 0);
                }
            }
            prop_assert_eq!(counted, expected);
        }
    }

    #[test]
    fn another_route_is_no_inversion() {
        let mut window = Window::new();
        window.push(entry(0, 5));
        window.push(entry(1, 5));
        window.entry_mut(0).unwrap().resent = true;
        assert_eq!(window.land(1, Route::Event, Landing::Lines), 0);
        assert_eq!(window.land(0, Route::DeadLetter, Landing::Lines), 0);
    }

    #[test]
    fn landings_are_kept_only_while_records_are_repeated() {
        let mut window = Window::new();
        for number in 0..4 {
            window.push(entry(number, 5));
        }
        let resolve = |window: &mut Window<()>, number| {
            window.entry_mut(number).unwrap().status = Status::Resolved;
            window.advance();
        };
        window.land(1, Route::Event, Landing::Lines);
        assert!(window.landings.is_none(), "nothing has been sent twice");
        window.entry_mut(0).unwrap().resent = true;
        assert_eq!(window.land(0, Route::Event, Landing::Lines), 1);
        for number in 0..3 {
            resolve(&mut window, number);
            assert!(window.landings.is_some(), "{number}");
        }
        window.push(entry(4, 5));
        resolve(&mut window, 3);
        assert!(window.landings.is_none(), "all that could be overtaken is gone");
    }

    #[test]
    fn the_oldest_receive_time_is_found_wherever_it_is() {
        let mut window = Window::new();
        for sequence in 0..3 {
            window.push(entry(sequence, 0));
        }
        assert_eq!(
            window.measure(),
            Measure {
                in_flight: 3,
                resolved_behind: 0,
                oldest_received_us: Some(998)
            }
        );
    }
}
