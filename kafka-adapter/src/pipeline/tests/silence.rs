//! The pipeline against a destination that takes everything and acknowledges nothing for a while.

use super::*;

/// Longest silence that is nobody's concern, in microseconds.
const PATIENCE_US: i64 = 10_000_000;

fn silent() -> Pipeline<FakeBatch, FakeSink> {
    let mut pipeline = pipeline(100, false);
    pipeline.sink.silent = Some("too few replicas in sync");
    pipeline
}

/// Turns each half a second up to and with this time.
fn turn_until(pipeline: &mut Pipeline<FakeBatch, FakeSink>, from_us: i64, to_us: i64) {
    let mut now_us = from_us;
    while now_us < to_us {
        pipeline.advance(now_us);
        now_us += 500_000;
    }
    pipeline.advance(to_us);
}

#[test]
fn a_destination_that_acknowledges_nothing_is_an_obstacle_until_it_acknowledges_something() {
    let mut pipeline = silent();
    pipeline.advance(0);
    assert_eq!(pipeline.obstacle(), None, "nothing was sent");
    let begin_us = PATIENCE_US * 5;
    pipeline.take(events(&["a", "b"]));
    turn_until(&mut pipeline, begin_us, begin_us + PATIENCE_US - 1);
    assert_eq!(pipeline.obstacle(), None);
    pipeline.advance(begin_us + PATIENCE_US);
    assert_eq!(pipeline.obstacle().as_deref(), Some("too few replicas in sync"));
    // what it gives back is no acknowledgement
    answer_all(&mut pipeline, begin_us + PATIENCE_US, |_| Some(Meaning::Rewind));
    let later_us = begin_us + 2 * PATIENCE_US;
    pipeline.advance(later_us);
    assert!(pipeline.obstacle().is_some());
    for _ in 0..4 {
        answer_all(&mut pipeline, later_us, |_| None);
        pipeline.advance(later_us);
    }
    assert_eq!(pipeline.obstacle(), None);
    assert!(pipeline.is_idle());
}

#[test]
fn one_acknowledgement_in_time_is_enough_and_a_pause_without_records_does_not_count() {
    let mut pipeline = silent();
    for round in 1..5 {
        let now_us = round * PATIENCE_US * 3 / 4;
        pipeline.take(events(&["a"]));
        turn_until(&mut pipeline, now_us - PATIENCE_US * 3 / 4, now_us);
        assert_eq!(pipeline.obstacle(), None);
        answer_all(&mut pipeline, now_us, |_| None);
    }
    let mut idle = silent();
    idle.take(events(&["a"]));
    for now_us in [0, 1, 2] {
        idle.advance(now_us);
        answer_all(&mut idle, now_us, |_| None);
    }
    assert!(idle.is_idle());
    turn_until(&mut idle, 3, PATIENCE_US * 9);
    assert_eq!(idle.obstacle(), None);
}

#[test]
fn what_is_blocked_is_told_as_that_and_its_time_is_no_silence() {
    let mut pipeline = silent();
    pipeline.take(events(&["a"]));
    pipeline.advance(0);
    answer_all(&mut pipeline, 0, |_| Some(Meaning::Blocked));
    turn_until(&mut pipeline, FIRST_PAUSE_US, PATIENCE_US * 2);
    assert_eq!(pipeline.obstacle().as_deref(), Some("refused by the test"));
    answer_all(&mut pipeline, PATIENCE_US * 2, |_| None);
    pipeline.advance(PATIENCE_US * 2);
    assert_eq!(pipeline.obstacle(), None);
}

#[test]
fn a_process_that_stood_still_takes_its_own_pause_for_no_silence() {
    let mut pipeline = silent();
    pipeline.take(events(&["a"]));
    pipeline.advance(0);
    pipeline.advance(PATIENCE_US * 6);
    assert_eq!(pipeline.obstacle(), None);
}
