//! `Retry-After`: how long a server wants to be left alone.
//!
//! Refuses a value that is neither seconds nor a date, and caps what it accepts: a server that asks for a year would
//! hold its conversation's events for one.

use jiff::Timestamp;

/// Longest pause that a server can ask for, in milliseconds; within the five minutes that Standard Webhooks puts
/// between its first retries.
pub(super) const MAX_RETRY_AFTER_MS: u64 = 300_000;

/// Reads the header's value.
///
/// # Units
/// `now_us`: microseconds since 1970 UTC. Returns milliseconds.
/// # Source
/// RFC 9110, section 10.2.3.
pub(super) fn parse(value: &str, now_us: i64) -> Option<u64> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // so many digits that they overflow are more than the cap as well
        let seconds: u64 = value.parse().unwrap_or(u64::MAX);
        return Some(seconds.saturating_mul(1000).min(MAX_RETRY_AFTER_MS));
    }
    let at: Timestamp = jiff::fmt::rfc2822::DateTimeParser::new()
        .parse_timestamp(value)
        .ok()?;
    let wait_us = at.as_microsecond().saturating_sub(now_us).max(0).unsigned_abs();
    Some(wait_us.div_ceil(1000).min(MAX_RETRY_AFTER_MS))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{MAX_RETRY_AFTER_MS, parse};

    #[test]
    fn seconds_and_dates_are_read_and_capped() {
        // 2026-11-23T00:00:00Z
        let now_us = 1_795_392_000_000_000;
        for (value, expected) in [
            ("0", Some(0)),
            (" 7 ", Some(7_000)),
            ("300", Some(300_000)),
            ("301", Some(MAX_RETRY_AFTER_MS)),
            ("99999999999999999999999999", Some(MAX_RETRY_AFTER_MS)),
            ("Mon, 23 Nov 2026 00:00:20 GMT", Some(20_000)),
            ("Mon, 23 Nov 2026 00:00:00 GMT", Some(0)),
            ("Sun, 22 Nov 2026 00:00:00 GMT", Some(0)),
            ("Tue, 24 Nov 2026 00:00:00 GMT", Some(MAX_RETRY_AFTER_MS)),
            ("", None),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
        ] {
            assert_eq!(parse(value, now_us), expected, "{value}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn whatever_a_server_writes_the_pause_is_bounded(value in ".{0,40}", now_us in any::<i64>()) {
            prop_assert!(parse(&value, now_us).is_none_or(|pause_ms| pause_ms <= MAX_RETRY_AFTER_MS));
        }
    }
}
