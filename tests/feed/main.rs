//! The feed from the server's socket to the record, end to end: reconnects, logins, bad input, hostile frames.
//!
//! The real library (or its binaries) against the simulator, judged by the simulator's ground truth. Nothing here
//! knows the plugin's inside: what is asserted can be seen by a host, an operator or a server.
#![allow(
    clippy::unwrap_used,
    reason = "a test reports a broken environment by panicking"
)]

mod bad_plugin;
mod config_schema;
mod corpus;
mod frames;
mod gaps;
mod hostile;
mod laws;
mod login;
mod pacing;
mod reconnects;
mod refusals;
mod secrets;
