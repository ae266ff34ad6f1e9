//! The index of a closed segment: for each record its number, offset, receive time and id hash.
//!
//! Responsible for the file, which outlives its segment so that the de-duplication window can be rebuilt, and for
//! making it anew from the segment. Refuses an index of another spool or segment. Invariant: an index is only ever a
//! copy of what its segment says; losing one costs a scan, or ids that have not left the window.

use std::io;
use std::sync::Arc;

use uuid::Uuid;

use super::entry::{EntryKind, NewRecord};
use super::format::{self, Fields, Magic};
use super::name::{self, SegmentName};
use super::scan::Scanner;
use super::segment::Segment;
use super::storage::{Storage, StorageFile, write_full_at};

const MAGIC: Magic = *b"espINDEX";

/// Bytes of the fields before the entries.
const FIXED_BYTES: u64 = 16 + 8 + 4 + 8 + 8 + 4;
/// Bytes of an entry.
const ENTRY_BYTES: u64 = 8 + 4 + 4 + 8 + 16;

/// One record of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IndexEntry {
    pub(super) sequence: u64,
    pub(super) offset: u64,
    pub(super) received_time_us: i64,
    pub(super) id_hash: Option<u128>,
}

impl IndexEntry {
    pub(super) fn of(record: &NewRecord<'_>, offset: u64) -> Self {
        Self {
            sequence: record.sequence,
            offset,
            received_time_us: record.received_time_us,
            id_hash: record.id_hash,
        }
    }
}

/// What an index file holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Index {
    /// Where the last entry of the segment ends.
    pub(super) end: u64,
    /// Payload bytes of its records.
    pub(super) payload_bytes: u64,
    pub(super) entries: Vec<IndexEntry>,
}

impl Index {
    /// Makes the index of a segment by reading it, as far as it can be read.
    pub(super) fn scan(segment: &Segment) -> Self {
        let mut scanner = Scanner::new(
            segment.file(),
            segment.seed,
            segment.data_offset,
            segment.visible_end(),
        );
        let mut index = Self::default();
        // What cannot be read is damage, and said by whoever reads records; here it costs ids only.
        while let Ok(Some((offset, entry))) = scanner.next() {
            if entry.kind == EntryKind::Record {
                index.payload_bytes += entry.payload.len() as u64;
                index.entries.push(IndexEntry::of(&entry.to_new_record(), offset));
            }
        }
        index.end = scanner.offset();
        index
    }

    /// Returns the bytes of its file.
    pub(super) fn file_bytes(&self) -> u64 {
        format::block_bytes(FIXED_BYTES + ENTRY_BYTES * self.entries.len() as u64)
    }

    /// Returns how many of its records have an identity.
    pub(super) fn ids(&self) -> usize {
        self.entries
            .iter()
            .filter(|entry| entry.id_hash.is_some())
            .count()
    }

    /// Reads the index of a segment; `None` if there is none, or none that can be trusted.
    pub(super) fn read(storage: &dyn Storage, uuid: Uuid, name: SegmentName) -> Option<Self> {
        let file = storage.open(&name.index()).ok()?;
        let fields = format::open_at(file.as_ref(), 0, MAGIC).ok()?.fields;
        let mut fields = Fields::new(&fields);
        let whose = (fields.array::<16>()?, fields.u64()?, fields.u32()?);
        if whose != (*uuid.as_bytes(), name.number, name.epoch) {
            return None;
        }
        let (end, payload_bytes, count) = (fields.u64()?, fields.u64()?, fields.u32()?);
        let entry = |fields: &mut Fields<'_>| {
            let (sequence, offset, has_hash) = (fields.u64()?, fields.u32()?, fields.u32()?);
            let (received_time_us, hash) = (fields.i64()?, fields.u128()?);
            Some(IndexEntry {
                sequence,
                offset: u64::from(offset),
                received_time_us,
                id_hash: (has_hash == 1).then_some(hash),
            })
        };
        let entries: Option<Vec<IndexEntry>> = (0..count).map(|_| entry(&mut fields)).collect();
        Some(Self {
            end,
            payload_bytes,
            entries: entries?,
        })
    }

    /// Writes the index, unsynced: until [`Index::sync`] and a sync of the directory, a power cut may spoil it, and a
    /// spoilt one is made anew.
    pub(super) fn write(&self, storage: &dyn Storage, uuid: Uuid, name: SegmentName) -> io::Result<()> {
        let mut fields = Vec::with_capacity((FIXED_BYTES + ENTRY_BYTES * self.entries.len() as u64) as usize);
        fields.extend(uuid.as_bytes());
        fields.extend(name.number.to_le_bytes());
        fields.extend(name.epoch.to_le_bytes());
        fields.extend(self.end.to_le_bytes());
        fields.extend(self.payload_bytes.to_le_bytes());
        // Both counts are below the 64 MiB of a segment.
        fields.extend((self.entries.len() as u32).to_le_bytes());
        for entry in &self.entries {
            fields.extend(entry.sequence.to_le_bytes());
            fields.extend((entry.offset as u32).to_le_bytes());
            fields.extend(u32::from(entry.id_hash.is_some()).to_le_bytes());
            fields.extend(entry.received_time_us.to_le_bytes());
            fields.extend(entry.id_hash.unwrap_or_default().to_le_bytes());
        }
        let block = format::seal(MAGIC, &fields);
        match storage.remove(name::UNFINISHED_INDEX) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let file: Arc<dyn StorageFile> = storage.create(name::UNFINISHED_INDEX, block.len() as u64)?;
        write_full_at(file.as_ref(), &[&block], 0)?;
        storage.rename(name::UNFINISHED_INDEX, &name.index())
    }

    /// Makes the bytes of a written index durable. One that cannot be synced is removed: the system may take its bytes
    /// for written from then on, and a second sync for done.
    pub(super) fn sync(storage: &dyn Storage, name: SegmentName) -> io::Result<()> {
        let file_name = name.index();
        let synced = storage.open(&file_name)?.sync_data();
        if synced.is_err() {
            storage.remove(&file_name).ok();
        }
        synced
    }
}
