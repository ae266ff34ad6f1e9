//! Tests of the spool as a whole, on a directory that fails as disks do.

mod crash;
mod damage;
mod failure;
mod order;
mod space;
mod threads;
mod upgrade;

use std::sync::Arc;

use super::storage::faulty::FaultyStorage;
use super::{
    Batch, Inspection, Log, NewRecord, ReadLimits, Recovered, Settings, SpoolError, inspect, sequence,
};

/// The smallest spool: 32 segments of 8 KiB, of which a header takes one half.
const MAX_BYTES: u64 = 256 << 10;

const LIMITS: ReadLimits = ReadLimits {
    max_records: 7,
    max_bytes: 3000,
};

fn settings() -> Settings {
    Settings::try_new(MAX_BYTES).unwrap()
}

fn try_open(storage: &FaultyStorage) -> Result<(Log, Recovered), SpoolError> {
    Log::open(Arc::new(storage.clone()), settings())
}

fn open(storage: &FaultyStorage) -> (Log, Recovered) {
    try_open(storage).unwrap()
}

/// Returns the body of a record: its number decides length and bytes.
fn body(sequence: u64, length: usize) -> Vec<u8> {
    (0..length)
        .map(|at| (sequence as usize * 31 + at * 7) as u8 | 1)
        .collect()
}

fn record(sequence: u64, body: &[u8]) -> NewRecord<'_> {
    NewRecord {
        sequence,
        received_time_us: sequence as i64 % 1_000_000 * 1000,
        id_hash: Some(u128::from(sequence) << 64 | 5),
        tag: sequence as u32,
        head: b"head",
        body,
    }
}

/// Appends records of `length` bytes with these counters, one batch.
fn append(
    log: &mut Log,
    counters: std::ops::RangeInclusive<u64>,
    length: usize,
) -> Result<(), super::AppendError> {
    let epoch = log.epoch();
    let bodies: Vec<(u64, Vec<u8>)> = counters
        .map(|counter| sequence(epoch, counter))
        .map(|number| (number, body(number, length)))
        .collect();
    let records: Vec<NewRecord<'_>> = bodies
        .iter()
        .map(|(number, body)| record(*number, body))
        .collect();
    log.append(&records)
}

/// Reads everything after `sequence` and checks that each record is what was appended under its number.
fn read_all(log: &Log, after: u64) -> Vec<u64> {
    let mut reader = log.reader_after(after);
    let (mut batch, mut numbers) = (Batch::default(), Vec::new());
    loop {
        reader.read(LIMITS, &mut batch);
        assert!(batch.len() <= LIMITS.max_records);
        for stored in batch.records() {
            let body = body(stored.sequence, stored.payload.len() - 4);
            let expected = record(stored.sequence, &body);
            assert_eq!(stored.payload, [expected.head, expected.body].concat());
            assert_eq!(
                (stored.received_time_us, stored.id_hash, stored.tag),
                (expected.received_time_us, expected.id_hash, expected.tag)
            );
            numbers.push(stored.sequence);
        }
        if batch.is_at_end() {
            return numbers;
        }
        assert!(!batch.is_empty(), "a batch is empty only at the end");
    }
}

fn numbers(epoch: u32, counters: std::ops::RangeInclusive<u64>) -> Vec<u64> {
    counters.map(|counter| sequence(epoch, counter)).collect()
}

fn ids(log: &Log) -> Vec<u64> {
    let mut hashes = Vec::new();
    log.visit_ids(|id_hash| hashes.push((id_hash >> 64) as u64));
    hashes
}

/// Looks twice: the same files give the same answer.
fn inspect_twice(storage: &FaultyStorage) -> Inspection {
    let seen = inspect(storage).unwrap();
    assert_eq!(inspect(storage).unwrap(), seen);
    seen
}
