//! The gaps that are open right now, and their records.
//!
//! Refuses a gap before the first subscription (nobody was promised anything yet) and a second gap of the same kind, or
//! of the same part of the topics, while one is open. Every gap that is opened is closed by exactly one record, unless the source ends first; where a
//! spool keeps the gaps, that holds over the deaths of processes, too.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::status::Status;
use crate::admission::Admission;
use crate::gap::{Cause, Closed, Detail, Edge, Gap, LossKind, Origin};

/// What a gap of some topics is about; at most one is open for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    /// The topics of the listener of this number: it does not listen.
    Listener(usize),
    /// Those of its topics that Genesys Cloud rejects.
    Rejected(usize),
    /// What an earlier process left.
    Found(usize),
}

/// See the module documentation.
#[derive(Debug)]
pub(crate) struct Interruptions {
    origin: Origin,
    status: Arc<Status>,
    /// Not listening.
    absence: Option<Gap>,
    /// Not listening to some topics.
    parts: BTreeMap<Part, Gap>,
    /// Listening, but dropping.
    dropping: Option<Gap>,
    /// Closed, and the closing record may not be in the log yet.
    closed: Vec<Gap>,
    /// What is open differs from what [`Interruptions::saved`] gave last.
    has_changed: bool,
}

impl Interruptions {
    pub(crate) fn new(origin: Origin, status: Arc<Status>) -> Self {
        Self {
            origin,
            status,
            absence: None,
            parts: BTreeMap::new(),
            dropping: None,
            closed: Vec::new(),
            has_changed: false,
        }
    }

    /// Takes over a gap that an earlier process left in the marks; a record of it that is not in the log, whose last
    /// record was `last_sequence`, is written.
    pub(crate) fn take_over(
        &mut self,
        admission: &mut Admission,
        mut gap: Gap,
        last_sequence: u64,
        now_us: i64,
    ) {
        if gap.opened_at > last_sequence {
            gap.opened_at = admission.next_sequence();
            self.append(admission, &gap, Edge::Opened, now_us);
        }
        self.has_changed = true;
        match gap.closed {
            // Only the mark that forgets it is not in the log.
            Some(closed) if closed.at <= last_sequence => {}
            Some(closed) => {
                self.status.update(|figures| figures.gaps_open += 1);
                self.close(admission, gap, closed.to_us);
            }
            None => {
                self.status.update(|figures| figures.gaps_open += 1);
                if gap.is_partial {
                    self.parts.insert(Part::Found(self.parts.len()), gap);
                } else {
                    self.absence = Some(gap);
                }
            }
        }
    }

    /// Says whether nobody listens.
    pub(crate) fn is_absent(&self) -> bool {
        self.absence.is_some()
    }

    /// Names what the source listens to from now on.
    pub(crate) fn set_topics(&mut self, topics: Vec<String>) {
        self.origin.topics = topics;
    }

    /// Returns what every gap record of the source shares.
    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Returns the gaps that are open, and those whose closing record is on its way, as the spool keeps them.
    fn unfinished(&self) -> Vec<Vec<u8>> {
        self.absence
            .iter()
            .chain(self.parts.values())
            .chain(&self.dropping)
            .chain(&self.closed)
            .map(Gap::to_saved)
            .collect()
    }

    /// Returns the gaps that have a record to come, if they are not those of the last call.
    pub(crate) fn saved(&mut self) -> Option<Vec<Vec<u8>>> {
        std::mem::take(&mut self.has_changed).then(|| self.unfinished())
    }

    /// Forgets what is closed, since the closing records are where they belong; returns the gaps that are left if that
    /// changes anything.
    pub(crate) fn forget_closed(&mut self) -> Option<Vec<Vec<u8>>> {
        if self.closed.is_empty() {
            return None;
        }
        self.closed.clear();
        Some(self.unfinished())
    }

