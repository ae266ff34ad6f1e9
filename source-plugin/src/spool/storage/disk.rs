//! A directory of the machine.
//!
//! Files are made for their owner only: records are customers' data. Refuses to follow what it did not make: a file is
//! created only where there is none. Invariant: a file that was created has its room, whatever else fills the disk.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, IoSlice, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use super::{LockFault, Storage, StorageFile, StorageLock};

/// Name of the lock file.
const LOCK: &str = "lock";

/// Most parts the system takes in one call.
///
/// # Source
/// `IOV_MAX` of Linux.
const MAX_PARTS: usize = 1024;

/// See the module.
#[derive(Debug)]
pub struct DiskStorage {
    path: PathBuf,
    writable: bool,
}

impl DiskStorage {
    /// Uses a directory to write in; makes it, and what lies above it, if there is none.
    ///
    /// # Errors
    /// The system's; retryable.
    pub fn open_or_create(path: &Path) -> io::Result<Self> {
        let above = path.ancestors().take_while(|above| !above.exists());
        let missing: Vec<&Path> = above.filter(|above| !above.as_os_str().is_empty()).collect();
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        for made in missing {
            // Its own name must be as durable as what will be in it.
            if let Some(parent) = made.canonicalize()?.parent() {
                File::open(parent)?.sync_all()?;
            }
        }
        Ok(Self {
            path: path.to_owned(),
            writable: true,
        })
    }

    /// Uses a directory to look at only.
    ///
    /// # Errors
    /// `NotFound` or `NotADirectory` if it is none; not retryable.
    pub fn open_read_only(path: &Path) -> io::Result<Self> {
        if !std::fs::metadata(path)?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(Self {
            path: path.to_owned(),
            writable: false,
        })
    }

    fn options(&self) -> OpenOptions {
        let mut options = OpenOptions::new();
        options.read(true).write(self.writable).mode(0o600);
        options
    }

    /// Returns what the lock file says, as far as a line of it can be shown.
    fn holder(file: &File) -> String {
        let mut text = String::new();
        let read = file.take(64).read_to_string(&mut text);
        let line = text.lines().next().unwrap_or_default();
        if read.is_err() || line.is_empty() || line.chars().any(char::is_control) {
            "another process".to_owned()
        } else {
            line.to_owned()
        }
    }
}

