//! The pipeline against a fake broker that batches, refuses, dies and fills up as a script of random numbers says.
//!
//! Over 400 lines: one fake broker and the cases that need it.

use std::collections::{BTreeMap, BTreeSet};

use crossbeam_channel::{Receiver, never};
use proptest::prelude::*;
use serde_json::Value;

mod alone;
mod silence;

use super::*;
use crate::audit::Counts;
use crate::record::Record;
use crate::sink::{Failure, Parcel, SendError};

/// Key of an event that is dated a day after its receipt.
const FROM_TOMORROW: &str = "from tomorrow";

/// A batch of made-up records.
#[derive(Debug)]
pub(crate) struct FakeBatch(pub(crate) Vec<(u64, Kind, String)>);

impl Batch for FakeBatch {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn record(&self, index: usize) -> Record<'_> {
        let (sequence, kind, key) = &self.0[index];
        Record {
            kind: *kind,
            flags: 0,
            sequence: *sequence,
            event_time_us: Some(if key == FROM_TOMORROW {
                86_400_000_000
            } else {
                1_000_000
            }),
            received_time_us: 2_000_000,
            id: key,
            type_: "interaction",
            subject: "",
            key,
            body: b"{}",
        }
    }

    fn each_attribute(&self, _index: usize, visit: &mut dyn FnMut(&str, &str)) {
        visit("analyticsid", "analytics-7");
    }
}

#[derive(Debug, Clone)]
struct Sent {
    token: u64,
    route: Route,
    sequence: Option<u64>,
    key: String,
    time_us: i64,
    body: Vec<u8>,
}

/// A sink that keeps what it is given until the test lets the broker act.
#[derive(Debug)]
struct FakeSink {
    waiting: Vec<Sent>,
    capacity: usize,
    serial: bool,
    max_attempts: u32,
    full: Option<Route>,
    at_the_door: Option<(Route, Meaning)>,
    dead: bool,
    silent: Option<&'static str>,
    replacements: u64,
    arrivals: Receiver<Outcome>,
}

impl FakeSink {
    fn new(capacity: usize, serial: bool) -> Self {
        Self {
            waiting: Vec::new(),
            capacity,
            serial,
            max_attempts: u32::MAX,
            full: None,
            at_the_door: None,
            dead: false,
            silent: None,
            replacements: 0,
            arrivals: never(),
        }
    }
}

impl Sink for FakeSink {
    fn send(&mut self, token: u64, parcel: &Parcel<'_>) -> Result<(), SendError> {
        if self.dead {
            return Err(SendError::Failed(Failure {
                meaning: Meaning::Fatal,
                reason: "dead".to_owned(),
            }));
        }
        if self.waiting.len() >= self.capacity || self.full == Some(parcel.route) {
            return Err(SendError::Full);
        }
        if let Some((route, meaning)) = self.at_the_door
            && route == parcel.route
        {
            return Err(SendError::Failed(Failure {
                meaning,
                reason: "at the door".to_owned(),
            }));
        }
        self.waiting.push(Sent {
            token,
            route: parcel.route,
            sequence: parcel.sequence,
            key: parcel.key.to_owned(),
            time_us: parcel.time_us,
            body: parcel.body.to_vec(),
        });
        Ok(())
    }

    fn end_turn(&mut self, _outcomes: &mut Vec<Outcome>) {}

    fn arrivals(&self) -> &Receiver<Outcome> {
        &self.arrivals
    }

    fn replace(&mut self, _outcomes: &mut Vec<Outcome>) -> Result<(), Failure> {
        self.dead = false;
        self.waiting.clear();
        self.replacements += 1;
        Ok(())
    }

    fn fatal(&self) -> Option<String> {
        self.dead.then(|| "lost its sequence".to_owned())
    }

    fn serial_per_key(&self) -> bool {
        self.serial
    }

    fn max_attempts(&self) -> u32 {
        self.max_attempts
    }

