//! Chains as the adapter writes them, then damaged: what is said, of which record, at which place.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::audit::{AuditKey, Chain as Writer, Counts, Destination, Facts, Status};

mod keyed;
mod killed;
mod retention;
mod trail;

const RUN: &str = "0195510a-7c00-7000-8000-0000000000aa";
const OTHER_RUN: &str = "0195510a-7c00-7000-8000-0000000000bb";

/// A stream of texts, each with its place.
struct Texts {
    name: StreamName,
    texts: VecDeque<(u64, Vec<u8>)>,
    has_lost_its_beginning: bool,
}

impl Stream for Texts {
    fn name(&self) -> StreamName {
        self.name.clone()
    }

    fn next(&mut self) -> Result<Option<(u64, Vec<u8>)>, Error> {
        Ok(self.texts.pop_front())
    }

    fn has_lost_its_beginning(&self) -> bool {
        self.has_lost_its_beginning
    }
}

/// The records of a run: opened, `events` processed, closed with its count.
fn run(id: &str, events: u64) -> Vec<Vec<u8>> {
    run_with(id, events, None)
}

/// The same, hashed with a key.
fn run_with(id: &str, events: u64, key: Option<&AuditKey>) -> Vec<Vec<u8>> {
    let mut chain = Writer::new(id.to_owned(), "main".to_owned(), "tag".to_owned()).keyed(key.cloned());
    let mut records = Vec::new();
    let mut append = |facts: &Facts<'_>| {
        let mut bytes = Vec::new();
        let at_us = 1_795_467_600_000_000 + 1_000 * records.len() as i64;
        chain.append(facts, at_us, &mut bytes);
        records.push(bytes);
    };
    append(&Facts::of_run(Status::RunOpened, None));
    for number in 1..=events {
        append(&Facts {
            status: Status::Processed,
            analytics_id: Some("conversation"),
            event_id: Some(&format!("event-{number}")),
            destination: Some(Destination::Kafka {
                topic: "genesys.events",
                partition: 0,
                offset: i64::try_from(number).ok(),
            }),
            reason: None,
            source_sequence: Some(number),
            counts: None,
        });
    }
    let counts = Counts {
        audits: events + 2,
        ..Counts::default()
    };
    append(&Facts::of_run(Status::RunClosed, Some(counts)));
    records
}

/// Judges lines of one file.
fn lines(records: &[Vec<u8>], partial: bool) -> Report {
    let demand = Demand {
        partial,
        ..Demand::default()
    };
    judged(records, &demand)
}

/// Judges lines of one file by what is demanded.
fn judged(records: &[Vec<u8>], demand: &Demand) -> Report {
    judge(
        vec![stream(StreamName::File("a.jsonl".to_owned()), records)],
        demand,
    )
    .unwrap()
}

fn stream(name: StreamName, records: &[Vec<u8>]) -> Box<dyn Stream> {
    let texts = (1..).zip(records.iter().cloned()).collect();
    Box::new(Texts {
        name,
        texts,
        has_lost_its_beginning: false,
    })
}

fn shown(records: &[Vec<u8>]) -> Vec<String> {
    lines(records, false)
        .to_string()
        .lines()
        .map(str::to_owned)
        .collect()
}

/// What the first line says is broken.
fn broken(records: &[Vec<u8>]) -> String {
    let lines = shown(records);
    assert!(lines.last().unwrap().contains("BROKEN, 1 runs"), "{lines:#?}");
    lines[1].clone()
}

/// A record with other words, hashed anew, as by one who knows how.
fn changed(record: &[u8], from: &str, to: &str) -> Vec<u8> {
    let record = std::str::from_utf8(record).unwrap();
    let (canonical, _) = record.rsplit_once(",\"hash\"").unwrap();
    let canonical = canonical.replace(from, to);
    let mut hash = Vec::new();
    crate::text::push_hex(
        &mut hash,
        &<sha2::Sha256 as sha2::Digest>::digest(format!("{canonical}}}")),
    );
    let hash = String::from_utf8(hash).unwrap();
    format!("{canonical},\"hash\":\"{hash}\"}}").into_bytes()
}

