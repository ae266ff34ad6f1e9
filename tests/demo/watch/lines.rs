//! A file of lines that grows.
//!
//! Responsible for reading each line once, as soon as it is whole. Refuses to give half a line; it waits for the rest.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

/// How far a file has been read.
#[derive(Debug)]
pub(super) struct GrowingFile {
    path: PathBuf,
    read_bytes: u64,
}

impl GrowingFile {
    /// Names a file, which need not be there yet.
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            read_bytes: 0,
        }
    }

    /// The lines that were completed since the last call, without line ends.
    pub(super) fn lines(&mut self) -> io::Result<Vec<Vec<u8>>> {
        let mut file = match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            opened => opened?,
        };
        file.seek(SeekFrom::Start(self.read_bytes))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let whole = bytes
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |end| end + 1);
        self.read_bytes += whole as u64;
        let lines = bytes[..whole].split_inclusive(|byte| *byte == b'\n');
        Ok(lines.map(|line| line[..line.len() - 1].to_vec()).collect())
    }

    /// Number of whole lines in the file, and one more if there is half a line behind them.
    pub(super) fn count(&self) -> io::Result<u64> {
        match std::fs::read(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            read => {
                let bytes = read?;
                let ends = bytes.iter().filter(|byte| **byte == b'\n').count();
                let half = bytes.last().is_some_and(|last| *last != b'\n');
                Ok(ends as u64 + u64::from(half))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_line_is_given_once_and_only_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("records.jsonl");
        let mut growing = GrowingFile::new(&path);
        assert!(growing.lines().unwrap().is_empty() && growing.count().unwrap() == 0);
        let mut file = File::create(&path).unwrap();
        file.write_all(b"one\ntw").unwrap();
        assert_eq!(growing.lines().unwrap(), [b"one"]);
        assert_eq!(growing.count().unwrap(), 2, "half a line is missed in the end");
        file.write_all(b"o\nthree\n").unwrap();
        assert_eq!(growing.lines().unwrap(), [&b"two"[..], b"three"]);
        assert!(growing.lines().unwrap().is_empty());
    }
}