    /// Makes the next [`Interruptions::saved`] give what is open, since it could not be written.
    pub(crate) fn save_again(&mut self) {
        self.has_changed = true;
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
            let gap = self.open(admission, Gap::new(cause, detail, from_us, now_us), now_us);
            self.absence = Some(gap);
        }
    }

    /// Notes that somebody listens again, to everything.
    pub(crate) fn listening(&mut self, admission: &mut Admission, now_us: i64) {
        if let Some(gap) = self.absence.take() {
            self.close(admission, gap, now_us);
        }
        while let Some(entry) = self.parts.last_entry() {
            match entry.key() {
                Part::Found(_) => {
                    let gap = entry.remove();
                    self.close(admission, gap, now_us);
                }
                // They stand before those that were found, and end by themselves.
                Part::Listener(_) | Part::Rejected(_) => break,
            }
        }
    }

    /// Notes that `topics` are not listened to since `from_us`.
    #[expect(
        clippy::too_many_arguments,
        reason = "what a gap is made of, each of its own type"
    )]
    pub(crate) fn partly_absent(
        &mut self,
        admission: &mut Admission,
        part: Part,
        topics: Arc<[String]>,
        cause: Cause,
        detail: Detail,
        from_us: i64,
        now_us: i64,
    ) {
        self.accepted(admission, now_us);
        if !self.parts.contains_key(&part) {
            tracing::debug!(cause = cause.name(), from_us, "gap of some topics opened");
            let gap = Gap::new(cause, detail, from_us, now_us).of_topics(topics);
            let gap = self.open(admission, gap, now_us);
            self.parts.insert(part, gap);
        }
    }

    /// Notes that what a part is about is listened to again.
    pub(crate) fn partly_listening(&mut self, admission: &mut Admission, part: Part, now_us: i64) {
        if let Some(gap) = self.parts.remove(&part) {
            self.close(admission, gap, now_us);
        }
    }

    /// Ends every gap of some topics, since one of all of them begins.
    pub(crate) fn end_parts(&mut self, admission: &mut Admission, now_us: i64) {
        for gap in std::mem::take(&mut self.parts).into_values() {
            self.close(admission, gap, now_us);
        }
    }

    /// Notes a dropped frame; everything sent before `from_us` had been accepted.
    pub(crate) fn dropped(&mut self, admission: &mut Admission, from_us: i64, now_us: i64) {
        let mut gap = match self.dropping.take() {
            Some(gap) => gap,
            None => {
                let detail = Detail::new(LossKind::Local, Some("queue full"));
                let gap = Gap::new(Cause::Dropped, detail, from_us, now_us);
                self.open(admission, gap, now_us)
            }
        };
        gap.frames_dropped += 1;
        self.dropping = Some(gap);
    }

    /// Notes that a record was accepted, which ends a run of drops.
    pub(crate) fn accepted(&mut self, admission: &mut Admission, now_us: i64) {
        if let Some(gap) = self.dropping.take() {
            self.close(admission, gap, now_us);
        }
    }

    fn open(&mut self, admission: &mut Admission, mut gap: Gap, now_us: i64) -> Gap {
        gap.opened_at = admission.next_sequence();
        self.has_changed = true;
        self.append(admission, &gap, Edge::Opened, now_us);
        self.status.update(|figures| {
            figures.gaps_total += 1;
            figures.gaps_open += 1;
        });
        gap
    }

    fn close(&mut self, admission: &mut Admission, mut gap: Gap, to_us: i64) {
        let at = admission.next_sequence();
        gap.closed = Some(Closed { at, to_us });
        self.has_changed = true;
        self.append(admission, &gap, Edge::Closed { to_us }, to_us);
        self.status.update(|figures| figures.gaps_open -= 1);
        self.closed.push(gap);
    }

    fn append(&self, admission: &mut Admission, gap: &Gap, edge: Edge, now_us: i64) {
        admission.append_control(
            edge.control_type(),
            |out| gap.write(edge, &self.origin, out),
            now_us,
        );
    }
}
