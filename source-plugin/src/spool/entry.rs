//! One entry of a segment: a record or a mark, with the checksum that binds it to its place.
//!
//! ```text
//! length u32 | crc32c u32 | magic u16 | kind u8 | flags u8 | tag u32 | sequence u64 | time_us i64 | hash u128
//! payload … zeros up to the next multiple of 8
//! ```
//!
//! The checksum begins at the segment's seed (uuid, number, epoch) and covers the offset, everything of the entry but
//! itself, and the zeros. So stale bytes, bytes of another segment and bytes that slid are no entries. Refuses them
//! without saying why: what stands behind the last entry of a live segment is no fault.

use super::format::Fields;

/// Bytes before the payload.
pub(super) const HEAD_BYTES: usize = 48;
/// Entries begin at multiples of this.
pub(super) const ALIGN_BYTES: usize = 8;

const MAGIC: u16 = 0x5e17;
const HAS_HASH: u8 = 1;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum EntryKind {
    Record = 1,
    /// Everything up to `sequence` is committed.
    Commit = 2,
    /// The owner was alive at `time_us`.
    Alive = 3,
    /// The payload is the state of the open gaps.
    OpenGaps = 4,
}

impl EntryKind {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Record, Self::Commit, Self::Alive, Self::OpenGaps]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

/// A record to be appended.
#[derive(Clone, Copy, Debug)]
pub struct NewRecord<'a> {
    /// Its number; each larger than the one before, all of the log's epoch.
    pub sequence: u64,
    /// When it was received, microseconds since 1970 UTC.
    pub received_time_us: i64,
    /// Hash of its identity for the de-duplication window, if it has one.
    pub id_hash: Option<u128>,
    /// Whatever the caller wants to have back beside the bytes, such as kind and flags.
    pub tag: u32,
    /// What the caller needs to make sense of `body`.
    pub head: &'a [u8],
    /// The record's bytes.
    pub body: &'a [u8],
}

impl NewRecord<'_> {
    pub(super) fn payload_bytes(&self) -> u64 {
        self.head.len() as u64 + self.body.len() as u64
    }

    pub(super) fn entry_bytes(&self) -> u64 {
        entry_bytes(self.payload_bytes())
    }
}

/// Returns the bytes of an entry with such a payload.
pub(super) fn entry_bytes(payload_bytes: u64) -> u64 {
    (HEAD_BYTES as u64 + payload_bytes).next_multiple_of(ALIGN_BYTES as u64)
}

/// An entry as it stands in a segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    pub(super) kind: EntryKind,
    pub(super) tag: u32,
    pub(super) sequence: u64,
    pub(super) time_us: i64,
    pub(super) id_hash: Option<u128>,
    pub(super) payload: &'a [u8],
}

impl<'a> Entry<'a> {
    /// Returns a mark with nothing but what is passed.
    pub(super) fn mark(kind: EntryKind, sequence: u64, time_us: i64, payload: &'a [u8]) -> Self {
        Self {
            kind,
            tag: 0,
            sequence,
            time_us,
            id_hash: None,
            payload,
        }
    }

    /// Returns the record that this entry holds, so that it can be appended elsewhere.
    pub(super) fn to_new_record(self) -> NewRecord<'a> {
        NewRecord {
            sequence: self.sequence,
            received_time_us: self.time_us,
            id_hash: self.id_hash,
            tag: self.tag,
            head: &[],
            body: self.payload,
        }
    }

    /// Reads the head, believing nothing: returns the entry's bytes if it could be one.
    pub(super) fn claimed_bytes(head: &[u8]) -> Option<u64> {
        let mut fields = Fields::new(head);
        let length = fields.u32()?;
        fields.u32()?;
        let magic = fields.u16()?;
        let [kind, flags] = fields.array()?;
        (magic == MAGIC && flags & !HAS_HASH == 0 && EntryKind::from_byte(kind).is_some())
            .then(|| entry_bytes(u64::from(length)))
    }

    /// Returns the entry in `bytes`, all of it, if it was written by this log at this place.
    pub(super) fn read(seed: u32, offset: u64, bytes: &'a [u8]) -> Option<Self> {
        let mut fields = Fields::new(bytes);
        let (length, crc) = (fields.u32()?, fields.u32()?);
        let rest = bytes.get(8..)?;
        let found = crc32c::crc32c_append(place(seed, offset, length), rest);
        if found != crc {
            return None;
        }
        let magic = fields.u16()?;
        let [kind, flags] = fields.array()?;
        if magic != MAGIC {
            return None;
        }
        let (tag, sequence, time_us, hash) = (fields.u32()?, fields.u64()?, fields.i64()?, fields.u128()?);
        Some(Self {
            kind: EntryKind::from_byte(kind)?,
            tag,
            sequence,
            time_us,
            id_hash: (flags & HAS_HASH != 0).then_some(hash),
            payload: fields.bytes(length as usize)?,
        })
    }
}

fn place(seed: u32, offset: u64, length: u32) -> u32 {
    // One call for both: it costs more than so few bytes.
    let bytes = u128::from(offset) | u128::from(length) << 64;
    crc32c::crc32c_append(seed, &bytes.to_le_bytes()[..12])
}

