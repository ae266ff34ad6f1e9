//! The file `identity`: which spool this is, the last epoch that was taken, and the openings that led there.
//!
//! Two slots are written in turn, in place: a torn write harms only the one that is not needed, and a full disk cannot
//! stop an epoch from being recorded. Reads format 1, which had no openings, and refuses a later one than it writes. Invariant: what [`write()`] returned for is
//! synced, file and directory entry.

use std::io;

use uuid::Uuid;

use super::error::SpoolError;
use super::format::{self, BLOCK_BYTES, Block, BlockFault, Fields, Magic};
use super::lineage::{Lineage, Opening};
use super::name;
use super::storage::{Storage, StorageFile, write_full_at};

pub(super) const MAGIC: Magic = *b"espIDENT";

/// Bytes of the fields before the openings.
const FIXED_BYTES: usize = 16 + 4 + 4 + 4;
/// Bytes of an opening.
const OPENING_BYTES: usize = 4 + 4;

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) uuid: Uuid,
    pub(super) epoch: u32,
    pub(super) lineage: Lineage,
}

/// An identity and how it stands in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) slot: usize,
    pub(super) format: u32,
    pub(super) identity: Identity,
}

/// Says where the newest whole slot stands, if there is one.
pub(super) fn read(storage: &dyn Storage) -> Result<Option<Stored>, SpoolError> {
    let file = match storage.open(name::IDENTITY) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(SpoolError::io("open", name::IDENTITY, error)),
    };
    let mut newest: Option<Stored> = None;
    for slot in 0..2 {
        match format::open_at(file.as_ref(), (slot * BLOCK_BYTES) as u64, MAGIC) {
            Ok(block) => {
                let Some(identity) = decode(&block) else { continue };
                let is_newer = |other: &Stored| other.identity.epoch < identity.epoch;
                if newest.as_ref().is_none_or(is_newer) {
                    newest = Some(Stored {
                        slot,
                        format: block.version,
                        identity,
                    });
                }
            }
            Err(BlockFault::Version(found)) => {
                return Err(SpoolError::Version {
                    file: name::IDENTITY.to_owned(),
                    found,
                });
            }
            // The other slot, and the names of the segments, say what this one did.
            Err(BlockFault::Damaged | BlockFault::Unreadable) => {}
        }
    }
    Ok(newest)
}

/// Records `identity` beside the one at `kept_slot`; makes the file if there is none.
///
/// # Errors
/// [`SpoolError::Io`]; the epoch must not be used then. Retryable.
pub(super) fn write(
    storage: &dyn Storage,
    kept_slot: Option<usize>,
    identity: &Identity,
) -> Result<usize, SpoolError> {
    let failed = |action| move |error| SpoolError::io(action, name::IDENTITY, error);
    let file = match storage.open(name::IDENTITY) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => storage
            .create(name::IDENTITY, 2 * BLOCK_BYTES as u64)
            .map_err(failed("create"))?,
        Err(error) => return Err(failed("open")(error)),
    };
    let slot = kept_slot.map_or(0, |kept| 1 - kept);
    write_slot(file.as_ref(), slot, identity).map_err(failed("write"))?;
    file.sync_data().map_err(failed("sync"))?;
    storage.sync_dir().map_err(failed("sync the directory of"))?;
    Ok(slot)
}

fn write_slot(file: &dyn StorageFile, slot: usize, identity: &Identity) -> io::Result<()> {
    let openings = identity.lineage.openings();
    let mut fields = Vec::with_capacity(FIXED_BYTES + OPENING_BYTES * openings.len());
    fields.extend(identity.uuid.as_bytes());
    fields.extend(identity.epoch.to_le_bytes());
    fields.extend(identity.lineage.unrecorded_to().to_le_bytes());
    // At most MOST_OPENINGS.
    fields.extend((openings.len() as u32).to_le_bytes());
    for opening in openings {
        fields.extend(opening.epoch.to_le_bytes());
        fields.extend(opening.incarnation.to_le_bytes());
    }
    let block = format::seal(MAGIC, &fields);
    write_full_at(file, &[&block], (slot * BLOCK_BYTES) as u64)
}

fn decode(block: &Block) -> Option<Identity> {
    let mut fields = Fields::new(&block.fields);
    let uuid = Uuid::from_bytes(fields.array()?);
    let epoch = fields.u32()?;
    let lineage = match block.version {
        1 => Lineage::of_format_1(epoch),
        _ => decode_lineage(&mut fields)?,
    };
    Some(Identity { uuid, epoch, lineage })
}

fn decode_lineage(fields: &mut Fields<'_>) -> Option<Lineage> {
    let unrecorded_to = fields.u32()?;
    let count = fields.u32()?;
    // Ends with the block, whatever the count is.
    let openings: Option<Vec<Opening>> = (0..count)
        .map(|_| {
            Some(Opening {
                epoch: fields.u32()?,
                incarnation: fields.u32()?,
            })
        })
        .collect();
    Lineage::of(openings?, unrecorded_to)
}
