//! What is in order: appending, reading, marks, epochs, and what is done before what.

use super::super::storage::faulty::{Call, FaultyStorage, Trouble};
use super::super::{SpoolError, Torn, epoch_of, inspect, sequence};
use super::{append, ids, numbers, open, read_all, try_open};

#[test]
fn what_was_appended_is_read_in_order_across_segments_and_openings() {
    let storage = FaultyStorage::default();
    let (mut log, found) = open(&storage);
    assert_eq!(
        (log.epoch(), found.last_sequence, found.backlog.records),
        (1, 0, 0)
    );
    append(&mut log, 1..=40, 300).unwrap();
    assert_eq!(read_all(&log, 0), numbers(1, 1..=40));
    assert_eq!(read_all(&log, sequence(1, 33)), numbers(1, 34..=40));
    log.sync().unwrap();
    let uuid = log.uuid();
    drop(log);
    let (mut log, found) = open(&storage);
    assert_eq!((log.uuid(), log.epoch()), (uuid, 2));
    assert_eq!((found.backlog.records, found.backlog.bytes), (40, 40 * 304));
    assert_eq!((found.damage, found.torn), (vec![], None));
    append(&mut log, 1..=3, 10).unwrap();
    let expected = [numbers(1, 1..=40), numbers(2, 1..=3)].concat();
    assert_eq!(read_all(&log, 0), expected);
    assert_eq!(ids(&log), expected);
}

#[test]
fn a_reader_follows_the_writer_without_a_sync() {
    let storage = FaultyStorage::default();
    let (mut log, _) = open(&storage);
    let mut reader = log.reader_after(0);
    let mut batch = super::Batch::default();
    for counter in 1..=30 {
        reader.read(super::LIMITS, &mut batch);
        assert!(batch.is_empty() && batch.is_at_end());
        append(&mut log, counter..=counter, 500).unwrap();
        reader.read(super::LIMITS, &mut batch);
        let read: Vec<u64> = batch.records().map(|record| record.sequence).collect();
        assert_eq!(read, numbers(1, counter..=counter));
    }
}

#[test]
fn marks_are_found_again_from_entries_and_from_headers() {
    for records in [1, 40] {
        let storage = FaultyStorage::default();
        let (mut log, _) = open(&storage);
        log.set_commit(sequence(1, 1));
        log.set_alive(77);
        log.set_open_gaps(&[b"one", b"two"]).unwrap();
        log.sync().unwrap();
        append(&mut log, 1..=records, 300).unwrap();
        drop(log);
        let (mut log, found) = open(&storage);
        assert_eq!((found.commit, found.alive_us), (sequence(1, 1), Some(77)));
        assert_eq!(found.open_gaps, [b"one".to_vec(), b"two".to_vec()]);
        assert_eq!(found.backlog.records, records - 1);
        log.set_open_gaps(&[]).unwrap();
        // A smaller number takes nothing back.
        log.set_commit(1);
        log.write_marks().unwrap();
        storage.kill();
        let (_, found) = open(&storage);
        assert_eq!(
            (found.commit, found.open_gaps),
            (sequence(1, 1), Vec::<Vec<u8>>::new())
        );
    }
}

#[test]
fn numbers_only_grow_and_are_of_the_epoch() {
    let storage = FaultyStorage::default();
    let (mut log, _) = open(&storage);
    append(&mut log, 5..=6, 10).unwrap();
    let refused = append(&mut log, 6..=7, 10).unwrap_err();
    assert_eq!(
        (refused.appended, refused.is_retryable(), refused.to_string()),
        (
            0,
            false,
            "0 records were appended, the rest was not: record 1099511627782 does not follow 1099511627782 in \
             epoch 1: numbers only grow"
                .to_owned()
        )
    );
    assert_eq!(read_all(&log, 0), numbers(1, 5..=6));
    assert_eq!(log.advance_epoch(9).unwrap(), 10);
    assert!(log.append(&[super::record(sequence(1, 9), b"")]).is_err());
    append(&mut log, 1..=1, 10).unwrap();
    drop(log);
    let (log, _) = open(&storage);
    assert_eq!(log.epoch(), 11);
    assert_eq!(read_all(&log, sequence(1, 6)), numbers(10, 1..=1));
}

#[test]
fn an_epoch_is_synced_before_the_first_number_is_given() {
    let storage = FaultyStorage::default();
    drop(open(&storage));
    let mut last = 1;
    for lost in 0..3 {
        // Without room for a segment nothing but the identity says that there was an epoch.
        storage.set_capacity(Some(0));
        let (log, _) = open(&storage);
        assert!(log.epoch() > last, "opening {lost}");
        last = log.epoch();
        storage.lose_unsynced();
    }
}

