//! The token and the clock under a source that listens: expiry, a throttled login, and a machine whose clock is wrong.

use genesys_source::record::Kind;
use serde_json::{Value, json};
use support::host::Host;

use crate::handovers::{load, settle};
use crate::proofs::{frames, gaps, reconcile};
use crate::scene::{Scene, topics};

fn until_subscribed(host: &mut Host) {
    host.until("subscribed", |host| {
        host.statistics()["session"]["subscribed"] == Value::Bool(true)
    });
}

fn session(host: &Host, name: &str) -> u64 {
    host.statistics()["session"][name].as_u64().unwrap()
}

#[test]
fn a_channel_is_handed_over_before_its_token_expires_and_nothing_is_lost() {
    // As short as it may be for a renewal a minute after the channel was made, the earliest that there is.
    let scene = Scene::with(|options| {
        options.expires_in_s = 63;
        options.notifications.updates_per_s = 0;
    });
    let all = topics(3);
    let mut host = Host::open(&scene.config(&json!({"topics": all})));
    until_subscribed(&mut host);
    let first = scene.simulator.channels().remove(0).number;
    let published = load(&mut host, &scene.simulator, &all, |_| {
        // The end of the old token, with which the old channel goes.
        scene
            .simulator
            .channels()
            .iter()
            .all(|channel| channel.number != first)
    });
    settle(&mut host, published);
    host.drain();
    let outcome = reconcile(&host, &scene.simulator, &[]);
    assert_eq!(
        (outcome.unheard, outcome.lost_in_gaps, outcome.repeated),
        (0, 0, 0)
    );
    let causes: Vec<String> = gaps(&host.records).into_iter().map(|gap| gap.cause).collect();
    assert_eq!(causes, ["stopped"]);
    assert_eq!((frames(&host, "law"), scene.simulator.counters().logins), (0, 2));
}

#[test]
fn tokens_that_live_for_seconds_make_no_storm_and_what_they_cost_names_them() {
    let scene = Scene::with(|options| {
        options.expires_in_s = 4;
        options.notifications.updates_per_s = 0;
    });
    let all = topics(3);
    let mut config = scene.config(&json!({"topics": all}));
    // Nothing is silent here: only a token's end may end a channel, however busy the machine is.
    config["keep_alive"]["silence_ms"] = json!(35_000);
    let mut host = Host::open(&config);
    until_subscribed(&mut host);
    load(&mut host, &scene.simulator, &all, |_| {
        scene.simulator.counters().channels_created >= 5
    });
    host.drain();
    reconcile(&host, &scene.simulator, &[]);
    let mut found = gaps(&host.records);
    assert_eq!(found.pop().map(|gap| gap.cause).as_deref(), Some("stopped"));
    // The hand-over begins with the end of the token, so either may be first.
    assert!(found.iter().all(|gap| gap.cause == "token_revoked"), "{found:#?}");
    let counters = scene.simulator.counters();
    // A token lives shorter than the set-up of a channel may take, so that each attempt logs in; and an end costs two of
    // them where the old channel is lost while its successor is asked for.
    assert!(counters.logins <= 2 * counters.channels_created, "{counters:?}");
    assert!(counters.requests <= 3 * counters.channels_created, "{counters:?}");
}

#[test]
fn a_login_that_is_throttled_is_waited_for_as_it_asks() {
    let scene = Scene::with(|options| {
        options.faults = vec!["login=1-2 refuse 429 1".parse().unwrap()];
        options.notifications.updates_per_s = 0;
    });
    let topic = topics(1).remove(0);
    let mut host = Host::open(&scene.config(&json!({"topics": [topic]})));
    until_subscribed(&mut host);
    scene.simulator.publish(&topic, &json!({"n": 1}));
    host.until("an event", |host| host.count(Kind::Event) == 1);
    host.drain();
    assert_eq!(scene.simulator.counters().logins, 3);
}

#[test]
fn a_clock_that_is_wrong_by_ten_minutes_shortens_no_channel_and_costs_nothing() {
    for ahead_ms in [600_000, -600_000] {
        let scene = Scene::with(|options| {
            options.clock_ahead_ms = ahead_ms;
            options.notifications.updates_per_s = 0;
            options.notifications.channel_life_ms = 4_000;
        });
        let all = topics(3);
        let mut host = Host::open(&scene.config(&json!({"topics": all})));
        until_subscribed(&mut host);
        let published = load(&mut host, &scene.simulator, &all, |host| {
            session(host, "handovers_total") >= 3
        });
        settle(&mut host, published);
        host.drain();
        let outcome = reconcile(&host, &scene.simulator, &[]);
        assert_eq!(
            (outcome.unheard, outcome.lost_in_gaps, outcome.repeated),
            (0, 0, 0)
        );
        assert_eq!(gaps(&host.records).len(), 1, "{ahead_ms}: only that of the stop");
        // One channel, three successors, and perhaps one that was being made.
        let made = scene.simulator.counters().channels_created;
        assert!((4..=5).contains(&made), "{ahead_ms}: {made} channels");
    }
}
