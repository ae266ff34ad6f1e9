//! Reading a whole spool: what is in it, where it ends, what is damaged.
//!
//! Responsible for deciding, for the log that opens it and for whoever only looks. Refuses to change anything, and to
//! take bytes behind a place that does not check out for entries: a torn tail is no record, and from a damaged place on
//! a segment is skipped. Invariant: the same files give the same answer.

mod walk;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use uuid::Uuid;

use super::error::SpoolError;
use super::format::BlockFault;
use super::header::{self, SegmentHeader, State};
use super::identity_file::{self, Stored};
use super::index::Index;
use super::lineage::Lineage;
use super::name::SegmentName;
use super::segment::Segment;
use super::settings::last_of_epoch;
use super::storage::{Storage, StorageFile};

/// What is wrong with a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Bytes within a segment are not what was written.
    Entry,
    /// The header of a segment is not what was written; nothing of the segment is read.
    Header,
    /// The segment belongs to another spool or to another name; nothing of it is read.
    Foreign,
    /// Segments are gone that held records.
    Missing,
    /// The system could not read the place.
    Unreadable,
}

impl Fault {
    /// Returns its name in records and logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Entry => "entry",
            Self::Header => "header",
            Self::Foreign => "foreign",
            Self::Missing => "missing",
            Self::Unreadable => "unreadable",
        }
    }
}

/// A range that could not be read, and the records around it.
///
/// # Units
/// Offsets are bytes from the beginning of the segment, `to_offset` exclusive; both are 0 where segments are missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Number of the segment.
    pub segment: u64,
    /// First byte that is not trusted.
    pub from_offset: u64,
    /// Where trust begins again: the end of the segment's contents.
    pub to_offset: u64,
    /// Number of the last record before it, if there is one.
    pub last_good: Option<u64>,
    /// Number of the first record after it, if there is one.
    pub next_good: Option<u64>,
    /// What is wrong.
    pub fault: Fault,
}

/// Bytes behind the last entry that were being written when the owner died; no damage.
///
/// # Units
/// Offsets are bytes from the beginning of the segment, `to_offset` exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Torn {
    /// Number of the segment.
    pub segment: u64,
    /// Where the last whole entry ends.
    pub from_offset: u64,
    /// Where the bytes that are not zero end.
    pub to_offset: u64,
}

/// Records that are not committed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// How many.
    pub records: u64,
    /// Bytes of their heads and bodies.
    pub bytes: u64,
}

/// What the log found when it was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// Everything up to this number is committed; 0 for nothing.
    pub commit: u64,
    /// When the last owner was last seen alive, microseconds since 1970 UTC.
    pub alive_us: Option<i64>,
    /// The gaps that were open, as they were given.
    pub open_gaps: Vec<Vec<u8>>,
    /// Number of the last record, committed or not; 0 for none.
    pub last_sequence: u64,
    /// What is to be delivered.
    pub backlog: Backlog,
    /// What could not be read, oldest first.
    pub damage: Vec<Damage>,
    /// What was cut off.
    pub torn: Option<Torn>,
}

/// One segment file and what was found in it.
#[derive(Debug)]
pub(super) struct Examined {
    pub(super) name: SegmentName,
    pub(super) file_bytes: u64,
    /// What can be read of it; `None` if its header is not to be trusted.
    pub(super) segment: Option<Arc<Segment>>,
    /// Where its contents end, damaged ones included; what the next header says of it.
    pub(super) claimed_end: u64,
    pub(super) records: u64,
    pub(super) payload_bytes: u64,
    pub(super) first_sequence: Option<u64>,
    /// Number of its last record that can be read; 0 for none.
    pub(super) last_sequence: u64,
    /// Once this number is committed, everything is that the segment can have held.
    pub(super) done_at: u64,
    /// Whether it is of this spool; a foreign file is left alone.
    pub(super) is_own: bool,
    pub(super) has_index: bool,
}

/// The index of a segment that was deleted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retired {
    pub(super) name: SegmentName,
    pub(super) file_bytes: u64,
    /// Records in it that have an identity.
    pub(super) ids: usize,
    /// When [`super::Log::forget_ids`] first met it, in milliseconds of its clock.
    pub(super) met_at_ms: Option<i64>,
}

impl Retired {
    /// What is remembered of an index.
    pub(super) fn of(name: SegmentName, index: &Index) -> Self {
        Self {
            name,
            file_bytes: index.file_bytes(),
            ids: index.ids(),
            met_at_ms: None,
        }
    }
}

/// Everything that was found.
#[derive(Debug)]
pub(super) struct Examination {
    /// Which spool it is, by its identity or else by a header; `None` if nothing says so.
    pub(super) uuid: Option<Uuid>,
    /// Where in its file the identity stands, if it can be read.
    pub(super) slot: Option<usize>,
    /// The format that the identity is written in, if it can be read.
    pub(super) format: Option<u32>,
    /// The openings that the identity knows of.
    pub(super) lineage: Lineage,
    /// Largest epoch that anything here speaks of; 0 for none.
    pub(super) epoch: u32,
    pub(super) segments: Vec<Examined>,
    pub(super) retired: Vec<Retired>,
    /// Names of indexes that are of no use.
    pub(super) useless: Vec<String>,
    pub(super) names: Vec<String>,
    pub(super) found: Recovered,
}

struct Listed {
    name: SegmentName,
    file: Arc<dyn StorageFile>,
    file_bytes: u64,
    header: Result<(SegmentHeader, u64), Fault>,
}

