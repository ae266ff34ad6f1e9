//! The real `genesys-kafka` as a process, with the real plugin, writing into a real broker.
//!
//! Responsible for its configuration, its start and its end, and for noticing when everything is in its topics. It
//! refuses an adapter that ends early or with another status than 0.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use nix::sys::signal::Signal;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use support::{Launch, Process};
use tempfile::TempDir;

use crate::cpu;
use crate::drain::source_config;
use crate::records::Topics;

/// Partitions of the topics, the adapter's default.
pub(crate) const PARTITIONS: i32 = 6;
/// Longest drain.
const STOP: Duration = Duration::from_secs(60);
/// Longest wait for one answer of the broker.
const ANSWER: Duration = Duration::from_secs(30);
/// Pause between two looks at the end of a topic.
const POLL: Duration = Duration::from_millis(10);

/// How the adapter wraps events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Envelope {
    /// CloudEvents in headers, the default.
    Binary,
    /// No headers.
    None,
}

/// A running adapter.
pub(crate) struct Adapter {
    process: Process,
    topics: Topics,
    ends: BaseConsumer,
    // removed when the process is gone
    _folder: TempDir,
}

/// The shared library of this build.
pub(crate) fn plugin_path() -> anyhow::Result<PathBuf> {
    let path = support::profile_dir().join(format!(
        "{}genesys_source{}",
        std::env::consts::DLL_PREFIX,
        std::env::consts::DLL_SUFFIX
    ));
    ensure!(
        path.is_file(),
        "no plugin in the build: run `cargo build --release --workspace` first"
    );
    Ok(path)
}

impl Adapter {
    /// Starts an adapter between a source and a broker; it creates its topics.
    pub(crate) fn start(
        bootstrap_servers: &str,
        login: &str,
        events: &str,
        envelope: Envelope,
    ) -> anyhow::Result<Self> {
        let topics = Topics::unique();
        let folder = tempfile::tempdir()?;
        let secret = folder.path().join("secret");
        std::fs::write(&secret, "sim-secret")?;
        let id = folder.path().join("id");
        std::fs::write(&id, "sim-client")?;
        let mut source = source_config(login, events, &secret.to_string_lossy());
        source["client_id"]["file"] = id.to_string_lossy().into();
        let envelope = match envelope {
            Envelope::Binary => "binary",
            Envelope::None => "none",
        };
        let config = serde_json::json!({
            "source": {"library": plugin_path()?, "name": "bench", "config": source},
            "delivery": {"to": "kafka"},
            "kafka": {
                "bootstrap_servers": bootstrap_servers,
                "envelope": envelope,
                "create_topics": true,
                "partitions": PARTITIONS,
                "topics": {
                    "events": topics.events,
                    "audit": topics.audit,
                    "dead_letter": support::unique_topic("bench.dead-letter"),
                    "control": support::unique_topic("bench.control"),
                },
            },
            "dead_letter": {"path": folder.path().join("dead-letters.jsonl")},
        });
        let file = folder.path().join("genesys-kafka.toml");
        std::fs::write(&file, toml_text(&config)?)?;
        let process = Launch::binary("genesys-kafka")
            .args(["run".as_ref(), "--config".as_ref(), file.as_os_str()])
            .current_dir(folder.path())
            .start();
        let ends = ClientConfig::new()
            .set("bootstrap.servers", bootstrap_servers)
            .create()?;
        Ok(Self {
            process,
            topics,
            ends,
            _folder: folder,
        })
    }

    /// The topics that it writes.
    pub(crate) fn topics(&self) -> &Topics {
        &self.topics
    }

    /// The most memory that the process has held, in MiB.
    pub(crate) fn peak_mib(&self) -> f64 {
        crate::spread::float(self.process.peak_resident_bytes()) / 1_048_576.0
    }

    /// CPU time of the process so far.
    pub(crate) fn cpu(&self) -> Option<Duration> {
        cpu::process(self.process.id())
    }

    /// Waits until the audit topic holds `count` records and gives the time at which it did.
    pub(crate) fn wait_for_audit(&mut self, count: u64, timeout: Duration) -> anyhow::Result<Instant> {
        let deadline = Instant::now() + timeout;
        loop {
            let held = self.count(&self.topics.audit)?;
            let now = Instant::now();
            if held >= count {
                return Ok(now);
            }
            ensure!(
                !self.process.has_ended() && now < deadline,
                "{held} of {count} audit records after {timeout:?}: {}",
                self.last_words()
            );
            std::thread::sleep(POLL);
        }
    }

    /// Records in a topic of the adapter.
    pub(crate) fn count(&self, topic: &str) -> anyhow::Result<u64> {
        let mut total = 0;
        for partition in 0..PARTITIONS {
            let (_, end) = self
                .ends
                .fetch_watermarks(topic, partition, ANSWER)
                .context("no end offset")?;
            total += u64::try_from(end)?;
        }
        Ok(total)
    }

    /// Ends the adapter as an operator would, with SIGTERM.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        self.process.signal(Signal::SIGTERM);
        let status = self.process.wait(STOP);
        ensure!(
            status.success(),
            "the adapter ended with {status}: {}",
            self.last_words()
        );
        Ok(())
    }

    fn last_words(&self) -> String {
        let lines = self.process.lines(support::Stream::Stderr);
        lines[lines.len().saturating_sub(10)..].join("\n")
    }
}

/// TOML of a tree of objects whose leaves are texts, numbers and flags: JSON's notation of these is TOML's, too.
fn toml_text(tree: &serde_json::Value) -> anyhow::Result<String> {
    let mut text = String::new();
    let mut tables = vec![(String::new(), tree)];
    while let Some((path, table)) = tables.pop() {
        let table = table.as_object().context("a table")?;
        if !path.is_empty() {
            text.push_str(&format!("[{path}]\n"));
        }
        for (key, value) in table {
            if value.is_object() {
                let dot = if path.is_empty() { "" } else { "." };
                tables.push((format!("{path}{dot}{key}"), value));
            } else {
                text.push_str(&format!("{key} = {value}\n"));
            }
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::toml_text;

    #[test]
    fn nested_objects_become_tables() {
        let text = toml_text(&json!({"a": {"b": 1, "c": {"d": "x\"y"}, "e": true}})).unwrap();
        assert_eq!(text, "[a]\nb = 1\ne = true\n[a.c]\nd = \"x\\\"y\"\n");
    }
}
