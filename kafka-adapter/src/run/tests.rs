//! Runs of a fake feed into the lines sink: order of the steps, endings, kinds of failure.

mod late;

use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::bounded;

use super::*;
use crate::pipeline::{Batch, FeedError, FeedFault, PullLimits, Pulled};
use crate::record::{Kind, Record};
use crate::sink::{Outlet, Routing};

struct OneBatch(u64);

impl Batch for OneBatch {
    fn len(&self) -> usize {
        3
    }

    fn record(&self, index: usize) -> Record<'_> {
        Record {
            kind: Kind::Event,
            flags: 0,
            sequence: self.0 + index as u64,
            event_time_us: None,
            received_time_us: 1,
            id: "id",
            type_: "interaction",
            subject: "",
            key: "k",
            body: b"{}",
        }
    }

    fn each_attribute(&self, _index: usize, _visit: &mut dyn FnMut(&str, &str)) {}
}

#[derive(Default)]
struct FakeFeed {
    batches: Mutex<Vec<u64>>,
    failure: Option<FeedFault>,
    /// Without it the feed ends by itself.
    ends_when_drained: bool,
    steps: Mutex<Vec<String>>,
    /// What the source says of its laws of frames and of records.
    laws: (i64, i64),
    /// Commits fail until the statistics have been read, which is after the last record, and once more then.
    commits_only_after_stats: bool,
    stats_read: AtomicBool,
    tried_after_stats: AtomicBool,
}

impl FakeFeed {
    fn step(&self, step: impl Into<String>) {
        self.steps.lock().unwrap().push(step.into());
    }

    fn is_drained(&self) -> bool {
        self.steps.lock().unwrap().iter().any(|step| step == "drain")
    }
}

impl Feed for FakeFeed {
    type Batch = OneBatch;

    fn next_batch(&self, _limits: PullLimits) -> Result<Pulled<OneBatch>, FeedError> {
        if let Some(first) = self.batches.lock().unwrap().pop() {
            return Ok(Pulled::Batch(OneBatch(first)));
        }
        if let Some(fault) = self.failure {
            return Err(FeedError {
                fault,
                message: "403 missing scope or role".to_owned(),
            });
        }
        Ok(if self.is_drained() || !self.ends_when_drained {
            Pulled::End
        } else {
            Pulled::Nothing
        })
    }

    fn commit(&self, sequence: u64) -> Result<(), FeedError> {
        let is_early =
            !self.stats_read.load(Ordering::Relaxed) || !self.tried_after_stats.swap(true, Ordering::Relaxed);
        if self.commits_only_after_stats && is_early {
            return Err(FeedError {
                fault: FeedFault::Passing,
                message: "not now".to_owned(),
            });
        }
        self.step(format!("commit {sequence}"));
        Ok(())
    }

    fn stats(&self) -> Result<Value, FeedError> {
        self.stats_read.store(true, Ordering::Relaxed);
        let (frames, records) = self.laws;
        Ok(
            serde_json::json!({"frames": {"received": 6, "duplicates": 2, "ignored": 1, "law": frames}, "records": {"law": records}}),
        )
    }

    fn interrupt(&self) {}

    fn drain(&self, _deadline_ms: u32) -> Result<(), FeedError> {
        self.step("drain");
        Ok(())
    }

    fn close(&self, _timeout_ms: u32) -> Result<(), FeedError> {
        self.step("close");
        Ok(())
    }
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>, Option<io::ErrorKind>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(kind) = self.1 {
            return Err(kind.into());
        }
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn settings() -> RunSettings {
    RunSettings {
        transactions: None,
        source_name: "main".to_owned(),
        compliance_tag: "tag".to_owned(),
        audit_key: None,
        previous_hash: None,
        bounds: Bounds {
            records: 100,
            bytes: 1 << 30,
            drain_ms: 10_000,
        },
        metrics_ms: 0,
        health: None,
    }
}

fn lines(out: Shared) -> Outlets {
    let routing = Routing {
        events: Outlet::Lines,
        dead_letters: Outlet::Lines,
        control: Outlet::Lines,
        audit: Outlet::Lines,
        last_resort: Outlet::Absent,
    };
    Outlets::start(routing, None, Box::new(out)).unwrap()
}

fn statuses(out: &Shared) -> Vec<String> {
    let text = String::from_utf8(out.0.lock().unwrap().clone()).unwrap();
    let words = text.lines().map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        let word = if line["kind"] == "audit" {
            &line["record"]["status"]
        } else {
            &line["kind"]
        };
        word.as_str().unwrap().to_owned()
    });
    words.collect()
}

#[test]
fn a_run_opens_and_closes_its_audit_commits_everything_and_then_closes_the_source() {
    let feed = Arc::new(FakeFeed {
        batches: Mutex::new(vec![20, 10]),
        ..FakeFeed::default()
    });
    let out = Shared::default();
    let (_keep, stop) = bounded(1);
    let summary = run_feed(&feed, lines(out.clone()), &settings(), &stop, &wall_clock_us).unwrap();
    assert_eq!(
        (
            summary.counters.pulled,
            summary.counters.resolved,
            summary.committed
        ),
        (6, 6, Some(22))
    );
    assert_eq!((summary.audits_written, summary.counters.audits), (8, 8));
    let words = statuses(&out);
    assert_eq!(words.first().unwrap(), "run_opened");
    assert_eq!(words.last().unwrap(), "run_closed");
    assert_eq!(words.iter().filter(|word| *word == "processed").count(), 6);
    let steps = feed.steps.lock().unwrap();
    assert_eq!(steps.last().unwrap(), "close");
    assert_eq!(steps[steps.len() - 2], "commit 22");
}

