//! Trails of several runs, whole, and with runs or ends of runs taken out.

use super::*;

const RUNS: [&str; 4] = [
    "0195510a-7c00-7000-8000-0000000000a1",
    "0195510a-7c00-7000-8000-0000000000a2",
    "0195510a-7c00-7000-8000-0000000000a3",
    "0195510a-7c00-7000-8000-0000000000a4",
];

/// The records of a run of four events, which began `at_s` seconds after the first.
pub(super) fn run_of(source: &str, id: &str, at_s: u64, cites: Option<&[u8]>) -> Vec<Vec<u8>> {
    let mut chain =
        Writer::new(id.to_owned(), source.to_owned(), "tag".to_owned()).citing(cites.map(hash_of));
    let mut records = Vec::new();
    let mut append = |facts: &Facts<'_>| {
        let mut bytes = Vec::new();
        let at_us = 1_795_467_600_000_000 + 1_000_000 * at_s as i64 + 1_000 * records.len() as i64;
        chain.append(facts, at_us, &mut bytes);
        records.push(bytes);
    };
    append(&Facts::of_run(Status::RunOpened, None));
    for number in 1..=4 {
        append(&Facts {
            status: Status::Processed,
            analytics_id: Some("conversation"),
            event_id: Some(&format!("{id}-{number}")),
            destination: Some(Destination::Lines),
            reason: None,
            source_sequence: Some(number),
            counts: None,
        });
    }
    append(&Facts::of_run(
        Status::RunClosed,
        Some(Counts {
            audits: 6,
            ..Counts::default()
        }),
    ));
    records
}

fn hash_of(record: &[u8]) -> [u8; 32] {
    match link::read(record, &[]) {
        Text::Audit(link) => link.hash,
        other => panic!("{other:?}"),
    }
}

fn hex(record: &[u8]) -> String {
    let mut digits = Vec::new();
    crate::text::push_hex(&mut digits, &hash_of(record));
    String::from_utf8(digits).unwrap()
}

/// Runs of the source main, each a minute after the one before it, whose last record it cites.
fn in_a_row() -> Vec<Vec<Vec<u8>>> {
    let mut runs: Vec<Vec<Vec<u8>>> = Vec::new();
    for (number, id) in (0..).zip(RUNS) {
        let cites = runs.last().map(|run| run.last().unwrap().as_slice());
        runs.push(run_of("main", id, 60 * number, cites));
    }
    runs
}

/// Demands the same with `--partial` and without it: no success, and this line of the run.
fn incomplete(records: &[Vec<u8>], run: &str) -> String {
    let said = [false, true].map(|partial| {
        let report = lines(records, partial);
        assert!(!report.is_whole(), "{report}");
        let verdict = report.verdict();
        assert!(
            verdict.ends_with(": INCOMPLETE, 1 runs cite a record that is not here"),
            "{verdict}"
        );
        let text = report.to_string();
        let mut lines = text.lines().skip_while(|line| !line.contains(run));
        lines.nth(1).unwrap().to_owned()
    });
    assert_eq!(said[0], said[1]);
    said[0].clone()
}

#[test]
fn a_run_that_is_taken_out_between_two_others_is_missing_with_and_without_partial() {
    let mut runs = in_a_row();
    assert!(lines(&runs.concat(), false).is_whole());
    let taken = runs.remove(2);
    assert_eq!(
        incomplete(&runs.concat(), RUNS[3]),
        format!(
            "  INCOMPLETE at a.jsonl:13: record 1 cites {}, which no run in this trail has: a run after run {} is missing, or \
             the end of such a one was cut off",
            hex(&taken[5]),
            RUNS[1]
        )
    );
}

#[test]
fn the_earliest_run_of_a_source_may_cite_what_retention_has_deleted_if_that_is_accepted() {
    let mut runs = in_a_row();
    let taken = runs.remove(0);
    let report = lines(&runs.concat(), false);
    assert!(!report.is_whole(), "{report}");
    let text = report.to_string();
    assert_eq!(
        text.lines().nth(1).unwrap(),
        format!(
            "  INCOMPLETE at a.jsonl:1: record 1 cites {}, which no run in this trail has: the run before it is missing or its \
             end was cut off; --partial accepts that of the earliest run of a source, where retention deleted what came before",
            hex(&taken[5])
        )
    );
    let report = lines(&runs.concat(), true);
    assert!(report.is_whole(), "{report}");
    let text = report.to_string();
    let begins = ", closed; the trail of its source begins here: the run before it is not here";
    assert_eq!(
        text.lines().filter(|line| line.ends_with(begins)).count(),
        1,
        "{text}"
    );
    assert!(text.lines().next().unwrap().ends_with(begins), "{text}");
}

