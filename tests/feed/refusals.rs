//! What the adapter says and how it exits when the service refuses it: 77 for credentials, 69 when it gave up.

use std::path::Path;

use serde_json::json;
use support::{Launch, free_port, plugin};

use support::host::{REFUSED_LOGINS, SOON, unreachable_login, without_address};

/// Runs the adapter against login and socket at these addresses; returns exit code and the last line it says.
fn run(folder: &Path, login: &str, events: &str) -> (i32, String) {
    let config = format!(
        "[source.config]\ntransport = \"events\"\nclient_id = {{ file = \"client-id\" }}\nclient_secret = {{ file = \
         \"client-secret\" }}\nendpoints = {{ login = {login:?}, events = {events:?} }}\n\
         reconnect = {{ min_ms = 1, max_ms = 5, max_attempts = 3 }}\n[delivery]\nto = \"lines\"\n"
    );
    std::fs::write(folder.join("c.toml"), config).unwrap();
    let finished = Launch::binary("genesys-kafka")
        .args(["run", "--config", "c.toml"])
        .current_dir(folder)
        .run(SOON);
    let secret = std::fs::read_to_string(folder.join("client-secret")).unwrap();
    let complaints: Vec<&String> = finished
        .stderr
        .iter()
        .filter(|line| line.starts_with("genesys-kafka: "))
        .collect();
    assert_eq!(complaints.len(), 1, "one clear line: {:?}", finished.stderr);
    assert!(!finished.stderr.iter().any(|line| line.contains(&secret)));
    (finished.status.code().unwrap(), complaints[0].clone())
}

#[test]
fn refused_credentials_exit_with_77_and_name_the_reason() {
    let later = [
        (
            "connect=1- refuse 403",
            "HOST refused the WebSocket with HTTP 403: missing scope or role; give the OAuth client a role that may read \
             what it subscribes to",
        ),
        (
            "subscribe=1- refuse 403",
            "server refused the subscription with status 403: refused by the script",
        ),
    ];
    for (fault, reason) in REFUSED_LOGINS.into_iter().chain(later) {
        let simulator = plugin::simulator(|options| options.faults = vec![fault.parse().unwrap()]);
        let folder = tempfile::tempdir().unwrap();
        let _written = plugin::config(&simulator, folder.path());
        let (code, line) = run(folder.path(), &simulator.login_url(), &simulator.events_url());
        let line = without_address(&line, &simulator);
        assert_eq!(
            (code, line),
            (77, format!("genesys-kafka: source failed: AUTH: {reason}")),
            "{fault}"
        );
    }
}

#[test]
fn a_source_that_gives_up_exits_with_69_and_names_the_host() {
    let simulator = plugin::simulator(|options| {
        options.faults = vec!["connect=1- refuse 503".parse().unwrap()];
    });
    let folder = tempfile::tempdir().unwrap();
    let _written = plugin::config(&simulator, folder.path());
    let (code, line) = run(folder.path(), &simulator.login_url(), &simulator.events_url());
    let line = without_address(&line, &simulator);
    assert_eq!(
        (code, line.as_str()),
        (
            69,
            "genesys-kafka: source failed: FAILED: gave up after 3 failed attempts: HOST refused the WebSocket with HTTP 503"
        )
    );
    let port = free_port();
    let (code, line) = run(
        folder.path(),
        &format!("http://127.0.0.1:{port}"),
        &simulator.events_url(),
    );
    assert_eq!(
        (code, line),
        (
            69,
            format!(
                "genesys-kafka: source failed: FAILED: gave up after 3 failed attempts: {}",
                unreachable_login(port)
            )
        )
    );
}

#[test]
fn the_plugin_sees_the_shard_that_the_adapter_names() {
    let simulator = plugin::simulator(|options| {
        options.events = Some(5);
        options.faults = vec!["after=3 drop".parse().unwrap()];
    });
    let folder = tempfile::tempdir().unwrap();
    let config = plugin::config(&simulator, folder.path());
    assert_eq!(config.get("name"), None, "the adapter names the shard");
    let text = format!(
        "[source]\nname = \"shard-7\"\n[source.config]\ntransport = \"events\"\nclient_id = {{ file = \"client-id\" }}\n\
         client_secret = {{ file = \"client-secret\" }}\nendpoints = {{ login = {:?}, events = {:?} }}\nsubscription = {{ min_interval_ms = 0 }}\n\
         reconnect = {{ min_ms = 1 }}\n[delivery]\nto = \"lines\"\n",
        simulator.login_url(),
        simulator.events_url()
    );
    std::fs::write(folder.path().join("c.toml"), text).unwrap();
    let mut adapter = Launch::binary("genesys-kafka")
        .args(["run", "--config", "c.toml"])
        .current_dir(folder.path())
        .start();
    let line = adapter.wait_for_line(support::Stream::Stdout, "gap_closed", SOON);
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        line.pointer("/record/source").or(line.get("source")),
        Some(&json!("shard-7")),
        "{line}"
    );
    adapter.signal(nix::sys::signal::Signal::SIGTERM);
    assert!(adapter.wait(SOON).success());
}
