//! The control records: one closed gap per interruption, and everything that went unheard lies inside one.

use super::Comparison;
use crate::evidence::Evidence;

pub(super) const PAIRS: &str = "gaps opened and closed";
pub(super) const STOPPED: &str = "last gap, opened by the stop";
pub(super) const RECORDS: &str = "control records in all";
pub(super) const UNHEARD: &str = "events that nobody could hear, inside a gap";

/// Start and end of each gap of an interruption that was opened and closed by one record each.
pub(super) fn intervals(evidence: &Evidence) -> Vec<(i64, i64)> {
    let controls = &evidence.controls.records;
    let of = |kind: &'static str, id: &str| {
        let found = controls
            .iter()
            .filter(|control| control.kind == kind && control.gap_id == id);
        found.collect::<Vec<_>>()
    };
    let opened = controls
        .iter()
        .filter(|control| control.kind == "gap_opened" && control.cause != "stopped");
    opened
        .filter_map(|opened| {
            match (
                &of("gap_opened", &opened.gap_id)[..],
                &of("gap_closed", &opened.gap_id)[..],
            ) {
                ([_], [closed]) if closed.from_us == opened.from_us && closed.cause == opened.cause => {
                    Some((opened.from_us, closed.to_us?))
                }
                _ => None,
            }
        })
        .collect()
}

/// Says whether a moment lies inside one of the intervals.
pub(super) fn covers(intervals: &[(i64, i64)], at_us: i64) -> bool {
    intervals
        .iter()
        .any(|(from_us, to_us)| (*from_us..=*to_us).contains(&at_us))
}

pub(super) fn compare(evidence: &Evidence) -> Vec<Comparison> {
    let intervals = intervals(evidence);
    let controls = &evidence.controls.records;
    let unsent = &evidence.truth.unsent_us;
    let interruptions = evidence.truth.subscriptions.saturating_sub(1);
    let stopped = controls
        .iter()
        .filter(|control| control.kind == "gap_opened" && control.cause == "stopped");
    let closed_later = |id: &str| {
        let mut closed = controls.iter().filter(|control| control.kind == "gap_closed");
        closed.any(|control| control.gap_id == id)
    };
    let long_ms: i64 = intervals
        .iter()
        .map(|(from_us, to_us)| (to_us - from_us) / 1_000)
        .sum();
    vec![
        Comparison::new(
            PAIRS,
            intervals.len(),
            interruptions,
            format!("interruptions, {long_ms} ms in all"),
        ),
        Comparison::new(
            STOPPED,
            stopped.filter(|control| !closed_later(&control.gap_id)).count(),
            1_u64,
            "and left open",
        ),
        Comparison::new(
            RECORDS,
            evidence.controls.total,
            2 * interruptions + 1,
            "two for each interruption, one for the stop",
        ),
        Comparison::new(
            UNHEARD,
            unsent.iter().filter(|at_us| covers(&intervals, **at_us)).count(),
            unsent.len(),
            "events that happened while no subscription was open",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::tests::broken;
    use super::*;
    use crate::evidence::sample::GAP_US;

    #[test]
    fn a_gap_that_was_never_closed_is_seen_and_excuses_nothing() {
        let broken = broken(|evidence| {
            evidence.controls.records.remove(1);
            evidence.controls.total -= 1;
        });
        for what in [PAIRS, RECORDS, UNHEARD, super::super::events::ONCE] {
            assert!(broken.contains(&what), "{broken:?}");
        }
    }

    #[test]
    fn a_missing_last_gap_is_seen() {
        let broken = broken(|evidence| {
            evidence.controls.records.pop();
            evidence.controls.total -= 1;
        });
        assert!(
            broken.contains(&STOPPED) && broken.contains(&RECORDS),
            "{broken:?}"
        );
    }

    #[test]
    fn an_unheard_event_outside_the_gap_is_seen() {
        assert_eq!(
            broken(|evidence| evidence.truth.unsent_us.push(GAP_US.1 + 1)),
            [UNHEARD]
        );
        assert_eq!(
            broken(|evidence| evidence.truth.unsent_us.push(GAP_US.0 - 1)),
            [UNHEARD]
        );
    }

    #[test]
    fn an_interruption_without_a_gap_is_seen() {
        let broken = broken(|evidence| evidence.truth.subscriptions += 1);
        assert!(broken.contains(&PAIRS) && broken.contains(&RECORDS), "{broken:?}");
    }
}
