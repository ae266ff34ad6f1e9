//! Many topics over several channels: what happens to one of them is nothing to the others.

use std::collections::BTreeSet;
use std::time::Instant;

use serde_json::{Value, json};
use simulator::{ChannelView, Kind, Simulator};
use support::drill::tell;
use support::host::{Host, inject, truth};

use crate::handovers::pace;
use crate::proofs::{frames, gaps, reconcile};
use crate::scene::{PATIENCE, Scene, topics};

/// Topics of each channel that are published on; a gap names as many of its first ones, in order.
const BUSY: usize = 5;

/// How often topics were asked for on a channel.
fn requests(simulator: &Simulator, channel: &str) -> usize {
    let lines = truth(simulator, Kind::Subscribed);
    let own = lines
        .iter()
        .filter(|line| line.channel.as_deref() == Some(channel));
    own.count()
}

fn open(simulator: &Simulator) -> Vec<ChannelView> {
    let channels = simulator.channels().into_iter();
    channels.filter(|channel| channel.connection.is_some()).collect()
}

#[test]
fn of_2500_topics_on_three_channels_those_of_a_channel_that_is_killed_are_concerned_and_no_others() {
    let scene = Scene::quiet(|_| {});
    let simulator = &scene.simulator;
    let mut host = Host::open(&scene.config(&json!({"topics": topics(2_500)})));
    let is_subscribed = |host: &Host| host.statistics()["session"]["subscribed"] == Value::Bool(true);
    host.until("subscribed", is_subscribed);
    let busy: Vec<String> = open(simulator)
        .iter()
        .flat_map(|channel| channel.topics.iter().take(BUSY).cloned())
        .collect();
    assert_eq!(busy.len(), 3 * BUSY);
    let mut number = 0;
    let mut publish = |host: &mut Host, mut is_enough: Box<dyn FnMut(&Host) -> bool + '_>| {
        let begun = Instant::now();
        while !is_enough(host) {
            assert!(begun.elapsed() < PATIENCE, "{}", host.source.statistics());
            for topic in &busy {
                number += 1;
                simulator.publish(topic, &json!({"n": number}));
            }
            pace(host);
        }
    };
    for (place, failure) in ["drop", "expire", "steal"].into_iter().enumerate() {
        let before = open(simulator);
        assert_eq!(before.len(), 3);
        let victim = before[place].clone();
        let others: Vec<&ChannelView> = before
            .iter()
            .filter(|channel| channel.number != victim.number)
            .collect();
        let asked: Vec<usize> = others
            .iter()
            .map(|channel| requests(simulator, &channel.id))
            .collect();
        let looked_at = host.records.len();
        let fault = format!("channel={}:{} {failure}", victim.number, victim.sent + 7);
        inject(simulator, &fault);
        publish(
            &mut host,
            Box::new(move |host| {
                let found = gaps(&host.records[looked_at..]);
                is_subscribed(host) && found.first().is_some_and(|gap| gap.is_closed())
            }),
        );
        let found = gaps(&host.records[looked_at..]);
        let [gap] = &found[..] else {
            panic!("{failure}: {found:#?}");
        };
        let concerned: BTreeSet<&String> = victim.topics.iter().collect();
        assert!(gap.topics.iter().all(|topic| concerned.contains(topic)));
        assert_eq!(
            gap.topics.len() + gap.topics_omitted,
            victim.topics.len(),
            "{failure}"
        );
        let after = open(simulator);
        for (other, asked) in others.into_iter().zip(asked) {
            let same = after.iter().find(|channel| channel.id == other.id).unwrap();
            assert_eq!(
                (same.connection, &same.topics),
                (other.connection, &other.topics),
                "{failure}"
            );
            assert_eq!(requests(simulator, &other.id), asked, "{failure}");
        }
        let back: BTreeSet<&String> = after.iter().flat_map(|channel| &channel.topics).collect();
        assert_eq!(
            back.len(),
            2_500,
            "{failure}: every topic is on a channel that is listened to"
        );
    }
    let sent = scene.simulator.counters().notifications_sent;
    publish(
        &mut host,
        Box::new(move |_| simulator.counters().notifications_sent > sent + 100),
    );
    host.drain();
    let outcome = reconcile(&host, simulator, &[]);
    tell(&format!(
        "three channels of 2500 topics killed one after the other: {} events sent to an open socket, {} while nobody listened \
         on the killed one, {} lost inside its gaps, {} repeated",
        outcome.sent, outcome.unheard, outcome.lost_in_gaps, outcome.repeated
    ));
    assert_eq!((outcome.repeated, frames(&host, "law")), (0, 0));
}
