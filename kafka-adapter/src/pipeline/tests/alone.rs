//! The pipeline against a destination that takes events one by one, as a webhook does: each fails or lands alone, and
//! nobody else waits for it but its own key.
//!
//! Over 400 lines: one case after another, all on the fake broker of the parent.

use super::*;
use crate::audit::Status as AuditStatus;

const LATER: Meaning = Meaning::Later { pause_ms: 0 };

/// A pipeline into a sink with so many places, that asks for one record a key.
fn webhook(capacity: usize, max_attempts: u32) -> Pipeline<FakeBatch, FakeSink> {
    let mut pipeline = pipeline(capacity, true);
    pipeline.sink.max_attempts = max_attempts;
    pipeline
}

/// Answers everything that waits and goes on until nothing is left to answer; returns what was sent.
fn settle_all(
    pipeline: &mut Pipeline<FakeBatch, FakeSink>,
    now_us: i64,
    fail: impl Fn(&Sent) -> Option<Meaning>,
) -> Vec<Sent> {
    let mut all = Vec::new();
    loop {
        pipeline.advance(now_us);
        let sent = answer_all(pipeline, now_us, &fail);
        if sent.is_empty() {
            return all;
        }
        all.extend(sent);
    }
}

fn events_of(sent: &[Sent]) -> Vec<u64> {
    sent.iter()
        .filter(|sent| sent.route == Route::Event)
        .filter_map(|sent| sent.sequence)
        .collect()
}

#[test]
fn an_event_that_fails_alone_holds_up_its_own_key_only() {
    let mut pipeline = webhook(100, 10);
    pipeline.take(events(&["a", "b", "a", "b", "c"]));
    let first_fails =
        |sent: &Sent| (sent.route == Route::Event && sent.sequence == Some(10)).then_some(LATER);
    let sent = settle_all(&mut pipeline, 0, first_fails);
    assert_eq!(events_of(&sent), [10, 11, 14, 13], "12 waits behind 10");
    assert_eq!(pipeline.measure().in_flight, 2);
    let due_us = pipeline.due_us().unwrap();
    assert!(
        (FIRST_PAUSE_US..=FIRST_PAUSE_US * 5 / 4).contains(&due_us),
        "{due_us}"
    );
    assert!(
        settle_all(&mut pipeline, due_us - 1, |_| None).is_empty(),
        "not before its time"
    );
    let sent = settle_all(&mut pipeline, due_us, |_| None);
    assert_eq!(events_of(&sent), [10, 12]);
    assert_eq!(pipeline.counters.order_exceptions, 0);
    assert_eq!((pipeline.counters.resent, pipeline.counters.resolved), (1, 5));
    assert!(pipeline.is_idle());
}

#[test]
fn the_pause_grows_and_is_never_shorter_than_what_the_destination_asks_for() {
    let mut pipeline = webhook(100, 10);
    pipeline.take(events(&["a"]));
    let (mut now_us, mut pauses) = (0, Vec::new());
    for pause_ms in [0, 0, 0, 60_000] {
        settle_all(&mut pipeline, now_us, |_| Some(Meaning::Later { pause_ms }));
        let due_us = pipeline.due_us().unwrap();
        pauses.push(due_us - now_us);
        now_us = due_us;
    }
    assert!(
        pauses.is_sorted() && pauses[2] >= 4 * FIRST_PAUSE_US,
        "{pauses:?}"
    );
    assert_eq!(pauses[3], 60_000_000);
}

#[test]
fn an_event_is_given_up_only_while_others_are_accepted() {
    let mut pipeline = webhook(100, 3);
    let poison = |sent: &Sent| (sent.route == Route::Event && sent.key == "poison").then_some(LATER);
    pipeline.take(events(&["poison"]));
    let mut now_us = 0;
    for _ in 0..50 {
        settle_all(&mut pipeline, now_us, poison);
        now_us = pipeline.due_us().unwrap();
    }
    assert_eq!(
        pipeline.counters.dead_letters, 0,
        "nothing says that the destination is up"
    );
    for round in 0..3_u64 {
        pipeline.take(FakeBatch(vec![(
            100 + round,
            Kind::Event,
            format!("good-{round}"),
        )]));
        // the breaker may be open: the next turn lets one try
        while pipeline.counters.events <= round {
            settle_all(&mut pipeline, now_us, poison);
            now_us = pipeline.due_us().unwrap_or(now_us);
        }
        while pipeline
            .due_us()
            .is_some_and(|due_us| due_us <= now_us + 60_000_000)
            && round < 2
        {
            now_us = pipeline.due_us().unwrap();
            let before = pipeline.counters.resent;
            settle_all(&mut pipeline, now_us, poison);
            if pipeline.counters.resent > before {
                break;
            }
        }
    }
    for _ in 0..50 {
        settle_all(&mut pipeline, now_us, poison);
        now_us = pipeline.due_us().unwrap_or(now_us);
    }
    assert_eq!((pipeline.counters.dead_letters, pipeline.counters.events), (1, 3));
    assert!(pipeline.is_idle());
}

