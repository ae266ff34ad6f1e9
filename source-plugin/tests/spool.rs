//! `genesys-source spool` as a process, on directories of a real disk.
//!
//! Responsible for what only a real process and a real directory show. Invariant: the directory is as it was.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use genesys_source::spool::storage::DiskStorage;
use genesys_source::spool::{Log, NewRecord, Settings, sequence};
use serde_json::{Value, json};

const MAX_BYTES: u64 = 256 << 10;

fn spool(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_genesys-source"))
        .arg("spool")
        .args(arguments)
        .output()
        .unwrap()
}

fn open(directory: &Path) -> Log {
    let storage = DiskStorage::open_or_create(directory).unwrap();
    let settings = Settings::try_new(MAX_BYTES).unwrap();
    Log::open(Arc::new(storage), settings).unwrap().0
}

fn append(log: &mut Log, counters: std::ops::RangeInclusive<u64>) {
    let body = [b'x'; 500];
    let epoch = log.epoch();
    let records: Vec<NewRecord<'_>> = counters
        .map(|counter| NewRecord {
            sequence: sequence(epoch, counter),
            received_time_us: 1_700_000_000_000_000,
            id_hash: Some(u128::from(counter)),
            tag: 1,
            head: b"",
            body: &body,
        })
        .collect();
    log.append(&records).unwrap();
}

fn content(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| {
            (
                entry.file_name().into_string().unwrap(),
                std::fs::read(entry.path()).unwrap(),
            )
        })
        .collect()
}

#[test]
fn a_spool_is_shown_beside_its_owner_and_after_it_and_nothing_is_changed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let mut log = open(directory.path());
    append(&mut log, 1..=20);
    log.set_commit(sequence(1, 2));
    log.set_alive(1_700_000_000_000_000);
    log.set_open_gaps(&[b"gap"]).unwrap();
    log.sync().unwrap();
    let before = content(directory.path());
    for holder in [json!(format!("pid {}", std::process::id())), Value::Null] {
        let shown = spool(&[path, "--json"]);
        assert_eq!(
            (shown.status.code(), shown.stderr.as_slice()),
            (Some(0), &b""[..])
        );
        let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
        assert_eq!(shown["held_by"], holder);
        assert_eq!(
            (&shown["epoch"], &shown["format"], &shown["open_gaps"]),
            (&json!(1), &json!(2), &json!(1))
        );
        let opening = &shown["openings"][0];
        assert_eq!(opening["epoch"], 1);
        assert_eq!(opening["incarnation"].as_str().map(str::len), Some(8));
        assert_eq!(shown["backlog"], json!({ "records": 18, "bytes": 9000 }));
        assert_eq!(
            (&shown["commit"], &shown["alive"]),
            (&json!(sequence(1, 2)), &json!("2023-11-14T22:13:20Z"))
        );
        assert_eq!((&shown["damage"], &shown["torn"]), (&json!([]), &Value::Null));
        let segments = shown["segments"].as_array().unwrap();
        assert_eq!((segments.len(), &segments[0]["records"]), (3, &json!(7)));
        assert_eq!(content(directory.path()), before);
        if !holder.is_null() {
            // Only the lock goes with the owner.
            let end = std::mem::replace(&mut log, open(&directory.path().join("other")));
            drop(end);
            std::fs::remove_dir_all(directory.path().join("other")).unwrap();
        }
    }
}

#[test]
fn text_names_each_segment_and_damage_ends_with_1() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = open(directory.path());
    append(&mut log, 1..=9);
    log.set_commit(sequence(1, 7));
    log.sync().unwrap();
    let uuid = log.uuid();
    let incarnation = log.lineage().openings()[0].incarnation;
    drop(log);
    let path = directory.path().to_str().unwrap();
    let shown = spool(&[path]);
    assert_eq!(
        String::from_utf8(shown.stdout).unwrap(),
        format!(
            "uuid         {uuid}\n\
             format       2\n\
             epoch        1\n\
             incarnation  {incarnation:08x}\n\
             held by      nobody\n\
             committed    1:7\n\
             last alive   -\n\
             open gaps    0\n\
             backlog      2 records, 1000 bytes\n\
             old indexes  0\n\
             \n   \
             segment        bytes   records              first               last  state\n         \
             1         7960         7                1:1                1:7  committed\n         \
             2         8192         2                1:8                1:9  waiting\n"
        )
    );
    assert_eq!(shown.status.code(), Some(0));

    let first = directory.path().join("0000000001-000001.segment");
    let mut bytes = std::fs::read(&first).unwrap();
    bytes[5000] ^= 1;
    std::fs::write(&first, bytes).unwrap();
    let shown = spool(&[path]);
    let text = String::from_utf8(shown.stdout).unwrap();
    assert_eq!(
        text.lines().last().unwrap(),
        "damaged: segment 1, bytes 4648 to 7960: entry, last good 1:1, next good 1:8"
    );
    assert_eq!(shown.status.code(), Some(1));
}

#[test]
fn what_is_no_spool_ends_with_78_and_wrong_usage_with_64() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let said = |output: &Output| {
        (
            output.status.code(),
            String::from_utf8(output.stderr.clone()).unwrap(),
        )
    };
    assert_eq!(
        said(&spool(&[path])),
        (
            Some(78),
            format!("genesys-source: {path}: there is no spool here: no identity and no segment\n")
        )
    );
    assert!(content(directory.path()).is_empty());
    let missing = format!("{path}/missing");
    assert_eq!(
        said(&spool(&[&missing])),
        (
            Some(78),
            format!("genesys-source: {missing}: No such file or directory (os error 2)\n")
        )
    );
    assert_eq!(spool(&[]).status.code(), Some(64));
    assert_eq!(spool(&[path, "--fix"]).status.code(), Some(64));
}
