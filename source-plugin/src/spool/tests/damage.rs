//! Bytes that are not what was written.

use std::collections::BTreeSet;

use super::super::storage::Storage as _;
use super::super::storage::faulty::FaultyStorage;
use super::super::{Damage, Fault, inspect, sequence};
use super::{append, ids, numbers, open, read_all};

const FIRST: &str = "0000000001-000001.segment";

/// Three segments with thirty records.
fn spool() -> (FaultyStorage, u64) {
    let storage = FaultyStorage::default();
    let (mut log, _) = open(&storage);
    append(&mut log, 1..=30, 300).unwrap();
    log.sync().unwrap();
    drop(log);
    let first = inspect(&storage).unwrap().segments[0].records;
    assert!((5..15).contains(&first));
    (storage, first)
}

#[test]
fn a_flipped_byte_anywhere_in_a_closed_segment_is_reported_and_only_what_follows_in_it_is_skipped() {
    let (storage, in_first) = spool();
    let whole = storage.content(FIRST);
    let rest = numbers(1, in_first + 1..=30);
    for offset in 0..whole.len() {
        storage.flip(FIRST, offset);
        let seen = inspect(&storage).unwrap();
        let [damage] = seen.damage.as_slice() else {
            panic!("at {offset}: {:?}", seen.damage);
        };
        let before = damage.last_good.unwrap_or(sequence(1, 0)) - sequence(1, 0);
        assert_eq!(
            (damage.segment, damage.next_good),
            (1, Some(rest[0])),
            "at {offset}"
        );
        assert!(
            (damage.from_offset..damage.to_offset).contains(&(offset as u64)),
            "at {offset}"
        );
        assert_eq!(damage.to_offset, whole.len() as u64);
        assert!(before < in_first);
        assert_eq!(seen.backlog.records, before + rest.len() as u64, "at {offset}");
        assert_eq!(
            damage.fault,
            if offset < 4096 {
                Fault::Header
            } else {
                Fault::Entry
            }
        );
        storage.set_content(FIRST, &whole);
    }
}

#[test]
fn damage_is_reported_alike_at_every_opening_and_the_rest_is_read() {
    let (storage, in_first) = spool();
    storage.flip(FIRST, 4096 + 400);
    let expected = vec![Damage {
        segment: 1,
        from_offset: 4096 + 352,
        to_offset: storage.content(FIRST).len() as u64,
        last_good: Some(sequence(1, 1)),
        next_good: Some(sequence(1, in_first + 1)),
        fault: Fault::Entry,
    }];
    for _ in 0..3 {
        let (log, found) = open(&storage);
        assert_eq!(found.damage, expected);
        let left = [numbers(1, 1..=1), numbers(1, in_first + 1..=30)].concat();
        assert_eq!(read_all(&log, 0), left);
        // The index still knows the ids.
        assert_eq!(ids(&log), numbers(1, 1..=30));
    }
    let (mut log, _) = open(&storage);
    log.set_commit(sequence(1, 30));
    log.sync().unwrap();
    log.reclaim().unwrap();
    drop(log);
    assert_eq!(open(&storage).1.damage, []);
}

#[test]
fn a_hole_in_the_tail_is_damage_and_nothing_behind_it_is_read() {
    let storage = FaultyStorage::default();
    let (mut log, _) = open(&storage);
    append(&mut log, 1..=5, 300).unwrap();
    storage.kill();
    // The second of five entries of 352 bytes.
    storage.flip(FIRST, 4096 + 352 + 100);
    for _ in 0..2 {
        let (mut log, found) = open(&storage);
        let [damage] = found.damage.as_slice() else {
            panic!("{:?}", found.damage)
        };
        assert_eq!(
            (damage.from_offset, damage.last_good),
            (4096 + 352, Some(sequence(1, 1)))
        );
        assert_eq!((damage.to_offset, found.torn), (4096 + 5 * 352, None));
        let left = read_all(&log, 0);
        assert_eq!(left[..1], numbers(1, 1..=1));
        assert!(left[1..].iter().all(|number| *number > sequence(2, 0)));
        append(&mut log, 1..=1, 10).unwrap();
        log.sync().unwrap();
        storage.kill();
    }
}

#[test]
fn an_entry_at_another_place_is_no_entry() {
    let (storage, in_first) = spool();
    let whole = storage.content(FIRST);
    let mut moved = whole.clone();
    // The third entry in the place of the second: whole, valid, and not its own.
    moved.copy_within(4096 + 2 * 352..4096 + 3 * 352, 4096 + 352);
    storage.set_content(FIRST, &moved);
    let seen = inspect(&storage).unwrap();
    assert_eq!(seen.damage.len(), 1);
    assert_eq!(seen.damage[0].from_offset, 4096 + 352);
    assert_eq!(seen.backlog.records, 1 + 30 - in_first);
    // Entries of one segment in another one, at the same offsets.
    storage.set_content(FIRST, &whole);
    let second = "0000000002-000001.segment";
    let mut mixed = storage.content(second);
    let end = mixed.len().min(whole.len());
    mixed[4096..end].copy_from_slice(&whole[4096..end]);
    storage.set_content(second, &mixed);
    let seen = inspect(&storage).unwrap();
    assert_eq!(
        (
            seen.damage.len(),
            seen.damage[0].segment,
            seen.damage[0].from_offset
        ),
        (1, 2, 4096)
    );
}

