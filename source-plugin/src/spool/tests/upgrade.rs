//! A directory that a program of format 1 left.

use proptest::prelude::*;

use super::super::storage::Storage as _;
use super::super::storage::faulty::FaultyStorage;
use super::super::{SpoolError, format, identity_file, inspect, sequence};
use super::{append, numbers, open, read_all, try_open};

/// What stands in each slot of an identity that a program of format 1 wrote, up to the zeros: the last two epochs.
const SLOTS: [[u8; 40]; 2] = [
    *b"espIDENT\x01\0\0\0\0\x10\0\0\xbf\x81\x15\xda\x01\xa2\x2c\xb6\xab\xb4\x75\x9a\x94\x0f\xcc\x5d\x54\xaa\x61\x69\x05\0\0\0",
    *b"espIDENT\x01\0\0\0\0\x10\0\0\x3e\x9a\x34\xfe\x01\xa2\x2c\xb6\xab\xb4\x75\x9a\x94\x0f\xcc\x5d\x54\xaa\x61\x69\x06\0\0\0",
];

fn identity(slots: &[[u8; 40]]) -> Vec<u8> {
    let mut content = vec![0; 2 * 4096];
    for (slot, bytes) in slots.iter().enumerate() {
        content[slot * 4096..][..bytes.len()].copy_from_slice(bytes);
    }
    content
}

/// Gives the block at the beginning of a file format 1; nothing else of it has changed since.
fn restamp(storage: &FaultyStorage, name: &str) {
    let mut content = storage.content(name);
    assert_eq!(content[8..12], [2, 0, 0, 0]);
    let length = u32::from_le_bytes(content[12..16].try_into().unwrap()) as usize;
    content[8] = 1;
    content[16..20].fill(0);
    let crc = crc32c::crc32c(&content[..length]);
    content[16..20].copy_from_slice(&crc.to_le_bytes());
    storage.set_content(name, &content);
}

/// A directory of format 1 with records of its 6th epoch.
fn of_format_1() -> FaultyStorage {
    let storage = FaultyStorage::default();
    storage.create("identity", 8192).unwrap();
    storage.sync_dir().unwrap();
    storage.set_content("identity", &identity(&SLOTS[..1]));
    let (mut log, _) = open(&storage);
    append(&mut log, 1..=30, 300).unwrap();
    log.set_commit(sequence(6, 4));
    log.sync().unwrap();
    drop(log);
    for name in storage.image().keys() {
        if name.ends_with(".segment") || name.ends_with(".index") {
            restamp(&storage, name);
        }
    }
    storage.set_content("identity", &identity(&SLOTS));
    storage
}

#[test]
fn a_spool_of_format_1_is_read_and_its_identity_written_as_format_2() {
    let storage = of_format_1();
    let seen = inspect(&storage).unwrap();
    assert_eq!(
        (seen.format, seen.epoch, seen.lineage.openings()),
        (Some(1), 6, &[][..])
    );
    let mut known = Vec::new();
    for epoch in [7, 8, 9] {
        let (mut log, found) = open(&storage);
        assert_eq!(log.uuid().to_string(), "01a22cb6-abb4-759a-940f-cc5d54aa6169");
        assert_eq!((log.epoch(), log.lineage().unrecorded_to()), (epoch, 6));
        assert_eq!((found.commit, found.damage), (sequence(6, 4), vec![]));
        assert_eq!(read_all(&log, found.commit)[..26], numbers(6, 5..=30));
        append(&mut log, 1..=2, 10).unwrap();
        known.push(*log.lineage().openings().last().unwrap());
        drop(log);
        let seen = inspect(&storage).unwrap();
        assert_eq!((seen.format, seen.epoch), (Some(2), epoch));
        assert_eq!(seen.lineage.openings(), known);
    }
}

#[test]
fn an_upgrade_that_is_torn_off_is_done_again() {
    let storage = of_format_1();
    let (log, _) = open(&storage);
    let torn = log.lineage().openings().to_vec();
    drop(log);
    // the slot of format 1 that was kept
    assert_eq!(storage.content("identity")[4096..4096 + 40], SLOTS[1]);
    storage.flip("identity", 45);
    let (log, _) = open(&storage);
    assert_eq!((log.epoch(), log.lineage().unrecorded_to()), (8, 6));
    assert_ne!(log.lineage().openings(), torn);
}

#[test]
fn the_longest_line_fits_into_its_slot() {
    let storage = FaultyStorage::default();
    let (mut log, _) = open(&storage);
    for _ in 0..600 {
        log.advance_epoch(0).unwrap();
        log.reclaim().unwrap();
    }
    let known = log.lineage().clone();
    assert_eq!((known.openings().len(), log.epoch()), (500, 601));
    drop(log);
    assert_eq!(storage.content("identity").len(), 8192);
    let read = identity_file::read(&storage).unwrap().unwrap().identity;
    assert_eq!((read.epoch, &read.lineage), (601, &known));
    let (log, _) = open(&storage);
    assert_eq!(log.lineage().openings()[..499], known.openings()[1..]);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// What another program may have written under a sound checksum is an identity or none, and opens or is refused.
    #[test]
    fn whatever_an_identity_says_it_opens_or_is_refused(
        version in 1..=2_u32,
        spool in any::<[u8; 16]>(),
        epoch in prop_oneof![0..20_u32, any::<u32>()],
        count in prop_oneof![0..20_u32, any::<u32>()],
        rest in prop::collection::vec(any::<u8>(), 0..4000),
    ) {
        let mut fields = spool.to_vec();
        for number in [epoch, 0, count] {
            fields.extend(number.to_le_bytes());
        }
        fields.extend(rest);
        let storage = FaultyStorage::default();
        storage.create("identity", 8192).unwrap();
        let mut content = format::seal_as(identity_file::MAGIC, version, &fields);
        content.resize(8192, 0);
        storage.set_content("identity", &content);
        match try_open(&storage) {
            Ok((log, _)) => prop_assert_eq!(log.lineage().openings().last().unwrap().epoch, log.epoch()),
            Err(error) => prop_assert!(matches!(error, SpoolError::EpochsExhausted), "{}", error),
        }
    }
}
