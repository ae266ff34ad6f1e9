//! The cluster and the two adapters on it, one for each guarantee, that meet the same losses side by side.
//!
//! Responsible for taking turns on the cluster and for what is asked of both. Invariant: whoever gets the cluster finds every
//! node up and every replica in sync.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use support::Cluster;
use support::drill::is_full;

use crate::DEADLINE;
use crate::side::Side;

/// Records that must be delivered before it counts as going on: a second of the load.
const ENOUGH: i64 = 200;

/// The cluster, whole, for one test at a time.
pub(crate) fn cluster() -> Option<MutexGuard<'static, Cluster>> {
    static CLUSTER: OnceLock<Option<Mutex<Cluster>>> = OnceLock::new();
    let cluster = CLUSTER.get_or_init(|| Cluster::own().map(Mutex::new)).as_ref()?;
    let cluster = cluster.lock().unwrap_or_else(PoisonError::into_inner);
    // a test that failed may have left nodes dead
    cluster.heal(DEADLINE);
    Some(cluster)
}

/// How often a drill goes round.
pub(crate) fn rounds() -> u32 {
    if is_full() { 5 } else { 1 }
}

/// Both guarantees, each with topics, spool and simulator of its own.
pub(crate) struct Sides {
    pub(crate) at_least_once: Side,
    pub(crate) exactly_once: Side,
}

impl Sides {
    /// Starts both and waits until they deliver.
    pub(crate) fn start(cluster: &Cluster) -> Self {
        let mut sides = Self {
            at_least_once: Side::start(cluster, "at_least_once"),
            exactly_once: Side::start(cluster, "exactly_once"),
        };
        sides.until_going_on();
        sides
    }

    pub(crate) fn each(&mut self) -> [&mut Side; 2] {
        [&mut self.at_least_once, &mut self.exactly_once]
    }

    /// Waits until both are ready and deliver more than they had when this was asked.
    pub(crate) fn until_going_on(&mut self) {
        let before = self.each().map(|side| side.resolved());
        for (side, before) in self.each().into_iter().zip(before) {
            side.until_resolved(before + ENOUGH);
            side.until_ready();
        }
    }

    /// Waits until everything is there that was sent, stops both, and demands what each promises.
    pub(crate) fn judge(mut self, drill: &str) {
        let marks = self.each().map(Side::mark);
        for (side, mark) in self.each().into_iter().zip(marks) {
            side.until_resolved(mark.sent);
            side.judge(drill, &mark);
        }
    }
}
