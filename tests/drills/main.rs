//! Outages, full disks, processes that stand still, and a long time of hand-overs and faults, over a spool on disk, with a
//! real Kafka: nothing is lost that was read.
//!
//! Responsible for the time while the destination is away. Refuses to take the adapter's word: topics are held against the
//! ground truth. The tests that stop their broker take turns on it; `make drill` makes the outages longer.
#![allow(clippy::unwrap_used, reason = "a test binary: a panic is a failure")]

mod disk;
mod outage;
#[allow(dead_code, reason = "the drills need a part of what the deliveries prove")]
#[path = "../delivery/proofs.rs"]
mod proofs;
mod scene;
#[allow(
    dead_code,
    reason = "one drill needs a part of what the tests of exactly once share"
)]
#[path = "../exactly_once/scene.rs"]
mod shard;
mod soak;
mod stopped;

use std::time::Duration;

/// Longest wait for anything that is expected to happen: a generous bound for a loaded machine and a long drill.
const DEADLINE: Duration = Duration::from_secs(240);
