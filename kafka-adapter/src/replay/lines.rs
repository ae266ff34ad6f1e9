//! Dead letters in files: those of `dead_letter.path`, and what was printed.
//!
//! Responsible for lines and their numbers. Refuses lines beyond any bound. Invariant: a file is read once, in order.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

use super::{Error, Visit};

/// Longest line that is read, in bytes.
///
/// # Source
/// Chosen: sixteen times the default of the plugin's `max_frame_bytes`, of whose bytes each takes at most six in a line.
pub(super) const MAX_LINE_BYTES: u64 = 64 << 20;

/// Hands each line that is not empty to `visit`, with its place; `-` is standard input.
///
/// # Errors
/// [`Error::File`], [`Error::TooLong`], and those of `visit`.
pub(super) fn read(paths: &[PathBuf], visit: Visit<'_>) -> Result<(), Error> {
    for path in paths {
        let name = path.display().to_string();
        let failed = |error| Error::File {
            path: name.clone(),
            error,
        };
        let mut input: Box<dyn BufRead> = if path == Path::new("-") {
            Box::new(io::stdin().lock())
        } else {
            Box::new(BufReader::new(File::open(path).map_err(failed)?))
        };
        let (mut text, mut line) = (Vec::new(), 0);
        loop {
            text.clear();
            line += 1;
            let mut bounded = (&mut input).take(MAX_LINE_BYTES + 1);
            let read = bounded.read_until(b'\n', &mut text).map_err(failed)?;
            if read as u64 > MAX_LINE_BYTES {
                return Err(Error::TooLong { path: name, line });
            }
            if read == 0 {
                break;
            }
            if !text.trim_ascii().is_empty() {
                visit(&format!("{name}:{line}"), &text)?;
            }
        }
    }
    Ok(())
}