#[test]
fn the_end_that_is_cut_off_a_killed_run_is_missing_once_a_later_run_cites_it() {
    let mut runs = in_a_row();
    runs[1].pop();
    runs[2] = run_of("main", RUNS[2], 120, runs[1].last().map(Vec::as_slice));
    runs.truncate(3);
    let whole = lines(&runs.concat(), false);
    assert!(whole.is_whole(), "{whole}");
    let cut = runs[1].pop().unwrap();
    assert_eq!(
        incomplete(&runs.concat(), RUNS[2]),
        format!(
            "  INCOMPLETE at a.jsonl:11: record 1 cites {}, which no run in this trail has: the end of run {} was cut off, or a \
             run after it is missing",
            hex(&cut),
            RUNS[1]
        )
    );
}

#[test]
fn what_two_runs_cite_and_what_was_no_longer_the_last_is_there() {
    // a replay beside the first run cites what it finds, the next run the replay, and one that saw neither end the first
    let first = run_of("main", RUNS[0], 0, None);
    let replay = run_of("main", RUNS[1], 1, Some(&first[2]));
    let second = run_of("main", RUNS[2], 60, Some(&replay[5]));
    let third = run_of("main", RUNS[3], 120, Some(&first[2]));
    let report = lines(&[first, replay, second, third].concat(), false);
    assert!(report.is_whole(), "{report}");
}

#[test]
fn what_lies_before_the_hole_that_a_kill_left_is_there() {
    // the process after the kill saw no later one than the fourth, which arrived behind it without the fifth
    let mut first = run_of("main", RUNS[0], 0, None);
    let second = run_of("main", RUNS[1], 60, Some(&first[2]));
    first.pop();
    let fifth = first.pop().unwrap();
    first.remove(3);
    let streams = [[first, vec![fifth]].concat(), second];
    let streams = (0..)
        .zip(&streams)
        .map(|(number, records)| stream(StreamName::Partition("audit".to_owned(), number), records));
    let demand = Demand {
        in_flight: 100,
        ..Demand::default()
    };
    let report = judge(streams.collect(), &demand).unwrap();
    assert!(report.is_whole(), "{report}");
    assert!(
        report.to_string().contains("; 1 after number 3 are not here"),
        "{report}"
    );
}

#[test]
fn a_run_without_its_beginning_is_known_by_the_name_that_another_run_of_its_source_has() {
    let mut runs = in_a_row();
    runs.remove(1);
    runs[0].drain(..2);
    for (runs, is_whole) in [
        (runs.clone(), false),
        // one of another source is no run before it
        (
            vec![
                run_of("emea", RUNS[0], 0, None)[2..].to_vec(),
                runs[1].clone(),
                runs[2].clone(),
            ],
            true,
        ),
    ] {
        let wrapped: Vec<Vec<u8>> = runs
            .concat()
            .iter()
            .map(|record| {
                let record = std::str::from_utf8(record).unwrap();
                format!("{{\"kind\":\"audit\",\"sequence\":null,\"key\":null,\"record\":{record}}}")
                    .into_bytes()
            })
            .collect();
        for records in [runs.concat(), wrapped] {
            let report = lines(&records, true);
            assert_eq!(report.is_whole(), is_whole, "{report}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn of_each_source_only_a_beginning_and_an_end_can_be_taken_out_unseen(
        killed in prop::collection::vec(any::<bool>(), 8),
        taken in prop::collection::vec(any::<bool>(), 8),
        partitions in 1_usize..4,
    ) {
        let mut streams: Vec<Vec<Vec<u8>>> = vec![Vec::new(); partitions];
        let (mut whole, mut whole_but_for_retention) = (true, true);
        let mut heads: [Option<Vec<u8>>; 2] = [None, None];
        let (mut was_taken, mut has_begun) = ([false; 2], [false; 2]);
        for number in 0..8 {
            let source = number % 2;
            let id = format!("0195510a-7c00-7000-8000-00000000000{number}");
            let mut run = run_of(["main", "emea"][source], &id, 60 * number as u64, heads[source].as_deref());
            if killed[number] {
                run.pop();
            }
            heads[source] = run.last().cloned();
            if taken[number] {
                was_taken[source] = true;
                continue;
            }
            whole &= !was_taken[source];
            whole_but_for_retention &= !(was_taken[source] && has_begun[source]);
            (was_taken[source], has_begun[source]) = (false, true);
            for (at, record) in run.into_iter().enumerate() {
                streams[at % partitions].push(record);
            }
        }
        for (partial, expected) in [(false, whole), (true, whole_but_for_retention)] {
            let streams = (0..).zip(&streams);
            let streams = streams.map(|(number, records)| {
                stream(StreamName::Partition("audit".to_owned(), number), records)
            });
            let report = judge(streams.collect(), &Demand { partial, ..Demand::default() }).unwrap();
            prop_assert_eq!(report.is_whole(), expected, "{}", report);
        }
    }
}
