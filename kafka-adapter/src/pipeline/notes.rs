//! Audit records about the run itself.
//!
//! Responsible for adding them and for saying how far they are. Refuses nothing. Invariant: they are delivered like those
//! of records, and have their place in the same chain.

use crate::audit::{Counts, Facts, Status as AuditStatus};
use crate::sink::Sink;

use super::Pipeline;
use super::feed::Batch;
use super::window::{Entry, Origin, Status};

impl<B: Batch, S: Sink> Pipeline<B, S> {
    /// Adds an audit record about the run itself and returns its number; it is delivered like any other.
    ///
    /// # Units
    /// `wall_us`: microseconds since 1970 UTC.
    pub fn note(&mut self, status: AuditStatus, counts: Option<Counts>, wall_us: i64) -> u64 {
        let mut audit = self.spare.pop().unwrap_or_default();
        audit.clear();
        let origin = if self.transactions.is_some() {
            // its place in the chain is that in its transaction
            Origin::Run(Some(Box::new((status, counts))))
        } else {
            self.chain
                .append(&Facts::of_run(status, counts), wall_us, &mut audit);
            Origin::Run(None)
        };
        self.window.push(Entry {
            origin,
            audit,
            audit_time_us: wall_us,
            received_time_us: wall_us,
            ..Entry::new()
        })
    }

    /// Says whether the entry of this number is resolved.
    #[must_use]
    pub fn is_resolved(&self, number: u64) -> bool {
        number < self.window.end()
            && self
                .window
                .entry(number)
                .is_none_or(|entry| entry.status == Status::Resolved)
    }

    /// Number of audit records written into the chain so far.
    #[must_use]
    pub fn audits_written(&self) -> u64 {
        self.chain.len()
    }

    /// Says whether every audit record of the chain has been acknowledged.
    #[must_use]
    pub fn is_audit_acknowledged(&self) -> bool {
        match &self.transactions {
            Some(open) => self.window.is_empty() && open.is_idle(),
            None => self.counters.audits == self.chain.len(),
        }
    }
}
