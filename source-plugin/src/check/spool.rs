//! The spool's directory, looked at and left as it is.
//!
//! Responsible for what a start would stumble over. Refuses to make, write or lock anything. Invariant: what is told
//! here as a fault makes `esp_open` fail as long as nobody mends it.

use std::path::Path;

use config_faults::Fault;
use rustix::fs::{Access, access, statvfs};

use crate::config::DiskSpool;
use crate::spool::storage::DiskStorage;
use crate::spool::{SpoolError, inspect};

const KEY: &str = "spool.dir";

/// What there is to say about a directory.
#[derive(Debug, Default)]
pub(crate) struct Looked {
    /// What keeps a source from opening it.
    pub(crate) faults: Vec<Fault>,
    /// What works and should be known.
    pub(crate) warnings: Vec<Fault>,
}

/// Looks at the directory of a spool, or at the one that it would be made in.
pub(crate) fn look(spool: &DiskSpool) -> Looked {
    let mut looked = Looked::default();
    let Some(existing) = spool.dir.ancestors().find(|path| path.exists()) else {
        return looked;
    };
    if let Err(error) = access(existing, Access::WRITE_OK | Access::EXEC_OK) {
        let mend = "give this user the right to write there, or set spool.dir to another directory";
        let fault = Fault::new(
            KEY,
            format!("{} cannot be written to: {error}", existing.display()),
        );
        looked.faults.push(fault.with_mend(mend));
        return looked;
    }
    let used_bytes = if spool.dir.is_dir() {
        contents(spool, &mut looked)
    } else {
        0
    };
    room(existing, spool, used_bytes, &mut looked);
    looked
}

/// Reads what is there; returns the bytes that it takes.
fn contents(spool: &DiskSpool, looked: &mut Looked) -> u64 {
    let opened = DiskStorage::open_read_only(&spool.dir);
    let inspected = opened
        .map_err(|error| SpoolError::io("open", "the directory", error))
        .and_then(|storage| inspect(&storage));
    let inspection = match inspected {
        Ok(inspection) => inspection,
        Err(SpoolError::NoSpool) => return 0,
        Err(error) => {
            let fault = Fault::new(KEY, format!("{}: {error}", spool.dir.display()));
            looked.faults.push(fault);
            return 0;
        }
    };
    if let Some(holder) = &inspection.holder {
        let warning = Fault::new(KEY, format!("{} is in use by {holder}", spool.dir.display()));
        let mend = "no second source opens it: stop that one before a start, unless it is the one meant";
        looked.warnings.push(warning.with_mend(mend));
    }
    if let Some(first) = inspection.damage.first() {
        let places = inspection.damage.len();
        let warning = Fault::new(
            KEY,
            format!(
                "{} places cannot be read, the first in segment {}: the records there are lost",
                places, first.segment
            ),
        );
        let mend =
            "look at it with genesys-source spool; a start skips them and tells them in the control topic";
        looked.warnings.push(warning.with_mend(mend));
    }
    inspection.segments.iter().map(|segment| segment.file_bytes).sum()
}

/// Compares what the file system has left with what the spool may come to take.
fn room(existing: &Path, spool: &DiskSpool, used_bytes: u64, looked: &mut Looked) {
    let Ok(system) = statvfs(existing) else { return };
    let free_bytes = system.f_bavail.saturating_mul(system.f_frsize);
    let max_bytes = spool.settings.max_bytes();
    let wanted_bytes = max_bytes.saturating_sub(used_bytes);
    if free_bytes < wanted_bytes {
        let warning = Fault::new(
            "spool.max_bytes",
            format!(
                "the spool may grow by {wanted_bytes} bytes, and {} has {free_bytes} left",
                existing.display()
            ),
        );
        let mend =
            "make room, or lower spool.max_bytes: a disk that is full stops the reading as a full spool does";
        looked.warnings.push(warning.with_mend(mend));
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;
    use std::time::Duration;

    use super::look;
    use crate::config::DiskSpool;
    use crate::spool::storage::DiskStorage;
    use crate::spool::{Log, Settings};

    fn spool(dir: &Path, max_bytes: u64) -> DiskSpool {
        DiskSpool {
            dir: dir.to_owned(),
            sync: Duration::from_millis(20),
            settings: Settings::try_new(max_bytes).unwrap(),
        }
    }

    #[test]
    fn a_directory_that_is_still_to_be_made_is_as_good_as_the_one_above_it() {
        let folder = tempfile::tempdir().unwrap();
        let looked = look(&spool(&folder.path().join("a/b/c"), 1 << 20));
        assert!(
            looked.faults.is_empty() && looked.warnings.is_empty(),
            "{looked:?}"
        );
        assert!(!folder.path().join("a").exists(), "looking makes nothing");
    }

    #[test]
    fn a_spool_in_use_and_a_disk_too_small_are_worth_a_warning() {
        let folder = tempfile::tempdir().unwrap();
        let storage = Arc::new(DiskStorage::open_or_create(folder.path()).unwrap());
        let (log, _) = Log::open(storage, Settings::try_new(1 << 20).unwrap()).unwrap();
        let dir = folder.path().display();
        let looked = look(&spool(folder.path(), 1 << 20));
        let told: Vec<String> = looked.warnings.iter().map(ToString::to_string).collect();
        let held = format!(
            "spool.dir: {dir} is in use by pid {}; no second source opens it: stop that one before a start, unless it is \
             the one meant",
            std::process::id()
        );
        assert_eq!(told, [held]);
        assert!(looked.faults.is_empty());
        drop(log);
        // more than any file system has
        let looked = look(&spool(folder.path(), 1 << 62));
        let told = looked
            .warnings
            .first()
            .map(ToString::to_string)
            .unwrap_or_default();
        assert!(
            told.starts_with("spool.max_bytes: the spool may grow by 46116860184"),
            "{told}"
        );
    }
}
