//! Channels over their life: asked about when they fail in silence, let go without topics, and those that a run leaves behind.

use genesys_source::record::Kind;
use serde_json::{Value, json};
use simulator::ChannelView;
use support::host::{Host, inject};

use crate::proofs::{frames, gaps};
use crate::scene::{Scene, topics};

fn session(host: &Host, name: &str) -> Value {
    host.statistics()["session"][name].clone()
}

fn until_subscribed(host: &mut Host) {
    host.until("subscribed", |host| {
        session(host, "subscribed") == Value::Bool(true)
    });
}

fn causes(host: &Host) -> Vec<String> {
    gaps(&host.records).into_iter().map(|gap| gap.cause).collect()
}

/// The channels with an open socket.
fn open(scene: &Scene) -> Vec<ChannelView> {
    let channels = scene.simulator.channels().into_iter();
    channels.filter(|channel| channel.connection.is_some()).collect()
}

#[test]
fn a_channel_that_is_gone_and_does_not_say_so_is_found_out_after_two_attempts() {
    let scene = Scene::quiet(|_| {});
    let topic = topics(1).remove(0);
    let mut host = Host::open(&scene.config(&json!({"topics": [topic]})));
    until_subscribed(&mut host);
    // Whoever connects it hears of a failure, and not of its end, until a new one comes.
    inject(&scene.simulator, "connect=2-3 refuse 500");
    inject(&scene.simulator, "channel=1 expire");
    let before = scene.simulator.counters().requests;
    host.until("a new channel", |host| {
        session(host, "connects_total") == json!(2) && session(host, "subscribed") == Value::Bool(true)
    });
    // the loss, and the two attempts that it takes to ask
    assert_eq!(session(&host, "failed_attempts_total"), json!(3));
    // the question, the channel, its topics
    assert_eq!(scene.simulator.counters().requests - before, 3);
    scene.simulator.publish(&topic, &json!({"n": 1}));
    host.until("an event", |host| host.count(Kind::Event) == 1);
    host.drain();
    assert_eq!(causes(&host), ["reconnect", "stopped"]);
}

#[test]
fn a_channel_that_a_change_leaves_without_topics_is_let_go_and_taken_again() {
    let scene = Scene::quiet(|settings| (settings.queues, settings.users) = (1, 1));
    let (queue, fixed) = (scene.simulator.queues().remove(0), topics(1_000));
    let member = format!("v2.users.{}.presence", scene.simulator.users()[0].id);
    let mut host = Host::open(&scene.config(&json!({
        "topics": fixed, "queues": [queue.name], "events": ["presence"], "refresh_ms": 300,
    })));
    until_subscribed(&mut host);
    let all = open(&scene);
    let of_member = all.iter().find(|channel| channel.topics == [member.as_str()]);
    let (count, of_member) = (all.len(), of_member.unwrap().number);
    assert_eq!(count, 2);
    assert!(scene.simulator.set_member(0, 0, false));
    host.until("one socket is left", |_| open(&scene).len() == 1);
    let left = scene.simulator.channels();
    let emptied = left.iter().find(|channel| channel.number == of_member).unwrap();
    assert_eq!(emptied.topics, [""; 0], "its topics were taken off first");
    host.until("nothing is missing", |host| {
        session(host, "subscribed") == Value::Bool(true)
    });
    assert!(scene.simulator.set_member(0, 0, true));
    host.until("the topic is back", |_| {
        open(&scene)
            .iter()
            .any(|channel| channel.topics == [member.as_str()])
    });
    scene.simulator.publish(&member, &json!({"n": 1}));
    scene.simulator.publish(&fixed[999], &json!({"n": 2}));
    host.until("both events", |host| host.count(Kind::Event) == 2);
    assert_eq!(
        scene.simulator.channels().len(),
        2,
        "on the channel that was there"
    );
    host.drain();
    assert_eq!(causes(&host), ["stopped"]);
    assert_eq!(frames(&host, "law"), 0);
}

#[test]
fn a_run_is_not_kept_from_starting_by_the_channels_that_the_one_before_has_left() {
    let scene = Scene::quiet(|_| {});
    let all = topics(10_001);
    let config = scene.config(&json!({"topics": all}));
    for run in 1..=3 {
        let mut host = Host::open(&config);
        until_subscribed(&mut host);
        let open = open(&scene);
        let subscribed: usize = open.iter().map(|channel| channel.topics.len()).sum();
        assert_eq!((open.len(), subscribed), (11, 10_001), "run {run}");
        scene.simulator.publish(&all[10_000], &json!({"run": run}));
        host.until("an event", |host| host.count(Kind::Event) == 1);
        // gone without a word, as after a kill: nothing tells the service that its channels are needed no more
    }
    assert_eq!(scene.simulator.channels().len(), 20);
}

#[test]
fn a_permission_that_is_granted_is_noticed_without_a_change_of_topics_or_connection() {
    let wanted = topics(2);
    let scene = Scene::quiet(|settings| settings.forbidden_topics = vec![wanted[1].clone()]);
    let mut host = Host::open(&scene.config(&json!({"topics": wanted, "refresh_ms": 500})));
    until_subscribed(&mut host);
    host.until("the gap of the topic", |host| host.count(Kind::Control) == 1);
    assert!(scene.simulator.grant(&wanted[1]));
    host.until("its end", |host| host.count(Kind::Control) == 2);
    scene.simulator.publish(&wanted[1], &json!({"n": 1}));
    host.until("its event", |host| host.count(Kind::Event) == 1);
    assert_eq!(session(&host, "connects_total"), json!(1));
    host.drain();
    assert_eq!(causes(&host), ["topic_rejected", "stopped"]);
    let gap = &gaps(&host.records)[0];
    assert_eq!(gap.topics, wanted[1..]);
    let counters = scene.simulator.counters();
    assert_eq!((counters.throttled, counters.early), (0, 0));
}
