//! Unplanned ends of channels: what was sent to an open socket is delivered or lies in a gap that says why.

use std::time::Instant;

use serde_json::{Value, json};
use support::host::{Host, inject};

use crate::handovers::pace;
use crate::proofs::{frames, gaps, reconcile};
use crate::scene::{PATIENCE, Scene, topics};

/// How a channel fails, as a fault of the simulator.
const FAILURES: [&str; 8] = [
    "close 1001 going-away",
    "drop",
    "reset",
    "silence 8000",
    "freeze",
    "steal",
    "expire",
    "revoke",
];

#[test]
fn unplanned_failures_of_every_kind_lose_nothing_outside_gaps_and_make_no_storm() {
    let scene = Scene::quiet(|_| {});
    let all = topics(40);
    let mut host = Host::open(&scene.config(&json!({"topics": all})));
    let is_subscribed = |host: &Host| host.statistics()["session"]["subscribed"] == Value::Bool(true);
    host.until("subscribed", is_subscribed);
    let mut number = 0;
    for round in 0..2 {
        for failure in FAILURES {
            let before = host.statistics()["session"]["connects_total"].as_u64().unwrap();
            let channels = scene.simulator.channels();
            let present = channels
                .iter()
                .rfind(|channel| channel.connection.is_some())
                .unwrap();
            let (number_of, after) = (present.number, present.sent + 100);
            inject(
                &scene.simulator,
                &format!("channel={number_of}:{after} {failure}"),
            );
            let begun = Instant::now();
            let is_back = |host: &Host| {
                is_subscribed(host)
                    && host.statistics()["session"]["connects_total"].as_u64().unwrap() > before
            };
            while !is_back(&host) {
                assert!(
                    begun.elapsed() < PATIENCE,
                    "{round} {failure}: {}",
                    host.source.statistics()
                );
                for topic in &all {
                    number += 1;
                    scene.simulator.publish(
                        topic,
                        &json!({"id": "00000000-0000-4000-8000-00000000000a", "n": number}),
                    );
                }
                pace(&mut host);
            }
        }
    }
    host.drain();
    let outcome = reconcile(&host, &scene.simulator);
    let gaps = gaps(&host.records);
    println!(
        "{} failures, {} gaps, {} events sent to an open socket, {} of them lost inside gaps, {} repeated",
        2 * FAILURES.len(),
        gaps.len(),
        outcome.sent,
        outcome.lost_in_gaps,
        outcome.repeated
    );
    assert!(gaps.len() >= 2 * FAILURES.len() - 2, "{gaps:#?}");
    assert!(gaps.iter().any(|gap| gap.cause == "token_revoked"), "{gaps:#?}");
    assert_eq!(frames(&host, "law"), 0);
    let counters = scene.simulator.counters();
    assert_eq!(counters.throttled, 0);
    assert!(counters.requests < 300, "{counters:?}");
    assert!(
        host.statistics()["session"]["gaps_open"] == json!(1),
        "the stop's"
    );
}