#[test]
fn the_dead_letter_of_a_given_up_event_says_how_often_it_was_tried() {
    let mut pipeline = webhook(100, 2);
    pipeline.take(events(&["bad", "x", "y", "z"]));
    let (mut now_us, mut sent) = (0, Vec::new());
    let mut turns = 0;
    while !pipeline.is_idle() {
        pipeline.advance(now_us);
        // one good event a turn, so that each failure has a success beside it
        let mut goods = 0;
        for parcel in std::mem::take(&mut pipeline.sink.waiting) {
            let is_event = parcel.route == Route::Event;
            if is_event && parcel.key != "bad" {
                goods += 1;
                if goods > 1 {
                    pipeline.sink.waiting.push(parcel);
                    continue;
                }
            }
            let result = if is_event && parcel.key == "bad" {
                Err(Failure {
                    meaning: LATER,
                    reason: "https://hooks.example answered 500".to_owned(),
                })
            } else {
                Ok(Landing::Webhook { status: 200 })
            };
            pipeline.settle(
                Outcome {
                    token: parcel.token,
                    result,
                },
                now_us,
            );
            sent.push(parcel);
        }
        now_us = pipeline.due_us().unwrap_or(now_us);
        turns += 1;
        assert!(turns < 100);
    }
    let audit = sent
        .iter()
        .filter(|parcel| parcel.route == Route::Audit)
        .map(|parcel| serde_json::from_slice::<Value>(&parcel.body).unwrap())
        .find(|audit| audit["status"] == "dead_lettered")
        .unwrap();
    let reason = audit["reason"].as_str().unwrap();
    assert!(reason.starts_with("given up after "), "{reason}");
    assert!(
        reason.ends_with("2 of them while other records were accepted: https://hooks.example answered 500"),
        "{reason}"
    );
}

#[test]
fn an_event_refused_alone_is_a_dead_letter_at_once_and_its_key_goes_on_behind_it() {
    let mut pipeline = webhook(100, 10);
    pipeline.take(events(&["a", "a", "b"]));
    let refuse = |sent: &Sent| {
        (sent.route == Route::Event && sent.sequence == Some(10)).then_some(Meaning::RefusedAlone)
    };
    pipeline.advance(0);
    assert_eq!(events_of(&answer_all(&mut pipeline, 0, refuse)), [10, 12]);
    pipeline.advance(0);
    let second = answer_all(&mut pipeline, 0, refuse);
    assert_eq!(routes(&second)[0], (Route::DeadLetter, Some(10)));
    assert!(events_of(&second).is_empty(), "11 waits until 10 is kept");
    assert_eq!(events_of(&settle_all(&mut pipeline, 0, refuse)), [11]);
    assert_eq!((pipeline.counters.dead_letters, pipeline.counters.resent), (1, 1));
    assert!(pipeline.is_idle());
}

#[test]
fn the_audit_says_which_attempt_was_answered_with_what() {
    let mut pipeline = webhook(100, 10);
    pipeline.take(events(&["a"]));
    for now_us in [0, 10_000_000] {
        pipeline.advance(now_us);
        answer_all(&mut pipeline, now_us, |_| Some(LATER));
    }
    pipeline.advance(20_000_000);
    let token = pipeline.sink.waiting.pop().unwrap().token;
    let result = Ok(Landing::Webhook { status: 202 });
    pipeline.settle(Outcome { token, result }, 20_000_000);
    pipeline.advance(20_000_000);
    let audit: Value = serde_json::from_slice(&pipeline.sink.waiting[0].body).unwrap();
    assert_eq!(
        audit["outcome"],
        serde_json::json!({"to": "webhook", "status": 202, "attempt": 3})
    );
}

#[test]
fn a_destination_that_takes_nothing_is_tried_with_one_event_at_a_time() {
    let mut pipeline = webhook(4, 10);
    pipeline.take(events(&["a", "b", "c", "d", "e", "f", "a"]));
    pipeline.advance(0);
    assert_eq!(answer_all(&mut pipeline, 0, |_| Some(Meaning::Shut)).len(), 4);
    let mut now_us = 0;
    for _ in 0..5 {
        assert!(settle_all(&mut pipeline, now_us, |_| None).is_empty(), "held");
        now_us = pipeline.due_us().unwrap();
        pipeline.advance(now_us);
        assert_eq!(pipeline.sink.waiting.len(), 1);
        answer_all(&mut pipeline, now_us, |_| Some(Meaning::Shut));
    }
    assert_eq!(pipeline.obstacle().as_deref(), Some("refused by the test"));
    now_us = pipeline.due_us().unwrap();
    let sent = settle_all(&mut pipeline, now_us, |_| None);
    assert_eq!(events_of(&sent).len(), 7);
    assert!(pipeline.is_idle() && pipeline.obstacle().is_none());
    assert_eq!(
        (pipeline.counters.dead_letters, pipeline.counters.order_exceptions),
        (0, 0)
    );
}

