//! Transactions against a fake broker that keeps what is committed and forgets what is not.
//!
//! Over 400 lines: one fake broker serves every scenario, and splitting them would repeat it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crossbeam_channel::{Receiver, never};
use proptest::prelude::*;
use serde_json::Value;

use super::super::feed::FeedError;
use super::super::tests::FakeBatch;
use super::*;
use crate::audit::{Chain, Status as AuditStatus};
use crate::record::Kind;
use crate::sink::{Failure, Landing, Ledger, Outcome, Parcel, Route, SendError};

/// A delivery that the broker has: route, sequence of the record, body.
type Kept = (Route, Option<u64>, Vec<u8>);

/// A broker whose answers the test gives.
#[derive(Debug, Default)]
struct Broker {
    open: Option<Vec<Kept>>,
    committed: Vec<Kept>,
    position: Option<Vec<u8>>,
    waiting: Vec<(u64, Kept)>,
    asked: Option<Asked>,
    answer: Option<Answer>,
    offset: i64,
    dead: bool,
    /// Parcels sent outside a transaction.
    stray: usize,
}

#[derive(Debug, PartialEq)]
enum Asked {
    Commit(Vec<u8>),
    Abort,
    Open(Option<Vec<Option<Vec<u8>>>>),
}

#[derive(Debug)]
struct FakeSink {
    broker: Broker,
    arrivals: Receiver<Outcome>,
}

impl Sink for FakeSink {
    fn send(&mut self, token: u64, parcel: &Parcel<'_>) -> Result<(), SendError> {
        let kept = (parcel.route, parcel.sequence, parcel.body.to_vec());
        self.broker.stray += usize::from(self.broker.open.is_none());
        self.broker.waiting.push((token, kept));
        Ok(())
    }
    fn end_turn(&mut self, _outcomes: &mut Vec<Outcome>) {}
    fn arrivals(&self) -> &Receiver<Outcome> {
        &self.arrivals
    }
    fn replace(&mut self, _outcomes: &mut Vec<Outcome>) -> Result<(), Failure> {
        unreachable!("a transactional sink is opened anew")
    }
    fn fatal(&self) -> Option<String> {
        self.broker.dead.then(|| "lost its sequence".to_owned())
    }
    fn serial_per_key(&self) -> bool {
        true
    }
    fn unreachable(&self) -> Option<String> {
        None
    }
    fn silent(&self) -> Option<String> {
        Some("no coordinator".to_owned())
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
    fn ledger(&mut self) -> Option<&mut dyn Ledger> {
        Some(self)
    }
}

impl Ledger for FakeSink {
    fn begin(&mut self) -> Result<(), Failure> {
        assert_eq!(self.broker.open, None, "one transaction at a time");
        self.broker.open = Some(Vec::new());
        Ok(())
    }
    fn commit(&mut self, position: Vec<u8>) {
        assert!(
            self.broker.waiting.is_empty(),
            "nothing may be in flight at a commit"
        );
        assert_eq!(self.broker.asked.replace(Asked::Commit(position)), None);
    }
    fn abort(&mut self) {
        assert_eq!(self.broker.asked.replace(Asked::Abort), None);
    }
    fn open(&mut self, ours: Option<Vec<Option<Vec<u8>>>>) {
        assert_eq!(self.broker.asked.replace(Asked::Open(ours)), None);
    }
    fn answer(&mut self) -> Option<Answer> {
        self.broker.answer.take()
    }
}

impl Broker {
    /// Commits what is open, with its position.
    fn keep(&mut self, position: &[u8]) {
        self.committed.extend(self.open.take().unwrap());
        self.position = Some(position.to_vec());
    }

    /// Does what was asked for, as a broker without trouble does.
    fn serve(&mut self) {
        let answer = match self.asked.take() {
            None => return,
            Some(Asked::Commit(position)) => {
                self.keep(&position);
                Answer::Committed
            }
            Some(Asked::Abort) => {
                self.open = None;
                Answer::Aborted
            }
            Some(Asked::Open(_)) => {
                (self.open, self.dead) = (None, false);
                self.waiting.clear();
                Answer::Opened(self.position.clone())
            }
        };
        self.answer = Some(answer);
    }

