//! The C boundary as hosts see it: C and C++ programs, sanitizers, the exact symbol list, the example host.
#![allow(
    clippy::unwrap_used,
    reason = "a test reports a broken environment by panicking"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use support::c::{Language, compile};
use support::plugin;

const SCENARIOS: [&str; 9] = [
    "arguments",
    "handles",
    "records",
    "threads",
    "draining",
    "callback",
    "forked",
    "reopened",
    "constants",
];

/// A server with forty events for each scenario, and the configuration file that leads to it.
struct Feed {
    simulator: simulator::Simulator,
    folder: tempfile::TempDir,
}

impl Feed {
    fn start() -> Self {
        let simulator = plugin::simulator(|options| {
            options.events = Some(40);
        });
        Self {
            simulator,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn config_file(&self) -> PathBuf {
        let path = self.folder.path().join("config.json");
        let config = plugin::config(&self.simulator, self.folder.path());
        std::fs::write(&path, serde_json::to_vec(&config).unwrap()).unwrap();
        path
    }
}

fn program(language: Language, folder: &Path, source: &str, extra: &[&str]) -> PathBuf {
    let output = folder.join(language.file_name("host")).with_extension("program");
    compile(
        language,
        &Path::new(env!("CARGO_MANIFEST_DIR")).join(source),
        &output,
        extra,
    );
    output
}

fn run(program: &Path, arguments: &[&Path], scenario: &str) -> Output {
    Command::new(program)
        .args(arguments)
        .arg(scenario)
        .env("ASAN_OPTIONS", "detect_leaks=1:exitcode=86")
        .env("UBSAN_OPTIONS", "halt_on_error=1:print_stacktrace=1")
        .output()
        .unwrap()
}

fn run_every_scenario(language: Language, extra: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let host = program(language, folder.path(), "c/abi.c", extra);
    for scenario in SCENARIOS {
        let feed = Feed::start();
        let done = run(&host, &[&plugin::library(), &feed.config_file()], scenario);
        assert!(
            done.status.success(),
            "{language:?} {scenario}: {}\n{}{}",
            done.status,
            String::from_utf8_lossy(&done.stdout),
            String::from_utf8_lossy(&done.stderr)
        );
    }
}

#[test]
fn c11_host_finds_the_contract_kept_under_sanitizers() {
    run_every_scenario(
        Language::C11,
        &[
            "-g",
            "-fsanitize=address,undefined",
            "-fno-omit-frame-pointer",
            "-pthread",
        ],
    );
}

#[test]
fn cpp17_host_finds_the_contract_kept_under_sanitizers() {
    run_every_scenario(
        Language::Cpp17,
        &[
            "-O2",
            "-fsanitize=address,undefined",
            "-fno-omit-frame-pointer",
            "-pthread",
        ],
    );
}

#[test]
fn library_exports_exactly_the_sixteen_symbols() {
    let listed = Command::new("nm")
        .args(["-D", "--defined-only"])
        .arg(plugin::library())
        .output()
        .unwrap();
    assert!(listed.status.success());
    let text = String::from_utf8(listed.stdout).unwrap();
    let mut exported: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split_whitespace().nth(2))
        .collect();
    let mut wanted = plugin_abi::SYMBOLS.to_vec();
    exported.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(exported, wanted);
}

#[test]
fn library_stays_loaded_and_needs_no_static_tls() {
    let listed = Command::new("readelf")
        .args(["-d", "-W"])
        .arg(plugin::library())
        .output()
        .unwrap();
    let text = String::from_utf8(listed.stdout).unwrap();
    assert!(text.contains("NODELETE"), "{text}");
    assert!(text.contains("libgenesys_source.so.1"), "{text}");
    assert!(!text.contains("STATIC_TLS"), "{text}");
}

#[test]
fn example_host_prints_events_commits_and_drains() {
    let feed = Feed::start();
    let folder = tempfile::tempdir().unwrap();
    let host = program(
        Language::C11,
        folder.path(),
        "../hosts/c/pull.c",
        &["-g", "-fsanitize=address,undefined"],
    );
    let done = run(&host, &[&plugin::library(), &feed.config_file()], "30");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let printed = String::from_utf8(done.stdout).unwrap();
    let records: Vec<serde_json::Value> = printed
        .lines()
        .map(|line| serde_json::from_str(line.splitn(3, ' ').nth(2).unwrap()).unwrap())
        .collect();
    let events = records
        .iter()
        .filter(|record| record.get("eventId").is_some())
        .count();
    assert!(events >= 30, "{printed}");
    assert_eq!(records.last().unwrap()["cause"], "stopped");
}