/// Bytes of the buffer that are kept for the next write; a busy socket's micro-batch is some 150 kB.
const KEPT_BYTES: usize = 1 << 20;

/// Entries made ready for one write, one behind the other in a buffer that is kept.
///
/// Bodies are copied into it. Writing them from where they are takes two parts a record, and the system spends more on
/// hundreds of small parts than the copy costs: with records of 660 bytes an append takes 200 ns of CPU a record this
/// way and 265 that way.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    buffer: Vec<u8>,
}

impl Encoder {
    pub(super) fn clear(&mut self) {
        self.buffer.clear();
        self.buffer.shrink_to(KEPT_BYTES);
    }

    /// Returns what to write, in one part.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.buffer
    }

    /// Makes a record ready for `offset`; returns the offset behind it.
    pub(super) fn push_record(&mut self, seed: u32, offset: u64, record: &NewRecord<'_>) -> u64 {
        let entry = Entry {
            kind: EntryKind::Record,
            tag: record.tag,
            sequence: record.sequence,
            time_us: record.received_time_us,
            id_hash: record.id_hash,
            payload: record.head,
        };
        self.push(seed, offset, &entry, record.body)
    }

    /// Makes a mark ready for `offset`; returns the offset behind it.
    pub(super) fn push_mark(&mut self, seed: u32, offset: u64, entry: &Entry<'_>) -> u64 {
        self.push(seed, offset, entry, &[])
    }

    fn push(&mut self, seed: u32, offset: u64, entry: &Entry<'_>, body: &[u8]) -> u64 {
        let payload_bytes = entry.payload.len() + body.len();
        let total = entry_bytes(payload_bytes as u64);
        let zeros = total as usize - HEAD_BYTES - payload_bytes;
        // A segment has at most 64 MiB, and the log refuses what does not fit into one.
        let length = payload_bytes as u32;
        let flags = if entry.id_hash.is_some() { HAS_HASH } else { 0 };
        let mut head = [0; HEAD_BYTES];
        head[..4].copy_from_slice(&length.to_le_bytes());
        head[8..10].copy_from_slice(&MAGIC.to_le_bytes());
        head[10..12].copy_from_slice(&[entry.kind as u8, flags]);
        head[12..16].copy_from_slice(&entry.tag.to_le_bytes());
        head[16..24].copy_from_slice(&entry.sequence.to_le_bytes());
        head[24..32].copy_from_slice(&entry.time_us.to_le_bytes());
        head[32..].copy_from_slice(&entry.id_hash.unwrap_or_default().to_le_bytes());
        let start = self.buffer.len();
        self.buffer.extend_from_slice(&head);
        self.buffer.extend_from_slice(entry.payload);
        self.buffer.extend_from_slice(body);
        self.buffer.extend_from_slice(&[0; ALIGN_BYTES][..zeros]);
        let crc = crc32c::crc32c_append(place(seed, offset, length), &self.buffer[start + 8..]);
        self.buffer[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
        offset + total
    }
}

#[cfg(test)]
mod tests {
    use super::{Encoder, Entry, EntryKind, HEAD_BYTES, NewRecord};

    fn encoded(seed: u32, offset: u64) -> Vec<u8> {
        let record = NewRecord {
            sequence: 9,
            received_time_us: -5,
            id_hash: Some(1 << 100),
            tag: 7,
            head: b"head",
            body: b"body of it",
        };
        let mut encoder = Encoder::default();
        let end = encoder.push_record(seed, offset, &record);
        let bytes = encoder.bytes().to_vec();
        assert_eq!(bytes.len() as u64, end - offset);
        bytes
    }

    #[test]
    fn an_entry_gives_back_everything_of_its_record() {
        let bytes = encoded(3, 4096);
        assert_eq!(
            Entry::claimed_bytes(&bytes[..HEAD_BYTES]),
            Some(bytes.len() as u64)
        );
        let entry = Entry::read(3, 4096, &bytes).unwrap();
        assert_eq!(entry.kind, EntryKind::Record);
        assert_eq!((entry.tag, entry.sequence, entry.time_us), (7, 9, -5));
        assert_eq!(entry.id_hash, Some(1 << 100));
        assert_eq!(entry.payload, b"headbody of it");
    }

    #[test]
    fn an_entry_at_another_place_or_of_another_segment_is_none() {
        let bytes = encoded(3, 4096);
        assert!(Entry::read(3, 4104, &bytes).is_none());
        assert!(Entry::read(4, 4096, &bytes).is_none());
    }

    #[test]
    fn a_flipped_bit_anywhere_in_an_entry_makes_it_none() {
        let bytes = encoded(3, 4096);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let claimed = Entry::claimed_bytes(&flipped[..HEAD_BYTES]);
            let read = claimed
                .and_then(|total| flipped.get(..total as usize))
                .and_then(|whole| Entry::read(3, 4096, whole));
            assert!(read.is_none(), "bit {bit}");
        }
    }
}
