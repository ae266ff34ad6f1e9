//! The demo as a person starts it: over both transports it ends with a proof that holds, and Ctrl-C leaves nothing behind.
#![allow(
    clippy::unwrap_used,
    reason = "a test reports a broken environment by panicking"
)]

use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;
use support::{Launch, Stream};

/// Longest time for a whole demo: half a minute of traffic, and what a busy machine adds.
const WHOLE: Duration = Duration::from_secs(180);
/// Longest time for its first status line, and for its end after Ctrl-C.
const SOON: Duration = Duration::from_secs(60);

fn demo(sink: &str, transport: &str, folder: &Path) -> Launch {
    Launch::binary("demo")
        .args([sink, transport])
        .env("TMPDIR", folder.to_str().unwrap())
}

/// Runs a demo to its end and demands the proof and an empty folder.
fn holds(sink: &str, transport: &str) {
    let folder = tempfile::tempdir().unwrap();
    let finished = demo(sink, transport, folder.path()).run(WHOLE);
    let said = finished.stdout.join("\n");
    assert_eq!(
        finished.status.code(),
        Some(0),
        "{said}\n{}",
        finished.stderr.join("\n")
    );
    let last = finished.stdout.last().unwrap();
    assert!(last.starts_with("the proof holds: "), "{said}");
    assert_eq!(folder.path().read_dir().unwrap().count(), 0, "nothing is left");
}

#[test]
fn over_notifications_into_topics_the_proof_holds() {
    holds("kafka", "notifications");
}

#[test]
fn over_events_into_requests_the_proof_holds() {
    holds("webhook", "events");
}

#[test]
fn an_interrupted_demo_says_so_and_leaves_nothing_behind() {
    for transport in ["notifications", "events"] {
        let folder = tempfile::tempdir().unwrap();
        let mut demo = demo("kafka", transport, folder.path()).start();
        demo.wait_for_line(Stream::Stdout, "  1 s  sent ", SOON);
        let adapter = child_of(demo.id());
        demo.signal(Signal::SIGINT);
        let status = demo.wait(SOON);
        assert_eq!(status.code(), Some(130), "{transport}");
        let said = demo.lines(Stream::Stderr);
        assert_eq!(said.last().unwrap(), "demo: interrupted, everything is stopped");
        assert_eq!(folder.path().read_dir().unwrap().count(), 0, "nothing is left");
        assert!(
            !Path::new(&format!("/proc/{adapter}")).exists(),
            "genesys-kafka is gone"
        );
    }
}

/// The one child of a process.
fn child_of(process: u32) -> u32 {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let children = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("children")).ok());
    let children: Vec<u32> = children
        .flat_map(|ids| {
            ids.split_whitespace()
                .map(|id| id.parse().unwrap())
                .collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(children.len(), 1, "{children:?}");
    children[0]
}
