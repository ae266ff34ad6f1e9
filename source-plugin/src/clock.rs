//! The two clocks of the network side: wall time for what records state, uptime for what is waited for or compared.
//!
//! One trait, so that a test can tie both to paused time, or move the one and not the other. Timers never use it: they
//! run on tokio's clock, which no change of the wall clock disturbs. Nor does the window of known identities: a wall
//! clock that jumps an hour ahead would empty it.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Returns microseconds since 1970-01-01T00:00:00Z, by a clock that may be set.
    fn now_us(&self) -> i64;

    /// Returns milliseconds since an arbitrary moment, by a clock that is never set.
    fn uptime_ms(&self) -> i64;
}

/// The clocks of the machine.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    origin: Instant,
}

impl SystemClock {
    /// Makes a clock whose uptime begins now.
    #[must_use]
    pub fn start() -> Self {
        Self {
            origin: Instant::now(),
        }
    }
}

impl Clock for SystemClock {
    fn now_us(&self) -> i64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }

    fn uptime_ms(&self) -> i64 {
        i64::try_from(self.origin.elapsed().as_millis()).unwrap_or(i64::MAX)
    }
}

/// The least by which another clock is ahead of ours, given the `Date` of an answer and when we asked and heard.
///
/// # Units
/// `date_s`: whole seconds since 1970 UTC; `sent_us`, `answered_us`: microseconds. Returns milliseconds, negative if the
/// other is behind.
pub(crate) fn skew_ms(date_s: i64, sent_us: i64, answered_us: i64) -> i64 {
    let earliest_ms = date_s.saturating_mul(1000);
    let latest_ms = earliest_ms.saturating_add(999);
    let (sent_ms, answered_ms) = (sent_us.div_euclid(1000), answered_us.div_euclid(1000));
    if latest_ms < sent_ms {
        latest_ms.saturating_sub(sent_ms)
    } else {
        earliest_ms.saturating_sub(answered_ms).max(0)
    }
}

#[cfg(test)]
pub(crate) mod paused {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    use tokio::time::Instant;

    use super::Clock;

    /// Follows tokio's paused time from a fixed wall-clock instant; its wall clock can be set.
    #[derive(Clone, Debug)]
    pub(crate) struct PausedClock {
        origin: Instant,
        set_by_us: Arc<AtomicI64>,
    }

    /// 2026-01-02T03:04:05Z.
    pub(crate) const ORIGIN_US: i64 = 1_767_323_045_000_000;

    impl PausedClock {
        pub(crate) fn start() -> Self {
            Self {
                origin: Instant::now(),
                set_by_us: Arc::default(),
            }
        }

        /// Sets the wall clock: so far from where it would be.
        pub(crate) fn set_by_us(&self, offset_us: i64) {
            self.set_by_us.store(offset_us, Ordering::Relaxed);
        }
    }

    impl Clock for PausedClock {
        fn now_us(&self) -> i64 {
            let passed_us = i64::try_from(self.origin.elapsed().as_micros()).unwrap();
            ORIGIN_US + passed_us + self.set_by_us.load(Ordering::Relaxed)
        }

        fn uptime_ms(&self) -> i64 {
            i64::try_from(self.origin.elapsed().as_millis()).unwrap()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::skew_ms;

    #[test]
    fn a_clock_is_only_said_to_be_wrong_by_what_is_certain() {
        // asked at 10.400 s, heard at 12.600 s
        let skew = |date_s| skew_ms(date_s, 10_400_000, 12_600_000);
        assert_eq!([10, 11, 12].map(skew), [0, 0, 0]);
        assert_eq!(skew(9), -401);
        assert_eq!(skew(13), 400);
        assert_eq!(skew(0), -9_401);
        assert_eq!(skew_ms(i64::MAX, 0, 0), i64::MAX);
    }
}
