//! Stops and kills: the next process goes on from the position in Kafka.

use nix::sys::signal::Signal;
use simulator::Options;
use support::topics::Audit;
use support::{Broker, Rig, rig};

use crate::DEADLINE;
use crate::scene::{self, Places};

#[test]
fn events_audits_and_positions_are_whole_across_a_stop_and_a_start() {
    let Some(broker) = Broker::shared() else { return };
    let places = Places::create(broker);
    let options = Options {
        events: Some(6_000),
        rate: 2_000,
        ..Options::default()
    };
    let rig = places.shard(options);
    let mut adapter = rig.start();
    scene::wait_until_resolved(&mut adapter, 2_000);
    scene::stop(&mut adapter);
    let mut adapter = rig.start();
    assert!(rig.simulator().wait_until_done(DEADLINE));
    scene::wait_until_delivered(&mut adapter);
    let ended = scene::stop(&mut adapter);
    assert_eq!(
        ended.count("/producerReplacements"),
        0,
        "{}",
        ended.stderr.join("\n")
    );
    places.assert_exactly_once(&rig);
    let closed = |audit: &&support::topics::Audit| audit.status() == "run_closed";
    assert_eq!(places.audits().iter().filter(closed).count(), 2);
}

#[test]
fn a_killed_process_leaves_nothing_twice_and_no_hole() {
    let Some(broker) = Broker::shared() else { return };
    let places = Places::create(broker);
    let options = Options {
        events: Some(9_000),
        rate: 1_000,
        ..Options::default()
    };
    let rig = places.shard(options);
    for records in [300, 700, 1_100] {
        let mut adapter = rig.start();
        scene::wait_until_resolved(&mut adapter, records);
        adapter.signal(Signal::SIGKILL);
        assert_eq!(rig::wait_for_end(&mut adapter, DEADLINE).code, None);
    }
    let mut adapter = rig.start();
    assert!(rig.simulator().wait_until_done(DEADLINE));
    scene::wait_until_delivered(&mut adapter);
    scene::stop(&mut adapter);
    places.assert_exactly_once(&rig);
}

#[test]
fn a_run_without_transactions_between_two_with_them_is_cited_by_the_later_one() {
    let Some(broker) = Broker::shared() else { return };
    let places = Places::create(broker);
    let rig = places.shard(Options {
        rate: 100,
        ..Options::default()
    });
    let run = |rig: &Rig| {
        let mut adapter = rig.start();
        scene::wait_until_resolved(&mut adapter, 20);
        scene::stop(&mut adapter);
    };
    run(&rig);
    let rig = rig.set("delivery.guarantee", "at_least_once");
    run(&rig);
    let rig = rig.set("delivery.guarantee", "exactly_once");
    run(&rig);
    let audits = places.audits();
    let mut runs: Vec<Vec<&Audit>> = Vec::new();
    for audit in &audits {
        let is_of = |run: &&mut Vec<&Audit>| run[0].body["runId"] == audit.body["runId"];
        match runs.iter_mut().find(is_of) {
            Some(run) => run.push(audit),
            None => runs.push(vec![audit]),
        }
    }
    runs.sort_by_key(|run| run[0].body["runId"].to_string());
    assert_eq!(runs.len(), 3);
    for run in &mut runs {
        run.sort_by_key(|audit| audit.sequence());
    }
    for pair in runs.windows(2) {
        let (before, after) = (pair[0].last().unwrap(), pair[1][0]);
        assert_eq!((before.status(), after.status()), ("run_closed", "run_opened"));
        assert_eq!(after.body["prevHash"], before.body["hash"]);
    }
}