#[test]
fn nothing_is_due_before_its_time_however_long_a_destination_is_down() {
    let mut pipeline = webhook(100, 10);
    pipeline.take(events(&["a"]));
    let mut now_us = 0;
    for _ in 0..60 {
        settle_all(&mut pipeline, now_us, |sent| {
            (sent.route == Route::Event).then_some(LATER)
        });
        let due_us = pipeline.due_us().unwrap();
        assert!(due_us > now_us, "a turn at {now_us} for what was due at {due_us}");
        now_us = due_us;
    }
    assert_eq!(pipeline.obstacle().as_deref(), Some("refused by the test"));
    settle_all(&mut pipeline, now_us, |_| None);
    assert!(pipeline.is_idle() && pipeline.due_us().is_none());
}

#[test]
fn one_event_alone_shows_within_seconds_that_its_destination_is_down() {
    let mut pipeline = webhook(100, 1);
    pipeline.take(events(&["a"]));
    let (mut now_us, mut before_us) = (0, 0);
    while pipeline.obstacle().is_none() {
        before_us = now_us;
        settle_all(&mut pipeline, now_us, |_| Some(LATER));
        if pipeline.obstacle().is_none() {
            now_us = pipeline.due_us().unwrap();
        }
    }
    assert_eq!(pipeline.obstacle().as_deref(), Some("refused by the test"));
    assert!(
        before_us == now_us && (5_000_000..8_000_000).contains(&now_us),
        "{now_us}"
    );
    let mut attempts = 0;
    while attempts < 20 {
        now_us = pipeline.due_us().unwrap();
        attempts += settle_all(&mut pipeline, now_us, |_| Some(LATER)).len();
    }
    assert_eq!(pipeline.counters.dead_letters, 0, "no failure counts against it");
    now_us = pipeline.due_us().unwrap();
    settle_all(&mut pipeline, now_us, |_| None);
    assert!(pipeline.is_idle() && pipeline.obstacle().is_none());
}

#[test]
fn one_bad_event_is_no_obstacle_while_others_are_accepted_now_and_then() {
    let mut pipeline = webhook(100, 1_000);
    let poison = |sent: &Sent| (sent.route == Route::Event && sent.key == "poison").then_some(LATER);
    pipeline.take(events(&["poison"]));
    let mut failed = 0;
    for second in 0..600_u32 {
        let now_us = i64::from(second) * 1_000_000;
        if second.is_multiple_of(4) {
            let good = (100 + u64::from(second), Kind::Event, format!("good-{second}"));
            pipeline.take(FakeBatch(vec![good]));
        }
        let sent = settle_all(&mut pipeline, now_us, poison);
        failed += sent.iter().filter(|sent| poison(sent).is_some()).count();
        assert_eq!(pipeline.obstacle(), None, "after {second} s");
    }
    assert!(failed > 15, "{failed}");
    assert_eq!(
        (pipeline.counters.events, pipeline.counters.dead_letters),
        (150, 0)
    );
}

#[test]
fn a_file_that_cannot_be_written_holds_the_events_and_makes_no_turns() {
    let mut pipeline = webhook(100, 10);
    pipeline.take(events(&["a", "b"]));
    let blocked = |sent: &Sent| match (sent.route, sent.sequence) {
        (Route::Event, Some(10)) => Some(LATER),
        (Route::Audit, _) => Some(Meaning::Blocked),
        _ => None,
    };
    let mut now_us = 0;
    for _ in 0..20 {
        settle_all(&mut pipeline, now_us, blocked);
        let due_us = pipeline.due_us().unwrap();
        assert!(due_us > now_us);
        now_us = due_us;
    }
    assert_eq!(pipeline.counters.events, 1, "the other waits");
    for _ in 0..10 {
        settle_all(&mut pipeline, now_us, |_| None);
        now_us = pipeline.due_us().unwrap_or(now_us);
    }
    assert!(pipeline.is_idle());
    assert_eq!(
        (pipeline.counters.events, pipeline.counters.order_exceptions),
        (2, 0)
    );
}

#[test]
fn a_full_destination_holds_up_no_audit_record() {
    let mut pipeline = webhook(2, 10);
    pipeline.sink.full = Some(Route::Event);
    pipeline.take(events(&["a", "b"]));
    pipeline.take(FakeBatch(vec![(20, Kind::Control, "news".to_owned())]));
    pipeline.note(AuditStatus::Interval, None, 0);
    pipeline.advance(0);
    assert_eq!(
        routes(&pipeline.sink.waiting),
        [(Route::Control, Some(20)), (Route::Audit, None)]
    );
    pipeline.sink.full = None;
    answer_all(&mut pipeline, 0, |_| None);
    pipeline.advance(0);
    assert_eq!(
        routes(&pipeline.sink.waiting),
        [(Route::Event, Some(10)), (Route::Event, Some(11))]
    );
}

