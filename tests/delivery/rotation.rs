//! An audit file that is set aside when it has grown: every record once, in order, the chain whole over all files.

use std::fs;
use std::path::{Path, PathBuf};

use simulator::Options;
use support::topics::Audit;
use support::{Launch, Rig, rig, wait_until};

use crate::{DEADLINE, full_disk, proofs};

/// Events of a run; each takes some 500 bytes of the audit.
const EVENTS: u64 = 1_000;
/// The limit of a file, in bytes: some hundred audit records.
const MAX_FILE_BYTES: u64 = 65_536;

/// Runs once, from the first event to a drained end, and returns what was printed.
fn run(audit: &Path, in_the_middle: impl FnOnce()) -> Vec<u64> {
    let options = Options {
        events: Some(EVENTS),
        rate: 1_000,
        conversations: 20,
        ..Options::default()
    };
    let rig = Rig::new(options)
        .set("delivery.to", "lines")
        .set("audit.to", "file")
        .set("audit.path", audit.display().to_string())
        .set("audit.max_file_bytes", MAX_FILE_BYTES);
    let mut adapter = rig.start();
    rig::wait_for_metrics(&mut adapter, DEADLINE, "some are audited", |line| {
        line.number("resolved") > 300
    });
    in_the_middle();
    rig::wait_until_ingested(&mut adapter, rig.simulator(), DEADLINE);
    let ended = rig::stop(&mut adapter, DEADLINE);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr.join("\n"));
    proofs::assert_laws(&ended);
    assert!(
        ended.lines_with("file set aside, a new one is begun") >= 3,
        "{}",
        ended.stderr.join("\n")
    );
    let printed = full_disk::printed_events(&adapter);
    assert_eq!(printed.len() as u64, EVENTS);
    printed
}

/// The files in the order in which they were written: by name, the present one last.
fn files(audit: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(audit.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort_unstable_by_key(|path| (path == audit, path.clone()));
    files
}

#[test]
fn each_audit_record_stands_once_and_in_order_in_files_no_longer_than_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    let audit = folder.path().join("audit.jsonl");
    let first = run(&audit, || {});
    // `logrotate` comes by while the second run writes; its name sorts behind all that were there
    let second = run(&audit, || {
        let names = files(&audit);
        let last = names[names.len() - 2].display().to_string();
        let (stem, number) = last.split_at(last.len() - 6);
        // far from the names that the adapter takes at the same moment
        let next = number.parse::<u64>().unwrap() + 500;
        wait_until(DEADLINE, "the file is renamed", || {
            fs::rename(&audit, format!("{stem}{next:06}")).is_ok()
        });
    });

    let files = files(&audit);
    assert!(files.len() > 10, "{files:?}");
    let mut text = String::new();
    for file in &files {
        let part = fs::read_to_string(file).unwrap();
        assert!(part.len() as u64 <= MAX_FILE_BYTES, "{}", file.display());
        assert!(part.ends_with('\n'), "half a line in {}", file.display());
        text.push_str(&part);
    }
    let audits = full_disk::audits(&text);
    proofs::assert_valid("audit", audits.iter().map(|audit| &audit.body));
    let runs: Vec<&[Audit]> = audits
        .chunk_by(|one, next| one.body["runId"] == next.body["runId"])
        .collect();
    assert_eq!(runs.len(), 2);
    proofs::assert_chain(runs[0]);
    proofs::assert_chain_after(runs[1], &runs[0].last().unwrap().body["hash"]);
    for (run, printed) in runs.iter().zip([first, second]) {
        assert_eq!(full_disk::processed(run), printed);
    }
    let verified = Launch::binary("genesys-kafka")
        .args(["verify"])
        .args(&files)
        .run(DEADLINE);
    assert_eq!(
        verified.status.code(),
        Some(0),
        "{}\n{}",
        verified.stdout.join("\n"),
        verified.stderr.join("\n")
    );
}
