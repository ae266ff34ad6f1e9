//! How a process fares over time: memory, file descriptors, threads, and the requests that it makes.
//!
//! Responsible for the samples and for what they amount to. Invariant: memory is judged after the warm-up only.

use std::fmt;
use std::time::{Duration, Instant};

use support::Process;
use support::trend::{median, slope, steady_slope};

/// One look.
struct Sample {
    at: Instant,
    anonymous_bytes: u64,
    open_files: u64,
    threads: u64,
    requests: u64,
}

/// Parts of the time after the warm-up; steady growth shows in most.
const PARTS: usize = 5;

/// How fast something grows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Growth {
    /// The slope of the least squares.
    pub(super) overall_kib_per_min: f64,
    /// What is left of it without steps: the median of the slopes of [`PARTS`] parts.
    pub(super) steady_kib_per_min: f64,
}

/// See the module documentation.
#[derive(Default)]
pub(super) struct Health {
    samples: Vec<Sample>,
}

/// The first quarter and the last of some numbers, each by its median.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Quarters {
    pub(super) first: u64,
    pub(super) last: u64,
}

impl fmt::Display for Quarters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} and {}", self.first, self.last)
    }
}

impl Health {
    /// Looks at the process; `requests` have come from it so far.
    pub(super) fn look(&mut self, process: &Process, requests: u64) {
        self.samples.push(Sample {
            at: Instant::now(),
            anonymous_bytes: process.anonymous_bytes(),
            open_files: process.open_files(),
            threads: process.threads(),
            requests,
        });
    }

    fn warm(&self, warm_up: Duration) -> &[Sample] {
        let begun = self.samples[0].at;
        let cold = self.samples.partition_point(|sample| sample.at - begun < warm_up);
        &self.samples[cold..]
    }

    /// How fast the memory grows after the warm-up that the process has written itself.
    pub(super) fn growth(&self, warm_up: Duration) -> Growth {
        let warm = self.warm(warm_up);
        let points = warm.iter().map(|sample| {
            let minutes = (sample.at - warm[0].at).as_secs_f64() / 60.0;
            let kib = u32::try_from(sample.anonymous_bytes >> 10).unwrap();
            (minutes, f64::from(kib))
        });
        let points: Vec<(f64, f64)> = points.collect();
        Growth {
            overall_kib_per_min: slope(&points),
            steady_kib_per_min: steady_slope(&points, PARTS),
        }
    }

    /// Memory that the process has written itself, after the warm-up, in KiB.
    pub(super) fn anonymous_kib(&self, warm_up: Duration) -> Quarters {
        quarters(self.warm(warm_up), |sample| sample.anonymous_bytes >> 10)
    }

    /// Open file descriptors after the warm-up.
    pub(super) fn open_files(&self, warm_up: Duration) -> Quarters {
        quarters(self.warm(warm_up), |sample| sample.open_files)
    }

    /// Threads after the warm-up.
    pub(super) fn threads(&self, warm_up: Duration) -> Quarters {
        quarters(self.warm(warm_up), |sample| sample.threads)
    }

    /// The most requests within any minute.
    pub(super) fn requests_per_min(&self) -> u64 {
        let mut most = 0;
        let mut first = 0;
        for sample in &self.samples {
            while sample.at - self.samples[first].at > Duration::from_mins(1) {
                first += 1;
            }
            most = most.max(sample.requests - self.samples[first].requests);
        }
        most
    }
}

fn quarters(samples: &[Sample], of: impl Fn(&Sample) -> u64) -> Quarters {
    let values: Vec<u64> = samples.iter().map(of).collect();
    let quarter = values.len() / 4;
    Quarters {
        first: median(&values[..quarter]),
        last: median(&values[values.len() - quarter..]),
    }
}
