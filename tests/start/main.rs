//! Everything that can be wrong at the start: `genesys-kafka` as a process, every message whole, and its exit code.
//!
//! One module for each thing that is wrong. What an operator reads about these messages is
//! `docs/when-it-does-not-start.md`; the module `page` holds it against what the tests here demand.
#![allow(clippy::unwrap_used, reason = "a test binary: a panic is a failure")]

mod config;
mod exactly_once;
mod files;
mod kafka;
mod log;
mod page;
mod plan;
mod plugin;
mod secrets;
mod service;
mod spool;
mod webhook;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use support::{Finished, Launch};

/// Longest wait for the end of a process that is expected to end by itself; long, since the machine may be busy.
const SOON: Duration = Duration::from_secs(60);

/// What no line may hold.
const SECRET: &str = "PLANTED-secret-77ab";

/// Credentials that need no file.
const CREDENTIALS: &[(&str, &str)] = &[("OAUTH_CLIENT_ID", "planted-id"), ("OAUTH_CLIENT_SECRET", SECRET)];

/// A configuration without a fault, if the credentials are there.
const SOUND: &str =
    "[source.config]\nregion = \"us-east-1\"\ntransport = \"events\"\n[delivery]\nto = \"lines\"\n";

/// Exit codes of sysexits(3): a configuration that must be changed.
const EXIT_CONFIG: i32 = 78;
/// The same for what the service refuses.
const EXIT_CREDENTIALS: i32 = 77;
/// The same for a service that is not there.
const EXIT_UNAVAILABLE: i32 = 69;

/// A configuration, the environment that it meets, and the lines that the program ends with.
struct Case {
    config: String,
    environment: Vec<(&'static str, String)>,
    expected: Vec<String>,
}

impl Case {
    fn new(config: impl Into<String>, environment: &[(&'static str, &str)], expected: &[&str]) -> Self {
        Self {
            config: config.into(),
            environment: environment
                .iter()
                .map(|(name, value)| (*name, (*value).to_owned()))
                .collect(),
            expected: expected.iter().map(|line| (*line).to_owned()).collect(),
        }
    }

    /// Demands the whole of standard error, and exit code 78.
    fn refused(&self) {
        refused(&self.config, &self.environment, &self.expected);
    }
}

/// Runs the adapter in a folder that holds `config` as `c.toml`; returns exit code and standard error.
fn fails(
    folder: &Path,
    config: &str,
    arguments: &[&str],
    environment: &[(&'static str, String)],
) -> (i32, Vec<String>) {
    std::fs::write(folder.join("c.toml"), config).unwrap();
    let mut launch = Launch::binary("genesys-kafka")
        .args(arguments)
        .current_dir(folder);
    for (name, value) in environment {
        launch = launch.env(name, value);
    }
    let finished = launch.run(SOON);
    for line in finished.stdout.iter().chain(&finished.stderr) {
        assert!(!line.contains(SECRET), "a secret is printed: {line}");
    }
    (finished.status.code().unwrap(), finished.stderr)
}

/// Demands the whole of standard error, and exit code 78.
fn refused(config: &str, environment: &[(&'static str, String)], expected: &[impl AsRef<str>]) {
    let folder = tempfile::tempdir().unwrap();
    let expected: Vec<String> = expected
        .iter()
        .map(|line| format!("genesys-kafka: {}", line.as_ref()))
        .collect();
    // `config` first, since it reaches out to nothing: a fault that went unnoticed would let `run` log in somewhere
    for command in ["config", "run"] {
        let (code, lines) = fails(
            folder.path(),
            config,
            &[command, "--config", "c.toml"],
            environment,
        );
        assert_eq!((code, &lines), (EXIT_CONFIG, &expected), "{command}");
    }
}

/// Makes a pipe that nobody is at the other end of: whoever opens it waits, until the deadline of [`SOON`] is over.
fn make_pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// The credentials as a process takes them.
fn credentials() -> Vec<(&'static str, String)> {
    let owned = |(name, value): &(&'static str, &str)| (*name, (*value).to_owned());
    CREDENTIALS.iter().map(owned).collect()
}

/// The one line that tells the failure, without the name of the program.
fn complaint(finished: &Finished) -> String {
    let lines: Vec<&str> = finished
        .stderr
        .iter()
        .filter_map(|line| line.strip_prefix("genesys-kafka: "))
        .collect();
    assert_eq!(lines.len(), 1, "{}", finished.stderr.join("\n"));
    lines[0].to_owned()
}
