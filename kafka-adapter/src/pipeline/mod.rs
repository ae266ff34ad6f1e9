//! The pipeline: from batches of the source to resolved records, with everything in between owned by one thread.
//!
//! Responsible for the life of a record (pulled, sent, delivered, audit sent, audit acknowledged, resolved), for
//! replays and for the watermark. Refuses to drop a record: one that cannot be delivered anywhere stays unresolved
//! and the commit halts. Invariant: `pulled = resolved + in flight`, with each term counted on its own.
//!
//! # States
//! *Flow*: entries are handed to the sink in hand-out order; audits follow delivery reports. *Drain*: something
//! failed; nothing is sent until nothing is in flight. *Isolate*: the failed entries are sent again, in order, in
//! groups that are halved until the culprit is alone. A fatal producer error ends any of the three: new producer, and
//! everything unresolved is sent again in order.
//!
//! A destination that takes records one by one (a webhook) stops nothing: a record that failed waits for a time of its
//! own with its key's later records behind it in the gate, and a breaker holds the events while none is accepted.

mod breaker;
mod closing;
mod commits;
mod counters;
mod delivery;
mod drive;
mod feed;
mod flow;
mod isolation;
mod key_gate;
mod landings;
mod notes;
mod plugin_feed;
mod reach;
mod replay;
mod retry;
mod transaction;
mod window;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use crate::audit::Chain;
use crate::record::Kind;
use crate::sink::{Landing, Meaning, Outcome, Route, Sink, WAKE};

use breaker::Breaker;
use closing::Stage;
use isolation::Isolation;
use key_gate::KeyGate;
use reach::{Blocked, Silence};
use retry::{Later, Tries};
use transaction::Transactions;
use window::{Entry, Leg, Origin, Status, Window};

pub use commits::Commits;
pub use counters::Counters;
pub use drive::{Bounds, Clocks, Driven, EachTurn, Ending, Stop, Turn, drive, finish, settle_rest};
pub use feed::{AttributesOf, Batch, Feed, FeedError, FeedFault, PullLimits, Pulled};
pub use transaction::{Start as TransactionStart, TakenOver, Tokens};
pub use window::Measure;

/// First pause before failed entries are sent again, in microseconds; doubled each time, up to [`LONGEST_PAUSE_US`].
const FIRST_PAUSE_US: i64 = 100_000;
/// Longest pause, in microseconds.
const LONGEST_PAUSE_US: i64 = 5_000_000;
/// Pause before an audit record that was refused alone is tried again, in microseconds: each try drains the flight.
const PARKED_PAUSE_US: i64 = 30_000_000;
/// Bytes that an entry counts beyond key and body: id, type, subject, attributes, and the entry itself.
const ENTRY_BYTES: u64 = 512;

#[derive(Debug)]
enum Mode {
    Flow,
    Drain,
    Isolate(Isolation),
}

/// The state of a run; see the module.
#[derive(Debug)]
pub struct Pipeline<B, S> {
    window: Window<B>,
    sink: S,
    chain: Chain,
    source_name: String,
    /// Entries to hand to the sink next, ahead of the cursor.
    ready: VecDeque<u64>,
    /// Entries whose outlet was full, by the route of their leg; they go before `ready`.
    stalled: [VecDeque<u64>; Route::ALL.len()],
    /// The next entry that has never been looked at.
    cursor: u64,
    /// Entries from here on are not sent yet, whatever room there is.
    cursor_end: u64,
    gate: Option<KeyGate>,
    stage: Stage,
    mode: Mode,
    /// A group is being sent at this moment, so that a refusal at the door belongs to it.
    isolating: bool,
    /// Entries that failed since the flow was stopped.
    failed: Vec<u64>,
    /// Parcels with the sink.
    in_sink: usize,
    dead_producer: Option<String>,
    /// Time for audit records, in microseconds since 1970 UTC; every wait runs on the monotonic clock instead.
    wall_us: i64,
    resume_at_us: i64,
    pause_us: i64,
    /// Entries refused alone with nowhere to go, and when to try them again.
    parked: Vec<(u64, i64)>,
    /// Unresolved entries that have been parked at least once.
    parked_once: BTreeSet<u64>,
    /// Entries that failed alone, and when to try them again.
    later: Later,
    /// Holds the events while their destination takes none.
    breaker: Breaker,
    /// Why deliveries are blocked, while they are.
    blocked: Option<Blocked>,
    /// Records refused alone by the time the flow was stopped.
    refused_before: u64,
    unreachable: bool,
    silence: Silence,
    /// Where what is delivered goes into transactions.
    transactions: Option<Transactions>,
    counters: Counters,
    outcomes: Vec<Outcome>,
    scratch: Vec<u8>,
    text: String,
    spare: Vec<Vec<u8>>,
}

