//! A leader, a coordinator and at last the majority of the replicas are lost under load, and come back.

use support::Cluster;
use support::wait_until;

use crate::DEADLINE;
use crate::scene::{Sides, cluster, rounds};

/// Frames that are still read while no record is taken: a second of the load.
const HEARD: i64 = 200;

/// The leader of a partition of the events is killed, and another one is elected.
fn lose_the_leader(cluster: &Cluster, sides: &mut Sides) {
    let topic = sides.exactly_once.places.topics.events.clone();
    let leader = || cluster.leader(&topic, 0);
    let first = leader().unwrap();
    cluster.node(first).kill();
    wait_until(DEADLINE, "another node leads", || {
        leader().is_some_and(|now| now != first)
    });
    sides.until_going_on();
    cluster.heal(DEADLINE);
}

/// The coordinator of the transactions is killed, and another one is elected; returns who coordinates now.
fn lose_the_coordinator(cluster: &Cluster, sides: &mut Sides) -> i32 {
    let id = format!("genesys-kafka-{}", sides.exactly_once.places.shard);
    let coordinator = || cluster.coordinator(&id);
    let first = coordinator().unwrap();
    cluster.node(first).kill();
    let mut second = None;
    wait_until(DEADLINE, "another node coordinates", || {
        second = coordinator().filter(|now| *now != first);
        second.is_some()
    });
    sides.until_going_on();
    second.unwrap()
}

/// How the second of three nodes goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loss {
    /// In order: it leaves the replicas in sync, so that the last node knows itself alone and refuses (NOT_ENOUGH_REPLICAS).
    Stopped,
    /// No controller is left to say that it is gone: the last node waits for it until each request times out.
    Killed,
}

/// With one node away already another one goes, so that the last one takes no record: the source is heard, its records are
/// held, and readiness and check say why.
fn lose_the_majority(cluster: &Cluster, sides: &mut Sides, second: i32, loss: Loss) {
    match loss {
        Loss::Stopped => {
            cluster.node(second).stop();
            wait_until(DEADLINE, "one replica of each is in sync", || {
                cluster.has_in_sync(1)
            });
        }
        Loss::Killed => cluster.node(second).kill(),
    }
    for side in sides.each() {
        let reason = side.until_held();
        // transactions may have lost their coordinator, and the producer with it, before the last records were refused
        let is_told = ["min.insync.replicas", "the state of transactions"]
            .iter()
            .any(|word| reason.contains(word));
        assert!(is_told && reason.contains("start the brokers"), "{reason}");
        let (held, heard) = (side.resolved(), side.ingested());
        side.until_ingested(heard + HEARD);
        assert_eq!(side.resolved(), held, "a record was taken by too few replicas");
    }
    if loss == Loss::Stopped {
        sides.at_least_once.assert_check_says(
            "events topic",
            "of a partition only 1 of 3 replicas are in sync, so its records are refused",
        );
    }
    cluster.heal(DEADLINE);
    sides.until_going_on();
}

#[test]
fn a_leader_a_coordinator_and_a_majority_that_are_lost_under_load_cost_nothing() {
    let Some(cluster) = cluster() else { return };
    let mut sides = Sides::start(&cluster);
    for round in 0..rounds() {
        let loss = if round % 2 == 0 {
            Loss::Stopped
        } else {
            Loss::Killed
        };
        lose_the_leader(&cluster, &mut sides);
        let second = lose_the_coordinator(&cluster, &mut sides);
        lose_the_majority(&cluster, &mut sides, second, loss);
    }
    sides.judge("leader, coordinator and majority lost");
}
