//! A rolling restart under load: each node in turn is stopped in order, and started again once the others have taken over.

use crate::DEADLINE;
use crate::scene::{Sides, cluster, rounds};

#[test]
fn a_rolling_restart_under_load_costs_nothing() {
    let Some(cluster) = cluster() else { return };
    let mut sides = Sides::start(&cluster);
    for _ in 0..rounds() {
        for (_, node) in cluster.nodes() {
            node.stop();
            cluster.heal(DEADLINE);
        }
        sides.until_going_on();
    }
    sides.judge("rolling restart");
}
