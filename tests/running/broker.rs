//! A broker that is gone, and a topic that is.

use std::collections::HashMap;

use support::rig;
use support::{Broker, Mock, Rig, Topics};

use crate::scene::{Scene, Stopped, prompt, recorded, traffic};

const UNREACHABLE: &str =
    "WARN destination unreachable, the source is slowed down reason=\"no broker of HOST can be reached\"";
const REACHABLE: &str = "INFO destination reachable again";
const BLOCKED: &str = "ERROR deliveries are blocked, the commit halts; they are repeated until they succeed reason=\"topic \
                       TOPIC: UNKNOWN; create the topic again, with its partitions\" in_flight=N";
const UNBLOCKED: &str = "INFO deliveries go on held=N blocked_ms=N";

fn rig(bootstrap_servers: &str, topics: &Topics) -> Rig {
    prompt(traffic())
        .with_kafka(bootstrap_servers, topics)
        // how long librdkafka waits for a topic that it cannot see before it says so, 30 s by default
        .set("kafka.librdkafka.\"topic.metadata.propagation.max.ms\"", 300)
}

/// The lines with `UNKNOWN` for what librdkafka calls a topic that is gone, which depends on what it noticed first.
fn without_code(told: Vec<String>) -> Vec<String> {
    let codes = [
        "UnknownTopic (Local: Unknown topic)",
        "UnknownPartition (Local: Unknown partition)",
        "UnknownTopicOrPartition (Broker: Unknown topic or partition)",
    ];
    let line = |line: String| {
        codes
            .iter()
            .fold(line, |line, code| line.replace(code, "UNKNOWN"))
    };
    told.into_iter().map(line).collect()
}

/// Each event that was sent to the adapter lies in the topic, in order, none of them as a dead letter.
fn assert_all_there(broker: &Broker, topics: &Topics, stopped: &Stopped) {
    let events = topics.read_events(broker.bootstrap_servers());
    assert_eq!(events.len() as i64, stopped.ended.count("/events"));
    let mut last = HashMap::new();
    for event in &events {
        let before = last.insert(event.conversation().to_owned(), event.ordinal());
        assert!(
            before < Some(event.ordinal()),
            "{}: {before:?}",
            event.conversation()
        );
    }
    for none in [
        "/deadLetters",
        "/lastResort",
        "/refused",
        "/orderExceptions",
        "/totalDropped",
    ] {
        assert_eq!(stopped.ended.count(none), 0, "{none}");
    }
    let control = topics.read_control(broker.bootstrap_servers());
    assert_eq!(recorded(&control), []);
}

#[test]
fn a_broker_that_is_gone_and_comes_back_is_told_twice_and_costs_nothing() {
    let Some(broker) = Broker::own() else { return };
    let topics = Topics::create(&broker, 2);
    let rig = rig(broker.bootstrap_servers(), &topics);
    let mut scene = Scene::start(&rig);
    broker.kill();
    scene.wait_for("destination unreachable");
    // long enough for several attempts: they are 200 ms apart at most
    scene.for_metrics_lines(10);
    assert_eq!(scene.told(), [UNREACHABLE]);
    assert_eq!(scene.not_ready("sink"), "no broker of HOST can be reached");
    broker.restart();
    scene.wait_for("destination reachable again");
    scene.ready();
    scene.until_delivering();
    assert_eq!(scene.told(), [UNREACHABLE, REACHABLE]);
    let stopped = scene.stop();
    stopped.assert_ended_well("broker");
    assert_all_there(&broker, &topics, &stopped);
}

#[test]
fn a_stop_without_a_broker_ends_in_its_time_and_owns_up() {
    let topics = Topics::unique();
    let mock = Mock::start(&topics.names().map(|name| (name, 2)));
    let rig = rig(mock.bootstrap_servers(), &topics);
    let mut scene = Scene::start(&rig);
    mock.broker_down(1);
    scene.until_told("destination unreachable");
    let stopped = scene.stop();
    stopped.assert_left_behind("broker");
    assert_eq!(stopped.told, [UNREACHABLE]);
}

#[test]
fn records_for_a_deleted_topic_are_held_until_it_is_back_and_none_is_a_dead_letter() {
    let Some(broker) = Broker::shared() else { return };
    let topics = Topics::create(broker, 2);
    let rig = rig(broker.bootstrap_servers(), &topics);
    let mut scene = Scene::start(&rig);
    broker.delete_topic(&topics.events);
    scene.wait_for("deliveries are blocked");
    // the pauses between attempts are 100, 200, 400 and 800 ms
    scene.for_metrics_lines(10);
    let blocked = BLOCKED.replace("TOPIC", &topics.events);
    assert_eq!(without_code(scene.told()), [blocked.as_str()]);
    let reason = scene.not_ready("sink");
    assert!(
        reason.starts_with(&format!("topic {}: ", topics.events))
            && reason.ends_with("; create the topic again, with its partitions"),
        "{reason}"
    );
    let before = rig::metrics(&scene.adapter).last().unwrap().number("resolved");
    broker.create_topic(&topics.events, 2, &[]);
    scene.wait_for("deliveries go on");
    scene.ready();
    scene.until_delivering();
    assert_eq!(without_code(scene.told()), [blocked.as_str(), UNBLOCKED]);
    let stopped = scene.stop();
    stopped.assert_ended_well("topic");
    // what was delivered before went with the topic
    let events = topics.read_events(broker.bootstrap_servers());
    let delivered = stopped.ended.count("/events");
    assert!(
        events.len() as i64 >= delivered - before - 1 && (events.len() as i64) < delivered,
        "{} of {delivered}, {before} before",
        events.len()
    );
    for none in [
        "/deadLetters",
        "/lastResort",
        "/refused",
        "/orderExceptions",
        "/totalDropped",
    ] {
        assert_eq!(stopped.ended.count(none), 0, "{none}");
    }
    assert!(stopped.ended.count("/resent") > 0);
    assert_eq!(recorded(&topics.read_control(broker.bootstrap_servers())), []);
}

#[test]
fn a_stop_without_the_topic_ends_in_its_time_and_owns_up() {
    let Some(broker) = Broker::shared() else { return };
    let topics = Topics::create(broker, 2);
    let rig = rig(broker.bootstrap_servers(), &topics);
    let mut scene = Scene::start(&rig);
    broker.delete_topic(&topics.events);
    scene.until_told("deliveries are blocked");
    let stopped = scene.stop();
    stopped.assert_left_behind("topic");
    assert_eq!(
        without_code(stopped.told),
        [BLOCKED.replace("TOPIC", &topics.events)]
    );
}
