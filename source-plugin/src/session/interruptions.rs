//! The gaps that are open right now, and their records.
//!
//! Refuses a gap before the first subscription (nobody was promised anything yet) and a second gap of the same kind
//! while one is open. Every gap that is opened is closed by exactly one record, unless the source ends first.

use std::sync::Arc;

use super::status::Status;
use crate::admission::Admission;
use crate::gap::{Cause, Detail, Edge, Gap, LossKind, Origin};

/// See the module documentation.
#[derive(Debug)]
pub(crate) struct Interruptions {
    origin: Origin,
    status: Arc<Status>,
    /// Not listening.
    absence: Option<Gap>,
    /// Listening, but dropping.
    dropping: Option<Gap>,
}

impl Interruptions {
    pub(crate) fn new(origin: Origin, status: Arc<Status>) -> Self {
        Self {
            origin,
            status,
            absence: None,
            dropping: None,
        }
    }

    /// Notes that nobody listens since `from_us`.
    pub(crate) fn absent(
        &mut self,
        admission: &mut Admission,
        cause: Cause,
        detail: Detail,
        from_us: i64,
        now_us: i64,
    ) {
        self.accepted(admission, now_us);
        if self.absence.is_none() {
            tracing::debug!(cause = cause.name(), from_us, "gap opened");
            self.absence = Some(self.open(admission, Gap::new(cause, detail, from_us, now_us), now_us));
        }
    }

    /// Notes that somebody listens again.
    pub(crate) fn listening(&mut self, admission: &mut Admission, now_us: i64) {
        if let Some(gap) = self.absence.take() {
            self.close(admission, &gap, now_us);
        }
    }

    /// Notes a dropped frame; everything sent before `from_us` had been accepted.
    pub(crate) fn dropped(&mut self, admission: &mut Admission, from_us: i64, now_us: i64) {
        let mut gap = self.dropping.take().unwrap_or_else(|| {
            let detail = Detail::new(LossKind::Local, Some("queue full"));
            self.open(
                admission,
                Gap::new(Cause::Dropped, detail, from_us, now_us),
                now_us,
            )
        });
        gap.frames_dropped += 1;
        self.dropping = Some(gap);
    }

    /// Notes that a record was accepted, which ends a run of drops.
    pub(crate) fn accepted(&mut self, admission: &mut Admission, now_us: i64) {
        if let Some(gap) = self.dropping.take() {
            self.close(admission, &gap, now_us);
        }
    }

    fn open(&self, admission: &mut Admission, gap: Gap, now_us: i64) -> Gap {
        self.append(admission, &gap, Edge::Opened, now_us);
        self.status.update(|figures| {
            figures.gaps_total += 1;
            figures.gaps_open += 1;
        });
        gap
    }

    fn close(&self, admission: &mut Admission, gap: &Gap, now_us: i64) {
        self.append(admission, gap, Edge::Closed { to_us: now_us }, now_us);
        self.status.update(|figures| figures.gaps_open -= 1);
    }

    fn append(&self, admission: &mut Admission, gap: &Gap, edge: Edge, now_us: i64) {
        admission.append_control(
            edge.control_type(),
            |out| gap.write(edge, &self.origin, out),
            now_us,
        );
    }
}
