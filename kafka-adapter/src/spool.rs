//! What a source tells of its spool, and how fast it fills.
//!
//! Responsible for reading the figures, for the time until it is full at the present rate, and for when to warn. Refuses
//! to guess: a spool that shrinks has no such time, and a source in memory has no figures at all. Invariant: one line for
//! each change of state, also while the fill swings about the mark.

use serde_json::Value;

/// Fill from which on an operator is warned, in percent (design section 7: a warning at 80 %).
const WARN_PERCENT: u64 = 80;
/// Fill below which the warning is over, in percent: less by more than a segment, 1/32 of the whole, comes and goes.
const CLEAR_PERCENT: u64 = 70;

/// The figures of a spool at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spool {
    /// Bytes on disk.
    pub used_bytes: u64,
    /// Bytes that it may take.
    pub max_bytes: u64,
    /// When its oldest unresolved record was received, in microseconds since 1970 UTC; `None` if everything is resolved.
    pub oldest_unresolved_us: Option<i64>,
}

impl Spool {
    /// Reads the figures from a source's statistics; `None` if it has no spool.
    #[must_use]
    pub fn read(stats: &Value) -> Option<Self> {
        let number = |name: &str| stats.pointer(name).and_then(Value::as_u64);
        Some(Self {
            used_bytes: number("/spool/used_bytes")?,
            max_bytes: number("/spool/max_bytes")?,
            oldest_unresolved_us: stats
                .pointer("/spool/oldest_unresolved_us")
                .and_then(Value::as_i64),
        })
    }

    /// Age of the oldest unresolved record, in milliseconds; 0 if there is none.
    ///
    /// # Units
    /// `wall_us`: microseconds since 1970 UTC.
    #[must_use]
    pub fn oldest_unresolved_ms(&self, wall_us: i64) -> u64 {
        let age_us = self
            .oldest_unresolved_us
            .map_or(0, |oldest_us| wall_us.saturating_sub(oldest_us));
        u64::try_from(age_us / 1000).unwrap_or(0)
    }

    /// How full it is, in whole percent, rounded down; a spool that may take nothing is full.
    #[must_use]
    pub fn percent(&self) -> u64 {
        let percent = u128::from(self.used_bytes) * 100 / u128::from(self.max_bytes.max(1));
        u64::try_from(percent).unwrap_or(u64::MAX)
    }
}

/// Follows the fill from one look to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fill {
    /// When it was last looked at, in microseconds, and what was used then.
    last: Option<(i64, u64)>,
    warned: bool,
}

impl Fill {
    /// Looks at the spool, says so if it crossed a mark, and returns the seconds until it is full at the rate since the
    /// last look; `None` while it shrinks or stands, at the first look, and without a spool.
    ///
    /// # Units
    /// `now_us`: microseconds of the monotonic clock.
    pub fn look(&mut self, spool: Option<&Spool>, now_us: i64) -> Option<u64> {
        let before = std::mem::replace(&mut self.last, spool.map(|spool| (now_us, spool.used_bytes)));
        let spool = spool?;
        let full_in_s = before.and_then(|before| seconds_to_full(spool, before, now_us));
        self.tell(spool, full_in_s);
        full_in_s
    }

    /// Says whether the operator was warned and has not been told that it is over.
    #[must_use]
    pub fn is_warned(&self) -> bool {
        self.warned
    }

    fn tell(&mut self, spool: &Spool, full_in_s: Option<u64>) {
        let percent = spool.percent();
        let (used_bytes, max_bytes) = (spool.used_bytes, spool.max_bytes);
        if !self.warned && percent >= WARN_PERCENT {
            self.warned = true;
            tracing::warn!(
                percent,
                used_bytes,
                max_bytes,
                full_in_s,
                "spool fills up; bring the destination back, or raise spool.max_bytes before the source stops reading"
            );
        } else if self.warned && percent < CLEAR_PERCENT {
            self.warned = false;
            tracing::info!(percent, used_bytes, max_bytes, "spool has room again");
        }
    }
}

fn seconds_to_full(spool: &Spool, (last_us, last_bytes): (i64, u64), now_us: i64) -> Option<u64> {
    let room_bytes = spool.max_bytes.saturating_sub(spool.used_bytes);
    let grown_bytes = spool
        .used_bytes
        .checked_sub(last_bytes)
        .filter(|grown| *grown > 0)?;
    let elapsed_us = u64::try_from(now_us.saturating_sub(last_us)).ok()?;
    let rest_us = u128::from(room_bytes) * u128::from(elapsed_us) / u128::from(grown_bytes);
    u64::try_from(rest_us / 1_000_000).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spool(used_bytes: u64) -> Spool {
        Spool {
            used_bytes,
            max_bytes: 1_000,
            oldest_unresolved_us: None,
        }
    }

    #[test]
    fn a_source_without_a_spool_has_no_figures() {
        for stats in [
            json!(null),
            json!({"spool": null}),
            json!({"spool": {"used_bytes": 1}}),
            json!({"spool": {"used_bytes": "1", "max_bytes": 2}}),
        ] {
            assert_eq!(Spool::read(&stats), None, "{stats}");
        }
        let mut fill = Fill::default();
        assert_eq!((fill.look(None, 1), fill.look(None, 2)), (None, None));
        assert_eq!(fill, Fill::default());
    }

    #[test]
    fn age_and_percent_are_those_of_the_moment() {
        let stats =
            json!({"spool": {"used_bytes": 809, "max_bytes": 1000, "oldest_unresolved_us": 5_000_000}});
        let spool = Spool::read(&stats).unwrap();
        assert_eq!(
            (spool.percent(), spool.oldest_unresolved_ms(7_250_999)),
            (80, 2_250)
        );
        assert_eq!(
            spool.oldest_unresolved_ms(4_000_000),
            0,
            "a clock that was set back"
        );
        let resolved = json!({"spool": {"used_bytes": 9, "max_bytes": 0, "oldest_unresolved_us": null}});
        let spool = Spool::read(&resolved).unwrap();
        assert_eq!((spool.percent(), spool.oldest_unresolved_ms(7)), (900, 0));
    }

    #[test]
    fn the_time_to_full_is_the_room_over_the_rate_between_two_looks() {
        let mut fill = Fill::default();
        assert_eq!(fill.look(Some(&spool(100)), 0), None, "one look is no rate");
        // 100 bytes in 10 s, 800 bytes of room
        assert_eq!(fill.look(Some(&spool(200)), 10_000_000), Some(80));
        assert_eq!(fill.look(Some(&spool(200)), 20_000_000), None, "it stands");
        assert_eq!(fill.look(Some(&spool(150)), 30_000_000), None, "it shrinks");
        assert_eq!(fill.look(Some(&spool(650)), 40_000_000), Some(7));
        assert_eq!(
            fill.look(Some(&spool(1_100)), 50_000_000),
            Some(0),
            "the reserve is in use"
        );
        assert_eq!(fill.look(None, 60_000_000), None);
        assert_eq!(
            fill.look(Some(&spool(1_200)), 70_000_000),
            None,
            "nothing to compare with"
        );
    }

    #[test]
    fn a_warning_lasts_from_80_percent_until_the_fill_is_below_70() {
        let mut fill = Fill::default();
        let warned: Vec<bool> = [799, 800, 790, 810, 700, 699, 799, 1_000]
            .into_iter()
            .map(|used_bytes| {
                fill.look(Some(&spool(used_bytes)), 0);
                fill.is_warned()
            })
            .collect();
        assert_eq!(warned, [false, true, true, true, true, false, false, true]);
    }
}
