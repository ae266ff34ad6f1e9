//! `kill -9` of the adapter under load, at random instants and at each row of the crash table, over a spool on disk.
//!
//! Responsible for what a crash may leave: everything that the simulator sent lies in the topic or in a recorded crash gap,
//! and what the spool held between kill and restart is delivered. Refuses to take the adapter's word for it: the judge reads
//! the topics, a copy of the spool, and the ground truth. Real Kafka; the tests take turns, since they measure downtimes.
#![allow(clippy::unwrap_used, reason = "a test binary: a panic is a failure")]

mod adapter;
mod evidence;
mod held;
mod points;
#[allow(dead_code, reason = "the drills need a part of what the deliveries prove")]
#[path = "../delivery/proofs.rs"]
mod proofs;
mod random;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use support::Broker;

/// Longest wait for anything that is expected to happen: a generous bound for a loaded machine, not a measurement.
const DEADLINE: Duration = Duration::from_secs(90);

/// What the adapter promises, and how it is told to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Guarantee {
    /// The word of the configuration and of the figures.
    pub(crate) name: &'static str,
    /// A crash may repeat what the spool still held.
    pub(crate) may_repeat: bool,
}

/// What the spool still held at a crash may lie in the topic a second time, under the same id.
pub(crate) const AT_LEAST_ONCE: Guarantee = Guarantee {
    name: "at_least_once",
    may_repeat: true,
};

/// Who reads committed records alone sees each event once.
pub(crate) const EXACTLY_ONCE: Guarantee = Guarantee {
    name: "exactly_once",
    may_repeat: false,
};

/// The broker, for one test at a time.
fn broker() -> Option<(&'static Broker, MutexGuard<'static, ()>)> {
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    Some((Broker::shared()?, turn))
}
