//! The threads of a run: one pulls, one (the caller's) owns the pipeline; librdkafka's polling thread is the third.
//!
//! Responsible for waiting on batches, outcomes and the clock at once, for the bounds, for commits, and for ending in
//! order. Refuses to take a batch that the bounds do not admit: the puller then blocks, the plugin's queue fills, and
//! the source slows down. Invariant: every wait here has an end.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, never, select};

use crate::sink::{Outcome, Route, Sink};

use super::commits::Commits;
use super::feed::{Feed, FeedError, FeedFault, PullLimits, Pulled};
use super::{Pipeline, TakenOver};

/// Most records of one pull: enough for full Kafka batches, small enough for a steady flow of commits.
const PULL_RECORDS: usize = 2048;
/// Most bytes of one pull: the contract's own default.
const PULL_BYTES: u64 = 8 * 1024 * 1024;
/// How long one pull waits for the first record, in milliseconds; bounds the end of the puller, too.
const PULL_WAIT_MS: u32 = 200;
/// Longest wait of the pipeline for anything, in milliseconds: deadlines, metrics and full queues are looked at then.
const TICK_MS: u64 = 20;
/// Pause after a pull that failed for a passing reason, in milliseconds.
const PULL_RETRY_MS: u64 = 250;

/// How much may be unresolved, and for how long after a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Records in the window.
    pub records: usize,
    /// Bytes that the window keeps alive.
    pub bytes: u64,
    /// Time for the rest after a stop, in milliseconds.
    pub drain_ms: u64,
}

impl Bounds {
    fn pull_limits(&self) -> PullLimits {
        let records = (self.records / 4).clamp(1, PULL_RECORDS);
        PullLimits {
            max_records: u32::try_from(records).unwrap_or(u32::MAX),
            max_bytes: (self.bytes / 4).clamp(1, PULL_BYTES),
            wait_ms: PULL_WAIT_MS,
            linger_ms: 0,
        }
    }

    fn admit<B: super::Batch, S: Sink>(&self, pipeline: &Pipeline<B, S>, limits: &PullLimits) -> bool {
        pipeline.held_records() == 0
            || (pipeline.held_records() + limits.max_records as usize <= self.records
                && pipeline.held_bytes().saturating_add(limits.max_bytes) <= self.bytes)
    }
}

/// A turn of the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Microseconds of the monotonic clock.
    pub now_us: i64,
    /// The source hands out no more than the rest: a stop was asked for, or it has ended or failed.
    pub is_ending: bool,
}

/// Called once per turn with the pipeline and the source.
pub type EachTurn<'a, F, S> = dyn FnMut(&mut Pipeline<<F as Feed>::Batch, S>, &F, Turn) + 'a;

/// The two clocks of a run.
#[derive(Clone, Copy)]
pub struct Clocks<'a> {
    /// Microseconds since an arbitrary moment, never set back: every wait and deadline runs on it.
    pub monotonic_us: &'a dyn Fn() -> i64,
    /// Microseconds since 1970 UTC, for what records state.
    pub wall_us: &'a dyn Fn() -> i64,
}

impl std::fmt::Debug for Clocks<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Clocks").finish_non_exhaustive()
    }
}

/// Asks a run to end in order: a message, or the end of the last sender.
pub type Stop = Receiver<()>;

/// Why a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The source handed out its last record and everything is resolved.
    Ended,
    /// The source failed; what it had handed out is resolved.
    SourceFailed(FeedError),
    /// Standard output takes no more: its reader has gone, or it cannot be written.
    OutputClosed,
    /// Another process has taken over the shard; nothing more can be delivered.
    TakenOver(TakenOver),
    /// Records were still unresolved when the time for the rest was over.
    DeadlinePassed,
}

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Driven {
    /// Why it ended.
    pub ending: Ending,
    /// What the source was told, and what it is still to be told.
    pub commits: Commits,
}

enum FromFeed<B> {
    Batch(B),
    End,
    Failed(FeedError),
}

enum Woken<B> {
    Batch(FromFeed<B>),
    Outcome(Outcome),
    Stop,
    Tick,
}

