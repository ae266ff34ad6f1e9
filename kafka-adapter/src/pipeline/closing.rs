//! The end of a run: no further record, then no further audit.
//!
//! Responsible for what may still be sent, and for telling when nothing can come of waiting. Refuses an audit record
//! after `run_closed`. Invariant: a run goes through its stages in one direction.

use std::collections::VecDeque;

use crate::audit::{Counts, Status as AuditStatus};
use crate::sink::Sink;

use super::feed::Batch;
use super::window::{Entry, Leg, Status};
use super::{Mode, Pipeline};

/// What may still be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Everything.
    Open,
    /// The audits of what has landed or still lands, and no record.
    Settling,
    /// What is in the audit chain already: its last record has been written.
    Closed,
}

impl<B: Batch, S: Sink> Pipeline<B, S> {
    /// Sends no further record from now on, only the audits of those that have landed or are still with the sink.
    ///
    /// A replay ends here: it would wait for records that are not sent any more, and hold up the audits of others.
    pub fn stop_sending(&mut self) {
        self.stage = Stage::Settling;
        if self.transactions.is_some() {
            // what is open is finished or aborted whole, and nothing more is begun
            return;
        }
        let mut failed = std::mem::take(&mut self.failed);
        if let Mode::Isolate(isolation) = std::mem::replace(&mut self.mode, Mode::Flow) {
            failed.extend(isolation.into_numbers());
        }
        failed.sort_unstable();
        for number in failed {
            if let Some(entry) = self.window.entry_mut(number)
                && entry.leg == Leg::Audit
                && matches!(entry.status, Status::Held(_))
            {
                entry.status = Status::Ready;
                self.ready.push_back(number);
            }
        }
    }

    /// Says whether all that may be sent has been handed to the sink.
    #[must_use]
    pub fn has_sent_all(&self) -> bool {
        self.ready.is_empty()
            && self.stalled.iter().all(VecDeque::is_empty)
            && matches!(self.mode, Mode::Flow)
    }

    /// Says whether something is with an outlet that can still acknowledge it.
    #[must_use]
    pub fn awaits_an_open_outlet(&self) -> bool {
        let awaits = |entry: &Entry<B>| entry.status == Status::Sent && self.sink.is_open(entry.leg_route());
        self.window.iter().any(awaits)
    }

    /// Ends the audit chain with `run_closed`: what lands from now on stays without an audit, and so unresolved.
    ///
    /// # Units
    /// `wall_us`: microseconds since 1970 UTC.
    pub fn close(&mut self, totals: Counts, wall_us: i64) {
        self.stage = Stage::Closed;
        self.note(AuditStatus::RunClosed, Some(totals), wall_us);
    }
}
