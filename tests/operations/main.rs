//! The operations listener of the real `genesys-kafka` process: what it answers in each state, and that it answers only
//! when asked properly.
#![allow(clippy::unwrap_used, reason = "a test binary: a panic is a failure")]

mod conduct;
mod ready;
mod start;
mod stuck;

use std::time::Duration;

/// Longest wait for anything that is expected to happen: a generous bound for a loaded machine, not a measurement.
const DEADLINE: Duration = Duration::from_secs(90);
