//! Kills at each row of the crash table: the process is held at the very write, then killed.
//!
//! A library between the process and the system (`tests/c/kill_point.c`) holds the thread that writes; the others go on.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt as _;

use simulator::Options;
use support::c::{Language, compile};
use support::topics::Event;
use support::{wait_until, workspace_root};

use crate::adapter::Adapter;
use crate::evidence::{Evidence, judge, read_events};
use crate::held::{Held, of_copy, shown};
use crate::{AT_LEAST_ONCE, DEADLINE, EXACTLY_ONCE, Guarantee, broker};

/// Events per second.
const RATE: u64 = 200;
/// Writes of records before the one that is looked for: the adapter is in its stride.
const IN_STRIDE: i64 = 50;

/// Where the process is held, as the library counts the places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Point {
    BeforeRecords = 1,
    AfterRecords = 2,
    BeforeMarks = 3,
    AfterMarks = 4,
}

/// The four numbers that the library shares with the test.
struct Shared(File);

impl Shared {
    fn set(&self, place: u64, number: i64) {
        self.0.write_all_at(&number.to_ne_bytes(), place * 8).unwrap();
    }

    fn number(&self, place: u64) -> i64 {
        let mut bytes = [0; 8];
        self.0.read_exact_at(&mut bytes, place * 8).unwrap();
        i64::from_ne_bytes(bytes)
    }
}

/// What a kill at a point left: the topic and the spool before the next start, and everything after the end.
struct Left {
    before: Vec<Event>,
    held: Held,
    evidence: Evidence,
}

impl Left {
    fn held_ids(&self) -> BTreeSet<String> {
        self.held.event_ids().map(str::to_owned).collect()
    }
}

/// Kills an adapter at a point; `is_published`: not before everything in the spool lies in the topic.
fn killed_at(point: Point, is_published: bool, guarantee: Guarantee) -> Option<Left> {
    let (broker, _turn) = broker()?;
    let options = Options {
        rate: RATE,
        conversations: 50,
        ..Options::default()
    };
    let mut shared = None;
    let mut adapter = Adapter::start(broker, guarantee, options, |rig, launch| {
        let (library, numbers) = (rig.folder().join("kill_point.so"), rig.folder().join("point"));
        let source = workspace_root().join("tests/c/kill_point.c");
        compile(Language::C11, &source, &library, &["-shared", "-fPIC"]);
        std::fs::write(&numbers, [0; 32]).unwrap();
        let file = File::options().read(true).write(true).open(&numbers).unwrap();
        shared = Some(Shared(file));
        launch.env("LD_PRELOAD", library).env("KILL_POINT", numbers)
    });
    let shared = shared.unwrap();
    assert!(shared.number(2) > 0, "no write of records was seen");
    adapter.may_stand_still();
    shared.set(1, shared.number(2) + IN_STRIDE);
    shared.set(0, point as i64);
    wait_until(DEADLINE, "the process is held", || shared.number(3) == 1);

    let servers = broker.bootstrap_servers();
    let topic = adapter.topics.events.clone();
    if is_published {
        let held = of_copy(&adapter.spool());
        wait_until(DEADLINE, "everything in the spool is published", || {
            let events = read_events(servers, &topic);
            let ids: BTreeSet<&str> = events.iter().map(Event::id).collect();
            held.event_ids().all(|id| ids.contains(id))
        });
    }
    adapter.kill();
    let before = read_events(servers, &topic);
    adapter.start_again();
    adapter.until_listening();
    adapter.until_happened(adapter.happened() + RATE);
    let ended = adapter.stop();
    let evidence = judge(&adapter, &ended);
    Some(Left {
        before,
        held: adapter.kills.remove(0),
        evidence,
    })
}

#[test]
fn killed_before_the_write_what_had_arrived_lies_in_the_crash_gap() {
    let Some(left) = killed_at(Point::BeforeRecords, false, AT_LEAST_ONCE) else {
        return;
    };
    // that nothing is missing outside the gap is shown already
    assert!(left.evidence.missing_sent > 0, "the record of the write is there");
    assert_eq!(left.evidence.gaps[0].cause, "crash");
}

#[test]
fn killed_between_the_write_and_the_delivery_the_record_is_delivered_by_the_next_process_once() {
    let Some(left) = killed_at(Point::AfterRecords, false, AT_LEAST_ONCE) else {
        return;
    };
    let last = left.held.records.last().unwrap();
    assert!(last.is_event, "{last:?}");
    let places = |events: &[Event]| events.iter().filter(|event| event.id() == last.id).count();
    assert_eq!((places(&left.before), places(&left.evidence.events)), (0, 1));
}

#[test]
fn killed_between_the_delivery_and_the_commit_mark_each_record_is_repeated_once_under_its_id() {
    let Some(left) = killed_at(Point::BeforeMarks, true, AT_LEAST_ONCE) else {
        return;
    };
    assert!(
        !left.held.records.is_empty(),
        "nothing was published without a mark"
    );
    assert_eq!(left.evidence.repeated, left.held_ids());
}

#[test]
fn killed_after_the_commit_mark_what_it_covers_is_not_delivered_again() {
    let Some(left) = killed_at(Point::AfterMarks, true, AT_LEAST_ONCE) else {
        return;
    };
    assert!(!left.held.committed.is_empty(), "the mark covers nothing");
    assert_eq!(left.evidence.repeated, left.held_ids());
}

#[test]
fn a_gap_that_is_open_at_a_second_kill_is_closed_once_by_the_third_process() {
    let Some((broker, _turn)) = broker() else { return };
    let options = Options {
        rate: RATE,
        conversations: 50,
        faults: vec!["login=2 hang".parse().unwrap()],
        ..Options::default()
    };
    let mut adapter = Adapter::start(broker, AT_LEAST_ONCE, options, |_, launch| launch);
    adapter.kill();
    adapter.start_again();
    wait_until(DEADLINE, "the gap is open in the spool", || {
        shown(&adapter.spool())["open_gaps"] == 1
    });
    adapter.kill();
    adapter.start_again();
    adapter.until_listening();
    adapter.until_happened(adapter.happened() + RATE);
    let ended = adapter.stop();
    let evidence = judge(&adapter, &ended);
    let causes: Vec<&str> = evidence.gaps.iter().map(|gap| gap.cause.as_str()).collect();
    assert_eq!((causes, adapter.downtimes.len()), (vec!["crash", "stopped"], 1));
}

#[test]
fn exactly_once_repeats_nothing_that_was_published_before_its_commit_mark() {
    let Some(left) = killed_at(Point::BeforeMarks, true, EXACTLY_ONCE) else {
        return;
    };
    assert!(
        !left.held.records.is_empty(),
        "nothing was published without a mark"
    );
    assert!(left.evidence.repeated.is_empty(), "{:?}", left.evidence.repeated);
}