#[test]
fn a_whole_run_is_consistent_and_no_more_than_that() {
    assert_eq!(
        shown(&run(RUN, 3)),
        [
            "run 0195510a-7c00-7000-8000-0000000000aa: 5 records, 2026-11-23T21:00:00.000Z to 2026-11-23T21:00:00.004Z, \
             closed",
            "5 records of 1 runs: consistent, not authenticated (the hashes carry no key)",
        ]
    );
}

#[test]
fn a_record_that_is_not_there_is_named_by_its_number() {
    let mut records = run(RUN, 5);
    records.remove(2);
    assert_eq!(
        broken(&records),
        "  BROKEN at a.jsonl:3: record 3 is missing: this is the next one that is there"
    );
    records.drain(2..4);
    assert_eq!(
        broken(&records),
        "  BROKEN at a.jsonl:3: records 3 to 5 are missing: this is the next one that is there"
    );
    let mut headless = run(RUN, 5);
    headless.drain(..2);
    assert_eq!(
        broken(&headless),
        "  BROKEN at a.jsonl:1: records 1 to 2 are missing: this is the next one that is there"
    );
    let report = lines(&headless, true);
    assert!(report.is_whole());
    assert!(
        report
            .to_string()
            .contains(", begins with number 3: what came before is not here, closed"),
        "{report}"
    );
}

#[test]
fn a_hole_is_a_break_for_a_partial_trail_as_well() {
    let mut records = run(RUN, 5);
    records.drain(..2);
    records.remove(2);
    assert!(!lines(&records, true).is_whole());
}

#[test]
fn an_altered_record_is_named_by_its_place() {
    let mut records = run(RUN, 5);
    let text = String::from_utf8(records[3].clone()).unwrap();
    records[3] = text.replace("event-3", "event-9").into_bytes();
    assert_eq!(
        broken(&records),
        "  BROKEN at a.jsonl:4: record 4 was altered: its bytes do not give its hash"
    );
}

#[test]
fn a_record_that_was_hashed_anew_no_longer_fits_the_one_after_it() {
    let mut records = run(RUN, 5);
    records[3] = changed(&records[3], "event-3", "event-9");
    assert_eq!(
        broken(&records),
        "  BROKEN at a.jsonl:5: record 5 cites another than record 4: one of the two was altered or replaced"
    );
}

#[test]
fn a_tail_that_was_cut_off_leaves_a_whole_chain_that_is_not_closed() {
    let mut cut = run(RUN, 5);
    cut.truncate(3);
    let report = lines(&cut, false);
    assert!(
        report.is_whole() && report.to_string().contains("NOT CLOSED"),
        "{report}"
    );
}

#[test]
fn a_changed_order_is_seen_although_every_record_is_there() {
    let mut records = run(RUN, 5);
    records.swap(2, 4);
    assert_eq!(
        broken(&records),
        "  BROKEN at a.jsonl:5: record 3 stands behind record 5: their order was changed (the first of 2 breaks)"
    );
}

#[test]
fn a_repeat_is_no_break_but_another_record_of_the_same_number_is() {
    let mut records = run(RUN, 5);
    records.insert(6, records[1].clone());
    records.push(records[6].clone());
    let report = lines(&records, false);
    assert!(report.is_whole(), "{report}");
    assert!(
        report.to_string().contains(", 2 repeated byte for byte"),
        "{report}"
    );

    let other = run(RUN, 2).pop().unwrap();
    records.insert(4, other);
    assert_eq!(
        broken(&records),
        "  BROKEN at a.jsonl:5: another record of number 4 stands elsewhere: one of the two was added"
    );
    let zero = changed(&run(RUN, 1)[0], "\"sequence\":1", "\"sequence\":0");
    assert_eq!(
        broken(&[run(RUN, 2), vec![zero]].concat()),
        "  BROKEN at a.jsonl:5: a record of number 0, which no record has"
    );
}

#[test]
fn what_comes_after_the_end_or_does_not_fit_its_count_is_a_break() {
    let mut chain = Writer::new(RUN.to_owned(), "main".to_owned(), "tag".to_owned());
    let mut records = Vec::new();
    let counts = Counts {
        audits: 7,
        ..Counts::default()
    };
    for (at_us, facts) in [
        Facts::of_run(Status::RunOpened, None),
        Facts::of_run(Status::RunClosed, Some(counts)),
        Facts::of_run(Status::Interval, None),
    ]
    .iter()
    .enumerate()
    {
        let mut bytes = Vec::new();
        chain.append(facts, at_us as i64 * 1_000, &mut bytes);
        records.push(bytes);
    }
    assert_eq!(
        broken(&records),
        "  BROKEN at a.jsonl:2: the run states 7 records, and this is number 2 (the first of 2 breaks)"
    );
}

