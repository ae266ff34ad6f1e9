//! Audit records in files: those of `audit.path`, rotated ones among them, and what was printed.
//!
//! Responsible for lines and their numbers. Refuses lines beyond any bound. Invariant: a file is read once, in order.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use super::link::{self, Text};
use super::place::StreamName;
use super::{Demand, Error, MAX_TEXT_BYTES, Report, Stream, judge};
use crate::audit::{AuditKey, Hash};

/// How much of the end of a file is read for its last record, in bytes: some thirty records.
const TAIL_BYTES: u64 = 64 << 10;

/// Verifies files; `-` is standard input.
///
/// # Errors
/// [`Error::File`] and [`Error::TooLong`].
pub fn files(paths: &[PathBuf], demand: &Demand) -> Result<Report, Error> {
    let mut streams: Vec<Box<dyn Stream>> = Vec::with_capacity(paths.len());
    for path in paths {
        let name = path.display().to_string();
        let input: Box<dyn BufRead> = if path == Path::new("-") {
            Box::new(io::stdin().lock())
        } else {
            let file = File::open(path).map_err(|error| Error::File {
                path: name.clone(),
                error,
            })?;
            Box::new(BufReader::new(file))
        };
        streams.push(Box::new(Lines { name, input, line: 0 }));
    }
    judge(streams, demand)
}

/// The hash of the last audit record in a file; none where there is no file, or no whole record at its end. A record of
/// another key than `key` is taken as it is: the run before may have had another.
///
/// # Errors
/// The system's, if the file is there and cannot be read.
pub fn last_hash(path: &Path, key: Option<&AuditKey>) -> io::Result<Option<Hash>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut tail = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut tail)?;
    // a kill may have left half a line, which is no record
    let records = tail.rsplit(|byte| *byte == b'\n').filter_map(|line| {
        match link::read(line, key.map_or(&[], std::slice::from_ref)) {
            Text::Audit(link) if !link.is_altered() => Some(link.hash),
            _ => None,
        }
    });
    Ok(records.into_iter().next())
}

/// The lines of one file.
struct Lines {
    name: String,
    input: Box<dyn BufRead>,
    line: u64,
}

impl Stream for Lines {
    fn name(&self) -> StreamName {
        StreamName::File(self.name.clone())
    }

    fn next(&mut self) -> Result<Option<(u64, Vec<u8>)>, Error> {
        let mut text = Vec::new();
        loop {
            self.line += 1;
            let mut bounded = (&mut self.input).take(MAX_TEXT_BYTES + 1);
            let read = bounded
                .read_until(b'\n', &mut text)
                .map_err(|error| Error::File {
                    path: self.name.clone(),
                    error,
                })?;
            if read as u64 > MAX_TEXT_BYTES {
                return Err(Error::TooLong {
                    path: self.name.clone(),
                    line: self.line,
                });
            }
            if read == 0 {
                return Ok(None);
            }
            if !text.trim_ascii().is_empty() {
                return Ok(Some((self.line, text)));
            }
            text.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Chain, Facts, Status};

    #[test]
    fn the_last_whole_record_of_a_file_is_found_behind_whatever_a_kill_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        assert_eq!(last_hash(&path, None).unwrap(), None, "no file");
        let mut chain = Chain::new("run".to_owned(), "main".to_owned(), "tag".to_owned());
        let (mut text, mut bytes) = (Vec::new(), Vec::new());
        let mut hashes = Vec::new();
        for _ in 0..200 {
            chain.append(&Facts::of_run(Status::Interval, None), 1, &mut bytes);
            text.extend_from_slice(&bytes);
            text.push(b'\n');
            let Text::Audit(link) = link::read(&bytes, &[]) else {
                panic!("no record")
            };
            hashes.push(link.hash);
        }
        std::fs::write(&path, &text).unwrap();
        assert_eq!(last_hash(&path, None).unwrap(), hashes.last().copied());
        // half a line, and a line that someone has changed
        for end in ["{\"auditId\":\"70", "\n\n"] {
            std::fs::write(&path, [&text[..], end.as_bytes()].concat()).unwrap();
            assert_eq!(last_hash(&path, None).unwrap(), hashes.last().copied());
        }
        let cut = text.len() - bytes.len() / 2;
        std::fs::write(&path, &text[..cut]).unwrap();
        assert_eq!(last_hash(&path, None).unwrap(), hashes.get(198).copied());
        std::fs::write(&path, "no record\n").unwrap();
        assert_eq!(last_hash(&path, None).unwrap(), None);
        assert!(last_hash(folder.path(), None).is_err(), "a folder");
    }
}
