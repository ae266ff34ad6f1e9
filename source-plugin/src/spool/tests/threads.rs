//! Writer, syncing thread and reader side by side, on a real disk.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::super::storage::DiskStorage;
use super::super::{Batch, Log, inspect, sequence};
use super::{LIMITS, append, ids, numbers, settings};

const RECORDS: u64 = 3000;

fn open(directory: &std::path::Path) -> Log {
    let storage = DiskStorage::open_or_create(directory).unwrap();
    Log::open(Arc::new(storage), settings()).unwrap().0
}

#[test]
fn a_reader_sees_every_record_in_order_while_others_write_sync_and_delete() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path());
    let mut reader = log.reader_after(0);
    let log = Mutex::new(log);
    let (committed, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut next = 1;
            while next <= RECORDS {
                let last = (next + 4).min(RECORDS);
                // A full spool takes the rest when the reader has come further.
                match append(&mut log.lock().unwrap(), next..=last, 300) {
                    Ok(()) => next = last + 1,
                    Err(refused) => {
                        assert!(refused.is_retryable(), "{refused}");
                        next += refused.appended as u64;
                        std::thread::yield_now();
                    }
                }
            }
        });
        scope.spawn(|| {
            while !is_over.load(Ordering::Acquire) {
                let task = {
                    let mut log = log.lock().unwrap();
                    log.set_commit(committed.load(Ordering::Acquire));
                    log.write_marks().unwrap();
                    log.begin_sync().unwrap()
                };
                if let Some(done) = task.map(super::super::SyncTask::run) {
                    log.lock().unwrap().end_sync(done).unwrap();
                }
                let committed = log.lock().unwrap().begin_reclaim().unwrap();
                if let Some(done) = committed.map(super::super::ReclaimTask::run) {
                    let gone = log.lock().unwrap().end_reclaim(done);
                    assert!(gone.unwrap().segments() > 0);
                }
                std::thread::yield_now();
            }
        });
        let (mut batch, mut read) = (Batch::default(), Vec::new());
        while read.len() < RECORDS as usize {
            reader.read(LIMITS, &mut batch);
            assert_eq!(batch.damage(), []);
            read.extend(batch.records().map(|record| record.sequence));
            committed.store(read.last().copied().unwrap_or(0), Ordering::Release);
        }
        is_over.store(true, Ordering::Release);
        assert_eq!(read, numbers(1, 1..=RECORDS));
    });
    let mut log = log.into_inner().unwrap();
    log.set_commit(sequence(1, RECORDS));
    log.sync().unwrap();
    log.reclaim().unwrap();
    drop(log);
    let log = open(directory.path());
    assert_eq!(log.durable().commit, sequence(1, RECORDS));
    assert_eq!(ids(&log), numbers(1, 1..=RECORDS));
}

#[test]
fn looking_beside_an_owner_that_writes_and_deletes_finds_no_damage() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = open(directory.path());
    let is_over = AtomicBool::new(false);
    let looks = std::thread::scope(|scope| {
        let onlooker = scope.spawn(|| {
            let storage = DiskStorage::open_read_only(directory.path()).unwrap();
            let mut looks = 0;
            while !is_over.load(Ordering::Acquire) {
                match inspect(&storage) {
                    Ok(seen) => {
                        assert_eq!(seen.damage, []);
                        assert_eq!(seen.holder, Some(format!("pid {}", std::process::id())));
                        looks += 1;
                    }
                    // The files changed faster than they could be read, which it says.
                    Err(error) => assert!(error.is_retryable(), "{error}"),
                }
            }
            looks
        });
        for next in (1..=RECORDS).step_by(5) {
            append(&mut log, next..=next + 4, 300).unwrap();
            log.set_commit(sequence(1, next.saturating_sub(20).max(1)));
            log.sync().unwrap();
            log.reclaim().unwrap();
        }
        is_over.store(true, Ordering::Release);
        onlooker.join().unwrap()
    });
    assert!(looks > 0, "it never came to a look");
}
