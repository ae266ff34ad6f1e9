//! Ends of a run with a sink that acknowledges late: what the audit's last record is, and what is still waited for.

use crossbeam_channel::{Receiver, Sender, bounded};

use super::*;
use crate::sink::{Failure, Landing, Outcome, Parcel, Route, SendError};

/// Until when the sink holds its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    /// From the second turn after the source was drained: the first one finds that the deadline has passed.
    Deadline,
    /// When the audit has been closed.
    RunClosed,
    /// At once; then the reader is gone.
    Read,
}

/// A sink that holds records, says stop when it has them all, and acknowledges audits from another thread's channel.
struct LateSink {
    held: Held,
    feed: Arc<FakeFeed>,
    records: Vec<u64>,
    /// Statuses of the audit records, in the order in which they were sent.
    audits: Arc<Mutex<Vec<String>>>,
    stop: Sender<()>,
    stopped: bool,
    turns_since_drain: u32,
    is_closed: bool,
    acknowledge: Sender<Outcome>,
    arrivals: Receiver<Outcome>,
}

fn landed(token: u64) -> Outcome {
    Outcome {
        token,
        result: Ok(Landing::Lines),
    }
}

impl LateSink {
    fn new(held: Held, feed: Arc<FakeFeed>, stop: Sender<()>) -> Self {
        let (acknowledge, arrivals) = bounded(16);
        Self {
            held,
            feed,
            records: Vec::new(),
            audits: Arc::default(),
            stop,
            stopped: false,
            turns_since_drain: 0,
            is_closed: false,
            acknowledge,
            arrivals,
        }
    }

    fn run_is_closed(&self) -> bool {
        self.audits
            .lock()
            .unwrap()
            .iter()
            .any(|status| status == "run_closed")
    }
}

impl Sink for LateSink {
    fn send(&mut self, token: u64, parcel: &Parcel<'_>) -> Result<(), SendError> {
        if parcel.route == Route::Audit {
            let audit: Value = serde_json::from_slice(parcel.body).unwrap();
            let status = audit["status"].as_str().unwrap().to_owned();
            self.audits.lock().unwrap().push(status);
            self.acknowledge.send(landed(token)).unwrap();
        } else {
            self.records.push(token);
        }
        Ok(())
    }

    fn end_turn(&mut self, outcomes: &mut Vec<Outcome>) {
        if self.records.len() == 3 && !self.stopped && self.held != Held::Read {
            self.stopped = true;
            self.stop.send(()).unwrap();
        }
        self.turns_since_drain += u32::from(self.feed.is_drained());
        let release = match self.held {
            Held::Deadline => self.turns_since_drain > 1,
            Held::RunClosed => self.run_is_closed(),
            Held::Read => !self.records.is_empty(),
        };
        if release {
            self.is_closed = self.held == Held::Read;
            outcomes.extend(self.records.drain(..).map(landed));
        }
    }

    fn arrivals(&self) -> &Receiver<Outcome> {
        &self.arrivals
    }

    fn replace(&mut self, _outcomes: &mut Vec<Outcome>) -> Result<(), Failure> {
        Ok(())
    }

    fn fatal(&self) -> Option<String> {
        None
    }

    fn serial_per_key(&self) -> bool {
        false
    }

    fn unreachable(&self) -> Option<String> {
        None
    }

    fn closed(&self) -> bool {
        self.is_closed
    }

    fn is_open(&self, route: Route) -> bool {
        route == Route::Audit || !self.is_closed
    }

    fn place(&self, route: Route) -> &str {
        route.kind()
    }
}

impl RunSink for LateSink {
    fn output_error(&self) -> Option<String> {
        None
    }
}

