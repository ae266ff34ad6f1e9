//! What the spool needs of a directory, as a trait: so that tests can lose what was not synced.
//!
//! Responsible for the contract between the log and a disk. Refuses to hide an error or to try again: what a failed
//! sync means is the log's to decide. Invariant: what was written is durable only after `sync_data` of its file, and a
//! name only after `sync_dir`.

mod disk;
#[cfg(test)]
pub(crate) mod faulty;

use std::fmt::Debug;
use std::io::{self, IoSlice};
use std::sync::Arc;

pub use disk::DiskStorage;

/// One open file.
pub trait StorageFile: Debug + Send + Sync {
    /// Returns its length in bytes.
    ///
    /// # Errors
    /// The system's.
    fn len_bytes(&self) -> io::Result<u64>;

    /// Reads at an offset in bytes; returns how many bytes it read, 0 at the end.
    ///
    /// # Errors
    /// The system's.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes the parts one behind the other at an offset in bytes; returns how many bytes it wrote, possibly fewer.
    ///
    /// # Errors
    /// The system's; nothing is known then of the bytes in that range.
    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<usize>;

    /// Makes everything written before durable.
    ///
    /// # Errors
    /// The system's. It must not be called again on this file then: a later success would say nothing of what the
    /// failed call was for.
    fn sync_data(&self) -> io::Result<()>;

    /// Cuts the file to a length in bytes.
    ///
    /// # Errors
    /// The system's.
    fn truncate(&self, len_bytes: u64) -> io::Result<()>;
}

/// The right to change a directory; given back when dropped.
pub trait StorageLock: Debug + Send + Sync {}

/// Why there is no lock.
#[derive(Debug)]
pub enum LockFault {
    /// Somebody has it.
    Held {
        /// What they say of themselves.
        holder: String,
    },
    /// The system refused.
    Io(io::Error),
}

/// One directory.
pub trait Storage: Debug + Send + Sync {
    /// Returns the names in it, in any order.
    ///
    /// # Errors
    /// The system's.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Makes a file of zeros with room for all of them; there is none of this name.
    ///
    /// # Errors
    /// The system's, above all where there is no room; no file is left then.
    fn create(&self, name: &str, len_bytes: u64) -> io::Result<Arc<dyn StorageFile>>;

    /// Opens a file.
    ///
    /// # Errors
    /// The system's; `NotFound` if there is none.
    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>>;

    /// Gives a file another name.
    ///
    /// # Errors
    /// The system's.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// The system's.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes the names durable.
    ///
    /// # Errors
    /// The system's.
    fn sync_dir(&self) -> io::Result<()>;

    /// Takes the directory for this process.
    ///
    /// # Errors
    /// [`LockFault`]; retryable.
    fn lock(&self) -> Result<Box<dyn StorageLock>, LockFault>;

    /// Returns what the holder of the lock says of itself, `None` if nobody holds it; changes nothing.
    ///
    /// # Errors
    /// The system's.
    fn lock_holder(&self) -> io::Result<Option<String>>;
}

/// Reads until the buffer is full, the file ends or a place cannot be read; returns how many bytes, or the system's error
/// if it is none.
pub(super) fn read_full_at(file: &dyn StorageFile, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match file.read_at(&mut buffer[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if done == 0 => return Err(error),
            Err(_) => break,
        }
    }
    Ok(done)
}

/// Writes all parts, with one call unless the system takes fewer bytes at once.
pub(super) fn write_full_at(file: &dyn StorageFile, parts: &[&[u8]], offset: u64) -> io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
    let mut left = slices.as_mut_slice();
    let mut offset = offset;
    IoSlice::advance_slices(&mut left, 0);
    while !left.is_empty() {
        match file.write_at(left, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                IoSlice::advance_slices(&mut left, written);
                offset += written as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
