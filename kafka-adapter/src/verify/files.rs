//! Audit records in files: those of `audit.path`, rotated ones among them, and what was printed.
//!
//! Responsible for lines and their numbers. Refuses lines beyond any bound. Invariant: a file is read once, in order.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

use super::place::StreamName;
use super::{Error, MAX_TEXT_BYTES, Report, Stream, judge};

/// Verifies files; `-` is standard input. With `partial`, a run may begin with any number.
///
/// # Errors
/// [`Error::File`] and [`Error::TooLong`].
pub fn files(paths: &[PathBuf], partial: bool) -> Result<Report, Error> {
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
    judge(streams, partial)
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
