//! Trails that are hashed with a key, and the same trails without it, with another, forged.

use std::path::Path;

use support::{Mock, Rig, Topics, rig, write_secret};

use crate::{DEADLINE, RECORDS, Verdict, broken, burst, verify};

const KEY: &str = "0123456789abcdef0123456789abcdef";
/// Its id: the first eight digits of its HMAC over `genesys-kafka audit key id`, by OpenSSL.
const KEY_ID: &str = "d903603a";
const OTHER: &str = "fedcba9876543210fedcba9876543210";
const OTHER_ID: &str = "b70d7b14";

const UNKEYED: &str = "carry no key, so that whoever can write there can make them; --accept-unkeyed if they are from before \
                       audit.key was set";

/// A rig whose audit goes to `audit.jsonl`, and files of both keys in its folder.
fn to_file() -> Rig {
    let rig = Rig::new(burst())
        .set("delivery.to", "lines")
        .set("audit.to", "file")
        .set("audit.path", "audit.jsonl");
    write_secret(&rig.folder().join("key"), KEY);
    write_secret(&rig.folder().join("other"), OTHER);
    rig
}

/// Delivers everything and stops.
fn run(rig: &Rig) {
    let mut adapter = rig.start();
    rig::wait_until_ingested(&mut adapter, rig.simulator(), DEADLINE);
    let ended = rig::stop(&mut adapter, DEADLINE);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr.join("\n"));
}

/// What a report says after the times of its runs, of which the ids differ each time; then the verdict.
fn said(out: &[String]) -> Vec<String> {
    out.iter()
        .map(|line| match line.split_once("Z to ") {
            Some((_, rest)) => rest.split_once(", ").unwrap().1.to_owned(),
            None => line.clone(),
        })
        .collect()
}

fn assert_authenticated((code, out, complaints): Verdict) {
    assert_eq!((code, &complaints[..]), (0, &[][..]), "{out:#?}");
    assert_eq!(
        said(&out),
        [
            format!("authenticated with key {KEY_ID}, closed"),
            format!("{RECORDS} records of 1 runs: consistent, authenticated"),
        ]
    );
}

/// Demands that the records could not be verified, with this line of where.
fn assert_unverified(verdict: Verdict, given: &str) {
    let (_, out, _) = &verdict;
    assert_eq!(
        out.last().unwrap(),
        &format!(
            "{RECORDS} records of 1 runs: NOT VERIFIED, 1 runs are hashed with a key that was not given"
        )
    );
    assert_eq!(
        broken(verdict),
        format!(
            "  NOT VERIFIED at audit.jsonl:1: record 1 is hashed with key {KEY_ID}, which was not given{given}; pass it \
             with --key-env or --key-file"
        )
    );
}

