//! What may be deleted: segments that are committed, and indexes whose ids have left the window.
//!
//! Responsible for what survives a segment. Refuses to delete the newest segment that can be read. Invariant: segments
//! go oldest first, each when a later one, synced, repeats everything that must be known of it, and when its index is
//! synced too.

use std::io;
use std::sync::Arc;

use super::{Closed, Log};
use crate::spool::error::SpoolError;
use crate::spool::index::Index;
use crate::spool::name::SegmentName;
use crate::spool::recovery::Retired;
use crate::spool::segment::Segment;
use crate::spool::storage::Storage;

/// Committed segments to be deleted, on any thread; one at a time.
#[derive(Debug)]
#[must_use = "nothing is deleted before it has run"]
pub struct ReclaimTask {
    storage: Arc<dyn Storage>,
    segments: Vec<SegmentName>,
    /// Their indexes that were written and not synced.
    unsynced: Vec<Retired>,
    /// Those whose indexes hold no id, and go with them.
    useless: Vec<SegmentName>,
}

/// Segments that were deleted, to be given back to [`Log::end_reclaim`].
#[derive(Debug)]
#[must_use = "the log must know of it"]
pub struct ReclaimDone {
    deleted: Vec<SegmentName>,
    synced: Vec<Retired>,
    /// The index that could not be synced: what was written of it counts for nothing.
    failed: Option<SegmentName>,
    result: Result<(), SpoolError>,
}

/// Segments that are gone from the log. Dropping it closes their files, and only then the system frees them, which
/// takes milliseconds: to be done outside of whatever lock the log is under.
#[derive(Debug)]
pub struct Reclaimed {
    segments: usize,
    _files: Vec<Closed>,
}

impl Reclaimed {
    /// Returns how many there are.
    #[must_use]
    pub fn segments(&self) -> usize {
        self.segments
    }
}

impl ReclaimTask {
    /// Syncs the indexes and their names, then deletes, oldest first; blocks as long as the disk does.
    pub fn run(self) -> ReclaimDone {
        let mut done = ReclaimDone {
            deleted: Vec::new(),
            synced: Vec::new(),
            failed: None,
            result: Ok(()),
        };
        done.result = self.try_run(&mut done);
        done
    }

    fn try_run(self, done: &mut ReclaimDone) -> Result<(), SpoolError> {
        let storage = self.storage.as_ref();
        for index in self.unsynced {
            match Index::sync(storage, index.name) {
                Ok(()) => done.synced.push(index),
                Err(error) if SpoolError::is_no_room(&error) => forgotten(index.name),
                Err(error) => {
                    done.failed = Some(index.name);
                    return Err(SpoolError::io("sync", &index.name.index(), error));
                }
            }
        }
        let synced = storage.sync_dir();
        synced.map_err(|error| SpoolError::io("sync", "the spool's directory", error))?;
        for name in self.segments {
            let file_name = name.segment();
            match storage.remove(&file_name) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(SpoolError::io("remove", &file_name, error));
                }
                Ok(()) | Err(_) => done.deleted.push(name),
            }
            if self.useless.contains(&name) {
                // One that cannot be removed is met again at the next opening.
                storage.remove(&name.index()).ok();
            }
        }
        Ok(())
    }
}

/// Room is what is needed now; without the ids a restart lets some duplicates pass, and loses nothing.
fn forgotten(name: SegmentName) {
    tracing::warn!(
        segment = name.number,
        "no room for an index, its ids are forgotten at a restart"
    );
}

impl Log {
    /// Deletes the segments whose records are all at or below the durable commit mark, on this thread; returns how
    /// many. Their indexes stay.
    ///
    /// # Errors
    /// As [`Log::begin_reclaim`] and [`Log::end_reclaim`].
    pub fn reclaim(&mut self) -> Result<usize, SpoolError> {
        match self.begin_reclaim()? {
            Some(task) => self.end_reclaim(task.run()).map(|gone| gone.segments()),
            None => Ok(0),
        }
    }

    /// Returns the deletion of the segments whose records are all at or below the durable commit mark; `None` if there
    /// are none. It is to be given back before the next one is asked for.
    ///
    /// # Errors
    /// [`SpoolError::Io`] if an index that is missing cannot be made; nothing is to be deleted then. Retryable.
    pub fn begin_reclaim(&mut self) -> Result<Option<ReclaimTask>, SpoolError> {
        let commit = self.durable.commit;
        // The last one that can be read is kept while nothing follows it: its marks stand nowhere else.
        let last_readable = || self.closed.iter().rposition(|closed| closed.segment.is_some());
        let followed = match self.active {
            Some(_) => self.closed.len(),
            None => last_readable().unwrap_or(0),
        };
        // Oldest first, without a hole: the header of the next one says where a segment ends.
        let is_done = |closed: &&Closed| closed.done_at <= commit;
        let done = self.closed[..followed].iter().take_while(is_done);
        let segments: Vec<SegmentName> = done.map(|closed| closed.name).collect();
        if segments.is_empty() {
            return Ok(None);
        }
        let (mut unsynced, mut useless) = (Vec::new(), Vec::new());
        for at in 0..segments.len() {
            match self.closed[at].written_index {
                Some(written) if written.ids == 0 => useless.push(written.name),
                Some(written) => unsynced.push(written),
                None => self.keep_index(at)?,
            }
        }
        Ok(Some(ReclaimTask {
            storage: Arc::clone(&self.storage),
            segments,
            unsynced,
            useless,
        }))
    }