    fn unreachable(&self) -> Option<String> {
        None
    }

    fn silent(&self) -> Option<String> {
        self.silent.map(str::to_owned)
    }

    fn closed(&self) -> bool {
        false
    }

    fn is_open(&self, _route: Route) -> bool {
        true
    }

    fn place(&self, route: Route) -> &str {
        route.kind()
    }
}

fn pipeline(capacity: usize, serial: bool) -> Pipeline<FakeBatch, FakeSink> {
    let chain = Chain::new("run".to_owned(), "main".to_owned(), "tag".to_owned());
    Pipeline::new(FakeSink::new(capacity, serial), chain, "main".to_owned())
}

fn events(keys: &[&str]) -> FakeBatch {
    FakeBatch(
        (0_u64..)
            .zip(keys)
            .map(|(at, key)| (10 + at, Kind::Event, (*key).to_owned()))
            .collect(),
    )
}

/// Lets the broker answer everything that waits: `refuse` says which parcels it will not have.
fn answer_all(
    pipeline: &mut Pipeline<FakeBatch, FakeSink>,
    now_us: i64,
    refuse: impl Fn(&Sent) -> Option<Meaning>,
) -> Vec<Sent> {
    let waiting = std::mem::take(&mut pipeline.sink.waiting);
    for sent in &waiting {
        let result = match refuse(sent) {
            Some(meaning) => Err(Failure {
                meaning,
                reason: "refused by the test".to_owned(),
            }),
            None => Ok(Landing::Kafka {
                partition: 0,
                offset: Some(5),
            }),
        };
        pipeline.settle(
            Outcome {
                token: sent.token,
                result,
            },
            now_us,
        );
    }
    waiting
}

fn routes(sent: &[Sent]) -> Vec<(Route, Option<u64>)> {
    sent.iter().map(|sent| (sent.route, sent.sequence)).collect()
}

#[test]
fn an_event_is_resolved_by_its_audit_and_a_control_record_by_itself() {
    let mut pipeline = pipeline(100, false);
    pipeline.take(FakeBatch(vec![
        (1, Kind::Control, "c".to_owned()),
        (2, Kind::Event, "k".to_owned()),
    ]));
    assert_eq!(pipeline.advance(0), None);
    let first = answer_all(&mut pipeline, 0, |_| None);
    assert_eq!(
        routes(&first),
        [(Route::Control, Some(1)), (Route::Event, Some(2))]
    );
    assert_eq!(
        pipeline.advance(0),
        Some(1),
        "the control record alone is resolved"
    );
    let second = answer_all(&mut pipeline, 0, |_| None);
    assert_eq!(routes(&second), [(Route::Audit, Some(2))]);
    let audit: Value = serde_json::from_slice(&second[0].body).unwrap();
    assert_eq!(audit["status"], "processed");
    assert_eq!(audit["analyticsId"], "analytics-7");
    assert_eq!(audit["outcome"]["offset"], 5);
    assert_eq!(audit["sourceSequence"], 2);
    assert_eq!(pipeline.advance(0), Some(2));
    assert!(pipeline.is_idle());
}

#[test]
fn a_full_queue_neither_loses_nor_reorders() {
    let mut pipeline = pipeline(2, false);
    pipeline.take(events(&["a", "b", "c", "d", "e"]));
    let mut order = Vec::new();
    for _ in 0..20 {
        pipeline.advance(0);
        assert!(pipeline.sink.waiting.len() <= 2);
        order.extend(answer_all(&mut pipeline, 0, |_| None));
    }
    let sent: Vec<u64> = order
        .iter()
        .filter(|sent| sent.route == Route::Event)
        .filter_map(|sent| sent.sequence)
        .collect();
    assert_eq!(sent, [10, 11, 12, 13, 14]);
    assert!(pipeline.is_idle());
}

