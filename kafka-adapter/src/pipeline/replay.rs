//! Replays: what happens after a delivery failed.
//!
//! Responsible for draining, for isolating the record that a destination refuses, for pauses while a destination is
//! blocked, and for replacing a dead producer. Refuses to dead-letter a batch: only a record refused alone gets
//! another leg. Invariant: what failed is sent again in hand-out order before anything that came after it.

use std::collections::VecDeque;

use crate::sink::{Meaning, Route, Sink};

use super::delivery::Step;
use super::feed::Batch;
use super::isolation::{Isolation, Verdict};
use super::reach::Blocked;
use super::retry::Tries;
use super::window::{Leg, Status};
use super::{FIRST_PAUSE_US, LONGEST_PAUSE_US, Mode, PARKED_PAUSE_US, Pipeline};

impl<B: Batch, S: Sink> Pipeline<B, S> {
    /// Goes as far as the present mode can without another outcome.
    pub(super) fn step(&mut self, now_us: i64) {
        if matches!(self.mode, Mode::Flow) {
            self.flow(now_us);
        }
        if matches!(self.mode, Mode::Drain) && self.in_sink == 0 {
            let mut failed = std::mem::take(&mut self.failed);
            failed.sort_unstable();
            self.mode = Mode::Isolate(Isolation::new(failed));
        }
        while matches!(self.mode, Mode::Isolate(_)) && self.dead_producer.is_none() {
            if now_us < self.resume_at_us || !self.isolate(now_us) {
                break;
            }
        }
    }

    /// Sends and judges one group; says whether another step makes sense at once.
    fn isolate(&mut self, now_us: i64) -> bool {
        let Mode::Isolate(mut isolation) = std::mem::replace(&mut self.mode, Mode::Flow) else {
            return false;
        };
        while let Some(number) = isolation.to_send() {
            self.isolating = true;
            let step = self.deliver(number, now_us);
            self.isolating = false;
            match step {
                Step::Again => {}
                Step::Full | Step::DeadProducer => {
                    self.mode = Mode::Isolate(isolation);
                    return false;
                }
                Step::Sent | Step::Held => isolation.handed_over(),
            }
        }
        if self.in_sink > 0 {
            self.mode = Mode::Isolate(isolation);
            return false;
        }
        let failed: Vec<(u64, Meaning)> = isolation
            .current()
            .iter()
            .filter_map(|&number| match self.window.entry(number)?.status {
                Status::Held(meaning) => Some((number, meaning)),
                _ => None,
            })
            .collect();
        let verdict = isolation.judge(&failed);
        if verdict != Verdict::Again {
            self.pause_us = FIRST_PAUSE_US;
        }
        let mut parked = false;
        if let Verdict::Condemn(number) = verdict
            && !self.condemn(number, now_us)
        {
            isolation.give_up_current();
            parked = true;
        }
        if verdict == Verdict::Done || isolation.current().is_empty() {
            if !parked {
                self.tell_going_on(now_us);
            }
            return true;
        }
        self.mode = Mode::Isolate(isolation);
        true
    }

    /// Stops the flow because of a failed entry, which waits for its place in the replay.
    pub(super) fn stop_flow(&mut self, number: u64, meaning: Meaning, reason: &str, now_us: i64) {
        self.failed.push(number);
        if matches!(self.mode, Mode::Flow) {
            self.mode = Mode::Drain;
            self.refused_before = self.counters.refused;
            // a producer that dies gives back what it held; that it died is told when it is replaced
            if self.dead_producer.is_none() {
                self.dead_producer = self.sink.fatal();
            }
            // what is blocked is told below, once for as long as it lasts
            if meaning != Meaning::Blocked && self.dead_producer.is_none() {
                tracing::warn!(
                    reason,
                    in_flight = self.in_sink,
                    "delivery failed, draining before it is repeated"
                );
            }
        }
        if meaning != Meaning::Refused {
            self.pause(meaning, reason, now_us);
        }
    }

