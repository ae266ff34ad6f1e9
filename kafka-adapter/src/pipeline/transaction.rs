//! Transactions: every record up to a point, its audit and the source's position, or nothing of it.
//!
//! Responsible for what one transaction holds, for commits, and for what follows when one fails: abort, a new producer,
//! and once more from memory. Refuses to commit anything that has a hole, and to write where another process writes.
//! Invariant: the source is told of a record only after the transaction that holds it is committed.
//!
//! # States
//! *Idle*: nothing is begun. *Open*: entries up to a fixed end are handed to the sink, and their audits after them; what
//! is pulled meanwhile waits for the next transaction, so that they batch by themselves. *Committing* and *Aborting*: the
//! sink was asked and will answer. *Opening*: a new producer is on its way, and with it the position that is in Kafka,
//! which says whether a commit without an answer was made.

mod redo;
mod start;

use crate::audit::Mark;
use crate::position::{self, Position};
use crate::sink::{Answer, Meaning, Sink};

use super::feed::Batch;
use super::window::{Origin, Status};
pub use start::{Start, TakenOver, Tokens};

use super::{Counters, FIRST_PAUSE_US, KeyGate, LONGEST_PAUSE_US, Mode, Pipeline, Stage};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    Open,
    Committing,
    Aborting,
    Opening,
    Over,
}

/// What has been begun.
#[derive(Debug)]
struct Begun {
    first: u64,
    end: u64,
    /// Entries without an acknowledged audit, or acknowledgement of their own.
    missing: u64,
    mark: Mark,
    counters: Counters,
}

/// What a commit writes: the bytes, and the last record with its token.
#[derive(Debug)]
struct Pending {
    bytes: Vec<u8>,
    last: Option<(u64, String)>,
}

/// The state of the transactions.
#[derive(Debug)]
pub(super) struct Transactions {
    start: Start,
    state: State,
    begun: Option<Begun>,
    pending: Option<Pending>,
    /// The last record that is in Kafka, and its token.
    last: Option<(u64, String)>,
    /// Transactions committed.
    committed: u64,
    /// Refused in this transaction.
    suspects: Vec<u64>,
    /// No transaction goes further while the culprit of a refused batch is looked for.
    limit: Option<u64>,
    /// Why the open transaction cannot be committed.
    reason: Option<String>,
    /// That transactions fail has been told, and not yet that they go on.
    failing: bool,
    taken_over: Option<TakenOver>,
}

impl Transactions {
    pub(super) fn resolve(&mut self) {
        if let Some(begun) = &mut self.begun {
            begun.missing = begun.missing.saturating_sub(1);
        }
    }

    /// Notes that a record was refused, which its neighbours may be to blame for.
    pub(super) fn suspect(&mut self, number: u64) {
        self.suspects.push(number);
    }

    pub(super) fn is_idle(&self) -> bool {
        self.state == State::Idle
    }

    /// Says whether the sink was asked for something that it has not answered.
    pub(super) fn is_asking(&self) -> bool {
        matches!(self.state, State::Committing | State::Aborting | State::Opening)
    }
}

impl<B: Batch, S: Sink> Pipeline<B, S> {
    /// Puts all that is delivered into transactions; the sink has opened its ledger.
    #[must_use]
    pub fn in_transactions(mut self, start: Start) -> Self {
        let known = start.position.as_deref();
        let known = known.and_then(|known| Position::read(&start.shard, known).ok());
        let last = known.and_then(|known| known.sequence.zip(known.token));
        // order per key is the transaction's affair
        self.gate = None::<KeyGate>;
        self.cursor_end = 0;
        self.transactions = Some(Transactions {
            start,
            state: State::Idle,
            begun: None,
            pending: None,
            last,
            committed: 0,
            suspects: Vec::new(),
            limit: None,
            reason: None,
            failing: false,
            taken_over: None,
        });
        self
    }

    /// Who has taken over, if someone has: nothing can be delivered any more.
    #[must_use]
    pub fn taken_over(&self) -> Option<&TakenOver> {
        self.transactions.as_ref()?.taken_over.as_ref()
    }

    /// Transactions committed so far.
    #[must_use]
    pub fn transactions_committed(&self) -> u64 {
        self.transactions.as_ref().map_or(0, |open| open.committed)
    }

