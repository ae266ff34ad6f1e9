//! Setting a file aside: its new name, and how many of those are kept.
//!
//! Responsible for names that sort in the order in which files were set aside, over restarts and clocks that are set
//! back: `<file>.<time in UTC>-<number>`, such as `audit.jsonl.20261124T101500Z-000001`. Refuses to overwrite anything,
//! and to delete what it did not name. Invariant: no line is lost or moved by it; where a file cannot be set aside it goes
//! on growing.
//!
//! The new name is taken by an empty file first, which only one process can make, and the full one is renamed over it. A
//! crash between the two leaves an empty file, one after them leaves a folder in which the next opening makes the file.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use crate::text::push_time;

/// Digits of the number behind the time.
const NUMBER_DIGITS: usize = 6;
/// Length of the time, `20261124T101500Z`, in bytes.
const TIME_BYTES: usize = 16;
/// Part of the limit by which a file that cannot be set aside grows before that is tried again.
const RETRY_PART: u64 = 8;

/// When a file is set aside, and what is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// Size beyond which the file is not to grow, in bytes; a line that is longer has a file of its own.
    pub max_bytes: u64,
    /// Files set aside that are kept, the youngest ones; 0 keeps all.
    pub keep_files: usize,
}

/// A rotation at work.
#[derive(Debug)]
pub(super) struct Rotator {
    rotation: Rotation,
    /// The size beyond which the file is set aside; more than `max_bytes` after that has failed.
    limit_bytes: u64,
    failing: bool,
}

impl Rotator {
    pub(super) fn new(rotation: Rotation) -> Self {
        Self {
            rotation,
            limit_bytes: rotation.max_bytes,
            failing: false,
        }
    }

    /// Says whether a file of this length has room for so many bytes more.
    pub(super) fn has_room(&self, length_bytes: u64, more_bytes: u64) -> bool {
        length_bytes.saturating_add(more_bytes) <= self.limit_bytes
    }

    /// Begins anew with a file that someone else has put, or made room for, in the place of the last one.
    pub(super) fn begin_anew(&mut self) {
        self.limit_bytes = self.rotation.max_bytes;
    }

    /// Gives a file of this length its new name and says whether that was done. The caller opens a new one, which syncs
    /// the folder too.
    ///
    /// # Units
    /// `time_us`: microseconds since 1970 UTC.
    pub(super) fn rotate(&mut self, path: &Path, time_us: i64, length_bytes: u64) -> bool {
        match set_aside(path, time_us) {
            Ok(to) => {
                self.begin_anew();
                self.failing = false;
                tracing::info!(path = %path.display(), to = %to.display(), "file set aside, a new one is begun");
                true
            }
            Err(error) => {
                self.limit_bytes = length_bytes.saturating_add(self.rotation.max_bytes / RETRY_PART);
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::warn!(
                        path = %path.display(), %error,
                        "file cannot be set aside, it goes on growing and that is tried again"
                    );
                }
                false
            }
        }
    }

    /// Deletes the oldest files that were set aside beyond those that are to be kept.
    pub(super) fn prune(&self, path: &Path) {
        if self.rotation.keep_files == 0 {
            return;
        }
        let deleted = names(path).and_then(|names| {
            let surplus = names.len().saturating_sub(self.rotation.keep_files);
            let folder = folder(path)?;
            for name in &names[..surplus] {
                fs::remove_file(folder.join(name))?;
                tracing::info!(
                    file = name,
                    keep_files = self.rotation.keep_files,
                    "old file deleted"
                );
            }
            Ok(())
        });
        if let Err(error) = deleted {
            tracing::warn!(path = %path.display(), %error, "old files cannot be deleted");
        }
    }
}

/// The folder that a file really is in, and so are those that were set aside.
pub(super) fn folder(path: &Path) -> io::Result<PathBuf> {
    let mut folder = fs::canonicalize(path)?;
    folder.pop();
    Ok(folder)
}

/// Gives a file the name behind all that are taken and returns it.
pub(super) fn set_aside(path: &Path, time_us: i64) -> io::Result<PathBuf> {
    let to = reserve(path, time_us)?;
    if let Err(error) = fs::rename(fs::canonicalize(path)?, &to) {
        fs::remove_file(&to).ok();
        return Err(error);
    }
    Ok(to)
}

/// Takes the next name with an empty file.
pub(super) fn reserve(path: &Path, time_us: i64) -> io::Result<PathBuf> {
    let path = fs::canonicalize(path)?;
    let latest = latest(&path)?;
    let suffix = next_suffix(latest.as_deref(), time_us)
        .ok_or_else(|| io::Error::other("no name is left that would sort behind the last one"))?;
    let mut to = path.into_os_string();
    to.push(".");
    to.push(suffix);
    let to = PathBuf::from(to);
    OpenOptions::new().write(true).create_new(true).open(&to)?;
    Ok(to)
}

/// The names of the files that were set aside, in that order.
fn names(path: &Path) -> io::Result<Vec<String>> {
    let mut names: Vec<String> = entries(path)?
        .into_iter()
        .filter(|(_, rest)| rest.len() == TIME_BYTES + 1 + NUMBER_DIGITS)
        .map(|(name, _)| name)
        .collect();
    names.sort_unstable();
    Ok(names)
}