/// Reads everything.
///
/// # Errors
/// [`SpoolError::Version`] if any file is of another version; [`SpoolError::Io`] if a file cannot be opened, with
/// `NotFound` if it was deleted meanwhile, which only happens beside a running owner.
pub(super) fn examine(storage: &dyn Storage) -> Result<Examination, SpoolError> {
    let names = storage
        .list()
        .map_err(|error| SpoolError::io("list", "the spool's directory", error))?;
    let identity = identity_file::read(storage)?;
    let mut listed = Vec::new();
    for name in sorted(&names, SegmentName::of_segment) {
        listed.push(list_segment(storage, name)?);
    }
    let uuid = identity.as_ref().map(|stored| stored.identity.uuid).or_else(|| {
        let newest = listed.iter().rev().find_map(|one| one.header.as_ref().ok());
        newest.map(|(header, _)| header.uuid)
    });
    for one in &mut listed {
        let is_own = |header: &SegmentHeader| Some(header.uuid) == uuid && header.name == one.name;
        if one.header.as_ref().is_ok_and(|(header, _)| !is_own(header)) {
            one.header = Err(Fault::Foreign);
        }
    }
    let newest_name = listed.iter().map(|one| one.name.epoch).max();
    let epoch = identity
        .as_ref()
        .map(|stored| stored.identity.epoch)
        .max(newest_name)
        .unwrap_or(0);

    let mut walk = walk::Walk::new(&listed);
    let mut segments = Vec::with_capacity(listed.len());
    for (at, one) in listed.iter().enumerate() {
        segments.push(walk.segment(storage, uuid, one, at + 1 == listed.len()));
    }
    let mut found = walk.finish(&listed);
    for one in &mut segments {
        let damage = found
            .damage
            .iter()
            .find(|damage| damage.segment == one.name.number);
        if let Some(damage) = damage {
            one.done_at = damage
                .next_good
                .map_or(last_of_epoch(one.name.epoch), |next| next - 1);
        }
    }
    found.backlog = backlog(&segments, found.commit);

    let (mut retired, mut useless) = (Vec::new(), Vec::new());
    for name in sorted(&names, SegmentName::of_index) {
        if segments.iter().any(|segment| segment.name == name) {
            continue;
        }
        let index = uuid.and_then(|uuid| Index::read(storage, uuid, name));
        match index.map_or(0, |index| index.ids()) {
            0 => useless.push(name.index()),
            ids => retired.push(Retired {
                name,
                file_bytes: file_bytes(storage, &name.index()),
                ids,
                met_at_ms: None,
            }),
        }
    }
    let slot = identity.as_ref().map(|stored| stored.slot);
    let format = identity.as_ref().map(|stored| stored.format);
    Ok(Examination {
        uuid,
        slot,
        format,
        lineage: identity.map_or_else(Lineage::default, |Stored { identity, .. }| identity.lineage),
        epoch,
        segments,
        retired,
        useless,
        names,
        found,
    })
}

fn sorted(names: &[String], parse: impl Fn(&str) -> Option<SegmentName>) -> Vec<SegmentName> {
    let mut parsed: Vec<SegmentName> = names.iter().filter_map(|name| parse(name)).collect();
    parsed.sort_unstable();
    parsed
}

fn file_bytes(storage: &dyn Storage, name: &str) -> u64 {
    storage
        .open(name)
        .and_then(|file| file.len_bytes())
        .unwrap_or_default()
}

fn list_segment(storage: &dyn Storage, name: SegmentName) -> Result<Listed, SpoolError> {
    let file_name = name.segment();
    let failed = |error: io::Error| SpoolError::io("open", &file_name, error);
    let file = storage.open(&file_name).map_err(failed)?;
    let file_bytes = file.len_bytes().map_err(failed)?;
    let header = match SegmentHeader::read(file.as_ref()) {
        Ok(header) => Ok(header),
        Err(BlockFault::Damaged) => Err(Fault::Header),
        Err(BlockFault::Unreadable) => Err(Fault::Unreadable),
        Err(BlockFault::Version(found)) => {
            return Err(SpoolError::Version {
                file: file_name,
                found,
            });
        }
    };
    Ok(Listed {
        name,
        file,
        file_bytes,
        header,
    })
}

/// Counts what is not committed; only the one segment that the commit mark lies in is read again.
fn backlog(segments: &[Examined], commit: u64) -> Backlog {
    let mut backlog = Backlog::default();
    for one in segments {
        let (Some(segment), Some(first)) = (&one.segment, one.first_sequence) else {
            continue;
        };
        if first > commit {
            backlog.records += one.records;
            backlog.bytes += one.payload_bytes;
        } else if one.last_sequence > commit {
            // What is before `first` are copies, counted where they were first.
            for record in walk::records(segment).filter(|record| record.sequence > commit.max(first - 1)) {
                backlog.records += 1;
                backlog.bytes += record.payload_bytes;
            }
        }
    }
    backlog
}

/// Takes what each header says of the segment before it; the latest one counts.
fn claims(listed: &[Listed]) -> BTreeMap<u64, u64> {
    let headers = listed.iter().filter_map(|one| one.header.as_ref().ok());
    headers
        .filter_map(|(header, _)| header.predecessor)
        .map(|predecessor| (predecessor.number, predecessor.end))
        .collect()
}

fn merge(state: &mut State, newer: &State) {
    state.commit = state.commit.max(newer.commit);
    state.alive_us = newer.alive_us.or(state.alive_us);
    state.open_gaps.clone_from(&newer.open_gaps);
}

fn seed_of(uuid: Uuid, name: SegmentName) -> u32 {
    header::seed(uuid, name)
}
