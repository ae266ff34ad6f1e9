//! Unplanned ends of channels: what was sent to an open socket is delivered or lies in a gap that says why.

use std::collections::BTreeMap;
use std::time::Instant;

use genesys_source::record::Kind;
use serde_json::{Value, json};
use simulator::Simulator;
use support::drill::{Chance, tell};
use support::gap::Gap;
use support::host::{Host, Pulled, inject};

use crate::failures::{Failure, bring_about, draw};
use crate::handovers::pace;
use crate::proofs::{frames, gaps, reconcile};
use crate::scene::{PATIENCE, Scene, topics};

/// Failures, the last of them one that does not end.
const FAILURES: usize = 100;

/// What the API asks to wait for at the end: longer than any client that retries inside a call would.
const LONG_RETRY_AFTER_S: u64 = 900;

fn is_subscribed(host: &Host) -> bool {
    host.statistics()["session"]["subscribed"] == Value::Bool(true)
}

fn connects(host: &Host) -> u64 {
    host.statistics()["session"]["connects_total"].as_u64().unwrap()
}

/// Says whether the end of a gap is among the records.
fn is_closed(records: &[Pulled]) -> bool {
    let mut control = records.iter().filter(|record| record.kind == Kind::Control);
    control.any(|record| record.body["type"] == "gap_closed")
}

/// What is published, and how far it has come.
struct Load {
    topics: Vec<String>,
    number: i64,
}

impl Load {
    /// Publishes on each topic in turn while the source is pulled, until the condition holds.
    fn until(
        &mut self,
        host: &mut Host,
        simulator: &Simulator,
        what: &str,
        mut condition: impl FnMut(&Host, i64) -> bool,
    ) {
        let begun = Instant::now();
        while !condition(host, self.number) {
            assert!(begun.elapsed() < PATIENCE, "{what}: {}", host.source.statistics());
            for topic in &self.topics {
                self.number += 1;
                simulator.publish(
                    topic,
                    &json!({"id": "00000000-0000-4000-8000-00000000000a", "n": self.number}),
                );
            }
            pace(host);
        }
    }
}

/// Demands that a failure has left one gap, which says what happened.
fn demand_its_gap(failure: &Failure, found: &[Gap]) {
    let [gap] = found else {
        panic!("{failure:?} left {found:#?}");
    };
    assert_eq!(gap.cause, failure.cause, "{failure:?} {gap:?}");
    assert!(failure.kinds.contains(&gap.kind.as_str()), "{failure:?} {gap:?}");
    assert_eq!(gap.close_code, failure.close_code, "{failure:?} {gap:?}");
}

#[test]
fn a_hundred_unplanned_failures_of_every_kind_lose_nothing_outside_gaps_and_make_no_storm() {
    let begun = Instant::now();
    let mut chance = Chance::of_environment("unplanned failures");
    // So few, that what is left behind does not pile up.
    let scene = Scene::quiet(|settings| settings.channel_limit = 4);
    let mut load = Load {
        topics: topics(20),
        number: 0,
    };
    let mut host = Host::open(&scene.config(&json!({"topics": load.topics})));
    host.until("subscribed", is_subscribed);
    let (mut strangers, mut counted) = (Vec::new(), BTreeMap::new());
    let mut looked_at = 0;
    for failure in draw(&mut chance, FAILURES - 1) {
        let (before, failed) = (connects(&host), Instant::now());
        strangers.extend(bring_about(&scene.simulator, &failure, 1 + chance.below(100)));
        load.until(&mut host, &scene.simulator, failure.name, |host, _| {
            is_subscribed(host) && connects(host) > before && is_closed(&host.records[looked_at..])
        });
        demand_its_gap(&failure, &gaps(&host.records[looked_at..]));
        looked_at = host.records.len();
        println!("{} ms: {}", failed.elapsed().as_millis(), failure.name);
        *counted.entry(failure.name).or_insert(0) += 1;
    }
    // The last one: nothing is asked any more until its time.
    let asked = scene.simulator.counters().requests;
    let connection = scene.simulator.channels().pop().unwrap();
    inject(
        &scene.simulator,
        &format!("api={}- refuse 429 {LONG_RETRY_AFTER_S}", asked + 1),
    );
    inject(&scene.simulator, &format!("channel={} drop", connection.number));
    load.until(&mut host, &scene.simulator, "a long Retry-After", |host, _| {
        let told = &host.statistics()["session"]["last_error"];
        told.as_str()
            .is_some_and(|told| told.contains("limits the rate of calls"))
    });
    let until = load.number + 1_000;
    load.until(&mut host, &scene.simulator, "a while", |_, number| {
        number >= until
    });
    host.drain();
    let outcome = reconcile(&host, &scene.simulator, &strangers);
    let gaps = gaps(&host.records);
    let counters = scene.simulator.counters();
    tell(&format!(
        "{FAILURES} unplanned failures of {} kinds in {} s: {} gaps, {} events sent to an open socket and {} while nobody \
         listened, {} of them lost inside gaps, none outside, {} repeated; {} REST requests, {} in a minute at most, {} before \
         a Retry-After had passed",
        counted.len() + 1,
        begun.elapsed().as_secs(),
        gaps.len(),
        outcome.sent,
        outcome.unheard,
        outcome.lost_in_gaps,
        outcome.repeated,
        counters.requests,
        counters.busiest_minute,
        counters.early,
    ));
    assert_eq!(frames(&host, "law"), 0);
    assert_eq!((counters.throttled, counters.early), (0, 0));
    assert!(counters.busiest_minute < 300, "{counters:?}");
    assert_eq!(counters.requests, asked + 1, "one that was told to wait");
}
