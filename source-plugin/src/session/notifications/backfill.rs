//! The look at the history: one gap after the other, beside the feed.
//!
//! Responsible for the pace, the bounds and the report of each gap. Refuses to hold up the feed: it shares the rate limit
//! behind every other call, admits only while half of the room is free, and publishes before each wait. Invariant: each gap
//! that waits is concluded once, whatever the history answers; a process that dies before leaves it to the next one.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::board::Shared;
use super::platform::Platform;
use crate::admission::Backfilled;
use crate::backfill::{Outcome, Report, Scope};
use crate::backoff::{Backoff, Pace, Policy};
use crate::rest::DetailsPages;
use crate::session::intake::Intake;
use crate::session::interruptions::Waiting;

/// Time from the end of a gap to the first query: what has just happened is not in the history yet.
///
/// # Source
/// Chosen: no figure is public; a few seconds have been told of the analytics of conversations that go on.
const SETTLE: Duration = Duration::from_secs(3);

/// Longest interval that is asked for; of a longer gap its end.
///
/// # Source
/// Genesys Cloud, analytics: a synchronous details query spans at most 31 days.
const MAX_SPAN_US: i64 = 31 * 86_400 * 1_000_000;

/// Most pages of a gap, 30,000 conversations: the calls of a minute.
///
/// # Source
/// Genesys Cloud: 300 REST calls a minute for a token. A query gives 100,000 rows at most.
const MAX_PAGES: u32 = 300;

/// Most bytes that are read of a gap's history.
const MAX_BYTES: usize = 256 << 20;

/// How long one page may fail before the gap is left as it is.
const PATIENCE: Duration = Duration::from_secs(600);

/// Waits between the tries of a page, beyond those of the REST client.
const RETRIES: Policy = Policy {
    min: Duration::from_secs(1),
    max: Duration::from_secs(60),
    max_attempts: None,
    stable: Duration::MAX,
};

/// Share of the room above which the history waits for the feed.
const BELOW: f64 = 0.5;

/// Makes a generator for the pace of one gap.
type Dice<R> = Box<dyn FnMut() -> R>;

/// See the module documentation.
pub(super) struct Backfill<P, R> {
    pub(super) platform: Rc<P>,
    pub(super) shared: Shared,
    /// Rung when a gap begins to wait.
    pub(super) bell: Arc<Notify>,
    /// Longest conversation that is admitted, in bytes.
    pub(super) max_frame_bytes: usize,
    pub(super) dice: Dice<R>,
    /// The last query failed, and that was said.
    pub(super) is_told: bool,
}

/// What has been found of one gap.
#[derive(Default)]
struct Found {
    conversations: u64,
    bytes: usize,
    too_large: u64,
    unusable: u64,
    /// Why not all was read.
    cut: Option<&'static str>,
}

impl<P: Platform, R: Rng> Backfill<P, R> {
    /// Fills gaps for ever; may be dropped at any wait.
    pub(super) async fn run(mut self) {
        loop {
            let waiting = self.shared.borrow().intake.interruptions.waiting();
            match waiting {
                Some(waiting) => {
                    let report = self.fill(&waiting).await;
                    let intake = &mut self.shared.borrow_mut().intake;
                    intake.filled(report);
                    intake.publish();
                }
                None => self.bell.notified().await,
            }
        }
    }

    async fn fill(&mut self, waiting: &Waiting) -> Report {
        let scope = Scope::of(&waiting.topics);
        if scope.is_empty() {
            let reason = Some("none of its topics tells of conversations that the history has");
            return Report::asked(Outcome::Skipped, reason, 0, &scope);
        }
        tokio::time::sleep(SETTLE).await;
        let mut found = Found::default();
        let from_us = waiting.from_us.max(waiting.to_us.saturating_sub(MAX_SPAN_US));
        if from_us > waiting.from_us {
            found.cut = Some("the history was asked for the last 31 days alone");
        }
        let mut pages = DetailsPages::new(from_us, waiting.to_us, scope.conditions());
        loop {
            match self.page(&mut pages).await {
                Ok(None) => break,
                Ok(Some(rows)) => {
                    for row in rows {
                        self.take(&row, &scope, &mut found).await;
                    }
                }
                Err(reason) => {
                    self.tell(&reason);
                    return Report::asked(Outcome::Failed, Some(&reason), found.conversations, &scope);
                }
            }
            if pages.next_page().is_some_and(|page| page > MAX_PAGES) || found.bytes > MAX_BYTES {
                found.cut = Some("there is more in the history than is read of one gap");
                break;
            }
        }
        self.is_told = false;
        tracing::info!(
            conversations = found.conversations,
            from_us = waiting.from_us,
            to_us = waiting.to_us,
            "gap filled from the history"
        );
        match found.missing() {
            None => Report::asked(Outcome::Complete, None, found.conversations, &scope),
            Some(reason) => {
                tracing::warn!(reason, "gap filled in part");
                Report::asked(Outcome::Partial, Some(&reason), found.conversations, &scope)
            }
        }
    }

