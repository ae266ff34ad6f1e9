//! The gaps that are open right now, and their records.
//!
//! Refuses a gap before the first subscription (nobody was promised anything yet) and a second gap of the same kind, or
//! of the same part of the topics, while one is open. Every gap that is opened is closed by exactly one record, unless the source ends first; where a
//! spool keeps the gaps, that holds over the deaths of processes, too. Where the history is asked, a gap that is over waits for
//! it: its closing record comes behind what the history tells.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tokio::sync::Notify;

use super::status::Status;
use crate::admission::Admission;
use crate::backfill::{self, Report};
use crate::gap::{Cause, Closed, Detail, Edge, Gap, LossKind, Origin};

/// What a gap of some topics is about; at most one is open for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    /// The topics of the listener of this number: it does not listen.
    Listener(usize),
    /// Those of its topics that Genesys Cloud rejects.
    Rejected(usize),
    /// Topics for which no channel has room.
    LeftOut,
    /// What an earlier process left.
    Found(usize),
}

/// Most gaps that wait for the history: those beyond are closed without it, so that their state stays small.
///
/// # Source
/// Chosen: a network that breaks more often in the time of one query has more to mend than its history, and the marks of a
/// spool have 64 KiB for all gaps.
const MAX_WAITING: usize = 16;

/// What becomes of a gap once it is over.
#[derive(Debug)]
pub(crate) enum History {
    /// The platform has none.
    None,
    /// It is not asked.
    Off,
    /// It is asked; the one who asks is rung.
    Asked(Arc<Notify>),
}

/// A gap that waits for the history.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// Begin and end, in microseconds since 1970 UTC.
    pub(crate) from_us: i64,
    pub(crate) to_us: i64,
    pub(crate) topics: Arc<[String]>,
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
    history: History,
    /// Over, in the order in which they are to be filled.
    waiting: VecDeque<Gap>,
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
            history: History::None,
            waiting: VecDeque::new(),
            closed: Vec::new(),
            has_changed: false,
        }
    }

    /// Says what becomes of gaps that are over, from now on.
    pub(crate) fn set_history(&mut self, history: History) {
        self.history = history;
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
        match (gap.closed, gap.over_us) {
            // Only the mark that forgets it is not in the log.
            (Some(closed), _) if closed.at <= last_sequence => {}
            (Some(closed), _) => {
                self.status.update(|figures| figures.gaps_open += 1);
                self.close(admission, gap, closed.to_us);
            }
            (None, Some(over_us)) => {
                self.status.update(|figures| figures.gaps_open += 1);
                self.close(admission, gap, over_us);
            }
            (None, None) => {
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
            .chain(&self.waiting)
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
                Part::Listener(_) | Part::Rejected(_) | Part::LeftOut => break,
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

    /// Ends a gap: with its closing record, or by letting it wait for the history.
    fn close(&mut self, admission: &mut Admission, mut gap: Gap, to_us: i64) {
        self.status.update(|figures| figures.gaps_open -= 1);
        self.has_changed = true;
        gap.report = match &self.history {
            History::None => None,
            History::Off => Some(Report::off()),
            History::Asked(bell) => match backfill::exempt(gap.cause()) {
                Some(reason) => Some(Report::skipped(reason)),
                None if self.waiting.len() == MAX_WAITING => {
                    Some(Report::skipped("too many gaps wait for the history"))
                }
                None => {
                    (gap.closed, gap.over_us) = (None, Some(to_us));
                    self.waiting.push_back(gap);
                    self.show_waiting();
                    bell.notify_one();
                    return;
                }
            },
        };
        self.conclude(admission, gap, to_us, to_us);
    }

    fn conclude(&mut self, admission: &mut Admission, mut gap: Gap, to_us: i64, now_us: i64) {
        let at = admission.next_sequence();
        gap.closed = Some(Closed { at, to_us });
        self.has_changed = true;
        self.append(admission, &gap, Edge::Closed { to_us }, now_us);
        self.closed.push(gap);
    }

    /// Returns the gap that has waited longest for the history; it is the same until it is concluded.
    pub(crate) fn waiting(&self) -> Option<Waiting> {
        let gap = self.waiting.front()?;
        let topics = gap.topics.clone();
        Some(Waiting {
            from_us: gap.from_us(),
            to_us: gap.over_us?,
            topics: topics.unwrap_or_else(|| self.origin.topics.clone().into()),
        })
    }

    /// Closes the gap that [`Interruptions::waiting`] tells of.
    pub(crate) fn filled(&mut self, admission: &mut Admission, report: Report, now_us: i64) {
        let Some(mut gap) = self.waiting.pop_front() else {
            return;
        };
        self.show_waiting();
        let to_us = gap.over_us.unwrap_or(now_us);
        gap.report = Some(report);
        self.conclude(admission, gap, to_us, now_us);
    }

    fn show_waiting(&self) {
        let waiting = self.waiting.len() as u64;
        self.status.update(|figures| figures.gaps_waiting = waiting);
    }

    fn append(&self, admission: &mut Admission, gap: &Gap, edge: Edge, now_us: i64) {
        admission.append_control(
            edge.control_type(),
            |out| gap.write(edge, &self.origin, out),
            now_us,
        );
    }
}