#[test]
fn a_record_refused_at_the_door_becomes_a_dead_letter_at_once() {
    let mut pipeline = pipeline(100, false);
    pipeline.sink.at_the_door = Some((Route::Event, Meaning::Refused));
    pipeline.take(events(&["a"]));
    pipeline.advance(0);
    assert_eq!(
        routes(&answer_all(&mut pipeline, 0, |_| None)),
        [(Route::DeadLetter, Some(10))]
    );
    pipeline.advance(0);
    let audits = answer_all(&mut pipeline, 0, |_| None);
    let audit: Value = serde_json::from_slice(&audits[0].body).unwrap();
    assert_eq!(audit["status"], "dead_lettered");
    assert_eq!(audit["reason"], "at the door");
    assert_eq!(pipeline.advance(0), Some(10));
}

#[test]
fn a_dead_letter_that_is_refused_too_goes_to_the_local_file() {
    let mut pipeline = pipeline(100, false);
    pipeline.take(events(&["a", "b"]));
    let refuse = |sent: &Sent| {
        let poison = sent.sequence == Some(11) && matches!(sent.route, Route::Event | Route::DeadLetter);
        poison.then_some(Meaning::Refused)
    };
    let mut all = Vec::new();
    for _ in 0..10 {
        pipeline.advance(0);
        all.extend(answer_all(&mut pipeline, 0, refuse));
    }
    let poisoned: Vec<Route> = all
        .iter()
        .filter(|sent| sent.sequence == Some(11))
        .map(|sent| sent.route)
        .collect();
    // refused, refused alone, refused as a dead letter, kept, audited
    assert_eq!(
        poisoned,
        [
            Route::Event,
            Route::Event,
            Route::DeadLetter,
            Route::LastResort,
            Route::Audit
        ]
    );
    assert!(pipeline.is_idle());
    assert_eq!((pipeline.counters.last_resort, pipeline.counters.refused), (1, 2));
    let audit: Value = serde_json::from_slice(&all.last().unwrap().body).unwrap();
    assert!(
        audit["reason"].as_str().unwrap().contains("; as a dead letter: "),
        "{audit}"
    );
}

#[test]
fn a_blocked_destination_halts_the_commit_and_is_tried_again_after_a_pause() {
    let mut pipeline = pipeline(100, false);
    pipeline.take(events(&["a", "b"]));
    pipeline.advance(0);
    answer_all(&mut pipeline, 0, |_| Some(Meaning::Blocked));
    assert_eq!(pipeline.advance(0), None);
    assert!(
        pipeline.sink.waiting.is_empty(),
        "nothing is sent before the pause is over"
    );
    let due_us = pipeline.due_us().unwrap();
    assert!(due_us >= FIRST_PAUSE_US);
    assert!(pipeline.obstacle().is_some(), "whoever asks whether it is ready");
    pipeline.advance(due_us);
    answer_all(&mut pipeline, due_us, |_| Some(Meaning::Blocked));
    let longer_us = pipeline.due_us().unwrap() - due_us;
    assert!(longer_us > FIRST_PAUSE_US, "the pause grows");
    assert_eq!(pipeline.obstacle().as_deref(), Some("refused by the test"));
    for now_us in [due_us + longer_us, due_us + longer_us, due_us + longer_us] {
        pipeline.advance(now_us);
        answer_all(&mut pipeline, now_us, |_| None);
    }
    assert_eq!(pipeline.advance(due_us + longer_us), Some(11));
    assert_eq!(pipeline.obstacle(), None);
    assert_eq!(pipeline.counters.order_exceptions, 0);
    assert_eq!(pipeline.obstacle(), None);
}

