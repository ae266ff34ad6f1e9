//! Secrets and a customer's phone number, planted wherever they can be, and looked for wherever something is told.
//!
//! Every way out is driven through its troubles with the log at level trace: no secret may be in any line, record,
//! answer or file; the phone number in none but the bodies of events and dead letters. (What a host of the plugin sees,
//! and `genesys-source`, is looked through in `feed`.)
#![allow(clippy::unwrap_used, reason = "a test binary: a panic is a failure")]

mod kafka;
mod planted;
mod start;
mod told;
mod webhook;

use std::time::Duration;

/// Longest wait for anything that is expected to happen: a generous bound for a loaded machine, not a measurement.
const DEADLINE: Duration = Duration::from_secs(90);
