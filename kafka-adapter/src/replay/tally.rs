//! What could not be replayed, told at once, a line each.
//!
//! Responsible for the lines and their count. Refuses to keep them. Invariant: a closed output ends nothing.

use std::fmt::Display;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

use crate::host::printable;

/// Tells and counts.
pub struct Tally(Mutex<(Box<dyn Write + Send>, u64)>);

impl std::fmt::Debug for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Tally").field(&self.count()).finish()
    }
}

impl Tally {
    /// Writes to `out`, usually standard error: standard output may carry records.
    #[must_use]
    pub fn new(out: Box<dyn Write + Send>) -> Self {
        Self(Mutex::new((out, 0)))
    }

    /// Tells one: `what` is an id, or the place of what has none.
    pub fn tell(&self, what: &str, reason: impl Display) {
        let mut tally = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tally.1 += 1;
        let reason = printable(&reason.to_string());
        writeln!(tally.0, "not replayed: {}: {reason}", printable(what)).ok();
    }

    /// How many have been told.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1
    }
}
