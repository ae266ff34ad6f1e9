//! The rows about this machine's clock: whether it can be right, and whether others agree.
//!
//! Responsible for what a wrong clock breaks: certificates, signatures of webhooks, time stamps that brokers take, and
//! `processedAt` of the audit. Refuses to call a clock wrong for what the slowness of an answer explains: who measures
//! gives the least difference that is certain. Invariant: a difference is a warning, since either clock may be the wrong
//! one.

use std::time::{SystemTime, UNIX_EPOCH};

use super::item::{Item, Subject};
use crate::exit::Exit;
use crate::text::push_time;

const CLOCK: Subject = Subject::new("clock", "clock");
/// The comparison with the clocks of others.
pub(super) const SKEW: Subject = Subject::new("clock.skew", "clock against others");

/// The first of the month in which this version was made, 2026-11-01T00:00:00Z, in seconds since 1970: no true clock
/// shows less. Set anew with each version.
const MADE_S: i64 = 1_793_491_200;
/// How long a version can be in use, in seconds: twenty years, about as long as the root certificates of its day live.
const IN_USE_S: i64 = 20 * 365 * 86_400;

/// The difference from which on an operator should know, in milliseconds.
///
/// # Source
/// A synchronized clock is off by milliseconds (NTP steps beyond 128 ms), so seconds mean that nothing synchronizes it,
/// while everything below still works: see the two limits that follow.
const TOLERATED_MS: u64 = 5_000;
/// The difference from which on receivers refuse a signature, in milliseconds.
///
/// # Source
/// The tolerance of the libraries of Standard Webhooks 1.0.0: five minutes.
const SIGNATURE_MS: u64 = 300_000;
/// How far ahead a time stamp may be before brokers refuse the record, in milliseconds.
///
/// # Source
/// Apache Kafka, `message.timestamp.after.max.ms`: an hour.
const AHEAD_MS: i64 = 3_600_000;

/// Whether the clock can be right at all.
pub(super) fn item(now: SystemTime) -> Item {
    let since = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let now_s = i64::try_from(since).unwrap_or(i64::MAX);
    let mut shown = Vec::new();
    push_time(&mut shown, now_s.saturating_mul(1_000_000));
    let shown = String::from_utf8_lossy(&shown).into_owned();
    let mend = "set this machine's clock, and keep it with chrony or systemd-timesyncd";
    if now_s < MADE_S {
        CLOCK.fails(
            Exit::Config,
            format!("{shown} is before this version was made: certificates are not valid yet"),
            mend,
        )
    } else if now_s > MADE_S + IN_USE_S {
        CLOCK.fails(
            Exit::Config,
            format!("{shown} is over twenty years after this version was made"),
            mend,
        )
    } else {
        CLOCK.holds(shown)
    }
}

/// How far the clock of an answer is ahead of ours at the least, in milliseconds; negative if it is behind.
///
/// # Units
/// `date_s`: whole seconds since 1970 UTC, as `Date` tells them; `sent_ms`, `answered_ms`: milliseconds.
pub(super) fn skew_ms(date_s: i64, sent_ms: i64, answered_ms: i64) -> i64 {
    let earliest_ms = date_s.saturating_mul(1000);
    let latest_ms = earliest_ms.saturating_add(999);
    if latest_ms < sent_ms {
        latest_ms.saturating_sub(sent_ms)
    } else {
        earliest_ms.saturating_sub(answered_ms).max(0)
    }
}

/// Whether others agree: who, and how far their clocks are ahead in milliseconds, if they told. `signs` says whether
/// requests are signed.
pub(super) fn skew_item(others: &[(&str, Option<i64>)], signs: bool) -> Item {
    let told: Vec<(&str, i64)> = others
        .iter()
        .filter_map(|(who, skew_ms)| Some((*who, (*skew_ms)?)))
        .collect();
    let Some((who, skew_ms)) = told.iter().max_by_key(|(_, skew_ms)| skew_ms.unsigned_abs()) else {
        return SKEW.skipped("nobody told the time");
    };
    let off_ms = skew_ms.unsigned_abs();
    if off_ms <= TOLERATED_MS {
        let who: Vec<&str> = told.iter().map(|(who, _)| *who).collect();
        return SKEW.holds(format!("agrees with {}", who.join(" and ")));
    }
    let direction = if *skew_ms > 0 { "behind" } else { "ahead of" };
    let mut detail = format!("{direction} {who} by {} s or more", off_ms / 1000);
    if signs && off_ms > SIGNATURE_MS {
        detail.push_str(", and receivers refuse signatures that are 5 minutes off");
    }
    if *skew_ms < -AHEAD_MS {
        detail.push_str(", and brokers refuse records dated an hour ahead");
    }
    SKEW.warns(
        detail,
        "synchronize this machine's clock, with chrony or systemd-timesyncd",
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_clock_that_cannot_be_right_is_a_failure() {
        let at = |seconds: i64| item(UNIX_EPOCH + Duration::from_secs(seconds.unsigned_abs()));
        assert_eq!(at(MADE_S).detail, "2026-11-01T00:00:00.000Z");
        assert_eq!(at(MADE_S).failure(), None);
        assert_eq!(at(MADE_S - 1).failure(), Some(Exit::Config));
        assert_eq!(
            at(0).detail,
            "1970-01-01T00:00:00.000Z is before this version was made: certificates are not valid yet"
        );
        assert_eq!(at(MADE_S + IN_USE_S).failure(), None);
        assert_eq!(at(MADE_S + IN_USE_S + 1).failure(), Some(Exit::Config));
    }

    #[test]
    fn a_difference_is_what_an_answer_proves() {
        let skew = |date_s| skew_ms(date_s, 10_400, 12_600);
        assert_eq!([9, 10, 11, 12, 13].map(skew), [-401, 0, 0, 0, 400]);
    }

    #[test]
    fn the_largest_difference_is_told_with_what_it_breaks() {
        let shown = |login, webhook, signs| {
            let item = skew_item(&[("login service", login), ("webhook", webhook)], signs);
            (item.outcome.word(), item.detail)
        };
        let is = |word, detail: &str| (word, detail.to_owned());
        assert_eq!(shown(None, None, true), is("skipped", "nobody told the time"));
        assert_eq!(
            shown(Some(5_000), Some(-9), true),
            is("ok", "agrees with login service and webhook")
        );
        assert_eq!(
            shown(Some(5_001), None, true),
            is("warning", "behind login service by 5 s or more")
        );
        assert_eq!(
            shown(Some(0), Some(-4_000_000), true),
            is(
                "warning",
                "ahead of webhook by 4000 s or more, and receivers refuse signatures that are 5 minutes off, and \
                 brokers refuse records dated an hour ahead"
            )
        );
        assert_eq!(
            shown(Some(400_000), None, false),
            is("warning", "behind login service by 400 s or more")
        );
    }
}
