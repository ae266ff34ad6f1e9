//! The chain of one run, followed as its records come.
//!
//! Responsible for what breaks a chain: a record whose bytes are not those that were hashed, one that is missing, one
//! that cites another than its predecessor, two of one number, one that stands before its predecessor, one of another
//! key, one after the end. A byte-identical repeat is no break: a replay sends the same bytes. Refuses to judge what no record says: a
//! run that was never closed is not broken, nor is it by a hole near its end that a kill may have left ([`Loss`]). Invariant:
//! memory is 16 bytes for each record of the run, one record of it, and what waits for a predecessor, at most
//! [`MAX_WAITING`] records.

use std::collections::{BTreeMap, HashMap};

use super::link::Link;
use super::place::Place;
use crate::audit::{Hash, KeyId};

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
    /// The record names another key than the one before it, or none, although a run has one.
    Rekeyed,
    /// The record comes after the end of its run.
    AfterEnd,
    /// The end of the run states another number of records.
    Count {
        /// The number that it states.
        stated: u64,
    },
}

/// What the death of a process may leave of its run: of each partition a beginning, since the records of one are
/// acknowledged in their order, and of the run all that was acknowledged when the last records were made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Loss {
    /// Number of streams among which a run is spread.
    pub(super) streams: usize,
    /// How far before the last record that is there one may be that never arrived; 0 where they come in one order.
    pub(super) in_flight: u64,
}

/// Records near the end of a run that has none, which are not linked to those before them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unlinked {
    /// Number of the last record that is linked; 0 if the first is not there.
    pub(super) after: u64,
    /// How many records after that are not there.
    pub(super) missing: u64,
    /// How many are there.
    pub(super) records: u64,
}

/// The first half of a hash.
pub(super) type Half = [u8; 16];

/// The first half of this hash.
pub(super) fn half(hash: &Hash) -> Half {
    let mut half = [0; 16];
    half.copy_from_slice(&hash[..16]);
    half
}

/// A record that waits for the one before it.
#[derive(Debug)]
struct Waiting {
    cited: Option<Hash>,
    hash: Hash,
    key: Option<KeyId>,
    place: Place,
    closes: Option<Option<u64>>,
    /// It is from before the edge.
    is_old: bool,
}

/// What a chain has shown so far.
#[derive(Debug, Default)]
pub(super) struct Chain {
    /// Number of the record that comes next, from 1.
    next: u64,
    /// The beginning may be absent.
    partial: bool,
    /// Up to when, as `processedAt` says it, records may be absent: what retention deleted of a partition is younger
    /// than what it left of another.
    edge: Option<String>,
    /// The last record passed is from before the edge.
    is_old: bool,
    /// Number of records that are absent from before the edge, those before the first one here left out.
    pub(super) deleted: u64,
    loss: Loss,
    head: Option<Hash>,
    /// The key that the last record passed names, once there is one.
    key: Option<Option<KeyId>>,
    /// The record of the lowest number whose key is not known, with its place.
    pub(super) unverified: Option<(u64, Place, KeyId)>,
    /// What the first record cites, a record of another run; and where it stands.
    pub(super) cited_run: Option<(Hash, Place)>,
    /// The source that the first record names.
    pub(super) source: Option<String>,
    /// The first half of each hash that was passed: enough to tell a repeat from another record.
    passed: Vec<Half>,
    /// The same of the records before a hole.
    behind: Vec<Half>,
    /// Number of the record that `passed` begins with.
    first: u64,
    /// Number of records, repeats not counted.
    pub(super) records: u64,
    /// Number of the first record that is there.
    begins_at: Option<u64>,
    waiting: BTreeMap<u64, Waiting>,
    last_of_stream: HashMap<u32, u64>,
    closed: bool,
    /// What a kill may have left at the end.
    pub(super) unlinked: Option<Unlinked>,
    /// The break of the lowest number, with its place.
    pub(super) first_break: Option<(u64, Place, Break)>,
    pub(super) breaks: u64,
    pub(super) repeats: u64,
    /// Earliest and latest `processedAt`.
    pub(super) times: Option<(String, String)>,
}

