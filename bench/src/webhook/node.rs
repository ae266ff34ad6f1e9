//! A Node pipeline that awaits each request, if this machine has Node: `bench/webhook.mjs`.
//!
//! Responsible for finding Node and for running the script. Refuses a run that does not report. Invariant: without
//! Node nothing is measured and nothing is made up.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use serde::Deserialize;
use tempfile::TempDir;

use super::clients::Reached;
use crate::running::without_output;

const SCRIPT: &str = include_str!("../../webhook.mjs");
/// Time that is not counted, for the compiler within Node.
const WARM_UP: Duration = Duration::from_secs(1);
/// Longest time beyond both: the start, the last requests.
const BESIDE: Duration = Duration::from_secs(30);

/// Node, and the files that it reads.
pub(crate) struct Node {
    program: PathBuf,
    folder: TempDir,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    requests: f64,
    seconds: f64,
    p99_ms: f64,
}

impl Node {
    /// Finds Node on the path and writes script and frames for it; nothing without Node.
    pub(crate) fn find(frames: &[String]) -> anyhow::Result<Option<Self>> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut programs = std::env::split_paths(&path).map(|folder| folder.join("node"));
        let Some(program) = programs.find(|program| program.is_file()) else {
            return Ok(None);
        };
        let folder = tempfile::tempdir()?;
        std::fs::write(script(folder.path()), SCRIPT)?;
        let mut lines = std::fs::File::create(frames_of(folder.path()))?;
        lines.write_all(frames.join("\n").as_bytes())?;
        Ok(Some(Self { program, folder }))
    }

    /// Runs the script for as long as the window lasts.
    pub(crate) fn run(&self, url: &str, workers: usize, window: Duration) -> anyhow::Result<Reached> {
        let finished = without_output(&self.program)
            .args([script(self.folder.path())])
            .args([url])
            .args([frames_of(self.folder.path())])
            .args([workers.to_string()])
            .args([WARM_UP, window].map(|time| time.as_secs_f64().to_string()))
            .run(WARM_UP + window + BESIDE);
        let said = finished.stderr.join("\n");
        ensure!(finished.status.success(), "{}: {said}", finished.status);
        let line = finished.stderr.last().context("the script reported nothing")?;
        let report: Report = serde_json::from_str(line).with_context(|| said.clone())?;
        Ok(Reached {
            per_second: report.requests / report.seconds,
            p99_ms: report.p99_ms,
        })
    }
}

fn script(folder: &Path) -> PathBuf {
    folder.join("webhook.mjs")
}

fn frames_of(folder: &Path) -> PathBuf {
    folder.join("frames.jsonl")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::harvest;
    use crate::webhook::accepting::{Accepting, Keep};

    #[test]
    fn each_event_of_the_script_is_one_request_and_no_duplicate() {
        let Some(node) = Node::find(&harvest(8).unwrap()).unwrap() else {
            support::say_not_run("the Node pipeline of the bench: node not found on the path");
            return;
        };
        let receiver = Accepting::start(u64::MAX, Keep::Nothing).unwrap();
        let reached = node.run(&receiver.url(), 2, Duration::from_millis(100)).unwrap();
        assert!(reached.per_second > 0.0 && reached.p99_ms > 0.0, "{reached:?}");
        // more than there are frames: ids count on, or the script would drop all later ones
        assert!(receiver.count() > 8, "{}", receiver.count());
    }
}
