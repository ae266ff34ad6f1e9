//! Wrong while running: every state that a run can get into, and the same questions for each.
//!
//! What is logged (whole lines, one for a change of state, never one for a retry), what is counted, what becomes a
//! control record, whether the run calls itself ready, that nothing waits beyond its deadline, and how SIGTERM ends the run in that state. `scene` asks
//! them; each other module holds the states of one part, as tables where they differ by the fault alone. The states
//! are those of `docs/when-something-goes-wrong.md`, which `page` holds against the lines compared here.
#![allow(clippy::unwrap_used, reason = "a test binary: a panic is a failure")]

mod broker;
mod channels;
mod clock;
mod conduct;
mod disk;
mod login;
mod page;
mod scene;
mod server;
mod spool;
mod webhook;

use std::time::Duration;

/// Longest wait for anything that is expected to happen: a generous bound for a loaded machine, not a measurement.
const DEADLINE: Duration = Duration::from_secs(90);
/// Time for the rest after a stop, in milliseconds, where the rest cannot be delivered.
const DRAIN_MS: u64 = 1_000;
/// What an end may take beyond that: the audit's last record, the source's close, a busy machine.
const MARGIN: Duration = Duration::from_secs(20);
/// Exit code where something was left undelivered (`EX_UNAVAILABLE` of sysexits(3)).
const EXIT_UNAVAILABLE: i32 = 69;
