//! The chain of one run, followed as its records come.
//!
//! Responsible for what breaks a chain: a record whose bytes are not those that were hashed, one that is missing, one
//! that cites another than its predecessor, two of one number, one that stands before its predecessor, one after the
//! end. A byte-identical repeat is no break: a replay sends the same bytes. Refuses to judge what no record says: a
//! run that was never closed is not broken. Invariant: memory is 16 bytes for each record of the run, and what waits
//! for a predecessor, at most [`MAX_WAITING`] records.

use std::collections::{BTreeMap, HashMap};

use super::link::{Hash, Link};
use super::place::Place;

/// Most records that wait for a predecessor; with more, it counts as missing. Some 100 bytes each.
const MAX_WAITING: usize = 1 << 20;

/// How a chain is broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Break {
    /// The record's bytes are not those that its hash was made of.
    Altered,
    /// These numbers are not there; the place is that of the record that follows them.
    Missing {
        /// The first of them.
        from: u64,
        /// The last of them.
        to: u64,
    },
    /// The record cites another than the one before it.
    Unlinked,
    /// Another record of the same number was read before.
    Twice,
    /// The record stands behind one of a higher number in the same file or partition.
    Reordered {
        /// That number.
        behind: u64,
    },
    /// The record comes after the end of its run.
    AfterEnd,
    /// The end of the run states another number of records.
    Count {
        /// The number that it states.
        stated: u64,
    },
}

/// A record that waits for the one before it.
#[derive(Debug)]
struct Waiting {
    cited: Option<Hash>,
    hash: Hash,
    place: Place,
    closes: Option<Option<u64>>,
}

/// What a chain has shown so far.
#[derive(Debug, Default)]
pub(super) struct Chain {
    /// Number of the record that comes next, from 1.
    next: u64,
    /// The beginning may be absent.
    partial: bool,
    head: Option<Hash>,
    /// What the first record cites: the end of another run.
    pub(super) cited_run: Option<Hash>,
    /// The first half of each hash that was passed: enough to tell a repeat from another record.
    passed: Vec<[u8; 16]>,
    /// Number of the record that `passed` begins with.
    first: u64,
    /// Number of records, repeats not counted.
    pub(super) records: u64,
    /// Number of the first record that is there.
    begins_at: Option<u64>,
    waiting: BTreeMap<u64, Waiting>,
    last_of_stream: HashMap<u32, u64>,
    closed: bool,
    /// The break of the lowest number, with its place.
    pub(super) first_break: Option<(u64, Place, Break)>,
    pub(super) breaks: u64,
    pub(super) repeats: u64,
    /// Earliest and latest `processedAt`.
    pub(super) times: Option<(String, String)>,
}

impl Chain {
    /// Begins a chain; a `partial` one may begin with any number.
    pub(super) fn new(partial: bool) -> Self {
        Self {
            next: 1,
            partial,
            first: 1,
            ..Self::default()
        }
    }

    /// Number of the first record that is there.
    pub(super) fn begins_at(&self) -> Option<u64> {
        self.begins_at
    }

    /// The hash of the last record.
    pub(super) fn head(&self) -> Option<Hash> {
        self.head
    }

    /// Says whether the run's last record was read.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Takes the next record of a stream.
    pub(super) fn take(&mut self, link: Link, place: Place) {
        let sequence = link.sequence;
        if link.computed != link.hash {
            self.note(sequence, place, Break::Altered);
        }
        if self.is_repeat(&link, place) {
            return;
        }
        let last = self.last_of_stream.entry(place.stream).or_insert(sequence);
        let behind = *last;
        *last = behind.max(sequence);
        if behind > sequence {
            self.note(sequence, place, Break::Reordered { behind });
        }
        match &mut self.times {
            Some((earliest, latest)) => {
                if link.at < *earliest {
                    *earliest = link.at;
                } else if link.at > *latest {
                    *latest = link.at;
                }
            }
            none => *none = Some((link.at.clone(), link.at)),
        }
        let waiting = Waiting {
            cited: link.cited,
            hash: link.hash,
            place,
            closes: link.closes,
        };
        self.waiting.insert(sequence, waiting);
        self.follow();
        if self.waiting.len() > MAX_WAITING {
            self.skip_hole();
            self.follow();
        }
    }

    /// Takes the end of all streams: what still waits has no predecessor.
    pub(super) fn finish(&mut self) {
        while !self.waiting.is_empty() {
            self.skip_hole();
            self.follow();
        }
    }

    /// Says whether a record of this number was there before, and notes where it was another one.
    fn is_repeat(&mut self, link: &Link, place: Place) -> bool {
        let before = match self.waiting.get(&link.sequence) {
            Some(waiting) => Some(waiting.hash == link.hash),
            // before a hole, or with the number 0, which no record has: there is nothing left to compare with
            None if link.sequence < self.first => Some(self.first > 1),
            None if link.sequence < self.next => {
                let at = usize::try_from(link.sequence - self.first).ok();
                let passed = at.and_then(|at| self.passed.get(at));
                Some(passed.is_some_and(|half| link.hash.starts_with(half)))
            }
            None => None,
        };
        match before {
            Some(true) => self.repeats += 1,
            Some(false) => self.note(link.sequence, place, Break::Twice),
            None => {}
        }
        before.is_some()
    }

    /// Follows the chain as far as records are there.
    fn follow(&mut self) {
        while let Some(waiting) = self.waiting.remove(&self.next) {
            self.pass(&waiting);
        }
    }

    fn pass(&mut self, record: &Waiting) {
        let sequence = self.next;
        self.begins_at.get_or_insert(sequence);
        if sequence == 1 {
            self.cited_run = record.cited;
        } else if self.head.is_some() && record.cited != self.head {
            self.note(sequence, record.place, Break::Unlinked);
        }
        if self.closed {
            self.note(sequence, record.place, Break::AfterEnd);
        }
        if let Some(stated) = record.closes {
            self.closed = true;
            if let Some(stated) = stated.filter(|stated| *stated != sequence) {
                self.note(sequence, record.place, Break::Count { stated });
            }
        }
        let mut half = [0; 16];
        half.copy_from_slice(&record.hash[..16]);
        self.passed.push(half);
        self.records += 1;
        self.head = Some(record.hash);
        self.next += 1;
    }

    /// Goes on at the first record that waits; what lies before it is missing.
    fn skip_hole(&mut self) {
        let Some((&sequence, waiting)) = self.waiting.first_key_value() else {
            return;
        };
        let place = waiting.place;
        let (from, to) = (self.next, sequence - 1);
        if !(self.partial && self.records == 0) {
            self.note(from, place, Break::Missing { from, to });
        }
        // what is not there has no hash that the next record could be held against
        self.head = None;
        self.passed.clear();
        (self.first, self.next) = (sequence, sequence);
    }

    fn note(&mut self, sequence: u64, place: Place, what: Break) {
        self.breaks += 1;
        if self
            .first_break
            .as_ref()
            .is_none_or(|(first, ..)| sequence < *first)
        {
            self.first_break = Some((sequence, place, what));
        }
    }
}
