//! The independent client `genesys-notifications`: subscribes over the socket, pings, receives, and follows a close.

use serde_json::{Value, json};
use simulator::{Kind, TruthLine};
use support::wait_until;

use crate::scene::{PATIENCE, Scene, interpreter};

const TOPIC: &str = "v2.users.a.presence";

fn notifications(scene: &Scene) -> Vec<TruthLine> {
    let lines = scene.simulator.truth().into_iter();
    lines.filter(|line| line.kind == Kind::Notification).collect()
}

fn frames(lines: &[TruthLine]) -> Vec<Value> {
    let texts = lines.iter().filter_map(|line| line.frame.as_deref());
    texts.map(|text| serde_json::from_str(text).unwrap()).collect()
}

fn says(answer: &Value, line: &str) -> usize {
    let said = answer["said"].as_array().unwrap();
    said.iter().filter(|said| *said == line).count()
}

fn subscribed(scene: &Scene, channels: usize) -> bool {
    let open = scene.simulator.channels();
    open.len() == channels && open.iter().all(|channel| !channel.topics.is_empty())
}

/// Sends numbered bodies to the client of a quiet scene; `middle` is called after half of them. Returns what the client
/// printed. It gives the service one second for each pong: where the machine was too busy for that it has connected again
/// and lost what lay in between, and the scene says nothing of the service.
fn numbered(scene: &Scene, verb: &str, middle: impl FnOnce()) -> Option<Value> {
    let client = scene.script("listen.py", [verb, TOPIC]).start();
    wait_until(PATIENCE, "the client has subscribed", || subscribed(scene, 1));
    (0..50).for_each(|n| scene.simulator.publish(TOPIC, &json!({"n": n})));
    middle();
    (50..100).for_each(|n| scene.simulator.publish(TOPIC, &json!({"n": n})));
    let answer = scene.ended(client, TOPIC);
    (says(&answer, "successfully re-connected the channel") == 0).then_some(answer)
}

/// Plays a scene until the client did not have to connect again by itself.
fn undisturbed(mut play: impl FnMut() -> Option<Value>) -> Value {
    (0..3).find_map(|_| play()).expect("a pong within a second")
}

#[test]
fn the_independent_client_subscribes_pings_and_receives_everything_in_order() {
    if interpreter().is_none() {
        return;
    }
    undisturbed(|| {
        let scene = Scene::start(|options| options.notifications.updates_per_s = 0)?;
        let answer = numbered(&scene, "hear", || {
            wait_until(PATIENCE, "pings of RFC 6455", || {
                scene.simulator.counters().pings > 1
            });
        })?;
        let heard = answer["heard"].as_array().unwrap();
        assert_eq!(heard.len(), 101);
        assert_eq!(heard[..], frames(&notifications(&scene))[..101]);
        assert_eq!(says(&answer, "got health check reply"), 1, "{answer}");
        assert_eq!(says(&answer, "topic subscription successful"), 1, "{answer}");
        Some(answer)
    });
}

#[test]
fn the_independent_client_rolls_over_to_a_new_channel_when_its_own_is_about_to_close() {
    if interpreter().is_none() {
        return;
    }
    let answer = undisturbed(|| {
        let scene = Scene::start(|options| {
            options.notifications.updates_per_s = 0;
            options.faults = vec!["channel=1:50 closing 60000".parse().unwrap()];
        })?;
        numbered(&scene, "follow", || {
            let again = || scene.simulator.channels().len() == 1 && scene.simulator.counters().connects > 1;
            wait_until(PATIENCE, "the client has rolled over, or connected again", || {
                subscribed(&scene, 2) || again()
            });
        })
    });
    assert_eq!((&answer["closing"], &answer["rollovers"]), (&json!(1), &json!(1)));
    let heard = answer["heard"].as_array().unwrap();
    let numbers: Vec<&Value> = heard.iter().map(|frame| &frame["eventBody"]["n"]).collect();
    let expected: Vec<Value> = (0..100).map(Value::from).chain([Value::Null]).collect();
    assert_eq!(numbers, expected.iter().collect::<Vec<_>>());
}

#[test]
fn the_independent_client_is_told_why_it_is_refused() {
    let Some(scene) = Scene::start(|options| {
        options.notifications.updates_per_s = 0;
        options.notifications.topics_per_channel = 1;
    }) else {
        return;
    };
    let created = scene.run("platform_sdk.py", ["channels"]);
    let uri = created["created"][0]["connectUri"].as_str().unwrap();
    let gone = format!("{uri}x");
    let refused = |arguments: &[&str]| scene.run("listen.py", arguments.iter().copied());
    let unknown = refused(&["refuse", &gone, TOPIC]);
    assert_eq!(
        (&unknown["error"], &unknown["reason"]),
        (&json!("InitializationFailure"), &json!("InvalidStatusCode")),
        "{unknown}"
    );
    let too_many = refused(&["refuse", uri, TOPIC, "v2.users.b.presence"]);
    assert_eq!(too_many["error"], "SubscriptionFailure", "{too_many}");
    assert!(
        too_many["message"].as_str().unwrap().contains("at most 1 topics"),
        "{too_many}"
    );
}
