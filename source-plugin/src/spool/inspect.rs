//! Looking at a spool without touching it, beside its owner if there is one.
//!
//! Responsible for a consistent picture of files that may be changing. Refuses a directory without a spool, and to
//! take or write anything.

use std::io;

use uuid::Uuid;

use super::error::SpoolError;
use super::lineage::Lineage;
use super::recovery::{self, Backlog, Damage, Examination, Torn};
use super::storage::Storage;

/// How often it is looked again while an owner changes the files.
const MOST_LOOKS: usize = 5;

/// One segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentReport {
    /// Its number.
    pub number: u64,
    /// The epoch of its records.
    pub epoch: u32,
    /// Bytes of its file.
    pub file_bytes: u64,
    /// How many records it holds.
    pub records: u64,
    /// Number of its first record, if it holds one.
    pub first_sequence: Option<u64>,
    /// Number of its last record, if it holds one.
    pub last_sequence: Option<u64>,
    /// Whether everything in it is committed.
    pub is_committed: bool,
}

/// What is in a spool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// Which spool it is; `None` if nothing says so any more.
    pub uuid: Option<Uuid>,
    /// The format that its identity is written in; `None` if that cannot be read.
    pub format: Option<u32>,
    /// The last epoch.
    pub epoch: u32,
    /// Its last openings.
    pub lineage: Lineage,
    /// What the process that holds it says of itself.
    pub holder: Option<String>,
    /// Its segments, oldest first.
    pub segments: Vec<SegmentReport>,
    /// How many indexes of deleted segments are kept.
    pub retired_indexes: usize,
    /// What is not committed.
    pub backlog: Backlog,
    /// Everything up to this number is committed; 0 for nothing.
    pub commit: u64,
    /// When an owner was last seen alive, microseconds since 1970 UTC.
    pub alive_us: Option<i64>,
    /// How many gaps are open.
    pub open_gaps: usize,
    /// What cannot be read, oldest first.
    pub damage: Vec<Damage>,
    /// What is half written.
    pub torn: Option<Torn>,
}

/// Looks at a spool.
///
/// # Errors
/// [`SpoolError::NoSpool`] and [`SpoolError::Version`], not retryable; [`SpoolError::Io`], retryable.
pub fn inspect(storage: &dyn Storage) -> Result<Inspection, SpoolError> {
    let mut before: Option<Inspection> = None;
    for _ in 0..MOST_LOOKS {
        let now = match look(storage) {
            // Deleted between being listed and being opened.
            Err(SpoolError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => continue,
            other => other?,
        };
        // An owner that is writing can look like damage for an instant, but not twice in the same place.
        let is_settled = now.holder.is_none()
            || now.damage.is_empty()
            || before.as_ref().is_some_and(|before| before.damage == now.damage);
        if is_settled {
            return Ok(now);
        }
        before = Some(now);
    }
    before.ok_or_else(|| {
        let error = io::Error::other("its files change faster than they can be read, look again");
        SpoolError::io("read", "the spool", error)
    })
}

fn look(storage: &dyn Storage) -> Result<Inspection, SpoolError> {
    let holder = storage
        .lock_holder()
        .map_err(|error| SpoolError::io("ask for the lock of", "the spool", error))?;
    let examination = recovery::examine(storage)?;
    if examination.uuid.is_none() && examination.segments.is_empty() {
        return Err(SpoolError::NoSpool);
    }
    let Examination {
        uuid,
        format,
        lineage,
        epoch,
        segments,
        retired,
        found,
        ..
    } = examination;
    let report = |one: &recovery::Examined| SegmentReport {
        number: one.name.number,
        epoch: one.name.epoch,
        file_bytes: one.file_bytes,
        records: one.records,
        first_sequence: one.first_sequence,
        last_sequence: one.first_sequence.map(|_| one.last_sequence),
        is_committed: one.done_at <= found.commit,
    };
    Ok(Inspection {
        uuid,
        format,
        lineage,
        epoch,
        holder,
        segments: segments.iter().map(report).collect(),
        retired_indexes: retired.len(),
        backlog: found.backlog,
        commit: found.commit,
        alive_us: found.alive_us,
        open_gaps: found.open_gaps.len(),
        damage: found.damage,
        torn: found.torn,
    })
}