#[test]
fn a_wall_clock_that_is_set_ahead_and_back_moves_no_deadline_and_no_interval() {
    for stopped in [false, true] {
        let feed = Arc::new(FakeFeed {
            batches: Mutex::new(vec![20, 10]),
            ends_when_drained: stopped,
            ..FakeFeed::default()
        });
        let out = Shared::default();
        let (stop, stops) = bounded(1);
        if stopped {
            stop.send(()).unwrap();
        }
        let looks = std::sync::atomic::AtomicI64::new(0);
        // an hour ahead, an hour back, and right, look by look
        let clock = || {
            let look = looks.fetch_add(1, Ordering::Relaxed);
            wall_clock_us() + (look % 3 - 1) * 3_600_000_000
        };
        let summary = run_feed(&feed, lines(out.clone()), &settings(), &stops, &clock).unwrap();
        assert_eq!(summary.ending, "source drained, everything resolved");
        assert_eq!((summary.counters.resolved, summary.committed), (6, Some(22)));
        assert!(summary.duration_ms < 60_000, "{}", summary.duration_ms);
        let words = statuses(&out);
        let audits: Vec<&str> = words
            .iter()
            .map(String::as_str)
            .filter(|word| *word != "event")
            .collect();
        let mut expected = vec!["run_opened"];
        expected.extend(["processed"; 6]);
        expected.push("run_closed");
        assert_eq!(audits, expected);
    }
}

#[test]
fn a_stop_drains_the_source_first() {
    let feed = Arc::new(FakeFeed {
        batches: Mutex::new(vec![10]),
        ends_when_drained: true,
        ..FakeFeed::default()
    });
    let (stop, stops) = bounded(1);
    stop.send(()).unwrap();
    let summary = run_feed(
        &feed,
        lines(Shared::default()),
        &settings(),
        &stops,
        &wall_clock_us,
    )
    .unwrap();
    assert_eq!(summary.counters.resolved, 3);
    assert!(feed.steps.lock().unwrap().contains(&"drain".to_owned()));
}

#[test]
fn a_source_that_fails_is_delivered_to_its_end_and_its_words_reach_the_user() {
    for (fault, kind) in [
        (FeedFault::Credentials, ErrorKind::Credentials),
        (FeedFault::Configuration, ErrorKind::Config),
        (FeedFault::GaveUp, ErrorKind::GaveUp),
        (FeedFault::Broken, ErrorKind::Internal),
    ] {
        let feed = Arc::new(FakeFeed {
            batches: Mutex::new(vec![10]),
            failure: Some(fault),
            ..FakeFeed::default()
        });
        let (_keep, stop) = bounded(1);
        let error = run_feed(
            &feed,
            lines(Shared::default()),
            &settings(),
            &stop,
            &wall_clock_us,
        )
        .unwrap_err();
        assert_eq!(error.kind(), kind);
        assert_eq!(error.to_string(), "source failed: 403 missing scope or role");
        assert!(feed.steps.lock().unwrap().contains(&"commit 12".to_owned()));
    }
}

#[test]
fn a_reader_that_goes_away_ends_the_run_in_order() {
    let feed = Arc::new(FakeFeed {
        batches: Mutex::new(vec![10]),
        ..FakeFeed::default()
    });
    let (_keep, stop) = bounded(1);
    let out = Shared(Arc::default(), Some(io::ErrorKind::BrokenPipe));
    let summary = run_feed(&feed, lines(out), &settings(), &stop, &wall_clock_us).unwrap();
    assert_eq!(summary.committed, None);
    assert!(feed.steps.lock().unwrap().contains(&"close".to_owned()));
}

#[test]
fn an_output_that_fails_is_a_failure() {
    let feed = Arc::new(FakeFeed {
        batches: Mutex::new(vec![10]),
        ..FakeFeed::default()
    });
    let (_keep, stop) = bounded(1);
    let out = Shared(Arc::default(), Some(io::ErrorKind::StorageFull));
    let error = run_feed(&feed, lines(out), &settings(), &stop, &wall_clock_us).unwrap_err();
    assert!(matches!(error, Error::Output(_)), "{error}");
}

#[test]
fn a_broken_law_is_never_a_success() {
    let run = |laws| {
        let feed = Arc::new(FakeFeed {
            laws,
            ..FakeFeed::default()
        });
        let (_keep, stop) = bounded(1);
        run_feed(
            &feed,
            lines(Shared::default()),
            &settings(),
            &stop,
            &wall_clock_us,
        )
    };
    let broken = |laws: &str| {
        format!(
            "a law of conservation is broken ({laws}): records were lost or counted twice, please report this with the summary"
        )
    };
    for (laws, told) in [
        ((1, 0), "frames 1, records 0, adapter 0"),
        ((0, -2), "frames 0, records -2, adapter 0"),
    ] {
        let error = run(laws).unwrap_err();
        assert_eq!(
            (error.to_string(), error.kind(), error.is_retryable()),
            (broken(told), ErrorKind::Law, false)
        );
    }
    // no source can break the law of the adapter, so the count is falsified instead
    let mut summary = run((0, 0)).unwrap();
    summary.figures.laws.adapter = 3;
    let drained = pipeline::Ending::Ended;
    assert_eq!(
        judge(summary, drained, None, 0).unwrap_err().to_string(),
        broken("frames 0, records 0, adapter 3")
    );
}
