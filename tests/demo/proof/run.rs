//! The run as a whole: the adapter's laws and end, and whether the topics were read whole and keep to their schemas.

use super::Comparison;
use crate::evidence::{Evidence, Topic};
use crate::scenario::SHARD;

pub(super) const LAWS: [(&str, &str); 3] = [
    ("frames", "law of frames"),
    ("records", "law of records"),
    ("adapter", "law of the adapter"),
];
pub(super) const READ: &str = "records read back";
pub(super) const CONFORMING: &str = "records that keep to their schema";
pub(super) const NAMED: &str = "dead letters and gap records that name the shard";
pub(super) const LAST_RESORT: &str = "dead letters that went to the local file";
pub(super) const EXIT: &str = "exit code of genesys-kafka";

/// Stands for a number that is not known.
const UNKNOWN: i64 = -1;

pub(super) fn compare(evidence: &Evidence) -> Vec<Comparison> {
    fn figures<R>(topic: &Topic<R>) -> [u64; 3] {
        [topic.total, topic.conforming, topic.end]
    }
    let topics = [
        figures(&evidence.events),
        figures(&evidence.audits),
        figures(&evidence.dead_letters),
        figures(&evidence.controls),
    ];
    let sum = |place: usize| topics.iter().map(|figures| figures[place]).sum::<u64>();
    let summary = evidence.summary.as_ref();
    let stated = |found: Option<i64>, what| match found {
        Some(found) => Comparison::new(what, found, 0_i64, ""),
        None => Comparison::new(what, UNKNOWN, 0_i64, "the adapter's summary does not state it"),
    };
    let mut comparisons = vec![
        Comparison::new(
            READ,
            sum(0),
            sum(2),
            "records in the four topics by their end offsets",
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
        comparisons.push(stated(law, what));
    }
    let last_resort = summary.and_then(|summary| i64::try_from(summary.last_resort).ok());
    comparisons.push(stated(last_resort, LAST_RESORT));
    comparisons.push(match evidence.exit_code {
        Some(code) => Comparison::new(EXIT, i64::from(code), 0_i64, "after SIGTERM and a drain"),
        None => Comparison::new(EXIT, UNKNOWN, 0_i64, "ended by a signal"),
    });
    comparisons
}

#[cfg(test)]
mod tests {
    use super::super::tests::broken;
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
        assert_eq!(broken, [LAWS[0].1, LAWS[1].1, LAWS[2].1, LAST_RESORT]);
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
            broken(|evidence| evidence.summary.as_mut().unwrap().last_resort = 1),
            [LAST_RESORT]
        );
    }
}