#[test]
fn a_stop_while_blocked_leaves_what_is_blocked_and_the_audit_is_closed_all_the_same() {
    for fails_again in [false, true] {
        let mut pipeline = pipeline(100, false);
        pipeline.take(events(&["a", "b"]));
        pipeline.advance(0);
        let blocked = |sent: &Sent| (sent.sequence == Some(11)).then_some(Meaning::Blocked);
        answer_all(&mut pipeline, 0, blocked);
        let mut now_us = 0;
        if fails_again {
            now_us = pipeline.due_us().unwrap();
            pipeline.advance(now_us);
            assert_eq!(
                routes(&pipeline.sink.waiting),
                [(Route::Event, Some(11))],
                "under way"
            );
        }
        pipeline.stop_sending();
        answer_all(&mut pipeline, now_us, |_| Some(Meaning::Blocked));
        // later than any pause: nothing may go round in circles for what is not sent any more
        now_us += 60_000_000;
        pipeline.advance(now_us);
        let audits = answer_all(&mut pipeline, now_us, |_| None);
        assert_eq!(routes(&audits), [(Route::Audit, Some(10))]);
        assert_eq!(pipeline.advance(now_us), Some(10));
        pipeline.close(Counts::default(), 0);
        pipeline.advance(now_us);
        assert_eq!(
            routes(&answer_all(&mut pipeline, now_us, |_| None)),
            [(Route::Audit, None)]
        );
        assert!(pipeline.is_audit_acknowledged());
        assert_eq!(pipeline.measure().in_flight, 1);
    }
}

#[test]
fn an_audit_that_failed_before_the_stop_is_sent_again_after_it() {
    let mut pipeline = pipeline(100, false);
    pipeline.take(events(&["a", "b"]));
    pipeline.advance(0);
    answer_all(&mut pipeline, 0, |_| None);
    pipeline.advance(0);
    answer_all(&mut pipeline, 0, |sent| {
        (sent.sequence == Some(10)).then_some(Meaning::Blocked)
    });
    pipeline.stop_sending();
    pipeline.advance(0);
    assert_eq!(
        routes(&answer_all(&mut pipeline, 0, |_| None)),
        [(Route::Audit, Some(10))]
    );
    assert_eq!(pipeline.advance(0), Some(11));
}

#[test]
fn an_audit_record_refused_alone_halts_the_commit_until_it_is_accepted() {
    let mut pipeline = pipeline(100, false);
    pipeline.take(events(&["a", "b"]));
    let refuse =
        |sent: &Sent| (sent.route == Route::Audit && sent.sequence == Some(10)).then_some(Meaning::Refused);
    let mut bytes = BTreeSet::new();
    for _ in 0..10 {
        assert_eq!(pipeline.advance(0), None);
        for sent in answer_all(&mut pipeline, 0, refuse) {
            if sent.route == Route::Audit && sent.sequence == Some(10) {
                bytes.insert(sent.body);
            }
        }
    }
    assert_eq!(pipeline.measure().in_flight, 1);
    assert_eq!(pipeline.counters.law(&pipeline.measure()), 0);
    let due_us = pipeline.due_us().unwrap();
    pipeline.advance(due_us);
    bytes.extend(
        answer_all(&mut pipeline, due_us, |_| None)
            .into_iter()
            .map(|sent| sent.body),
    );
    assert_eq!(pipeline.advance(due_us), Some(11));
    assert_eq!(bytes.len(), 1, "every try sends the same bytes");
}

#[test]
fn a_dead_producer_is_replaced_and_the_unresolved_are_sent_again_in_order() {
    let mut pipeline = pipeline(100, false);
    pipeline.take(events(&["a", "b", "c"]));
    pipeline.advance(0);
    let first = pipeline.sink.waiting.remove(0);
    pipeline.settle(
        Outcome {
            token: first.token,
            result: Ok(Landing::Kafka {
                partition: 0,
                offset: Some(0),
            }),
        },
        0,
    );
    pipeline.advance(0);
    let audit = pipeline
        .sink
        .waiting
        .iter()
        .find(|sent| sent.route == Route::Audit)
        .unwrap()
        .body
        .clone();
    pipeline.sink.dead = true;
    pipeline.advance(0);
    assert_eq!(pipeline.sink.replacements, 1);
    let again = pipeline.sink.waiting.clone();
    assert_eq!(
        routes(&again),
        [
            (Route::Audit, Some(10)),
            (Route::Event, Some(11)),
            (Route::Event, Some(12))
        ]
    );
    assert_eq!(again[0].body, audit, "a replay sends the same bytes");
    assert_eq!(pipeline.counters.producer_replacements, 1);
    for _ in 0..3 {
        answer_all(&mut pipeline, 0, |_| None);
        pipeline.advance(0);
    }
    assert!(pipeline.is_idle());
    assert_eq!(pipeline.counters.order_exceptions, 0);
}