impl Chain {
    /// Begins a chain; a `partial` one may begin with any number, and have holes up to the `edge`.
    pub(super) fn new(partial: bool, edge: Option<&str>, loss: Loss) -> Self {
        Self {
            next: 1,
            partial,
            edge: edge.map(str::to_owned),
            loss,
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

    /// The first half of the hash of each record that is there, of repeats once.
    pub(super) fn halves(&self) -> impl Iterator<Item = &Half> {
        self.behind.iter().chain(&self.passed)
    }

    /// The key that the records name.
    pub(super) fn key(&self) -> Option<KeyId> {
        self.key.flatten()
    }

    /// Says whether the run's last record was read.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Says whether all of it is from before the edge, so that its end may have been deleted.
    pub(super) fn is_old(&self) -> bool {
        self.times
            .as_ref()
            .is_some_and(|(_, latest)| self.is_before_edge(latest))
    }

    fn is_before_edge(&self, at: &str) -> bool {
        self.edge.as_deref().is_some_and(|edge| at <= edge)
    }

    /// Says whether retention may have deleted the record that comes next.
    fn may_be_deleted(&self) -> bool {
        self.partial && (self.records == 0 || self.is_old)
    }

    /// Takes the next record of a stream.
    pub(super) fn take(&mut self, link: Link, place: Place) {
        let sequence = link.sequence;
        if sequence == 1 && self.source.is_none() {
            self.source.clone_from(&link.source);
        }
        if link.is_altered() {
            self.note(sequence, place, Break::Altered);
        }
        let unknown = link.key.filter(|_| link.computed.is_none());
        if let Some(id) = unknown
            && self.unverified.is_none_or(|(first, ..)| sequence < first)
        {
            self.unverified = Some((sequence, place, id));
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
        let is_old = self.is_before_edge(&link.at);
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
            key: link.key,
            place,
            closes: link.closes,
            is_old,
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
        let whole_until = self.whole_until();
        while let Some(&sequence) = self.waiting.keys().next() {
            if self.next > whole_until && !self.may_be_deleted() {
                let after = self.next - 1;
                let unlinked = self.unlinked.get_or_insert(Unlinked {
                    after,
                    missing: 0,
                    records: self.waiting.len() as u64,
                });
                unlinked.missing += sequence - self.next;
                self.jump(sequence);
            } else {
                self.skip_hole();
            }
            self.follow();
        }
    }

    /// Number of the last record that cannot be absent because of a kill: every record up to it has a later one in each
    /// stream, or lies too far before the end.
    fn whole_until(&self) -> u64 {
        let last = self.waiting.last_key_value().map_or(0, |(last, _)| *last);
        let is_closed = self.closed || self.waiting.values().any(|record| record.closes.is_some());
        if is_closed || self.loss.in_flight == 0 {
            return last;
        }
        let of_each_stream = if self.last_of_stream.len() < self.loss.streams {
            0
        } else {
            self.last_of_stream.values().copied().min().unwrap_or(0)
        };
        of_each_stream.max(last.saturating_sub(self.loss.in_flight))
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
            self.cited_run = record.cited.map(|cited| (cited, record.place));
        } else if self.head.is_some() && record.cited != self.head {
            self.note(sequence, record.place, Break::Unlinked);
        }
        if self.key.replace(record.key).is_some_and(|key| key != record.key) {
            self.note(sequence, record.place, Break::Rekeyed);
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
        self.passed.push(half(&record.hash));
        self.records += 1;
        self.head = Some(record.hash);
        self.is_old = record.is_old;
        self.next += 1;
    }

    /// Goes on at the first record that waits; what lies before it is missing.
    fn skip_hole(&mut self) {
        let Some((&sequence, waiting)) = self.waiting.first_key_value() else {
            return;
        };
        let place = waiting.place;
        let (from, to) = (self.next, sequence - 1);
        if !self.may_be_deleted() {
            self.note(from, place, Break::Missing { from, to });
        } else if self.records > 0 {
            self.deleted += sequence - self.next;
        }
        self.jump(sequence);
    }

    /// Goes on at a record without a look at what it cites: what is not there has no hash to hold that against.
    fn jump(&mut self, sequence: u64) {
        self.head = None;
        self.behind.append(&mut self.passed);
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
