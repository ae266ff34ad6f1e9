//! Reading records in order, beside the writer.
//!
//! Responsible for finding the first wanted record and for going on from segment to segment. Refuses to wait: at the
//! end of the log it says so. Invariant: each record is given once, in the order of numbers, also where a failed sync
//! left two copies of it; whatever was appended is readable at once.

use std::sync::Arc;

use uuid::Uuid;

use super::catalog::Catalog;
use super::entry::EntryKind;
use super::index::Index;
use super::recovery::{Damage, Fault};
use super::scan::Scanner;
use super::segment::Segment;
use super::storage::Storage;

/// Bounds of one batch; at least one record is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadLimits {
    /// Most records.
    pub max_records: usize,
    /// Most bytes of heads and bodies, unless the first record alone is larger.
    pub max_bytes: usize,
}

/// One record as it was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredRecord<'a> {
    /// Its number.
    pub sequence: u64,
    /// When it was received, microseconds since 1970 UTC.
    pub received_time_us: i64,
    /// Hash of its identity, if it has one.
    pub id_hash: Option<u128>,
    /// What the caller gave.
    pub tag: u32,
    /// Head and body, one behind the other.
    pub payload: &'a [u8],
}

#[derive(Clone, Copy, Debug)]
struct Stored {
    sequence: u64,
    received_time_us: i64,
    id_hash: Option<u128>,
    tag: u32,
    start: usize,
    end: usize,
}

/// Records that were read, in one piece of memory that is used again.
#[derive(Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    records: Vec<Stored>,
    damage: Vec<Damage>,
    is_at_end: bool,
}

impl Batch {
    /// Returns how many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Says whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Says whether the reader had seen everything that was visible.
    #[must_use]
    pub fn is_at_end(&self) -> bool {
        self.is_at_end
    }

    /// Returns what went bad since the spool was opened; it was skipped.
    #[must_use]
    pub fn damage(&self) -> &[Damage] {
        &self.damage
    }

    /// Returns the records in order.
    pub fn records(&self) -> impl ExactSizeIterator<Item = StoredRecord<'_>> {
        self.records.iter().map(|stored| StoredRecord {
            sequence: stored.sequence,
            received_time_us: stored.received_time_us,
            id_hash: stored.id_hash,
            tag: stored.tag,
            payload: self.bytes.get(stored.start..stored.end).unwrap_or_default(),
        })
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.records.clear();
        self.damage.clear();
        self.is_at_end = false;
    }

    fn has_room(&self, limits: ReadLimits, payload_bytes: usize) -> bool {
        self.records.is_empty()
            || (self.records.len() < limits.max_records
                && self.bytes.len() + payload_bytes <= limits.max_bytes)
    }
}

#[derive(Clone, Copy, Debug)]
struct Place {
    number: u64,
    offset: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Reader {
    storage: Arc<dyn Storage>,
    uuid: Uuid,
    catalog: Arc<Catalog>,
    /// Number of the last record given, or before the first one wanted.
    last: u64,
    place: Option<Place>,
}

/// How reading one segment ended.
enum Pass {
    BatchFull,
    SegmentDone,
}

impl Reader {
    pub(super) fn new(storage: Arc<dyn Storage>, uuid: Uuid, catalog: Arc<Catalog>, last: u64) -> Self {
        Self {
            storage,
            uuid,
            catalog,
            last,
            place: None,
        }
    }

    /// Fills `batch` with the next records; leaves it empty at the end of the log.
    pub fn read(&mut self, limits: ReadLimits, batch: &mut Batch) {
        batch.clear();
        while let Some(segment) = self.segment() {
            // Looked up before reading: once there is a later segment, this one grows no more.
            let later = self.catalog.at_or_after(segment.name.number + 1);
            if matches!(self.read_segment(&segment, limits, batch), Pass::BatchFull) {
                return;
            }
            let Some(later) = later else { break };
            self.place = Some(Place {
                number: later.name.number,
                offset: later.data_offset,
            });
        }
        batch.is_at_end = true;
    }

    /// Returns the segment to read from; one that was deleted is passed over.
    fn segment(&mut self) -> Option<Arc<Segment>> {
        let Some(place) = self.place else {
            let segment = self.catalog.holding(self.last + 1)?;
            self.place = Some(Place {
                number: segment.name.number,
                offset: self.seek(&segment),
            });
            return Some(segment);
        };
        let segment = self.catalog.at_or_after(place.number)?;
        if segment.name.number != place.number {
            self.place = Some(Place {
                number: segment.name.number,
                offset: segment.data_offset,
            });
        }
        Some(segment)
    }

    /// Returns where to begin in a segment: at the first wanted record if there is an index, else at its beginning.
    fn seek(&self, segment: &Segment) -> u64 {
        let index = Index::read(self.storage.as_ref(), self.uuid, segment.name);
        let wanted = index.and_then(|index| {
            let at = index.entries.partition_point(|entry| entry.sequence <= self.last);
            index.entries.get(at).map(|entry| entry.offset)
        });
        wanted
            .filter(|offset| (segment.data_offset..segment.visible_end()).contains(offset))
            .unwrap_or(segment.data_offset)
    }

    fn read_segment(&mut self, segment: &Segment, limits: ReadLimits, batch: &mut Batch) -> Pass {
        let Some(place) = &mut self.place else {
            return Pass::SegmentDone;
        };
        let end = segment.visible_end();
        let mut scanner =
            Scanner::new(segment.file(), segment.seed, place.offset, end).with_step(limits.max_bytes);
        let fault = loop {
            let entry = match scanner.next() {
                Ok(Some((_, entry))) => entry,
                Ok(None) => break Fault::Entry,
                Err(_) => break Fault::Unreadable,
            };
            if entry.kind == EntryKind::Record && entry.sequence > self.last {
                if !batch.has_room(limits, entry.payload.len()) {
                    return Pass::BatchFull;
                }
                let start = batch.bytes.len();
                batch.bytes.extend(entry.payload);
                batch.records.push(Stored {
                    sequence: entry.sequence,
                    received_time_us: entry.time_us,
                    id_hash: entry.id_hash,
                    tag: entry.tag,
                    start,
                    end: batch.bytes.len(),
                });
                self.last = entry.sequence;
            }
            place.offset = scanner.offset();
        };
        // A segment whose sync failed ends earlier than it did; what is behind its end stands in the next one.
        let end = segment.visible_end().min(end);
        if place.offset < end {
            tracing::error!(
                segment = segment.name.number,
                from = place.offset,
                to = end,
                fault = fault.name(),
                "a place of the spool cannot be read, the rest of its segment is skipped"
            );
            batch.damage.push(Damage {
                segment: segment.name.number,
                from_offset: place.offset,
                to_offset: end,
                last_good: (self.last > 0).then_some(self.last),
                next_good: None,
                fault,
            });
            place.offset = end;
        }
        Pass::SegmentDone
    }
}
