//! The whole product on loopback: simulator, configuration file, and the adapter as a process with the real plugin.
//!
//! Responsible for the configuration that lets the two meet and for reading what the adapter prints: metrics lines and
//! the summary. It refuses to judge either. Invariant: the simulator listens before the adapter starts, and its clock
//! stands until the first subscription, so no event is missed for want of timing.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use simulator::{Options, Simulator};
use tempfile::TempDir;

use crate::{Launch, Process, Stream, Topics, binary, child, wait_until};

/// What the simulator's default credentials are called in the environment of the adapter.
pub const CREDENTIALS: [(&str, &str); 2] = [
    ("OAUTH_CLIENT_ID", "sim-client"),
    ("OAUTH_CLIENT_SECRET", "sim-secret"),
];

/// The adapter's configuration file.
const CONFIG: &str = "genesys-kafka.toml";

/// A simulator, and the settings of the adapters that are started against it.
#[derive(Debug)]
pub struct Rig {
    simulator: Simulator,
    settings: BTreeMap<String, Value>,
    folder: TempDir,
}

impl Rig {
    /// Starts a simulator and prepares settings that lead to it: quick reconnects, a metrics line each 100 ms, a spool in
    /// the rig's folder, from which a second start goes on.
    ///
    /// The events happen now, whatever the options say: a broker judges records by their own time stamps. It deletes
    /// those older than the topic's retention (half a minute after its start, then each five minutes), and when it
    /// reloads its state after a crash it forgets a producer whose last record is older than `producer.id.expiration.ms`
    /// (a day), and takes a batch that is repeated for a new one.
    ///
    /// # Panics
    /// If the options are out of range or no port is free.
    pub fn new(options: Options) -> Self {
        let now_ms = i64::try_from(simulator::wall_us() / 1000).expect("a time of this era");
        let options = Options {
            epoch_ms: now_ms,
            ..options
        };
        let simulator = Simulator::start(options).expect("a simulator");
        let rig = Self {
            settings: BTreeMap::new(),
            folder: tempfile::tempdir().expect("a folder for the configuration"),
            simulator,
        };
        let (login, events) = (rig.simulator.login_url(), rig.simulator.events_url());
        let spool = rig.folder.path().join("spool").display().to_string();
        rig.set("source.name", "delivery-test")
            .set("source.config.spool.dir", spool)
            .set("source.config.spool.max_bytes", 1 << 30)
            .set("source.config.region", "us-east-1")
            .set("source.config.transport", "events")
            .set("source.config.endpoints.login", login)
            .set("source.config.endpoints.events", events)
            .set("source.config.reconnect.min_ms", 1)
            .set("source.config.reconnect.max_ms", 50)
            .set("source.config.subscription.min_interval_ms", 0)
            .set("operations.metrics_ms", 100)
    }

    /// Leads the adapter to a cluster and its topics.
    #[must_use]
    pub fn with_kafka(self, bootstrap_servers: &str, topics: &Topics) -> Self {
        self.set("delivery.to", "kafka")
            .set("kafka.bootstrap_servers", bootstrap_servers)
            .set("kafka.topics.events", topics.events.as_str())
            .set("kafka.topics.audit", topics.audit.as_str())
            .set("kafka.topics.dead_letter", topics.dead_letter.as_str())
            .set("kafka.topics.control", topics.control.as_str())
            // a broker that comes back is found at once
            .set("kafka.librdkafka.\"reconnect.backoff.max.ms\"", "200")
    }

    /// Leads the source to the simulator's notification channels in place of its events.
    #[must_use]
    pub fn over_notifications(mut self) -> Self {
        for key in ["endpoints.events", "subscription.min_interval_ms"] {
            self.settings.remove(&format!("source.config.{key}"));
        }
        let api = self.simulator.api_url();
        self.set("source.config.transport", "notifications")
            .set("source.config.endpoints.api", api)
    }

    /// Keeps the records in memory: what a test does to files or to the queue is then felt where it is meant.
    #[must_use]
    pub fn in_memory(self) -> Self {
        self.set("source.config.spool.mode", "memory")
    }

    /// Sets one key of the configuration by its dotted path; parts that are no bare TOML key stand in quotes.
    #[must_use]
    pub fn set(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.settings.insert(key.to_owned(), value.into());
        self
    }

    /// The simulator.
    pub fn simulator(&self) -> &Simulator {
        &self.simulator
    }

    /// The folder that the adapter starts in; its files are the test's to look at.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes the configuration file and returns its path.
    ///
    /// # Panics
    /// If the file cannot be written.
    pub fn write_config(&self) -> PathBuf {
        let path = self.folder.path().join(CONFIG);
        let mut text = String::new();
        for (key, value) in &self.settings {
            // JSON scalars and arrays of them are TOML as well
            writeln!(text, "{key} = {value}").expect("a string takes any text");
        }
        std::fs::write(&path, text).expect("the configuration file");
        path
    }

    /// Where the configuration file sets a key, as a fault names it: the file and its line.
    ///
    /// # Panics
    /// If nothing sets it.
    pub fn place(&self, key: &str) -> String {
        let line = self.settings.keys().position(|known| known == key);
        let line = line.expect("a key that was set") + 1;
        format!("{}:{line}", self.folder.path().join(CONFIG).display())
    }

    /// `genesys-kafka run` with this configuration, further flags and the simulator's credentials, not yet started.
    pub fn launch(&self, flags: &[&str]) -> Launch {
        self.launch_with("run", flags)
    }

    fn launch_with(&self, command: &str, flags: &[&str]) -> Launch {
        let config = self.write_config();
        let launch = Launch::binary("genesys-kafka")
            .args([command, "--config", &config.display().to_string()])
            .args(flags)
            .current_dir(self.folder.path());
        CREDENTIALS
            .iter()
            .fold(launch, |launch, (name, value)| launch.env(name, value))
    }

