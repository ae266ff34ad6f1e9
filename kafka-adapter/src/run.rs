//! One run: open, deliver until the source ends or someone says stop, close, report.
//!
//! Responsible for the order of the steps and for what the run's end means to the caller. Refuses to open a source in
//! memory before its destination has answered: what it hears meanwhile would be lost. Invariant: a run that began
//! ends with a summary, and a broken law is never a success.

mod begin;
mod destinations;
mod error;
mod interval;
mod outlets;

use std::io::{Write, stderr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use uuid::Uuid;

use crate::audit::{AuditKey, Chain, Counts, Status as AuditStatus};
use crate::config::{self, Config, Guarantee};
use crate::host::{self, Plugin};
use crate::metrics::{Figures, Metrics};
use crate::operations::{Health, Listener};
use crate::pipeline::{self, Bounds, Clocks, Driven, Ending, Feed, Pipeline, Stop, TransactionStart};
use crate::sink::{Outlets, Sink};
use crate::summary::Summary;

use interval::Interval;

pub use destinations::kafka_settings;
pub(crate) use destinations::{routing, uses_kafka};
pub use error::{Error, ErrorKind};

/// How long the last audits may take after everything else is delivered, in microseconds: half of it for those of
/// records, half for `run_closed`.
const LAST_AUDIT_US: i64 = 5_000_000;
/// The same after a drain that ran out of time: whoever stopped the run is waiting.
const LATE_AUDIT_US: i64 = 500_000;
/// How long the source may take to close, in milliseconds.
const CLOSE_MS: u32 = 5_000;

/// What a run needs beyond its source and its destination.
#[derive(Clone, Debug)]
pub struct RunSettings {
    /// Name of the source, part of every `auditId`.
    pub source_name: String,
    /// The audit's compliance tag.
    pub compliance_tag: String,
    /// Key of the audit's hashes, if they have one.
    pub audit_key: Option<AuditKey>,
    /// Hash of the last audit record of the run before, where it is known.
    pub previous_hash: Option<[u8; 32]>,
    /// How much may be unresolved, and for how long after a stop; in transactions how much one may hold, and as much
    /// again waits for the next.
    pub bounds: Bounds,
    /// Where what is delivered goes into transactions: the shard's position as it is in Kafka, if there is one.
    pub transactions: Option<Option<Vec<u8>>>,
    /// Time between two metrics lines, in milliseconds; 0 for no lines.
    pub metrics_ms: u64,
    /// Where the run shows how it is, if anyone may ask.
    pub health: Option<Arc<Health>>,
}

/// Microseconds since 1970 UTC by the system's clock.
#[must_use]
pub fn wall_clock_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// Runs as configured until the source ends or `stop` receives something, and prints the summary to standard error; there
/// is none if it was stopped before it began.
///
/// # Errors
/// [`Error`]; see its kinds. The summary has been printed unless the run never began.
pub fn run(config: &Config, plugin: &Plugin, stop: &Stop) -> Result<Option<Summary>, Error> {
    run_as(config, plugin, stop, |source| source)
}

/// As [`run`], with what `adopt` makes of the source in its place.
///
/// # Errors
/// As [`run`].
pub fn run_as<F: Feed>(
    config: &Config,
    plugin: &Plugin,
    stop: &Stop,
    adopt: impl FnOnce(host::Source) -> F,
) -> Result<Option<Summary>, Error> {
    config::warn_of_exposed(config);
    // first, so that a start that waits for its brokers can be asked how it is; closed when it goes out of scope
    let listener = config.operations.listen.as_ref().map(|listen| {
        let health = Arc::new(Health::new(config.operations.max_lag_ms));
        Listener::open(listen, health)
    });
    let listener = listener.transpose()?;
    let audit_key = destinations::audit_key(config)?;
    let begun = begin::begin(config, plugin, audit_key.as_ref(), stop)?;
    let Some(begin::Begun { source, ready }) = begun else {
        tracing::info!("stopped before the destination was there, nothing was read");
        return Ok(None);
    };
    let settings = RunSettings {
        source_name: config.source.name.clone(),
        compliance_tag: config.audit.compliance_tag.clone(),
        previous_hash: ready.previous_hash,
        audit_key,
        transactions: (config.delivery.guarantee == Guarantee::ExactlyOnce).then_some(ready.position),
        bounds: Bounds {
            records: config.delivery.max_in_flight_records,
            bytes: config.delivery.max_in_flight_bytes,
            drain_ms: config.delivery.drain_ms,
        },
        metrics_ms: config.operations.metrics_ms,
        health: listener.as_ref().map(|listener| Arc::clone(listener.health())),
    };
    let ended = run_feed(
        &Arc::new(adopt(source)),
        ready.outlets,
        &settings,
        stop,
        &wall_clock_us,
    );
    if let Err(Error::TakenOver(_)) = &ended {
        let pause_ms = config.kafka.fenced_pause_ms;
        tracing::info!(
            pause_ms,
            "waiting before the end, so that two supervisors do not fence each other in a loop"
        );
        stop.recv_timeout(Duration::from_millis(pause_ms)).ok();
    }
    ended.map(Some)
}

/// A sink that can say why its output failed.
pub trait RunSink: Sink {
    /// Why the output failed, if it did and not because its reader went away.
    fn output_error(&self) -> Option<String>;
}

impl RunSink for Outlets {
    fn output_error(&self) -> Option<String> {
        Self::output_error(self)
    }
}

/// Runs any feed into any sink; see [`run`]. `clock` is the wall clock; waits run on a monotonic one of their own.
///
/// # Errors
/// As [`run`].
pub fn run_feed<F: Feed, S: RunSink>(
    feed: &Arc<F>,
    sink: S,
    settings: &RunSettings,
    stop: &Stop,
    clock: &dyn Fn() -> i64,
) -> Result<Summary, Error> {
    let run_id = Uuid::now_v7().to_string();
    let begun = Instant::now();
    let monotonic_us = move || i64::try_from(begun.elapsed().as_micros()).unwrap_or(i64::MAX);
    let clocks = Clocks {
        monotonic_us: &monotonic_us,
        wall_us: clock,
    };
    let begun_us = monotonic_us();
    tracing::info!(run_id, source = settings.source_name, "run opened");
    let chain = Chain::new(
        run_id.clone(),
        settings.source_name.clone(),
        settings.compliance_tag.clone(),
    )
    .citing(settings.previous_hash)
    .keyed(settings.audit_key.clone());
    let mut pipeline: Pipeline<F::Batch, S> = Pipeline::new(sink, chain, settings.source_name.clone());
    let mut bounds = settings.bounds;
    if let Some(position) = &settings.transactions {
        let tokens = Arc::clone(feed);
        pipeline = pipeline.in_transactions(TransactionStart {
            shard: settings.source_name.clone(),
            run_id: run_id.clone(),
            position: position.clone(),
            tokens: Box::new(move |sequence| tokens.token(sequence)),
            max_records: bounds.records,
            max_bytes: bounds.bytes,
        });
        bounds.records = bounds.records.saturating_mul(2);
        bounds.bytes = bounds.bytes.saturating_mul(2);
    }
    pipeline.note(AuditStatus::RunOpened, None, clock());

    let mut metrics = Metrics::new(settings.metrics_ms, begun_us);
    let mut interval = Interval::new(begun_us);
    let driven = pipeline::drive(
        &mut pipeline,
        feed,
        bounds,
        stop,
        clocks,
        &mut |pipeline, feed, turn| {
            let now_us = turn.now_us;
            if let Some(health) = &settings.health {
                health.see(pipeline, feed, turn.is_ending, clock());
            }
            if metrics.due(now_us) {
                let stats = feed.stats().unwrap_or_default();
                metrics.print(
                    Figures::read(&stats, &pipeline.counters(), &pipeline.measure(), clock()),
                    now_us,
                );
            }
            interval.note(pipeline, feed, now_us, clock());
        },
    );

    let ends = || settings.health.iter().for_each(|health| health.ends());
    ends();
    let Driven { ending, mut commits } = driven;
    let wait_us = match ending {
        Ending::DeadlinePassed => LATE_AUDIT_US,
        // nothing can be written any more
        Ending::TakenOver(_) => 0,
        _ => LAST_AUDIT_US,
    };
    let deadline_us = monotonic_us().saturating_add(wait_us / 2);
    pipeline::settle_rest(&mut pipeline, feed.as_ref(), deadline_us, clocks, &mut commits);
    ends();
    let stats = feed.stats().unwrap_or_default();
    if !matches!(ending, Ending::TakenOver(_)) {
        pipeline.close(totals(&stats, &pipeline), clock());
    }
    let deadline_us = monotonic_us().saturating_add(wait_us / 2);
    pipeline::finish(&mut pipeline, feed.as_ref(), deadline_us, clocks, &mut commits);

    ends();
    let (counters, measure) = (pipeline.counters(), pipeline.measure());
    let output_error = pipeline.sink().output_error();
    let stats = feed.stats().unwrap_or(stats);
    let summary = Summary {
        run_id,
        ending: describe(&ending, output_error.as_deref()),
        duration_ms: (monotonic_us() - begun_us) / 1000,
        committed: commits.last(),
        counters,
        measure,
        audits_written: pipeline.audits_written(),
        figures: Figures::read(&stats, &counters, &measure, clock()),
        source: stats,
    };
    // batches go back to the source before it closes
    drop(pipeline);
    if let Err(error) = feed.close(CLOSE_MS) {
        tracing::warn!(%error, "source did not close in time");
    }
    // a closed standard error must not end the run differently
    writeln!(stderr(), "{summary}\nsummary {}", summary.to_json()).ok();
    judge(summary, ending, output_error, settings.bounds.drain_ms)
}

fn judge(
    summary: Summary,
    ending: Ending,
    output_error: Option<String>,
    drain_ms: u64,
) -> Result<Summary, Error> {
    if !summary.figures.laws.hold() {
        let error = Error::Law(summary.figures.laws);
        tracing::error!(%error, "run closed with a broken law");
        return Err(error);
    }
    match (ending, output_error) {
        (Ending::TakenOver(by), _) => Err(Error::TakenOver(by)),
        (Ending::SourceFailed(error), _) => Err(Error::Source(error)),
        (Ending::OutputClosed, Some(error)) => Err(Error::Output(error)),
        (Ending::DeadlinePassed, _) if left_behind(&summary) > 0 => Err(Error::Undelivered {
            unresolved: left_behind(&summary),
            drain_ms,
        }),
        (Ending::OutputClosed | Ending::Ended | Ending::DeadlinePassed, _) => Ok(summary),
    }
}

/// Records that were not delivered: those in flight, and those that the source still has or gave up at its deadline,
/// which the pipeline never saw. The source counts what is in flight as uncommitted too, and with it what is resolved
/// behind it.
fn left_behind(summary: &Summary) -> u64 {
    let of_source = |pointer| {
        summary
            .source
            .pointer(pointer)
            .and_then(Value::as_u64)
            .unwrap_or(0)
    };
    let of_pipeline = summary.measure;
    let without_commit = of_source("/records/uncommitted") + of_source("/records/evicted");
    of_pipeline
        .in_flight
        .max(without_commit.saturating_sub(of_pipeline.resolved_behind))
}

fn describe(ending: &Ending, output_error: Option<&str>) -> String {
    match ending {
        Ending::Ended => "source drained, everything resolved".to_owned(),
        Ending::SourceFailed(error) => format!("source failed: {error}"),
        Ending::OutputClosed => output_error
            .unwrap_or("the reader of standard output went away")
            .to_owned(),
        Ending::TakenOver(by) => format!("another process has taken over shard {}", by.shard),
        Ending::DeadlinePassed => "the time for draining was over".to_owned(),
    }
}

fn totals<B: pipeline::Batch, S: Sink>(stats: &Value, pipeline: &Pipeline<B, S>) -> Counts {
    let counters = pipeline.counters();
    Counts {
        pulled: counters.pulled,
        resolved: counters.resolved,
        audits: pipeline.audits_written() + 1,
        ..Counts::from_stats(stats)
    }
}

#[cfg(test)]
mod tests;
