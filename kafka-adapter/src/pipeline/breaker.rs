//! The breaker: holds the events while their destination takes none, and lets one try at a time.
//!
//! Responsible for telling a destination that is down, or wrongly addressed, from a record that fails alone, and for
//! one log line where it opens and one where it closes. Refuses to count a failure against a record. Invariant: while
//! it is open, at most one event is on its way that was sent since.

use super::{FIRST_PAUSE_US, LONGEST_PAUSE_US};

/// Failures in a row, with nothing accepted between them, that mean that the destination is down. With a fifth of all
/// requests failing by chance, so many come together once in 10^11.
const FAILURES_IN_A_ROW: u32 = 16;
/// Failures in a row that mean the same if they span [`SILENCE_US`], as they do where there is little to send: fewer
/// than three are no row.
const FAILURES_IN_SILENCE: u32 = 3;
/// How long failures must go on, with nothing accepted between them, to mean that the destination is down, in
/// microseconds of the monotonic clock: longer than the restart of a receiver takes, a second or two, and far below the
/// 60 s after which `operations.max_lag_ms` finds a run unready. An event alone on its way fails for the seventh time
/// after 6.3 to 7.9 s, and opens it then.
const SILENCE_US: i64 = 5_000_000;

/// State of the destination of events.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    /// Since anything was accepted.
    failures: u32,
    /// When the first of them came, by the monotonic clock.
    failing_since_us: i64,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    until_us: i64,
    pause_us: i64,
    /// The event that tries whether the destination is back.
    probe: Option<u64>,
    /// It answers, but will take nothing until someone acts.
    shut: bool,
    /// Why it opened, in the destination's words.
    reason: String,
}

/// What a failure says of the destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nothing by itself; the destination asks for this pause, in microseconds.
    Passing {
        /// 0 if it asks for none.
        pause_us: i64,
    },
    /// It takes nothing from anyone.
    Shut,
}

impl Breaker {
    /// Says whether an event may be sent now.
    pub(super) fn admits(&self, now_us: i64) -> bool {
        self.open
            .as_ref()
            .is_none_or(|open| open.probe.is_none() && now_us >= open.until_us)
    }

    /// Notes that an event was sent.
    pub(super) fn hand_over(&mut self, number: u64) {
        if let Some(open) = &mut self.open {
            open.probe = Some(number);
        }
    }

    /// Notes that an event failed, and opens if that is enough.
    pub(super) fn fail(&mut self, number: u64, fault: Fault, reason: &str, now_us: i64) {
        if self.failures == 0 {
            self.failing_since_us = now_us;
        }
        self.failures = self.failures.saturating_add(1);
        let shut = fault == Fault::Shut;
        let asked_us = match fault {
            Fault::Passing { pause_us } => pause_us,
            Fault::Shut => 0,
        };
        let Some(open) = &mut self.open else {
            if shut || self.is_down(now_us) {
                tell(shut, reason);
                self.open = Some(Open {
                    until_us: now_us + FIRST_PAUSE_US.max(asked_us),
                    pause_us: FIRST_PAUSE_US,
                    probe: None,
                    shut,
                    reason: reason.to_owned(),
                });
            }
            return;
        };
        if shut && !open.shut {
            open.shut = true;
            reason.clone_into(&mut open.reason);
            tell(shut, reason);
        }
        // those that were on their way when it opened change nothing
        if open.probe == Some(number) {
            open.probe = None;
            open.pause_us = (open.pause_us * 2).min(LONGEST_PAUSE_US);
            open.until_us = now_us + open.pause_us.max(asked_us);
        }
    }

    /// Says whether the failures since anything was accepted are enough: many, or a few for long.
    fn is_down(&self, now_us: i64) -> bool {
        self.failures >= FAILURES_IN_A_ROW
            || self.failures >= FAILURES_IN_SILENCE
                && now_us.saturating_sub(self.failing_since_us) >= SILENCE_US
    }

    /// Notes that the destination has taken an event, or has refused it as itself.
    pub(super) fn answered(&mut self, number: u64) {
        self.failures = 0;
        if self.open.as_ref().is_some_and(|open| open.probe == Some(number)) {
            self.open = None;
            tracing::info!("destination takes events again, deliveries go on");
        }
    }

