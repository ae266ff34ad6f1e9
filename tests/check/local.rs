//! What is on this machine: the configuration, the plugin, the files.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use simulator::Options;
use support::{Launch, Receiver, Reply};

use crate::DEADLINE;
use crate::seen::{check, check_json, to_lines, to_webhook, with_secret};

#[test]
fn every_fault_of_the_configuration_is_a_row_and_what_needs_it_is_shown_as_not_examined() {
    let rig = to_lines("login=1 hang")
        .set("delivery.drain_msec", 5)
        .set("delivery.max_in_flight_records", "many")
        .set("source.config.region", "us-esat-1");
    let checked = check(&rig, &[], &[]);
    let text = std::fs::read_to_string(rig.folder().join("genesys-kafka.toml")).unwrap();
    let at = |key: &str| {
        let line = text.lines().position(|line| line.starts_with(key)).unwrap() + 1;
        format!("✗ FOLDER/genesys-kafka.toml:{line}: {key}: ")
    };
    let rows = checked.rows("configuration");
    assert_eq!(rows.len(), 4, "{rows:?}");
    let unknown = at("delivery.drain_msec");
    assert_eq!(rows[0], format!("{unknown}unknown key"));
    assert!(rows[1].starts_with("mend: did you mean `drain_ms`? "), "{rows:?}");
    assert_eq!(
        rows[2],
        format!(
            "{}expected integer, found string",
            at("delivery.max_in_flight_records")
        )
    );
    assert_eq!(
        rows[3],
        "mend: see `genesys-kafka schema` for what can stand there"
    );
    let rows = checked.rows("source configuration");
    assert!(rows[0].starts_with(&at("source.config.region")), "{rows:?}");
    for title in ["login", "brokers", "webhook", "dead-letter file"] {
        assert_eq!(checked.rows(title), ["– the configuration has faults"]);
    }
    assert_eq!(
        (checked.verdict(), checked.code),
        ("not ready: 3 of 5 failed, 4 not examined", Some(78))
    );
    assert_eq!(rig.simulator().counters().logins, 0, "nothing leaves the machine");
    let (code, document) = check_json(&rig, &[]);
    assert_eq!((code, document["ready"].as_bool()), (Some(78), Some(false)));
}

#[test]
fn a_configuration_file_that_is_absent_is_the_only_fault() {
    let finished = Launch::binary("genesys-kafka")
        .args(["check", "--config", "/nonexistent/c.toml"])
        .run(DEADLINE);
    assert_eq!(
        finished.stdout[..3],
        [
            "✗ configuration         configuration file `/nonexistent/c.toml` does not exist",
            "                        mend: name an existing file with --config",
            "– plugin                the configuration has faults",
        ]
    );
    assert_eq!(finished.status.code(), Some(78));
}

#[test]
fn a_plugin_that_is_missing_is_named_with_where_it_was_looked_for() {
    let rig = to_lines("login=1 hang");
    let checked = check(&rig, &["--library", "/nonexistent/lib.so"], &[]);
    assert_eq!(
        checked.rows("plugin"),
        [
            "✗ plugin `/nonexistent/lib.so` not found; looked for /nonexistent/lib.so",
            "mend: set source.library to its path"
        ]
    );
    assert_eq!(
        checked.rows("source configuration"),
        ["– the plugin is not loaded"]
    );
    assert_eq!(
        (checked.verdict(), checked.code),
        ("not ready: 1 of 3 failed, 5 not examined", Some(78))
    );
}

#[test]
fn a_file_that_cannot_be_written_is_named_by_its_key() {
    let receiver = Receiver::start(|_| Reply::Status(200));
    let rig = to_webhook(Options::default(), &receiver)
        .set("audit.path", "missing/audit.jsonl")
        .set("dead_letter.path", ".");
    let checked = check(&rig, &[], &[]);
    assert_eq!(
        checked.rows("audit file"),
        [
            "✗ audit.path: missing/audit.jsonl cannot be written: No such file or directory (os error 2)",
            "mend: create its folder and let this user write there, or set audit.path to another file"
        ]
    );
    assert_eq!(
        checked.rows("dead-letter file"),
        [
            "✗ dead_letter.path: . cannot be written: Is a directory (os error 21)",
            "mend: create its folder and let this user write there, or set dead_letter.path to another file"
        ]
    );
    assert_eq!(checked.rows("control file"), ["✓ control.jsonl can be written"]);
    assert_eq!(
        (checked.verdict(), checked.code),
        ("not ready: 2 of 11 failed", Some(78))
    );
    assert!(
        !rig.folder().join("control.jsonl").exists(),
        "nothing is left behind"
    );
}

