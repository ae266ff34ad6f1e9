//! Bad input of the plugin alone: `genesys-source tail` as a process, every message whole, and what `esp_check` reports.

use std::time::Duration;

use serde_json::{Value, json};
use support::{Launch, free_port};

use support::host::{REFUSED_LOGINS, SOON, unreachable_login, without_address};

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
        "transport": "events",
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
    assert_eq!(lines, ["genesys-source: expected table, found string"]);
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
        "transport": "events",
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

/// Logs in through the online check, which must fail; returns status, HTTP status and message.
fn refused_check(config: &Value, timeout: Duration) -> (plugin_abi::Status, i32, String) {
    let checked = genesys_source::source::check(&config.to_string(), true, timeout);
    let report: Value = serde_json::from_str(&checked.report).unwrap();
    let failure = checked.failure.unwrap();
    assert_eq!(
        report,
        json!({"faults": [{"path": "endpoints.login", "message": failure.message, "mend": null, "nearest": null}], "warnings": []})
    );
    (failure.status, failure.code, failure.message)
}

#[test]
fn an_online_check_answers_each_refusal_with_the_status_that_the_contract_promises() {
    let folder = tempfile::tempdir().unwrap();
    let check = |fault: &str, login_ms: u64, timeout| {
        let simulator = support::plugin::simulator(|options| options.faults = vec![fault.parse().unwrap()]);
        let mut config = support::plugin::config(&simulator, folder.path());
        config["timeouts"] = json!({"login_ms": login_ms});
        let (status, code, message) = refused_check(&config, timeout);
        (
            plugin_abi::status::name(status),
            code,
            without_address(&message, &simulator),
        )
    };
    for ((fault, message), code) in REFUSED_LOGINS.into_iter().zip([401, 403, 200]) {
        assert_eq!(check(fault, 15_000, SOON), ("AUTH", code, message.to_owned()));
    }
    let throttled = |status| format!("the login service limits the rate of logins (HTTP {status})");
    assert_eq!(
        check("login=1 rate-limited", 15_000, SOON),
        ("OVERLOAD", 400, throttled(400))
    );
    assert_eq!(
        check("login=1 refuse 429 1", 15_000, SOON),
        ("OVERLOAD", 429, throttled(429))
    );
    let answered = |status| format!("the login service answered HTTP {status} (server_error)");
    assert_eq!(
        check("login=1 refuse 500", 15_000, SOON),
        ("IO", 500, answered(500))
    );
    assert_eq!(
        check("login=1 refuse 404", 15_000, SOON),
        ("CONFIG", 404, answered(404))
    );
    // the deadline of the configuration, and that of the call
    let mend = "check the network, region and endpoints.login";
    assert_eq!(
        check("login=1 hang", 200, SOON),
        (
            "TIMEOUT",
            0,
            format!("cannot reach the login service at HOST: operation timed out; {mend}")
        )
    );
    assert_eq!(
        check("login=1 hang", 15_000, Duration::from_millis(200)),
        (
            "TIMEOUT",
            0,
            format!("no answer from the login service at HOST within 200 ms; {mend}")
        )
    );
}

#[test]
fn an_online_check_tells_a_login_host_that_is_not_there_from_one_that_is_not_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let simulator = support::plugin::simulator(|_| {});
    let mut config = support::plugin::config(&simulator, folder.path());
    let port = free_port();
    config["endpoints"]["login"] = json!(format!("http://127.0.0.1:{port}"));
    assert_eq!(
        refused_check(&config, SOON),
        (plugin_abi::status::IO, 0, unreachable_login(port))
    );
    let terminator = support::tls::Terminator::start(simulator.address(), folder.path());
    config["endpoints"]["login"] = json!(format!("https://{}", terminator.authority_name()));
    let (status, _, message) = refused_check(&config, SOON);
    assert_eq!(status, plugin_abi::status::TLS, "{message}");
}

