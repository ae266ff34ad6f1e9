//! A real Kafka as users run it: three nodes, three replicas, `min.insync.replicas` 2. Nodes are killed, stopped and started
//! again under load, and what both guarantees promise holds.
//!
//! Responsible for what one node alone cannot show: leaders and coordinators that change, and replicas that are too few.
//! Refuses to take the adapter's word: topics are held against the ground truth. The tests take turns on one cluster;
//! `make drill` goes round more often.
#![allow(clippy::unwrap_used, reason = "a test binary: a panic is a failure")]

mod checked;
mod leaders;
#[allow(dead_code, reason = "these tests need a part of what the deliveries prove")]
#[path = "../delivery/proofs.rs"]
mod proofs;
mod rolling;
mod scene;
#[allow(
    dead_code,
    reason = "one test needs a part of what the tests of the check share"
)]
#[path = "../check/seen.rs"]
mod seen;
#[allow(
    dead_code,
    reason = "these tests need a part of what those of exactly once share"
)]
#[path = "../exactly_once/scene.rs"]
mod shard;
mod side;

use std::time::Duration;

/// Longest wait for anything that is expected to happen: a generous bound for a loaded machine and a long drill.
const DEADLINE: Duration = Duration::from_secs(90);
