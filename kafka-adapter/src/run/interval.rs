//! The `interval` records of the audit, one a minute.
//!
//! Responsible for when one is due and for what it counts. Refuses a second one before the first is acknowledged: in an
//! outage the next one then covers all of it, instead of one a minute waiting in memory. Invariant: the counts of all
//! intervals together are those of the run so far.

use crate::audit::{Counts, Status as AuditStatus};
use crate::pipeline::{Feed, Pipeline};
use crate::sink::Sink;

use super::totals;

/// How often an `interval` record is written, in microseconds (one a minute: design section 5).
const INTERVAL_US: i64 = 60_000_000;

/// See the module documentation.
#[derive(Debug)]
pub(super) struct Interval {
    last_us: i64,
    last_number: Option<u64>,
    before: Counts,
}

impl Interval {
    /// Begins to count now.
    pub(super) fn new(now_us: i64) -> Self {
        Self {
            last_us: now_us,
            last_number: None,
            before: Counts::default(),
        }
    }

    /// Adds a record if one is due.
    ///
    /// # Units
    /// `now_us`: microseconds of the monotonic clock; `wall_us`: since 1970 UTC.
    pub(super) fn note<F: Feed, S: Sink>(
        &mut self,
        pipeline: &mut Pipeline<F::Batch, S>,
        feed: &F,
        now_us: i64,
        wall_us: i64,
    ) {
        let is_waiting = self
            .last_number
            .is_some_and(|number| !pipeline.is_resolved(number));
        if is_waiting || now_us - self.last_us < INTERVAL_US {
            return;
        }
        self.last_us = now_us;
        let Ok(stats) = feed.stats() else { return };
        let now = totals(&stats, pipeline);
        let number = pipeline.note(AuditStatus::Interval, Some(now.since(&self.before)), wall_us);
        self.last_number = Some(number);
        self.before = now;
    }
}
