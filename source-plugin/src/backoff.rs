//! The one reconnect policy: exponential with full jitter, `Retry-After` as a floor, reset only after stability.
//!
//! Refuses to forget: a connection that dies before it was stable for `stable` counts as one more failure, so a server
//! that accepts and drops at once is not stormed. The delay before jitter comes from `backon`; the random share is
//! drawn here, from the generator that is passed in.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use jiff::Timestamp;
use rand::{Rng, RngExt as _};

/// Longest `Retry-After` that is honoured: a day, the longest quota period the vendor names. What asks for more is
/// taken as a day, so that a broken answer cannot silence a source for ever.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(86_400);

/// The bounds of the reconnect policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Upper bound of the first delay.
    pub min: Duration,
    /// Upper bound of every delay.
    pub max: Duration,
    /// Failed attempts in a row after which to give up; `None`: never.
    pub max_attempts: Option<u64>,
    /// How long a connection must have been subscribed before a failure counts as the first again.
    pub stable: Duration,
}

/// How an attempt failed, as far as the wait before the next one is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// The next delay of the policy.
    Usual,
    /// At least this long: the server's `Retry-After`.
    AtLeast(Duration),
    /// The longest delay, without jitter: a credential was refused, and only an operator can change that.
    Longest,
}

/// Counts the failures and gives the delays.
pub struct Backoff<R> {
    policy: Policy,
    delays: ExponentialBackoff,
    attempts: u64,
    rng: R,
}

impl<R> std::fmt::Debug for Backoff<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Backoff")
            .field("policy", &self.policy)
            .field("attempts", &self.attempts)
            .finish_non_exhaustive()
    }
}

impl<R: Rng> Backoff<R> {
    /// Builds the policy's state; `rng` gives the jitter.
    ///
    /// # Source
    /// Full jitter: AWS Architecture Blog, "Exponential Backoff and Jitter", 2015.
    pub fn new(policy: Policy, rng: R) -> Self {
        Self {
            policy,
            delays: delays(policy),
            attempts: 0,
            rng,
        }
    }

    /// Returns the wait before the next attempt, or `None` if the attempts are used up.
    pub fn next_delay(&mut self, pace: Pace) -> Option<Duration> {
        self.attempts += 1;
        if self.policy.max_attempts.is_some_and(|max| self.attempts >= max) {
            return None;
        }
        let ceiling = self.delays.next().unwrap_or(self.policy.max).min(self.policy.max);
        let jittered = ceiling.mul_f64(self.draw());
        Some(match pace {
            Pace::Usual => jittered,
            // On top of the floor, or everybody who was told the same would come back at the same moment.
            Pace::AtLeast(floor) => floor.min(MAX_RETRY_AFTER) + jittered,
            Pace::Longest => self.policy.max,
        })
    }

    /// Notes that a subscribed connection ended after `lasted`; resets the policy if that was long enough.
    pub fn connection_lasted(&mut self, lasted: Duration) {
        if lasted >= self.policy.stable {
            self.attempts = 0;
            self.delays = delays(self.policy);
        }
    }

    /// Draws a number from 0 to 1, 1 excluded.
    pub fn draw(&mut self) -> f64 {
        self.rng.random::<f64>()
    }

    /// Returns the failures in a row.
    pub fn attempts(&self) -> u64 {
        self.attempts
    }
}

fn delays(policy: Policy) -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(policy.min)
        .with_max_delay(policy.max)
        .with_factor(2.0)
        .without_max_times()
        .build()
}

