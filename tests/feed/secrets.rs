//! Secrets: client secret, access tokens and session token through every kind of trouble at the finest log level, and
//! none of them in any line, record, error or statistic.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use genesys_source::record::Kind;
use nix::sys::signal::Signal;
use serde_json::json;
use simulator::{Credentials, Simulator};
use support::{Launch, Process, Stream, plugin};

use support::host::{Host, SOON, config, prompt};

const CLIENT_ID: &str = "planted-client-id";
const CLIENT_SECRET: &str = "PLANTED-client-secret-5f0e9c";

/// Refusals at every gate, drops, malformed frames; five gaps in all.
fn simulator() -> Simulator {
    plugin::simulator(|options| {
        options.credentials = Credentials {
            client_id: CLIENT_ID.to_owned(),
            client_secret: CLIENT_SECRET.to_owned(),
        };
        options.rate = 200;
        options.pause_when_alone = true;
        options.malformed_percent = 10.0;
        options.duplicates_percent = 5.0;
        options.faults = [
            "after=20 drop",
            "connect=2 refuse 401",
            "login=2 refuse 429 1",
            "login=3 refuse 401",
            "login=4 rate-limited",
            "login=5 no-token",
            "after=40 reset",
            "connect=4 refuse 429",
            "connect=5 refuse 500",
            "after=60 close 4001 see you",
            "subscribe=4 refuse 401",
            "subscribe=5 refuse 403",
            "subscribe=6 refuse 429",
            "after=80 offence invalid-utf8",
            "after=100 drop",
        ]
        .map(|fault| fault.parse().unwrap())
        .to_vec();
    })
}

/// The plugin's configuration with the planted credentials in files.
fn planted(simulator: &Simulator, folder: &Path) -> serde_json::Value {
    let config = config(simulator, folder, prompt());
    support::write_secret(&folder.join("client-id"), CLIENT_ID);
    support::write_secret(&folder.join("client-secret"), CLIENT_SECRET);
    config
}

/// Fails if a line holds a secret of this run. The access tokens are the simulator's: `sim-` and 64 digits.
fn assert_clean(simulator: &Simulator, what: &str, lines: &[String]) {
    let session_token = simulator.subscriptions()[0].payload["sessionToken"]
        .as_str()
        .unwrap()
        .to_owned();
    let basic = STANDARD.encode(format!("{CLIENT_ID}:{CLIENT_SECRET}"));
    for line in lines {
        for secret in [CLIENT_SECRET, &session_token, &basic] {
            assert!(!line.contains(secret), "{what} holds {secret}: {line}");
        }
        for (at, _) in line.match_indices("sim-") {
            let digits = line
                .bytes()
                .skip(at + 4)
                .take_while(u8::is_ascii_hexdigit)
                .count();
            assert!(digits < 16, "{what} holds an access token: {line}");
        }
    }
}

/// Waits for all gaps on standard output, ends the process and looks through everything that it printed.
fn run_to_the_end(simulator: &Simulator, mut process: Process) -> (Vec<String>, Vec<String>) {
    support::wait_until(SOON, "five gaps", || {
        let lines = process.lines(Stream::Stdout);
        lines.iter().filter(|line| line.contains("gap_closed")).count() >= 5
    });
    process.signal(Signal::SIGTERM);
    let status = process.wait(SOON);
    let (out, log) = (process.lines(Stream::Stdout), process.lines(Stream::Stderr));
    assert!(status.success(), "{status}: {:?}", log.last());
    assert_clean(simulator, "standard output", &out);
    assert_clean(simulator, "the log", &log);
    (out, log)
}

#[test]
fn tail_at_level_trace_prints_no_secret() {
    let simulator = simulator();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tail.json");
    std::fs::write(&path, planted(&simulator, folder.path()).to_string()).unwrap();
    let tail = Launch::binary("genesys-source")
        .args(["tail".as_ref(), "--config".as_ref(), path.as_os_str()])
        .env("RUST_LOG", "trace")
        .start();
    let (out, log) = run_to_the_end(&simulator, tail);
    assert!(out.iter().any(|line| line.contains("\"kind\":\"dead_letter\"")));
    for said in [
        "access token is not accepted",
        "limits the rate",
        "refused the subscription",
    ] {
        assert!(log.iter().any(|line| line.contains(said)), "{said}: {log:#?}");
    }
}

#[test]
fn the_adapter_at_level_trace_prints_no_secret_that_crosses_the_c_boundary() {
    let simulator = simulator();
    let folder = tempfile::tempdir().unwrap();
    let path = adapter_config(&planted(&simulator, folder.path()), folder.path());
    let adapter = Launch::binary("genesys-kafka")
        .args(["run".as_ref(), "--config".as_ref(), path.as_os_str()])
        .env("GENESYS_KAFKA_LOG", "trace")
        .start();
    let (out, log) = run_to_the_end(&simulator, adapter);
    assert!(out.iter().any(|line| line.contains("deadLetterId")), "{out:#?}");
    assert!(
        log.iter()
            .any(|line| line.contains("not connected, trying again")),
        "the source's own lines are there: {log:#?}"
    );
}

#[test]
fn statistics_records_and_endings_hold_no_secret() {
    let simulator = simulator();
    let folder = tempfile::tempdir().unwrap();
    let config = planted(&simulator, folder.path());
    let mut host = Host::open(&config);
    let mut seen = Vec::new();
    host.until("five gaps", |host| {
        seen.push(host.source.statistics());
        let closed = host
            .of_kind(Kind::Control)
            .filter(|record| record.body["type"] == "gap_closed");
        closed.count() >= 5
    });
    host.drain();
    seen.push(format!("{host:?}"));
    seen.extend(host.records.iter().map(|record| format!("{record:?}")));
    seen.dedup();

    std::fs::write(
        folder.path().join("client-secret"),
        format!("{CLIENT_SECRET}-old"),
    )
    .unwrap();
    // the first one holds its spool
    let mut config = config;
    config["spool"]["dir"] = json!(folder.path().join("another-spool"));
    let mut refused = Host::open(&config);
    let ending = refused.ending();
    assert_eq!(ending.status, plugin_abi::status::AUTH);
    seen.extend([ending.message, refused.source.statistics()]);
    let wrong =
        json!({"client_secret": CLIENT_SECRET, "client_id": {"env": "NOBODY", "secret": CLIENT_SECRET}});
    let faults = genesys_source::source::check(&wrong.to_string(), false, SOON);
    seen.push(format!("{faults:?}"));
    assert_clean(&simulator, "what a host sees", &seen);
}

/// Writes the adapter's configuration around the plugin's.
fn adapter_config(plugin: &serde_json::Value, folder: &Path) -> PathBuf {
    let mut text = String::from("[delivery]\nto = \"lines\"\n");
    section(&mut text, "source.config", plugin);
    let path = folder.join("adapter.toml");
    std::fs::write(&path, text).unwrap();
    path
}

/// Writes a JSON object as a TOML section, its objects as sections below it.
fn section(text: &mut String, name: &str, object: &serde_json::Value) {
    text.push_str(&format!("[{name}]\n"));
    let members = object.as_object().unwrap();
    for (key, value) in members.iter().filter(|(_, value)| !value.is_object()) {
        text.push_str(&format!("{key} = {value}\n"));
    }
    for (key, value) in members.iter().filter(|(_, value)| value.is_object()) {
        section(text, &format!("{name}.{key}"), value);
    }
}