impl Storage for DiskStorage {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            // A name that is not UTF-8 is none of ours.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn create(&self, name: &str, len_bytes: u64) -> io::Result<Arc<dyn StorageFile>> {
        let file = self.options().create_new(true).open(self.path.join(name))?;
        let file = DiskFile { file };
        if let Err(error) = file.allocate(len_bytes) {
            self.remove(name)?;
            return Err(error);
        }
        Ok(Arc::new(file))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let file = self.options().open(self.path.join(name))?;
        Ok(Arc::new(DiskFile { file }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.path.join(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    fn lock(&self) -> Result<Box<dyn StorageLock>, LockFault> {
        let file = self
            .options()
            .create(true)
            .open(self.path.join(LOCK))
            .map_err(LockFault::Io)?;
        match fcntl(&file, FcntlArg::F_OFD_SETLK(&whole_file(libc::F_WRLCK))) {
            Ok(_) => {}
            Err(nix::Error::EAGAIN | nix::Error::EACCES) => {
                return Err(LockFault::Held {
                    holder: Self::holder(&file),
                });
            }
            Err(error) => return Err(LockFault::Io(error.into())),
        }
        let line = format!("pid {}\n", std::process::id());
        file.set_len(0)
            .and_then(|()| file.write_all_at(line.as_bytes(), 0))
            .or_else(|error| match error.kind() {
                // The lock is what counts; a full disk only hides who holds it.
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Ok(()),
                _ => Err(LockFault::Io(error)),
            })?;
        Ok(Box::new(DiskLock { _file: file }))
    }

    fn lock_holder(&self) -> io::Result<Option<String>> {
        let file = match OpenOptions::new().read(true).open(self.path.join(LOCK)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        // Asks without taking: a lock taken for an instant would turn away an owner that comes in it.
        let mut lock = whole_file(libc::F_RDLCK);
        fcntl(&file, FcntlArg::F_OFD_GETLK(&mut lock))?;
        let is_held = i32::from(lock.l_type) != libc::F_UNLCK;
        Ok(is_held.then(|| Self::holder(&file)))
    }
}

/// Describes a lock on all of a file, owned by the open file and so given back with it, also at a kill; unlike
/// `flock` it can be asked for without being taken.
fn whole_file(kind: libc::c_int) -> libc::flock {
    libc::flock {
        // F_RDLCK and F_WRLCK are 0 and 1, SEEK_SET is 0.
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

#[derive(Debug)]
struct DiskLock {
    _file: File,
}

impl StorageLock for DiskLock {}

#[derive(Debug)]
struct DiskFile {
    file: File,
}

impl DiskFile {
    fn allocate(&self, len_bytes: u64) -> io::Result<()> {
        match rustix::fs::fallocate(&self.file, FallocateFlags::empty(), 0, len_bytes) {
            Ok(()) => Ok(()),
            // The file system cannot set room aside: zeros take it.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                let zeros = [0; 64 << 10];
                let mut at = 0;
                while at < len_bytes {
                    let step = zeros
                        .len()
                        .min(usize::try_from(len_bytes - at).unwrap_or(zeros.len()));
                    self.file.write_all_at(&zeros[..step], at)?;
                    at += step as u64;
                }
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl StorageFile for DiskFile {
    fn len_bytes(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        let parts = &parts[..parts.len().min(MAX_PARTS)];
        Ok(rustix::io::pwritev(&self.file, parts, offset)?)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn truncate(&self, len_bytes: u64) -> io::Result<()> {
        self.file.set_len(len_bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;

    use super::{DiskStorage, LockFault};
    use crate::spool::storage::{Storage, write_full_at};

    #[test]
    fn a_second_lock_is_refused_with_the_holder_and_the_first_one_is_given_back() {
        let directory = tempfile::tempdir().unwrap();
        let storage = DiskStorage::open_or_create(directory.path()).unwrap();
        let onlooker = DiskStorage::open_read_only(directory.path()).unwrap();
        assert_eq!(onlooker.lock_holder().unwrap(), None);
        let lock = storage.lock().unwrap();
        let holder = format!("pid {}", std::process::id());
        assert_eq!(onlooker.lock_holder().unwrap(), Some(holder.clone()));
        let second = DiskStorage::open_or_create(directory.path()).unwrap();
        match second.lock() {
            Err(LockFault::Held { holder: said }) => assert_eq!(said, holder),
            other => panic!("{other:?}"),
        }
        drop(lock);
        assert_eq!(onlooker.lock_holder().unwrap(), None);
        second.lock().unwrap();
    }

    #[test]
    fn a_created_file_has_its_length_and_takes_more_parts_than_the_system_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let storage = DiskStorage::open_or_create(&directory.path().join("a/b")).unwrap();
        let file = storage.create("x", 10_000).unwrap();
        assert_eq!(file.len_bytes().unwrap(), 10_000);
        assert_eq!(
            storage.create("x", 1).unwrap_err().kind(),
            std::io::ErrorKind::AlreadyExists
        );
        let bytes: Vec<u8> = (0..5000_u32).map(|n| n as u8).collect();
        let parts: Vec<&[u8]> = bytes.chunks(1).collect();
        write_full_at(file.as_ref(), &parts, 7).unwrap();
        let mut read = vec![0; 5000];
        assert_eq!(file.read_at(&mut read, 7).unwrap(), 5000);
        assert_eq!(read, bytes);
        assert!(file.write_at(&[IoSlice::new(b"x")], 0).unwrap() == 1);
        file.truncate(3).unwrap();
        file.sync_data().unwrap();
        assert_eq!(file.len_bytes().unwrap(), 3);
        storage.rename("x", "y").unwrap();
        storage.sync_dir().unwrap();
        assert_eq!(storage.list().unwrap(), ["y"]);
        storage.remove("y").unwrap();
        assert!(storage.list().unwrap().is_empty());
    }
}
