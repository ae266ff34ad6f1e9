//! The main job from end to end: the simulator, the real plugin in the real `genesys-kafka` process, and Kafka.
//!
//! Each module takes one promise. What a test asserts about a topic is what a consumer reads from it, compared with
//! the simulator's ground truth; what the adapter says of itself is checked against both. The tests that
//! stop a broker take turns on a broker of their own, all others share one.
#![allow(clippy::unwrap_used, reason = "a test binary: a panic is a failure")]

mod exact;
mod full_disk;
mod killed;
mod lines;
mod outage;
mod overflow;
mod poison;
mod proofs;
mod refused;
mod rotation;
mod shutdown;
mod start;

use std::time::Duration;

/// Longest wait for anything that is expected to happen: a generous bound for a loaded machine, not a measurement.
const DEADLINE: Duration = Duration::from_secs(90);

/// Changes of state, in the words of the adapter's log.
mod words {
    /// The destination cannot be reached any more.
    pub(crate) const UNREACHABLE: &str = "destination unreachable";
    /// It can be reached again.
    pub(crate) const REACHABLE: &str = "destination reachable again";
    /// The source no longer reads its socket.
    pub(crate) const QUEUE_FULL: &str = "queue full, no longer reading";
    /// The source has closed its connection, since the queue stayed full.
    pub(crate) const GAVE_UP_READING: &str = "queue stayed full, connection closed";
    /// A delivery fails for as long as its destination stays as it is.
    pub(crate) const BLOCKED: &str = "deliveries are blocked, the commit halts";
    /// It succeeds again.
    pub(crate) const UNBLOCKED: &str = "deliveries go on";
    /// A stop was asked for.
    pub(crate) const DRAINING: &str = "stopping, draining";
}
