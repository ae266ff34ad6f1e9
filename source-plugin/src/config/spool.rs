//! Where records wait for their commit: the keys of `spool`, checked against each other and against the frames.
//!
//! Responsible for the default directory and for bounds under which every record fits. Refuses a directory that two
//! sources could come to share by their names alone. Invariant: a [`Spool::Disk`] can hold the largest record that the
//! configuration lets in; whether its directory can be used is seen when it is opened.

use std::path::PathBuf;
use std::time::Duration;

use super::checks::{Checks, ms};
use super::raw::{RawConfig, RawOnFull, RawSpoolMode};
use crate::record_bound;
use crate::spool::Settings;

/// Where records wait for their commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spool {
    /// In memory: what is not committed dies with the process.
    Memory,
    /// On disk.
    Disk(DiskSpool),
}

/// A spool on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskSpool {
    /// Its directory, absolute; it need not exist.
    pub dir: PathBuf,
    /// Longest time that a record is on disk without being synced.
    pub sync: Duration,
    /// Its bounds.
    pub settings: Settings,
}

/// Folder below the user's state directory.
const STATE_FOLDER: &str = "genesys-kafka";

/// Longest name of a folder, in bytes.
///
/// # Source
/// `NAME_MAX` of Linux.
const MAX_NAME_BYTES: usize = 255;

const MEMORY: &str = "spool.mode = \"memory\"";

impl Checks<'_> {
    /// Checks the keys of `spool`; `None` with a fault.
    pub(super) fn spool(&mut self, raw: &RawConfig) -> Option<Spool> {
        if raw.spool.mode == RawSpoolMode::Memory {
            return Some(Spool::Memory);
        }
        if raw.queue.on_full == RawOnFull::Drop {
            self.add(
                "queue.on_full",
                "\"drop\" has no meaning with a spool on disk: while it is full nothing is read",
                format!("set queue.on_full = \"stop\", or {MEMORY}"),
            );
        }
        let dir = self.directory(raw);
        let settings = self.bounds(raw);
        Some(Spool::Disk(DiskSpool {
            dir: dir?,
            sync: ms(raw.spool.sync_ms),
            settings: settings?,
        }))
    }

    fn directory(&mut self, raw: &RawConfig) -> Option<PathBuf> {
        let path = match &raw.spool.dir {
            Some(dir) => self.given_directory(dir)?,
            None => self.default_directory(&raw.name)?,
        };
        if path.exists() && !path.is_dir() {
            let mend = "name a directory, or one that is still to be made".to_owned();
            self.add(
                "spool.dir",
                format!("{} is not a directory", path.display()),
                mend,
            );
            return None;
        }
        Some(path)
    }

    fn given_directory(&mut self, dir: &str) -> Option<PathBuf> {
        let mend = "write the directory in full, from /".to_owned();
        if dir.starts_with('~') {
            self.add("spool.dir", format!("{dir:?}: a ~ is not expanded"), mend);
            return None;
        }
        // A host may change its working directory after this.
        match std::path::absolute(dir) {
            Ok(path) => Some(path),
            Err(error) => {
                self.add("spool.dir", format!("{dir:?} cannot be used: {error}"), mend);
                None
            }
        }
    }

    /// Returns the source's own folder in the state directory of the service, else of the user.
    fn default_directory(&mut self, name: &str) -> Option<PathBuf> {
        let Some(state) = self.state_directory() else {
            self.add(
                "spool.dir",
                "it is not set, and none of STATE_DIRECTORY, XDG_STATE_HOME and HOME is an absolute path",
                format!("set spool.dir, or {MEMORY}"),
            );
            return None;
        };
        let own = folder_name(name);
        if own.len() > MAX_NAME_BYTES {
            self.add(
                "spool.dir",
                format!(
                    "it is not set, and the name of the source makes one of {} bytes, at most {MAX_NAME_BYTES} are possible",
                    own.len()
                ),
                "set spool.dir, or a shorter name".to_owned(),
            );
            return None;
        }
        Some(state.join(own))
    }

    fn state_directory(&self) -> Option<PathBuf> {
        let variable = |name: &str| self.environment.variable(name);
        let absolute = |path: &str| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
        // systemd lists every directory of `StateDirectory=`, with colons between them.
        let service = variable("STATE_DIRECTORY").and_then(|list| absolute(list.split(':').next()?));
        let user = || {
            let state = variable("XDG_STATE_HOME").and_then(|path| absolute(&path));
            let home = || Some(absolute(&variable("HOME")?)?.join(".local/state"));
            Some(state.or_else(home)?.join(STATE_FOLDER))
        };
        service.or_else(user)
    }

    fn bounds(&mut self, raw: &RawConfig) -> Option<Settings> {
        let settings = match Settings::try_new(raw.spool.max_bytes) {
            Ok(settings) => settings,
            Err(error) => {
                self.add("spool.max_bytes", error.to_string(), None);
                return None;
            }
        };
        let record_bytes = record_bound::max_record_bytes(raw.max_frame_bytes, raw.subscription.max_bytes());
        let most_bytes = settings.max_record_bytes();
        if record_bytes <= most_bytes {
            return Some(settings);
        }
        if let Some(least_bytes) = least_max_bytes(record_bytes) {
            let (key, bytes) =
                if record_bound::is_of_a_frame(raw.max_frame_bytes, raw.subscription.max_bytes()) {
                    ("max_frame_bytes", raw.max_frame_bytes)
                } else {
                    ("subscription.max_bytes", raw.subscription.max_bytes())
                };
            self.add(
                "spool.max_bytes",
                format!(
                    "{} bytes take records of up to {most_bytes}, and with {key} = {bytes} one can have {record_bytes}",
                    raw.spool.max_bytes
                ),
                format!("set it to at least {least_bytes}, or lower {key}"),
            );
        } else {
            let most_bytes = record_bound::max_frame_bytes(largest_record_bytes());
            self.add(
                "max_frame_bytes",
                format!(
                    "a frame of {} bytes can make a record of {record_bytes}, more than any spool on disk takes",
                    raw.max_frame_bytes
                ),
                format!("set it to at most {most_bytes}, or {MEMORY}"),
            );
        }
        None
    }
}

/// Returns a folder's name that no other source's name makes: `%` and two digits stand for each byte that is not an
/// ASCII letter or digit, `-`, `_`, or a dot that is not the first character.
fn folder_name(name: &str) -> String {
    let mut folder = String::with_capacity(name.len());
    for (at, byte) in name.bytes().enumerate() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') || (byte == b'.' && at > 0) {
            folder.push(char::from(byte));
        } else {
            folder.push_str(&format!("%{byte:02X}"));
        }
    }
    folder
}

/// Bounds to look for one that is large enough, 1 MiB to 4 GiB; segments grow no further above 2 GiB.
fn candidates() -> impl DoubleEndedIterator<Item = Settings> {
    (1..=4096_u64).filter_map(|mebibytes| Settings::try_new(mebibytes << 20).ok())
}

/// Returns the least `max_bytes`, in whole MiB, that takes records of so many bytes, if any does.
fn least_max_bytes(record_bytes: u64) -> Option<u64> {
    candidates()
        .find(|settings| settings.max_record_bytes() >= record_bytes)
        .map(|settings| settings.max_bytes())
}

fn largest_record_bytes() -> u64 {
    candidates()
        .next_back()
        .map_or(0, |settings| settings.max_record_bytes())
}

#[cfg(test)]
mod tests;
