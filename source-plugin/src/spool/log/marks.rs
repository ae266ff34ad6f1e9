//! What the log remembers besides records: commit mark, liveness mark, open gaps.
//!
//! Responsible for getting them into the log, as entries or with the header of a new segment. Refuses to lose one for
//! want of room: it waits, and the newest of its kind is what is written. Invariant: the commit mark only grows.

use super::{Closed, Log};
use crate::spool::entry::{Entry, EntryKind, entry_bytes};
use crate::spool::error::SpoolError;
use crate::spool::open_gaps;
use crate::spool::storage::write_full_at;

impl Log {
    /// Takes everything up to `sequence` as committed; it is in the log after the next [`Log::write_marks`]. A smaller
    /// number than before changes nothing.
    pub fn set_commit(&mut self, sequence: u64) {
        self.state.commit = self.state.commit.max(sequence);
    }

    /// Notes that the owner was alive at `time_us`, microseconds since 1970 UTC.
    pub fn set_alive(&mut self, time_us: i64) {
        self.state.alive_us = Some(time_us);
    }

    /// Sets the open gaps, each in the caller's own form.
    ///
    /// # Errors
    /// [`SpoolError::OpenGapsTooLarge`] beyond [`crate::spool::Settings::max_open_gaps_bytes`]; those before stay. Not retryable.
    pub fn set_open_gaps(&mut self, gaps: &[&[u8]]) -> Result<(), SpoolError> {
        let bytes = open_gaps::encode(gaps);
        let most_bytes = self.settings.max_open_gaps_bytes();
        if bytes.len() as u64 > most_bytes {
            return Err(SpoolError::OpenGapsTooLarge {
                bytes: bytes.len() as u64,
                most_bytes,
            });
        }
        self.state.open_gaps = bytes;
        Ok(())
    }

    /// Appends the marks that have changed, with one write. While the reserve is in use and half spent, marks that
    /// neither free a segment nor concern gaps wait.
    ///
    /// # Errors
    /// [`SpoolError::Full`] or [`SpoolError::Io`]; the marks wait for the next call. Retryable.
    pub fn write_marks(&mut self) -> Result<(), SpoolError> {
        if self.state == self.logged || self.marks_can_wait() {
            return Ok(());
        }
        self.replace_failed()?;
        if self.state == self.logged {
            return Ok(());
        }
        let mut marks = Vec::with_capacity(3);
        if self.state.commit != self.logged.commit {
            marks.push(Entry::mark(EntryKind::Commit, self.state.commit, 0, &[]));
        }
        if self.state.alive_us != self.logged.alive_us {
            let time_us = self.state.alive_us.unwrap_or_default();
            marks.push(Entry::mark(EntryKind::Alive, 0, time_us, &[]));
        }
        if self.state.open_gaps != self.logged.open_gaps {
            marks.push(Entry::mark(EntryKind::OpenGaps, 0, 0, &self.state.open_gaps));
        }
        let bytes: u64 = marks
            .iter()
            .map(|mark| entry_bytes(mark.payload.len() as u64))
            .sum();
        if self.room_bytes().is_none_or(|room| room < bytes) {
            // The header of the new segment says it all.
            return self.roll_for_marks();
        }
        let Some(active) = &mut self.active else {
            return Ok(());
        };
        self.encoder.clear();
        let mut end = active.end;
        for mark in &marks {
            end = self.encoder.push_mark(active.segment.seed, end, mark);
        }
        if let Err(error) = write_full_at(active.segment.file(), &[self.encoder.bytes()], active.end) {
            self.cut_back();
            return Err(SpoolError::io("append marks to", &self.active_name(), error));
        }
        active.end = end;
        active.segment.show(end, active.segment.last_sequence());
        self.logged.clone_from(&self.state);
        Ok(())
    }

    fn marks_can_wait(&self) -> bool {
        let Some(active) = &self.active else { return false };
        let is_half_spent = active.end > active.capacity_bytes / 2;
        let frees =
            |closed: &Closed| closed.done_at > self.logged.commit && closed.done_at <= self.state.commit;
        !self.has_reserve
            && is_half_spent
            && self.state.open_gaps == self.logged.open_gaps
            && !self.closed.first().is_some_and(frees)
    }
}