    /// Another command of `genesys-kafka` with this configuration and the simulator's credentials, not yet started.
    pub fn launch_command(&self, command: &str) -> Launch {
        self.launch_with(command, &[])
    }

    /// Starts `genesys-kafka run` with a standard output that is the caller's to read, or not to, and returns it with the
    /// file of its log.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start_unread(&self) -> (Child, PathBuf) {
        let log = self.folder.path().join("stderr.txt");
        let mut command = Command::new(binary("genesys-kafka"));
        command
            .args([
                "run".as_ref(),
                "--config".as_ref(),
                self.write_config().as_os_str(),
            ])
            .current_dir(self.folder.path())
            .envs(CREDENTIALS)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).expect("a file for the log"));
        let adapter = child::spawn(command).expect("the adapter starts");
        (adapter, log)
    }

    /// Starts `genesys-kafka run`.
    pub fn start(&self) -> Process {
        self.launch(&[]).start()
    }
}

/// One metrics line of the adapter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricsLine {
    fields: BTreeMap<String, String>,
}

impl MetricsLine {
    /// Reads a line if it is one.
    pub fn parse(line: &str) -> Option<Self> {
        let pairs = line.split_whitespace().filter_map(|word| word.split_once('='));
        let fields: BTreeMap<String, String> = pairs
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        fields.contains_key("totalIngested").then_some(Self { fields })
    }

    /// Whether the line has a field of that name.
    pub fn has(&self, name: &str) -> bool {
        self.fields.contains_key(name)
    }

    /// A number of the line.
    ///
    /// # Panics
    /// If there is none of that name.
    pub fn number(&self, name: &str) -> i64 {
        let value = self
            .fields
            .get(name)
            .unwrap_or_else(|| panic!("no {name} in {:?}", self.fields));
        value
            .parse()
            .unwrap_or_else(|error| panic!("{name} = {value:?}: {error}"))
    }
}

/// Every metrics line that the adapter has printed so far.
pub fn metrics(process: &Process) -> Vec<MetricsLine> {
    let lines = process.lines(Stream::Stderr);
    lines.iter().filter_map(|line| MetricsLine::parse(line)).collect()
}

/// Waits until a metrics line, the latest at the time of the look, fulfils the condition.
///
/// # Panics
/// If none does within `deadline`, or the adapter ends.
pub fn wait_for_metrics(
    process: &mut Process,
    deadline: Duration,
    what: &str,
    mut condition: impl FnMut(&MetricsLine) -> bool,
) {
    wait_until(deadline, what, || {
        assert!(
            !process.has_ended(),
            "the adapter ended before: {what}\n{}",
            process.lines(Stream::Stderr).join("\n")
        );
        metrics(process).last().is_some_and(&mut condition)
    });
}

/// Waits until the adapter has ingested everything that the simulator has sent over one connection: its frames and the
/// acknowledgement of the subscription.
///
/// # Panics
/// If that takes longer than `deadline`.
pub fn wait_until_ingested(process: &mut Process, simulator: &Simulator, deadline: Duration) {
    assert!(simulator.wait_until_done(deadline), "the simulator is not done");
    let counters = simulator.counters();
    let frames = i64::try_from(counters.frames_sent).expect("a count of frames") + 1;
    wait_for_metrics(process, deadline, "the adapter has read every frame", |line| {
        line.number("totalIngested") >= frames
    });
}

/// An adapter that has ended.
#[derive(Debug)]
pub struct Ended {
    /// Exit code; `None` after a signal.
    pub code: Option<i32>,
    /// The summary line as JSON; null if there was none.
    pub summary: Value,
    /// Lines of standard error.
    pub stderr: Vec<String>,
}

impl Ended {
    /// A count of the summary by its JSON pointer.
    ///
    /// # Panics
    /// If there is none.
    pub fn count(&self, pointer: &str) -> i64 {
        let value = self.summary.pointer(pointer).and_then(Value::as_i64);
        value.unwrap_or_else(|| {
            panic!(
                "no count {pointer} in {}\n{}",
                self.summary,
                self.stderr.join("\n")
            )
        })
    }

    /// Number of lines on standard error that contain `text`.
    pub fn lines_with(&self, text: &str) -> usize {
        self.stderr.iter().filter(|line| line.contains(text)).count()
    }
}

/// Waits for the end of an adapter and reads its summary.
///
/// # Panics
/// If it does not end within `deadline`.
pub fn wait_for_end(process: &mut Process, deadline: Duration) -> Ended {
    let status = process.wait(deadline);
    let stderr = process.lines(Stream::Stderr);
    let summary = stderr
        .iter()
        .rev()
        .find_map(|line| serde_json::from_str(line.strip_prefix("summary ")?).ok())
        .unwrap_or(Value::Null);
    Ended {
        code: status.code(),
        summary,
        stderr,
    }
}

/// Sends SIGTERM and waits for the end.
///
/// # Panics
/// If the adapter has ended already or does not end within `deadline`.
pub fn stop(process: &mut Process, deadline: Duration) -> Ended {
    process.signal(Signal::SIGTERM);
    wait_for_end(process, deadline)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metrics_line_is_told_from_others_and_gives_its_numbers() {
        let line =
            "2026-11-23T21:00:00Z  INFO metrics totalIngested=12 queueDepth=3 rate=4.5/s frames_law=-1";
        let line = MetricsLine::parse(line).unwrap();
        assert_eq!(
            (line.number("totalIngested"), line.number("frames_law")),
            (12, -1)
        );
        assert_eq!(MetricsLine::parse("INFO queue full reason=none"), None);
    }
}
