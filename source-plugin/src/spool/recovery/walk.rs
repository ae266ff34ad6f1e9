//! The walk over all segments, oldest first, of one recovery.
//!
//! Responsible for what is remembered from one segment to the next: last number, marks, damage that waits for the next
//! good record. Refuses a record whose number is not larger than the last one: it is the copy that a failed sync left.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use super::{Damage, Examined, Fault, Listed, Recovered, State, Torn, claims, merge, seed_of};
use crate::spool::entry::EntryKind;
use crate::spool::header::SegmentHeader;
use crate::spool::index::Index;
use crate::spool::open_gaps;
use crate::spool::scan::{Scanner, remainder};
use crate::spool::segment::Segment;
use crate::spool::storage::Storage;

/// What one segment holds.
#[derive(Debug, Default)]
struct Contents {
    end: u64,
    records: u64,
    payload_bytes: u64,
    first_sequence: Option<u64>,
    last_sequence: u64,
    unreadable: bool,
}

pub(super) struct Walk {
    claims: BTreeMap<u64, u64>,
    /// The largest commit mark of all headers: what is at or below it need not be read.
    committed: u64,
    state: State,
    last_sequence: u64,
    /// The last number before the present segment, as its header says: what was before it may have been deleted.
    before: u64,
    damage: Vec<Damage>,
    /// How many of `damage`, from the end, wait for the next record.
    waiting: usize,
    torn: Option<Torn>,
    /// Where records may have been before a segment, with what its header says of the last one.
    holes: Vec<(usize, u64)>,
}

impl Walk {
    pub(super) fn new(listed: &[Listed]) -> Self {
        let headers = listed.iter().filter_map(|one| one.header.as_ref().ok());
        Self {
            claims: claims(listed),
            committed: headers.map(|(header, _)| header.state.commit).max().unwrap_or(0),
            state: State::default(),
            last_sequence: 0,
            before: 0,
            damage: Vec::new(),
            waiting: 0,
            torn: None,
            holes: Vec::new(),
        }
    }

    pub(super) fn segment(
        &mut self,
        storage: &dyn Storage,
        uuid: Option<Uuid>,
        one: &Listed,
        is_last: bool,
    ) -> Examined {
        let (header, data_offset, uuid) = match (&one.header, uuid) {
            (Ok((header, data_offset)), Some(uuid)) => (header, *data_offset, uuid),
            (Ok(_), None) => return self.unusable(one, Fault::Foreign),
            (Err(fault), _) => return self.unusable(one, *fault),
        };
        self.look_for_hole(header);
        self.before = self.before.max(header.last_sequence);
        merge(&mut self.state, &header.state);
        let claim = self.claims.get(&one.name.number).copied();
        let limit = claim.unwrap_or(one.file_bytes).min(one.file_bytes);
        let seed = seed_of(uuid, one.name);
        let segment = Segment::new(one.name, seed, data_offset, Arc::clone(&one.file), limit, 0);

        let index = Index::read(storage, uuid, one.name);
        let committed_index = index.as_ref().filter(|index| {
            let last = index.entries.last().map_or(0, |entry| entry.sequence);
            claim == Some(index.end) && last <= self.committed
        });
        let contents = match committed_index {
            Some(index) => self.indexed(index),
            None => self.scanned(&segment),
        };
        let claimed_end = self.ending(&segment, &contents, claim, one, is_last);
        let last_sequence = contents.last_sequence;
        segment.show(contents.end, last_sequence);
        Examined {
            name: one.name,
            file_bytes: one.file_bytes,
            segment: Some(Arc::new(segment)),
            claimed_end,
            records: contents.records,
            payload_bytes: contents.payload_bytes,
            first_sequence: contents.first_sequence,
            last_sequence,
            done_at: last_sequence,
            is_own: true,
            has_index: index.is_some(),
        }
    }

    /// A segment whose header cannot be trusted: nothing of it is read.
    fn unusable(&mut self, one: &Listed, fault: Fault) -> Examined {
        self.report(one.name.number, 0, one.file_bytes, fault);
        Examined {
            name: one.name,
            file_bytes: one.file_bytes,
            segment: None,
            claimed_end: one.file_bytes.max(1),
            records: 0,
            payload_bytes: 0,
            first_sequence: None,
            last_sequence: 0,
            done_at: 0,
            is_own: fault != Fault::Foreign,
            has_index: false,
        }
    }

    fn look_for_hole(&mut self, header: &SegmentHeader) {
        let Some(predecessor) = header.predecessor else {
            return;
        };
        if header.last_sequence > self.last_sequence {
            self.report(predecessor.number, 0, 0, Fault::Missing);
            self.holes.push((self.damage.len() - 1, header.last_sequence));
        }
    }

    fn indexed(&mut self, index: &Index) -> Contents {
        let numbers = || index.entries.iter().map(|entry| entry.sequence);
        if let Some(first) = numbers().next() {
            self.good(first);
        }
        self.last_sequence = self.last_sequence.max(numbers().next_back().unwrap_or(0));
        Contents {
            end: index.end,
            records: index.entries.len() as u64,
            payload_bytes: index.payload_bytes,
            first_sequence: numbers().next(),
            last_sequence: numbers().next_back().unwrap_or(0),
            unreadable: false,
        }
    }

