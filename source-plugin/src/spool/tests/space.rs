//! A spool that is full, by its own bound or for want of disk, and what is deleted when.

use super::super::storage::faulty::FaultyStorage;
use super::super::{AppendError, Log, NewRecord, SpoolError, sequence};
use super::{MAX_BYTES, append, body, ids, numbers, open, read_all, record};

/// Appends single records until the spool refuses one; returns how many it holds and the refusal.
fn fill(log: &mut Log, from: u64) -> (u64, AppendError) {
    let mut counter = from;
    loop {
        match append(log, counter..=counter, 1500) {
            Ok(()) => counter += 1,
            Err(refused) => return (counter - 1, refused),
        }
        assert!(counter < 1000);
    }
}

#[test]
fn a_full_spool_refuses_records_and_takes_marks_until_commits_make_room() {
    let storage = FaultyStorage::default();
    let (mut log, _) = open(&storage);
    let (count, refused) = fill(&mut log, 1);
    assert!(count > 50);
    let usage = log.usage();
    assert!(usage.used_bytes <= MAX_BYTES && !usage.reserve_in_use);
    assert_eq!(
        (refused.is_retryable(), refused.to_string()),
        (
            true,
            format!(
                "0 records were appended, the rest was not: the spool is full at {} of {MAX_BYTES} bytes (max_bytes): \
                 it goes on when records are committed or room is made",
                usage.used_bytes
            )
        )
    );
    // Far more marks than the rest of a segment takes: the reserve is used, and then they wait.
    for time_us in 1..=1000 {
        log.set_alive(time_us);
        log.set_open_gaps(&[b"full"]).unwrap();
        log.sync().unwrap();
    }
    assert!(log.usage().reserve_in_use && log.usage().used_bytes <= MAX_BYTES);
    assert!(append(&mut log, count + 1..=count + 1, 10).is_err());
    assert_eq!(read_all(&log, 0), numbers(1, 1..=count));
    assert!(
        storage.used_bytes() as u64 <= MAX_BYTES + 64 * 4096,
        "{}",
        storage.used_bytes()
    );
    // A commit that frees a segment is written at once, and makes room.
    log.set_commit(sequence(1, 10));
    assert_eq!(log.sync().unwrap().commit, sequence(1, 10));
    assert!(log.reclaim().unwrap() >= 3);
    append(&mut log, count + 1..=count + 1, 1500).unwrap();
    assert!(!log.usage().reserve_in_use);
    let (more, _) = fill(&mut log, count + 2);
    log.set_commit(sequence(1, more));
    log.sync().unwrap();
    storage.lose_unsynced();
    let (log, found) = open(&storage);
    assert_eq!((found.commit, found.backlog.records), (sequence(1, more), 0));
    assert_eq!((found.damage, found.open_gaps), (vec![], vec![b"full".to_vec()]));
    assert_eq!(ids(&log), numbers(1, 1..=more));
}

#[test]
fn a_full_disk_is_met_like_a_full_spool() {
    let storage = FaultyStorage::default();
    let (mut log, _) = open(&storage);
    storage.set_capacity(Some(100_000));
    let (count, refused) = fill(&mut log, 1);
    let AppendError {
        source: SpoolError::Full { .. },
        ..
    } = &refused
    else {
        panic!("{refused}");
    };
    assert!(refused.to_string().contains("(no room on the disk)"), "{refused}");
    for time_us in 1..=500 {
        log.set_alive(time_us);
        log.sync().unwrap();
    }
    assert!(log.usage().reserve_in_use);
    log.set_commit(sequence(1, count - 2));
    log.sync().unwrap();
    log.reclaim().unwrap();
    append(&mut log, count + 1..=count + 1, 1500).unwrap();
    assert_eq!(
        read_all(&log, sequence(1, count - 2)),
        numbers(1, count - 1..=count + 1)
    );
}

#[test]
fn a_spool_opens_on_a_full_disk_and_goes_on_when_there_is_room() {
    let storage = FaultyStorage::default();
    let (mut log, _) = open(&storage);
    append(&mut log, 1..=20, 300).unwrap();
    log.set_commit(sequence(1, 3));
    log.sync().unwrap();
    drop(log);
    storage.set_capacity(Some(storage.used_bytes()));
    for _ in 0..5 {
        let (mut log, found) = open(&storage);
        assert_eq!((found.commit, found.backlog.records), (sequence(1, 3), 17));
        assert_eq!(read_all(&log, sequence(1, 3)), numbers(1, 4..=20));
        let refused = append(&mut log, 1..=1, 300).unwrap_err();
        assert!(matches!(refused.source, SpoolError::Full { .. }), "{refused}");
    }
    storage.set_capacity(None);
    let (mut log, _) = open(&storage);
    append(&mut log, 1..=1, 300).unwrap();
    log.set_commit(sequence(1, 20));
    log.sync().unwrap();
    log.reclaim().unwrap();
    assert_eq!(read_all(&log, log.durable().commit), numbers(log.epoch(), 1..=1));
}