/// Runs the pipeline until the source ends, the output closes, or the time after a stop is over.
///
/// `each_turn` is called once per turn and may add notes and print.
pub fn drive<F: Feed, S: Sink>(
    pipeline: &mut Pipeline<F::Batch, S>,
    feed: &Arc<F>,
    bounds: Bounds,
    stop: &Stop,
    clocks: Clocks<'_>,
    each_turn: &mut EachTurn<'_, F, S>,
) -> Driven {
    let limits = bounds.pull_limits();
    let (hand_over, batches) = bounded::<FromFeed<F::Batch>>(1);
    let (quit, quits) = bounded::<()>(0);
    let puller = thread::Builder::new().name("puller".to_owned()).spawn({
        let feed = Arc::clone(feed);
        move || pull(feed.as_ref(), limits, &hand_over, &quits)
    });
    let mut commits = Commits::default();
    let ending = match &puller {
        Ok(_) => turn_until_end(
            pipeline,
            feed,
            bounds,
            &limits,
            &batches,
            stop,
            clocks,
            each_turn,
            &mut commits,
        ),
        Err(error) => Ending::SourceFailed(FeedError {
            fault: FeedFault::Broken,
            message: format!("no thread for pulling: {error}"),
        }),
    };
    drop(quit);
    drop(batches);
    feed.interrupt();
    if let Ok(puller) = puller
        && puller.join().is_err()
    {
        tracing::error!("the pulling thread panicked");
    }
    Driven { ending, commits }
}

/// Waits for what is with the sink, sends the audits of what lands and no further record, until nothing can come of it
/// any more or until `deadline_us` of the monotonic clock.
pub fn settle_rest<F: Feed, S: Sink>(
    pipeline: &mut Pipeline<F::Batch, S>,
    feed: &F,
    deadline_us: i64,
    clocks: Clocks<'_>,
    commits: &mut Commits,
) {
    pipeline.stop_sending();
    turn_until(
        pipeline,
        feed,
        deadline_us,
        clocks,
        commits,
        // a reader that has gone acknowledges nothing more, but what goes elsewhere is waited for
        &|pipeline, _| {
            pipeline.is_idle()
                || pipeline.sink().closed() && pipeline.has_sent_all() && !pipeline.awaits_an_open_outlet()
        },
    );
}

/// Delivers the audit records that are in the chain, `run_closed` being the last, and makes the last commit, until both
/// are done or until `deadline_us` of the monotonic clock.
pub fn finish<F: Feed, S: Sink>(
    pipeline: &mut Pipeline<F::Batch, S>,
    feed: &F,
    deadline_us: i64,
    clocks: Clocks<'_>,
    commits: &mut Commits,
) {
    turn_until(
        pipeline,
        feed,
        deadline_us,
        clocks,
        commits,
        &|pipeline, commits| {
            !commits.is_pending()
                && (pipeline.is_audit_acknowledged() || !pipeline.sink().is_open(Route::Audit))
        },
    );
}

/// Says whether there is nothing left to wait for.
type IsDone<'a, B, S> = dyn Fn(&Pipeline<B, S>, &Commits) -> bool + 'a;

/// Turns until `is_done` or the deadline.
fn turn_until<F: Feed, S: Sink>(
    pipeline: &mut Pipeline<F::Batch, S>,
    feed: &F,
    deadline_us: i64,
    clocks: Clocks<'_>,
    commits: &mut Commits,
    is_done: &IsDone<'_, F::Batch, S>,
) {
    loop {
        let now_us = (clocks.monotonic_us)();
        pipeline.tell_wall_time((clocks.wall_us)());
        turn(pipeline, feed, now_us, commits);
        if is_done(pipeline, commits) || now_us >= deadline_us {
            return;
        }
        if let Ok(outcome) = pipeline
            .sink()
            .arrivals()
            .recv_timeout(Duration::from_millis(TICK_MS))
        {
            pipeline.settle(outcome, (clocks.monotonic_us)());
        }
    }
}