/// The last of the suffixes that are taken, also by files that were packed since: `….gz`.
fn latest(path: &Path) -> io::Result<Option<String>> {
    let suffixes = entries(path)?.into_iter().filter_map(|(_, rest)| {
        let (suffix, behind) = rest.split_at_checked(TIME_BYTES + 1 + NUMBER_DIGITS)?;
        (behind.is_empty() || behind.starts_with('.')).then(|| suffix.to_owned())
    });
    Ok(suffixes.max())
}

/// The files beside this one that are named after it and a time: name, and what stands behind the point.
fn entries(path: &Path) -> io::Result<Vec<(String, String)>> {
    let stem = fs::canonicalize(path)?;
    let stem = stem
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder(path)?)? {
        let Ok(name) = entry?.file_name().into_string() else {
            continue;
        };
        let rest = name
            .strip_prefix(&stem)
            .and_then(|rest| rest.strip_prefix('.'))
            .filter(|rest| is_suffix(rest))
            .map(str::to_owned);
        entries.extend(rest.map(|rest| (name, rest)));
    }
    Ok(entries)
}

/// Says whether a text begins as `20261124T101500Z-000001`.
fn is_suffix(text: &str) -> bool {
    const SHAPE: &[u8] = b"00000000T000000Z-000000";
    let bytes = text.as_bytes();
    bytes.len() >= SHAPE.len()
        && SHAPE.iter().zip(bytes).all(|(shape, byte)| match shape {
            b'0' => byte.is_ascii_digit(),
            other => byte == other,
        })
}

/// The suffix of the next file: its time, unless the latest one is as late or later.
fn next_suffix(latest: Option<&str>, time_us: i64) -> Option<String> {
    let mut time = Vec::new();
    push_time(&mut time, time_us);
    // 2026-11-24T10:15:00.000Z
    let time = String::from_utf8_lossy(&time).replace(['-', ':'], "");
    let time = format!("{}Z", time.split('.').next().unwrap_or_default());
    let (latest_time, number) = latest
        .and_then(|latest| latest.split_once('-'))
        .unwrap_or_default();
    if *time > *latest_time {
        return Some(format!("{time}-{:0NUMBER_DIGITS$}", 1));
    }
    let next = number.parse::<u32>().ok()? + 1;
    let next = format!("{next:0NUMBER_DIGITS$}");
    (next.len() == NUMBER_DIGITS).then(|| format!("{latest_time}-{next}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-24T10:15:00Z.
    const TIME_US: i64 = 1_795_515_300_000_000;

    #[test]
    fn each_name_sorts_behind_the_one_before_it_whatever_the_clock_says() {
        let first = next_suffix(None, TIME_US).unwrap();
        assert_eq!(first, "20261124T101500Z-000001");
        let within_a_second = next_suffix(Some(&first), TIME_US + 999_999).unwrap();
        assert_eq!(within_a_second, "20261124T101500Z-000002");
        let clock_set_back = next_suffix(Some(&within_a_second), TIME_US - 3_600_000_000).unwrap();
        assert_eq!(clock_set_back, "20261124T101500Z-000003");
        let later = next_suffix(Some(&clock_set_back), TIME_US + 1_000_000).unwrap();
        assert_eq!(later, "20261124T101501Z-000001");
        assert_eq!(next_suffix(Some("20261124T101500Z-999999"), TIME_US), None);
    }

    #[test]
    fn only_what_was_named_here_counts_and_what_was_packed_since_keeps_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        for name in [
            "a.jsonl",
            "a.jsonl.1",
            "a.jsonl.20261124T101500Z-000002",
            "a.jsonl.20261124T101500Z-000001",
            "a.jsonl.20261124T101500Z-000003.gz",
            "a.jsonl.20261124T101500Z-0000045",
            "a.jsonl.20261124T101500Z-00000x",
            "b.jsonl.20261124T101500Z-000009",
            "a.jsonl.20261124T101500Z",
        ] {
            fs::write(folder.path().join(name), name).unwrap();
        }
        assert_eq!(
            names(&path).unwrap(),
            [
                "a.jsonl.20261124T101500Z-000001",
                "a.jsonl.20261124T101500Z-000002"
            ]
        );
        assert_eq!(latest(&path).unwrap().as_deref(), Some("20261124T101500Z-000003"));
        let to = set_aside(&path, TIME_US).unwrap();
        assert!(
            to.ends_with("a.jsonl.20261124T101500Z-000004"),
            "{}",
            to.display()
        );
        assert_eq!(fs::read_to_string(to).unwrap(), "a.jsonl");
        assert!(!path.exists());
    }

    #[test]
    fn a_file_that_cannot_be_renamed_leaves_no_empty_one_behind() {
        let folder = tempfile::tempdir().unwrap();
        // a folder cannot be renamed over a file
        let path = folder.path().join("a.jsonl");
        fs::create_dir(&path).unwrap();
        set_aside(&path, TIME_US).unwrap_err();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
