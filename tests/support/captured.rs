//! What a child process prints, line by line, up to a bound.
//!
//! Invariant: what falls out of the bound is counted, never silently missing.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// Kept of each stream, in bytes: some 200,000 normalized events.
const KEPT_BYTES: usize = 128 << 20;
/// Longest line, in bytes; what is longer is kept as several lines. A 4 MiB frame escaped sixfold still fits.
const LINE_BYTES: u64 = 32 << 20;

/// What a stream has brought so far.
#[derive(Debug, Default)]
pub(crate) struct Captured {
    lines: VecDeque<String>,
    bytes: usize,
    evicted: usize,
}

impl Captured {
    /// The lines that are still kept.
    pub(crate) fn lines(&self) -> impl ExactSizeIterator<Item = &String> + DoubleEndedIterator {
        self.lines.iter()
    }

    /// Number of lines that fell out of the bound.
    pub(crate) fn evicted(&self) -> usize {
        self.evicted
    }

    /// Lines that have come so far.
    pub(crate) fn total(&self) -> usize {
        self.evicted + self.lines.len()
    }

    fn push(&mut self, line: String) {
        self.bytes += line.len();
        self.lines.push_back(line);
        while self.bytes > KEPT_BYTES
            && let Some(oldest) = self.lines.pop_front()
        {
            self.bytes -= oldest.len();
            self.evicted += 1;
        }
    }

    /// Looks at the lines from number `seen` on and moves it behind them.
    pub(crate) fn find(&self, seen: &mut usize, text: &str) -> Option<String> {
        let skipped = seen.saturating_sub(self.evicted);
        *seen = self.total();
        self.lines
            .iter()
            .skip(skipped)
            .find(|line| line.contains(text))
            .cloned()
    }
}

/// Reads a stream to its end on a thread of its own.
pub(crate) fn capture(stream: impl Read + Send + 'static) -> (Arc<Mutex<Captured>>, JoinHandle<()>) {
    let captured = Arc::new(Mutex::new(Captured::default()));
    let sink = Arc::clone(&captured);
    let reader = std::thread::spawn(move || {
        let mut stream = BufReader::new(stream);
        let mut line = Vec::new();
        while let Ok(1..) = stream.by_ref().take(LINE_BYTES).read_until(b'\n', &mut line) {
            let end = line.strip_suffix(b"\n").unwrap_or(&line);
            let text = String::from_utf8_lossy(end).into_owned();
            sink.lock().unwrap_or_else(PoisonError::into_inner).push(text);
            line.clear();
        }
    });
    (captured, reader)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_beyond_the_bound_is_counted() {
        let mut captured = Captured::default();
        for number in 0..3 {
            captured.push(format!("{number}{}", " ".repeat(KEPT_BYTES / 2)));
        }
        assert_eq!(
            (captured.evicted, captured.lines.len(), captured.total()),
            (2, 1, 3)
        );
        let mut seen = 0;
        assert!(captured.find(&mut seen, "2 ").is_some());
        assert_eq!(seen, 3);
        assert!(captured.find(&mut seen, "2 ").is_none());
    }
}
