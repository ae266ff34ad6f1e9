//! Writes and syncs that fail, and what stays of them.

use super::super::sequence;
use super::super::storage::faulty::{FaultyStorage, Trouble};
use super::{append, numbers, open, read_all};

#[test]
fn a_write_that_fails_leaves_nothing_of_its_batch() {
    for trouble in [Trouble::ShortWrite, Trouble::WriteFails, Trouble::NoRoom] {
        let storage = FaultyStorage::default();
        let (mut log, _) = open(&storage);
        append(&mut log, 1..=2, 200).unwrap();
        storage.plan(1, trouble);
        let refused = append(&mut log, 3..=6, 200).unwrap_err();
        assert_eq!(
            (refused.appended, refused.is_retryable()),
            (0, true),
            "{trouble:?}"
        );
        assert_eq!(read_all(&log, 0), numbers(1, 1..=2));
        storage.kill();
        let (log, found) = open(&storage);
        assert_eq!(read_all(&log, 0), numbers(1, 1..=2));
        assert_eq!((found.backlog.records, found.damage), (2, vec![]), "{trouble:?}");
        drop(log);
    }
}

#[test]
fn a_batch_that_failed_may_be_offered_again() {
    let storage = FaultyStorage::default();
    let (mut log, _) = open(&storage);
    append(&mut log, 1..=2, 200).unwrap();
    storage.plan(1, Trouble::ShortWrite);
    append(&mut log, 3..=6, 200).unwrap_err();
    append(&mut log, 3..=6, 200).unwrap();
    log.sync().unwrap();
    storage.lose_unsynced();
    let (log, found) = open(&storage);
    assert_eq!(read_all(&log, 0), numbers(1, 1..=6));
    assert_eq!(found.damage, []);
}

#[test]
fn a_sync_that_failed_is_not_tried_again_and_its_records_are_written_anew() {
    let storage = FaultyStorage::default();
    let (mut log, _) = open(&storage);
    append(&mut log, 1..=2, 200).unwrap();
    log.sync().unwrap();
    append(&mut log, 3..=4, 200).unwrap();
    storage.plan(1, Trouble::SyncFails);
    let durable = log.sync().unwrap();
    assert_eq!((durable.sequence, log.take_loss()), (sequence(1, 4), None));
    append(&mut log, 5..=5, 200).unwrap();
    assert_eq!(read_all(&log, 0), numbers(1, 1..=5));
    log.sync().unwrap();
    storage.lose_unsynced();
    let (log, found) = open(&storage);
    assert_eq!(read_all(&log, 0), numbers(1, 1..=5));
    assert_eq!((found.backlog.records, found.damage), (5, vec![]));
}

#[test]
fn what_a_dead_owner_could_not_sync_is_written_again_by_the_next_one() {
    let storage = FaultyStorage::default();
    let (mut log, _) = open(&storage);
    append(&mut log, 1..=2, 200).unwrap();
    storage.plan(1, Trouble::SyncFails);
    storage.plan(1, Trouble::WriteFails);
    let refused = log.sync().unwrap_err();
    assert_eq!(
        (refused.is_retryable(), refused.to_string()),
        (
            true,
            "cannot write a new segment to unfinished.segment: input/output error".to_owned()
        )
    );
    // The cache has the records, the disk has not, and the system takes them for written.
    storage.kill();
    let (log, found) = open(&storage);
    assert_eq!(
        (found.backlog.records, log.durable().sequence),
        (2, sequence(1, 2))
    );
    storage.lose_unsynced();
    let (log, found) = open(&storage);
    assert_eq!((read_all(&log, 0), found.damage), (numbers(1, 1..=2), vec![]));
}

#[test]
fn what_a_failed_sync_took_with_it_is_reported() {
    let storage = FaultyStorage::default();
    let (mut log, _) = open(&storage);
    append(&mut log, 1..=2, 200).unwrap();
    log.sync().unwrap();
    append(&mut log, 3..=5, 200).unwrap();
    storage.plan(1, Trouble::SyncFailsAndForgets);
    log.sync().unwrap();
    let loss = log.take_loss().unwrap();
    assert_eq!(
        (loss.records, loss.first, loss.last),
        (3, sequence(1, 3), sequence(1, 5))
    );
    assert_eq!(log.take_loss(), None);
    append(&mut log, 6..=6, 200).unwrap();
    log.sync().unwrap();
    storage.lose_unsynced();
    let (log, found) = open(&storage);
    let left = [numbers(1, 1..=2), numbers(1, 6..=6)].concat();
    assert_eq!((read_all(&log, 0), found.damage), (left, vec![]));
}