#[test]
fn one_record_per_key_is_on_its_way_where_the_sink_asks_for_it() {
    let mut pipeline = pipeline(100, true);
    pipeline.take(events(&["a", "a", "b", "a"]));
    pipeline.advance(0);
    assert_eq!(
        routes(&pipeline.sink.waiting),
        [(Route::Event, Some(10)), (Route::Event, Some(12))]
    );
    answer_all(&mut pipeline, 0, |_| None);
    pipeline.advance(0);
    let sent: Vec<_> = routes(&pipeline.sink.waiting)
        .into_iter()
        .filter(|(route, _)| *route == Route::Event)
        .collect();
    assert_eq!(sent, [(Route::Event, Some(11))]);
}

#[test]
fn an_outcome_that_belongs_to_nothing_is_counted_and_changes_nothing() {
    let mut pipeline = pipeline(100, false);
    pipeline.take(events(&["a"]));
    pipeline.settle(
        Outcome {
            token: 0,
            result: Ok(Landing::Lines),
        },
        0,
    );
    pipeline.settle(
        Outcome {
            token: 99,
            result: Ok(Landing::Lines),
        },
        0,
    );
    assert_eq!(pipeline.counters.stray_outcomes, 2);
    assert_eq!(pipeline.counters.resolved, 0);
}

/// Random numbers from a seed: splitmix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    }
}

/// What consumers of the fake broker would see: sequences per route, in the order of their landing.
#[derive(Default)]
struct Log {
    landed: BTreeMap<&'static str, Vec<(u64, String)>>,
    audited: BTreeSet<u64>,
}

impl Log {
    fn inversions(&self) -> u64 {
        let mut count = 0;
        for landed in self.landed.values() {
            for (place, (later, key)) in landed.iter().enumerate() {
                let ahead = landed[..place].iter();
                count += ahead
                    .filter(|(earlier, other)| earlier > later && key == other && !key.is_empty())
                    .count();
            }
        }
        count as u64
    }
}

/// Lets the broker answer the oldest parcels of one route as one batch.
fn answer_batch(
    pipeline: &mut Pipeline<FakeBatch, FakeSink>,
    dice: &mut Dice,
    poison: &BTreeSet<u64>,
    log: &mut Log,
    now_us: i64,
) {
    let Some(route) = pipeline
        .sink
        .waiting
        .get(dice.roll(64) as usize % pipeline.sink.waiting.len().max(1))
    else {
        return;
    };
    let route = route.route;
    let size = 1 + dice.roll(6) as usize;
    let mut batch = Vec::new();
    pipeline.sink.waiting.retain(|sent| {
        let takes = sent.route == route && batch.len() < size;
        if takes {
            batch.push(sent.clone());
        }
        !takes
    });
    let refused = route == Route::Event
        && batch
            .iter()
            .any(|sent| sent.sequence.is_some_and(|at| poison.contains(&at)));
    let passing = dice.roll(40) == 0;
    for sent in batch {
        let result = if refused || passing {
            let meaning = if refused {
                Meaning::Refused
            } else {
                Meaning::Rewind
            };
            Err(Failure {
                meaning,
                reason: "no".to_owned(),
            })
        } else {
            if let Some(sequence) = sent.sequence {
                match route {
                    Route::Audit => assert!(log.audited.insert(sequence), "one audit per record"),
                    _ => log
                        .landed
                        .entry(route.kind())
                        .or_default()
                        .push((sequence, sent.key.clone())),
                }
            }
            Ok(Landing::Kafka {
                partition: 0,
                offset: Some(0),
            })
        };
        pipeline.settle(
            Outcome {
                token: sent.token,
                result,
            },
            now_us,
        );
    }
}

