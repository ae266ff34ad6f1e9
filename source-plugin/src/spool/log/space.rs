//! The room of a spool: new segments and the reserve.
//!
//! Responsible for the order in which a segment comes to be. Refuses records a segment beyond `max_bytes`. Invariant: a
//! segment has its name only when its header is synced, and is used only when the name is.

use std::io;
use std::sync::Arc;

use super::sync::Copy;
use super::{Active, Closed, Log};
use crate::spool::entry::{Encoder, NewRecord};
use crate::spool::error::{Limit, SpoolError};
use crate::spool::header::{self, Predecessor, SegmentHeader};
use crate::spool::index::{Index, IndexEntry};
use crate::spool::name::{self, SegmentName};
use crate::spool::recovery::Retired;
use crate::spool::segment::Segment;
use crate::spool::storage::{StorageFile, write_full_at};

impl Log {
    pub(super) fn used_bytes(&self) -> u64 {
        let closed: u64 = self.closed.iter().map(|closed| closed.file_bytes).sum();
        let active = self.active.as_ref().map_or(0, |active| active.capacity_bytes);
        let reserve = if self.has_reserve {
            self.settings.segment_bytes()
        } else {
            0
        };
        closed + active + reserve
    }

    pub(super) fn full(&self, limit: Limit) -> SpoolError {
        SpoolError::Full {
            used_bytes: self.used_bytes(),
            max_bytes: self.settings.max_bytes(),
            limit,
        }
    }

    fn fits(&self) -> bool {
        self.used_bytes() + self.settings.segment_bytes() <= self.settings.max_bytes()
    }

    /// Makes sure that there is a reserve; records are taken only then.
    pub(super) fn keep_reserve(&mut self) -> Result<(), SpoolError> {
        if self.has_reserve {
            return Ok(());
        }
        if !self.fits() {
            return Err(self.full(Limit::MaxBytes));
        }
        self.create(name::RESERVE, self.settings.segment_bytes())?;
        self.has_reserve = true;
        Ok(())
    }

    fn create(&self, name: &str, len_bytes: u64) -> Result<Arc<dyn StorageFile>, SpoolError> {
        self.storage.create(name, len_bytes).map_err(|error| {
            if SpoolError::is_no_room(&error) {
                self.full(Limit::Disk)
            } else {
                SpoolError::io("create", name, error)
            }
        })
    }

    /// Begins a new segment for records, within `max_bytes`.
    pub(super) fn roll_for_records(&mut self) -> Result<(), SpoolError> {
        if !self.fits() {
            return Err(self.full(Limit::MaxBytes));
        }
        self.sync_before_roll()?;
        if self
            .room_bytes()
            .is_some_and(|room| room >= self.settings.max_record_bytes())
        {
            // The sync failed, and its replacement is the new segment.
            return Ok(());
        }
        self.remove_unfinished()?;
        let file = self.create(name::UNFINISHED, self.segment_len_bytes())?;
        self.begin_segment(name::UNFINISHED, file)
    }

    /// Begins a new segment for marks: out of the reserve if there is no other room.
    pub(super) fn roll_for_marks(&mut self) -> Result<(), SpoolError> {
        self.sync_before_roll()?;
        if self.state == self.logged {
            return Ok(());
        }
        self.begin_reserved()
    }

    /// Returns the bytes of the next segment: more than usual only if copies fill it and the gaps have grown since.
    fn segment_len_bytes(&self) -> u64 {
        let copies_bytes: u64 = self
            .unsaved
            .iter()
            .map(|copy| copy.new_record().entry_bytes())
            .sum();
        let header_bytes = header::encoded_bytes(self.state.open_gaps.len() as u64);
        self.settings.segment_bytes().max(header_bytes + copies_bytes)
    }

    /// Begins a new segment, out of the reserve if there is no other room.
    pub(super) fn begin_reserved(&mut self) -> Result<(), SpoolError> {
        self.remove_unfinished()?;
        let refused = if self.fits() {
            match self.create(name::UNFINISHED, self.segment_len_bytes()) {
                Ok(file) => return self.begin_segment(name::UNFINISHED, file),
                Err(error) => error,
            }
        } else {
            self.full(Limit::MaxBytes)
        };
        if !self.has_reserve || !matches!(refused, SpoolError::Full { .. }) {
            return Err(refused);
        }
        let opened = self.storage.open(name::RESERVE);
        let file = opened.map_err(|error| SpoolError::io("open", name::RESERVE, error))?;
        // Whatever comes of it, it is no longer empty.
        self.has_reserve = false;
        self.begin_segment(name::RESERVE, file)
    }

    /// Begins a segment whatever `max_bytes` says; only where an epoch begins.
    pub(super) fn begin_epoch(&mut self) -> Result<(), SpoolError> {
        self.remove_unfinished()?;
        match self.create(name::UNFINISHED, self.segment_len_bytes()) {
            Ok(file) => self.begin_segment(name::UNFINISHED, file),
            Err(SpoolError::Full { .. }) if self.has_reserve => self.begin_reserved(),
            Err(error) => Err(error),
        }
    }

