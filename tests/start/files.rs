//! Files of records that cannot be written: told at the start, not at the first record.

use std::os::unix::net::UnixListener;

use simulator::Options;
use support::{Receiver, Reply, Rig};

use crate::{EXIT_CONFIG, SOON, complaint, make_pipe};

/// What is demanded of the lines that the operator's page explains.
pub(crate) fn expected() -> Vec<String> {
    let keys = KEYS.iter();
    keys.flat_map(|key| [absent_folder(key), pipe(key)]).collect()
}

/// The keys of files that records go to in webhook mode.
const KEYS: [&str; 3] = ["dead_letter.path", "audit.path", "control.path"];

fn unwritable(key: &str, path: &str, why: &str) -> String {
    format!(
        "{key}: {path} cannot be written: {why}; create its folder and let this user write there, or set {key} to another \
         file"
    )
}

fn pipe(key: &str) -> String {
    format!("{key}: pipe is a pipe, not a file; name a regular file")
}

fn absent_folder(key: &str) -> String {
    unwritable(
        key,
        "absent/records.jsonl",
        "No such file or directory (os error 2)",
    )
}

#[test]
fn a_file_that_cannot_be_written_is_named_by_its_key() {
    let receiver = Receiver::start(|_| Reply::Status(200));
    for key in KEYS {
        for (path, expected) in [
            ("absent/records.jsonl", absent_folder(key)),
            ("pipe", pipe(key)),
            (
                "socket",
                format!("{key}: socket is a socket, not a file; name a regular file"),
            ),
            ("taken", unwritable(key, "taken", "Is a directory (os error 21)")),
            (
                "plain/records.jsonl",
                unwritable(key, "plain/records.jsonl", "Not a directory (os error 20)"),
            ),
        ] {
            let rig = Rig::new(Options::default())
                .set("delivery.to", "webhook")
                .set("webhook.url", receiver.url("/hook"))
                .set("webhook.allow_private", true)
                .set("audit.to", "file")
                .set("audit.path", "audit.jsonl")
                .set(key, path);
            std::fs::create_dir(rig.folder().join("taken")).unwrap();
            std::fs::write(rig.folder().join("plain"), "").unwrap();
            make_pipe(&rig.folder().join("pipe"));
            let _listener = UnixListener::bind(rig.folder().join("socket")).unwrap();
            let finished = rig.launch(&[]).run(SOON);
            assert_eq!(
                (complaint(&finished), finished.status.code()),
                (expected, Some(EXIT_CONFIG))
            );
            assert_eq!(rig.simulator().counters().connects, 0);
        }
    }
}
