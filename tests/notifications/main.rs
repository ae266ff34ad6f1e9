//! Notification channels end to end: the real library against the simulator's REST and streaming side, judged by its
//! ground truth. Time is scaled: channels live for a second or two, heartbeats come ten times as fast.
#![allow(
    clippy::unwrap_used,
    reason = "a test reports a broken environment by panicking"
)]

mod backfill;
mod centre;
mod channels;
mod failures;
mod following;
mod handovers;
mod intruder;
mod isolation;
mod limits;
mod losses;
mod proofs;
mod readings;
mod scene;
mod tokens;
mod trust;
