//! The metrics line: the tutorial's four figures, and what an operator asks next.
//!
//! Responsible for one line per interval and for reading the source's statistics tolerantly. Refuses labels and
//! payloads. Invariant: every law is printed with it, as a number that must be 0.

use serde_json::Value;

use crate::pipeline::{Counters, Measure};

/// Figures of one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    /// Frames received (tutorial: `totalIngested`).
    pub total_ingested: u64,
    /// Frames lost to a full queue or spool, and records that the source gave up at a deadline (tutorial:
    /// `totalDropped`).
    pub total_dropped: u64,
    /// Frames dropped as duplicates (tutorial: `totalDuplicated`).
    pub total_duplicated: u64,
    /// Records that wait in the source (tutorial: `queueDepth`).
    pub queue_depth: u64,
    /// Frames per second since the last line.
    pub rate: f64,
    /// Age of the oldest unresolved record, in milliseconds; 0 if there is none.
    pub lag_ms: i64,
    /// Records pulled and not resolved.
    pub in_flight: u64,
    /// Records resolved.
    pub resolved: u64,
    /// Pairs of records of one key that landed in the wrong order.
    pub order_exceptions: u64,
    /// Producers that died and were replaced.
    pub producer_replacements: u64,
    /// The source's law of frames.
    pub frames_law: i64,
    /// The source's law of records.
    pub records_law: i64,
    /// The adapter's law.
    pub adapter_law: i64,
}

impl Figures {
    /// Takes the figures from one reading of the source and of the pipeline.
    #[must_use]
    pub fn read(stats: &Value, counters: &Counters, measure: &Measure, now_us: i64) -> Self {
        let number = |path: &str| stats.pointer(path).and_then(Value::as_u64).unwrap_or(0);
        let law = |path: &str| stats.pointer(path).and_then(Value::as_i64).unwrap_or(0);
        Self {
            total_ingested: number("/frames/received"),
            total_dropped: number("/frames/dropped") + number("/records/evicted"),
            total_duplicated: number("/frames/duplicates"),
            queue_depth: number("/queue/records"),
            rate: 0.0,
            lag_ms: measure
                .oldest_received_us
                .map_or(0, |oldest_us| (now_us - oldest_us).max(0) / 1000),
            in_flight: measure.in_flight,
            resolved: counters.resolved,
            order_exceptions: counters.order_exceptions,
            producer_replacements: counters.producer_replacements,
            frames_law: law("/frames/law"),
            records_law: law("/records/law"),
            adapter_law: counters.law(measure),
        }
    }

    /// Says whether every law holds.
    #[must_use]
    pub fn laws_hold(&self) -> bool {
        self.frames_law == 0 && self.records_law == 0 && self.adapter_law == 0
    }
}

/// Says when a line is due, and knows the figures of the last one.
#[derive(Debug)]
pub struct Metrics {
    interval_us: i64,
    last_us: i64,
    last_ingested: u64,
}

impl Metrics {
    /// Begins now; `interval_ms` of 0 prints nothing.
    #[must_use]
    pub fn new(interval_ms: u64, now_us: i64) -> Self {
        let interval_us = i64::try_from(interval_ms)
            .unwrap_or(i64::MAX)
            .saturating_mul(1000);
        Self {
            interval_us,
            last_us: now_us,
            last_ingested: 0,
        }
    }

    /// Says whether a line is due.
    #[must_use]
    pub fn due(&self, now_us: i64) -> bool {
        self.interval_us > 0 && now_us - self.last_us >= self.interval_us
    }

    /// Prints the line, with the rate since the last one, and returns it for tests.
    pub fn print(&mut self, mut figures: Figures, now_us: i64) -> Figures {
        let seconds = (now_us - self.last_us).max(1) as f64 / 1e6;
        figures.rate = figures.total_ingested.saturating_sub(self.last_ingested) as f64 / seconds;
        self.last_us = now_us;
        self.last_ingested = figures.total_ingested;
        tracing::info!(
            totalIngested = figures.total_ingested,
            totalDropped = figures.total_dropped,
            totalDuplicated = figures.total_duplicated,
            queueDepth = figures.queue_depth,
            rate = format_args!("{:.1}/s", figures.rate),
            lag_ms = figures.lag_ms,
            in_flight = figures.in_flight,
            resolved = figures.resolved,
            order_exceptions = figures.order_exceptions,
            producer_replacements = figures.producer_replacements,
            frames_law = figures.frames_law,
            records_law = figures.records_law,
            adapter_law = figures.adapter_law,
            "metrics"
        );
        if !figures.laws_hold() {
            tracing::error!("a conservation law is broken: records were lost or counted twice");
        }
        figures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_come_from_the_source_and_the_pipeline_and_a_missing_one_is_zero() {
        let stats = serde_json::json!({
            "frames": {"received": 90, "duplicates": 4, "dropped": 5, "law": 0}, "queue": {"records": 12},
            "records": {"evicted": 3, "law": -2}
        });
        let counters = Counters {
            pulled: 9,
            resolved: 6,
            order_exceptions: 1,
            ..Counters::default()
        };
        let measure = Measure {
            in_flight: 3,
            resolved_behind: 0,
            oldest_received_us: Some(1_000_000),
        };
        let figures = Figures::read(&stats, &counters, &measure, 1_250_000);
        assert_eq!(
            (
                figures.total_ingested,
                figures.total_dropped,
                figures.total_duplicated
            ),
            (90, 8, 4)
        );
        assert_eq!(
            (figures.queue_depth, figures.lag_ms, figures.in_flight),
            (12, 250, 3)
        );
        assert_eq!(
            (figures.frames_law, figures.records_law, figures.adapter_law),
            (0, -2, 0)
        );
        assert!(!figures.laws_hold());
    }

    #[test]
    fn lines_are_due_by_the_clock_and_carry_the_rate_since_the_last() {
        let mut metrics = Metrics::new(10_000, 0);
        assert!(!metrics.due(9_999_999) && metrics.due(10_000_000));
        let figures = Figures {
            total_ingested: 500,
            ..Figures::default()
        };
        assert_eq!(metrics.print(figures, 10_000_000).rate, 50.0);
        assert!(!metrics.due(15_000_000));
        let figures = Figures {
            total_ingested: 600,
            ..Figures::default()
        };
        assert_eq!(metrics.print(figures, 20_000_000).rate, 10.0);
        assert!(!Metrics::new(0, 0).due(i64::MAX));
    }
}