#[test]
fn a_torn_identity_forgets_no_epoch_that_was_given() {
    let storage = FaultyStorage::default();
    for epoch in 1..=4 {
        let (log, _) = open(&storage);
        assert_eq!(log.epoch(), epoch);
    }
    let identity = storage.content("identity");
    for slot in 0..2 {
        storage.set_content("identity", &identity);
        storage.flip("identity", slot * 4096 + 30);
        let (log, _) = open(&storage);
        assert!(log.epoch() > 4);
    }
    // With both slots gone, names and headers still say it.
    storage.set_content("identity", &[]);
    let (log, found) = open(&storage);
    assert_eq!(epoch_of(sequence(log.epoch(), 1)), log.epoch());
    assert!(log.epoch() > 6 && found.damage.is_empty(), "{}", log.epoch());
}

#[test]
fn a_segment_has_its_name_only_when_its_header_is_synced_and_goes_only_when_the_next_name_is() {
    let storage = FaultyStorage::default();
    let (mut log, _) = open(&storage);
    for counter in 1..=60 {
        append(&mut log, counter..=counter, 600).unwrap();
        log.set_commit(sequence(1, counter));
        log.sync().unwrap();
        log.reclaim().unwrap();
    }
    let calls = storage.calls();
    let is_segment = |name: &str| name.starts_with("00") && name.ends_with(".segment");
    let mut named = 0;
    for (at, call) in calls.iter().enumerate() {
        match call {
            Call::Rename(from, to) if is_segment(to) => {
                let written = calls[..at]
                    .iter()
                    .rposition(|call| *call == Call::Write(from.clone()));
                let synced = calls[..at]
                    .iter()
                    .rposition(|call| *call == Call::Sync(from.clone()));
                assert!(synced > written, "{to} was named before its header was synced");
                assert_eq!(calls[at + 1], Call::SyncDir);
                named += 1;
            }
            Call::Write(name) if is_segment(name) => {
                let renamed = calls[..at]
                    .iter()
                    .rposition(|call| matches!(call, Call::Rename(_, to) if to == name));
                assert!(calls[renamed.unwrap()..at].contains(&Call::SyncDir));
            }
            Call::Remove(name) if is_segment(name) => {
                let later = calls[..at]
                    .iter()
                    .rposition(|call| matches!(call, Call::Rename(_, to) if is_segment(to) && to > name));
                assert!(calls[later.unwrap()..at].contains(&Call::SyncDir));
            }
            _ => {}
        }
    }
    assert!(
        named > 10
            && calls
                .iter()
                .any(|call| matches!(call, Call::Remove(name) if is_segment(name)))
    );
    assert_eq!(ids(&log), numbers(1, 1..=60));
}

#[test]
fn records_are_taken_while_segments_are_deleted_and_an_index_that_was_not_synced_keeps_its_segment() {
    let storage = FaultyStorage::default();
    let (mut log, _) = open(&storage);
    for counter in 1..=30 {
        append(&mut log, counter..=counter, 600).unwrap();
    }
    log.set_commit(sequence(1, 30));
    log.sync().unwrap();
    let used_bytes = log.usage().used_bytes;
    let task = log.begin_reclaim().unwrap().unwrap();
    // Enough for new segments, while the old ones go on another thread.
    for counter in 31..=60 {
        append(&mut log, counter..=counter, 600).unwrap();
    }
    storage.plan(0, Trouble::SyncFails);
    let refused = log.end_reclaim(task.run()).unwrap_err();
    assert!(refused.is_retryable(), "{refused}");
    assert!(log.usage().used_bytes > used_bytes);
    assert_eq!(read_all(&log, 0), numbers(1, 1..=60));

    log.sync().unwrap();
    let task = log.begin_reclaim().unwrap().unwrap();
    append(&mut log, 61..=61, 600).unwrap();
    let gone = log.end_reclaim(task.run()).unwrap();
    assert!(gone.segments() >= 3);
    assert!(log.begin_reclaim().unwrap().is_none());
    assert_eq!(read_all(&log, sequence(1, 30)), numbers(1, 31..=61));
    storage.kill();
    let (log, _) = open(&storage);
    assert_eq!(ids(&log), numbers(1, 1..=61));
}

#[test]
fn a_micro_batch_is_one_write_and_marks_are_one_write() {
    let storage = FaultyStorage::default();
    let (mut log, _) = open(&storage);
    let before = storage.calls().len();
    append(&mut log, 1..=9, 200).unwrap();
    log.set_commit(sequence(1, 4));
    log.set_alive(5);
    log.set_open_gaps(&[b"gap"]).unwrap();
    log.sync().unwrap();
    log.sync().unwrap();
    let name = "0000000001-000001.segment".to_owned();
    let expected = [
        Call::Write(name.clone()),
        Call::Write(name.clone()),
        Call::Sync(name),
    ];
    assert_eq!(storage.calls()[before..], expected);
}

