//! Planned ends of channels under load: nothing is lost, nothing comes twice uncounted, and no gap is recorded.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use simulator::Simulator;
use support::host::{Host, inject};

use crate::proofs::{frames, gaps, reconcile};
use crate::scene::{PATIENCE, Scene, topics};

/// Time between two publications on all topics.
pub(crate) const PACE: Duration = Duration::from_millis(20);

/// Pulls until it is time for the next publication.
pub(crate) fn pace(host: &mut Host) {
    let begun = Instant::now();
    while begun.elapsed() < PACE {
        host.pull();
    }
}

/// Publishes on each topic in turn while the source is pulled, until `is_enough`; returns how many.
pub(crate) fn load(
    host: &mut Host,
    simulator: &Simulator,
    topics: &[String],
    mut is_enough: impl FnMut(&Host) -> bool,
) -> i64 {
    let begun = Instant::now();
    let mut number = 0;
    while !is_enough(host) {
        assert!(
            begun.elapsed() < PATIENCE,
            "not enough: {}",
            host.source.statistics()
        );
        for topic in topics {
            number += 1;
            simulator.publish(
                topic,
                &json!({"id": "00000000-0000-4000-8000-00000000000a", "n": number}),
            );
        }
        pace(host);
    }
    number
}

fn session(host: &Host, name: &str) -> u64 {
    host.statistics()["session"][name].as_u64().unwrap()
}

fn handovers(host: &Host) -> u64 {
    session(host, "handovers_total")
}

/// Pulls until everything that was published has come; a frame that both channels have is sent twice.
pub(crate) fn settle(host: &mut Host, published: i64) {
    host.until("everything that was published", |host| {
        frames(host, "events") >= published
    });
}

#[test]
fn a_hundred_planned_handovers_under_load_lose_nothing_repeat_nothing_and_leave_no_gap() {
    let scene = Scene::quiet(|settings| settings.channel_life_ms = 3_600);
    let all = topics(4_200);
    let mut host = Host::open(&scene.config(&json!({"topics": all})));
    host.until("every channel is subscribed", |host| {
        host.statistics()["session"]["subscribed"] == Value::Bool(true)
    });
    // Some of each channel.
    let busy: Vec<String> = all.iter().step_by(150).cloned().collect();
    let published = load(&mut host, &scene.simulator, &busy, |host| handovers(host) >= 100);
    settle(&mut host, published);
    host.drain();
    let outcome = reconcile(&host, &scene.simulator, &[]);
    let causes: Vec<String> = gaps(&host.records).into_iter().map(|gap| gap.cause).collect();
    assert_eq!(causes, ["stopped"], "{}", host.statistics()["session"]);
    assert_eq!((outcome.lost_in_gaps, outcome.repeated), (0, 0), "of {published}");
    assert_eq!(i64::try_from(outcome.sent).unwrap(), published);
    assert_eq!(frames(&host, "handover_ambiguous"), 0);
    assert_eq!(frames(&host, "law"), 0);
    assert!(frames(&host, "subtracted") > 0);
    println!(
        "{} planned hand-overs, {published} events, {} frames subtracted, none lost, none repeated",
        handovers(&host),
        frames(&host, "subtracted")
    );
}

#[test]
fn a_warning_of_maintenance_costs_nothing() {
    let scene = Scene::quiet(|settings| settings.closing_ms = 2_000);
    let all = topics(3);
    let mut host = Host::open(&scene.config(&json!({"topics": all})));
    host.until("subscribed", |host| {
        host.statistics()["session"]["subscribed"] == Value::Bool(true)
    });
    inject(&scene.simulator, "notified=50 closing");
    let published = load(&mut host, &scene.simulator, &all, |host| {
        handovers(host) >= 1 && scene.simulator.counters().closed >= 1
    });
    settle(&mut host, published);
    host.drain();
    let outcome = reconcile(&host, &scene.simulator, &[]);
    assert_eq!(
        (outcome.lost_in_gaps, outcome.repeated),
        (0, 0),
        "{}",
        host.statistics()
    );
    assert_eq!(gaps(&host.records).len(), 1, "only that of the stop");
}
