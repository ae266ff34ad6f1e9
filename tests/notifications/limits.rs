//! The platform's limits on lists, topics and channels, and a plan that meets them.

use std::collections::BTreeSet;

use genesys_source::record::Kind;
use serde_json::{Value, json};
use support::host::{Host, inject};
use support::stranger::Stranger;

use crate::proofs::gaps;
use crate::scene::{Scene, topics};

fn until_subscribed(host: &mut Host) {
    host.until("subscribed", |host| {
        host.statistics()["session"]["subscribed"] == Value::Bool(true)
    });
}

#[test]
fn names_and_members_behind_the_first_page_are_found() {
    // Three pages of queues, and three of the members that each queue then has.
    let scene = Scene::quiet(|settings| (settings.queues, settings.users) = (230, 460));
    let queues = scene.simulator.queues();
    let names: Vec<&str> = [0, 120, 229].map(|at| queues[at].name.as_str()).to_vec();
    let mut host = Host::open(&scene.config(&json!({"queues": names})));
    until_subscribed(&mut host);
    let channels = scene.simulator.channels();
    let found: BTreeSet<&String> = channels.iter().flat_map(|channel| &channel.topics).collect();
    let expected: BTreeSet<String> = [0, 120, 229]
        .map(|at: usize| format!("v2.routing.queues.{}.conversations", queues[at].id))
        .into();
    assert_eq!(found, expected.iter().collect());
    // three pages, the channels of the client, the channel and its topics
    assert_eq!(scene.simulator.counters().requests, 6);
    host.drain();

    let scene = Scene::quiet(|settings| (settings.queues, settings.users) = (2, 260));
    let queue = scene.simulator.queues().remove(1).name;
    let mut host = Host::open(&scene.config(&json!({"queues": [queue], "events": ["presence"]})));
    until_subscribed(&mut host);
    let topics: BTreeSet<String> = scene.simulator.channels().remove(0).topics.into_iter().collect();
    let users = scene.simulator.users();
    let expected: BTreeSet<String> = users
        .iter()
        .map(|user| format!("v2.users.{}.presence", user.id))
        .collect();
    assert_eq!(topics, expected);
    host.drain();
}

#[test]
fn topics_over_the_quota_are_left_out_the_last_first_and_the_others_are_listened_to() {
    let scene = Scene::quiet(|_| {});
    let all = topics(2_500);
    let mut host = Host::open(&scene.config(&json!({"topics": all, "max_channels": 2})));
    until_subscribed(&mut host);
    let channels = scene.simulator.channels();
    let sizes: Vec<usize> = channels.iter().map(|channel| channel.topics.len()).collect();
    assert_eq!(sizes, [1_000, 1_000]);
    let subscribed: BTreeSet<&String> = channels.iter().flat_map(|channel| &channel.topics).collect();
    assert_eq!(subscribed, all[..2_000].iter().collect());
    scene.simulator.publish(&all[1_999], &json!({"n": 1}));
    host.until("an event of the last topic", |host| host.count(Kind::Event) == 1);
    let gap = host.of_kind(Kind::Control).next().unwrap().body.clone();
    assert_eq!(gap["cause"], "over_quota");
    // as many as subscription.max_bytes has room for
    let named = gap["topics"].as_array().unwrap();
    let omitted = usize::try_from(gap["topicsOmitted"].as_u64().unwrap()).unwrap();
    assert_eq!(
        (named[0].as_str(), named.len() + omitted),
        (Some(all[2_000].as_str()), 500)
    );
    host.drain();
}

#[test]
fn with_nineteen_channels_the_twentieth_is_the_spare_of_every_handover() {
    let scene = Scene::quiet(|settings| settings.closing_ms = 60_000);
    let all = topics(19_001);
    let mut host = Host::open(&scene.config(&json!({"topics": all})));
    until_subscribed(&mut host);
    let before = scene.simulator.channels();
    assert_eq!(before.len(), 19);
    let kept: usize = before.iter().map(|channel| channel.topics.len()).sum();
    assert_eq!(kept, 19_000, "one is left out, and one channel is free");
    // All at once: each waits for the spare one, and no channel that is listened to is ended to make room.
    for channel in &before {
        inject(&scene.simulator, &format!("channel={} closing", channel.number));
    }
    host.until("nineteen hand-overs", |host| {
        host.statistics()["session"]["handovers_total"] == json!(19)
    });
    let channels = scene.simulator.channels();
    let open: Vec<_> = channels
        .iter()
        .filter(|channel| channel.connection.is_some())
        .collect();
    assert_eq!(open.len(), 19);
    assert!(channels.len() <= 20, "{}", channels.len());
    host.drain();
    let causes: Vec<String> = gaps(&host.records).into_iter().map(|gap| gap.cause).collect();
    assert_eq!(causes, ["over_quota", "stopped"]);
}

#[test]
fn channels_of_others_at_the_limit_give_way_and_one_of_them_that_takes_ours_is_followed_by_a_new_one() {
    let scene = Scene::quiet(|_| {});
    let stranger = Stranger::log_in(&scene.simulator);
    for _ in 0..20 {
        stranger.create_channel();
    }
    let topic = topics(1).remove(0);
    let mut host = Host::open(&scene.config(&json!({"topics": [topic]})));
    until_subscribed(&mut host);
    let channels = scene.simulator.channels();
    assert_eq!(channels.len(), 20, "the oldest of the others is gone");
    let own = channels
        .iter()
        .find(|channel| channel.connection.is_some())
        .unwrap()
        .number;
    // As many more as there may be: only those without a listener go.
    for _ in 0..20 {
        stranger.create_channel();
    }
    assert!(
        scene
            .simulator
            .channels()
            .iter()
            .any(|channel| channel.number == own && channel.connection.is_some())
    );
    scene.simulator.publish(&topic, &json!({"n": 1}));
    host.until("an event", |host| host.count(Kind::Event) == 1);
    inject(&scene.simulator, &format!("channel={own} steal"));
    host.until("a new channel", |host| {
        let open = scene.simulator.channels().into_iter().any(|channel| {
            channel.connection.is_some() && channel.number != own && !channel.topics.is_empty()
        });
        open && host.count(Kind::Control) == 2
    });
    scene.simulator.publish(&topic, &json!({"n": 2}));
    host.until("another event", |host| host.count(Kind::Event) == 2);
    host.drain();
}
