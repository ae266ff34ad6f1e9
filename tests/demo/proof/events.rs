//! The events delivered against the ground truth: each once, with its id and key, in order per key.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Comparison, Discarded};
use crate::evidence::{Delivered, Evidence, SentEvent};
use crate::sink::Sink;

pub(super) const ONCE: &str = "events delivered exactly once";
pub(super) const SURPLUS: &str = "events that are there twice or were never sent";
pub(super) const COUNTED: &str = "events delivered or refused";
pub(super) const DISORDER: &str = "events out of order for their key";

fn by_identity(evidence: &Evidence) -> HashMap<&str, Vec<&Delivered>> {
    let mut delivered: HashMap<&str, Vec<&Delivered>> = HashMap::new();
    for event in &evidence.events.records {
        delivered.entry(&event.identity).or_default().push(event);
    }
    delivered
}

/// Events that were sent and that no destination has seen.
pub(super) fn missing(evidence: &Evidence) -> impl Iterator<Item = &SentEvent> {
    let there: BTreeSet<&str> = evidence
        .events
        .records
        .iter()
        .map(|event| event.identity.as_str())
        .chain(
            evidence
                .requests
                .refused()
                .map(|request| request.identity.as_str()),
        )
        .collect();
    let sent = evidence.truth.events.iter();
    sent.filter(move |event| !there.contains(event.identity.as_str()))
}

pub(super) fn compare(evidence: &Evidence, discarded: Discarded) -> Vec<Comparison> {
    let delivered = by_identity(evidence);
    let of = |sent: &SentEvent| {
        delivered
            .get(sent.identity.as_str())
            .map_or(&[][..], Vec::as_slice)
    };
    let sent = &evidence.truth.events;
    let once = sent.iter().filter(|sent| match of(sent) {
        [one] => one.key == sent.key && sent.id.as_ref().is_none_or(|id| *id == one.event_id),
        _ => false,
    });
    let refused = evidence.requests.refused().count();
    let there = sent.iter().filter(|sent| !of(sent).is_empty()).count() as u64;
    vec![
        Comparison::new(
            ONCE,
            once.count(),
            sent.len().saturating_sub(discarded.events + refused),
            match evidence.sink {
                Sink::Kafka => format!(
                    "events sent to an open socket, {} more discarded by the {} inside its gap",
                    discarded.events,
                    evidence.transport.loss()
                ),
                Sink::Webhook => format!(
                    "events sent to an open socket, {refused} more refused and {} discarded by the {}",
                    discarded.events,
                    evidence.transport.loss()
                ),
            },
        ),
        Comparison::new(SURPLUS, evidence.events.total.abs_diff(there), 0_u64, ""),
        Comparison::new(
            COUNTED,
            evidence.events.total + refused as u64,
            evidence.counted("events"),
            "events counted by the plugin",
        ),
        Comparison::new(
            DISORDER,
            disorder(evidence),
            0_u64,
            format!(
                "over {} keys",
                sent.iter().map(|event| &event.key).collect::<BTreeSet<_>>().len()
            ),
        ),
    ]
}

/// Steps back within a key, and keys that lie in more than one partition; requests are one sequence.
fn disorder(evidence: &Evidence) -> u64 {
    let sent = evidence.truth.events.iter().enumerate();
    let order: HashMap<&str, usize> = sent
        .map(|(place, event)| (event.identity.as_str(), place))
        .collect();
    let mut last: BTreeMap<&str, (i32, usize)> = BTreeMap::new();
    let mut steps = 0;
    for event in &evidence.events.records {
        let Some(&place) = order.get(event.identity.as_str()) else {
            continue;
        };
        let lane = event.place.lane();
        if let Some((before_in, before)) = last.insert(&event.key, (lane, place)) {
            steps += u64::from(before_in != lane || place < before);
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::super::tests::{broken, broken_of};
    use super::*;
    use crate::evidence::sample::at;

    #[test]
    fn a_lost_event_is_seen() {
        // the audit and the plugin still claim it
        let broken = broken(|evidence| {
            evidence.events.records.remove(4);
            evidence.events.total -= 1;
        });
        for what in [ONCE, COUNTED] {
            assert!(broken.contains(&what), "{broken:?}");
        }
        assert!(!broken.contains(&SURPLUS));
    }

    #[test]
    fn two_events_of_one_key_that_changed_places_are_seen() {
        let broken = broken(|evidence| {
            let events = &mut evidence.events.records;
            assert_eq!(events[0].key, events[1].key);
            let (first, second) = (events[0].place.clone(), events[1].place.clone());
            events.swap(0, 1);
            (events[0].place, events[1].place) = (first, second);
            let audits = &mut evidence.audits.records;
            (audits[1].event_id, audits[2].event_id) = (audits[2].event_id.take(), audits[1].event_id.take());
        });
        assert_eq!(broken, [DISORDER]);
    }

    #[test]
    fn a_key_in_two_partitions_is_disorder() {
        let broken = broken(|evidence| evidence.events.records[1].place = at(7, 0));
        assert!(broken.contains(&DISORDER), "{broken:?}");
    }

    #[test]
    fn an_event_delivered_twice_or_never_sent_is_seen() {
        let twice = broken(|evidence| {
            let mut again = evidence.events.records[0].clone();
            again.place = at(0, 99);
            evidence.events.records.push(again);
            evidence.events.total += 1;
        });
        assert!(twice.contains(&ONCE) && twice.contains(&SURPLUS), "{twice:?}");
        let invented = broken(|evidence| evidence.events.records[0].identity = "invented".to_owned());
        assert!(
            invented.contains(&ONCE) && invented.contains(&SURPLUS),
            "{invented:?}"
        );
    }

    #[test]
    fn requests_of_one_conversation_that_changed_places_are_seen() {
        let broken = broken_of(Sink::Webhook, |evidence| {
            let events = &mut evidence.events.records;
            let later = events.iter().skip(1).position(|event| event.key == events[0].key);
            events.swap(0, later.unwrap() + 1);
        });
        assert_eq!(broken, [DISORDER]);
    }

    #[test]
    fn an_event_that_was_refused_and_delivered_all_the_same_is_seen() {
        let broken = broken_of(Sink::Webhook, |evidence| {
            let refused = evidence.requests.refused().next().unwrap().clone();
            let mut events = evidence.truth.events.iter();
            let sent = events.find(|event| event.identity == refused.identity).unwrap();
            let delivered = Delivered {
                identity: refused.identity,
                event_id: refused.id,
                key: sent.key.clone(),
                place: evidence.events.records[0].place.clone(),
            };
            evidence.events.records.push(delivered);
            evidence.events.total += 1;
            evidence.events.conforming += 1;
            evidence.events.end += 1;
        });
        for what in [ONCE, COUNTED] {
            assert!(broken.contains(&what), "{broken:?}");
        }
    }

    #[test]
    fn another_id_or_key_than_was_sent_is_seen() {
        assert!(broken(|evidence| evidence.truth.events[0].id = Some("other".to_owned())).contains(&ONCE));
        assert!(broken(|evidence| evidence.truth.events[1].key = "other".to_owned()).contains(&ONCE));
    }
}