#[test]
fn ids_outlive_their_segment_until_they_are_forgotten() {
    let storage = FaultyStorage::default();
    let (mut log, _) = open(&storage);
    append(&mut log, 1..=40, 300).unwrap();
    log.set_commit(sequence(1, 40));
    log.sync().unwrap();
    assert!(log.reclaim().unwrap() >= 3);
    assert!(log.usage().index_bytes > 0);
    storage.lose_unsynced();
    for _ in 0..2 {
        // The last number is known as long as there is a header, though no record is left.
        let found = open(&storage).1;
        assert_eq!((found.backlog.records, found.last_sequence), (0, sequence(1, 40)));
    }
    let (mut log, _) = open(&storage);
    assert_eq!(ids(&log), numbers(1, 1..=40));
    // The window is that of this process: it begins when it first looks, wherever its clock stands.
    for uptime_ms in [7_000, 7_100] {
        log.forget_ids(uptime_ms, 100, 1000);
        assert_eq!(ids(&log), numbers(1, 1..=40));
    }
    log.forget_ids(7_101, 100, 1000);
    assert_eq!(log.usage().index_bytes, 0);
}

#[test]
fn an_index_without_ids_goes_with_its_segment() {
    let storage = FaultyStorage::default();
    let (mut log, _) = open(&storage);
    for number in (1..=40).map(|counter| sequence(1, counter)) {
        let body = body(number, 300);
        let unnamed = NewRecord {
            id_hash: None,
            ..record(number, &body)
        };
        log.append(&[unnamed]).unwrap();
    }
    log.set_commit(sequence(1, 40));
    log.sync().unwrap();
    assert!(log.reclaim().unwrap() >= 3);
    assert_eq!(log.usage().index_bytes, 0);
    let names: Vec<String> = storage.image().into_keys().collect();
    assert!(!names.iter().any(|name| name.ends_with(".index")), "{names:?}");
}

#[test]
fn ids_behind_as_many_newer_ones_as_the_window_holds_are_forgotten_whatever_the_time() {
    let storage = FaultyStorage::default();
    let (mut log, _) = open(&storage);
    append(&mut log, 1..=40, 300).unwrap();
    log.set_commit(sequence(1, 40));
    log.sync().unwrap();
    assert!(log.reclaim().unwrap() >= 3);
    log.forget_ids(0, 100, 15);
    let left = ids(&log);
    assert!(left.first() > Some(&sequence(1, 1)), "{left:?}");
    assert!(
        left.len() >= 15 && left.ends_with(&numbers(1, 26..=40)),
        "{left:?}"
    );
    // and restarts that each begin the window anew do not add to them
    let (mut log, _) = {
        drop(log);
        open(&storage)
    };
    log.forget_ids(0, 100, 15);
    assert_eq!(ids(&log), left);
}

#[test]
fn a_record_that_fits_no_segment_is_refused_before_anything_is_written() {
    let storage = FaultyStorage::default();
    let (mut log, _) = open(&storage);
    let most = super::settings().max_record_bytes() as usize;
    append(&mut log, 1..=1, most - 4).unwrap();
    let calls = storage.calls();
    let refused = append(&mut log, 2..=2, most - 3).unwrap_err();
    assert_eq!(
        refused.source.to_string(),
        format!(
            "a record of {} bytes, the spool takes {most}: raise max_bytes",
            most + 1
        )
    );
    assert!(!refused.is_retryable() && storage.calls() == calls);
    let refused = log.set_open_gaps(&[&[0; 5000]]).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "open gaps of 5004 bytes, the spool takes 1024: raise max_bytes"
    );
}

#[test]
fn a_batch_larger_than_a_segment_is_spread_and_says_how_far_it_came() {
    let storage = FaultyStorage::default();
    let (mut log, _) = open(&storage);
    append(&mut log, 1..=40, 300).unwrap();
    storage.set_capacity(Some(storage.used_bytes() + 10_000));
    let refused = append(&mut log, 41..=100, 300).unwrap_err();
    assert!((1..60).contains(&refused.appended));
    let count = 40 + refused.appended as u64;
    assert_eq!(read_all(&log, 0), numbers(1, 1..=count));
    assert_eq!(log.last_sequence(), sequence(1, count));
}
