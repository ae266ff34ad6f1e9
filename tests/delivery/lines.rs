//! Lines on standard output, with nothing but environment variables.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use simulator::{Options, Simulator};
use support::rig;
use support::{Launch, Receiver, Reply, Stream, child, wait_until};

use crate::{DEADLINE, proofs};

/// Exit code where something was left undelivered (`EX_UNAVAILABLE` of sysexits(3)).
const EXIT_UNAVAILABLE: i32 = 69;

/// Everything that the adapter is told: the region, the credentials, and where they really lead in a test.
fn environment(simulator: &Simulator) -> [(&'static str, String); 7] {
    [
        ("GENESYS_ENV", "us-east-1".to_owned()),
        ("OAUTH_CLIENT_ID", "sim-client".to_owned()),
        ("OAUTH_CLIENT_SECRET", "sim-secret".to_owned()),
        ("GENESYS_KAFKA__SOURCE__CONFIG__TRANSPORT", "events".to_owned()),
        (
            "GENESYS_KAFKA__SOURCE__CONFIG__ENDPOINTS__LOGIN",
            simulator.login_url(),
        ),
        (
            "GENESYS_KAFKA__SOURCE__CONFIG__ENDPOINTS__EVENTS",
            simulator.events_url(),
        ),
        ("GENESYS_KAFKA__OPERATIONS__METRICS_MS", "100".to_owned()),
    ]
}

#[test]
fn environment_variables_alone_give_each_event_once_as_a_line_that_says_its_kind() {
    let options = Options {
        events: Some(2_000),
        rate: 0,
        conversations: 50,
        duplicates_percent: 5.0,
        malformed_percent: 1.0,
        ..Options::default()
    };
    let simulator = Simulator::start(options).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let launch = Launch::binary("genesys-kafka")
        .args(["run", "--to", "lines"])
        .current_dir(folder.path());
    let launch = environment(&simulator)
        .into_iter()
        .fold(launch, |launch, (name, value)| launch.env(name, value));
    let mut adapter = launch.start();
    rig::wait_until_ingested(&mut adapter, &simulator, DEADLINE);
    let ended = rig::stop(&mut adapter, DEADLINE);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr.join("\n"));
    proofs::assert_laws(&ended);

    let lines: Vec<Value> = adapter
        .lines(Stream::Stdout)
        .iter()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    let of_kind = |kind: &str| -> Vec<&Value> {
        lines
            .iter()
            .filter(|line| line["kind"] == kind)
            .map(|line| &line["record"])
            .collect()
    };
    let (events, dead_letters) = (of_kind("event"), of_kind("dead_letter"));
    let (control, audits) = (of_kind("control"), of_kind("audit"));
    assert_eq!(
        lines.len(),
        events.len() + dead_letters.len() + control.len() + audits.len(),
        "a line of another kind"
    );
    proofs::assert_valid("event", events.iter().copied());
    proofs::assert_valid("dead-letter", dead_letters.iter().copied());
    proofs::assert_valid("control", control.iter().copied());
    proofs::assert_valid("audit", audits.iter().copied());

    // one stream, so the order of all events is that in which they were sent, not only that of each conversation
    let truth = simulator.truth();
    let sent: Vec<String> = truth
        .iter()
        .filter(|line| proofs::name(line).is_some())
        .map(|line| line.id.clone().unwrap())
        .collect();
    let seen: Vec<&str> = events
        .iter()
        .map(|event| event["eventId"].as_str().unwrap())
        .collect();
    assert_eq!(seen, sent);
    assert_eq!(dead_letters.len() as u64, simulator.counters().malformed);
    let processed = audits
        .iter()
        .filter(|audit| audit["status"] == "processed")
        .count();
    assert_eq!(processed, events.len());
}