    pub(super) fn pause(&mut self, meaning: Meaning, reason: &str, now_us: i64) {
        if now_us + self.pause_us / 2 > self.resume_at_us {
            self.resume_at_us = now_us + self.pause_us;
            self.pause_us = (self.pause_us * 2).min(LONGEST_PAUSE_US);
        }
        if meaning == Meaning::Blocked && self.blocked.is_none() {
            self.blocked = Some(Blocked {
                reason: reason.to_owned(),
                since_us: now_us,
            });
            tracing::error!(
                reason,
                in_flight = self.in_sink,
                "deliveries are blocked, the commit halts; they are repeated until they succeed"
            );
        }
    }

    /// Says once that the flow goes on, and after what.
    pub(super) fn tell_going_on(&mut self, now_us: i64) {
        let held = self.ready.len();
        if let Some(blocked) = self.blocked.take() {
            let blocked_ms = (now_us - blocked.since_us) / 1000;
            tracing::info!(held, blocked_ms, "deliveries go on");
        } else if self.counters.refused > self.refused_before {
            tracing::info!(held, "refused records isolated, deliveries go on");
        } else {
            tracing::info!(held, "failed records delivered, deliveries go on");
        }
    }

    /// Gives a record that was refused alone its next leg; says no if there is none and it is parked.
    pub(super) fn condemn(&mut self, number: u64, now_us: i64) -> bool {
        let Some(entry) = self.window.entry_mut(number) else {
            return false;
        };
        entry.resent = true;
        entry.tries = Tries::default();
        let next = match (entry.leg, entry.route) {
            (Leg::Record, Route::DeadLetter) | (Leg::DeadLetter, _) => Some(Leg::LastResort),
            (Leg::Record, _) => Some(Leg::DeadLetter),
            (Leg::LastResort | Leg::Audit, _) => None,
        };
        let reason = entry.reason.as_deref().unwrap_or_default();
        let sequence = entry.sequence();
        match next {
            Some(leg) => {
                self.counters.refused += 1;
                tracing::warn!(sequence, reason, to = ?leg, "record refused alone, kept as a dead letter");
                entry.leg = leg;
            }
            None => {
                // told once, however often it is tried again
                if self.parked_once.insert(number) {
                    tracing::error!(
                        sequence,
                        reason,
                        leg = ?entry.leg,
                        "refused alone and without another destination: it stays unresolved and the commit halts"
                    );
                }
                entry.status = Status::Parked;
                self.parked.push((number, now_us + PARKED_PAUSE_US));
            }
        }
        next.is_some()
    }

    /// Buries the producer, makes a new one, and puts everything that was with the old one up for sending, in order.
    pub(super) fn replace(&mut self, now_us: i64) {
        let reason = self.dead_producer.take().unwrap_or_default();
        tracing::warn!(
            reason,
            in_flight = self.in_sink,
            "producer died, replacing it and replaying from memory"
        );
        let mut outcomes = std::mem::take(&mut self.outcomes);
        let replaced = self.sink.replace(&mut outcomes);
        // what the old one gives back stops no flow: all of it is put up again below
        self.mode = Mode::Drain;
        for outcome in outcomes.drain(..) {
            self.settle(outcome, now_us);
        }
        self.outcomes = outcomes;
        let mut again = VecDeque::new();
        for (number, entry) in self.window.numbered_mut() {
            if matches!(entry.status, Status::Sent | Status::Held(_)) {
                entry.status = Status::Ready;
                entry.resent = true;
                again.push_back(number);
            }
        }
        for stalled in &mut self.stalled {
            again.append(stalled);
        }
        again.append(&mut self.ready);
        self.ready = again;
        self.breaker.forget_probe();
        self.failed.clear();
        self.in_sink = 0;
        self.mode = Mode::Flow;
        self.dead_producer = None;
        match replaced {
            Ok(()) => {
                self.counters.producer_replacements += 1;
                // one that dies again before anything landed waits for its successor
                self.resume_at_us = now_us + self.pause_us;
                self.pause_us = (self.pause_us * 2).min(LONGEST_PAUSE_US);
            }
            Err(failure) => {
                self.pause(failure.meaning, &failure.reason, now_us);
                self.dead_producer = Some(failure.reason);
            }
        }
    }
}
