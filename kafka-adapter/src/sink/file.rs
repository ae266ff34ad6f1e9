//! Local files for records that have no topic: audit, control and dead letters, and the last resort.
//!
//! Responsible for JSON lines that are on the disk before they are acknowledged: one `write` and one `fdatasync` per
//! turn and file. Refuses to leave half a line behind: after a failed write the file is cut back to its last good length.
//! Invariant: a file holds whole lines only, as far as this process wrote it, and a line stands in one file.
//!
//! A file that someone else has renamed or removed is noticed before the next write, and one that has grown to its limit
//! is set aside (see [`rotation`]); a new one is opened in its place.

mod rotation;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use config_faults::instead_of_file;
use rotation::Rotator;

use super::lines::push_line;
use super::{Failure, Landing, Meaning, Outcome, Parcel, Route};

pub use rotation::Rotation;

/// An append-only file of JSON lines.
#[derive(Debug)]
pub struct RecordFile {
    path: PathBuf,
    shown: String,
    open: Option<Open>,
    rotator: Option<Rotator>,
    buffer: Vec<u8>,
    /// Tokens of the lines in the buffer, and where each line ends there.
    waiting: Vec<(u64, usize)>,
    /// Time of the newest line, in microseconds since 1970 UTC.
    time_us: i64,
}

/// An open file.
#[derive(Debug)]
struct Open {
    file: File,
    /// Device and inode, which tell it from one that has taken its name.
    identity: (u64, u64),
    /// Length up to the last good line, in bytes; a device has none, and is never set aside.
    bytes: u64,
}

