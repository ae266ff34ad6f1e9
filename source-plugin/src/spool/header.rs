//! The header of a segment: what must be known when every older segment is gone.
//!
//! Responsible for its bytes. Refuses nothing of what it was given: the bound on open gaps is the log's. Invariant: a
//! header is written once, with the segment's making, and never again.

use uuid::Uuid;

use super::format::{self, BlockFault, Fields, Magic};
use super::name::SegmentName;
use super::storage::StorageFile;

pub(super) const MAGIC: Magic = *b"espSEGMT";

/// Bytes of the fields without open gaps.
const FIXED_BYTES: u64 = 16 + 4 + 8 + 8 + 8 + 8 + 8 + 1 + 8 + 4;

/// What the log remembers besides its records; each header repeats it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    /// Everything up to this number is committed; 0 for nothing.
    pub(super) commit: u64,
    /// When the owner was last seen alive, microseconds since 1970 UTC.
    pub(super) alive_us: Option<i64>,
    /// The open gaps, in the caller's own form.
    pub(super) open_gaps: Vec<u8>,
}

/// A segment that another one follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Predecessor {
    pub(super) number: u64,
    /// Where it ends: nothing behind this counts, and everything before it was there.
    pub(super) end: u64,
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) uuid: Uuid,
    pub(super) name: SegmentName,
    pub(super) predecessor: Option<Predecessor>,
    /// Number of the last record before this segment; 0 for none.
    pub(super) last_sequence: u64,
    pub(super) state: State,
}

/// Returns how many bytes a header takes with so many bytes of open gaps; the first entry follows at once.
pub(super) fn encoded_bytes(open_gaps_bytes: u64) -> u64 {
    format::block_bytes(FIXED_BYTES + open_gaps_bytes)
}

/// Returns where every checksum of the segment's entries begins: an entry of another segment never passes.
pub(super) fn seed(uuid: Uuid, name: SegmentName) -> u32 {
    let crc = crc32c::crc32c(uuid.as_bytes());
    let crc = crc32c::crc32c_append(crc, &name.number.to_le_bytes());
    crc32c::crc32c_append(crc, &name.epoch.to_le_bytes())
}

impl SegmentHeader {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut fields = Vec::with_capacity(FIXED_BYTES as usize + self.state.open_gaps.len());
        fields.extend(self.uuid.as_bytes());
        fields.extend(self.name.epoch.to_le_bytes());
        fields.extend(self.name.number.to_le_bytes());
        // An end of 0 says that there is none: a segment ends behind its header.
        let predecessor = self.predecessor.unwrap_or(Predecessor { number: 0, end: 0 });
        fields.extend(predecessor.number.to_le_bytes());
        fields.extend(predecessor.end.to_le_bytes());
        fields.extend(self.last_sequence.to_le_bytes());
        fields.extend(self.state.commit.to_le_bytes());
        fields.push(u8::from(self.state.alive_us.is_some()));
        fields.extend(self.state.alive_us.unwrap_or_default().to_le_bytes());
        // Bounded by Settings::max_open_gaps_bytes, 64 KiB.
        fields.extend((self.state.open_gaps.len() as u32).to_le_bytes());
        fields.extend(&self.state.open_gaps);
        format::seal(MAGIC, &fields)
    }

    /// Reads the header at the beginning of a file; returns it with the offset of the first entry.
    pub(super) fn read(file: &dyn StorageFile) -> Result<(Self, u64), BlockFault> {
        let block = format::open_at(file, 0, MAGIC)?;
        let header = Self::decode(&block.fields).ok_or(BlockFault::Damaged)?;
        Ok((header, block.length_bytes))
    }

    fn decode(fields: &[u8]) -> Option<Self> {
        let mut fields = Fields::new(fields);
        let uuid = Uuid::from_bytes(fields.array()?);
        let epoch = fields.u32()?;
        let number = fields.u64()?;
        let predecessor = Predecessor {
            number: fields.u64()?,
            end: fields.u64()?,
        };
        let last_sequence = fields.u64()?;
        let commit = fields.u64()?;
        let has_alive = fields.array::<1>()? == [1];
        let alive_us = fields.i64()?;
        let open_gaps_bytes = fields.u32()? as usize;
        Some(Self {
            uuid,
            name: SegmentName { number, epoch },
            predecessor: (predecessor.end > 0).then_some(predecessor),
            last_sequence,
            state: State {
                commit,
                alive_us: has_alive.then_some(alive_us),
                open_gaps: fields.bytes(open_gaps_bytes)?.to_vec(),
            },
        })
    }
}
