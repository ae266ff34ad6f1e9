//! The file `identity`: which spool this is, and the last epoch that was taken.
//!
//! Two slots are written in turn, in place: a torn write harms only the one that is not needed, and a full disk cannot
//! stop an epoch from being recorded. Refuses another version. Invariant: what [`write()`] returned for is
//! synced, file and directory entry.

use std::io;

use uuid::Uuid;

use super::error::SpoolError;
use super::format::{self, BLOCK_BYTES, BlockFault, Fields, Magic};
use super::name;
use super::storage::{Storage, StorageFile, write_full_at};

pub(super) const MAGIC: Magic = *b"espIDENT";

/// What the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) uuid: Uuid,
    pub(super) epoch: u32,
}

/// Says where the newest whole slot stands, if there is one.
pub(super) fn read(storage: &dyn Storage) -> Result<Option<(usize, Identity)>, SpoolError> {
    let file = match storage.open(name::IDENTITY) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(SpoolError::io("open", name::IDENTITY, error)),
    };
    let mut newest: Option<(usize, Identity)> = None;
    for slot in 0..2 {
        match format::open_at(file.as_ref(), (slot * BLOCK_BYTES) as u64, MAGIC) {
            Ok((fields, _)) => {
                let Some(identity) = decode(&fields) else { continue };
                if newest.is_none_or(|(_, other)| other.epoch < identity.epoch) {
                    newest = Some((slot, identity));
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
    identity: Identity,
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

fn write_slot(file: &dyn StorageFile, slot: usize, identity: Identity) -> io::Result<()> {
    let mut fields = Vec::with_capacity(20);
    fields.extend(identity.uuid.as_bytes());
    fields.extend(identity.epoch.to_le_bytes());
    let block = format::seal(MAGIC, &fields);
    write_full_at(file, &[&block], (slot * BLOCK_BYTES) as u64)
}

fn decode(fields: &[u8]) -> Option<Identity> {
    let mut fields = Fields::new(fields);
    Some(Identity {
        uuid: Uuid::from_bytes(fields.array()?),
        epoch: fields.u32()?,
    })
}
