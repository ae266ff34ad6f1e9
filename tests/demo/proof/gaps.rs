//! The control records: one closed gap per interruption, and everything that went unheard lies inside one.

use std::collections::BTreeSet;

use support::gap::Gap;

use super::Comparison;
use crate::evidence::Evidence;
use crate::transport::Transport;

pub(super) const PAIRS: &str = "gaps opened and closed";
pub(super) const STOPPED: &str = "last gap, opened by the stop";
pub(super) const RECORDS: &str = "control records in all";
pub(super) const UNHEARD: &str = "events that nobody could hear, inside a gap";
pub(super) const INVENTED: &str = "events that nobody could hear, delivered all the same";
pub(super) const TOPICS: &str = "topics that the gap of the drop names";

/// Each gap of an interruption that was opened and closed by one record each.
pub(super) fn intervals(evidence: &Evidence) -> Vec<Gap> {
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
                    Some(Gap {
                        cause: opened.cause.clone(),
                        topics: opened.topics.clone(),
                        from_us: opened.from_us,
                        to_us: Some(closed.to_us?),
                        ..Gap::default()
                    })
                }
                _ => None,
            }
        })
        .collect()
}

/// Says whether a moment lies inside one of the gaps, of this topic where there is one.
pub(super) fn covers(gaps: &[Gap], topic: Option<&str>, at_us: i64) -> bool {
    gaps.iter().any(|gap| gap.covers(topic, at_us))
}

pub(super) fn compare(evidence: &Evidence) -> Vec<Comparison> {
    let intervals = intervals(evidence);
    let controls = &evidence.controls.records;
    let unsent = &evidence.truth.unsent;
    let interruptions = evidence.truth.interruptions;
    let stopped = controls
        .iter()
        .filter(|control| control.kind == "gap_opened" && control.cause == "stopped");
    let closed_later = |id: &str| {
        let mut closed = controls.iter().filter(|control| control.kind == "gap_closed");
        closed.any(|control| control.gap_id == id)
    };
    let long_ms: i64 = intervals
        .iter()
        .filter_map(|gap| Some((gap.to_us? - gap.from_us) / 1_000))
        .sum();
    let delivered: BTreeSet<&str> = evidence
        .events
        .records
        .iter()
        .map(|event| event.identity.as_str())
        .collect();
    let invented = unsent
        .iter()
        .filter(|event| delivered.contains(event.identity.as_str()));
    let mut comparisons = vec![
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
            match evidence.transport {
                Transport::Notifications => "two for the drop, none for the hand-over, one for the stop",
                Transport::Events => "two for each interruption, one for the stop",
            },
        ),
        Comparison::new(
            UNHEARD,
            unsent
                .iter()
                .filter(|event| covers(&intervals, event.topic.as_deref(), event.at_us))
                .count(),
            unsent.len(),
            "events that happened while no subscription was open",
        ),
        Comparison::new(INVENTED, invented.count(), 0_u64, ""),
    ];
    if evidence.transport == Transport::Notifications {
        let named: BTreeSet<&String> = intervals.iter().flat_map(|gap| &gap.topics).collect();
        let subscribed: BTreeSet<&String> = evidence
            .truth
            .events
            .iter()
            .filter_map(|event| event.topic.as_ref())
            .collect();
        comparisons.push(Comparison::new(
            TOPICS,
            named.intersection(&subscribed).count(),
            subscribed.len().max(named.len()),
            "topics on which events were sent",
        ));
    }
    comparisons
}

#[cfg(test)]
mod tests {
    use super::super::tests::{broken, broken_over};
    use super::*;
    use crate::evidence::sample::GAP_US;
    use crate::sink::Sink;

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
            broken(|evidence| evidence.truth.unsent[0].at_us = GAP_US.1 + 1),
            [UNHEARD]
        );
        assert_eq!(
            broken(|evidence| evidence.truth.unsent[0].at_us = GAP_US.0 - 1),
            [UNHEARD]
        );
    }

    #[test]
    fn an_interruption_without_a_gap_is_seen() {
        let broken = broken(|evidence| evidence.truth.interruptions += 1);
        assert!(broken.contains(&PAIRS) && broken.contains(&RECORDS), "{broken:?}");
    }

    #[test]
    fn an_event_of_the_gap_that_is_delivered_all_the_same_is_seen() {
        let broken = broken(|evidence| {
            let unheard = evidence.truth.unsent[0].identity.clone();
            evidence.events.records[0].identity = unheard;
        });
        assert!(broken.contains(&INVENTED), "{broken:?}");
    }

    #[test]
    fn a_gap_excuses_its_own_topics_alone_and_must_name_each() {
        let broken = broken_over(Transport::Notifications, Sink::Kafka, |evidence| {
            for control in &mut evidence.controls.records {
                control.topics = vec!["v2.routing.queues.other.conversations".to_owned()];
            }
        });
        for what in [UNHEARD, TOPICS, super::super::events::ONCE] {
            assert!(broken.contains(&what), "{broken:?}");
        }
    }
}
