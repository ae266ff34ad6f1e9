//! A steady feed of the simulator, when each of its events was sent, and the latencies of a run.
//!
//! Responsible for what the parts that measure latency share. Refuses a feed of which nothing was sent.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, ensure};
use simulator::{Kind, Options, Simulator};

use crate::spread::percentile;

/// Events in a second.
pub(crate) const PER_SECOND: u64 = 5_000;
/// The beginning of a run that is not counted: connections to the broker are made, tables grow.
pub(crate) const SKIP: Duration = Duration::from_secs(2);
/// Longest time for a beginning, and from the end of the feed to its last event at the other end.
pub(crate) const SETTLE: Duration = Duration::from_secs(60);

/// Percentiles of each run, in milliseconds.
#[derive(Debug, Default)]
pub(crate) struct Latencies {
    /// The median of each run.
    pub(crate) p50: Vec<f64>,
    /// What 99 % of each run do not exceed.
    pub(crate) p99: Vec<f64>,
}

impl Latencies {
    /// Adds a run.
    pub(crate) fn push(&mut self, mut milliseconds: Vec<f64>) -> anyhow::Result<()> {
        self.p50
            .push(percentile(&mut milliseconds, 50).context("no latencies")?);
        self.p99
            .push(percentile(&mut milliseconds, 99).context("no latencies")?);
        Ok(())
    }
}

/// Starts a feed of 5,000 events a second for so many seconds, from the first subscription on.
pub(crate) fn feed(seconds: u64) -> anyhow::Result<Simulator> {
    Ok(Simulator::start(Options {
        rate: PER_SECOND,
        events: Some(PER_SECOND * seconds),
        epoch_ms: jiff::Timestamp::now().as_millisecond(),
        truth_frames: false,
        pause_when_alone: true,
        ..Options::default()
    })?)
}

/// When each event was sent, by its id, in microseconds since 1970.
pub(crate) fn sent_us(simulator: &Simulator) -> anyhow::Result<HashMap<String, u64>> {
    let truth = simulator.truth();
    let mut sent = HashMap::with_capacity(truth.len());
    for line in truth.into_iter().filter(|line| line.kind == Kind::Event) {
        if let (Some(id), Some(at)) = (line.id, line.sent_us) {
            sent.insert(id, at);
        }
    }
    ensure!(!sent.is_empty(), "no event was sent");
    Ok(sent)
}
