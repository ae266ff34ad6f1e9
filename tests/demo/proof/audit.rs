//! The audit: one record per delivery, naming the place where it really is; one run, one unbroken chain.

use std::collections::HashSet;

use super::Comparison;
use crate::evidence::{Audit, Evidence};
use crate::raw::Place;
use crate::sink::Sink;

pub(super) const PROCESSED: &str = "`processed` audits that name the event's real place";
pub(super) const PROCESSED_TOTAL: &str = "`processed` audits in all";
pub(super) const DEAD_LETTERED: &str = "`dead_lettered` audits that name the real place";
pub(super) const CHAIN: &str = "audit records that fit the hash chain";
pub(super) const OPENED: &str = "`run_opened` audits";
pub(super) const CLOSED: &str = "`run_closed` audits";

fn with<'a>(evidence: &'a Evidence, status: &'a str) -> impl Iterator<Item = &'a Audit> {
    let audits = evidence.audits.records.iter();
    audits.filter(move |audit| audit.status == status)
}

/// Audits whose outcome is the place where the record of their id lies; one record counts once.
fn placed<'a>(
    audits: impl Iterator<Item = &'a Audit>,
    there: impl Iterator<Item = (&'a str, &'a Place)>,
) -> usize {
    let mut there: HashSet<(&str, &Place)> = there.collect();
    let stated = audits.filter_map(|audit| Some((audit.event_id.as_deref()?, audit.outcome.as_ref()?)));
    stated.filter(|place| there.remove(place)).count()
}

pub(super) fn compare(evidence: &Evidence) -> Vec<Comparison> {
    let events = evidence.events.records.iter();
    let events = events.map(|event| (event.event_id.as_str(), &event.place));
    let letters = evidence.dead_letters.records.iter();
    let letters = letters.map(|letter| (letter.id.as_str(), &letter.place));
    let (total, dead) = (evidence.events.total, evidence.dead_letters.total);
    let [events_by, letters_by] = match evidence.sink {
        Sink::Kafka => [
            "events, by topic, partition and offset",
            "dead letters, by topic, partition and offset",
        ],
        Sink::Webhook => [
            "events, by the attempt that was accepted and its status",
            "dead letters, by file",
        ],
    };
    vec![
        Comparison::new(
            PROCESSED,
            placed(with(evidence, "processed"), events),
            total,
            events_by,
        ),
        Comparison::new(
            PROCESSED_TOTAL,
            with(evidence, "processed").count(),
            total,
            "one for each event",
        ),
        Comparison::new(
            DEAD_LETTERED,
            placed(with(evidence, "dead_lettered"), letters),
            dead,
            letters_by,
        ),
        Comparison::new(
            "`dead_lettered` audits in all",
            with(evidence, "dead_lettered").count(),
            dead,
            "",
        ),
        Comparison::new(OPENED, with(evidence, "run_opened").count(), 1_u64, ""),
        Comparison::new(CLOSED, with(evidence, "run_closed").count(), 1_u64, ""),
        Comparison::new(
            CHAIN,
            links(&evidence.audits.records),
            evidence.audits.total,
            "audit records read back, each hash computed again",
        ),
        Comparison::new(
            "audit records in all",
            evidence.audits.total,
            evidence.counted("audits"),
            "counted by `run_closed`",
        ),
    ]
}

/// Records whose hash is that of their bytes and that cite the record before them.
fn links(audits: &[Audit]) -> usize {
    let mut audits: Vec<&Audit> = audits.iter().collect();
    audits.sort_by_key(|audit| audit.sequence);
    let mut before: Option<&Audit> = None;
    let mut links = 0;
    for audit in audits {
        let cites = match before {
            None => audit.sequence == 1 && audit.prev_hash.is_none(),
            Some(before) => {
                audit.sequence == before.sequence + 1 && audit.prev_hash.as_ref() == Some(&before.hash)
            }
        };
        links += usize::from(cites && audit.hash == audit.computed_hash);
        before = Some(audit);
    }
    links
}

#[cfg(test)]
mod tests {
    use super::super::tests::{broken, broken_of};
    use super::*;
    use crate::scenario::EVENTS;

    #[test]
    fn a_wrong_offset_in_an_audit_is_seen() {
        let broken = broken(|evidence| {
            let Some(Place::Kafka { offset, .. }) = &mut evidence.audits.records[1].outcome else {
                panic!("{:?}", evidence.audits.records[1]);
            };
            *offset += 1;
        });
        assert_eq!(broken, [PROCESSED]);
    }

    #[test]
    fn an_audit_that_states_another_answer_than_was_given_is_seen() {
        for stated in [
            Place::Webhook {
                status: 202,
                attempt: 1,
            },
            Place::Webhook {
                status: 200,
                attempt: 9,
            },
            Place::File {
                path: "requests".to_owned(),
            },
        ] {
            let broken = broken_of(Sink::Webhook, |evidence| {
                evidence.audits.records[1].outcome = Some(stated);
            });
            assert_eq!(broken, [PROCESSED]);
        }
    }

    #[test]
    fn a_dead_letter_that_is_in_another_file_than_its_audit_says_is_seen() {
        let broken = broken_of(Sink::Webhook, |evidence| {
            evidence.dead_letters.records[0].place = Place::File {
                path: "elsewhere.jsonl".to_owned(),
            };
        });
        assert_eq!(broken, [DEAD_LETTERED]);
    }

    #[test]
    fn an_audit_written_twice_or_not_at_all_is_seen() {
        let twice = broken(|evidence| {
            let again = evidence.audits.records[1].clone();
            evidence.audits.records.push(again);
            evidence.audits.total += 1;
        });
        assert!(
            twice.contains(&PROCESSED_TOTAL) && !twice.contains(&PROCESSED),
            "{twice:?}"
        );
        let absent = broken(|evidence| {
            evidence.audits.records.remove(1);
            evidence.audits.total -= 1;
        });
        for what in [PROCESSED, PROCESSED_TOTAL, CHAIN] {
            assert!(absent.contains(&what), "{absent:?}");
        }
    }

    #[test]
    fn a_dead_letter_whose_audit_names_the_events_topic_is_seen() {
        let broken = broken(|evidence| {
            let audit = evidence
                .audits
                .records
                .iter_mut()
                .find(|audit| audit.status == "dead_lettered");
            let Some(Place::Kafka { topic, .. }) = &mut audit.unwrap().outcome else {
                panic!("an audit of a dead letter without a place");
            };
            *topic = EVENTS.to_owned();
        });
        assert_eq!(broken, [DEAD_LETTERED]);
    }

    #[test]
    fn a_forged_record_breaks_the_chain() {
        assert_eq!(
            broken(|evidence| evidence.audits.records[3].computed_hash.clear()),
            [CHAIN]
        );
        assert_eq!(
            broken(|evidence| evidence.audits.records[3].prev_hash = None),
            [CHAIN]
        );
    }

    #[test]
    fn a_run_without_its_first_or_last_record_is_seen() {
        let opened = broken(|evidence| evidence.audits.records[0].status = "interval".to_owned());
        assert_eq!(opened, [OPENED]);
        let closed =
            broken(|evidence| evidence.audits.records.last_mut().unwrap().status = "interval".to_owned());
        assert!(closed.contains(&CLOSED), "{closed:?}");
    }
}