#[test]
fn runs_that_are_mixed_are_judged_one_by_one_and_other_kinds_passed_over() {
    let (one, other) = (run(RUN, 4), run(OTHER_RUN, 2));
    let mut texts = Vec::new();
    for at in 0..6 {
        texts.extend(one.get(at).cloned());
        texts.extend(other.get(at).cloned());
        texts.push(b"{\"kind\":\"event\",\"sequence\":1,\"key\":\"k\",\"record\":{}}".to_vec());
    }
    let report = lines(&texts, false);
    assert!(report.is_whole(), "{report}");
    assert_eq!(
        report.verdict(),
        "10 records of 2 runs: consistent, not authenticated (the hashes carry no key)"
    );
    assert!(
        report
            .to_string()
            .contains("6 records of other kinds passed over"),
        "{report}"
    );
    texts.push(b"{\"auditId\":".to_vec());
    let lines = shown(&texts);
    assert!(
        lines[2].starts_with("a.jsonl:17 is no audit record: EOF"),
        "{lines:#?}"
    );
    assert_eq!(
        lines[4],
        "10 records of 2 runs: BROKEN, 0 runs do not fit their chain, 1 texts are no audit record"
    );
}

#[test]
fn a_run_that_cites_another_is_held_against_it() {
    let (first, second) = (run(RUN, 1), run(OTHER_RUN, 1));
    let head = String::from_utf8(first.last().unwrap().clone()).unwrap();
    let head = head.rsplit('"').nth(1).unwrap();
    let citing = |digest: &str| {
        changed(
            &second[0],
            "\"prevHash\":null",
            &format!("\"prevHash\":\"{digest}\""),
        )
    };
    let fits = lines(&[first.clone(), vec![citing(head)]].concat(), false);
    assert!(fits.is_whole(), "{fits}");
    let unknown = lines(&[first, vec![citing(&"0".repeat(64))]].concat(), false);
    assert!(
        !unknown.is_whole() && unknown.to_string().contains(" cites 00000000"),
        "{unknown}"
    );
}

#[test]
fn nothing_to_verify_is_said() {
    assert_eq!(shown(&[]), ["there is no audit record"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_run_spread_over_partitions_with_repeats_is_whole_and_any_damage_is_seen(
        events in 1_u64..40,
        spread in prop::collection::vec(0_usize..4, 64),
        repeats in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        damaged in any::<prop::sample::Index>(),
        byte in any::<prop::sample::Index>(),
        how in 0_u8..3,
    ) {
        let records = run(RUN, events);
        let partitions = |records: &[Vec<u8>]| {
            let mut partitions: Vec<Vec<Vec<u8>>> = vec![Vec::new(); 4];
            for (record, to) in records.iter().zip(&spread) {
                partitions[*to].push(record.clone());
            }
            partitions
        };
        let judged = |partitions: Vec<Vec<Vec<u8>>>| {
            let streams = (0..).zip(&partitions);
            let streams = streams
                .map(|(number, records)| stream(StreamName::Partition("audit".to_owned(), number), records))
                .collect();
            judge(streams, &Demand::default()).unwrap()
        };
        let mut repeated = partitions(&records);
        for at in &repeats {
            // a producer that was replaced sends again what it does not know to be there, to the same partition
            let at = at.index(records.len());
            repeated[spread[at]].push(records[at].clone());
        }
        let report = judged(repeated);
        prop_assert!(report.is_whole(), "{report}");

        let mut records = records;
        // the last one cut off is a run that is not closed: no break
        let at = damaged.index(records.len() - 1);
        match how {
            0 => drop(records.remove(at)),
            1 => {
                let length = records[at].len();
                records[at][byte.index(length)] ^= 1;
            }
            _ => {
                let twin = run(RUN, events + 1).swap_remove(at);
                let other = String::from_utf8(twin).unwrap().replace("\"tag\"", "\"gat\"");
                records[at] = other.into_bytes();
            }
        }
        let report = judged(vec![records]);
        prop_assert!(!report.is_whole(), "{report}");
    }
}