#[test]
fn a_second_opening_is_refused_while_the_first_lasts() {
    let storage = FaultyStorage::default();
    let (log, _) = open(&storage);
    let before = storage.image();
    let refused = try_open(&storage).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the spool is in use by pid 1: stop it, or give this source a directory of its own"
    );
    assert!(refused.is_retryable() && storage.image() == before);
    drop(log);
    open(&storage);
}

#[test]
fn another_version_is_refused_and_nothing_is_touched() {
    use super::super::{format, header, identity_file};
    for version in [0, 3, 77] {
        for (name, magic) in [
            ("identity", identity_file::MAGIC),
            ("0000000001-000001.segment", header::MAGIC),
        ] {
            let storage = FaultyStorage::default();
            drop(open(&storage));
            let mut content = storage.content(name);
            let block = format::seal_as(magic, version, &[1; 40]);
            content.splice(..block.len(), block);
            storage.set_content(name, &content);
            let before = storage.image();
            let refused = try_open(&storage).unwrap_err();
            assert_eq!(
                refused.to_string(),
                format!(
                    "{name} has spool format {version}, this program reads 1 to 2: use the program that wrote it to \
                     empty the spool"
                )
            );
            assert!(matches!(refused, SpoolError::Version { .. }) && !refused.is_retryable());
            assert!(inspect(&storage).is_err() && storage.image() == before);
        }
    }
}

#[test]
fn appending_goes_on_while_a_sync_is_under_way() {
    let storage = FaultyStorage::default();
    let (mut log, _) = open(&storage);
    append(&mut log, 1..=2, 200).unwrap();
    let task = log.begin_sync().unwrap().unwrap();
    append(&mut log, 3..=30, 300).unwrap();
    let done = task.run();
    let durable = log.end_sync(done).unwrap();
    // The segments that were filled meanwhile had to be synced before the next one began.
    assert!(durable.sequence >= sequence(1, 2) && durable.sequence < sequence(1, 30));
    assert_eq!(log.sync().unwrap().sequence, sequence(1, 30));
    assert!(log.begin_sync().unwrap().is_none());
}

#[test]
fn a_torn_tail_is_cut_and_no_damage() {
    let storage = FaultyStorage::default();
    let (mut log, _) = open(&storage);
    append(&mut log, 1..=2, 200).unwrap();
    storage.kill();
    let name = "0000000001-000001.segment";
    let whole = storage.content(name);
    let end = whole.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    for lost in [1, 100, 210] {
        let mut torn = whole.clone();
        torn[end - lost..].fill(0);
        storage.set_content(name, &torn);
        let seen = inspect(&storage).unwrap();
        let Torn {
            segment,
            from_offset,
            to_offset,
        } = seen.torn.unwrap();
        assert_eq!((segment, seen.damage, seen.backlog.records), (1, vec![], 1));
        assert!(from_offset < to_offset && to_offset <= (end - lost) as u64);
    }
    let (log, found) = open(&storage);
    assert_eq!(found.torn.map(|torn| torn.segment), Some(1));
    assert_eq!(read_all(&log, 0), numbers(1, 1..=1));
    storage.kill();
    let (_, found) = open(&storage);
    assert_eq!(
        (found.torn, found.damage, found.backlog.records),
        (None, vec![], 1)
    );
}

#[test]
fn an_index_whose_sync_failed_is_written_anew_before_its_segment_goes() {
    for trouble in [Trouble::SyncFails, Trouble::SyncFailsAndForgets] {
        // That of the index as it was written, and once more that of the one that is made anew.
        for (failures, is_restarted) in [(1, false), (2, false), (1, true), (2, true)] {
            let storage = FaultyStorage::default();
            let (mut log, _) = open(&storage);
            append(&mut log, 1..=40, 300).unwrap();
            log.set_commit(sequence(1, 40));
            log.sync().unwrap();
            for _ in 0..failures {
                storage.plan(0, trouble);
                log.reclaim().unwrap_err();
                assert!(!storage.has_plan());
            }
            if is_restarted {
                drop(log);
                log = open(&storage).0;
            }
            // What a failed sync was for is not on the disk, and the next sync of the same file has nothing to do.
            log.reclaim().unwrap();
            assert!(log.usage().index_bytes > 0);
            // The deletion is durable with the next segment's name.
            append(&mut log, 41..=80, 300).unwrap();
            log.sync().unwrap();
            let expected = ids(&log);
            assert_eq!(expected[..40], numbers(1, 1..=40));
            storage.lose_unsynced();
            let (log, _) = open(&storage);
            assert_eq!(ids(&log), expected, "{trouble:?} {failures} {is_restarted}");
        }
    }
}
