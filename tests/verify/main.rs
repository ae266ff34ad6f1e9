//! `genesys-kafka verify` over what real runs have written: files, standard output, the topic; whole, damaged, absent.
#![allow(clippy::unwrap_used, reason = "a test binary: a panic is a failure")]

mod file;
mod keyed;
mod topic;

use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use simulator::Options;
use support::Launch;

/// Longest wait for anything that is expected to happen: a generous bound for a loaded machine, not a measurement.
const DEADLINE: Duration = Duration::from_secs(90);

/// Events of a run.
const EVENTS: u64 = 300;
/// Audit records of a run: one for each event, the first, and the last. A run has an `interval` record each minute.
const RECORDS: u64 = EVENTS + 2;

/// A simulator that sends its events at once.
fn burst() -> Options {
    Options {
        events: Some(EVENTS),
        rate: 0,
        conversations: 20,
        ..Options::default()
    }
}

/// What a verification ended with: exit code, standard output, standard error.
type Verdict = (i32, Vec<String>, Vec<String>);

/// Runs `genesys-kafka verify` in a folder.
fn verify<S: AsRef<OsStr>>(folder: &Path, arguments: &[S], input: &[u8]) -> Verdict {
    let finished = Launch::binary("genesys-kafka")
        .args([OsStr::new("verify")])
        .args(arguments)
        .current_dir(folder)
        .stdin(input)
        .run(DEADLINE);
    (finished.status.code().unwrap(), finished.stdout, finished.stderr)
}

/// Demands a whole trail of one run.
fn assert_whole((code, out, complaints): Verdict) {
    assert_eq!((code, &complaints[..]), (0, &[][..]), "{out:#?}");
    let [run, .., verdict] = &out[..] else {
        panic!("{out:#?}")
    };
    assert!(run.starts_with("run ") && run.ends_with(", closed"), "{run}");
    assert!(run.contains(&format!(": {RECORDS} records, ")), "{run}");
    assert_eq!(
        *verdict,
        format!("{RECORDS} records of 1 runs: consistent, not authenticated (the hashes carry no key)")
    );
}

/// Demands a broken trail, and returns the line that says where.
fn broken((code, out, complaints): Verdict) -> String {
    let verdict = out.last().unwrap();
    assert_eq!(
        (code, complaints),
        (
            65,
            vec![format!(
                "genesys-kafka: audit trail: {verdict}; where and how is on standard output"
            )]
        ),
        "{out:#?}"
    );
    out[1].clone()
}