    fn remove_unfinished(&self) -> Result<(), SpoolError> {
        match self.storage.remove(name::UNFINISHED) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(SpoolError::io("remove", name::UNFINISHED, error))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Writes header and unsaved copies, syncs them, and only then gives the file its name.
    fn begin_segment(&mut self, from: &str, file: Arc<dyn StorageFile>) -> Result<(), SpoolError> {
        let new_name = SegmentName {
            number: self.next_number,
            epoch: self.epoch,
        };
        let predecessor = self.active.as_ref().map(|active| Predecessor {
            number: active.segment.name.number,
            end: active.final_end(),
        });
        let before = self.active.as_ref().filter(|active| active.segment.has_failed());
        let header = SegmentHeader {
            uuid: self.uuid,
            name: new_name,
            predecessor: predecessor.or(self.predecessor),
            last_sequence: before.map_or(self.stored_sequence, Active::durable_sequence),
            state: self.state.clone(),
        };
        let filled = self.fill(file.as_ref(), &header);
        let (active, last) = match filled.and_then(|filled| self.take_over(filled, &header, file)) {
            Ok(made) => made,
            Err(error) => {
                // It never had its name, so nothing is lost but its room.
                self.storage.remove(from).ok();
                return Err(SpoolError::io("write a new segment to", from, error));
            }
        };
        let file_name = new_name.segment();
        // From here on the name may be in the directory, and with it what the header says of the segment before.
        self.next_number += 1;
        self.close_active();
        self.stored_sequence = header.last_sequence;
        let named = self.storage.rename(from, &file_name);
        if let Err(error) = named.and_then(|()| self.storage.sync_dir()) {
            self.storage.remove(&file_name).ok();
            return Err(SpoolError::io("name a new segment", &file_name, error));
        }
        self.catalog.insert(Arc::clone(&active.segment));
        self.active = Some(active);
        self.stored_sequence = self.stored_sequence.max(last);
        self.unsaved.clear();
        self.predecessor = None;
        self.logged = header.state;
        let durable = self.snapshot();
        self.durable.merge(durable);
        Ok(())
    }

    fn take_over(
        &self,
        (data_offset, end, index): (u64, u64, Vec<IndexEntry>),
        header: &SegmentHeader,
        file: Arc<dyn StorageFile>,
    ) -> io::Result<(Active, u64)> {
        let name = header.name;
        let last = index.last().map_or(0, |last| last.sequence);
        let seed = header::seed(self.uuid, name);
        let active = Active {
            before: header.last_sequence,
            capacity_bytes: file.len_bytes()?,
            segment: Arc::new(Segment::new(name, seed, data_offset, file, end, last)),
            end,
            durable_end: end,
            index,
            payload_bytes: self
                .unsaved
                .iter()
                .map(|copy| copy.new_record().payload_bytes())
                .sum(),
            is_spent: false,
        };
        Ok((active, last))
    }

    fn fill(
        &self,
        file: &dyn StorageFile,
        header: &SegmentHeader,
    ) -> io::Result<(u64, u64, Vec<IndexEntry>)> {
        let block = header.encode();
        let data_offset = block.len() as u64;
        let seed = header::seed(self.uuid, header.name);
        let records: Vec<NewRecord<'_>> = self.unsaved.iter().map(Copy::new_record).collect();
        let mut encoder = Encoder::default();
        let mut index = Vec::with_capacity(records.len());
        let mut end = data_offset;
        for record in &records {
            index.push(IndexEntry::of(record, end));
            end = encoder.push_record(seed, end, record);
        }
        write_full_at(file, &[&block, encoder.bytes()], 0)?;
        file.sync_data()?;
        Ok((data_offset, end, index))
    }

    /// Puts the active segment, which is synced or whose sync failed for good, among the closed ones.
    fn close_active(&mut self) {
        let Some(active) = self.active.take() else { return };
        let end = active.final_end();
        let Active {
            segment,
            mut index,
            payload_bytes,
            capacity_bytes,
            ..
        } = active;
        let name = segment.name;
        self.predecessor = Some(Predecessor {
            number: name.number,
            end,
        });
        index.retain(|entry| entry.offset < end);
        let last_sequence = index.last().map_or(0, |last| last.sequence);
        segment.show(end, last_sequence);
        let mut closed = Closed {
            name,
            file_bytes: capacity_bytes,
            done_at: last_sequence,
            has_index: false,
            written_index: None,
            segment: Some(Arc::clone(&segment)),
        };
        // A file whose sync failed is not touched again.
        if !segment.has_failed() {
            if segment.file().truncate(end).is_ok() {
                closed.file_bytes = end;
            }
            let index = Index {
                end,
                payload_bytes,
                entries: index,
            };
            match index.write(self.storage.as_ref(), self.uuid, name) {
                Ok(()) => {
                    closed.has_index = true;
                    closed.written_index = Some(Retired::of(name, &index));
                }
                Err(error) => {
                    tracing::debug!(%error, segment = name.number, "no index was written, it is made from the segment");
                }
            }
        }
        self.closed.push(closed);
    }
}
