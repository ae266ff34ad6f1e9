//! Rate limits: so many REST requests a window for each token, told in every answer, and so many logins.
//!
//! Refuses what is over the limit with the seconds to the window's end. The invariant: a refused request does not lengthen
//! the window.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Windows remembered; as many as there are tokens.
const MAX_WINDOWS: usize = 1_000;

/// Where a token stands in its window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) allowed: u64,
    pub(crate) count: u64,
    /// Seconds to the window's end, rounded up.
    pub(crate) reset_s: u64,
}

impl Standing {
    pub(crate) fn exceeded(self) -> bool {
        self.count > self.allowed
    }
}

#[derive(Debug, Default)]
pub(crate) struct Limits {
    windows: HashMap<u64, (Instant, u64)>,
}

impl Limits {
    /// Counts a request of a login's token; whoever has no token yet counts as login 0.
    pub(crate) fn count(&mut self, login: u64, allowed: u64, window: Duration, now: Instant) -> Standing {
        if self.windows.len() >= MAX_WINDOWS {
            self.windows
                .retain(|_, (begun, _)| now.saturating_duration_since(*begun) < window);
        }
        let entry = self.windows.entry(login).or_insert((now, 0));
        if now.saturating_duration_since(entry.0) >= window {
            *entry = (now, 0);
        }
        entry.1 += 1;
        let left = window.saturating_sub(now.saturating_duration_since(entry.0));
        Standing {
            allowed,
            count: entry.1,
            reset_s: left.as_secs() + u64::from(left.subsec_nanos() > 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_counts_each_token_apart_and_begins_again() {
        let (mut limits, now, window) = (Limits::default(), Instant::now(), Duration::from_secs(60));
        let first = limits.count(1, 2, window, now);
        assert_eq!((first.count, first.reset_s, first.exceeded()), (1, 60, false));
        assert!(!limits.count(1, 2, window, now).exceeded());
        let later = now + Duration::from_millis(59_500);
        let third = limits.count(1, 2, window, later);
        assert_eq!((third.exceeded(), third.reset_s), (true, 1));
        assert!(!limits.count(2, 2, window, later).exceeded());
        assert_eq!(limits.count(1, 2, window, now + window).count, 1);
    }
}
