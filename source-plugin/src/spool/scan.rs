//! Walking over the entries of a segment, from one checked entry to the next.
//!
//! Responsible for reading in large steps with a buffer of its own. Refuses to guess: where an entry does not check
//! out the walk ends. Invariant: [`Scanner::offset`] stands behind the last entry that was returned.

use std::io;

use super::entry::{ALIGN_BYTES, Entry, HEAD_BYTES};
use super::storage::{StorageFile, read_full_at};

/// How much is read at once, in bytes.
///
/// # Source
/// Twice the usual read-ahead of Linux (128 KiB); larger steps were not faster in the page cache.
const STEP_BYTES: usize = 256 << 10;

/// See the module.
#[derive(Debug)]
pub(super) struct Scanner<'f> {
    file: &'f dyn StorageFile,
    seed: u32,
    offset: u64,
    limit: u64,
    buffer: Vec<u8>,
    buffer_start: u64,
    step_bytes: usize,
}

impl<'f> Scanner<'f> {
    /// Begins at `offset`, where an entry must begin; never looks behind `limit`.
    pub(super) fn new(file: &'f dyn StorageFile, seed: u32, offset: u64, limit: u64) -> Self {
        Self {
            file,
            seed,
            offset,
            limit,
            buffer: Vec::new(),
            buffer_start: 0,
            step_bytes: STEP_BYTES,
        }
    }

    /// Reads in smaller steps, for a walk that ends after about so many bytes.
    pub(super) fn with_step(mut self, bytes: usize) -> Self {
        self.step_bytes = bytes.clamp(4096, STEP_BYTES);
        self
    }

    /// Returns the place behind the last entry.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Returns the next entry with its offset; `None` where there is none, and then always.
    pub(super) fn next(&mut self) -> io::Result<Option<(u64, Entry<'_>)>> {
        let at = self.offset;
        let head = self.read(HEAD_BYTES)?;
        let Some(total) = Entry::claimed_bytes(head) else {
            return Ok(None);
        };
        if total > self.limit - at {
            return Ok(None);
        }
        // `total` is at most a segment.
        let (seed, total) = (self.seed, total as usize);
        if self.read(total)?.len() < total {
            return Ok(None);
        }
        let start = (at - self.buffer_start) as usize;
        let entry = Entry::read(seed, at, &self.buffer[start..start + total]);
        if entry.is_some() {
            self.offset = at + total as u64;
        }
        Ok(entry.map(|entry| (at, entry)))
    }

    /// Returns `count` bytes at the offset, fewer if the limit or the file ends before.
    fn read(&mut self, count: usize) -> io::Result<&[u8]> {
        let left = self.limit.saturating_sub(self.offset);
        let count = count.min(usize::try_from(left).unwrap_or(usize::MAX));
        let behind = self.buffer_start + self.buffer.len() as u64;
        let held = self.offset >= self.buffer_start && self.offset + count as u64 <= behind;
        if !held {
            let step = count
                .max(self.step_bytes)
                .min(usize::try_from(left).unwrap_or(usize::MAX));
            self.buffer.resize(step, 0);
            let read = read_full_at(self.file, &mut self.buffer, self.offset)?;
            self.buffer.truncate(read);
            self.buffer_start = self.offset;
            if read < count {
                // The end of the file, or a place that cannot be read: asking there tells.
                read_full_at(self.file, &mut [0], self.offset + read as u64)?;
            }
        }
        let start = (self.offset - self.buffer_start) as usize;
        let end = (start + count).min(self.buffer.len());
        Ok(self.buffer.get(start..end).unwrap_or_default())
    }
}

/// What stands behind the last entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Remainder {
    /// Where the bytes that are not zero end.
    pub(super) end: u64,
    /// Whether there is an entry among them.
    pub(super) has_entry: bool,
}

/// Looks at everything from `offset`, where no entry is, to `limit`; `None` if it is all zeros.
///
/// Entries are looked for at each place where one could begin: their checksum covers the place, so that nothing is
/// taken for one by chance or because it once was one elsewhere.
pub(super) fn remainder(
    file: &dyn StorageFile,
    seed: u32,
    offset: u64,
    limit: u64,
) -> io::Result<Option<Remainder>> {
    let mut bytes = vec![0; usize::try_from(limit.saturating_sub(offset)).unwrap_or(0)];
    let read = read_full_at(file, &mut bytes, offset)?;
    bytes.truncate(read);
    let Some(last) = bytes.iter().rposition(|byte| *byte != 0) else {
        return Ok(None);
    };
    let has_entry = (ALIGN_BYTES..bytes.len()).step_by(ALIGN_BYTES).any(|at| {
        let rest = &bytes[at..];
        let whole = rest
            .get(..HEAD_BYTES)
            .and_then(Entry::claimed_bytes)
            .and_then(|total| rest.get(..usize::try_from(total).ok()?));
        whole.is_some_and(|whole| Entry::read(seed, offset + at as u64, whole).is_some())
    });
    Ok(Some(Remainder {
        end: offset + last as u64 + 1,
        has_entry,
    }))
}
