//! OAuth over loopback: what each answer of the login service leads to, and how long a token is used.

use plugin_abi::status;
use serde_json::json;
use support::plugin;

use support::host::{Host, INVALID_CLIENT, REFUSED_LOGINS, config, inject, prompt, without_address};

/// Opens a source whose first login answers as told, and returns how it ends.
fn ends_after(fault: &str) -> (plugin_abi::Status, i32, String) {
    let simulator = plugin::simulator(|options| options.faults = vec![fault.parse().unwrap()]);
    let folder = tempfile::tempdir().unwrap();
    let ending = Host::open(&config(&simulator, folder.path(), prompt())).ending();
    assert_eq!(
        simulator.counters().logins,
        1,
        "what cannot get better is not tried again"
    );
    (
        ending.status,
        ending.code,
        without_address(&ending.message, &simulator),
    )
}

#[test]
fn refused_credentials_end_the_start_with_the_exact_text() {
    for ((fault, text), code) in REFUSED_LOGINS.into_iter().zip([401, 403, 200]) {
        assert_eq!(ends_after(fault), (status::AUTH, code, text.to_owned()));
    }
}

#[test]
fn a_wrong_secret_is_told_from_a_missing_role() {
    let simulator = plugin::simulator(|_| {});
    let folder = tempfile::tempdir().unwrap();
    let config = config(&simulator, folder.path(), prompt());
    std::fs::write(folder.path().join("client-secret"), "not-the-secret").unwrap();
    let ending = Host::open(&config).ending();
    assert_eq!(
        (ending.status, without_address(&ending.message, &simulator)),
        (status::AUTH, INVALID_CLIENT.to_owned())
    );
}

/// Opens a source whose first logins fail as told, waits until it is subscribed all the same, and returns the last
/// error and the number of logins.
fn recovers_from(fault: &str) -> (String, u64) {
    let simulator = plugin::simulator(|options| options.faults = vec![fault.parse().unwrap()]);
    let folder = tempfile::tempdir().unwrap();
    let mut changes = prompt();
    changes["timeouts"]["login_ms"] = json!(400);
    let mut host = Host::open(&config(&simulator, folder.path(), changes));
    host.until("subscribed", |host| {
        host.statistics()["session"]["subscribed"] == true
    });
    let error = host.statistics()["session"]["last_error"]
        .as_str()
        .unwrap()
        .to_owned();
    (without_address(&error, &simulator), simulator.counters().logins)
}

#[test]
fn throttled_slow_and_hanging_logins_are_tried_again() {
    let throttled = |status| format!("the login service limits the rate of logins (HTTP {status})");
    assert_eq!(recovers_from("login=1-2 rate-limited"), (throttled(400), 3));
    assert_eq!(recovers_from("login=1 refuse 429 1"), (throttled(429), 2));
    assert_eq!(
        recovers_from("login=1 refuse 500"),
        ("the login service answered HTTP 500 (server_error)".to_owned(), 2)
    );
    let timed_out =
        "cannot reach the login service at HOST: operation timed out; check the network, region and \
        endpoints.login"
            .to_owned();
    assert_eq!(recovers_from("login=1 hang"), (timed_out.clone(), 2));
    assert_eq!(recovers_from("login=1 slow 3000"), (timed_out, 2));
}

#[test]
fn one_token_serves_many_connections() {
    let simulator = plugin::simulator(|_| {});
    let folder = tempfile::tempdir().unwrap();
    let mut host = Host::open(&config(&simulator, folder.path(), prompt()));
    for round in 1..=6 {
        host.until("subscribed", |_| simulator.counters().open == 1);
        inject(&simulator, "now drop");
        host.until_gaps_closed(round);
    }
    assert_eq!(simulator.counters().logins, 1);
    let subscriptions = simulator.subscriptions();
    assert!(
        subscriptions
            .iter()
            .all(|subscription| subscription.payload["token"] == "login 1")
    );
}

#[test]
fn a_token_is_renewed_before_it_expires() {
    let simulator = plugin::simulator(|options| options.expires_in_s = 2);
    let folder = tempfile::tempdir().unwrap();
    let mut host = Host::open(&config(&simulator, folder.path(), prompt()));
    let started = std::time::Instant::now();
    let mut round = 0;
    while simulator.counters().logins < 3 {
        host.until("subscribed", |_| simulator.counters().open == 1);
        inject(&simulator, "now drop");
        round += 1;
        host.until_gaps_closed(round);
        assert!(
            started.elapsed() < support::host::SOON,
            "the token is never renewed"
        );
    }
    // due at half its life of 2 s, so the third login cannot come before 2 s have passed
    assert!(started.elapsed().as_millis() >= 1_990, "{:?}", started.elapsed());
    let refused = simulator
        .subscriptions()
        .into_iter()
        .filter(|subscription| subscription.refused.is_some());
    assert_eq!(refused.count(), 0, "no expired token is ever sent");
}

#[test]
fn a_secret_file_is_read_again_after_its_rotation() {
    let simulator = plugin::simulator(|_| {});
    let folder = tempfile::tempdir().unwrap();
    let mut host = Host::open(&config(&simulator, folder.path(), prompt()));
    host.until("subscribed", |_| simulator.counters().open == 1);
    let secret = folder.path().join("client-secret");
    std::fs::write(&secret, "rotated-too-early").unwrap();
    let turn = simulator.counters().connects + 1;
    inject(&simulator, &format!("connect={turn} refuse 401"));
    inject(&simulator, "now drop");
    host.until("three refused logins", |_| simulator.counters().logins >= 4);
    let statistics = host.statistics();
    let last_error = statistics["session"]["last_error"].as_str().unwrap();
    assert_eq!(without_address(last_error, &simulator), INVALID_CLIENT);
    assert_eq!(
        statistics["session"]["gaps_open"], 1,
        "while running it is no end but an open gap"
    );
    std::fs::write(&secret, simulator::Credentials::default().client_secret).unwrap();
    host.until_gaps_closed(1);
    assert_eq!(host.statistics()["session"]["gaps_open"], 0);
}
