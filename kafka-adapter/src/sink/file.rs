//! Local files for records that have no topic: audit, control and dead letters, and the last resort.
//!
//! Responsible for JSON lines that are on the disk before they are acknowledged: one `write` and one `fdatasync` per
//! turn. Refuses to leave half a line behind: after a failed write the file is cut back to its last good length.
//! Invariant: the file holds whole lines only, as far as this process wrote it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::lines::push_line;
use super::{Failure, Landing, Meaning, Outcome, Parcel, Route};

/// An append-only file of JSON lines.
#[derive(Debug)]
pub struct RecordFile {
    path: PathBuf,
    shown: String,
    /// Open file and its length in bytes up to the last good line.
    open: Option<(File, u64)>,
    buffer: Vec<u8>,
    waiting: Vec<u64>,
}

impl RecordFile {
    /// Names a file; it is opened, and created if need be, by the first write.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            shown: path.display().to_string(),
            open: None,
            buffer: Vec::new(),
            waiting: Vec::new(),
        }
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
        self.waiting.push(token);
    }

    /// Writes and syncs what was added and appends the outcomes: all landed, or none.
    pub fn flush(&mut self, outcomes: &mut Vec<Outcome>) {
        if self.waiting.is_empty() {
            return;
        }
        let result = match self.write_out() {
            Ok(()) => Ok(Landing::File),
            Err(error) => {
                // opened anew by the next try: a failed sync is final for the descriptor that saw it
                self.open = None;
                Err(Failure {
                    meaning: Meaning::Blocked,
                    reason: format!("{} cannot be written: {error}", self.shown),
                })
            }
        };
        self.buffer.clear();
        outcomes.extend(self.waiting.drain(..).map(|token| Outcome {
            token,
            result: result.clone(),
        }));
    }

    fn write_out(&mut self) -> io::Result<()> {
        let (file, length) = match &mut self.open {
            Some(open) => open,
            none => none.insert(open(&self.path)?),
        };
        let written = file.write_all(&self.buffer).and_then(|()| file.sync_data());
        if let Err(error) = written {
            // best effort on a file that already failed: half a line at its end is closed by the next opening
            file.set_len(*length).ok();
            return Err(error);
        }
        *length += self.buffer.len() as u64;
        Ok(())
    }
}

/// Opens a file of lines for appending and returns it with its length; half a line that a kill left at its end is
/// closed first, so that it cannot swallow the next record.
fn open(path: &Path) -> io::Result<(File, u64)> {
    let is_new = !path.exists();
    let mut file = OpenOptions::new()
        .read(true)
        .create(true)
        .append(true)
        .open(path)?;
    let mut length = file.metadata()?.len();
    if let Some(last) = length.checked_sub(1) {
        let mut byte = [0];
        file.read_exact_at(&mut byte, last)?;
        if byte != *b"\n" {
            file.write_all(b"\n")?;
            length += 1;
        }
    }
    if is_new {
        // The entry in the folder is as much a part of the record's safety as the bytes.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok((file, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parcel(route: Route) -> Parcel<'static> {
        Parcel {
            route,
            sequence: Some(4),
            key: "k",
            body: b"{\"a\":1}",
            time_us: 0,
            record: None,
            refusal: None,
        }
    }

    #[test]
    fn half_a_line_of_an_earlier_run_does_not_swallow_the_next_record() {
        let folder = tempfile::tempdir().unwrap();
        for (left, kept) in [("{\"torn\":", 2), ("{\"whole\":1}\n", 2), ("", 1), ("\n", 2)] {
            let path = folder.path().join("records.jsonl");
            std::fs::write(&path, left).unwrap();
            let mut file = RecordFile::new(&path);
            let mut outcomes = Vec::new();
            file.push(1, &parcel(Route::Audit));
            file.flush(&mut outcomes);
            assert!(outcomes[0].result.is_ok());
            let text = std::fs::read_to_string(&path).unwrap();
            assert_eq!(text.lines().count(), kept, "{text}");
            assert!(text.ends_with("{\"a\":1}\n"), "{text}");
        }
    }

    #[test]
    fn lines_are_appended_to_what_is_there_and_acknowledged_together() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("records.jsonl");
        std::fs::write(&path, "{\"old\":true}\n").unwrap();
        let mut file = RecordFile::new(&path);
        let mut outcomes = Vec::new();
        file.push(1, &parcel(Route::Audit));
        file.push(2, &parcel(Route::LastResort));
        file.flush(&mut outcomes);
        assert_eq!(outcomes.len(), 2);
        assert!(outcomes.iter().all(|outcome| outcome.result == Ok(Landing::File)));
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "{\"old\":true}\n{\"a\":1}\n\
             {\"kind\":\"dead_letter\",\"sequence\":4,\"key\":\"k\",\"record\":{\"a\":1}}\n"
        );
    }

    #[test]
    fn a_try_leaves_a_torn_line_of_another_process_and_its_folder_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("records.jsonl");
        let file = RecordFile::new(&path);
        file.probe().unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        std::fs::write(&path, "{\"half\":").unwrap();
        file.probe().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"half\":");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(RecordFile::new(folder.path()).probe().is_err());
    }

    #[test]
    fn a_file_that_cannot_be_written_blocks_and_works_once_it_can() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("missing").join("records.jsonl");
        let mut file = RecordFile::new(&path);
        let mut outcomes = Vec::new();
        file.push(1, &parcel(Route::Audit));
        file.flush(&mut outcomes);
        let failure = outcomes.remove(0).result.unwrap_err();
        assert_eq!(failure.meaning, Meaning::Blocked);
        assert!(failure.reason.contains("records.jsonl"));

        std::fs::create_dir(path.parent().unwrap()).unwrap();
        file.push(1, &parcel(Route::Audit));
        file.flush(&mut outcomes);
        assert_eq!(outcomes.remove(0).result, Ok(Landing::File));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"a\":1}\n");
    }
}
