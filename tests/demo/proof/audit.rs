//! The audit topic: one record per delivery, naming the place where it really is; one run, one unbroken chain.

use std::collections::{HashMap, HashSet};

use super::Comparison;
use crate::evidence::{Audit, Evidence};
use crate::scenario::{DEAD_LETTER, EVENTS};

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

/// Audits whose topic, partition and offset hold the record of their id; one place counts once.
fn placed<'a>(
    audits: impl Iterator<Item = &'a Audit>,
    topic: &str,
    there: &HashMap<(i32, i64), &str>,
) -> usize {
    let mut places = HashSet::new();
    for audit in audits {
        let Some(outcome) = &audit.outcome else { continue };
        let (Some(partition), Some(offset)) = (outcome.partition, outcome.offset) else {
            continue;
        };
        let place = (partition, offset);
        if outcome.topic.as_deref() == Some(topic) && there.get(&place).copied() == audit.event_id.as_deref()
        {
            places.insert(place);
        }
    }
    places.len()
}

pub(super) fn compare(evidence: &Evidence) -> Vec<Comparison> {
    let events = evidence.events.records.iter();
    let events = events
        .map(|event| (event.place, event.event_id.as_str()))
        .collect();
    let letters = evidence.dead_letters.records.iter();
    let letters = letters.map(|letter| (letter.place, letter.id.as_str())).collect();
    let (total, dead) = (evidence.events.total, evidence.dead_letters.total);
    vec![
        Comparison::new(
            PROCESSED,
            placed(with(evidence, "processed"), EVENTS, &events),
            total,
            "events, by topic, partition and offset",
        ),
        Comparison::new(
            PROCESSED_TOTAL,
            with(evidence, "processed").count(),
            total,
            "one for each event",
        ),
        Comparison::new(
            DEAD_LETTERED,
            placed(with(evidence, "dead_lettered"), DEAD_LETTER, &letters),
            dead,
            "dead letters",
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
            "audit records in the topic",
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
    use super::super::tests::broken;
    use super::*;

    #[test]
    fn a_wrong_offset_in_an_audit_is_seen() {
        let broken = broken(|evidence| {
            let outcome = evidence.audits.records[1].outcome.as_mut().unwrap();
            outcome.offset = outcome.offset.map(|offset| offset + 1);
        });
        assert_eq!(broken, [PROCESSED]);
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
            audit.unwrap().outcome.as_mut().unwrap().topic = Some(EVENTS.to_owned());
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