impl<B: Batch, S: Sink> Pipeline<B, S> {
    /// Begins a run on a sink.
    #[must_use]
    pub fn new(sink: S, chain: Chain, source_name: String) -> Self {
        Self {
            window: Window::new(),
            gate: sink.serial_per_key().then(KeyGate::default),
            sink,
            chain,
            source_name,
            ready: VecDeque::new(),
            stalled: Default::default(),
            cursor: 0,
            cursor_end: u64::MAX,
            stage: Stage::Open,
            mode: Mode::Flow,
            isolating: false,
            failed: Vec::new(),
            in_sink: 0,
            dead_producer: None,
            wall_us: 0,
            resume_at_us: i64::MIN,
            pause_us: FIRST_PAUSE_US,
            parked: Vec::new(),
            parked_once: BTreeSet::new(),
            later: Later::default(),
            breaker: Breaker::default(),
            blocked: None,
            refused_before: 0,
            unreachable: false,
            silence: Silence::default(),
            transactions: None,
            counters: Counters::default(),
            outcomes: Vec::new(),
            scratch: Vec::new(),
            text: String::new(),
            spare: Vec::new(),
        }
    }

    /// The sink.
    #[must_use]
    pub fn sink(&self) -> &S {
        &self.sink
    }

    /// The counts so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Counts what is in flight, entry by entry.
    #[must_use]
    pub fn measure(&self) -> Measure {
        self.window.measure()
    }

    /// Entries in the window, resolved ones behind an unresolved one included.
    #[must_use]
    pub fn held_records(&self) -> usize {
        self.window.len()
    }

    /// Bytes that the window keeps alive.
    #[must_use]
    pub fn held_bytes(&self) -> u64 {
        self.window.bytes()
    }

