//! What may be deleted: segments that are committed, and indexes whose ids have left the window.
//!
//! Responsible for what survives a segment. Refuses to delete the newest segment that can be read. Invariant: segments
//! go oldest first, each when a later one, synced, repeats everything that must be known of it, and when its index is
//! synced too.

use std::io;
use std::sync::Arc;

use super::{Closed, Log};
use crate::spool::error::SpoolError;
use crate::spool::index::{Index, IndexEntry, SeenId};
use crate::spool::name::SegmentName;
use crate::spool::recovery::Retired;
use crate::spool::segment::Segment;

impl Log {
    /// Deletes the segments whose records are all at or below the durable commit mark; returns how many. Their indexes
    /// stay.
    ///
    /// # Errors
    /// [`SpoolError::Io`]; what was not deleted is at the next call. Retryable.
    pub fn reclaim(&mut self) -> Result<usize, SpoolError> {
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
        let names: Vec<SegmentName> = done.map(|closed| closed.name).collect();
        if names.is_empty() {
            return Ok(0);
        }
        for at in 0..names.len() {
            self.keep_index(at)?;
        }
        let synced = self.storage.sync_dir();
        synced.map_err(|error| SpoolError::io("sync", "the spool's directory", error))?;
        for name in &names {
            let file_name = name.segment();
            match self.storage.remove(&file_name) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(SpoolError::io("remove", &file_name, error));
                }
                Ok(()) | Err(_) => {}
            }
            self.catalog.remove(name.number);
            self.closed.retain(|closed| closed.name != *name);
        }
        Ok(names.len())
    }

    /// Makes the index of a closed segment durable, if it holds any id.
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
        let Some(newest_received_us) = index.newest_received_us() else {
            self.storage.remove(&file_name).ok();
            return Ok(());
        };
        let kept = if closed.has_index {
            Ok(())
        } else {
            index.write(self.storage.as_ref(), self.uuid, name)
        };
        match kept.and_then(|()| Index::sync(self.storage.as_ref(), name)) {
            Ok(()) => {}
            Err(error) if SpoolError::is_no_room(&error) => {
                // Room is what is needed now; without the ids a restart lets some duplicates pass, and loses nothing.
                tracing::warn!(
                    segment = name.number,
                    "no room for an index, its ids are forgotten at a restart"
                );
                return Ok(());
            }
            Err(error) => return Err(SpoolError::io("write", &file_name, error)),
        }
        self.retired.push(Retired {
            name,
            file_bytes: index.file_bytes(),
            newest_received_us,
        });
        Ok(())
    }

    /// Deletes the indexes of deleted segments whose ids were all received before `time_us`, microseconds since 1970
    /// UTC: they have left the window.
    pub fn forget_ids(&mut self, time_us: i64) {
        let storage = &self.storage;
        let is_live = |name: SegmentName| self.closed.iter().any(|closed| closed.name == name);
        self.retired.retain(|retired| {
            let has_left = retired.newest_received_us < time_us && !is_live(retired.name);
            // One that cannot be removed is met again at the next opening.
            !(has_left && storage.remove(&retired.name.index()).is_ok())
        });
    }

    /// Shows the ids of every record that was appended and not forgotten, in the order of their numbers, as far as they
    /// can be read; where a failed sync left a copy of a record, its id twice.
    pub fn visit_ids(&self, mut visit: impl FnMut(SeenId)) {
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
                .filter_map(IndexEntry::seen)
                .for_each(&mut visit);
        }
        let active = self.active.iter().flat_map(|active| &active.index);
        active.filter_map(IndexEntry::seen).for_each(&mut visit);
    }
}
