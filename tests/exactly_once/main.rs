//! `delivery.guarantee = "exactly_once"` on a real Kafka: whatever happens to process and broker, who reads committed
//! records alone sees each event once, its audit record with it, and positions without a hole.
//!
//! The source keeps its records on disk. Events happen only while the simulator has a subscriber, so that what a start
//! or a stop misses is little, and lies in a recorded gap.
#![allow(clippy::unwrap_used, reason = "a test binary: a panic is a failure")]

mod broker;
mod fencing;
mod positions;
#[path = "../delivery/proofs.rs"]
#[allow(dead_code, reason = "another test binary needs the rest of it")]
mod proofs;
mod refused;
mod restart;
mod scene;
mod start;

use std::time::Duration;

/// Longest wait for anything that is expected to happen: a generous bound for a loaded machine, not a measurement.
const DEADLINE: Duration = Duration::from_secs(120);
