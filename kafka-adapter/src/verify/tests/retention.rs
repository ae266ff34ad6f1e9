//! Topics of several partitions, of each of which retention has deleted a beginning of its own.

use super::trail::run_of;
use super::*;

/// The records of a trail, one after the other in turn among partitions, but for so many at the beginning of each.
fn left(trail: &[Vec<u8>], deleted: &[usize]) -> Vec<Vec<Vec<u8>>> {
    let mut partitions: Vec<Vec<Vec<u8>>> = vec![Vec::new(); deleted.len()];
    for (number, record) in trail.iter().enumerate() {
        partitions[number % deleted.len()].push(record.clone());
    }
    for (partition, deleted) in partitions.iter_mut().zip(deleted) {
        partition.drain(..(*deleted).min(partition.len()));
    }
    partitions
}

fn judged(partitions: &[Vec<Vec<u8>>], deleted: &[usize], partial: bool) -> Report {
    let streams = (0..).zip(partitions).zip(deleted);
    let streams = streams.map(|((number, records), deleted)| {
        Box::new(Texts {
            name: StreamName::Partition("audit".to_owned(), number),
            texts: (*deleted as u64..).zip(records.iter().cloned()).collect(),
            has_lost_its_beginning: *deleted > 0,
        }) as Box<dyn Stream>
    });
    let demand = Demand {
        partial,
        ..Demand::default()
    };
    judge(streams.collect(), &demand).unwrap()
}

#[test]
fn what_retention_leaves_of_a_run_in_partitions_that_begin_at_different_times_is_partial_and_no_break() {
    let trail = run(RUN, 20);
    // record 3 is the first one left of the third partition, 4 that of the first, and 14 that of the second
    let deleted = [1, 4, 0];
    let partitions = left(&trail, &deleted);
    let report = judged(&partitions, &deleted, true);
    assert!(report.is_whole(), "{report}");
    let said = report.to_string();
    assert!(
        said.contains(
            "begins with number 3: what came before is not here, closed; 3 records between others are not here: retention \
             has deleted that part of another partition"
        ),
        "{said}"
    );
    let strict = judged(&partitions, &deleted, false);
    assert!(!strict.is_whole(), "{strict}");
    // behind the last of these beginnings, and where no partition has lost one, a hole is a break as ever
    let mut holed = partitions.clone();
    holed[2].remove(5);
    let report = judged(&holed, &deleted, true);
    assert!(report.verdict().contains("BROKEN"), "{report}");
    let report = judged(&partitions, &[0; 3], true);
    assert!(report.verdict().contains("BROKEN"), "{report}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// Five runs in a row, each cites the one before.
    #[test]
    fn a_beginning_of_each_partition_is_what_retention_deletes_and_a_hole_behind_all_of_them_is_not(
        deleted in prop::collection::vec(0_usize..10, 1..4),
        taken in any::<prop::sample::Index>(),
    ) {
        let mut trail: Vec<Vec<u8>> = Vec::new();
        for number in 0..5 {
            let id = format!("0195510a-7c00-7000-8000-00000000000{number}");
            let run = run_of("main", &id, 60 * number, trail.last().map(Vec::as_slice));
            trail.extend(run);
        }
        let partitions = left(&trail, &deleted);
        let report = judged(&partitions, &deleted, true);
        prop_assert!(report.is_whole(), "{}", report);

        // What follows the last of these beginnings may be of the same millisecond. As ever, the last record of all can be
        // cut off unseen, and the first one of a run (of six records) be one that retention has deleted.
        let begin = |(number, deleted): (usize, &usize)| number + deleted * partitions.len();
        let edge = deleted.iter().enumerate().map(begin).max().unwrap_or(0);
        if edge + 3 < trail.len() {
            let at = edge + 2 + taken.index(trail.len() - edge - 3);
            prop_assume!(at % 6 > 0);
            let (partition, place) = (at % partitions.len(), at / partitions.len() - deleted[at % partitions.len()]);
            let mut holed = partitions.clone();
            holed[partition].remove(place);
            let report = judged(&holed, &deleted, true);
            prop_assert!(!report.is_whole(), "{} taken: {}", at, report);
        }
    }
}
