//! Runs that were killed while their last records were on the way to several partitions.

use super::*;

/// Streams of a topic, each with these of a run's records.
fn partitions(of_each: &[Vec<Vec<u8>>], in_flight: u64) -> Report {
    let streams = (0..).zip(of_each);
    let streams = streams
        .map(|(number, records)| stream(StreamName::Partition("audit".to_owned(), number), records))
        .collect();
    let demand = Demand {
        in_flight,
        ..Demand::default()
    };
    judge(streams, &demand).unwrap()
}

/// Record *n* of a run in partition *n* mod 3, but for those of these numbers.
fn without(records: &[Vec<u8>], absent: &[usize]) -> Vec<Vec<Vec<u8>>> {
    let mut of_each = vec![Vec::new(); 3];
    for (number, record) in (1..).zip(records) {
        if !absent.contains(&number) {
            of_each[number % 3].push(record.clone());
        }
    }
    of_each
}

/// The records 1 to 21 of a run that was not closed.
fn killed() -> Vec<Vec<u8>> {
    let mut records = run(RUN, 20);
    records.pop();
    records
}

fn lines_of(report: &Report) -> Vec<String> {
    report.to_string().lines().map(str::to_owned).collect()
}

const BEGINNING: &str = "run 0195510a-7c00-7000-8000-0000000000aa: ";

#[test]
fn what_was_in_flight_when_a_run_was_killed_is_told_and_is_no_break() {
    // the second partition got neither 16 nor 19, the others got what came after them
    let report = partitions(&without(&killed(), &[16, 19]), 100);
    assert!(report.is_whole(), "{report}");
    assert_eq!(
        lines_of(&report),
        [
            format!(
                "{BEGINNING}19 records, 2026-11-23T21:00:00.000Z to 2026-11-23T21:00:00.020Z, NOT CLOSED: it was killed, its \
                 end is not here, or it still runs; 2 after number 15 are not here, and 4 later ones are not linked to what \
                 came before: a kill leaves that of what was in flight, and so does whoever takes records out so near the \
                 end, which cannot be told apart"
            ),
            "19 records of 1 runs: consistent, not authenticated (the hashes carry no key)".to_owned(),
        ]
    );
    // nor is it one if a partition got nothing at all
    let report = partitions(&without(&killed(), &[1, 4, 7, 10, 13, 16, 19]), 100);
    assert!(report.is_whole(), "{report}");
    assert!(
        report
            .to_string()
            .contains("; 7 after number 0 are not here, and 14 later ones"),
        "{report}"
    );
}

#[test]
fn a_hole_that_no_kill_leaves_is_a_break() {
    let missing = |of_each: &[Vec<Vec<u8>>], in_flight| {
        let report = partitions(of_each, in_flight);
        assert!(!report.is_whole(), "{report}");
        lines_of(&report)[1].clone()
    };
    // further before the end than anything was in flight
    assert_eq!(
        missing(&without(&killed(), &[16, 19]), 4),
        "  BROKEN at audit[2]@6: record 16 is missing: this is the next one that is there"
    );
    assert!(partitions(&without(&killed(), &[16, 19]), 6).is_whole());
    // each partition has later ones, so that none of them can still have been on its way
    assert_eq!(
        missing(&without(&killed(), &[16]), 100),
        "  BROKEN at audit[2]@6: record 16 is missing: this is the next one that is there"
    );
    // a run that was closed had nothing in flight
    assert_eq!(
        missing(&without(&run(RUN, 21), &[16, 19, 22]), 100),
        "  BROKEN at audit[2]@6: record 16 is missing: this is the next one that is there (the first of 3 breaks)"
    );
    // one partition, and a file, have one order
    let mut records = killed();
    records.remove(15);
    for in_flight in [100, 0] {
        assert_eq!(
            missing(std::slice::from_ref(&records), in_flight),
            "  BROKEN at audit[0]@16: record 16 is missing: this is the next one that is there"
        );
    }
}

#[test]
fn the_run_after_it_says_where_a_killed_run_ends() {
    let first = without(&killed(), &[16, 19]);
    let last = String::from_utf8(killed().pop().unwrap()).unwrap();
    let last = last.rsplit('"').nth(1).unwrap();
    let second = changed(
        &run(OTHER_RUN, 1)[0],
        "\"prevHash\":null",
        &format!("\"prevHash\":\"{last}\""),
    );
    let with_second = |mut of_each: Vec<Vec<Vec<u8>>>| {
        of_each[0].push(second.clone());
        partitions(&of_each, 100)
    };
    let report = with_second(first.clone());
    assert!(report.is_whole(), "{report}");
    assert!(
        report.to_string().contains(
            ", NOT CLOSED: it was killed; a later run cites its last record; 2 after number 15 are not here"
        ),
        "{report}"
    );
    assert!(!report.to_string().contains("record 1 cites"), "{report}");
    // whoever takes the last record out, too, leaves a run that cites what is not here
    let report = with_second(without(&killed(), &[16, 19, 21]));
    assert!(!report.is_whole(), "{report}");
    assert!(
        report.to_string().contains(", which no run in this trail has: "),
        "{report}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_beginning_of_each_partition_is_what_a_kill_leaves_and_nothing_else_is(
        events in 3_u64..40,
        spread in prop::collection::vec(0_usize..3, 64),
        kept in prop::collection::vec(any::<prop::sample::Index>(), 3),
        taken in any::<prop::sample::Index>(),
    ) {
        let mut records = run(RUN, events);
        records.pop();
        let mut of_each: Vec<Vec<(u64, Vec<u8>)>> = vec![Vec::new(); 3];
        for (number, (record, to)) in (1..).zip(records.into_iter().zip(&spread)) {
            of_each[*to].push((number, record));
        }
        for (records, kept) in of_each.iter_mut().zip(&kept) {
            records.truncate(kept.index(records.len() + 1));
        }
        let texts = |of_each: &[Vec<(u64, Vec<u8>)>]| -> Vec<Vec<Vec<u8>>> {
            let texts = |records: &Vec<(u64, Vec<u8>)>| records.iter().map(|(_, text)| text.clone()).collect();
            of_each.iter().map(texts).collect()
        };
        let report = partitions(&texts(&of_each), 100);
        prop_assert!(report.is_whole(), "{report}");

        // one of those that all partitions have gone beyond
        let ends = of_each.iter().map(|records| records.last().map_or(0, |(number, _)| *number));
        let behind = ends.min().unwrap_or(0).saturating_sub(1);
        prop_assume!(behind > 0);
        let taken = 1 + taken.index(usize::try_from(behind).unwrap()) as u64;
        for records in &mut of_each {
            records.retain(|(number, _)| *number != taken);
        }
        let report = partitions(&texts(&of_each), 100);
        prop_assert!(!report.is_whole(), "{report}");
    }
}