/// Reads a `Retry-After` value: whole seconds, or an HTTP date, which `now_us` turns into a wait; at most a day.
///
/// # Units
/// `now_us`: microseconds since 1970 UTC.
/// # Source
/// RFC 9110, 10.2.3.
#[must_use]
pub fn parse_retry_after(value: &str, now_us: i64) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // So many digits that they overflow are more than a day as well.
        let seconds = value.parse().unwrap_or(u64::MAX);
        return Some(Duration::from_secs(seconds).min(MAX_RETRY_AFTER));
    }
    let at: Timestamp = jiff::fmt::rfc2822::DateTimeParser::new()
        .parse_timestamp(value)
        .ok()?;
    let wait_us = at.as_microsecond().saturating_sub(now_us).max(0);
    Some(Duration::from_micros(wait_us.unsigned_abs()).min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use rand::SeedableRng as _;
    use rand_chacha::ChaCha8Rng;
    use tokio::time::Instant;

    use super::{Backoff, MAX_RETRY_AFTER, Pace, Policy, parse_retry_after};

    const POLICY: Policy = Policy {
        min: Duration::from_millis(500),
        max: Duration::from_secs(60),
        max_attempts: None,
        stable: Duration::from_secs(30),
    };

    fn backoff(seed: u64, policy: Policy) -> Backoff<ChaCha8Rng> {
        Backoff::new(policy, ChaCha8Rng::seed_from_u64(seed))
    }

    #[test]
    fn delays_are_spread_below_a_bound_that_doubles_up_to_the_longest() {
        let mut extremes = [(Duration::MAX, Duration::ZERO); 10];
        for seed in 0..400 {
            let mut backoff = backoff(seed, POLICY);
            for (lowest, highest) in &mut extremes {
                let delay = backoff.next_delay(Pace::Usual).unwrap();
                *lowest = delay.min(*lowest);
                *highest = delay.max(*highest);
            }
        }
        let bounds_ms = [500, 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000, 60000];
        for ((lowest, highest), bound_ms) in extremes.into_iter().zip(bounds_ms) {
            let bound = Duration::from_millis(bound_ms);
            assert!(
                lowest < bound.mul_f64(0.1) && highest <= bound && highest > bound.mul_f64(0.9),
                "{lowest:?} to {highest:?} against {bound:?}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn waits_as_long_as_the_policy_says_and_resets_only_after_a_stable_connection() {
        let mut backoff = backoff(7, POLICY);
        let mut expected = backoff_delays(7, 6);
        let started = Instant::now();
        for _ in 0..5 {
            tokio::time::sleep(backoff.next_delay(Pace::Usual).unwrap()).await;
            backoff.connection_lasted(Duration::from_millis(29_999));
        }
        expected.truncate(5);
        let waited = started.elapsed();
        let total: Duration = expected.iter().sum();
        assert!(
            waited >= total && waited < total + Duration::from_millis(10),
            "{waited:?} against {total:?}"
        );
        assert_eq!(backoff.attempts(), 5);
        backoff.connection_lasted(Duration::from_secs(30));
        assert!(backoff.next_delay(Pace::Usual).unwrap() <= POLICY.min);
    }

    fn backoff_delays(seed: u64, count: usize) -> Vec<Duration> {
        let mut backoff = backoff(seed, POLICY);
        (0..count)
            .map(|_| backoff.next_delay(Pace::Usual).unwrap())
            .collect()
    }

    #[test]
    fn retry_after_is_a_floor_and_refused_credentials_wait_longest() {
        let mut backoff = backoff(1, POLICY);
        let floor = Duration::from_secs(17);
        let delay = backoff.next_delay(Pace::AtLeast(floor)).unwrap();
        assert!(delay >= floor && delay <= floor + POLICY.min, "{delay:?}");
        assert_eq!(backoff.next_delay(Pace::Longest), Some(POLICY.max));
    }

    #[test]
    fn gives_up_after_the_last_attempt() {
        let mut backoff = backoff(
            1,
            Policy {
                max_attempts: Some(3),
                ..POLICY
            },
        );
        assert!(backoff.next_delay(Pace::Usual).is_some());
        assert!(backoff.next_delay(Pace::Usual).is_some());
        assert_eq!(backoff.next_delay(Pace::Usual), None);
    }

    #[test]
    fn reads_seconds_and_http_dates() {
        let now_us = 784_111_777_000_000; // Sun, 06 Nov 1994 08:49:37 GMT
        assert_eq!(parse_retry_after(" 17 ", now_us), Some(Duration::from_secs(17)));
        assert_eq!(
            parse_retry_after("Sun, 06 Nov 1994 08:50:37 GMT", now_us),
            Some(Duration::from_secs(60))
        );
        assert_eq!(
            parse_retry_after("Sun, 06 Nov 1994 08:40:37 GMT", now_us),
            Some(Duration::ZERO)
        );
        assert_eq!(
            parse_retry_after("99999999999999999999999", now_us),
            Some(MAX_RETRY_AFTER)
        );
        assert_eq!(parse_retry_after("soon", now_us), None);
        assert_eq!(parse_retry_after("", now_us), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn no_retry_after_panics_or_passes_a_day(value in ".{0,40}", now_us in any::<i64>()) {
            prop_assert!(parse_retry_after(&value, now_us).is_none_or(|wait| wait <= MAX_RETRY_AFTER));
        }
    }
}