fn simulate(seed: u64, serial: bool, deaths: bool) -> Result<(), TestCaseError> {
    let mut dice = Dice(seed);
    let mut pipeline = pipeline(1 + dice.roll(30) as usize, serial);
    let mut log = Log::default();
    let total = 10 + dice.roll(60);
    let poison: BTreeSet<u64> = (0..dice.roll(5)).map(|_| 1 + dice.roll(total)).collect();
    let (mut sequence, mut committed, mut now_us) = (0, None, 0_i64);
    let mut kinds = BTreeMap::new();
    for _ in 0..20_000 {
        now_us += 20_000;
        if sequence < total && dice.roll(3) == 0 {
            let mut records = Vec::new();
            for _ in 0..=dice.roll(8) {
                sequence += 1;
                let kind = [
                    Kind::Event,
                    Kind::Event,
                    Kind::Event,
                    Kind::DeadLetter,
                    Kind::Control,
                ][dice.roll(5) as usize];
                kinds.insert(sequence, kind);
                records.push((
                    sequence,
                    kind,
                    ["", "a", "b", "c"][dice.roll(4) as usize].to_owned(),
                ));
            }
            pipeline.take(FakeBatch(records));
        }
        if deaths && dice.roll(60) == 0 {
            pipeline.sink.dead = true;
        }
        committed = pipeline.advance(now_us).or(committed);
        prop_assert_eq!(pipeline.counters.law(&pipeline.measure()), 0);
        for (at, kind) in kinds.range(..=committed.unwrap_or(0)) {
            prop_assert!(
                *kind == Kind::Control || log.audited.contains(at),
                "{at} committed without its audit"
            );
        }
        answer_batch(&mut pipeline, &mut dice, &poison, &mut log, now_us);
        if sequence >= total && pipeline.is_idle() {
            break;
        }
    }
    prop_assert!(pipeline.is_idle(), "everything is resolved in the end");
    prop_assert_eq!(committed, Some(sequence));
    prop_assert_eq!(pipeline.counters.order_exceptions, log.inversions());
    if serial {
        let events: BTreeMap<_, _> = log.landed.remove_entry("event").into_iter().collect();
        prop_assert_eq!(
            Log {
                landed: events,
                ..Log::default()
            }
            .inversions(),
            0
        );
    }
    let expected = |wanted: Kind| -> Vec<u64> {
        let goes = |at: &u64, kind: Kind| match wanted {
            Kind::Event => kind == Kind::Event && !poison.contains(at),
            Kind::DeadLetter => kind == Kind::DeadLetter || (kind == Kind::Event && poison.contains(at)),
            Kind::Control => kind == Kind::Control,
        };
        kinds
            .iter()
            .filter(|(at, kind)| goes(at, **kind))
            .map(|(at, _)| *at)
            .collect()
    };
    for (kind, name) in [(Kind::DeadLetter, "dead_letter"), (Kind::Control, "control")] {
        let mut landed: Vec<u64> = log
            .landed
            .get(name)
            .into_iter()
            .flatten()
            .map(|(sequence, _)| *sequence)
            .collect();
        landed.sort_unstable();
        prop_assert_eq!(landed, expected(kind));
    }
    if !serial {
        let mut landed: Vec<u64> = log
            .landed
            .get("event")
            .into_iter()
            .flatten()
            .map(|(sequence, _)| *sequence)
            .collect();
        landed.sort_unstable();
        prop_assert_eq!(landed, expected(Kind::Event));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn everything_lands_once_where_it_belongs_and_inversions_are_all_counted(seed in any::<u64>()) {
        simulate(seed, false, false)?;
    }

    #[test]
    fn one_record_per_key_never_inverts(seed in any::<u64>()) {
        simulate(seed, true, false)?;
    }

    #[test]
    fn dead_producers_lose_nothing(seed in any::<u64>()) {
        simulate(seed, false, true)?;
    }
}

#[test]
fn no_record_is_dated_later_than_its_receipt() {
    let mut pipeline = pipeline(100, false);
    pipeline.take(events(&["past", FROM_TOMORROW]));
    pipeline.advance(0);
    let events = answer_all(&mut pipeline, 0, |_| Some(Meaning::Refused));
    let times: Vec<i64> = events.iter().map(|sent| sent.time_us).collect();
    assert_eq!(times, [1_000_000, 2_000_000]);
    let mut dead_letters = 0;
    for _ in 0..10 {
        pipeline.advance(0);
        for sent in answer_all(&mut pipeline, 0, |sent| {
            (sent.route == Route::Event).then_some(Meaning::Refused)
        }) {
            if sent.route == Route::DeadLetter {
                assert_eq!(sent.time_us, 2_000_000);
                dead_letters += 1;
            }
        }
    }
    assert_eq!(dead_letters, 2);
    assert!(pipeline.is_idle());
}

#[test]
fn an_audit_record_is_bounded_whatever_its_record_is_called() {
    for (length, keyed) in [(512, true), (513, false), (500_000, false)] {
        let key = "é".repeat(length);
        let mut pipeline = pipeline(100, false);
        pipeline.take(events(&[&key]));
        pipeline.advance(0);
        answer_all(&mut pipeline, 0, |_| None);
        pipeline.advance(0);
        let audits = answer_all(&mut pipeline, 0, |_| None);
        assert_eq!(routes(&audits), [(Route::Audit, Some(10))]);
        assert_eq!(audits[0].key, if keyed { key.as_str() } else { "" });
        let audit: Value = serde_json::from_slice(&audits[0].body).unwrap();
        assert_eq!(audit["eventId"], "é".repeat(512));
        assert_eq!(pipeline.advance(0), Some(10));
    }
}

#[test]
fn a_wall_clock_that_is_set_back_by_an_hour_does_not_lengthen_a_pause() {
    let hour_us = 3_600_000_000;
    let mut pipeline = pipeline(100, false);
    pipeline.tell_wall_time(2 * hour_us);
    pipeline.take(events(&["a"]));
    pipeline.advance(0);
    answer_all(&mut pipeline, 0, |_| Some(Meaning::Rewind));
    pipeline.advance(0);
    let due_us = pipeline.due_us().unwrap();
    pipeline.tell_wall_time(hour_us);
    pipeline.advance(due_us);
    assert_eq!(
        pipeline.sink.waiting.len(),
        1,
        "sent again when its pause is over"
    );
    answer_all(&mut pipeline, due_us, |_| None);
    // one turn ends the isolation, the next sends on
    pipeline.advance(due_us);
    pipeline.advance(due_us);
    assert_eq!(pipeline.sink.waiting[0].route, Route::Audit);
    assert_eq!(
        pipeline.sink.waiting[0].time_us, hour_us,
        "audits state the wall time"
    );
}

#[test]
fn a_producer_that_dies_again_at_once_is_replaced_after_a_pause_only() {
    let mut pipeline = pipeline(100, false);
    pipeline.take(events(&["a", "b"]));
    for _ in 0..1000 {
        pipeline.sink.dead = true;
        pipeline.advance(0);
    }
    assert_eq!(pipeline.sink.replacements, 1);
    pipeline.advance(pipeline.due_us().unwrap());
    assert_eq!(pipeline.sink.replacements, 2);
}
