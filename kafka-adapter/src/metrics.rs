//! The metrics line: the tutorial's four figures, and what an operator asks next.
//!
//! Responsible for one line per interval and for reading the source's statistics tolerantly. Refuses labels and
//! payloads. Invariant: every law that is known is printed with it, as a number that must be 0; the first line that shows a
//! broken one is followed by an error.

use serde_json::Value;

use crate::laws::Laws;
use crate::pipeline::{Counters, Measure};
use crate::spool::{Fill, Spool};

/// Time between two looks where no line is wanted, in microseconds: what an operator must hear of is looked for all the same.
const QUIET_LOOK_US: i64 = 10_000_000;

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
    /// Frames of which a hand-over could not tell whether both channels had them: delivered, perhaps twice.
    pub handover_ambiguous: u64,
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
    /// The laws of conservation.
    pub laws: Laws,
    /// The source's spool, if it has one.
    pub spool: Option<Spool>,
    /// Age of the spool's oldest unresolved record, in milliseconds, if there is a spool.
    pub spool_oldest_ms: Option<u64>,
    /// Seconds until the spool is full at the rate since the last line; `None` while it does not grow.
    pub spool_full_in_s: Option<u64>,
}

impl Figures {
    /// Takes the figures from one reading of the source and of the pipeline.
    #[must_use]
    pub fn read(stats: &Value, counters: &Counters, measure: &Measure, now_us: i64) -> Self {
        let number = |path: &str| stats.pointer(path).and_then(Value::as_u64).unwrap_or(0);
        let spool = Spool::read(stats);
        Self {
            total_ingested: number("/frames/received"),
            total_dropped: number("/frames/dropped") + number("/records/evicted"),
            total_duplicated: number("/frames/duplicates"),
            handover_ambiguous: number("/frames/handover_ambiguous"),
            queue_depth: number("/queue/records"),
            rate: 0.0,
            lag_ms: measure
                .oldest_received_us
                .map_or(0, |oldest_us| (now_us - oldest_us).max(0) / 1000),
            in_flight: measure.in_flight,
            resolved: counters.resolved,
            order_exceptions: counters.order_exceptions,
            producer_replacements: counters.producer_replacements,
            laws: Laws::read(stats, counters, measure),
            spool,
            spool_oldest_ms: spool.map(|spool| spool.oldest_unresolved_ms(now_us)),
            spool_full_in_s: None,
        }
    }
}

/// Says when a line is due, and knows the figures of the last one.
#[derive(Debug)]
pub struct Metrics {
    interval_us: i64,
    is_quiet: bool,
    last_us: i64,
    last_ingested: u64,
    fill: Fill,
    laws_broken: bool,
}

impl Metrics {
    /// Begins now; with an `interval_ms` of 0 no line is printed, and what an operator must hear of is looked for each 10 s.
    #[must_use]
    pub fn new(interval_ms: u64, now_us: i64) -> Self {
        let interval_us = i64::try_from(interval_ms)
            .unwrap_or(i64::MAX)
            .saturating_mul(1000);
        let is_quiet = interval_us == 0;
        Self {
            interval_us: if is_quiet { QUIET_LOOK_US } else { interval_us },
            is_quiet,
            last_us: now_us,
            last_ingested: 0,
            fill: Fill::default(),
            laws_broken: false,
        }
    }

    /// Says whether a look is due.
    #[must_use]
    pub fn due(&self, now_us: i64) -> bool {
        now_us - self.last_us >= self.interval_us
    }

    /// Prints the line, with the rates since the last one, and what has changed for an operator; returns the figures for
    /// tests.
    pub fn print(&mut self, mut figures: Figures, now_us: i64) -> Figures {
        let seconds = (now_us - self.last_us).max(1) as f64 / 1e6;
        figures.rate = figures.total_ingested.saturating_sub(self.last_ingested) as f64 / seconds;
        self.last_us = now_us;
        self.last_ingested = figures.total_ingested;
        figures.spool_full_in_s = self.fill.look(figures.spool.as_ref(), now_us);
        if !self.is_quiet {
            line(&figures);
        }
        let laws_broken = !figures.laws.hold();
        if laws_broken && !std::mem::replace(&mut self.laws_broken, laws_broken) {
            tracing::error!(laws = %figures.laws, "a law of conservation is broken: records were lost or counted twice");
        }
        self.laws_broken = laws_broken;
        figures
    }
}

fn line(figures: &Figures) {
    let spool = figures.spool.as_ref();
    tracing::info!(
        totalIngested = figures.total_ingested,
        totalDropped = figures.total_dropped,
        totalDuplicated = figures.total_duplicated,
        handover_ambiguous = figures.handover_ambiguous,
        queueDepth = figures.queue_depth,
        rate = format_args!("{:.1}/s", figures.rate),
        lag_ms = figures.lag_ms,
        in_flight = figures.in_flight,
        resolved = figures.resolved,
        order_exceptions = figures.order_exceptions,
        producer_replacements = figures.producer_replacements,
        frames_law = figures.laws.frames,
        records_law = figures.laws.records,
        adapter_law = figures.laws.adapter,
        // fields without a value are left out
        spool_bytes = spool.map(|spool| spool.used_bytes),
        spool_max_bytes = spool.map(|spool| spool.max_bytes),
        spool_oldest_ms = figures.spool_oldest_ms,
        spool_full_in_s = figures.spool_full_in_s,
        "metrics"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_come_from_the_source_and_the_pipeline_and_a_missing_one_is_zero() {
        let stats = serde_json::json!({
            "frames": {"received": 90, "duplicates": 4, "dropped": 5, "handover_ambiguous": 2, "law": 0}, "queue": {"records": 12},
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
                figures.total_duplicated,
                figures.handover_ambiguous
            ),
            (90, 8, 4, 2)
        );
        assert_eq!(
            (figures.queue_depth, figures.lag_ms, figures.in_flight),
            (12, 250, 3)
        );
        assert_eq!(figures.laws.to_string(), "frames 0, records -2, adapter 0");
        assert_eq!((figures.spool, figures.spool_oldest_ms), (None, None));
    }

    #[test]
    fn a_spool_is_told_with_its_age_and_the_time_until_it_is_full() {
        let mut metrics = Metrics::new(10_000, 0);
        let mut at = |used_bytes: u64, now_us: i64| {
            let stats = serde_json::json!({
                "spool": {"used_bytes": used_bytes, "max_bytes": 1_000, "oldest_unresolved_us": 2_000_000}
            });
            let (counters, measure) = (Counters::default(), Measure::default());
            let figures = metrics.print(Figures::read(&stats, &counters, &measure, now_us), now_us);
            (figures.spool_oldest_ms, figures.spool_full_in_s)
        };
        assert_eq!(at(100, 10_000_000), (Some(8_000), None));
        assert_eq!(at(400, 20_000_000), (Some(18_000), Some(20)));
        assert_eq!(at(300, 30_000_000), (Some(28_000), None));
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
        let quiet = Metrics::new(0, 0);
        assert!(!quiet.due(9_999_999) && quiet.due(10_000_000));
    }
}