impl RecordFile {
    /// Names a file; it is opened, and created if need be, by the first write.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            shown: path.display().to_string(),
            open: None,
            rotator: None,
            buffer: Vec::new(),
            waiting: Vec::new(),
            time_us: 0,
        }
    }

    /// Sets the file aside whenever it has grown so far; without a rotation it only grows.
    pub fn rotate(&mut self, rotation: Option<Rotation>) {
        self.rotator = rotation.map(Rotator::new);
    }

    /// The path as text, for audit records and messages.
    #[must_use]
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Opens the file for writing, or, where there is none yet, makes another one beside it and takes it away again. The
    /// file itself is not touched: another process may be about to write it.
    ///
    /// # Errors
    /// The system's, if the file cannot be written at this moment.
    pub fn probe(&self) -> io::Result<()> {
        if self.path.exists() {
            return OpenOptions::new().append(true).open(&self.path).map(drop);
        }
        let name = self.path.file_name().ok_or(io::ErrorKind::IsADirectory)?;
        let mut beside = name.to_owned();
        beside.push(format!(".{}.try", uuid::Uuid::new_v4().simple()));
        let beside = self.path.with_file_name(beside);
        OpenOptions::new().write(true).create_new(true).open(&beside)?;
        std::fs::remove_file(&beside)
    }

    /// Adds a line. Audit records stand alone, so that `verify` reads them as they were sent; everything else is
    /// wrapped as in [`super::LinesSink`].
    pub fn push(&mut self, token: u64, parcel: &Parcel<'_>) {
        if parcel.route == Route::Audit {
            self.buffer.extend_from_slice(parcel.body);
            self.buffer.push(b'\n');
        } else {
            push_line(&mut self.buffer, parcel);
        }
        self.waiting.push((token, self.buffer.len()));
        self.time_us = parcel.time_us;
    }

    /// Writes and syncs what was added and appends the outcomes, in order: of those that fit the same file all have
    /// landed or none, and behind the first that has not none has.
    pub fn flush(&mut self, outcomes: &mut Vec<Outcome>) {
        let mut landed = 0;
        let mut failure = None;
        while landed < self.waiting.len() && failure.is_none() {
            match self.write_from(landed) {
                Ok(end) => {
                    let tokens = self.waiting[landed..end].iter();
                    outcomes.extend(tokens.map(|&(token, _)| Outcome {
                        token,
                        result: Ok(Landing::File),
                    }));
                    landed = end;
                }
                Err(error) => {
                    // opened anew by the next try: a failed sync is final for the descriptor that saw it
                    self.open = None;
                    failure = Some(Failure {
                        meaning: Meaning::Blocked,
                        reason: format!(
                            "{} cannot be written: {error}; make room there, or let this user write it",
                            self.shown
                        ),
                    });
                }
            }
        }
        if let Some(failure) = failure {
            let tokens = self.waiting[landed..].iter();
            outcomes.extend(tokens.map(|&(token, _)| Outcome {
                token,
                result: Err(failure.clone()),
            }));
        }
        self.buffer.clear();
        self.waiting.clear();
    }

    /// Writes the lines from number `first` on that fit the file, at least one, and returns the number behind them.
    fn write_from(&mut self, first: usize) -> io::Result<usize> {
        let begin = first.checked_sub(1).map_or(0, |before| self.waiting[before].1);
        let one_bytes = (self.waiting[first].1 - begin) as u64;
        self.forget_if_replaced()?;
        let mut here = opened(&mut self.open, &self.path)?;
        if let Some(rotator) = &mut self.rotator
            && here.bytes > 0
            && !rotator.has_room(here.bytes, one_bytes)
            && rotator.rotate(&self.path, self.time_us, here.bytes)
        {
            self.open = None;
            here = opened(&mut self.open, &self.path)?;
            // the new file and its name are on the disk, so that what is deleted now is not the last thing left
            rotator.prune(&self.path);
        }
        let fits = |end: usize| match &self.rotator {
            Some(rotator) => rotator.has_room(here.bytes, (end - begin) as u64),
            None => true,
        };
        let fitting = self.waiting[first..].partition_point(|&(_, end)| fits(end));
        let behind = first + fitting.max(1);
        let lines = &self.buffer[begin..self.waiting[behind - 1].1];
        let written = here.file.write_all(lines).and_then(|()| here.file.sync_data());
        if let Err(error) = written {
            // best effort on a file that already failed: half a line at its end is closed by the next opening
            here.file.set_len(here.bytes).ok();
            return Err(error);
        }
        here.bytes += lines.len() as u64;
        if here.file.metadata()?.nlink() == 0 {
            return Err(io::Error::other("it was removed while it was written"));
        }
        Ok(behind)
    }

    /// Lets go of a file whose name was taken from it, by `logrotate` for instance, and learns how long it is otherwise.
    fn forget_if_replaced(&mut self) -> io::Result<()> {
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        match fs::metadata(&self.path) {
            Ok(found) if (found.dev(), found.ino()) == open.identity => {
                // someone may have cut it down, as `copytruncate` does
                open.bytes = found.len();
                return Ok(());
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        self.open = None;
        if let Some(rotator) = &mut self.rotator {
            rotator.begin_anew();
        }
        tracing::info!(path = self.shown, "file was renamed or removed, opening it anew");
        Ok(())
    }
}

fn opened<'a>(open_file: &'a mut Option<Open>, path: &Path) -> io::Result<&'a mut Open> {
    Ok(match open_file {
        Some(open) => open,
        none => none.insert(open(path)?),
    })
}

/// Opens a file of lines for appending; half a line that a kill left at its end is closed first, so that it cannot
/// swallow the next record.
fn open(path: &Path) -> io::Result<Open> {
    if let Some(said) = instead_of_file(path) {
        return Err(io::Error::other(format!("it {said}")));
    }
    let is_new = !path.exists();
    let mut file = OpenOptions::new()
        .read(true)
        .create(true)
        .append(true)
        .open(path)?;
    let found = file.metadata()?;
    let mut bytes = found.len();
    if let Some(last) = bytes.checked_sub(1) {
        let mut byte = [0];
        file.read_exact_at(&mut byte, last)?;
        if byte != *b"\n" {
            file.write_all(b"\n")?;
            bytes += 1;
        }
    }
    if is_new {
        // The entry in the folder is as much a part of the record's safety as the bytes; so is the name that the file
        // before it was given.
        File::open(rotation::folder(path)?)?.sync_all()?;
    }
    Ok(Open {
        file,
        identity: (found.dev(), found.ino()),
        bytes,
    })
}

#[cfg(test)]
mod tests;
