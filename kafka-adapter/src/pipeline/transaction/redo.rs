//! What follows a transaction that was not committed: everything of it once more, but not as it was.
//!
//! Responsible for putting entries, chain and counts back to where the transaction began, and for finding the record that
//! a broker refuses. Refuses to dead-letter a record that was refused with a neighbour: the next transaction is made
//! shorter instead, until it was refused alone. Invariant: nothing of a failed transaction counts as delivered but what
//! is in the local file, which no abort takes back.

use crate::sink::{Meaning, Route, Sink};

use super::super::feed::Batch;
use super::super::window::{Leg, Status};
use super::super::{Counters, FIRST_PAUSE_US, Mode, Pipeline, Tries};
use super::State;

impl<B: Batch, S: Sink> Pipeline<B, S> {
    /// Notes that the open transaction cannot be committed any more.
    pub(in crate::pipeline) fn spoil(&mut self, meaning: Meaning, reason: &str, now_us: i64) {
        let Some(open) = &mut self.transactions else {
            return;
        };
        self.mode = Mode::Drain;
        // a refusal makes everything behind it fail for the state of the transaction
        if open.reason.is_none() || meaning == Meaning::Refused {
            open.reason = Some(reason.to_owned());
        }
        if meaning != Meaning::Refused {
            self.pause(meaning, reason, now_us);
        }
    }

    /// Puts everything back to where the transaction began, except what was learned from it.
    pub(super) fn redo(&mut self, now_us: i64) {
        let Some(open) = &mut self.transactions else {
            return;
        };
        open.pending = None;
        open.state = State::Idle;
        let mut suspects = std::mem::take(&mut open.suspects);
        let reason = open.reason.take();
        let Some(begun) = open.begun.take() else { return };
        if !std::mem::replace(&mut open.failing, true) {
            self.refused_before = self.counters.refused;
            // what is blocked has been told
            if self.blocked.is_none() {
                let records = begun.end - begun.first;
                tracing::warn!(
                    reason,
                    records,
                    "transaction aborted, it is repeated until it succeeds"
                );
            }
        }
        if !suspects.is_empty() {
            // waiting makes no record better
            (self.resume_at_us, self.pause_us) = (now_us, FIRST_PAUSE_US);
        }
        suspects.sort_unstable();
        suspects.dedup();
        match suspects.as_slice() {
            [] => {}
            [alone] => {
                open.limit = None;
                let alone = *alone;
                if !self.condemn(alone, now_us) {
                    let reason = "a record was refused alone and has nowhere else to go".to_owned();
                    self.pause(Meaning::Blocked, &reason, now_us);
                }
            }
            some => {
                let (first, _) = some.split_at(some.len().div_ceil(2));
                open.limit = first.last().map(|last| last + 1);
            }
        }
        self.chain.rewind(begun.mark);
        self.take_back(&begun.counters);
        for number in begun.first..begun.end {
            let Some(entry) = self.window.entry_mut(number) else {
                continue;
            };
            self.counters.resent += u64::from(entry.tries.handed_over() > 0 || entry.leg == Leg::Audit);
            if entry.leg == Leg::Audit {
                entry.leg = match entry.landed {
                    Some((Route::LastResort, _)) => Leg::Audit,
                    Some((Route::DeadLetter, _)) if entry.route != Route::DeadLetter => Leg::DeadLetter,
                    Some(_) => Leg::Record,
                    // about the run itself
                    None => Leg::Audit,
                };
            }
            if entry.leg != Leg::Audit {
                entry.landed = None;
            }
            entry.status = Status::Ready;
            entry.resent = false;
            entry.tries = Tries::default();
            entry.audit.clear();
        }
        self.window.forget_landings();
        self.ready.clear();
        self.stalled
            .iter_mut()
            .for_each(std::collections::VecDeque::clear);
        self.failed.clear();
        // whatever was refused without another destination comes back with its transaction
        self.parked.clear();
        self.cursor = begun.first;
        self.cursor_end = begun.first;
        self.in_sink = 0;
        self.mode = Mode::Flow;
    }

    /// Puts back what was counted for deliveries that nobody will ever see.
    fn take_back(&mut self, before: &Counters) {
        let now = &mut self.counters;
        now.events = before.events;
        now.dead_letters = before.dead_letters;
        now.control = before.control;
        now.audits = before.audits;
        now.order_exceptions = before.order_exceptions;
    }
}