#[test]
fn a_pipe_in_the_place_of_a_file_is_named_and_holds_nothing_up() {
    let receiver = Receiver::start(|_| Reply::Status(200));
    let rig = to_webhook(Options::default(), &receiver).set("dead_letter.path", "pipe");
    let pipe = rig.folder().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let checked = check(&rig, &[], &[]);
    assert_eq!(
        checked.rows("dead-letter file"),
        [
            "✗ dead_letter.path: pipe is a pipe, not a file",
            "mend: name a regular file"
        ]
    );
    let checked = check(&rig, &["--library", "./pipe"], &[]);
    assert_eq!(
        checked.rows("plugin"),
        [
            "✗ plugin `./pipe` is no shared library: it is a pipe, not a file".to_owned(),
            format!(
                "mend: set source.library to one that was built for {}",
                std::env::consts::ARCH
            )
        ]
    );
    assert_eq!(checked.code, Some(78));
}

#[test]
fn an_audit_file_that_is_another_file_too_is_a_fault_of_the_configuration() {
    let receiver = Receiver::start(|_| Reply::Status(200));
    let rig = to_webhook(Options::default(), &receiver)
        .set("audit.to", "file")
        .set("audit.path", "same.jsonl")
        .set("control.path", "./same.jsonl");
    let checked = check(&rig, &[], &[]);
    let text = std::fs::read_to_string(rig.folder().join("genesys-kafka.toml")).unwrap();
    let line = text
        .lines()
        .position(|line| line.starts_with("audit.path"))
        .unwrap()
        + 1;
    assert_eq!(
        checked.rows("configuration"),
        [
            format!(
                "✗ FOLDER/genesys-kafka.toml:{line}: audit.path: names the same file as control.path, but an audit file is \
                 rotated and holds audit records alone"
            ),
            "mend: give each its own".to_owned()
        ]
    );
    assert_eq!(checked.code, Some(78));
}

#[test]
fn the_worst_failure_decides_the_exit() {
    let port = support::free_port();
    let refused = |audit: &str| {
        let receiver = Receiver::start(|_| Reply::Status(200));
        let options = Options {
            faults: vec!["login=1 refuse 401".parse().unwrap()],
            ..Options::default()
        };
        let rig = to_webhook(options, &receiver)
            .set("webhook.url", format!("http://127.0.0.1:{port}/"))
            .set("audit.path", audit);
        check(&rig, &[], &[]).code
    };
    assert_eq!(
        refused("audit.jsonl"),
        Some(77),
        "credentials before what is away"
    );
    assert_eq!(
        refused("missing/audit.jsonl"),
        Some(78),
        "configuration before both"
    );
}

#[test]
fn a_secret_file_that_every_user_can_read_is_a_warning_on_both_sides() {
    let receiver = Receiver::start(|_| Reply::Status(200));
    let rig = with_secret(
        to_webhook(Options::default(), &receiver),
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    )
    .set("source.config.client_secret.file", "client-secret");
    std::fs::write(rig.folder().join("client-secret"), "sim-secret").unwrap();
    for name in ["client-secret", "hook-secret"] {
        let everybody = std::fs::Permissions::from_mode(0o644);
        std::fs::set_permissions(rig.folder().join(name), everybody).unwrap();
    }
    let checked = check(&rig, &[], &[]);
    let mend = "mend: run chmod 600 on it, or chmod 640 if its group reads it";
    assert_eq!(
        checked.rows("secret file"),
        [
            "! webhook.secret: hook-secret can be read by every user of this machine (mode 0644)",
            mend,
            "! source.config.client_secret: client-secret can be read by every user of this machine (mode 0644)",
            mend,
        ]
    );
    assert_eq!(checked.code, Some(0), "{:#?}", checked.lines);
}

#[test]
fn an_address_for_the_operations_listener_is_tried_and_a_taken_one_is_a_warning() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let rig = to_lines("login=9 hang").set("operations.listen", address.as_str());
    let replaced = [(address.as_str(), "ADDRESS")];
    let checked = check(&rig, &["--offline"], &replaced);
    assert_eq!(
        checked.rows("operations listener"),
        [
            "! ADDRESS is in use, by a run that is up or by another program",
            "mend: if it is another program, stop it, or set operations.listen to a free port"
        ]
    );
    assert_eq!(checked.code, Some(0));
    drop(taken);
    let checked = check(&rig, &["--offline"], &replaced);
    assert_eq!(checked.rows("operations listener"), ["✓ ADDRESS can be opened"]);
}