    /// Reads a page, again if that may help; the error is the last reason.
    async fn page(&mut self, pages: &mut DetailsPages) -> Result<Option<Vec<Box<RawValue>>>, String> {
        let deadline = Instant::now() + PATIENCE;
        let mut backoff = Backoff::new(RETRIES, (self.dice)());
        loop {
            let error = match tokio::time::timeout_at(deadline, self.platform.past(pages)).await {
                Ok(Ok(rows)) => return Ok(rows),
                Ok(Err(error)) => error,
                Err(_) => return Err(format!("no answer within {} s", PATIENCE.as_secs())),
            };
            let pace = error.retry_after().map_or(Pace::Usual, Pace::AtLeast);
            let delay = backoff.next_delay(pace).filter(|_| error.is_retryable());
            match delay {
                Some(delay) if Instant::now() + delay < deadline => tokio::time::sleep(delay).await,
                _ => return Err(error.to_string()),
            }
        }
    }

    /// Says that the history cannot be read, once until it can.
    fn tell(&mut self, reason: &str) {
        if !std::mem::replace(&mut self.is_told, true) {
            tracing::warn!(
                error = reason,
                "gaps are not filled: the history cannot be read; each closing record says so"
            );
        }
    }

    /// Makes an event of a conversation that the gap's topics would have shown.
    async fn take(&self, row: &RawValue, scope: &Scope, found: &mut Found) {
        let text = row.get();
        found.bytes = found.bytes.saturating_add(text.len());
        if !serde_json::from_str::<Value>(text).is_ok_and(|conversation| scope.covers(&conversation)) {
            return;
        }
        if text.len() > self.max_frame_bytes {
            found.too_large += 1;
            return;
        }
        let mut share = BELOW;
        loop {
            self.room(share).await;
            match self.admit(text) {
                Backfilled::Event | Backfilled::Known => found.conversations += 1,
                Backfilled::Unusable(fault) => {
                    tracing::debug!(%fault, "conversation of the past is not usable");
                    found.unusable += 1;
                }
                Backfilled::Full => {
                    // A record larger than what is left below the first share fits an empty queue.
                    share = 0.0;
                    tokio::task::yield_now().await;
                    continue;
                }
            }
            // The feed has its turn between two conversations.
            tokio::task::yield_now().await;
            return;
        }
    }

    fn admit(&self, text: &str) -> Backfilled {
        let intake = &mut self.shared.borrow_mut().intake;
        let (now_us, uptime_ms) = (intake.clock.now_us(), intake.clock.uptime_ms());
        intake.admission.tell_uptime(uptime_ms);
        let room = intake.left_of(intake.vacancy());
        let outcome = intake.admission.admit_backfilled(text, now_us, room);
        intake.publish();
        outcome
    }

    /// Waits until so much of the room is free that the feed does not feel it.
    async fn room(&self, share: f64) {
        loop {
            let room_made = {
                let intake = &self.shared.borrow().intake;
                if intake.is_calm(share) {
                    return;
                }
                intake.room_made(share)
            };
            room_made.await;
            // A place that says it has room and still takes nothing must not keep others from their turn.
            tokio::task::yield_now().await;
        }
    }
}

impl Intake {
    /// Closes the gap that has waited longest for the history.
    pub(super) fn filled(&mut self, report: Report) {
        let now_us = self.clock.now_us();
        self.interruptions.filled(&mut self.admission, report, now_us);
    }

    /// Closes the gaps that wait for the history and will not get it from this process; a spool keeps them for the next.
    pub(super) fn end_waiting(&mut self) {
        while self.writer.is_none() && self.interruptions.waiting().is_some() {
            self.filled(Report::skipped("the source ended before"));
        }
    }

    /// Says whether the spool, or the queue where there is none, is below `share` of its bound.
    pub(super) fn is_calm(&self, share: f64) -> bool {
        match self.writer {
            Some(_) => self.has_room(share),
            None => self.queue.is_below(share),
        }
    }
}

impl Found {
    /// What is missing, in one line; `None`: nothing.
    fn missing(&self) -> Option<String> {
        let mut parts: Vec<String> = self.cut.iter().map(|cut| (*cut).to_owned()).collect();
        if self.too_large > 0 {
            parts.push(format!(
                "{} conversations are over max_frame_bytes",
                self.too_large
            ));
        }
        if self.unusable > 0 {
            parts.push(format!("{} conversations are not usable", self.unusable));
        }
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}
