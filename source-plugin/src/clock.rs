//! Wall-clock time as the network side stamps it.
//!
//! One trait, so that a test can tie the stamps to paused time. Timers never use it: they run on tokio's clock, which
//! no change of the wall clock disturbs.

use std::time::{SystemTime, UNIX_EPOCH};

/// Tells the wall-clock time.
pub trait Clock: Send + Sync {
    /// Returns microseconds since 1970-01-01T00:00:00Z.
    fn now_us(&self) -> i64;
}

/// The clock of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_us(&self) -> i64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
pub(crate) mod paused {
    use tokio::time::Instant;

    use super::Clock;

    /// Follows tokio's paused time from a fixed wall-clock instant.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct PausedClock {
        origin: Instant,
    }

    /// 2026-01-02T03:04:05Z.
    pub(crate) const ORIGIN_US: i64 = 1_767_323_045_000_000;

    impl PausedClock {
        pub(crate) fn start() -> Self {
            Self {
                origin: Instant::now(),
            }
        }
    }

    impl Clock for PausedClock {
        fn now_us(&self) -> i64 {
            ORIGIN_US + i64::try_from(self.origin.elapsed().as_micros()).unwrap()
        }
    }
}
