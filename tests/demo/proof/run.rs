//! The run as a whole: the adapter's laws, counts and end, and whether everything was read and keeps to its schema.

use super::Comparison;
use crate::evidence::{Evidence, Kept};
use crate::scenario::SHARD;
use crate::sink::Sink;

pub(super) const LAWS: [(&str, &str); 3] = [
    ("frames", "law of frames"),
    ("records", "law of records"),
    ("adapter", "law of the adapter"),
];
pub(super) const READ: &str = "records read back";
pub(super) const CONFORMING: &str = "records that keep to their schema";
pub(super) const NAMED: &str = "dead letters and gap records that name the shard";
pub(super) const LAST_RESORT: &str = "dead letters that their own destination refused";
/// What the adapter's summary counts, as it is called there and here.
pub(super) const COUNTS: [(&str, &str); 4] = [
    ("events", "events delivered, by the adapter's count"),
    ("deadLetters", "dead letters, by the adapter's count"),
    ("control", "control records, by the adapter's count"),
    ("auditsAcknowledged", "audit records, by the adapter's count"),
];
pub(super) const EXIT: &str = "exit code of genesys-kafka";

/// Stands for a number that is not known.
const UNKNOWN: i64 = -1;

pub(super) fn compare(evidence: &Evidence) -> Vec<Comparison> {
    fn figures<R>(kept: &Kept<R>) -> [u64; 3] {
        [kept.total, kept.conforming, kept.end]
    }
    let kept = [
        figures(&evidence.events),
        figures(&evidence.audits),
        figures(&evidence.dead_letters),
        figures(&evidence.controls),
    ];
    let sum = |place: usize| kept.iter().map(|figures| figures[place]).sum::<u64>();
    let summary = evidence.summary.as_ref();
    let stated = |found: Option<i64>, what, expected: u64| match found {
        Some(found) => Comparison::new(what, found, expected, ""),
        None => Comparison::new(what, UNKNOWN, expected, "the adapter's summary does not state it"),
    };
    let count = |name: &str| {
        let counted = summary.and_then(|summary| summary.counts.get(name));
        counted.and_then(|count| i64::try_from(*count).ok())
    };
    let mut comparisons = vec![
        Comparison::new(
            READ,
            sum(0),
            sum(2),
            match evidence.sink {
                Sink::Kafka => "records in the four topics by their end offsets",
                Sink::Webhook => "requests accepted, by the receiver, and lines of the three files",
            },
        ),
        Comparison::new(
            CONFORMING,
            sum(1),
            sum(0),
            "records held against schemas/*.schema.json",
        ),
    ];
    let letters = evidence.dead_letters.records.iter().map(|letter| &letter.source);
    let gaps = evidence.controls.records.iter().map(|control| &control.source);
    comparisons.push(Comparison::new(
        NAMED,
        letters.chain(gaps).filter(|source| *source == SHARD).count(),
        evidence.dead_letters.total + evidence.controls.total,
        "dead letters and gap records",
    ));
    for (name, what) in LAWS {
        let law = summary.and_then(|summary| summary.laws.get(name).copied());
        comparisons.push(stated(law, what, 0));
    }
    for ((name, what), [total, ..]) in COUNTS.into_iter().zip([
        figures(&evidence.events),
        figures(&evidence.dead_letters),
        figures(&evidence.controls),
        figures(&evidence.audits),
    ]) {
        comparisons.push(stated(count(name), what, total));
    }
    comparisons.push(stated(count("lastResort"), LAST_RESORT, 0));
    comparisons.push(match evidence.exit_code {
        Some(code) => Comparison::new(EXIT, i64::from(code), 0_i64, "after SIGTERM and a drain"),
        None => Comparison::new(EXIT, UNKNOWN, 0_i64, "ended by a signal"),
    });
    comparisons
}

#[cfg(test)]
mod tests {
    use super::super::tests::{broken, broken_of};
    use super::*;

    #[test]
    fn a_law_of_one_is_seen() {
        for (name, what) in LAWS {
            let broken = broken(|evidence| {
                evidence.summary.as_mut().unwrap().laws.insert(name.to_owned(), 1);
            });
            assert_eq!(broken, [what]);
        }
    }

    #[test]
    fn a_law_that_is_not_stated_does_not_hold() {
        let broken = broken(|evidence| evidence.summary = None);
        let unstated = LAWS.into_iter().chain(COUNTS).map(|(_, what)| what);
        assert_eq!(broken, unstated.chain([LAST_RESORT]).collect::<Vec<_>>());
    }

    #[test]
    fn a_count_of_the_summary_that_is_not_true_is_seen() {
        for sink in [Sink::Kafka, Sink::Webhook] {
            for (name, what) in COUNTS {
                let broken = broken_of(sink, |evidence| {
                    *evidence.summary.as_mut().unwrap().counts.get_mut(name).unwrap() += 1;
                });
                assert!(broken.contains(&what), "{sink:?}: {broken:?}");
            }
        }
    }

    #[test]
    fn a_hole_in_a_topic_and_a_record_beside_its_schema_are_seen() {
        assert_eq!(broken(|evidence| evidence.dead_letters.end += 1), [READ]);
        assert_eq!(broken(|evidence| evidence.controls.conforming -= 1), [CONFORMING]);
    }

    #[test]
    fn a_record_of_another_shard_is_seen() {
        let letter = broken(|evidence| evidence.dead_letters.records[0].source = "main".to_owned());
        assert_eq!(letter, [NAMED]);
        let gap = broken(|evidence| evidence.controls.records[0].source = "main".to_owned());
        assert_eq!(gap, [NAMED]);
    }

    #[test]
    fn a_failed_adapter_is_seen() {
        assert_eq!(broken(|evidence| evidence.exit_code = Some(70)), [EXIT]);
        assert_eq!(broken(|evidence| evidence.exit_code = None), [EXIT]);
        assert_eq!(
            broken(|evidence| {
                let counts = &mut evidence.summary.as_mut().unwrap().counts;
                counts.insert("lastResort".to_owned(), 1);
            }),
            [LAST_RESORT]
        );
    }
}
