//! `genesys-source explain` as a process: lines, names, exit codes.
//!
//! Responsible for what only a real process shows. Invariant: one JSON line a frame, whatever the frame.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn explain(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_genesys-source"))
        .arg("explain")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        // A child that failed early has closed its end; its exit code is what the test looks at.
        stdin.write_all(&input).ok();
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

fn lines(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{output:?}");
    let text = std::str::from_utf8(&output.stdout).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn each_line_is_a_frame_and_gives_a_line() {
    let input = b"{\"id\":\"e\",\"conversationId\":\"c\"}\n{\"id\":\"e\",\"conversationId\":\"c\"}\nbroken\n\n{\"type\":\"pong\"}\n\xff\n";
    let found = lines(&explain(&["--transport", "events", "--lines", "-"], input));
    let outcomes: Vec<_> = found
        .iter()
        .map(|line| line["outcome"].as_str().unwrap())
        .collect();
    assert_eq!(
        outcomes,
        [
            "event",
            "duplicate",
            "dead_letter",
            "ignored",
            "control",
            "dead_letter"
        ]
    );
    let numbers: Vec<_> = found.iter().map(|line| line["frame"].as_str().unwrap()).collect();
    assert_eq!(numbers, ["1", "2", "3", "4", "5", "6"]);
    assert_eq!(found[0]["record"]["eventId"], "e");
    assert_eq!(
        (&found[1]["record"], &found[0]["reason"]),
        (&Value::Null, &Value::Null)
    );
    assert!(
        found[2]["reason"]
            .as_str()
            .unwrap()
            .starts_with("DECODE: not JSON")
    );
    assert_eq!(found[4]["reason"], "pong");
    assert_eq!(found[5]["record"]["frame"]["base64"], "/w==");
}

#[test]
fn a_file_is_one_frame_under_its_escaped_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a\u{1b}[31m\n.json");
    std::fs::write(
        &path,
        "{\n \"topicName\": \"v2.users.u.presence\",\n \"eventBody\": {}\n}\n",
    )
    .unwrap();
    let output = explain(&[path.to_str().unwrap()], b"");
    let found = lines(&output);
    assert_eq!((found.len(), &found[0]["outcome"]), (1, &Value::from("event")));
    assert!(
        found[0]["frame"]
            .as_str()
            .unwrap()
            .ends_with(r"a\u001b[31m\u000a.json")
    );
    assert_eq!(
        output
            .stdout
            .iter()
            .filter(|byte| byte.is_ascii_control())
            .count(),
        1
    );
}

#[test]
fn hostile_frames_neither_crash_nor_stop_it() {
    let mut input = Vec::new();
    input.extend("[".repeat(10_000).as_bytes());
    input.extend(b"\n{\"id\":\"\\ud83d\"}\n{\"id\":\"");
    input.extend("x".repeat(1 << 20).as_bytes());
    input.extend(b"\"}\n{\"id\":\"big\",\"x\":\"");
    input.extend("y".repeat(5 << 20).as_bytes());
    input.extend(b"\"}\n{\"id\":\"last\"}");
    let found = lines(&explain(&["--transport", "events", "--lines"], &input));
    let outcomes: Vec<_> = found
        .iter()
        .map(|line| line["outcome"].as_str().unwrap())
        .collect();
    assert_eq!(
        outcomes,
        [
            "dead_letter",
            "dead_letter",
            "dead_letter",
            "dead_letter",
            "event"
        ]
    );
    assert_eq!(found[3]["record"]["frame"]["type"], "oversized");
}

#[test]
fn what_cannot_be_read_is_named() {
    let output = explain(&["/nonexistent/a\u{7}b.json"], b"");
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(
        message.contains(r"cannot open /nonexistent/a\u0007b.json"),
        "{message}"
    );
    assert_eq!(message.lines().count(), 1);
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(
        explain(&[folder.path().to_str().unwrap()], b"").status.code(),
        Some(1)
    );
}

#[test]
fn files_that_cannot_be_read_are_all_told_and_the_others_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    let sound = |name: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, format!("{{\"id\":\"{name}\",\"conversationId\":\"c\"}}")).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (first, second) = (sound("first"), sound("second"));
    let absent = folder.path().join("absent").to_str().unwrap().to_owned();
    let directory = folder.path().to_str().unwrap();
    let output = explain(
        &["--transport", "events", &absent, &first, directory, &second],
        b"",
    );
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        told.lines().collect::<Vec<_>>(),
        [
            format!("genesys-source: cannot open {absent}: No such file or directory (os error 2)"),
            format!("genesys-source: cannot read {directory}: Is a directory (os error 21)"),
        ]
    );
    let explained: Vec<Value> = std::str::from_utf8(&output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let ids: Vec<&Value> = explained.iter().map(|line| &line["record"]["eventId"]).collect();
    assert_eq!(ids, ["first", "second"]);
}

#[test]
fn wrong_usage_exits_with_64_and_help_with_0() {
    assert_eq!(explain(&["--transport", "smoke"], b"").status.code(), Some(64));
    assert_eq!(explain(&["--no-such"], b"").status.code(), Some(64));
    assert_eq!(explain(&["--help"], b"").status.code(), Some(0));
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_genesys-source"))
        .args(["explain", "--lines", "--transport", "events"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().unwrap();
    let frames = "{\"id\":\"e\"}\n".repeat(10_000);
    stdin.write_all(frames.as_bytes()).ok();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.stderr.is_empty());
}

#[test]
fn every_frame_of_the_corpus_gives_a_line() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/genesys-frames");
    let Ok(entries) = std::fs::read_dir(&folder) else {
        println!("skipped: no corpus at {}", folder.display());
        return;
    };
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    let names: Vec<_> = files.iter().map(|path| path.to_str().unwrap()).collect();
    let found = lines(&explain(&names, b""));
    let count = |outcome: &str| found.iter().filter(|line| line["outcome"] == outcome).count();
    assert_eq!(
        (
            found.len(),
            count("event"),
            count("control"),
            count("dead_letter")
        ),
        (53, 45, 7, 1)
    );
}
