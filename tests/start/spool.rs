//! A spool that cannot be used: held by another process, or written by another version of the program.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use simulator::Options;
use support::{Launch, Rig, Stream, rig, wait_until};

use crate::{EXIT_CONFIG, SOON, complaint};

/// Bytes of a block in every file of the spool, and where its version and its checksum stand.
const BLOCK_BYTES: usize = 4096;
const VERSION_AT: usize = 8;
const LENGTH_AT: usize = 12;
const CRC_AT: usize = 16;

fn rig() -> Rig {
    let options = Options {
        rate: 50,
        ..Options::default()
    };
    Rig::new(options).set("delivery.to", "lines")
}

/// Every file of a directory with its bytes.
fn image(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = std::fs::read_dir(directory).unwrap();
    let files = files.map(|file| file.unwrap().path());
    files
        .map(|file| (file.clone(), std::fs::read(file).unwrap()))
        .collect()
}

/// Gives every block at the beginning of a file another version and the checksum that goes with it.
fn restamp(file: &Path, version: u32) {
    let mut bytes = std::fs::read(file).unwrap();
    let number = |bytes: &[u8], at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let mut start = 0;
    while bytes.len() >= start + BLOCK_BYTES && bytes[start..].starts_with(b"esp") {
        let end = start + number(&bytes, start + LENGTH_AT) as usize;
        let block = &mut bytes[start..end];
        block[VERSION_AT..VERSION_AT + 4].copy_from_slice(&version.to_le_bytes());
        block[CRC_AT..CRC_AT + 4].fill(0);
        let crc = crc32c::crc32c(block);
        block[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
        start = end;
    }
    assert!(start > 0, "{} begins with no block", file.display());
    std::fs::write(file, bytes).unwrap();
}

#[test]
fn a_second_adapter_on_the_same_spool_is_refused_and_the_first_goes_on() {
    let rig = rig();
    let mut first = rig.start();
    first.wait_for_line(Stream::Stderr, "subscribed", SOON);
    // whatever changes while the first stands still, the second has changed
    first.signal(Signal::SIGSTOP);
    let stat = format!("/proc/{}/stat", first.id());
    wait_until(SOON, "the first stands still", || {
        std::fs::read_to_string(&stat).unwrap().contains(") T ")
    });
    let before = image(&rig.folder().join("spool"));
    let second = rig.launch(&[]).run(SOON);
    assert!(
        image(&rig.folder().join("spool")) == before,
        "the second has touched the spool"
    );
    first.signal(Signal::SIGCONT);
    assert_eq!(
        (complaint(&second), second.status.code()),
        (
            format!(
                "source cannot be opened: BUSY: spool.dir {}: the spool is in use by pid {}: stop it, or give this source a directory of \
                 its own",
                rig.folder().join("spool").display(),
                first.id()
            ),
            Some(EXIT_CONFIG)
        )
    );
    let ended = rig::stop(&mut first, SOON);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr.join("\n"));
    // the next one finds it free
    let mut third = rig.start();
    third.wait_for_line(Stream::Stderr, "subscribed", SOON);
    assert_eq!(rig::stop(&mut third, SOON).code, Some(0));
}

/// A configuration whose spool, a folder, a run has written and another version of the program might have.
fn written_in_format(version: u32) -> (Rig, PathBuf) {
    let rig = rig();
    let mut adapter = rig.start();
    adapter.wait_for_line(Stream::Stderr, "subscribed", SOON);
    assert_eq!(rig::stop(&mut adapter, SOON).code, Some(0));
    let spool = rig.folder().join("spool");
    for file in image(&spool).into_keys() {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        if name == "identity" || name.ends_with(".segment") || name.ends_with(".index") {
            restamp(&file, version);
        }
    }
    (rig, spool)
}

#[test]
fn a_spool_of_another_format_version_is_refused_and_left_as_it_is() {
    let (rig, spool) = written_in_format(3);
    let before = image(&spool);
    let refusal = "identity has spool format 3, this program reads 1 to 2: use the program that wrote it to empty the spool";
    let refused = rig.launch(&[]).run(SOON);
    assert_eq!(
        (complaint(&refused), refused.status.code()),
        (
            format!(
                "{}: source.config.spool.dir: {}: {refusal}",
                rig.place("source.config.spool.dir"),
                spool.display()
            ),
            Some(EXIT_CONFIG)
        )
    );
    let shown = Launch::binary("genesys-source")
        .args(["spool", &spool.display().to_string()])
        .run(SOON);
    assert_eq!(
        (shown.stderr.join("\n"), shown.status.code()),
        (
            format!("genesys-source: {}: {refusal}", spool.display()),
            Some(EXIT_CONFIG)
        )
    );
    assert!(image(&spool) == before, "looking at it changes nothing");
}

/// What `genesys-source spool` says of a directory.
fn shown(spool: &Path) -> Value {
    let shown = Launch::binary("genesys-source")
        .args(["spool", "--json", &spool.display().to_string()])
        .run(SOON);
    assert_eq!(shown.status.code(), Some(0), "{shown:?}");
    serde_json::from_str(&shown.stdout.join("\n")).unwrap()
}

#[test]
fn a_spool_of_the_previous_format_version_is_gone_on_with() {
    let (rig, spool) = written_in_format(1);
    let before = shown(&spool);
    assert_eq!(
        (&before["format"], &before["openings"]),
        (&json!(1), &json!([])),
        "{before}"
    );
    let mut adapter = rig.start();
    adapter.wait_for_line(Stream::Stderr, "subscribed", SOON);
    assert_eq!(rig::stop(&mut adapter, SOON).code, Some(0));
    let after = shown(&spool);
    assert_eq!(
        (&after["format"], &after["uuid"], &after["damage"]),
        (&json!(2), &before["uuid"], &json!([]))
    );
    let epoch = before["epoch"].as_u64().unwrap() + 1;
    assert_eq!(
        (&after["epoch"], &after["openings"][0]["epoch"]),
        (&json!(epoch), &json!(epoch))
    );
    assert!(after["commit"].as_u64() > before["commit"].as_u64(), "{after}");
}

#[test]
fn memory_mode_is_announced() {
    let rig = rig().in_memory();
    let mut adapter = rig.start();
    adapter.wait_for_line(
        Stream::Stderr,
        "records are kept in memory: what is not committed dies with the process",
        SOON,
    );
    assert_eq!(rig::stop(&mut adapter, SOON).code, Some(0));
}
