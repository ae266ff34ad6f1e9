//! `genesys-kafka check` as a process: the whole table where everything is right, the whole row and the exit where
//! something is not.
//!
//! Each module takes one part of what is examined. What the tests compare is what stands on standard output; of what
//! differs from run to run only addresses, paths, topic names and times are replaced.
#![allow(clippy::unwrap_used, reason = "a test binary: a panic is a failure")]

mod ending;
mod kafka;
mod local;
mod login;
mod offline;
mod platform;
mod ready;
mod rights;
mod seen;
mod topics;
mod webhook;

use std::time::Duration;

/// Longest wait for anything that is expected to happen: a generous bound for a loaded machine, not a measurement.
const DEADLINE: Duration = Duration::from_secs(90);
