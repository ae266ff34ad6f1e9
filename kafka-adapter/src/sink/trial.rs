//! Files of records, tried before a run relies on them.
//!
//! Responsible for opening each once, and for a fault of its key where that fails. Refuses pipes and sockets, which would
//! keep a start waiting. Invariant: nothing is left behind that was not there.

use std::path::Path;

use config_faults::{Fault, instead_of_file};

use super::{RecordFile, Route};

/// Why a path is no file of records.
#[derive(Debug)]
pub enum FileReason {
    /// It cannot be written at this moment; the system's words.
    Unwritable(std::io::Error),
    /// It is a pipe or a socket; what it is, in words.
    NoFile(&'static str),
}

/// A file of records that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.fault())]
pub struct FileError {
    /// The configuration's key.
    pub key: &'static str,
    /// The file.
    pub path: String,
    /// Why.
    pub reason: FileReason,
}

impl FileError {
    /// The same as a fault of its key.
    #[must_use]
    pub fn fault(&self) -> Fault {
        let Self { key, path, reason } = self;
        match reason {
            FileReason::Unwritable(error) => Fault::new(*key, format!("{path} cannot be written: {error}"))
                .with_mend(format!(
                    "create its folder and let this user write there, or set {key} to another file"
                )),
            FileReason::NoFile(said) => {
                Fault::new(*key, format!("{path} {said}")).with_mend("name a regular file")
            }
        }
    }

    /// Says whether the same start may succeed later without a change.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        false
    }
}

/// A file that can be written at this moment: better refused now than at the first record, an hour later.
///
/// # Errors
/// [`FileError`]; not retryable.
pub fn try_file(path: &Path, route: Route) -> Result<RecordFile, FileError> {
    let file = RecordFile::new(path);
    let failed = |reason| FileError {
        key: match route {
            Route::Audit => "audit.path",
            Route::Control => "control.path",
            Route::Event | Route::DeadLetter | Route::LastResort => "dead_letter.path",
        },
        path: file.shown().to_owned(),
        reason,
    };
    if let Some(said) = instead_of_file(path) {
        return Err(failed(FileReason::NoFile(said)));
    }
    file.probe()
        .map_err(|error| failed(FileReason::Unwritable(error)))?;
    Ok(file)
}
