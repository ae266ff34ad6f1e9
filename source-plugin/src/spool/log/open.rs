//! Opening a spool, and the beginning of an epoch.
//!
//! Responsible for the order: lock, look at everything, decide, and only then write. Refuses a spool that is held or of
//! another version before a byte was changed. Invariant: an epoch is larger than every one that anything here speaks
//! of, and synced before a number of it can be given.

use std::io;
use std::sync::Arc;

use uuid::Uuid;

use super::{Closed, Durable, Log};
use crate::spool::catalog::Catalog;
use crate::spool::entry::Encoder;
use crate::spool::error::SpoolError;
use crate::spool::header::{Predecessor, State};
use crate::spool::identity_file::{self, Identity};
use crate::spool::index::Index;
use crate::spool::lineage::{self, Lineage, Opening};
use crate::spool::name;
use crate::spool::open_gaps;
use crate::spool::recovery::{self, Examination, Examined, Recovered};
use crate::spool::segment::Segment;
use crate::spool::settings::{MAX_EPOCH, Settings};
use crate::spool::storage::{LockFault, Storage, read_full_at, write_full_at};

impl Log {
    /// Opens the spool in a directory, or makes one; a new epoch begins. Where there is no room for its first segment
    /// it opens all the same, to be read and, once there is room, written.
    ///
    /// # Errors
    /// [`SpoolError::Busy`] and [`SpoolError::Io`], retryable; [`SpoolError::Version`] and
    /// [`SpoolError::EpochsExhausted`], not. Nothing was changed but, for `Io`, perhaps the epoch.
    pub fn open(storage: Arc<dyn Storage>, settings: Settings) -> Result<(Self, Recovered), SpoolError> {
        let lock = storage.lock().map_err(|fault| match fault {
            LockFault::Held { holder } => SpoolError::Busy { holder },
            LockFault::Io(error) => SpoolError::io("lock", "the spool's directory", error),
        })?;
        let Examination {
            uuid,
            slot,
            format: _,
            lineage,
            epoch,
            segments,
            retired,
            useless,
            names,
            found,
        } = recovery::examine(storage.as_ref())?;
        let uuid = uuid.unwrap_or_else(Uuid::now_v7);
        let epoch = next_epoch(epoch)?;
        sync_tail(&segments)?;
        let identity = begun(uuid, epoch, &lineage);
        let identity_slot = identity_file::write(storage.as_ref(), slot, &identity)?;

        let last = segments.last();
        let mut log = Self {
            uuid,
            epoch,
            lineage: identity.lineage,
            identity_slot,
            next_number: last.map_or(1, |last| last.name.number + 1),
            catalog: Arc::new(Catalog::default()),
            closed: Vec::new(),
            active: None,
            predecessor: last.map(|last| Predecessor {
                number: last.name.number,
                end: last.claimed_end,
            }),
            has_reserve: false,
            state: State {
                commit: found.commit,
                alive_us: found.alive_us,
                open_gaps: open_gaps::encode(&found.open_gaps.iter().map(Vec::as_slice).collect::<Vec<_>>()),
            },
            logged: State::default(),
            last_sequence: found.last_sequence,
            stored_sequence: found.last_sequence,
            durable: Durable {
                sequence: found.last_sequence,
                commit: found.commit,
                alive_us: found.alive_us,
            },
            unsaved: Vec::new(),
            loss: None,
            retired,
            encoder: Encoder::default(),
            storage,
            settings,
            _lock: lock,
        };
        log.logged.clone_from(&log.state);
        log.adopt(segments);
        log.look_at_reserve(&names);
        log.clear_away(&useless);
        // Committed segments go first, where that is what a full disk needs.
        log.reclaim()?;
        let tail = log.predecessor;
        match log.begin_epoch() {
            Ok(()) | Err(SpoolError::Full { .. }) => {}
            Err(error) => return Err(error),
        }
        log.tidy(tail);
        announce(&log, &found);
        Ok((log, found))
    }

    /// Begins an epoch later than both the present one and `seen`, which somebody downstream remembers.
    ///
    /// # Errors
    /// [`SpoolError::EpochsExhausted`], not retryable; [`SpoolError::Io`], retryable.
    pub fn advance_epoch(&mut self, seen: u32) -> Result<u32, SpoolError> {
        let epoch = next_epoch(self.epoch.max(seen))?;
        let identity = begun(self.uuid, epoch, &self.lineage);
        self.sync_before_roll()?;
        self.identity_slot =
            identity_file::write(self.storage.as_ref(), Some(self.identity_slot), &identity)?;
        (self.epoch, self.lineage) = (epoch, identity.lineage);
        if let Some(active) = &mut self.active {
            // A segment is of one epoch; where there is no room for the next one, no number of it is written.
            active.is_spent = true;
        }
        match self.begin_epoch() {
            Ok(()) | Err(SpoolError::Full { .. }) => Ok(epoch),
            Err(error) => Err(error),
        }
    }

