//! Webhook mode from end to end: the simulator, the real plugin in the real `genesys-kafka` process, and a receiver
//! whose answers are scripted.
//!
//! What a test asserts is what the receiver saw, compared with the simulator's ground truth and with what the adapter
//! wrote to its audit and to its files.
#![allow(clippy::unwrap_used, reason = "a test binary: a panic is a failure")]

mod beside_kafka;
mod breaker;
mod chance;
mod delivered;
mod failures;
mod http2;
mod refused;
mod retry_after;
mod seen;
mod signed;
mod stop;

use std::time::Duration;

/// Longest wait for anything that is expected to happen: a generous bound for a loaded machine, not a measurement.
const DEADLINE: Duration = Duration::from_secs(90);

/// Changes of state, in the words of the adapter's log.
mod words {
    /// The receiver takes nothing until someone acts.
    pub(crate) const SHUT: &str = "destination takes no events";
    /// The receiver is down.
    pub(crate) const DOWN: &str = "destination down";
    /// It takes events again.
    pub(crate) const OPEN: &str = "destination takes events again";
    /// A stop was asked for.
    pub(crate) const DRAINING: &str = "stopping, draining";
}
