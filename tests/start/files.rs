//! Files of records that cannot be written, and a listener that cannot be opened: told at the start, all together, and not
//! at the first record.

use std::net::TcpListener;
use std::os::unix::net::UnixListener;

use simulator::Options;
use support::{Receiver, Reply, Rig};

use crate::{EXIT_CONFIG, SOON, complaint, make_pipe};

/// What is demanded of the lines that the operator's page explains.
pub(crate) fn expected() -> Vec<String> {
    let files = KEYS.iter().flat_map(|key| [absent_folder(key), pipe(key)]);
    files.chain([taken("127.0.0.1:9464"), foreign()]).collect()
}

/// The keys of files that records go to in webhook mode.
const KEYS: [&str; 3] = ["dead_letter.path", "audit.path", "control.path"];

/// A file in a folder that is not there.
const ABSENT: &str = "absent/records.jsonl";

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
    unwritable(key, ABSENT, "No such file or directory (os error 2)")
}

/// What is said of a port that another program has.
fn taken(address: &str) -> String {
    format!(
        "operations.listen: {address} cannot be opened: Address already in use (os error 98); stop what listens there, or \
         set operations.listen to a free port"
    )
}

/// What is said of an address that is another machine's: TEST-NET-1 (RFC 5737).
fn foreign() -> String {
    format!(
        "operations.listen: {FOREIGN} cannot be opened: Cannot assign requested address (os error 99); set \
         operations.listen to an address of this machine"
    )
}

const FOREIGN: &str = "192.0.2.1:9464";

#[test]
fn every_file_and_the_listener_are_told_in_one_pass() {
    let receiver = Receiver::start(|_| Reply::Status(200));
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let in_use = other.local_addr().unwrap().to_string();
    for (listen, said) in [(in_use.as_str(), taken(&in_use)), (FOREIGN, foreign())] {
        let rig = Rig::new(Options::default())
            .set("delivery.to", "webhook")
            .set("webhook.url", receiver.url("/hook"))
            .set("webhook.allow_private", true)
            .set("audit.to", "file")
            .set("operations.listen", listen);
        // a name of its own for each: one file for two kinds of records is another fault
        let path = |key: &str| format!("absent/{key}.jsonl");
        let said_of = |key: &str| unwritable(key, &path(key), "No such file or directory (os error 2)");
        let rig = KEYS.iter().fold(rig, |rig, key| rig.set(key, path(key)));
        let finished = rig.launch(&[]).run(SOON);
        // the file's lines are in the order of the keys
        let expected: Vec<String> = [
            ("audit.path", said_of("audit.path")),
            ("control.path", said_of("control.path")),
            ("dead_letter.path", said_of("dead_letter.path")),
            ("operations.listen", said),
        ]
        .iter()
        .map(|(key, line)| format!("genesys-kafka: {}: {line}", rig.place(key)))
        .collect();
        assert_eq!(
            (finished.stderr, finished.status.code()),
            (expected, Some(EXIT_CONFIG))
        );
        assert_eq!(rig.simulator().counters().connects, 0);
    }
}

#[test]
fn a_variable_that_leads_to_such_a_file_is_named() {
    let rig = Rig::new(Options::default()).set("delivery.to", "lines");
    let launch = rig.launch(&[]).env("GENESYS_KAFKA__CONTROL__PATH", ABSENT);
    let finished = launch.run(SOON);
    let said = absent_folder("control.path");
    let expected = format!("environment variable GENESYS_KAFKA__CONTROL__PATH: {said}");
    assert_eq!(
        (complaint(&finished), finished.status.code()),
        (expected, Some(EXIT_CONFIG))
    );
}

#[test]
fn a_file_that_cannot_be_written_is_named_by_its_key() {
    let receiver = Receiver::start(|_| Reply::Status(200));
    for key in KEYS {
        for (path, expected) in [
            (ABSENT, absent_folder(key)),
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
                (format!("{}: {expected}", rig.place(key)), Some(EXIT_CONFIG))
            );
            assert_eq!(rig.simulator().counters().connects, 0);
        }
    }
}
