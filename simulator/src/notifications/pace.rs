//! How fast requests come: the busiest minute, and those that did not wait as long as they were told to.
//!
//! Refuses nothing, whatever comes. The invariant: what is remembered is no older than a minute, and bounded.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::http::Response;

/// The minute of the rate limit.
const MINUTE: Duration = Duration::from_secs(60);
/// Requests remembered; more in a minute are counted as so many.
const MAX_REMEMBERED: usize = 100_000;

/// Requests of one kind.
#[derive(Debug, Default)]
pub(super) struct Pace {
    recent: VecDeque<Instant>,
    wait_until: Option<Instant>,
}

/// What a request is to the counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Come {
    /// Requests in the minute that ends with it.
    pub(super) in_a_minute: u64,
    /// It came before a `Retry-After` had passed.
    pub(super) early: bool,
}

impl Pace {
    /// Counts a request.
    pub(super) fn come(&mut self, now: Instant) -> Come {
        let is_old = |then: &Instant| now.saturating_duration_since(*then) >= MINUTE;
        while self.recent.len() >= MAX_REMEMBERED || self.recent.front().is_some_and(is_old) {
            self.recent.pop_front();
        }
        self.recent.push_back(now);
        Come {
            in_a_minute: u64::try_from(self.recent.len()).unwrap_or(u64::MAX),
            early: self.wait_until.is_some_and(|until| now < until),
        }
    }

    /// Remembers a 429 with a `Retry-After` in seconds.
    pub(super) fn answered(&mut self, response: &Response, now: Instant) {
        if response.status != 429 {
            return;
        }
        let header = response.headers.iter().find(|(name, _)| *name == "retry-after");
        let seconds = header.and_then(|(_, value)| value.parse().ok());
        let until = seconds.and_then(|seconds| now.checked_add(Duration::from_secs(seconds)));
        self.wait_until = self.wait_until.max(until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_slides_and_a_wait_that_was_told_ends() {
        let (mut pace, begun) = (Pace::default(), Instant::now());
        let at = |seconds| begun + Duration::from_secs(seconds);
        for (seconds, in_a_minute) in [(0, 1), (30, 2), (59, 3), (60, 3), (119, 2)] {
            let early = false;
            assert_eq!(pace.come(at(seconds)), Come { in_a_minute, early }, "{seconds}");
        }
        let told = |seconds: &str| Response {
            status: 429,
            headers: vec![("retry-after", seconds.to_owned())],
            ..Response::default()
        };
        pace.answered(&told("9"), at(200));
        pace.answered(&told("1"), at(201));
        pace.answered(
            &Response {
                status: 503,
                ..told("900")
            },
            at(201),
        );
        let early: Vec<bool> = [201, 208, 209].map(|s| pace.come(at(s)).early).to_vec();
        assert_eq!(early, [true, true, false]);
    }
}
