//! What the pipeline's thread leaves for whoever asks: a sign of life at each turn, and what it saw at its last look.
//!
//! Responsible for the hand-over between the pipeline's thread and the listener's, and for judging it by the monotonic
//! clock. Refuses to hold a lock while anything is looked at. Invariant: a loop that no longer turns is never alive, and
//! never ready.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::pipeline::{Feed, Pipeline};
use crate::sink::Sink;

use super::readiness::{self, Part, Readiness, Reason};

/// Longest time between two turns of a loop that lives, in microseconds. A turn comes each 20 ms by itself and may last
/// as long as a disk takes to sync; no step of the end lasts longer than 5 s.
const ALIVE_US: i64 = 10_000_000;
/// Longest time without a turn after which what was last seen still counts, in microseconds.
const SEEN_US: i64 = 2_000_000;
/// Time between two looks, in microseconds: a look walks through the window, and a change is to show within a second.
const LOOK_US: i64 = 500_000;

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The destination is being reached and the source opened; each step has a deadline of its own.
    Starting,
    /// The loop turns.
    Running,
    /// No more than the rest is delivered.
    Ending,
}

/// What was seen at a look.
#[derive(Debug)]
struct Seen {
    stage: Stage,
    at_us: i64,
    source: Option<Reason>,
    sink: Option<Reason>,
    lag_ms: Option<u64>,
}

/// The state of a run as others may see it; shared between threads.
#[derive(Debug)]
pub struct Health {
    begun: Instant,
    max_lag_ms: u64,
    /// When the loop last turned, in microseconds since `begun`.
    turned_us: AtomicI64,
    seen: Mutex<Seen>,
}

impl Health {
    /// The health of a run that starts.
    ///
    /// # Units
    /// `max_lag_ms`: milliseconds; 0 sets no limit.
    #[must_use]
    pub fn new(max_lag_ms: u64) -> Self {
        Self {
            begun: Instant::now(),
            max_lag_ms,
            turned_us: AtomicI64::new(0),
            seen: Mutex::new(Seen {
                stage: Stage::Starting,
                at_us: 0,
                source: None,
                sink: None,
                lag_ms: None,
            }),
        }
    }

    /// Notes a turn of the loop, and looks at pipeline and source if it is time to.
    ///
    /// # Units
    /// `wall_us`: microseconds since 1970 UTC, the clock by which records were received.
    pub fn see<F: Feed, S: Sink>(
        &self,
        pipeline: &Pipeline<F::Batch, S>,
        feed: &F,
        is_ending: bool,
        wall_us: i64,
    ) {
        let at_us = self.now_us();
        self.turned_us.store(at_us, Ordering::Relaxed);
        let stage = if is_ending { Stage::Ending } else { Stage::Running };
        {
            let seen = self.seen();
            if seen.stage == stage && at_us - seen.at_us < LOOK_US {
                return;
            }
        }
        let lag_us = pipeline
            .measure()
            .oldest_received_us
            .map(|oldest_us| wall_us.saturating_sub(oldest_us).max(0));
        let looked = Seen {
            stage,
            at_us,
            source: readiness::of_source(feed.stats().ok().as_ref()),
            sink: pipeline
                .obstacle()
                .map(|obstacle| Reason::new(Part::Sink, obstacle)),
            lag_ms: lag_us.map(|lag_us| u64::try_from(lag_us / 1000).unwrap_or(0)),
        };
        *self.seen() = looked;
    }

    /// Notes that the run ends, at each of its last steps.
    pub fn ends(&self) {
        self.turned_us.store(self.now_us(), Ordering::Relaxed);
        self.seen().stage = Stage::Ending;
    }

