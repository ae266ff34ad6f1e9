//! The letters of a replay in one private file, each id once.
//!
//! Responsible for the file and for what is in it. Refuses to leave it behind: it has no name from the moment it is made,
//! and the plugin, which is part of this process, opens it by its descriptor. Invariant: only this user's processes of
//! this moment could read it, with rights 0600, and a letter stands in it once.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_128;

use super::text::{self, Text};
use super::{Conclusion, Error, Tally};
use crate::text::push_on_one_line;

/// See the module.
#[derive(Debug)]
pub struct Letters {
    file: BufWriter<File>,
    dir: PathBuf,
    /// Hashes of the ids: 16 bytes for each letter.
    ids: HashSet<u128>,
    repeats: u64,
    line: Vec<u8>,
}

impl Letters {
    /// Makes the file in the folder for temporary files (`TMPDIR`).
    ///
    /// # Errors
    /// [`Error::Private`].
    pub fn create() -> Result<Self, Error> {
        let dir = std::env::temp_dir();
        let path = dir.join(format!("genesys-kafka-{}", Uuid::new_v4()));
        let create = || {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)?;
            fs::remove_file(&path)?;
            Ok(file)
        };
        match create() {
            Ok(file) => Ok(Self {
                file: BufWriter::new(file),
                dir,
                ids: HashSet::new(),
                repeats: 0,
                line: Vec::new(),
            }),
            Err(error) => Err(Error::Private { dir, error }),
        }
    }

    /// Takes the letter of a text that lies at `place`, unless it is there already; what is none is told to `tally`.
    ///
    /// # Errors
    /// [`Error::Private`] if the file takes no more.
    pub(super) fn take(&mut self, place: &str, text: &[u8], tally: &Tally) -> Result<(), Error> {
        match text::read(text) {
            Text::Letter { id, json } => {
                if !self.ids.insert(xxh3_128(id.as_bytes())) {
                    self.repeats += 1;
                    return Ok(());
                }
                self.line.clear();
                push_on_one_line(&mut self.line, json);
                self.line.push(b'\n');
                let written = self.file.write_all(&self.line);
                written.map_err(|error| self.failed(error))
            }
            Text::Other => Ok(()),
            Text::Unreadable(reason) => {
                tally.tell(place, format_args!("no dead letter: {reason}"));
                Ok(())
            }
        }
    }

    /// Ends the collection: what was taken can be read from [`Letters::path`].
    ///
    /// # Errors
    /// [`Error::Private`] if the file takes no more.
    pub(super) fn finish(&mut self) -> Result<(), Error> {
        let flushed = self.file.flush();
        flushed.map_err(|error| self.failed(error))
    }

    fn failed(&self, error: std::io::Error) -> Error {
        Error::Private {
            dir: self.dir.clone(),
            error,
        }
    }

    /// The path under which this process can open the file.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.file.get_ref().as_raw_fd()))
    }

    /// Number of letters, each id once.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.ids.len() as u64
    }

    /// What is known of a replay before it begins, and what `tally` was told.
    pub(super) fn conclusion(&self, tally: &Tally) -> Conclusion {
        Conclusion {
            letters: self.count(),
            repeats: self.repeats,
            failed: tally.count(),
            ..Conclusion::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::os::unix::fs::MetadataExt as _;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn each_id_is_kept_once_in_the_order_of_its_first_letter(numbers in prop::collection::vec(0_u8..8, 0..40)) {
            let mut letters = Letters::create().unwrap();
            let tally = Tally::new(Box::new(io::sink()));
            let mut expected: Vec<String> = Vec::new();
            for number in &numbers {
                let line = format!("{{\"deadLetterId\":\"{number}\"}}");
                letters.take("f:1", line.as_bytes(), &tally).unwrap();
                if !expected.contains(&line) {
                    expected.push(line);
                }
            }
            letters.finish().unwrap();
            let kept = fs::read_to_string(letters.path()).unwrap();
            prop_assert_eq!(kept.lines().collect::<Vec<_>>(), expected.iter().map(String::as_str).collect::<Vec<_>>());
            let conclusion = letters.conclusion(&tally);
            prop_assert_eq!(
                (conclusion.letters + conclusion.repeats, conclusion.failed),
                (numbers.len() as u64, 0)
            );
        }
    }

    #[test]
    fn the_file_has_no_name_and_is_for_its_user_alone() {
        let letters = Letters::create().unwrap();
        let metadata = letters.file.get_ref().metadata().unwrap();
        assert_eq!((metadata.mode() & 0o777, metadata.nlink()), (0o600, 0));
        assert!(letters.path().is_file());
    }
}
