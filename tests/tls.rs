//! Login and events over TLS: the extra certificate authority is what makes the difference.

#![allow(
    clippy::unwrap_used,
    reason = "a test reports a broken environment by panicking"
)]

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use support::tls::Terminator;
use support::{Finished, Launch, plugin};

const DEADLINE: Duration = Duration::from_secs(30);

/// Runs `genesys-source tail` for five records against a simulator behind TLS.
fn tail(folder: &Path, trusted: bool) -> Finished {
    let simulator = plugin::simulator(|options| options.events = Some(20));
    let terminator = Terminator::start(simulator.address(), folder);
    let mut config = plugin::config(&simulator, folder);
    let host = terminator.authority_name();
    let path = simulator.events_url().splitn(4, '/').nth(3).unwrap().to_owned();
    config["endpoints"] = serde_json::json!({
        "login": format!("https://{host}"),
        "events": format!("wss://{host}/{path}"),
    });
    config["reconnect"] = serde_json::json!({"min_ms": 1, "max_ms": 5, "max_attempts": 2});
    if trusted {
        config["ca_file"] = Value::from(terminator.authority_file().to_str().unwrap());
    }
    let file = folder.join("source.json");
    std::fs::write(&file, config.to_string()).unwrap();
    Launch::binary("genesys-source")
        .args(["tail", "--records", "5", "--config"])
        .args([file.to_str().unwrap()])
        .run(DEADLINE)
}

#[test]
fn events_arrive_over_tls_from_a_server_whose_authority_is_in_ca_file() {
    let folder = tempfile::tempdir().unwrap();
    let done = tail(folder.path(), true);
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    let events = done
        .stdout
        .iter()
        .filter(|line| line.contains("\"kind\":\"event\""))
        .count();
    assert!(events >= 5, "{done:?}");
}

#[test]
fn a_server_of_an_unknown_authority_is_refused_with_the_mend() {
    let folder = tempfile::tempdir().unwrap();
    let done = tail(folder.path(), false);
    assert_eq!(done.status.code(), Some(1), "{done:?}");
    assert!(
        done.stdout
            .iter()
            .all(|line| !line.contains("\"kind\":\"event\""))
    );
    let last = done.stderr.last().unwrap();
    assert!(last.contains("certificate") && last.contains("ca_file"), "{last}");
}
