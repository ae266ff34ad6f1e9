//! Time: the wall clock in microseconds, and the simulator's own clock that says how many events are due.
//!
//! The own clock starts at the first subscription. Refuses to run backwards. The invariant: the number of due events
//! never falls while the clock is not restarted.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Reads the wall clock.
///
/// # Units
/// Microseconds since 1970-01-01T00:00:00Z; 0 if the system clock stands before that.
#[must_use]
pub fn wall_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// The simulator's own clock.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct OwnClock {
    origin: Option<Instant>,
    paused_at: Option<Instant>,
}

impl OwnClock {
    /// Starts the clock at the first call, and lets it go on after a pause.
    pub(crate) fn start(&mut self, now: Instant) {
        match (self.origin, self.paused_at.take()) {
            (None, _) => self.origin = Some(now),
            (Some(origin), Some(paused_at)) => {
                self.origin = Some(origin + now.saturating_duration_since(paused_at));
            }
            (Some(_), None) => {}
        }
    }

    /// Lets the clock stand still until the next [`Self::start`].
    pub(crate) fn pause(&mut self, now: Instant) {
        if self.origin.is_some() && self.paused_at.is_none() {
            self.paused_at = Some(now);
        }
    }

    /// Time since the first subscription, pauses left out; zero before it.
    pub(crate) fn elapsed(&self, now: Instant) -> Duration {
        let until = self.paused_at.unwrap_or(now);
        self.origin
            .map_or(Duration::ZERO, |origin| until.saturating_duration_since(origin))
    }

    /// The moment at which `elapsed` has passed, if the clock runs.
    pub(crate) fn moment(&self, elapsed: Duration) -> Option<Instant> {
        if self.paused_at.is_some() {
            return None;
        }
        self.origin.and_then(|origin| origin.checked_add(elapsed))
    }
}

/// Events due after `elapsed` at `per_second`.
pub(crate) fn due_events(elapsed: Duration, per_second: u64) -> u64 {
    let due = elapsed.as_nanos() * u128::from(per_second) / 1_000_000_000;
    u64::try_from(due).unwrap_or(u64::MAX)
}

/// The time after which `count` events are due at `per_second`, rounded up.
///
/// `per_second` must not be 0; 0 is read as 1.
pub(crate) fn due_at(count: u64, per_second: u64) -> Duration {
    let nanos = (u128::from(count) * 1_000_000_000).div_ceil(u128::from(per_second.max(1)));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_pause_does_not_count_as_elapsed() {
        let start = Instant::now();
        let mut clock = OwnClock::default();
        clock.start(start);
        clock.pause(start + Duration::from_secs(2));
        assert_eq!(
            clock.elapsed(start + Duration::from_secs(9)),
            Duration::from_secs(2)
        );
        clock.start(start + Duration::from_secs(10));
        assert_eq!(
            clock.elapsed(start + Duration::from_secs(13)),
            Duration::from_secs(5)
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn an_event_is_due_at_its_time_and_not_a_microsecond_earlier(count in 1_u64..1 << 40, rate in 1_u64..1_000_000) {
            let at = due_at(count, rate);
            prop_assert!(due_events(at, rate) >= count);
            prop_assert!(due_events(at.saturating_sub(Duration::from_nanos(1)), rate) < count);
        }
    }
}