fn lines(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_keyed_file_verifies_with_its_key_and_is_no_success_without_it_or_with_another() {
    let rig = to_file().set("audit.key.file", "key");
    run(&rig);
    let folder = rig.folder();
    assert_authenticated(verify(folder, &["--key-file", "key", "audit.jsonl"], b""));
    assert_authenticated(verify(
        folder,
        &["--key-file", "other", "--key-file", "key", "audit.jsonl"],
        b"",
    ));
    assert_unverified(verify(folder, &["audit.jsonl"], b""), "");
    assert_unverified(
        verify(folder, &["--key-file", "other", "audit.jsonl"], b""),
        &format!(" (given: {OTHER_ID})"),
    );

    let mut altered = lines(&folder.join("audit.jsonl"));
    altered[20] = altered[20].replace("\"processed\"", "\"failed\"");
    std::fs::write(folder.join("altered.jsonl"), altered.join("\n")).unwrap();
    assert_eq!(
        broken(verify(folder, &["--key-file", "key", "altered.jsonl"], b"")),
        "  BROKEN at altered.jsonl:21: record 21 was altered: its bytes do not give its hash"
    );
}

#[test]
fn runs_before_and_after_a_key_was_set_and_changed_are_told_apart() {
    let rig = to_file();
    run(&rig);
    let first = lines(&rig.folder().join("audit.jsonl"));
    let (code, out, complaints) = verify(rig.folder(), &["--key-file", "key", "audit.jsonl"], b"");
    let verdict =
        format!("{RECORDS} records of 1 runs: consistent, NOT AUTHENTICATED: the hashes of 1 runs {UNKEYED}");
    assert_eq!(
        (code, said(&out), complaints),
        (
            65,
            vec!["not authenticated, closed".to_owned(), verdict.clone()],
            vec![format!(
                "genesys-kafka: audit trail: {verdict}; where and how is on standard output"
            )]
        )
    );

    let rig = rig.set("audit.key.file", "key");
    restart(&rig);
    let rig = rig.set("audit.key.file", "other");
    restart(&rig);
    let whole = lines(&rig.folder().join("audit.jsonl"));
    assert!(whole.len() > first.len());
    let both = &["--key-file", "key", "--key-file", "other"];
    let with = |more: &[&str]| {
        let (code, out, _) = verify(rig.folder(), &[&both[..], more, &["audit.jsonl"]].concat(), b"");
        let mut said = said(&out);
        let verdict = said.pop().unwrap();
        (code, said, verdict.split_once(": ").unwrap().1.to_owned())
    };
    let runs = [
        "not authenticated, closed".to_owned(),
        format!("authenticated with key {KEY_ID}, closed"),
        format!("authenticated with key {OTHER_ID}, closed"),
    ];
    assert_eq!(
        with(&[]),
        (
            65,
            runs.to_vec(),
            format!("consistent, NOT AUTHENTICATED: the hashes of 1 runs {UNKEYED}")
        )
    );
    assert_eq!(
        with(&["--accept-unkeyed"]),
        (
            0,
            runs.to_vec(),
            "consistent, not authenticated (the hashes of 1 runs carry no key)".to_owned()
        )
    );
    // each of the later runs cites the last record before it, whatever its key
    let json = |line: &String| serde_json::from_str::<serde_json::Value>(line).unwrap();
    let opened: Vec<usize> = (1..whole.len())
        .filter(|at| whole[*at].contains("run_opened"))
        .collect();
    assert_eq!(opened.len(), 2);
    for at in opened {
        assert_eq!(json(&whole[at])["prevHash"], json(&whole[at - 1])["hash"]);
    }
}

/// A further run, in which no event comes.
fn restart(rig: &Rig) {
    let opened = || {
        let lines = lines(&rig.folder().join("audit.jsonl"));
        lines.iter().filter(|line| line.contains("run_opened")).count()
    };
    let before = opened();
    let mut adapter = rig.start();
    support::wait_until(DEADLINE, "the run is opened", || opened() > before);
    let ended = rig::stop(&mut adapter, DEADLINE);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr.join("\n"));
}

#[test]
fn the_topic_is_verified_with_the_configured_key_or_a_given_one() {
    let topics = Topics::unique();
    let mock = Mock::start(&topics.names().map(|name| (name, 2)));
    let rig = Rig::new(burst())
        .with_kafka(mock.bootstrap_servers(), &topics)
        .set("audit.key.file", "key");
    write_secret(&rig.folder().join("key"), KEY);
    run(&rig);
    assert_authenticated(verify(
        rig.folder(),
        &["--from-kafka", "--config", "genesys-kafka.toml"],
        b"",
    ));
    // on another machine, whose configuration knows no key
    let folder = tempfile::tempdir().unwrap();
    let config = format!("[kafka.topics]\naudit = \"{}\"\n", topics.audit);
    std::fs::write(folder.path().join("genesys-kafka.toml"), config).unwrap();
    write_secret(&folder.path().join("key"), KEY);
    let servers = mock.bootstrap_servers();
    assert_authenticated(verify(
        folder.path(),
        &[
            "--from-kafka",
            "--bootstrap-servers",
            servers,
            "--key-file",
            "key",
        ],
        b"",
    ));
}

#[test]
fn a_key_that_is_not_there_or_none_is_told_before_anything_is_read() {
    let folder = tempfile::tempdir().unwrap();
    write_secret(&folder.path().join("short"), "hush");
    for (arguments, line) in [
        (
            ["--key-env", "NO_SUCH_KEY"],
            "--key-env: environment variable NO_SUCH_KEY is not set; put a key there, such as `openssl rand -hex 32` writes",
        ),
        (
            ["--key-file", "short"],
            "--key-file: the key of short has 4 bytes, and must have 32 or more; take what `openssl rand -hex 32` writes",
        ),
    ] {
        assert_eq!(
            verify(folder.path(), &[&arguments[..], &["absent.jsonl"]].concat(), b""),
            (78, vec![], vec![format!("genesys-kafka: {line}")])
        );
    }
}