/// A destination of chance: each event that waits lands, fails, is refused, or stays on its way.
fn simulate_alone(seed: u64, deaths: bool) -> Result<(), TestCaseError> {
    let mut dice = Dice(seed);
    let mut pipeline = webhook(1 + dice.roll(8) as usize, 2 + dice.roll(4) as u32);
    let total = 10 + dice.roll(60);
    let (mut sequence, mut committed, mut now_us) = (0, None, 0_i64);
    let mut landed: Vec<(u64, String)> = Vec::new();
    let (mut kept, mut audits) = (BTreeSet::new(), BTreeMap::new());
    // the endpoint is wrong, or down, for a while
    let bad = dice.roll(200)..200 + dice.roll(200);
    let down = [Meaning::Shut, LATER][dice.roll(2) as usize];
    for turn in 0..20_000 {
        now_us += 20_000;
        if sequence < total && dice.roll(3) == 0 {
            sequence += 1;
            let key = ["", "a", "b", "c"][dice.roll(4) as usize].to_owned();
            pipeline.take(FakeBatch(vec![(sequence, Kind::Event, key)]));
        }
        if deaths && dice.roll(60) == 0 {
            pipeline.sink.dead = true;
        }
        committed = pipeline.advance(now_us).or(committed);
        prop_assert_eq!(pipeline.counters.law(&pipeline.measure()), 0);
        for at in 1..=committed.unwrap_or(0) {
            prop_assert!(audits.contains_key(&at), "{at} committed without its audit");
        }
        let mut of_key = BTreeSet::new();
        for sent in std::mem::take(&mut pipeline.sink.waiting) {
            if sent.route == Route::Event && !sent.key.is_empty() {
                prop_assert!(
                    of_key.insert(sent.key.clone()),
                    "two events of one key on their way"
                );
            }
            let result = match sent.route {
                _ if dice.roll(3) == 0 => {
                    pipeline.sink.waiting.push(sent);
                    continue;
                }
                Route::Event if bad.contains(&turn) => Err(down),
                Route::Event => match dice.roll(10) {
                    0..=2 => Err(Meaning::Later {
                        pause_ms: dice.roll(2) * 500,
                    }),
                    3 => Err(Meaning::RefusedAlone),
                    _ => Ok(()),
                },
                _ => Ok(()),
            };
            match (&result, sent.route, sent.sequence) {
                (Ok(()), Route::Event, Some(at)) => landed.push((at, sent.key.clone())),
                (Ok(()), Route::DeadLetter, Some(at)) => drop(kept.insert(at)),
                (Ok(()), Route::Audit, Some(at)) => {
                    let audit: Value = serde_json::from_slice(&sent.body).unwrap();
                    audits.insert(at, audit["status"].as_str().unwrap().to_owned());
                }
                _ => {}
            }
            let result = result
                .map(|()| Landing::Webhook { status: 200 })
                .map_err(|meaning| Failure {
                    meaning,
                    reason: "no".to_owned(),
                });
            pipeline.settle(
                Outcome {
                    token: sent.token,
                    result,
                },
                now_us,
            );
        }
        if sequence >= total && pipeline.is_idle() {
            break;
        }
    }
    prop_assert!(pipeline.is_idle(), "everything is resolved in the end");
    prop_assert_eq!(committed, Some(total));
    prop_assert_eq!(
        (
            pipeline.counters.order_exceptions,
            pipeline.counters.stray_outcomes
        ),
        (0, 0)
    );
    let mut last: BTreeMap<&str, u64> = BTreeMap::new();
    for (at, key) in landed.iter().filter(|(_, key)| !key.is_empty()) {
        prop_assert!(
            last.insert(key, *at).is_none_or(|before| before <= *at),
            "{} out of order",
            at
        );
    }
    for at in 1..=total {
        let is_there = landed.iter().any(|(other, _)| *other == at);
        let expected = if kept.contains(&at) {
            "dead_lettered"
        } else {
            "processed"
        };
        prop_assert!(is_there || kept.contains(&at), "{} is nowhere", at);
        prop_assert_eq!(audits[&at].as_str(), expected);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn each_event_lands_in_order_or_is_kept_whatever_the_destination_answers(seed in any::<u64>()) {
        simulate_alone(seed, false)?;
    }

    #[test]
    fn a_producer_beside_it_that_dies_changes_nothing(seed in any::<u64>()) {
        simulate_alone(seed, true)?;
    }
}