#[expect(clippy::too_many_arguments, reason = "the loop's whole world, named once")]
fn turn_until_end<F: Feed, S: Sink>(
    pipeline: &mut Pipeline<F::Batch, S>,
    feed: &Arc<F>,
    bounds: Bounds,
    limits: &PullLimits,
    batches: &Receiver<FromFeed<F::Batch>>,
    stop: &Stop,
    clocks: Clocks<'_>,
    each_turn: &mut EachTurn<'_, F, S>,
    commits: &mut Commits,
) -> Ending {
    let (no_batches, no_stop) = (never(), never());
    let mut deadline_us: Option<i64> = None;
    let mut source: Option<Result<(), FeedError>> = None;
    let mut stopping = false;
    loop {
        let now_us = (clocks.monotonic_us)();
        pipeline.tell_wall_time((clocks.wall_us)());
        turn(pipeline, feed.as_ref(), now_us, commits);
        let is_ending = stopping || source.is_some();
        each_turn(pipeline, feed, Turn { now_us, is_ending });
        if pipeline.sink().closed() {
            return Ending::OutputClosed;
        }
        if let Some(by) = pipeline.taken_over() {
            return Ending::TakenOver(by.clone());
        }
        if pipeline.is_idle()
            && let Some(source) = source.take()
        {
            return source.map_or_else(Ending::SourceFailed, |()| Ending::Ended);
        }
        if deadline_us.is_some_and(|deadline_us| now_us >= deadline_us) {
            return Ending::DeadlinePassed;
        }
        let open = source.is_none() && bounds.admit(pipeline, limits);
        let woken = {
            let batches = if open { batches } else { &no_batches };
            let stop = if stopping { &no_stop } else { stop };
            select! {
                recv(pipeline.sink().arrivals()) -> outcome => outcome.map_or(Woken::Tick, Woken::Outcome),
                recv(batches) -> batch => Woken::Batch(batch.unwrap_or(FromFeed::End)),
                recv(stop) -> _ => Woken::Stop,
                default(wait(pipeline, now_us)) => Woken::Tick,
            }
        };
        match woken {
            Woken::Batch(FromFeed::Batch(batch)) => pipeline.take(batch),
            Woken::Batch(FromFeed::End) => source = Some(Ok(())),
            Woken::Batch(FromFeed::Failed(error)) => {
                tracing::error!(%error, "source failed, delivering what it had handed out");
                source = Some(Err(error));
            }
            Woken::Outcome(outcome) => pipeline.settle(outcome, (clocks.monotonic_us)()),
            Woken::Stop => {
                stopping = true;
                let drain_us = i64::try_from(bounds.drain_ms)
                    .unwrap_or(i64::MAX)
                    .saturating_mul(1000);
                deadline_us = Some((clocks.monotonic_us)().saturating_add(drain_us));
                tracing::info!(
                    drain_ms = bounds.drain_ms,
                    in_flight = pipeline.held_records(),
                    "stopping, draining"
                );
                if let Err(error) = feed.drain(u32::try_from(bounds.drain_ms).unwrap_or(u32::MAX)) {
                    tracing::warn!(%error, "source does not drain");
                }
            }
            Woken::Tick => {}
        }
    }
}

fn wait<B: super::Batch, S: Sink>(pipeline: &Pipeline<B, S>, now_us: i64) -> Duration {
    let due_us = pipeline
        .due_us()
        .map_or(i64::MAX, |due_us| due_us.saturating_sub(now_us).max(1000));
    Duration::from_micros(u64::try_from(due_us).unwrap_or(0)).min(Duration::from_millis(TICK_MS))
}

/// One turn: book what has arrived, do what can be done, commit.
fn turn<F: Feed, S: Sink>(
    pipeline: &mut Pipeline<F::Batch, S>,
    feed: &F,
    now_us: i64,
    commits: &mut Commits,
) {
    // bounded by what can be in flight, so that commits and deadlines are not starved
    for _ in 0..=pipeline.held_records() {
        let Ok(outcome) = pipeline.sink().arrivals().try_recv() else {
            break;
        };
        pipeline.settle(outcome, now_us);
    }
    if let Some(sequence) = pipeline.advance(now_us) {
        commits.pending = Some(sequence);
    }
    commits.make(feed);
}

fn pull<F: Feed>(feed: &F, limits: PullLimits, hand_over: &Sender<FromFeed<F::Batch>>, quits: &Receiver<()>) {
    let mut failing = false;
    let mut pause = Duration::ZERO;
    loop {
        match quits.recv_timeout(pause) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
        }
        pause = Duration::ZERO;
        let given = match feed.next_batch(limits) {
            Ok(Pulled::Batch(batch)) => {
                failing = false;
                FromFeed::Batch(batch)
            }
            Ok(Pulled::Nothing) => continue,
            Ok(Pulled::End) => FromFeed::End,
            Err(error) if error.is_retryable() => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(%error, "pull failed, repeating it");
                }
                pause = Duration::from_millis(PULL_RETRY_MS);
                continue;
            }
            Err(error) => FromFeed::Failed(error),
        };
        let last = !matches!(given, FromFeed::Batch(_));
        if hand_over.send(given).is_err() || last {
            return;
        }
    }
}
