//! What the network side shows of itself: one snapshot, for `esp_stats` and for an operator.
//!
//! Refuses to hold a credential: the last error is the text that was logged. Every
//! snapshot comes from one lock, so it is consistent in itself.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use crate::admission::Admission;
use crate::counts::Counts;
use crate::dedup::AGE_BOUNDS_MS;

/// Where the source is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Getting a token and opening a connection.
    #[default]
    Connecting,
    /// Waiting for the subscription to be accepted.
    Subscribing,
    /// Listening.
    Subscribed,
    /// Connected, but the queue is full: not reading.
    Stalled,
    /// Waiting before the next attempt, or for room in the queue.
    Disconnected,
    /// Closing after a drain was asked for.
    Draining,
    /// Over, as asked for.
    Ended,
    /// Over, because it cannot go on.
    Failed,
}

/// Figures of the network side.
///
/// # Units
/// Counters since the source was opened; `connected_since_us`: microseconds since 1970 UTC.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StatusSnapshot {
    /// Where the source is in its life.
    pub state: State,
    /// Whether it is listening.
    pub subscribed: bool,
    /// Since when the connection has been open; `None` without one.
    pub connected_since_us: Option<i64>,
    /// Connections opened.
    pub connects_total: u64,
    /// Connections opened after the first subscription.
    pub reconnects_total: u64,
    /// Channels that were replaced by their successor while they were read.
    pub handovers_total: u64,
    /// Attempts that failed.
    pub failed_attempts_total: u64,
    /// Logins tried.
    pub login_attempts_total: u64,
    /// Subscriptions sent.
    pub subscriptions_total: u64,
    /// Pings sent.
    pub pings_total: u64,
    /// Pongs received.
    pub pongs_total: u64,
    /// Gaps opened.
    pub gaps_total: u64,
    /// Gaps that are still open.
    pub gaps_open: u64,
    /// Gaps that are over and whose closing records wait for the history.
    pub gaps_waiting: u64,
    /// Conversations that are followed with topics of their own.
    pub conversations_followed: u64,
    /// Sights of conversations that were not followed for want of room.
    pub conversations_left_out_total: u64,
    /// Stops of the reader because the queue was full.
    pub stalls_total: u64,
    /// Text of the last failure; stays after recovery.
    pub last_error: Option<String>,
}

/// Figures of admission, as of the last published chunk.
#[derive(Clone, Copy, Debug, Default)]
pub struct FrameFigures {
    /// What became of the frames.
    pub counts: Counts,
    /// Duplicates by age, in the classes of [`AGE_BOUNDS_MS`] and one above.
    pub duplicate_ages: [u64; AGE_BOUNDS_MS.len() + 1],
    /// Identities remembered.
    pub window_ids: usize,
    /// Memory of the window, in bytes.
    pub window_bytes: usize,
}

/// The shared place of the figures.
#[derive(Debug, Default)]
pub struct Status {
    figures: Mutex<StatusSnapshot>,
    frames: Mutex<FrameFigures>,
}

impl Status {
    /// Makes a status of a source that has not begun.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the figures of admission at one instant, at which the frames law holds.
    #[must_use]
    pub fn frames(&self) -> FrameFigures {
        *self.frames.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn publish_frames(&self, admission: &Admission) {
        let window = admission.window();
        let figures = FrameFigures {
            counts: admission.counts(),
            duplicate_ages: window.ages(),
            window_ids: window.len(),
            window_bytes: window.allocated_bytes(),
        };
        *self.frames.lock().unwrap_or_else(PoisonError::into_inner) = figures;
    }

    /// Returns all figures at one instant.
    #[must_use]
    pub fn snapshot(&self) -> StatusSnapshot {
        self.lock().clone()
    }

    pub(crate) fn update(&self, change: impl FnOnce(&mut StatusSnapshot)) {
        change(&mut self.lock());
    }

    pub(crate) fn enter(&self, state: State) {
        self.update(|figures| {
            figures.state = state;
            figures.subscribed = state == State::Subscribed;
            if !matches!(state, State::Subscribing | State::Subscribed) {
                figures.connected_since_us = None;
            }
        });
    }

    pub(crate) fn enter_stalled(&self) {
        self.update(|figures| {
            figures.state = State::Stalled;
            figures.stalls_total += 1;
        });
    }

    fn lock(&self) -> MutexGuard<'_, StatusSnapshot> {
        // Every change is a plain assignment, so a panic elsewhere cannot have left half of one.
        self.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::{State, Status};

    #[test]
    fn losing_the_connection_clears_what_it_carried() {
        let status = Status::default();
        status.update(|figures| figures.connected_since_us = Some(5));
        status.enter(State::Subscribed);
        assert!(status.snapshot().subscribed);
        status.enter(State::Disconnected);
        let snapshot = status.snapshot();
        assert_eq!((snapshot.subscribed, snapshot.connected_since_us), (false, None));
        let json = serde_json::to_value(&snapshot).unwrap();
        assert_eq!(json["state"], "disconnected");
    }
}