#[test]
fn a_reader_that_goes_away_drains_the_source_and_is_no_failure() {
    let simulator = Simulator::start(Options {
        rate: 200,
        ..Options::default()
    })
    .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("stderr.txt");
    let mut command = Command::new(support::binary("genesys-kafka"));
    command
        .args(["run", "--to", "lines"])
        .current_dir(folder.path())
        .envs(environment(&simulator))
        .env("XDG_STATE_HOME", folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(File::create(&log).unwrap());
    let mut adapter = child::spawn(command).unwrap();
    let mut reader = BufReader::new(adapter.stdout.take().unwrap());
    let mut first = String::new();
    reader.read_line(&mut first).unwrap();
    let first: Value = serde_json::from_str(&first).unwrap();
    assert!(first["kind"].is_string(), "{first}");
    drop(reader);

    let mut status = None;
    wait_until(
        Duration::from_secs(60),
        "the adapter ends when nobody reads it",
        || {
            status = adapter.try_wait().unwrap();
            status.is_some()
        },
    );
    let log = std::fs::read_to_string(&log).unwrap();
    assert_eq!(status.and_then(|status| status.code()), Some(0), "{log}");
    let summary = log
        .lines()
        .find_map(|line| line.strip_prefix("summary "))
        .expect("a summary");
    let summary: Value = serde_json::from_str(summary).unwrap();
    assert_eq!(summary["laws"]["frames"], 0, "{summary}");
    assert_eq!(summary["laws"]["adapter"], 0, "{summary}");
}

/// A program's end with a full disk under its standard output: its code, and its standard error.
fn on_a_full_disk(mut command: Command) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("stderr.txt");
    command
        .current_dir(folder.path())
        .env("XDG_STATE_HOME", folder.path())
        .stdin(Stdio::null())
        .stdout(File::options().write(true).open("/dev/full").unwrap())
        .stderr(File::create(&log).unwrap());
    let mut program = child::spawn(command).unwrap();
    let mut status = None;
    wait_until(DEADLINE, "the program ends when its output is full", || {
        status = program.try_wait().unwrap();
        status.is_some()
    });
    let log = std::fs::read_to_string(&log).unwrap();
    (status.and_then(|status| status.code()), log)
}

#[test]
fn a_full_disk_under_standard_output_ends_a_run_and_is_told_with_the_mend() {
    let receiver = Receiver::start(|_| Reply::Status(200));
    let simulator = Simulator::start(Options {
        rate: 200,
        ..Options::default()
    })
    .unwrap();
    for (to, rest) in [
        ("lines", "; make room where it goes, or let it go elsewhere"),
        (
            "webhook",
            ", and audit records go there; make room where it goes, or set audit.to = \"file\" and audit.path to a \
             file",
        ),
    ] {
        let mut command = Command::new(support::binary("genesys-kafka"));
        command
            .args(["run", "--to", to])
            .envs(environment(&simulator))
            .env("GENESYS_KAFKA__WEBHOOK__URL", receiver.url("/hook"))
            .env("GENESYS_KAFKA__WEBHOOK__ALLOW_PRIVATE", "true");
        let (code, log) = on_a_full_disk(command);
        let said = format!("standard output cannot be written: No space left on device (os error 28){rest}");
        assert_eq!(code, Some(EXIT_UNAVAILABLE), "{log}");
        assert_eq!(
            log.lines().last(),
            Some(format!("genesys-kafka: {said}").as_str()),
            "{log}"
        );
        let summary = log
            .lines()
            .find_map(|line| line.strip_prefix("summary "))
            .unwrap();
        let summary: Value = serde_json::from_str(summary).unwrap();
        assert_eq!(summary["ending"], said.as_str());
        assert_eq!(summary["laws"]["adapter"], 0, "{summary}");
        assert!(!log.contains("went away"), "{log}");
    }
}

#[test]
fn what_is_asked_for_and_cannot_be_printed_is_told_as_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let audit = folder.path().join("audit.jsonl");
    File::create(&audit).unwrap();
    let audit = audit.display().to_string();
    for arguments in [
        &["check", "--offline", "--to", "lines"][..],
        &["config", "--to", "lines"],
        &["schema"],
        &["schema", "event"],
        &["verify", &audit],
        &["--version"],
    ] {
        let mut command = Command::new(support::binary("genesys-kafka"));
        command.args(arguments).env("GENESYS_KAFKA_LOG", "off");
        assert_eq!(
            on_a_full_disk(command),
            (
                Some(1),
                "genesys-kafka: standard output cannot be written: No space left on device (os error 28); make room \
                 where it goes, or let it go elsewhere\n"
                    .to_owned()
            ),
            "{arguments:?}"
        );
    }
}