    fn state(&self) -> State {
        self.transactions.as_ref().map_or(State::Idle, |open| open.state)
    }

    fn enter(&mut self, state: State) {
        if let Some(open) = &mut self.transactions {
            open.state = state;
        }
    }

    /// As [`Pipeline::advance`], in transactions.
    pub(super) fn advance_transactions(&mut self, now_us: i64) -> Option<u64> {
        let mut watermark = None;
        loop {
            let before = (self.state(), self.transactions_committed());
            if let Some(answer) = self.sink.ledger().and_then(|ledger| ledger.answer()) {
                watermark = self.answered(answer, now_us).or(watermark);
            }
            self.go_on(now_us);
            let mut outcomes = std::mem::take(&mut self.outcomes);
            self.sink.end_turn(&mut outcomes);
            let settled = !outcomes.is_empty();
            for outcome in outcomes.drain(..) {
                self.settle(outcome, now_us);
            }
            self.outcomes = outcomes;
            if !settled && before == (self.state(), self.transactions_committed()) {
                break;
            }
        }
        self.note_reach(now_us);
        watermark
    }

    fn go_on(&mut self, now_us: i64) {
        let state = self.state();
        if !matches!(state, State::Idle | State::Open) {
            return;
        }
        if self.dead_producer.is_none() {
            self.dead_producer = self.sink.fatal();
        }
        if let Some(reason) = self.dead_producer.clone() {
            if now_us >= self.resume_at_us {
                self.reopen(&reason);
            }
            return;
        }
        if state == State::Idle && now_us >= self.resume_at_us && self.may_begin() {
            self.begin(now_us);
        }
        if self.state() != State::Open {
            return;
        }
        if matches!(self.mode, Mode::Flow) {
            self.flow(now_us);
        }
        if !matches!(self.mode, Mode::Flow) {
            self.enter(State::Aborting);
            if let Some(ledger) = self.sink.ledger() {
                ledger.abort();
            }
        } else if self.dead_producer.is_none() && self.in_sink == 0 && now_us >= self.resume_at_us {
            self.commit(now_us);
        }
    }

    /// Whether there is something to begin a transaction with. After a stop none is begun that holds a record: it stays
    /// with the source.
    fn may_begin(&self) -> bool {
        let only_notes = || {
            self.window
                .iter()
                .all(|entry| matches!(entry.origin, Origin::Run(_)))
        };
        !self.window.is_empty() && (self.stage == Stage::Open || only_notes())
    }

    fn begin(&mut self, now_us: i64) {
        let Some(open) = &mut self.transactions else {
            return;
        };
        let first = self.cursor;
        let (mut end, mut bytes) = (first, 0);
        for entry in self.window.iter() {
            bytes += entry.bytes;
            let is_full = end - first >= open.start.max_records as u64 || bytes > open.start.max_bytes;
            if end > first && (is_full || open.limit == Some(end)) {
                break;
            }
            end += 1;
        }
        let begun = self.sink.ledger().map(|ledger| ledger.begin());
        if let Some(Err(failure)) = begun {
            self.pause(failure.meaning, &failure.reason, now_us);
            self.dead_producer = Some(failure.reason);
            return;
        }
        open.begun = Some(Begun {
            first,
            end,
            missing: end - first,
            mark: self.chain.mark(),
            counters: self.counters,
        });
        open.state = State::Open;
        self.cursor_end = end;
    }

    /// Commits, if everything of the transaction is there.
    fn commit(&mut self, now_us: i64) {
        let Some(open) = &mut self.transactions else {
            return;
        };
        let Some(begun) = open.begun.as_ref().filter(|begun| begun.missing == 0) else {
            return;
        };
        let last = (begun.first..begun.end)
            .rev()
            .find_map(|number| self.window.entry(number)?.sequence());
        let last = match last {
            Some(sequence) => match (open.start.tokens)(sequence) {
                Ok(token) => Some((sequence, token)),
                Err(error) => {
                    let reason = format!("the source gives no position, and nothing is committed: {error}");
                    self.pause(Meaning::Blocked, &reason, now_us);
                    return;
                }
            },
            None => open.last.clone(),
        };
        let bytes = position::write(&position::Facts {
            shard: &open.start.shard,
            last: last.as_ref().map(|(sequence, token)| (*sequence, token.as_str())),
            run_id: &open.start.run_id,
            transaction: open.committed + 1,
            chain: self.chain.mark(),
        });
        open.pending = Some(Pending {
            bytes: bytes.clone(),
            last,
        });
        open.state = State::Committing;
        if let Some(ledger) = self.sink.ledger() {
            ledger.commit(bytes);
        }
    }