    fn events(&self) -> Vec<u64> {
        self.of(Route::Event)
    }

    fn of(&self, route: Route) -> Vec<u64> {
        let kept = self.committed.iter().filter(|kept| kept.0 == route);
        kept.filter_map(|kept| kept.1).collect()
    }

    /// The audits, each of which must cite the one before it.
    fn chain(&self) -> Vec<Value> {
        let audits = self.committed.iter().filter(|kept| kept.0 == Route::Audit);
        let audits: Vec<Value> = audits
            .map(|kept| serde_json::from_slice(&kept.2).unwrap())
            .collect();
        for pair in audits.windows(2) {
            assert_eq!(pair[1]["prevHash"], pair[0]["hash"]);
        }
        audits
    }

    fn position(&self) -> Value {
        serde_json::from_slice(self.position.as_ref().unwrap()).unwrap()
    }
}

type Tested = Pipeline<FakeBatch, FakeSink>;

fn tested(max_records: usize, position: Option<Vec<u8>>) -> Tested {
    let sink = FakeSink {
        broker: Broker {
            position: position.clone(),
            ..Broker::default()
        },
        arrivals: never(),
    };
    let chain = Chain::new("run".to_owned(), "main".to_owned(), "tag".to_owned());
    Pipeline::new(sink, chain, "main".to_owned()).in_transactions(Start {
        shard: "main".to_owned(),
        run_id: "run".to_owned(),
        position,
        tokens: Box::new(|sequence| Ok(format!("token-{sequence}"))),
        max_records,
        max_bytes: 1 << 20,
    })
}

fn batch(sequences: std::ops::Range<u64>) -> FakeBatch {
    FakeBatch(
        sequences
            .map(|sequence| (sequence, Kind::Event, format!("key-{}", sequence % 3)))
            .collect(),
    )
}

/// Lets everything that is in flight land, but what `refuse` says.
fn land(pipeline: &mut Tested, now_us: i64, refuse: &dyn Fn(&Kept) -> Option<Meaning>) {
    for (token, kept) in std::mem::take(&mut pipeline.sink.broker.waiting) {
        let broker = &mut pipeline.sink.broker;
        let result = match refuse(&kept) {
            Some(meaning) => Err(Failure {
                meaning,
                reason: "refused by the test".to_owned(),
            }),
            None => {
                broker.offset += 1;
                let offset = Some(broker.offset);
                if let Some(open) = &mut broker.open {
                    open.push(kept);
                }
                Ok(Landing::Kafka { partition: 0, offset })
            }
        };
        pipeline.settle(Outcome { token, result }, now_us);
    }
}

/// Turns until nothing moves any more; returns the sequences that the source would be told.
fn run(pipeline: &mut Tested, refuse: &dyn Fn(&Kept) -> Option<Meaning>) -> Vec<u64> {
    let mut told = Vec::new();
    for turn in 0..400 {
        let now_us = turn * LONGEST_PAUSE_US;
        told.extend(pipeline.advance(now_us));
        land(pipeline, now_us, refuse);
        pipeline.sink.broker.serve();
    }
    told
}

fn nothing(_: &Kept) -> Option<Meaning> {
    None
}

#[test]
fn a_commit_that_has_no_answer_for_long_is_an_obstacle_until_it_is_made() {
    let mut pipeline = tested(100, None);
    pipeline.take(batch(1..3));
    for _ in 0..4 {
        pipeline.advance(0);
        land(&mut pipeline, 0, &nothing);
    }
    assert!(
        matches!(pipeline.sink.broker.asked, Some(Asked::Commit(_))),
        "the commit is asked for"
    );
    (1..10).for_each(|second| {
        pipeline.advance(second * 1_000_000);
    });
    pipeline.advance(9_999_999);
    assert_eq!(pipeline.obstacle(), None);
    pipeline.advance(10_000_000);
    assert_eq!(pipeline.obstacle().as_deref(), Some("no coordinator"));
    pipeline.sink.broker.serve();
    assert_eq!(pipeline.advance(10_000_001), Some(2));
    assert_eq!(pipeline.obstacle(), None);
}

#[test]
fn a_transaction_holds_records_audits_and_position_and_only_its_commit_is_told() {
    let mut pipeline = tested(100, None);
    pipeline.note(AuditStatus::RunOpened, None, 0);
    pipeline.take(batch(1..4));
    for _ in 0..2 {
        assert_eq!(pipeline.advance(0), None);
        land(&mut pipeline, 0, &nothing);
    }
    assert_eq!(pipeline.advance(0), None);
    let broker = &pipeline.sink.broker;
    assert!(matches!(broker.asked, Some(Asked::Commit(_))), "{broker:?}");
    assert_eq!(
        (pipeline.counters().resolved, pipeline.measure().in_flight),
        (0, 3)
    );
    pipeline.sink.broker.serve();
    assert_eq!(pipeline.advance(0), Some(3));
    assert!(pipeline.is_idle());
    assert_eq!(
        (pipeline.counters().resolved, pipeline.measure().in_flight),
        (3, 0)
    );
    let broker = &pipeline.sink.broker;
    assert_eq!((broker.events(), broker.stray), (vec![1, 2, 3], 0));
    let head = broker.chain().last().unwrap()["hash"].clone();
    let expected = serde_json::json!({
        "schemaVersion": "1.0", "shard": "main", "token": "token-3", "sequence": 3, "runId": "run", "transaction": 1,
        "auditSequence": 4, "auditHash": head
    });
    assert_eq!(broker.position(), expected);
}

#[test]
fn what_arrives_during_a_commit_is_the_next_transaction_up_to_its_bound() {
    let mut pipeline = tested(4, None);
    pipeline.take(batch(1..2));
    for _ in 0..3 {
        pipeline.advance(0);
        land(&mut pipeline, 0, &nothing);
    }
    pipeline.take(batch(2..12));
    assert_eq!(pipeline.advance(0), None);
    assert!(
        pipeline.sink.broker.waiting.is_empty(),
        "nothing is sent during a commit"
    );
    assert_eq!(run(&mut pipeline, &nothing), [1, 5, 9, 11]);
    assert_eq!(pipeline.sink.broker.events(), (1..12).collect::<Vec<_>>());
    assert_eq!(pipeline.transactions_committed(), 4);
}

#[test]
fn a_refused_record_is_found_by_shorter_transactions_and_dead_lettered_alone() {
    let mut pipeline = tested(100, None);
    pipeline.take(batch(1..21));
    // a broker refuses the whole batch for one
    let batch_has = Rc::new(Cell::new(false));
    let told = {
        let mut told = Vec::new();
        for turn in 0..400 {
            let now_us = turn * LONGEST_PAUSE_US;
            told.extend(pipeline.advance(now_us));
            let has = |kept: &Kept| kept.0 == Route::Event && kept.1 == Some(13);
            batch_has.set(pipeline.sink.broker.waiting.iter().any(|(_, kept)| has(kept)));
            let refuse =
                |kept: &Kept| (kept.0 == Route::Event && batch_has.get()).then_some(Meaning::Refused);
            land(&mut pipeline, now_us, &refuse);
            pipeline.sink.broker.serve();
        }
        told
    };
    assert_eq!(told.last(), Some(&20));
    let broker = &pipeline.sink.broker;
    let others: Vec<u64> = (1..21).filter(|sequence| *sequence != 13).collect();
    assert_eq!(
        (broker.events(), broker.of(Route::DeadLetter)),
        (others, vec![13])
    );
    let audits = broker.chain();
    assert_eq!(audits.len(), 20);
    assert_eq!(
        audits
            .iter()
            .filter(|audit| audit["status"] == "dead_lettered")
            .count(),
        1
    );
    assert_eq!(pipeline.counters().refused, 1);
    assert_eq!(
        (pipeline.counters().events, pipeline.counters().dead_letters),
        (19, 1)
    );
    assert_eq!(pipeline.counters().law(&pipeline.measure()), 0);
}

#[test]
fn audits_name_the_offsets_of_the_transaction_that_was_committed() {
    let mut pipeline = tested(100, None);
    pipeline.note(AuditStatus::RunOpened, None, 0);
    pipeline.take(batch(1..3));
    let first = Cell::new(true);
    let refuse = |kept: &Kept| (kept.0 == Route::Audit && first.replace(false)).then_some(Meaning::Rewind);
    assert_eq!(run(&mut pipeline, &refuse), [2]);
    let audits = pipeline.sink.broker.chain();
    let of_record = |sequence: u64| {
        let mut audits = audits.iter();
        audits.find(|audit| audit["sourceSequence"] == sequence).unwrap()["outcome"]["offset"].clone()
    };
    // the aborted ones took the first offsets
    assert!(of_record(1).as_i64() > Some(2), "{audits:?}");
    let sequences: Vec<&Value> = audits.iter().map(|audit| &audit["sequence"]).collect();
    assert_eq!(sequences, [1, 2, 3]);
    let counters = pipeline.counters();
    assert_eq!(
        (counters.events, counters.audits),
        (2, 3),
        "what was aborted counts nowhere"
    );
}

#[test]
fn a_commit_whose_outcome_is_unknown_is_settled_by_the_position_in_kafka() {
    for was_made in [true, false] {
        let mut pipeline = tested(100, None);
        pipeline.take(batch(1..4));
        for _ in 0..3 {
            pipeline.advance(0);
            land(&mut pipeline, 0, &nothing);
        }
        let broker = &mut pipeline.sink.broker;
        let Some(Asked::Commit(position)) = broker.asked.take() else {
            panic!("{broker:?}")
        };
        if was_made {
            broker.keep(&position);
        }
        broker.answer = Some(Answer::Broken("fenced".to_owned()));
        assert_eq!(pipeline.advance(0), None);
        assert_eq!(
            pipeline.sink.broker.asked,
            Some(Asked::Open(Some(vec![None, Some(position)])))
        );
        assert!(pipeline.obstacle().is_some(), "not ready meanwhile");
        assert_eq!(run(&mut pipeline, &nothing), [3], "{was_made}");
        assert_eq!(pipeline.sink.broker.events(), [1, 2, 3], "{was_made}");
        assert_eq!(pipeline.sink.broker.chain().len(), 3);
        assert_eq!(pipeline.counters().producer_replacements, 1);
        assert_eq!(pipeline.obstacle(), None);
    }
}

#[test]
fn a_position_of_another_process_ends_all_deliveries() {
    let mut pipeline = tested(100, None);
    pipeline.take(batch(1..4));
    pipeline.advance(0);
    pipeline.sink.broker.dead = true;
    pipeline.advance(0);
    assert!(matches!(
        pipeline.sink.broker.asked.take(),
        Some(Asked::Open(Some(_)))
    ));
    let foreign = position::write(&position::Facts {
        shard: "main",
        last: None,
        run_id: "other",
        transaction: 1,
        chain: Mark {
            sequence: 1,
            previous: None,
        },
    });
    pipeline.sink.broker.answer = Some(Answer::TakenOver(foreign));
    assert_eq!(run(&mut pipeline, &nothing), Vec::<u64>::new());
    assert_eq!(
        pipeline.taken_over(),
        Some(&TakenOver {
            shard: "main".to_owned(),
            by: Some("other".to_owned())
        })
    );
    assert!(pipeline.sink.broker.committed.is_empty());
}

#[test]
fn a_transaction_without_a_record_keeps_the_position_of_the_one_before() {
    let mut first = tested(100, None);
    first.take(batch(1..4));
    run(&mut first, &nothing);
    let mut second = tested(100, first.sink.broker.position.clone());
    second.note(AuditStatus::RunOpened, None, 0);
    assert_eq!(run(&mut second, &nothing), Vec::<u64>::new());
    let position = second.sink.broker.position();
    assert_eq!(
        (&position["token"], &position["sequence"]),
        (&Value::from("token-3"), &Value::from(3))
    );
}

#[test]
fn a_source_that_gives_no_token_halts_the_commit_and_says_why() {
    let mut pipeline = tested(100, None);
    let failing = Rc::new(Cell::new(true));
    if let Some(open) = &mut pipeline.transactions {
        let failing = Rc::clone(&failing);
        open.start.tokens = Box::new(move |sequence| {
            if failing.get() {
                return Err(FeedError {
                    fault: super::super::FeedFault::Passing,
                    message: "disk busy".to_owned(),
                });
            }
            Ok(format!("token-{sequence}"))
        });
    }
    pipeline.take(batch(1..3));
    assert_eq!(run(&mut pipeline, &nothing), Vec::<u64>::new());
    assert_eq!(
        pipeline.obstacle().as_deref(),
        Some("the source gives no position, and nothing is committed: disk busy")
    );
    failing.set(false);
    pipeline.resume_at_us = 0;
    assert_eq!(run(&mut pipeline, &nothing), [2]);
}

#[test]
fn after_a_stop_no_transaction_with_a_record_is_begun_and_the_run_closes_only_if_all_is_there() {
    let mut pipeline = tested(100, None);
    pipeline.take(batch(1..3));
    pipeline.stop_sending();
    pipeline.close(crate::audit::Counts::default(), 0);
    assert_eq!(run(&mut pipeline, &nothing), Vec::<u64>::new());
    assert!(pipeline.sink.broker.committed.is_empty() && !pipeline.is_audit_acknowledged());

    let mut pipeline = tested(100, None);
    pipeline.take(batch(1..3));
    run(&mut pipeline, &nothing);
    pipeline.stop_sending();
    pipeline.close(crate::audit::Counts::default(), 0);
    run(&mut pipeline, &nothing);
    assert_eq!(
        pipeline.sink.broker.chain().last().unwrap()["status"],
        "run_closed"
    );
    assert!(pipeline.is_audit_acknowledged());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn whatever_fails_each_record_is_committed_once_in_order_with_one_chain(
        count in 1_u64..40, bound in 1_usize..12, seed in any::<u64>(), trouble in 0_u64..5,
    ) {
        let mut pipeline = tested(bound, None);
        pipeline.note(AuditStatus::RunOpened, None, 0);
        let dice = RefCell::new(seed | 1);
        let roll = |sides: u64| {
            let mut dice = dice.borrow_mut();
            *dice ^= *dice << 13;
            *dice ^= *dice >> 7;
            *dice ^= *dice << 17;
            *dice % sides
        };
        let mut next = 1;
        let mut told = Vec::new();
        for turn in 0..2000 {
            let now_us = turn * LONGEST_PAUSE_US;
            if next <= count && roll(2) == 0 {
                let upto = (next + 1 + roll(6)).min(count + 1);
                pipeline.take(batch(next..upto));
                next = upto;
            }
            told.extend(pipeline.advance(now_us));
            prop_assert_eq!(pipeline.counters().law(&pipeline.measure()), 0);
            // trouble ends, so that the run does
            let troubled = turn < 600 && roll(10) < trouble;
            let refuse = |_: &Kept| {
                (troubled && roll(3) == 0)
                    .then(|| [Meaning::Rewind, Meaning::Fatal, Meaning::Blocked][roll(3) as usize])
            };
            land(&mut pipeline, now_us, &refuse);
            let broker = &mut pipeline.sink.broker;
            if troubled && let Some(Asked::Commit(position)) = &broker.asked {
                let position = position.clone();
                broker.asked = None;
                broker.answer = Some(if roll(3) == 0 {
                    Answer::Spoiled("has to be aborted".to_owned())
                } else {
                    if roll(2) == 0 {
                        broker.keep(&position);
                    }
                    Answer::Broken("who knows".to_owned())
                });
            } else {
                broker.serve();
            }
        }
        prop_assert!(pipeline.is_idle(), "{:?}", pipeline.sink.broker);
        let broker = &pipeline.sink.broker;
        prop_assert_eq!(broker.events(), (1..=count).collect::<Vec<_>>());
        prop_assert_eq!(broker.stray, 0);
        prop_assert!(told.is_sorted() && told.last() == Some(&count));
        let audits = broker.chain();
        let sequences: Vec<u64> = audits.iter().map(|audit| audit["sequence"].as_u64().unwrap()).collect();
        prop_assert_eq!(sequences, (1..=count + 1).collect::<Vec<_>>());
        prop_assert_eq!(pipeline.counters().stray_outcomes, 0);
    }
}
