//! How often the source comes back: the least interval between subscriptions, `Retry-After`, and no storm.

use std::time::Duration;

use serde_json::json;
use simulator::{Kind, Simulator};
use support::plugin;

use support::host::{Host, config, inject, prompt, truth};

const SECOND_US: u64 = 1_000_000;

#[test]
fn subscriptions_keep_their_distance_across_reconnects() {
    let interval_ms = 600;
    let simulator = plugin::simulator(|options| options.min_interval_ms = interval_ms);
    let folder = tempfile::tempdir().unwrap();
    // No deadline but the interval: a busy machine ends no connection, which would be one subscription more.
    let changes = json!({
        "reconnect": {"min_ms": 1, "max_ms": 20, "stable_ms": 10},
        "subscription": {"min_interval_ms": interval_ms},
    });
    let mut host = Host::open(&config(&simulator, folder.path(), changes));
    for round in 1..=4 {
        // A connection that is open may not be subscribed yet, and its end would be no gap.
        host.until("subscribed", |host| {
            simulator.subscriptions().len() == round && host.statistics()["session"]["subscribed"] == true
        });
        inject(&simulator, "now drop");
        host.until_gaps_closed(round);
    }
    let subscriptions = simulator.subscriptions();
    assert_eq!(subscriptions.len(), 5);
    assert!(
        subscriptions
            .iter()
            .all(|subscription| subscription.refused.is_none())
    );
    for pair in subscriptions.windows(2) {
        let apart_us = pair[1].at_us - pair[0].at_us;
        assert!(apart_us >= interval_ms * 1_000, "{apart_us} us apart");
    }
}

/// Microseconds from the last refusal to the next connection after it.
fn waited_us(simulator: &Simulator) -> u64 {
    let refused_us = truth(simulator, Kind::Refused).last().unwrap().at_us.unwrap();
    let connected = truth(simulator, Kind::Connected);
    connected
        .iter()
        .map(|line| line.at_us.unwrap())
        .find(|at_us| *at_us > refused_us)
        .unwrap()
        - refused_us
}

#[test]
fn no_attempt_is_made_before_retry_after_has_passed() {
    let simulator = plugin::simulator(|_| {});
    let folder = tempfile::tempdir().unwrap();
    let mut host = Host::open(&config(&simulator, folder.path(), prompt()));
    host.until("subscribed", |host| {
        host.statistics()["state"] == "subscribed" && simulator.counters().open == 1
    });
    let mut round = 0;
    let mut again = |host: &mut Host, gates: &[String]| {
        for gate in gates {
            inject(&simulator, gate);
        }
        inject(&simulator, "now drop");
        round += 1;
        host.until_gaps_closed(round);
    };

    for (value, least_us) in [("1", SECOND_US), ("date:1", SECOND_US)] {
        let turn = simulator.counters().connects + 1;
        again(&mut host, &[format!("connect={turn} refuse 429 {value}")]);
        assert!(waited_us(&simulator) >= least_us, "upgrade, {value}");
    }

    // the token is refused first, so that there is a login, which is refused twice
    let (connect, login) = (simulator.counters().connects + 1, simulator.counters().logins + 1);
    again(
        &mut host,
        &[
            format!("connect={connect} refuse 401"),
            format!("login={login} refuse 429 1"),
            format!("login={} refuse 429 date:1", login + 1),
        ],
    );
    let refused = truth(&simulator, Kind::Refused);
    let [.., first, second] = refused.as_slice() else {
        panic!("{refused:?}")
    };
    assert_eq!((first.detail.as_deref(), first.code), (Some("login"), Some(429)));
    assert!(second.at_us.unwrap() - first.at_us.unwrap() >= SECOND_US);
    assert!(waited_us(&simulator) >= SECOND_US);

    let turn = simulator.counters().subscriptions + 1;
    again(&mut host, &[format!("subscribe={turn} refuse 429 1")]);
    let subscriptions = simulator.subscriptions();
    let refused = subscriptions
        .iter()
        .position(|subscription| subscription.refused == Some(429))
        .unwrap();
    let waited = subscriptions[refused + 1].at_us - subscriptions[refused].at_us;
    assert!(waited >= SECOND_US, "subscription: {waited} us");
}

#[test]
fn a_server_that_throttles_every_upgrade_is_not_stormed() {
    let simulator = plugin::simulator(|options| {
        options.faults = vec!["connect=1- refuse 429".parse().unwrap()];
    });
    let folder = tempfile::tempdir().unwrap();
    let changes = json!({"reconnect": {"min_ms": 200, "max_ms": 200}});
    let _host = Host::open(&config(&simulator, folder.path(), changes));
    // full jitter below 200 ms is 100 ms on average, so some 20 attempts in 2 s; 60 are nine standard deviations away
    let stormed = simulator.wait_until(Duration::from_secs(2), |counters| counters.connects > 60);
    assert!(!stormed, "more than 60 attempts within 2 s");
    assert!(simulator.counters().connects >= 2, "and it does try again");
    assert_eq!(simulator.counters().logins, 1, "one token serves every attempt");
}

#[test]
fn a_bounded_source_gives_up_after_exactly_so_many_attempts_and_says_why() {
    let simulator = plugin::simulator(|options| {
        options.faults = vec!["connect=1- refuse 503".parse().unwrap()];
    });
    let folder = tempfile::tempdir().unwrap();
    let changes = json!({"reconnect": {"min_ms": 1, "max_ms": 2, "max_attempts": 10}});
    let mut host = Host::open(&config(&simulator, folder.path(), changes));
    let ending = host.ending();
    assert_eq!(ending.status, plugin_abi::status::FAILED);
    assert_eq!(
        ending.message,
        format!(
            "gave up after 10 failed attempts: {} refused the WebSocket with HTTP 503",
            simulator.address()
        )
    );
    assert_eq!(simulator.counters().connects, 10);
}