    fn adopt(&mut self, segments: Vec<Examined>) {
        for examined in segments.into_iter().filter(|examined| examined.is_own) {
            if let Some(segment) = &examined.segment {
                self.catalog.insert(Arc::clone(segment));
            }
            self.closed.push(Closed {
                name: examined.name,
                file_bytes: examined.file_bytes,
                done_at: examined.done_at,
                has_index: examined.has_index,
                written_index: None,
                segment: examined.segment,
            });
        }
    }

    /// Uses a reserve of the right size; one of other settings is removed.
    fn look_at_reserve(&mut self, names: &[String]) {
        if !names.iter().any(|name| name == name::RESERVE) {
            return;
        }
        let length = self.storage.open(name::RESERVE).and_then(|file| file.len_bytes());
        self.has_reserve = length.is_ok_and(|length| length == self.settings.segment_bytes());
        if !self.has_reserve {
            self.remove_quietly(name::RESERVE);
        }
    }

    fn clear_away(&self, useless: &[String]) {
        for name in useless {
            self.remove_quietly(name);
        }
    }

    fn remove_quietly(&self, name: &str) {
        // It only takes room, and the next opening finds it again.
        if let Err(error) = self.storage.remove(name) {
            tracing::debug!(%error, name, "cannot remove a file of the spool");
        }
    }

    /// Gives room back and makes what is missing; none of it is needed.
    fn tidy(&mut self, tail: Option<Predecessor>) {
        let storage = &self.storage;
        // Cut only when a synced header says where the tail ends.
        let tail = tail.filter(|_| self.active.is_some());
        for closed in &mut self.closed {
            let Some(tail) = tail.filter(|tail| tail.number == closed.name.number) else {
                continue;
            };
            if let Some(segment) = &closed.segment
                && tail.end < closed.file_bytes
                && segment.file().truncate(tail.end).is_ok()
            {
                closed.file_bytes = tail.end;
            }
        }
        for closed in self.closed.iter_mut().filter(|closed| !closed.has_index) {
            let Some(segment) = &closed.segment else { continue };
            let written = Index::scan(segment).write(storage.as_ref(), self.uuid, closed.name);
            closed.has_index = written.is_ok();
        }
        if let Err(error) = self.keep_reserve() {
            tracing::warn!(%error, "the spool has no reserve, it takes no record");
        }
    }
}

fn announce(log: &Log, found: &Recovered) {
    for damage in &found.damage {
        tracing::error!(
            segment = damage.segment,
            from = damage.from_offset,
            to = damage.to_offset,
            last_good = damage.last_good,
            next_good = damage.next_good,
            fault = damage.fault.name(),
            "a place of the spool cannot be read, it is skipped"
        );
    }
    if let Some(torn) = found.torn {
        tracing::warn!(
            segment = torn.segment,
            from = torn.from_offset,
            to = torn.to_offset,
            "the end of the spool was half written, it is cut off"
        );
    }
    tracing::info!(
        uuid = %log.uuid,
        epoch = log.epoch,
        commit = found.commit,
        backlog_records = found.backlog.records,
        backlog_bytes = found.backlog.bytes,
        "spool opened"
    );
}

/// The identity with which an epoch begins: an opening that no copy of this directory has.
fn begun(uuid: Uuid, epoch: u32, lineage: &Lineage) -> Identity {
    let incarnation = lineage::draw();
    Identity {
        uuid,
        epoch,
        lineage: lineage.and(Opening { epoch, incarnation }),
    }
}

fn next_epoch(last: u32) -> Result<u32, SpoolError> {
    match last.checked_add(1) {
        Some(epoch) if epoch <= MAX_EPOCH => Ok(epoch),
        _ => Err(SpoolError::EpochsExhausted),
    }
}

/// Makes the segment that was written to last durable: its end is about to be written down as a fact.
///
/// It is written again first: a sync of it may have failed under the last owner, and the system then takes its pages
/// for written and the next sync for done.
fn sync_tail(segments: &[Examined]) -> Result<(), SpoolError> {
    let Some(Examined {
        name,
        segment: Some(segment),
        ..
    }) = segments.last()
    else {
        return Ok(());
    };
    match write_again(segment) {
        Ok(()) => {}
        // A file system that never overwrites needs room for this.
        Err(error) if SpoolError::is_no_room(&error) => {
            tracing::warn!(
                segment = name.number,
                "no room to write the last segment again before its sync"
            );
        }
        Err(error) => return Err(SpoolError::io("write again", &name.segment(), error)),
    }
    let synced = segment.sync();
    synced.map_err(|error| SpoolError::io("sync", &name.segment(), error))
}

fn write_again(segment: &Segment) -> io::Result<()> {
    let (mut at, end) = (0, segment.visible_end());
    let mut buffer = vec![0; 256 << 10];
    while at < end {
        let step = buffer
            .len()
            .min(usize::try_from(end - at).unwrap_or(buffer.len()));
        let read = read_full_at(segment.file(), &mut buffer[..step], at)?;
        if read == 0 {
            break;
        }
        write_full_at(segment.file(), &[&buffer[..read]], at)?;
        at += read as u64;
    }
    Ok(())
}
