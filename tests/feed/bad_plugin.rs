//! Bad input of the plugin alone: `genesys-source tail` as a process, every message whole, and what `esp_check` reports.

use std::time::Duration;

use serde_json::{Value, json};
use support::{Launch, free_port};

use crate::host::{REFUSED_LOGINS, SOON, unreachable_login, without_address};

const SECRET: &str = "PLANTED-secret-4c1d";

/// Runs `tail` on a configuration and returns its exit code and standard error.
fn tail(config: &Value, environment: &[(&str, &str)]) -> (i32, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("c.json"), config.to_string()).unwrap();
    let mut launch = Launch::binary("genesys-source")
        .args(["tail", "--config", "c.json"])
        .current_dir(folder.path());
    for (name, value) in environment {
        launch = launch.env(name, value);
    }
    let finished = launch.run(SOON);
    for line in finished.stdout.iter().chain(&finished.stderr) {
        assert!(!line.contains(SECRET), "a secret is printed: {line}");
        assert!(!line.chars().any(char::is_control), "not for a file: {line:?}");
    }
    (finished.status.code().unwrap(), finished.stderr)
}

#[test]
fn every_fault_of_a_configuration_comes_in_one_line() {
    let config = json!({
        "region": "us-east-1",
        "client_id": {"env": "PLANTED_ID"},
        "client_secret": {"file": "/nonexistent/secret"},
        "dedup": {"window_mss": 1},
        "queue": {"max_records": "many"},
        "endpoints": {"events": "ws://example.com/x"},
    });
    assert_eq!(
        tail(&config, &[]),
        (
            1,
            vec![
                "genesys-source: dedup.window_mss: unknown key; did you mean `window_ms`? known keys here: `max_ids`, \
                 `window_ms`; queue.max_records: expected integer, found string; client_id: environment variable \
                 PLANTED_ID is not set; set PLANTED_ID, or client_id = { file = \"…\" } to a file that holds it; \
                 client_secret: cannot read /nonexistent/secret: No such file or directory (os error 2); put \
                 it there, readable by this user, or set client_secret = { env = \"OAUTH_CLIENT_SECRET\" }; \
                 endpoints.events: plain ws:// is allowed to loopback only, and example.com is not loopback; use the encrypted scheme, \
                 or set allow_insecure = true"
                    .to_owned()
            ]
        )
    );
}

#[test]
fn a_configuration_file_that_is_absent_or_no_json_is_named() {
    let finished = Launch::binary("genesys-source")
        .args(["tail", "--config", "/nonexistent/c.json"])
        .run(SOON);
    assert_eq!(
        (finished.status.code(), finished.stderr),
        (
            Some(1),
            vec![
                "genesys-source: cannot read /nonexistent/c.json: No such file or directory (os error 2)"
                    .to_owned()
            ]
        )
    );
    let (code, lines) = tail(&json!("text"), &[]);
    assert_eq!(code, 1);
    assert_eq!(lines, ["genesys-source: expected object, found string"]);
    let finished = Launch::binary("genesys-source")
        .args(["tail", "--bogus"])
        .run(SOON);
    assert_eq!(
        (finished.status.code(), finished.stderr[0].as_str()),
        (Some(64), "error: unexpected argument '--bogus' found")
    );
}

#[test]
fn an_unreachable_login_host_is_named_with_the_reason() {
    let port = free_port();
    let config = json!({
        "client_id": {"env": "PLANTED_ID"},
        "client_secret": {"env": "PLANTED_SECRET"},
        "endpoints": {"login": format!("http://127.0.0.1:{port}/?key={SECRET}"), "events": format!("ws://127.0.0.1:{port}/x")},
        "reconnect": {"min_ms": 1, "max_ms": 5, "max_attempts": 2},
    });
    let (code, lines) = tail(&config, &[("PLANTED_ID", "id"), ("PLANTED_SECRET", SECRET)]);
    assert_eq!(code, 1);
    assert_eq!(
        lines.last().unwrap(),
        &format!(
            "genesys-source: FAILED: gave up after 2 failed attempts: {}",
            unreachable_login(port)
        )
    );
}

#[test]
fn refused_logins_end_it_with_the_exact_text() {
    for (fault, message) in REFUSED_LOGINS {
        let simulator = support::plugin::simulator(|options| options.faults = vec![fault.parse().unwrap()]);
        let folder = tempfile::tempdir().unwrap();
        let config = support::plugin::config(&simulator, folder.path());
        let (code, lines) = tail(&config, &[]);
        assert_eq!(code, 1);
        let line = without_address(lines.last().unwrap(), &simulator);
        assert_eq!(line, format!("genesys-source: AUTH: {message}"));
    }
}

#[test]
fn an_online_check_tells_refused_credentials_from_an_unreachable_host() {
    let folder = tempfile::tempdir().unwrap();
    let check = |config: &Value| {
        let checked = genesys_source::source::check(&config.to_string(), true, Duration::from_secs(5));
        let report: Value = serde_json::from_str(&checked.report).unwrap();
        let (status, message) = checked.failure.unwrap();
        assert_eq!(report["faults"][0]["message"], message.as_str());
        assert_eq!(report["faults"][0]["path"], "endpoints.login");
        (status, message)
    };
    for (fault, message) in REFUSED_LOGINS {
        let simulator = support::plugin::simulator(|options| options.faults = vec![fault.parse().unwrap()]);
        let config = support::plugin::config(&simulator, folder.path());
        let (status, said) = check(&config);
        assert_eq!(
            (status, without_address(&said, &simulator).as_str()),
            (plugin_abi::status::AUTH, message)
        );
    }
    let simulator = support::plugin::simulator(|_| {});
    let mut config = support::plugin::config(&simulator, folder.path());
    let sound = genesys_source::source::check(&config.to_string(), true, Duration::from_secs(5));
    assert!(sound.failure.is_none(), "{sound:?}");
    let port = free_port();
    config["endpoints"]["login"] = json!(format!("http://127.0.0.1:{port}"));
    assert_eq!(check(&config), (plugin_abi::status::IO, unreachable_login(port)));
}