#[test]
fn a_segment_under_another_name_or_of_another_spool_is_foreign_and_left_alone() {
    let (storage, _) = spool();
    let (other, _) = spool();
    let name = "0000000009-000001.segment";
    for content in [storage.content(FIRST), other.content(FIRST)] {
        let file = storage.create(name, 1);
        file.ok();
        storage.set_content(name, &content);
        let (log, found) = open(&storage);
        let faults: Vec<Fault> = found.damage.iter().map(|damage| damage.fault).collect();
        assert_eq!((faults, found.damage[0].segment), (vec![Fault::Foreign], 9));
        assert_eq!(read_all(&log, 0), numbers(1, 1..=30));
        assert_eq!(storage.content(name), content);
    }
}

#[test]
fn a_segment_that_is_gone_is_reported_unless_it_was_committed() {
    let (storage, in_first) = spool();
    let second = inspect(&storage).unwrap().segments[1].clone();
    storage.remove("0000000002-000001.segment").unwrap();
    storage.sync_dir().unwrap();
    let expected = Damage {
        segment: 2,
        from_offset: 0,
        to_offset: 0,
        last_good: Some(sequence(1, in_first)),
        next_good: second
            .last_sequence
            .map(|last| last + 1)
            .filter(|next| *next <= sequence(1, 30)),
        fault: Fault::Missing,
    };
    let (mut log, found) = open(&storage);
    assert_eq!(found.damage, [expected]);
    log.set_commit(second.last_sequence.unwrap());
    log.sync().unwrap();
    log.reclaim().unwrap();
    drop(log);
    assert_eq!(open(&storage).1.damage, []);
}

#[test]
fn a_lost_or_damaged_index_is_made_from_the_segment() {
    let (storage, _) = spool();
    let name = "0000000001-000001.index";
    drop(open(&storage));
    let whole = storage.content(name);
    for content in [None, Some(whole[..100].to_vec()), Some(vec![0; whole.len()])] {
        match content {
            Some(content) => storage.set_content(name, &content),
            None => storage.remove(name).unwrap(),
        }
        let (log, _) = open(&storage);
        assert_eq!(ids(&log), numbers(1, 1..=30));
        drop(log);
        assert_eq!(storage.content(name), whole);
    }
    storage.flip(name, 90);
    assert_eq!(ids(&open(&storage).0), numbers(1, 1..=30));
}

#[test]
fn what_goes_bad_under_a_reader_is_skipped_and_said() {
    let storage = FaultyStorage::default();
    let (mut log, _) = open(&storage);
    append(&mut log, 1..=20, 300).unwrap();
    let in_first = (8192 - 4096) / 352;
    storage.flip(FIRST, 4096 + 352 + 7);
    let mut reader = log.reader_after(0);
    let (mut batch, mut damage, mut read) = (super::Batch::default(), Vec::new(), BTreeSet::new());
    while !batch.is_at_end() {
        reader.read(super::LIMITS, &mut batch);
        damage.extend(batch.damage().iter().cloned());
        read.extend(batch.records().map(|record| record.sequence));
    }
    let left = [numbers(1, 1..=1), numbers(1, in_first + 1..=20)].concat();
    assert_eq!(read.into_iter().collect::<Vec<_>>(), left);
    assert_eq!(
        (damage.len(), damage[0].from_offset, damage[0].fault),
        (1, 4096 + 352, Fault::Entry)
    );
}

#[test]
fn a_place_that_cannot_be_read_costs_what_follows_in_its_segment_and_nothing_else() {
    let (storage, in_first) = spool();
    // The fourth entry of 352 bytes begins at 5152 and ends at 5504, in the sector from 5120 on.
    storage.spoil(FIRST, 5200);
    let seen = inspect(&storage).unwrap();
    assert_eq!(seen.damage.len(), 1);
    let damage = &seen.damage[0];
    assert_eq!(
        (damage.fault, damage.from_offset),
        (Fault::Unreadable, 4096 + 2 * 352)
    );
    let left = [numbers(1, 1..=2), numbers(1, in_first + 1..=30)].concat();
    for _ in 0..2 {
        let (log, found) = open(&storage);
        assert_eq!(
            (found.damage, read_all(&log, 0)),
            (seen.damage.clone(), left.clone())
        );
    }
    let (mut log, _) = open(&storage);
    log.set_commit(sequence(1, 30));
    log.sync().unwrap();
    assert!(log.reclaim().unwrap() >= 3);
    // A header that cannot be read is met alike, also in the last segment.
    let (storage, _) = spool();
    let last = inspect(&storage).unwrap().segments.last().unwrap().clone();
    storage.spoil("0000000003-000001.segment", 0);
    let (log, found) = open(&storage);
    assert_eq!(
        (found.damage.len(), found.damage[0].fault),
        (1, Fault::Unreadable)
    );
    assert_eq!(
        read_all(&log, 0),
        numbers(1, 1..=last.first_sequence.unwrap() - 1 - sequence(1, 0))
    );
}

#[test]
fn looking_changes_nothing() {
    let (storage, _) = spool();
    storage.flip(FIRST, 5000);
    let before = (storage.image(), storage.calls().len());
    let seen = inspect(&storage).unwrap();
    assert_eq!(inspect(&storage).unwrap(), seen);
    assert_eq!((storage.image(), storage.calls().len()), before);
    let empty = FaultyStorage::default();
    let refused = inspect(&empty).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "there is no spool here: no identity and no segment"
    );
}
