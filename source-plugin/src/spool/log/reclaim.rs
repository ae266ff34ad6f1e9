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
        let ids = index.ids();
        if ids == 0 {
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
            ids,
            met_at_ms: None,
        });
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
