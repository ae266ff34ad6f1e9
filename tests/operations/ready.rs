//! Readiness over the life of a run: each part that can hold it up does, and alone.

use nix::sys::signal::Signal;
use serde_json::json;
use simulator::Options;
use support::{Mock, Receiver, Reply, Topics, free_port, rig, wait_until};

use crate::DEADLINE;
use support::probe::{self, ask, readiness, wait_for_reason, wait_until_ready};

/// Exit code of a process that a second SIGTERM ended.
const EXIT_SECOND_SIGNAL: i32 = 143;

fn paced() -> Options {
    Options {
        rate: 100,
        conversations: 20,
        ..Options::default()
    }
}

/// A rig that delivers to a receiver by an address that is half a secret.
fn to_webhook(receiver: &Receiver) -> support::Rig {
    probe::rig(paced())
        .set("delivery.to", "webhook")
        .set("webhook.url", receiver.url("/hook/path-secret?key=query-secret"))
        .set("webhook.allow_private", true)
}

#[test]
fn a_run_is_ready_once_it_is_subscribed() {
    let options = Options {
        faults: vec!["connect=1-100 refuse 503".parse().unwrap()],
        ..paced()
    };
    let rig = probe::rig(options)
        .set("delivery.to", "lines")
        .set("source.config.reconnect.min_ms", 50);
    let mut adapter = rig.start();
    let address = probe::address(&mut adapter);
    let reason = wait_for_reason(address, "source");
    assert!(
        [
            "not subscribed: connecting",
            "not subscribed: disconnected",
            "not subscribed: subscribing"
        ]
        .contains(&reason.as_str()),
        "{reason}"
    );
    assert_eq!(ask(address, "GET", "/healthz").body, "{\"alive\":true}\n");
    wait_until_ready(address);
    assert_eq!(rig.simulator().counters().open, 1);
    assert_eq!(readiness(address).1, json!({"ready": true, "reasons": []}));
    assert_eq!(rig::stop(&mut adapter, DEADLINE).code, Some(0));
}

#[test]
fn a_webhook_that_takes_nothing_is_the_reason_and_its_path_is_not_told() {
    let receiver = Receiver::start(|_| Reply::Status(200));
    let rig = to_webhook(&receiver);
    let mut adapter = rig.start();
    let address = probe::address(&mut adapter);
    for (status, mend) in [
        (404, "check the path of webhook.url"),
        (503, "its receiver knows why: see its log"),
    ] {
        wait_until_ready(address);
        receiver.script(move |_| Reply::Status(status));
        let reason = wait_for_reason(address, "sink");
        assert_eq!(
            reason,
            format!("http://{} answered {status} ({mend})", receiver.address())
        );
        assert_eq!(ask(address, "GET", "/healthz").status, 200);
        receiver.script(|_| Reply::Status(200));
    }
    wait_until_ready(address);
    assert_eq!(rig::stop(&mut adapter, DEADLINE).code, Some(0));
}

#[test]
fn brokers_that_are_away_are_the_reason_until_one_is_back_also_while_nothing_is_sent() {
    let idle = Options {
        events: Some(10),
        rate: 0,
        ..Options::default()
    };
    for options in [paced(), idle] {
        let topics = Topics::unique();
        let mock = Mock::start(&topics.names().map(|name| (name, 2)));
        let rig = probe::rig(options).with_kafka(mock.bootstrap_servers(), &topics);
        let mut adapter = rig.start();
        let address = probe::address(&mut adapter);
        wait_until_ready(address);
        rig::wait_for_metrics(&mut adapter, DEADLINE, "some are delivered", |line| {
            line.number("resolved") >= 10
        });
        mock.broker_down(1);
        let reason = wait_for_reason(address, "sink");
        assert_eq!(
            reason,
            format!("no broker of {} can be reached", mock.bootstrap_servers())
        );
        mock.broker_up(1);
        wait_until_ready(address);
        assert_eq!(rig::stop(&mut adapter, DEADLINE).code, Some(0));
    }
}

#[test]
fn a_run_that_waits_for_its_brokers_is_alive_but_not_ready_and_stops_when_it_is_told() {
    let servers = format!("127.0.0.1:{}", free_port());
    let rig = probe::rig(paced())
        .with_kafka(&servers, &Topics::unique())
        .set("kafka.start_timeout_ms", 600_000);
    let mut adapter = rig.start();
    let address = probe::address(&mut adapter);
    assert_eq!(
        readiness(address).1,
        json!({"ready": false, "reasons": [{"part": "run", "reason": "starting"}]})
    );
    assert_eq!(ask(address, "GET", "/healthz").status, 200);
    // with nothing read yet there is nothing to drain
    let ended = rig::stop(&mut adapter, DEADLINE);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr.join("\n"));
    assert_eq!(
        ended.lines_with("stopped before the destination was there, nothing was read"),
        1,
        "{}",
        ended.stderr.join("\n")
    );
}

#[test]
fn records_that_wait_for_too_long_are_the_reason_if_there_is_a_limit() {
    let receiver = Receiver::start(|_| Reply::Silence);
    let silent = || to_webhook(&receiver).set("webhook.timeout_ms", 60_000);
    let rig = silent().set("operations.max_lag_ms", 300);
    let mut adapter = rig.start();
    let reason = wait_for_reason(probe::address(&mut adapter), "lag");
    let age_ms = reason
        .strip_prefix("the oldest unresolved record is ")
        .and_then(|rest| rest.strip_suffix(" ms old, over operations.max_lag_ms = 300"))
        .unwrap_or_else(|| panic!("{reason}"));
    assert!(age_ms.parse::<u64>().unwrap() > 300, "{reason}");
    drop(adapter);

    let seen = receiver.count();
    let rig = silent().set("operations.max_lag_ms", 0);
    let mut adapter = rig.start();
    let address = probe::address(&mut adapter);
    wait_until_ready(address);
    wait_until(DEADLINE, "records wait", || receiver.count() > seen);
    assert_eq!(readiness(address).0, 200);
}

#[test]
fn a_run_that_drains_is_alive_but_not_ready() {
    let receiver = Receiver::start(|_| Reply::Silence);
    let rig = to_webhook(&receiver)
        .set("webhook.timeout_ms", 60_000)
        .set("delivery.drain_ms", 600_000);
    let mut adapter = rig.start();
    let address = probe::address(&mut adapter);
    wait_until_ready(address);
    wait_until(DEADLINE, "requests are in flight", || receiver.count() > 0);
    adapter.signal(Signal::SIGTERM);
    wait_until(DEADLINE, "the run says that it drains", || {
        let reasons = &readiness(address).1["reasons"];
        reasons[0] == json!({"part": "run", "reason": "draining"})
    });
    assert_eq!(ask(address, "GET", "/healthz").status, 200);
    adapter.signal(Signal::SIGTERM);
    assert_eq!(
        rig::wait_for_end(&mut adapter, DEADLINE).code,
        Some(EXIT_SECOND_SIGNAL)
    );
}