    fn scanned(&mut self, segment: &Segment) -> Contents {
        let mut scanner = Scanner::new(
            segment.file(),
            segment.seed,
            segment.data_offset,
            segment.visible_end(),
        );
        let mut contents = Contents::default();
        loop {
            let entry = match scanner.next() {
                Ok(Some((_, entry))) => entry,
                Ok(None) => break,
                Err(_) => {
                    contents.unreadable = true;
                    break;
                }
            };
            match entry.kind {
                EntryKind::Commit => self.state.commit = self.state.commit.max(entry.sequence),
                EntryKind::Alive => self.state.alive_us = Some(entry.time_us),
                EntryKind::OpenGaps => self.state.open_gaps = entry.payload.to_vec(),
                EntryKind::Record if entry.sequence > self.last_sequence => {
                    self.good(entry.sequence);
                    contents.records += 1;
                    contents.payload_bytes += entry.payload.len() as u64;
                    contents.first_sequence.get_or_insert(entry.sequence);
                    contents.last_sequence = entry.sequence;
                    self.last_sequence = entry.sequence;
                }
                // A copy of what was already read.
                EntryKind::Record => contents.last_sequence = contents.last_sequence.max(entry.sequence),
            }
        }
        contents.end = scanner.offset();
        contents
    }

    /// Judges what stands behind the last good entry; returns where the segment's contents end.
    fn ending(
        &mut self,
        segment: &Segment,
        contents: &Contents,
        claim: Option<u64>,
        one: &Listed,
        is_last: bool,
    ) -> u64 {
        let (number, end) = (one.name.number, contents.end);
        let fault = if contents.unreadable {
            Fault::Unreadable
        } else {
            Fault::Entry
        };
        if let Some(claim) = claim {
            if end < claim {
                self.report(number, end, claim, fault);
            }
            return claim;
        }
        if contents.unreadable {
            self.report(number, end, one.file_bytes, fault);
            return one.file_bytes;
        }
        if !is_last {
            // Given up in the making of the next one, which repeats what counts of it.
            return end;
        }
        match remainder(segment.file(), segment.seed, end, one.file_bytes) {
            Ok(None) => end,
            Ok(Some(rest)) if rest.has_entry => {
                self.report(number, end, rest.end, fault);
                rest.end
            }
            Ok(Some(rest)) => {
                self.torn = Some(Torn {
                    segment: number,
                    from_offset: end,
                    to_offset: rest.end,
                });
                end
            }
            Err(_) => {
                self.report(number, end, one.file_bytes, Fault::Unreadable);
                one.file_bytes
            }
        }
    }

    fn report(&mut self, segment: u64, from_offset: u64, to_offset: u64, fault: Fault) {
        let last = self.last_sequence.max(self.before);
        self.damage.push(Damage {
            segment,
            from_offset,
            to_offset,
            last_good: (last > 0).then_some(last),
            next_good: None,
            fault,
        });
        self.waiting += 1;
    }

    /// Notes a good record: it ends every range that is still open.
    fn good(&mut self, sequence: u64) {
        let from = self.damage.len() - self.waiting;
        for damage in &mut self.damage[from..] {
            damage.next_good = Some(sequence);
        }
        self.waiting = 0;
    }

    pub(super) fn finish(self, listed: &[Listed]) -> Recovered {
        let State {
            commit,
            alive_us,
            open_gaps,
        } = self.state;
        let is_present = |number: u64| listed.iter().any(|one| one.name.number == number);
        let is_hole = |at: usize, damage: &Damage| match self.holes.iter().find(|(hole, _)| *hole == at) {
            // What was committed was deleted, and what a segment that is still there lost is reported with it.
            Some((_, last)) => *last > commit && !is_present(damage.segment),
            None => true,
        };
        let damage = self.damage.iter().enumerate();
        Recovered {
            commit,
            alive_us,
            open_gaps: open_gaps::decode(&open_gaps),
            // Of records that are deleted, the headers still know the last one.
            last_sequence: self.last_sequence.max(self.before),
            backlog: super::Backlog::default(),
            damage: damage
                .filter(|(at, damage)| is_hole(*at, damage))
                .map(|(_, damage)| damage.clone())
                .collect(),
            torn: self.torn,
        }
    }
}

/// A record's number and size.
pub(super) struct Sized {
    pub(super) sequence: u64,
    pub(super) payload_bytes: u64,
}

/// Walks over the records of one segment, as far as it can be read.
pub(super) fn records(segment: &Segment) -> impl Iterator<Item = Sized> {
    let mut scanner = Scanner::new(
        segment.file(),
        segment.seed,
        segment.data_offset,
        segment.visible_end(),
    );
    std::iter::from_fn(move || {
        loop {
            // What cannot be read was reported when the segment was walked over first.
            let (_, entry) = scanner.next().ok()??;
            if entry.kind == EntryKind::Record {
                return Some(Sized {
                    sequence: entry.sequence,
                    payload_bytes: entry.payload.len() as u64,
                });
            }
        }
    })
}