    fn answered(&mut self, answer: Answer, now_us: i64) -> Option<u64> {
        // what it still owed has come
        while let Ok(outcome) = self.sink.arrivals().try_recv() {
            self.settle(outcome, now_us);
        }
        match answer {
            Answer::Committed => return self.committed(now_us),
            Answer::Aborted => self.redo(now_us),
            Answer::Spoiled(reason) => {
                self.spoil(Meaning::Rewind, &reason, now_us);
                self.enter(State::Aborting);
                if let Some(ledger) = self.sink.ledger() {
                    ledger.abort();
                }
            }
            Answer::Broken(reason) => self.reopen(&reason),
            Answer::Opened(found) => {
                self.counters.producer_replacements += 1;
                self.resume_at_us = now_us + self.pause_us;
                self.pause_us = (self.pause_us * 2).min(LONGEST_PAUSE_US);
                self.dead_producer = None;
                let pending = self.transactions.as_ref().and_then(|open| open.pending.as_ref());
                if pending.is_some_and(|pending| found.as_ref() == Some(&pending.bytes)) {
                    return self.committed(now_us);
                }
                self.redo(now_us);
            }
            Answer::TakenOver(found) => {
                if let Some(open) = &mut self.transactions {
                    let shard = open.start.shard.clone();
                    let by = Position::read(&shard, &found)
                        .ok()
                        .map(|position| position.run_id);
                    tracing::error!(
                        shard,
                        by,
                        "another process has taken over this shard, nothing more is delivered"
                    );
                    open.taken_over = Some(TakenOver { shard, by });
                    open.state = State::Over;
                }
            }
            Answer::Impossible(reason) => {
                self.enter(State::Idle);
                self.pause(Meaning::Blocked, &reason, now_us);
                self.dead_producer = Some(reason);
            }
        }
        None
    }

    /// Gives the producer up and asks for a new one, and for the position that says what became of a commit.
    fn reopen(&mut self, reason: &str) {
        tracing::warn!(
            reason,
            in_flight = self.in_sink,
            "producer died, replacing it and replaying from memory"
        );
        self.dead_producer = Some(reason.to_owned());
        let Some(open) = &mut self.transactions else {
            return;
        };
        let mut ours = vec![open.start.position.clone()];
        ours.extend(open.pending.as_ref().map(|pending| Some(pending.bytes.clone())));
        open.state = State::Opening;
        if let Some(ledger) = self.sink.ledger() {
            ledger.open(Some(ours));
        }
    }

    /// Books a committed transaction and returns the sequence to commit at the source.
    fn committed(&mut self, now_us: i64) -> Option<u64> {
        self.silence.end();
        let open = self.transactions.as_mut()?;
        let begun = open.begun.take()?;
        if let Some(pending) = open.pending.take() {
            open.last = pending.last;
            open.start.position = Some(pending.bytes);
        }
        open.committed += 1;
        open.suspects.clear();
        open.reason = None;
        if open.limit.is_some_and(|limit| begun.end >= limit) {
            open.limit = None;
        }
        open.state = State::Idle;
        let told = std::mem::take(&mut open.failing);
        for number in begun.first..begun.end {
            if let Some(entry) = self.window.entry_mut(number) {
                entry.status = Status::Resolved;
                let audit = std::mem::take(&mut entry.audit);
                if audit.capacity() > 0 {
                    self.spare.push(audit);
                }
                self.counters.resolved += u64::from(matches!(entry.origin, Origin::Record { .. }));
                self.parked_once.remove(&number);
            }
        }
        self.cursor = begun.end;
        self.in_sink = 0;
        self.pause_us = FIRST_PAUSE_US;
        if self.blocked.is_some() || told {
            self.tell_going_on(now_us);
        }
        self.window.advance()
    }
}

#[cfg(test)]
mod tests;
