//! `genesys-kafka replay`: dead letters from files, standard input and the topic, whole, damaged, and of the adapter's
//! own making.
#![allow(clippy::unwrap_used, reason = "a test binary: a panic is a failure")]

mod file;
mod refused;
mod topic;

use std::ffi::OsStr;
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use simulator::Options;
use support::Rig;

/// Longest wait for anything that is expected to happen: a generous bound for a loaded machine, not a measurement.
const DEADLINE: Duration = Duration::from_secs(90);

/// What a replay ended with: exit code, standard output, what could not be replayed and the verdict.
type Verdict = (i32, Vec<String>, Vec<String>);

/// A configuration that leads to a simulator, which nobody connects to, and to lines.
fn to_lines() -> Rig {
    Rig::new(Options::default()).set("delivery.to", "lines")
}

/// Runs `genesys-kafka replay` in the rig's folder.
fn replay<S: AsRef<OsStr>>(rig: &Rig, arguments: &[S], input: &[u8]) -> Verdict {
    let finished = rig
        .launch_command("replay")
        .args(arguments)
        .stdin(input)
        .run(DEADLINE);
    let told = finished
        .stderr
        .into_iter()
        .filter(|line| line.starts_with("not replayed: ") || line.starts_with("genesys-kafka: "))
        .collect();
    assert_eq!(
        rig.simulator().counters().connects,
        0,
        "a replay connects nowhere"
    );
    (finished.status.code().unwrap(), finished.stdout, told)
}

/// The lines of one kind.
fn of_kind(lines: &[String], kind: &str) -> Vec<String> {
    let start = format!("{{\"kind\":\"{kind}\",");
    lines
        .iter()
        .filter(|line| line.starts_with(&start))
        .cloned()
        .collect()
}

/// A dead letter after the schema, with its frame whole.
fn letter(id: &str, stage: &str, text: &str) -> Value {
    let sha256: String = Sha256::digest(text)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    json!({
        "schemaVersion": "1.0",
        "deadLetterId": id,
        "receivedAt": "2026-03-01T12:00:04.000Z",
        "source": "main",
        "origin": {"transport": "events", "topic": null},
        "stage": stage,
        "reason": "of an older version",
        "frame": {"type": "text", "lengthBytes": text.len(), "sha256": sha256, "text": text},
    })
}

/// A frame of an interaction.
fn frame(id: &str, conversation: &str) -> String {
    format!(
        "{{\"id\":\"{id}\",\"conversationId\":\"{conversation}\",\"type\":\"interaction\",\
         \"timestamp\":\"2026-03-01T12:00:03.250Z\",\"direction\":\"inbound\",\"duration\":5,\"participants\":[],\
         \"metadata\":{{}}}}"
    )
}

/// The line of the event that comes of [`frame`].
fn event_line(sequence: u64, id: &str, analytics_id: &str, conversation: &str) -> String {
    format!(
        "{{\"kind\":\"event\",\"sequence\":{sequence},\"key\":\"{conversation}\",\"record\":{}}}",
        event(id, analytics_id, conversation)
    )
}

/// The event that comes of [`frame`].
fn event(id: &str, analytics_id: &str, conversation: &str) -> String {
    format!(
        "{{\"schemaVersion\":\"1.0\",\"eventId\":\"{id}\",\"analyticsId\":\"{analytics_id}\",\
         \"conversationId\":\"{conversation}\",\"eventType\":\"interaction\",\
         \"timestamp\":\"2026-03-01T12:00:03.250Z\",\"timestampSource\":\"event\",\
         \"receivedAt\":\"2026-03-01T12:00:04.000Z\",\"source\":\"genesys-cloud\",\
         \"origin\":{{\"transport\":\"events\",\"topic\":null,\"correlationId\":null,\"backfill\":false}},\
         \"payload\":{{\"direction\":\"inbound\",\"duration\":5,\"participants\":[],\"metadata\":{{}},\"extra\":{{}}}}}}"
    )
}
