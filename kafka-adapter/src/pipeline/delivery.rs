//! One delivery: the next leg of an entry, as a parcel for the sink.
//!
//! Responsible for building parcels from entries and for what a refusal at the door means. Refuses to build an audit
//! record before its record has landed. Invariant: an audit record that is sent twice is sent with the same bytes.

use crate::audit::{Facts, Status as AuditStatus};
use crate::dead_letter;
use crate::record::{Attributes, Record};
use crate::sink::{Meaning, Parcel, Refusal, Route, SendError, Sink};

use super::feed::{AttributesOf, Batch};
use super::retry::Tries;
use super::window::{Entry, Leg, Origin, Status};
use super::{Mode, Pipeline, Stage};

/// Longest key of an audit record, and longest text that it takes over from its record, in bytes: an audit record that
/// the broker refuses for its size would halt the commit.
const AUDIT_TEXT_BYTES: usize = 1024;

/// What came of handing an entry to the sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The sink has it.
    Sent,
    /// The sink's queue is full; the entry keeps its place.
    Full,
    /// It was refused at the door and has another leg now.
    Again,
    /// It cannot be sent now; it waits elsewhere.
    Held,
    /// The producer is dead; the entry keeps its place.
    DeadProducer,
}

impl<B> Entry<B> {
    /// An entry about the run itself, at its audit leg.
    pub(super) fn new() -> Self {
        Self {
            origin: Origin::Run(None),
            route: Route::Audit,
            leg: Leg::Audit,
            status: Status::Ready,
            resent: false,
            key: 0,
            bytes: super::ENTRY_BYTES,
            received_time_us: 0,
            landed: None,
            reason: None,
            audit: Vec::new(),
            audit_time_us: 0,
            tries: Tries::default(),
        }
    }

    /// The route of the present leg.
    pub(super) fn leg_route(&self) -> Route {
        match self.leg {
            Leg::Record => self.route,
            Leg::DeadLetter => Route::DeadLetter,
            Leg::LastResort => Route::LastResort,
            Leg::Audit => Route::Audit,
        }
    }

    /// Sequence of the record, if it is one.
    pub(super) fn sequence(&self) -> Option<u64> {
        match self.origin {
            Origin::Record { sequence, .. } => Some(sequence),
            Origin::Run(_) => None,
        }
    }

    /// Notes why the present leg was refused, after what earlier legs said.
    pub(super) fn add_reason(&mut self, reason: &str) {
        match (&self.reason, self.leg) {
            (None, _) | (Some(_), Leg::Record) => self.reason = Some(reason.into()),
            (Some(first), Leg::DeadLetter) if !first.contains("; as a dead letter: ") => {
                self.reason = Some(format!("{first}; as a dead letter: {reason}").into());
            }
            _ => {}
        }
    }
}