    /// Notes that the event that tries will have no outcome.
    pub(super) fn forget_probe(&mut self) {
        if let Some(open) = &mut self.open {
            open.probe = None;
        }
    }

    /// Why events are held, if they are.
    pub(super) fn reason(&self) -> Option<&str> {
        self.open.as_ref().map(|open| open.reason.as_str())
    }

    /// When the next event may try, in microseconds of the monotonic clock; nothing while one does.
    pub(super) fn due_us(&self) -> Option<i64> {
        self.open
            .as_ref()
            .filter(|open| open.probe.is_none())
            .map(|open| open.until_us)
    }
}

fn tell(shut: bool, reason: &str) {
    if shut {
        tracing::error!(
            reason,
            "destination takes no events, they are held and one at a time is tried"
        );
    } else {
        tracing::warn!(
            reason,
            "destination down, events are held and one at a time is tried"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSING: Fault = Fault::Passing { pause_us: 0 };

    #[test]
    fn failures_in_a_row_open_it_and_a_success_between_them_does_not() {
        let mut breaker = Breaker::default();
        for number in 0..100 {
            breaker.fail(number, PASSING, "500", 0);
            if number % 10 == 9 {
                breaker.answered(number);
            }
        }
        assert!(breaker.admits(0));
        for number in 0..u64::from(FAILURES_IN_A_ROW) {
            assert!(breaker.admits(0), "{number}");
            breaker.fail(number, PASSING, "500", 0);
        }
        assert!(!breaker.admits(0) && breaker.admits(FIRST_PAUSE_US));
    }

    #[test]
    fn a_few_failures_open_it_once_nothing_has_been_accepted_for_a_while() {
        let mut breaker = Breaker::default();
        breaker.fail(0, PASSING, "500", 7);
        breaker.fail(0, PASSING, "500", 7 + 10 * SILENCE_US);
        assert!(breaker.reason().is_none(), "two are no row");
        breaker.answered(1);
        for at_us in [0, 1, SILENCE_US - 1] {
            breaker.fail(0, PASSING, "500", 100 + at_us);
            assert!(breaker.reason().is_none(), "{at_us}");
        }
        breaker.answered(1);
        for at_us in [0, SILENCE_US] {
            breaker.fail(0, PASSING, "500", 2 * SILENCE_US + at_us);
            assert!(
                breaker.reason().is_none(),
                "counted from the last acceptance, {at_us}"
            );
        }
        breaker.fail(0, PASSING, "503", 3 * SILENCE_US);
        assert_eq!(breaker.reason(), Some("503"));
        assert_eq!(breaker.due_us(), Some(3 * SILENCE_US + FIRST_PAUSE_US));
    }

    #[test]
    fn one_event_tries_at_a_time_with_longer_pauses_until_one_is_taken() {
        let mut breaker = Breaker::default();
        breaker.fail(0, Fault::Shut, "401", 0);
        assert_eq!(breaker.reason(), Some("401"));
        let mut now_us = breaker.due_us().unwrap();
        let mut pauses = Vec::new();
        for number in 1..10 {
            assert!(breaker.admits(now_us));
            breaker.hand_over(number);
            assert!(!breaker.admits(i64::MAX), "one at a time");
            // one that was on its way before says nothing
            breaker.answered(0);
            breaker.fail(0, PASSING, "timeout", now_us);
            assert_eq!(breaker.due_us(), None);
            breaker.fail(number, PASSING, "timeout", now_us);
            let due_us = breaker.due_us().unwrap();
            pauses.push(due_us - now_us);
            now_us = due_us;
        }
        assert!(
            pauses.is_sorted() && pauses[0] == 2 * FIRST_PAUSE_US,
            "{pauses:?}"
        );
        assert_eq!(pauses.last(), Some(&LONGEST_PAUSE_US));
        breaker.hand_over(10);
        breaker.answered(10);
        assert!(breaker.reason().is_none() && breaker.admits(0));
    }

    #[test]
    fn a_pause_that_is_asked_for_is_kept() {
        let mut breaker = Breaker::default();
        breaker.fail(0, Fault::Shut, "404", 0);
        breaker.hand_over(1);
        breaker.fail(1, Fault::Passing { pause_us: 60_000_000 }, "429", 7);
        assert_eq!(breaker.due_us(), Some(60_000_007));
    }
}