    /// Says whether every entry is resolved.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.window.is_empty()
    }

    /// Takes over a batch, in hand-out order.
    pub fn take(&mut self, batch: B) {
        let batch = Arc::new(batch);
        for index in 0..batch.len() {
            let record = batch.record(index);
            let entry = Entry {
                route: match record.kind {
                    Kind::Event => Route::Event,
                    Kind::DeadLetter => Route::DeadLetter,
                    Kind::Control => Route::Control,
                },
                leg: Leg::Record,
                key: if record.key.is_empty() {
                    0
                } else {
                    xxh3_64(record.key.as_bytes()).max(1)
                },
                bytes: (record.body.len() + record.key.len()) as u64 + ENTRY_BYTES,
                received_time_us: record.received_time_us,
                origin: Origin::Record {
                    index: u32::try_from(index).unwrap_or(u32::MAX),
                    sequence: record.sequence,
                    batch: Arc::clone(&batch),
                },
                ..Entry::new()
            };
            self.window.push(entry);
            self.counters.pulled += 1;
        }
    }

    /// Sets the time that audit records state, in microseconds since 1970 UTC. Waits do not depend on it.
    pub fn tell_wall_time(&mut self, wall_us: i64) {
        self.wall_us = wall_us;
    }

    /// Books what became of a parcel; `now_us` is monotonic, in microseconds.
    pub fn settle(&mut self, outcome: Outcome, now_us: i64) {
        let number = outcome.token;
        let Some(entry) = self
            .window
            .entry_mut(number)
            .filter(|entry| entry.status == Status::Sent)
        else {
            self.counters.stray_outcomes += u64::from(number != WAKE);
            return;
        };
        self.in_sink -= 1;
        match outcome.result {
            Ok(landing) => self.land(number, landing),
            Err(failure) if matches!(failure.meaning, Meaning::Later { .. } | Meaning::Shut) => {
                self.postpone(number, &failure, now_us);
            }
            Err(failure) if failure.meaning == Meaning::RefusedAlone => {
                entry.status = Status::Ready;
                entry.add_reason(&failure.reason);
                self.breaker.answered(number);
                if self.condemn(number, now_us) {
                    self.ready.push_back(number);
                }
            }
            Err(failure) => {
                entry.status = Status::Held(failure.meaning);
                entry.resent = true;
                if failure.meaning == Meaning::Refused {
                    entry.add_reason(&failure.reason);
                }
                if failure.meaning == Meaning::Fatal {
                    self.dead_producer.get_or_insert(failure.reason);
                } else if let Some(open) = &mut self.transactions {
                    if failure.meaning == Meaning::Refused {
                        open.suspect(number);
                    }
                    self.spoil(failure.meaning, &failure.reason, now_us);
                } else if self.stage != Stage::Open && entry.leg != Leg::Audit {
                    // left over: no record is sent again
                } else if !matches!(self.mode, Mode::Isolate(_)) {
                    self.stop_flow(number, failure.meaning, &failure.reason, now_us);
                } else if failure.meaning != Meaning::Refused {
                    self.pause(failure.meaning, &failure.reason, now_us);
                }
            }
        }
    }

    fn land(&mut self, number: u64, landing: Landing) {
        self.silence.end();
        let Some(entry) = self.window.entry_mut(number) else {
            return;
        };
        let route = match entry.leg {
            Leg::Audit => {
                self.counters.audits += 1;
                self.resolve(number);
                return;
            }
            Leg::Record | Leg::DeadLetter | Leg::LastResort => entry.leg_route(),
        };
        let (key, is_control) = (entry.key, entry.route == Route::Control);
        self.counters.order_exceptions += self.window.land(number, route, landing);
        if route == Route::Event {
            self.breaker.answered(number);
        }
        if self.transactions.is_none() {
            self.pause_us = FIRST_PAUSE_US;
        }
        *match route {
            Route::Event => &mut self.counters.events,
            Route::Control => &mut self.counters.control,
            Route::LastResort => &mut self.counters.last_resort,
            Route::DeadLetter | Route::Audit => &mut self.counters.dead_letters,
        } += 1;
        if let Some(next) = self.gate.as_mut().and_then(|gate| gate.release(key)) {
            self.ready.push_back(next);
        }
        if is_control {
            self.resolve(number);
        } else if let Some(entry) = self.window.entry_mut(number) {
            entry.leg = Leg::Audit;
            entry.status = Status::Ready;
            self.ready.push_back(number);
        }
    }

    fn resolve(&mut self, number: u64) {
        let Some(entry) = self.window.entry_mut(number) else {
            return;
        };
        if let Some(open) = &mut self.transactions {
            entry.status = Status::Delivered;
            open.resolve();
            return;
        }
        entry.status = Status::Resolved;
        let audit = std::mem::take(&mut entry.audit);
        if matches!(entry.origin, Origin::Record { .. }) {
            self.counters.resolved += 1;
        }
        if audit.capacity() > 0 {
            self.spare.push(audit);
        }
        self.parked_once.remove(&number);
    }

    /// Does all that can be done now and returns the sequence to commit, if the watermark moved; `now_us` is monotonic,
    /// in microseconds.
    pub fn advance(&mut self, now_us: i64) -> Option<u64> {
        if self.transactions.is_some() {
            return self.advance_transactions(now_us);
        }
        loop {
            if self.dead_producer.is_none() {
                self.dead_producer = self.sink.fatal();
            }
            if self.dead_producer.is_some() && now_us >= self.resume_at_us {
                self.replace(now_us);
            }
            if self.dead_producer.is_none() {
                self.step(now_us);
            }
            let mut outcomes = std::mem::take(&mut self.outcomes);
            self.sink.end_turn(&mut outcomes);
            let settled = !outcomes.is_empty();
            for outcome in outcomes.drain(..) {
                self.settle(outcome, now_us);
            }
            self.outcomes = outcomes;
            if !settled {
                break;
            }
        }
        self.note_reach(now_us);
        self.window.advance()
    }

    /// When something is due that no outcome will announce, in microseconds of the monotonic clock.
    #[must_use]
    pub fn due_us(&self) -> Option<i64> {
        let flows = matches!(self.mode, Mode::Flow) && self.dead_producer.is_none();
        let resume = (!flows).then_some(self.resume_at_us);
        let later = flows.then(|| self.later.due_us()).flatten();
        // nothing is due at a breaker while no event waits behind it
        let waits = flows && !self.stalled[Route::Event.index()].is_empty();
        let probe = waits.then(|| self.breaker.due_us()).flatten();
        self.parked
            .iter()
            .map(|(_, due)| *due)
            .chain(resume)
            .chain(later)
            .chain(probe)
            .min()
    }
}

#[cfg(test)]
mod tests;