    /// Takes note of a deletion.
    ///
    /// # Errors
    /// [`SpoolError::Io`]; what was not deleted is at the next call. Retryable.
    pub fn end_reclaim(&mut self, done: ReclaimDone) -> Result<Reclaimed, SpoolError> {
        let is_kept = |name: SegmentName| {
            done.synced.iter().any(|index| index.name == name) || done.failed == Some(name)
        };
        for closed in self.closed.iter_mut().filter(|closed| is_kept(closed.name)) {
            // Kept by now, or to be made anew.
            closed.written_index = None;
            closed.has_index &= done.failed != Some(closed.name);
        }
        self.retired.extend(done.synced);
        for name in &done.deleted {
            self.catalog.remove(name.number);
        }
        let is_gone = |closed: &mut Closed| done.deleted.contains(&closed.name);
        let files: Vec<Closed> = self.closed.extract_if(.., is_gone).collect();
        done.result.map(|()| Reclaimed {
            segments: files.len(),
            _files: files,
        })
    }

    /// Makes the index of a closed segment durable, if it holds any id: one that an earlier process wrote, or that is
    /// missing. Here and not in the task, since the writer of records writes indexes under the same passing name.
    fn keep_index(&mut self, at: usize) -> Result<(), SpoolError> {
        let closed = &mut self.closed[at];
        let name = closed.name;
        let file_name = name.index();
        if self.retired.iter().any(|retired| retired.name == name) {
            return Ok(());
        }
        let index = match Index::read(self.storage.as_ref(), self.uuid, name) {
            Some(index) => index,
            None => {
                closed.has_index = false;
                let Some(segment) = &closed.segment else {
                    return Ok(());
                };
                Index::scan(segment)
            }
        };
        let retired = Retired::of(name, &index);
        if retired.ids == 0 {
            self.storage.remove(&file_name).ok();
            return Ok(());
        }
        let kept = if closed.has_index {
            Ok(())
        } else {
            index.write(self.storage.as_ref(), self.uuid, name)
        };
        match kept.and_then(|()| Index::sync(self.storage.as_ref(), name)) {
            Ok(()) => {}
            Err(error) if SpoolError::is_no_room(&error) => {
                forgotten(name);
                return Ok(());
            }
            Err(error) => {
                closed.has_index = false;
                return Err(SpoolError::io("write", &file_name, error));
            }
        }
        self.retired.push(retired);
        Ok(())
    }

    /// Deletes the indexes of deleted segments whose ids have left the window: `window_ms` after the first call that met
    /// them, so that all their records were received still longer ago, or behind as many newer ids as the window holds.
    /// Those that an earlier process left count from the first call as well: how long nobody counted, only a clock could
    /// say that may have been set.
    ///
    /// # Units
    /// `uptime_ms`: milliseconds by a clock that is never set.
    pub fn forget_ids(&mut self, uptime_ms: i64, window_ms: u64, max_ids: usize) {
        let storage = &self.storage;
        let is_live = |name: SegmentName| self.closed.iter().any(|closed| closed.name == name);
        self.retired.sort_unstable_by_key(|retired| retired.name);
        let mut newer: usize = self.retired.iter().map(|retired| retired.ids).sum();
        self.retired.retain_mut(|retired| {
            newer -= retired.ids;
            let met_at_ms = *retired.met_at_ms.get_or_insert(uptime_ms);
            let has_left = uptime_ms.abs_diff(met_at_ms) > window_ms || newer >= max_ids;
            // One that cannot be removed is met again at the next opening.
            !(has_left && !is_live(retired.name) && storage.remove(&retired.name.index()).is_ok())
        });
    }

    /// Shows the id hashes of every record that was appended and not forgotten, in the order of their numbers, as far as they
    /// can be read; where a failed sync left a copy of a record, its id twice.
    pub fn visit_ids(&self, mut visit: impl FnMut(u128)) {
        let mut names: Vec<(SegmentName, Option<&Arc<Segment>>)> = Vec::new();
        names.extend(self.retired.iter().map(|retired| (retired.name, None)));
        names.extend(
            self.closed
                .iter()
                .map(|closed| (closed.name, closed.segment.as_ref())),
        );
        names.sort_unstable_by_key(|(name, _)| *name);
        names.dedup_by_key(|(name, _)| *name);
        for (name, segment) in names {
            let index = match (Index::read(self.storage.as_ref(), self.uuid, name), segment) {
                (Some(index), _) => index,
                (None, Some(segment)) => Index::scan(segment),
                (None, None) => continue,
            };
            index
                .entries
                .iter()
                .filter_map(|entry| entry.id_hash)
                .for_each(&mut visit);
        }
        let active = self.active.iter().flat_map(|active| &active.index);
        active.filter_map(|entry| entry.id_hash).for_each(&mut visit);
    }
}