    /// Says whether the loop turns, or has not begun to.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.is_alive_at(self.now_us())
    }

    /// Says whether events flow, and why not.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        self.readiness_at(self.now_us())
    }

    fn is_alive_at(&self, now_us: i64) -> bool {
        self.seen().stage == Stage::Starting || self.still_us(now_us) <= ALIVE_US
    }

    fn readiness_at(&self, now_us: i64) -> Readiness {
        let still_us = self.still_us(now_us);
        let seen = self.seen();
        let of_run = match seen.stage {
            Stage::Starting => Some("starting".to_owned()),
            _ if still_us > SEEN_US => Some(format!("the loop has not turned for {} ms", still_us / 1000)),
            Stage::Running => None,
            Stage::Ending => Some("draining".to_owned()),
        };
        let since_us = now_us.saturating_sub(seen.at_us).max(0);
        let lag_ms = seen
            .lag_ms
            .map(|lag_ms| lag_ms.saturating_add(u64::try_from(since_us / 1000).unwrap_or(0)));
        let reasons = [
            of_run.map(|reason| Reason::new(Part::Run, reason)),
            seen.source.clone(),
            seen.sink.clone(),
            readiness::of_lag(lag_ms, self.max_lag_ms),
        ];
        Readiness::from(reasons.into_iter().flatten().collect::<Vec<_>>())
    }

    /// Time since the last turn, in microseconds.
    fn still_us(&self, now_us: i64) -> i64 {
        now_us.saturating_sub(self.turned_us.load(Ordering::Relaxed))
    }

    fn now_us(&self) -> i64 {
        i64::try_from(self.begun.elapsed().as_micros()).unwrap_or(i64::MAX)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // every change is one assignment, so that a panic elsewhere cannot have left half of one
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health(stage: Stage) -> Health {
        let health = Health::new(60_000);
        health.seen().stage = stage;
        health
    }

    fn reasons(health: &Health, now_us: i64) -> Vec<(Part, String)> {
        let readiness = health.readiness_at(now_us);
        assert_eq!(readiness.ready, readiness.reasons.is_empty());
        let reasons = readiness.reasons.into_iter();
        reasons.map(|reason| (reason.part, reason.reason)).collect()
    }

    #[test]
    fn a_loop_that_no_longer_turns_is_neither_ready_nor_alive() {
        for stage in [Stage::Running, Stage::Ending] {
            let health = health(stage);
            assert!(health.is_alive_at(ALIVE_US) && !health.is_alive_at(ALIVE_US + 1));
            health.turned_us.store(5_000_000, Ordering::Relaxed);
            assert!(health.is_alive_at(5_000_000 + ALIVE_US));
            assert_eq!(
                reasons(&health, 5_000_000 + SEEN_US + 1_000),
                [(Part::Run, "the loop has not turned for 2001 ms".to_owned())]
            );
        }
        assert_eq!(reasons(&health(Stage::Running), SEEN_US), []);
    }

    #[test]
    fn a_run_is_ready_between_its_start_and_its_end_and_alive_all_the_time() {
        let starting = health(Stage::Starting);
        assert!(
            starting.is_alive_at(i64::MAX),
            "the steps of the start have deadlines of their own"
        );
        assert_eq!(reasons(&starting, i64::MAX), [(Part::Run, "starting".to_owned())]);
        assert_eq!(reasons(&health(Stage::Running), 0), []);
        let ending = health(Stage::Running);
        ending.ends();
        assert!(ending.is_alive());
        assert_eq!(reasons(&ending, 0), [(Part::Run, "draining".to_owned())]);
    }

    #[test]
    fn every_reason_is_told_and_the_lag_grows_between_two_looks() {
        let health = health(Stage::Running);
        *health.seen() = Seen {
            stage: Stage::Running,
            at_us: 1_000_000,
            source: Some(Reason::new(Part::Source, "not subscribed")),
            sink: Some(Reason::new(Part::Sink, "https://hooks.example answered 404")),
            lag_ms: Some(59_999),
        };
        let lag = "the oldest unresolved record is 60001 ms old, over operations.max_lag_ms = 60000";
        for (now_us, expected) in [(1_001_000, None), (1_002_000, Some(lag))] {
            let mut told = vec![
                (Part::Source, "not subscribed".to_owned()),
                (Part::Sink, "https://hooks.example answered 404".to_owned()),
            ];
            told.extend(expected.map(|lag| (Part::Lag, lag.to_owned())));
            assert_eq!(reasons(&health, now_us), told);
        }
    }
}