#[test]
fn an_online_check_that_logs_in_tells_the_services_clock_and_the_tokens_life() {
    let folder = tempfile::tempdir().unwrap();
    for (ahead_ms, expected) in [
        (0, 0..=0),
        (-60_000, -60_000..=-50_000),
        (3_600_000, 3_590_000..=3_600_000),
    ] {
        let simulator = support::plugin::simulator(|options| {
            options.clock_ahead_ms = ahead_ms;
            options.expires_in_s = 1234;
        });
        let config = support::plugin::config(&simulator, folder.path());
        let checked = genesys_source::source::check(&config.to_string(), true, SOON);
        assert_eq!(checked.failure, None);
        let mut report: Value = serde_json::from_str(&checked.report).unwrap();
        let skew_ms = report["login"]["clock_skew_ms"].take().as_i64().unwrap();
        assert!(expected.contains(&skew_ms), "{skew_ms} for {ahead_ms}");
        assert_eq!(
            report,
            json!({"faults": [], "warnings": [], "login": {"clock_skew_ms": null, "token_lifetime_s": 1234}})
        );
        let offline = genesys_source::source::check(&config.to_string(), false, SOON);
        assert_eq!(offline.report, r#"{"faults":[],"warnings":[]}"#);
    }
}

/// Checks a source over notification channels online; returns the report without the clocks, and how it failed.
fn check_channels(fault: Option<&str>, queues: &[&str], timeout: Duration) -> (Value, Option<(i32, String)>) {
    let folder = tempfile::tempdir().unwrap();
    let simulator = support::plugin::simulator(|options| {
        options.faults = fault.map(|fault| fault.parse().unwrap()).into_iter().collect();
        options.notifications.queues = 1;
    });
    let mut config = support::plugin::config(&simulator, folder.path());
    config["transport"] = json!("notifications");
    config["endpoints"] = json!({"login": simulator.login_url(), "api": simulator.api_url()});
    config["subscription"] = if queues.is_empty() {
        json!({})
    } else {
        json!({ "queues": queues })
    };
    let checked = genesys_source::source::check(&config.to_string(), true, timeout);
    let mut report: Value = serde_json::from_str(&checked.report).unwrap();
    for part in ["login", "api"] {
        report[part]["clock_skew_ms"].take();
    }
    let failure = checked.failure;
    (report, failure.map(|failure| (failure.status, failure.message)))
}

fn row(
    id: &str,
    outcome: &str,
    key: Option<&str>,
    detail: &str,
    mend: Option<&str>,
    status: Option<i32>,
) -> Value {
    json!({"id": id, "title": id, "outcome": outcome, "key": key, "detail": detail, "mend": mend, "status": status})
}

#[test]
fn an_online_check_over_notification_channels_reports_each_thing_in_a_row() {
    let used = "0 of 20 are in use by this OAuth client";
    let (report, failure) = check_channels(None, &[], SOON);
    let rows = [
        row(
            "plan",
            "ok",
            None,
            "nothing is named, so every queue that the OAuth client may read: 1 queue, 0 users, 1 topic on 1 channel",
            None,
            None,
        ),
        row(
            "topic",
            "ok",
            None,
            "v2.routing.queues.{id}.conversations: 1 topic, and the OAuth client has conversation:communication:view",
            None,
            None,
        ),
        row(
            "channels",
            "ok",
            None,
            &format!("{used}, and the plan opens 1"),
            None,
            None,
        ),
    ];
    let login = json!({"clock_skew_ms": null, "token_lifetime_s": 86400});
    let api = json!({"clock_skew_ms": null});
    assert_eq!(
        report,
        json!({"faults": [], "warnings": [], "login": login, "api": api, "checks": rows})
    );
    assert_eq!(failure, None);

    let (report, failure) = check_channels(None, &["Nobody"], SOON);
    let (key, detail) = (
        "subscription.queues[0]",
        "no queue that the OAuth client may read is called \"Nobody\"",
    );
    let mend = "write its name as Genesys Cloud shows it, or its id";
    let config = plugin_abi::status::CONFIG;
    let rows = [
        row("plan", "failed", Some(key), detail, Some(mend), Some(config)),
        row("topic", "skipped", None, "there is no plan", None, None),
        row("channels", "ok", None, used, None, None),
    ];
    let faults = [json!({"path": key, "message": detail, "mend": mend, "nearest": null})];
    assert_eq!(
        report,
        json!({"faults": faults, "warnings": [], "login": login, "api": api, "checks": rows})
    );
    assert_eq!(failure, Some((config, format!("{key}: {detail}; {mend}"))));
}

#[test]
fn an_online_check_gives_up_on_an_api_that_hangs_when_its_time_is_over() {
    let (report, failure) = check_channels(Some("api=1-99 hang"), &[], Duration::from_millis(500));
    let late = plugin_abi::status::TIMEOUT;
    let plan = "the API did not tell all of queues, users and their members within 500 ms";
    let less = "check the network, or name fewer of them";
    let channels = "the channels of the OAuth client: no answer: no time was left";
    let mend = "check the network, region and endpoints.api";
    assert_eq!(
        report["checks"],
        json!([
            row("plan", "failed", None, plan, Some(less), Some(late)),
            row("topic", "skipped", None, "there is no plan", None, None),
            row("channels", "failed", None, channels, Some(mend), Some(late)),
        ])
    );
    assert_eq!(failure, Some((late, format!("{plan}; {less}"))));
}