/// Runs three records into the sink, with no time for draining, and returns what came of it and the audits in order.
fn run_late(held: Held) -> (Result<Summary, Error>, Vec<String>) {
    let feed = Arc::new(FakeFeed {
        batches: Mutex::new(vec![10]),
        ends_when_drained: held != Held::Read,
        ..FakeFeed::default()
    });
    let (stop, stops) = bounded(1);
    let sink = LateSink::new(held, Arc::clone(&feed), stop);
    let audits = Arc::clone(&sink.audits);
    let mut settings = settings();
    settings.bounds.drain_ms = 0;
    let result = run_feed(&feed, sink, &settings, &stops, &wall_clock_us);
    let audits = audits.lock().unwrap().clone();
    (result, audits)
}

#[test]
fn what_lands_after_the_deadline_is_audited_before_the_run_is_closed() {
    let (result, audits) = run_late(Held::Deadline);
    assert_eq!(
        audits,
        ["run_opened", "processed", "processed", "processed", "run_closed"]
    );
    assert_eq!(result.unwrap().counters.resolved, 3);
}

#[test]
fn what_lands_after_the_run_is_closed_gets_no_audit_and_stays_unresolved() {
    let (result, audits) = run_late(Held::RunClosed);
    assert_eq!(audits, ["run_opened", "run_closed"]);
    let error = result.unwrap_err();
    assert!(
        matches!(error, Error::Undelivered { unresolved: 3, .. }),
        "{error}"
    );
}

#[test]
fn a_reader_that_goes_away_does_not_take_the_audits_with_it_that_go_elsewhere() {
    let (result, audits) = run_late(Held::Read);
    assert_eq!(
        audits,
        ["run_opened", "processed", "processed", "processed", "run_closed"]
    );
    let summary = result.unwrap();
    assert_eq!((summary.counters.audits, summary.audits_written), (5, 5));
    assert_eq!((summary.counters.resolved, summary.committed), (3, Some(12)));
}

#[test]
fn a_last_commit_that_failed_is_made_before_the_source_is_closed() {
    let feed = Arc::new(FakeFeed {
        batches: Mutex::new(vec![10]),
        commits_only_after_stats: true,
        ..FakeFeed::default()
    });
    let (_keep, stop) = bounded(1);
    let summary = run_feed(
        &feed,
        lines(Shared::default()),
        &settings(),
        &stop,
        &wall_clock_us,
    )
    .unwrap();
    assert_eq!(summary.committed, Some(12));
    assert!(feed.steps.lock().unwrap().contains(&"commit 12".to_owned()));
}

#[test]
fn an_interval_record_a_minute_waits_for_the_one_before_it() {
    let feed = FakeFeed::default();
    let chain = Chain::new("run".to_owned(), "main".to_owned(), "tag".to_owned());
    let out = Shared::default();
    let mut pipeline: Pipeline<OneBatch, Outlets> =
        Pipeline::new(lines(out.clone()), chain, "main".to_owned());
    let mut interval = Interval::new(0);
    let minutes = |minutes: i64| minutes * 60_000_000;
    interval.note(&mut pipeline, &feed, minutes(1) - 1, 0);
    assert_eq!(pipeline.audits_written(), 0);
    interval.note(&mut pipeline, &feed, minutes(1), 0);
    assert_eq!(pipeline.audits_written(), 1);
    for minute in 2..600 {
        interval.note(&mut pipeline, &feed, minutes(minute), 0);
    }
    assert_eq!(pipeline.audits_written(), 1, "the first is not acknowledged");
    pipeline.advance(minutes(600));
    interval.note(&mut pipeline, &feed, minutes(600), 0);
    assert_eq!(pipeline.audits_written(), 2);
    pipeline.advance(minutes(600));
    assert_eq!(statuses(&out), ["interval", "interval"]);
    let text = String::from_utf8(out.0.lock().unwrap().clone()).unwrap();
    let counted: Vec<[u64; 3]> = text
        .lines()
        .map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            ["received", "duplicates", "ignored"].map(|name| line["record"]["counts"][name].as_u64().unwrap())
        })
        .collect();
    assert_eq!(
        counted,
        [[6, 2, 1], [0; 3]],
        "each counts what came since the one before"
    );
}
