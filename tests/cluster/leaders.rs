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
    sides.until_going_on();
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

/// With one node away already another one is stopped, so that the last one refuses what it is sent: the source is heard, its
/// records are held, and readiness says so.
fn lose_the_majority(cluster: &Cluster, sides: &mut Sides, second: i32) {
    // in order, so that the replicas in sync are told to be one; a kill would leave two in sync, one of them mute
    cluster.node(second).stop();
    wait_until(DEADLINE, "one replica of each is in sync", || {
        cluster.has_in_sync(1)
    });
    for side in sides.each() {
        let reason = side.until_held();
        assert!(
            reason.contains("acknowledges nothing") && reason.contains("min.insync.replicas"),
            "{reason}"
        );
        eprintln!("{reason}");
        let (held, heard) = (side.resolved(), side.ingested());
        side.until_ingested(heard + HEARD);
        assert_eq!(side.resolved(), held, "a record was taken by too few replicas");
    }
    cluster.heal(DEADLINE);
    sides.until_going_on();
}

#[test]
fn a_leader_a_coordinator_and_a_majority_that_are_lost_under_load_cost_nothing() {
    let Some(cluster) = cluster() else { return };
    let mut sides = Sides::start(&cluster);
    for _ in 0..rounds() {
        lose_the_leader(&cluster, &mut sides);
        let second = lose_the_coordinator(&cluster, &mut sides);
        lose_the_majority(&cluster, &mut sides, second);
    }
    sides.judge("leader, coordinator and majority lost");
}
