//! The real `genesys-kafka` as a process, with the real plugin.
//!
//! Responsible for its configuration file, its start and its end. It refuses an adapter that ends with another status
//! than 0. Invariant: its standard output goes nowhere, so that no reader of the bench competes with it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use nix::sys::signal::Signal;
use support::{Launch, Process, Stream};
use tempfile::TempDir;

use crate::cpu;
use crate::drain::{Keep, source_config};

/// Longest drain.
const STOP: Duration = Duration::from_secs(60);
/// Lines of the adapter's log that an error shows.
const LAST_WORDS: usize = 10;

/// A running adapter.
pub(crate) struct Running {
    process: Process,
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

/// A program whose standard output is thrown away by the kernel.
pub(crate) fn without_output(program: &Path) -> Launch {
    Launch::program(Path::new("/bin/sh"))
        .args(["-c", "exec \"$0\" \"$@\" >/dev/null"])
        .args([program])
}

impl Running {
    /// Starts an adapter on a source; `delivery` holds the sections that say where its records go.
    pub(crate) fn start(
        login: &str,
        events: &str,
        keep: Keep<'_>,
        delivery: serde_json::Value,
    ) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let secret = folder.path().join("secret");
        std::fs::write(&secret, "sim-secret")?;
        let id = folder.path().join("id");
        std::fs::write(&id, "sim-client")?;
        let mut source = source_config(login, events, &secret.to_string_lossy(), keep);
        source["client_id"]["file"] = id.to_string_lossy().into();
        let mut config = delivery;
        config["source"] = serde_json::json!({"library": plugin_path()?, "name": "bench", "config": source});
        config["dead_letter"] = serde_json::json!({"path": folder.path().join("dead-letters.jsonl")});
        let file = folder.path().join("genesys-kafka.toml");
        std::fs::write(&file, toml_text(&config)?)?;
        let process = without_output(&support::binary("genesys-kafka"))
            .args(["run".as_ref(), "--config".as_ref(), file.as_os_str()])
            .current_dir(folder.path())
            .start();
        Ok(Self {
            process,
            _folder: folder,
        })
    }

    /// The most memory that the process has held, in MiB.
    pub(crate) fn peak_mib(&self) -> f64 {
        crate::spread::float(self.process.peak_resident_bytes()) / 1_048_576.0
    }

    /// CPU time of the process so far.
    pub(crate) fn cpu(&self) -> Option<Duration> {
        cpu::process(self.process.id())
    }

    /// Says whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.process.has_ended()
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

    /// The end of its log.
    pub(crate) fn last_words(&self) -> String {
        let lines = self.process.lines(Stream::Stderr);
        lines[lines.len().saturating_sub(LAST_WORDS)..].join("\n")
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