impl<B: Batch, S: Sink> Pipeline<B, S> {
    /// Hands the present leg of an entry to the sink.
    pub(super) fn deliver(&mut self, number: u64, now_us: i64) -> Step {
        let Some(entry) = self.window.entry_mut(number) else {
            return Step::Held;
        };
        let may_be_sent = match self.stage {
            Stage::Open => true,
            // a transaction is whole, or it is not committed
            Stage::Settling | Stage::Closed if self.transactions.is_some() => true,
            Stage::Settling => entry.leg == Leg::Audit,
            Stage::Closed => entry.leg == Leg::Audit && !entry.audit.is_empty(),
        };
        if !may_be_sent {
            return Step::Held;
        }
        let route_now = entry.leg_route();
        if route_now == Route::Event && !self.breaker.admits(now_us) {
            return Step::Full;
        }
        let (resent, tried) = (entry.resent, entry.tries.handed_over());
        let Entry {
            origin,
            route,
            leg,
            landed,
            reason,
            audit,
            audit_time_us,
            ..
        } = entry;
        let result = match origin {
            Origin::Record {
                batch,
                index,
                sequence,
            } => {
                let index = *index as usize;
                let record = batch.record(index);
                let attributes = AttributesOf {
                    batch: batch.as_ref(),
                    index,
                };
                let parcel = Parcel {
                    route: *route,
                    sequence: Some(*sequence),
                    key: record.key,
                    body: record.body,
                    time_us: timestamp_us(&record, *route, *leg),
                    record: Some((record, &attributes)),
                    refusal: None,
                };
                match leg {
                    Leg::Record => self.sink.send(number, &parcel),
                    Leg::DeadLetter | Leg::LastResort => {
                        let to = if *leg == Leg::DeadLetter {
                            Route::DeadLetter
                        } else {
                            Route::LastResort
                        };
                        let reason = reason.as_deref().unwrap_or("refused");
                        if *route == Route::DeadLetter {
                            self.sink.send(number, &Parcel { route: to, ..parcel })
                        } else {
                            let meant_for = self.sink.place(*route).to_owned();
                            let refusal = Some(Refusal {
                                meant_for: &meant_for,
                                reason,
                            });
                            let body = &mut self.scratch;
                            dead_letter::write_body(body, &record, &attributes, &self.source_name, reason);
                            self.sink.send(
                                number,
                                &Parcel {
                                    route: to,
                                    body,
                                    refusal,
                                    ..parcel
                                },
                            )
                        }
                    }
                    Leg::Audit => {
                        if audit.is_empty() {
                            *audit = self.spare.pop().unwrap_or_default();
                            *audit_time_us = self.wall_us;
                            let outcome = landed.map(|(route, landing)| {
                                (route, landing.destination(self.sink.place(route), tried))
                            });
                            let facts =
                                facts_of(&record, &attributes, outcome, reason.as_deref(), &mut self.text);
                            self.chain.append(&facts, self.wall_us, audit);
                        }
                        let parcel = Parcel {
                            route: Route::Audit,
                            key: if record.key.len() > AUDIT_TEXT_BYTES {
                                ""
                            } else {
                                record.key
                            },
                            body: audit,
                            time_us: *audit_time_us,
                            record: None,
                            ..parcel
                        };
                        self.sink.send(number, &parcel)
                    }
                }
            }
            Origin::Run(facts) => {
                if let Some((status, counts)) = facts.as_deref().filter(|_| audit.is_empty()) {
                    self.chain
                        .append(&Facts::of_run(*status, *counts), *audit_time_us, audit);
                }
                let parcel = Parcel {
                    route: Route::Audit,
                    sequence: None,
                    key: "",
                    body: audit,
                    time_us: *audit_time_us,
                    record: None,
                    refusal: None,
                };
                self.sink.send(number, &parcel)
            }
        };
        match result {
            Ok(()) => {
                entry.status = Status::Sent;
                if entry.leg != Leg::Audit {
                    entry.tries.hand_over(self.counters.events);
                }
                if route_now == Route::Event {
                    self.breaker.hand_over(number);
                }
                self.in_sink += 1;
                self.counters.resent += u64::from(resent);
                Step::Sent
            }
            Err(SendError::Full) => Step::Full,
            Err(SendError::Failed(failure)) => match failure.meaning {
                Meaning::Fatal => {
                    self.dead_producer = Some(failure.reason);
                    Step::DeadProducer
                }
                Meaning::Refused | Meaning::RefusedAlone => {
                    entry.add_reason(&failure.reason);
                    if self.condemn(number, now_us) {
                        return Step::Again;
                    }
                    if self.transactions.is_some() {
                        self.spoil(Meaning::Blocked, &failure.reason, now_us);
                    }
                    Step::Held
                }
                Meaning::Later { .. } | Meaning::Shut => {
                    self.postpone(number, &failure, now_us);
                    Step::Held
                }
                Meaning::Rewind | Meaning::Blocked if self.transactions.is_some() => {
                    entry.status = Status::Held(failure.meaning);
                    self.spoil(failure.meaning, &failure.reason, now_us);
                    Step::Held
                }
                Meaning::Rewind | Meaning::Blocked => {
                    entry.status = Status::Held(failure.meaning);
                    entry.resent = true;
                    if matches!(self.mode, Mode::Flow) && !self.isolating {
                        self.stop_flow(number, failure.meaning, &failure.reason, now_us);
                    } else {
                        self.pause(failure.meaning, &failure.reason, now_us);
                    }
                    Step::Held
                }
            },
        }
    }
}

/// The record's timestamp: an event's own time if it is not later than its receipt, else the time of receipt.
///
/// A broker refuses a record that is dated further ahead of its clock than the topic allows, by default an hour, and
/// would refuse the dead letter for the same reason. The true time stays in the body and in CloudEvents' `time`.
///
/// # Units
/// Microseconds since 1970 UTC.
///
/// # Source
/// Kafka broker configuration, `log.message.timestamp.after.max.ms` (topic: `message.timestamp.after.max.ms`):
/// default 3600000.
fn timestamp_us(record: &Record<'_>, route: Route, leg: Leg) -> i64 {
    let received_us = record.received_time_us;
    match (route, leg) {
        (Route::Event, Leg::Record) => record.event_time_us.unwrap_or(received_us).min(received_us),
        _ => received_us,
    }
}

/// What the audit says of a record that has landed.
fn facts_of<'a>(
    record: &Record<'a>,
    attributes: &dyn Attributes,
    outcome: Option<(Route, crate::audit::Destination<'a>)>,
    reason: Option<&'a str>,
    text: &'a mut String,
) -> Facts<'a> {
    let dead = outcome.is_some_and(|(route, _)| matches!(route, Route::DeadLetter | Route::LastResort));
    let analytics_id = if attributes.copy_value("analyticsid", text) && !text.is_empty() {
        text.as_str()
    } else if record.subject.is_empty() {
        record.id
    } else {
        record.subject
    };
    Facts {
        status: if dead {
            AuditStatus::DeadLettered
        } else {
            AuditStatus::Processed
        },
        analytics_id: Some(cut(analytics_id)),
        event_id: Some(cut(record.id)),
        destination: outcome.map(|(_, destination)| destination),
        reason: match reason {
            Some(reason) if dead => Some(cut(reason)),
            _ if dead => Some("a dead letter of the source; the record says why"),
            _ => None,
        },
        source_sequence: Some(record.sequence),
        counts: None,
    }
}

/// The text's beginning, cut at a character's boundary.
fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(AUDIT_TEXT_BYTES))
        .unwrap_or_default()
}
