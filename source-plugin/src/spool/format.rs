//! The frame of every block that is not an entry: magic, version, length, CRC32C, fields, zeros.
//!
//! Responsible for telling damage from another version: both lie at the same place in every version, and a version is
//! believed only if the checksum holds. Refuses everything else. Invariant: each byte of a block is checked.

use super::storage::{StorageFile, read_full_at};

/// Version of the format, in each block that is written. Format 2 keeps the line of openings in the identity; the other
/// blocks are as they were in format 1.
pub(super) const VERSION: u32 = 2;

/// The oldest version that is read.
pub(super) const OLDEST_VERSION: u32 = 1;

/// Blocks are multiples of this, so that an entry never shares a page with a block.
///
/// # Source
/// The page size of the platforms we build for, and the usual physical sector.
pub(super) const BLOCK_BYTES: usize = 4096;

/// Bytes of the frame before the fields: magic, version, length, checksum.
const FRAME_BYTES: usize = 20;
/// Where the checksum stands in the frame.
const CRC_AT: usize = 16;

/// Largest block in bytes: the index of the largest segment, full of the smallest entries.
const MAX_BLOCK_BYTES: u64 = 64 << 20;

/// Names a kind of block; in the first 8 bytes.
pub(super) type Magic = [u8; 8];

/// What stands in a block.
#[derive(Debug)]
pub(super) struct Block {
    /// Its fields with the zeros behind them.
    pub(super) fields: Vec<u8>,
    /// The whole block, frame and zeros included.
    pub(super) length_bytes: u64,
    /// From [`OLDEST_VERSION`] to [`VERSION`].
    pub(super) version: u32,
}

/// Why a block cannot be used.
#[derive(Debug)]
pub(super) enum BlockFault {
    /// Its bytes are not what was written.
    Damaged,
    /// It is whole, and of a version that is not read.
    Version(u32),
    /// It could not be read.
    Unreadable,
}

/// Returns the bytes of a block with these fields, zeros included.
pub(super) fn block_bytes(field_bytes: u64) -> u64 {
    (FRAME_BYTES as u64 + field_bytes).next_multiple_of(BLOCK_BYTES as u64)
}

/// Frames `fields`.
pub(super) fn seal(magic: Magic, fields: &[u8]) -> Vec<u8> {
    seal_as(magic, VERSION, fields)
}

/// Frames `fields` under any version; what another program would have written.
pub(super) fn seal_as(magic: Magic, version: u32, fields: &[u8]) -> Vec<u8> {
    let length = (FRAME_BYTES + fields.len()).next_multiple_of(BLOCK_BYTES);
    let mut block = Vec::with_capacity(length);
    block.extend(magic);
    block.extend(version.to_le_bytes());
    // A block is below MAX_BLOCK_BYTES, far from 4 GiB.
    block.extend((length as u32).to_le_bytes());
    block.extend([0; 4]);
    block.extend(fields);
    block.resize(length, 0);
    let crc = crc32c::crc32c(&block);
    block.splice(CRC_AT..FRAME_BYTES, crc.to_le_bytes());
    block
}

/// Reads the block at `offset`.
pub(super) fn open_at(file: &dyn StorageFile, offset: u64, magic: Magic) -> Result<Block, BlockFault> {
    let mut frame = [0; FRAME_BYTES];
    let read = read_full_at(file, &mut frame, offset).map_err(|_| BlockFault::Unreadable)?;
    let mut fields = Fields::new(&frame[..read]);
    let parsed = (|| Some((fields.array::<8>()?, fields.u32()?, fields.u32()?, fields.u32()?)))();
    let Some((found, version, length, crc)) = parsed else {
        return Err(BlockFault::Damaged);
    };
    let file_bytes = file.len_bytes().map_err(|_| BlockFault::Unreadable)?;
    let fits = u64::from(length) <= MAX_BLOCK_BYTES
        && length as usize >= FRAME_BYTES
        && u64::from(length) <= file_bytes.saturating_sub(offset);
    if found != magic || !fits {
        return Err(BlockFault::Damaged);
    }
    let mut block = vec![0; length as usize];
    let read = read_full_at(file, &mut block, offset).map_err(|_| BlockFault::Unreadable)?;
    block.truncate(read);
    if read != length as usize {
        return Err(BlockFault::Damaged);
    }
    block[CRC_AT..FRAME_BYTES].fill(0);
    if crc32c::crc32c(&block) != crc {
        return Err(BlockFault::Damaged);
    }
    if !(OLDEST_VERSION..=VERSION).contains(&version) {
        return Err(BlockFault::Version(version));
    }
    block.drain(..FRAME_BYTES);
    Ok(Block {
        fields: block,
        length_bytes: u64::from(length),
        version,
    })
}

/// Takes little-endian fields off the front of bytes; `None` past their end.
pub(super) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }

    pub(super) fn u128(&mut self) -> Option<u128> {
        self.array().map(u128::from_le_bytes)
    }
}
